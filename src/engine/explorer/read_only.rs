//! Which statements may run: queries, and settings of how answers look. All others are refused before anything is read.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::sql::parser::{DFParserBuilder, ResetStatement, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Set, Statement as Sql};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::error::QueryError;

/// Operators and joins that a text may chain: planning takes stack for each.
const MOST_LINKS: usize = 1000;

/// Refuses what is chained so often that no stack holds it. What is no SQL passes: the parser has the words for it.
pub fn bounded(text: &str) -> Result<(), QueryError> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return Ok(()) };
    let is_link = |token: &&Token| match token {
        Token::Word(word) => {
            use Keyword::{AND, EXCEPT, INTERSECT, JOIN, NOT, OR, UNION};
            matches!(word.keyword, AND | OR | NOT | UNION | EXCEPT | INTERSECT | JOIN)
        }
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => true,
        Token::DoubleColon | Token::Ampersand | Token::Pipe | Token::Caret => true,
        _ => false,
    };
    match tokens.iter().filter(is_link).count() {
        0..=MOST_LINKS => Ok(()),
        links => Err(QueryError::Refused(format!(
            "the query has {links} operators, and at most {MOST_LINKS} are allowed: write col IN (...), or join a list of VALUES"
        ))),
    }
}

/// The statements of a text, whatever they do.
pub fn parsed(text: &str) -> Result<VecDeque<Parsed>, DataFusionError> {
    DFParserBuilder::new(text).with_dialect(&GenericDialect {}).build()?.parse_statements()
}

/// A statement that may run.
#[derive(Debug)]
pub struct Statement {
    pub(in crate::engine) parsed: Parsed,
    /// What it stands in, and as which of its statements.
    pub(in crate::engine) text: Arc<str>,
    pub(in crate::engine) place: usize,
    pub(in crate::engine) is_setting: bool,
}

/// What may be set: how values look, EXPLAIN's style, and the time zone that times are shown in.
const DISPLAY: [&str; 4] = ["datafusion.format.", "datafusion.explain.", "datafusion.execution.time_zone", "timezone"];

pub fn allowed(parsed: Parsed, text: &Arc<str>, place: usize) -> Result<Statement, QueryError> {
    let parsed = as_setting(parsed);
    let is_setting = match &parsed {
        Parsed::Statement(statement) => is_setting(statement)?,
        Parsed::Explain(explain) => {
            allowed((*explain.statement).clone(), text, place)?;
            false
        }
        Parsed::Reset(ResetStatement::Variable(name)) => may_be_set(&name.to_string())?,
        Parsed::CopyTo(_) => return Err(refused("COPY", "use -o FILE to write a result to a file")),
        Parsed::CreateExternalTable(_) => {
            return Err(refused("CREATE EXTERNAL TABLE", "name the files to read as a SOURCE"));
        }
    };
    Ok(Statement { parsed, text: Arc::clone(text), place, is_setting })
}

fn is_setting(statement: &Sql) -> Result<bool, QueryError> {
    match statement {
        Sql::Query(_)
        | Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. }
        | Sql::ShowVariables { .. } => Ok(false),
        Sql::Explain { statement, .. } => is_setting(statement),
        Sql::Set(Set::SingleAssignment { variable, .. }) => may_be_set(&variable.to_string()),
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            Err(refused(&words.join(" "), "only queries, EXPLAIN, SHOW and DESCRIBE run here"))
        }
    }
}

/// `SET TIME ZONE 'x'` in the only way in which the engine knows it.
fn as_setting(parsed: Parsed) -> Parsed {
    let Parsed::Statement(statement) = parsed else { return parsed };
    let statement = match *statement {
        Sql::Set(Set::SetTimeZone { value, .. }) => Sql::Set(Set::SingleAssignment {
            scope: None,
            hivevar: false,
            variable: ObjectName::from(["datafusion", "execution", "time_zone"].map(Ident::new).to_vec()),
            values: vec![value],
        }),
        other => other,
    };
    Parsed::Statement(Box::new(statement))
}

fn may_be_set(name: &str) -> Result<bool, QueryError> {
    let name = name.to_lowercase();
    match DISPLAY.iter().any(|known| name.starts_with(known)) {
        true => Ok(true),
        false => Err(refused(
            &format!("SET {name}"),
            "only datafusion.format.*, datafusion.explain.* and the time zone can be set",
        )),
    }
}

fn refused(what: &str, way_out: &str) -> QueryError {
    QueryError::Refused(format!("{what} is refused, because flowgap only reads: {way_out}"))
}

/// What a plan may hold, whatever its text looked like.
pub fn options(is_setting: bool) -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(is_setting)
}
