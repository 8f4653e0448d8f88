//! Rules for statements that may run: queries, and settings of the display. All others are refused before anything is
//! read.

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

/// Maximum number of operators and joins per text, because planning recurses once per link of a chain.
const MOST_LINKS: usize = 1000;

/// Refuses a text whose chains of operators could overflow the stack. Accepts text that is no SQL, because the parser
/// reports it better.
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

/// Parses the statements of a text, permitted or not.
pub fn parsed(text: &str) -> Result<VecDeque<Parsed>, DataFusionError> {
    DFParserBuilder::new(text).with_dialect(&GenericDialect {}).build()?.parse_statements()
}

/// A statement that may run.
#[derive(Debug)]
pub struct Statement {
    pub(in crate::engine) parsed: Parsed,
    /// Text that contains the statement.
    pub(in crate::engine) text: Arc<str>,
    /// Index of the statement in the text.
    pub(in crate::engine) place: usize,
    /// Whether the statement changes a setting of the display.
    pub(in crate::engine) is_setting: bool,
}

/// Prefixes of the permitted settings: the format of values, the style of EXPLAIN, and the time zone of times.
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

/// Rewrites `SET TIME ZONE 'x'` into the only form that DataFusion supports.
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

fn refused(what: &str, remedy_for: &str) -> QueryError {
    QueryError::Refused(format!("{what} is refused, because flowgap only reads: {remedy_for}"))
}

/// Returns the options that a plan is verified against, independent of the statement's text.
pub fn options(is_setting: bool) -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(is_setting)
}
