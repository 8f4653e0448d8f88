//! Rules for statements that may run: queries, settings of the display, and views and macros of the session. All others are refused
//! before anything is read.

use std::sync::Arc;

use datafusion::execution::context::SQLOptions;
use datafusion::sql::parser::{ResetStatement, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{CreateView, Ident, ObjectName, ObjectType, Set, Statement as Sql};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::dialect::Asked;
use super::error::QueryError;

/// Maximum number of operators and joins per text, because planning recurses once per link of a chain.
const MOST_LINKS: usize = 1000;

/// Refuses a text whose chains of operators could overflow the stack. Accepts text that is no SQL, because the parser
/// reports it better.
pub fn bounded(text: &str, links_of_views: usize) -> Result<(), QueryError> {
    match links(text) + links_of_views {
        0..=MOST_LINKS => Ok(()),
        links => Err(QueryError::Refused(format!(
            "the query has {links} operators{}, and at most {MOST_LINKS} are allowed: write col IN (...), or join a list of VALUES",
            if links_of_views > 0 { " with those of the views" } else { "" }
        ))),
    }
}

/// Counts the operators and joins of a text. Text that is no SQL has none.
pub fn links(text: &str) -> usize {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return 0 };
    let is_link = |token: &&Token| match token {
        Token::Word(word) => {
            use Keyword::{AND, EXCEPT, INTERSECT, JOIN, NOT, OR, UNION};
            matches!(word.keyword, AND | OR | NOT | UNION | EXCEPT | INTERSECT | JOIN)
        }
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => true,
        Token::DoubleColon | Token::Ampersand | Token::Pipe | Token::Caret => true,
        _ => false,
    };
    tokens.iter().filter(is_link).count()
}

/// A statement that may run.
#[derive(Debug)]
pub struct Statement {
    pub(in crate::engine) parsed: Parsed,
    /// Text that contains the statement.
    pub(in crate::engine) text: Arc<str>,
    /// Index of the statement in the text.
    pub(in crate::engine) place: usize,
    pub(in crate::engine) kind: Kind,
    /// Expression of each column as written, for its name.
    pub(in crate::engine) written: Vec<Option<String>>,
}

/// Effect of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Returns rows.
    Query,
    /// Returns a summary of rows.
    Summary,
    /// Changes a setting of the display.
    Setting,
    /// Defines a view for the session. The statement is its query.
    View {
        name: String,
        /// Whether it may replace another view.
        or_replace: bool,
    },
    /// Removes a view of the session.
    Drop {
        name: String,
        /// Whether the view may be absent.
        if_exists: bool,
    },
    /// Defines a macro for the session.
    Macro {
        name: String,
        /// Whether it may replace another macro.
        or_replace: bool,
    },
    /// Removes a macro of the session.
    DropMacro {
        name: String,
        /// Whether the macro may be absent.
        if_exists: bool,
    },
}

/// Prefixes of the permitted settings: the format of values, the style of EXPLAIN, and the time zone of times.
const DISPLAY: [&str; 4] = ["datafusion.format.", "datafusion.explain.", "datafusion.execution.time_zone", "timezone"];

pub fn allowed(asked: Asked, text: &Arc<str>, place: usize) -> Result<Statement, QueryError> {
    let Asked { parsed, is_summary, written } = asked;
    let parsed = as_setting(parsed);
    let (parsed, kind) = match parsed {
        Parsed::Statement(statement) => of_statement(*statement)?,
        Parsed::Explain(explain) => {
            let inner = Asked { parsed: (*explain.statement).clone(), is_summary, written: Vec::new() };
            let Statement { kind, .. } = allowed(inner, text, place)?;
            if !matches!(kind, Kind::Query | Kind::Setting) {
                return Err(refused("EXPLAIN of a definition", "explain the query itself"));
            }
            (Parsed::Explain(explain), Kind::Query)
        }
        Parsed::Reset(ResetStatement::Variable(name)) => {
            may_be_set(&name.to_string())?;
            (Parsed::Reset(ResetStatement::Variable(name)), Kind::Setting)
        }
        Parsed::CopyTo(_) => return Err(refused("COPY", "use -o FILE to write a result to a file")),
        Parsed::CreateExternalTable(_) => {
            return Err(refused("CREATE EXTERNAL TABLE", "name the files to read as a SOURCE"));
        }
    };
    let kind = if is_summary && kind == Kind::Query { Kind::Summary } else { kind };
    Ok(Statement { parsed, text: Arc::clone(text), place, kind, written })
}

fn of_statement(statement: Sql) -> Result<(Parsed, Kind), QueryError> {
    let kind = match statement {
        Sql::Query(_)
        | Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. }
        | Sql::ShowVariables { .. } => Kind::Query,
        Sql::Explain { statement: ref explained, .. } => match of_statement((**explained).clone())? {
            (_, kind @ (Kind::Query | Kind::Setting)) => kind,
            _ => return Err(refused("EXPLAIN of a definition", "explain the query itself")),
        },
        Sql::Set(Set::SingleAssignment { ref variable, .. }) => {
            may_be_set(&variable.to_string())?;
            Kind::Setting
        }
        Sql::CreateView(view) => return view_of(view),
        Sql::CreateMacro { ref name, or_replace, .. } => Kind::Macro { name: name_of(name)?, or_replace },
        Sql::DropFunction(ref dropped) if dropped.func_desc.len() == 1 => {
            Kind::DropMacro { name: name_of(&dropped.func_desc[0].name)?, if_exists: dropped.if_exists }
        }
        Sql::Drop { object_type: ObjectType::View, if_exists, ref names, .. } if names.len() == 1 => {
            Kind::Drop { name: name_of(&names[0])?, if_exists }
        }
        ref other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            let way = match words.as_slice() {
                ["CREATE", "TABLE" | "TEMPORARY"] => "define a view, with CREATE TEMP VIEW name AS SELECT ...",
                ["CREATE", "FUNCTION"] => "define a macro, with CREATE MACRO name(x) AS ...",
                _ => "only queries, EXPLAIN, SHOW, DESCRIBE, SUMMARIZE, CREATE TEMP VIEW and CREATE MACRO run here",
            };
            return Err(refused(&words.join(" "), way));
        }
    };
    Ok((Parsed::Statement(Box::new(statement)), kind))
}

/// Returns the query of a view. The session keeps it, whether it is declared temporary or not.
fn view_of(view: CreateView) -> Result<(Parsed, Kind), QueryError> {
    if view.materialized || !view.columns.is_empty() || view.if_not_exists {
        return Err(refused("this form of CREATE VIEW", "write CREATE [OR REPLACE] TEMP VIEW name AS SELECT ..."));
    }
    let kind = Kind::View { name: name_of(&view.name)?, or_replace: view.or_replace };
    Ok((Parsed::Statement(Box::new(Sql::Query(view.query))), kind))
}

/// Returns the name of a view or macro. A name without quotes is in lower case, as in queries.
fn name_of(name: &ObjectName) -> Result<String, QueryError> {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) if ident.quote_style.is_some() => Ok(ident.value.clone()),
            Some(ident) => Ok(ident.value.to_lowercase()),
            None => Err(QueryError::wrong(format!("{name} is not a name"))),
        },
        _ => Err(QueryError::wrong(format!("{name} is not a name: write it without a schema"))),
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

fn may_be_set(name: &str) -> Result<(), QueryError> {
    let name = name.to_lowercase();
    match DISPLAY.iter().any(|known| name.starts_with(known)) {
        true => Ok(()),
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
