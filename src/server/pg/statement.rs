//! Statements of a client's text: queries for the engine, and commands about the connection, which the engine never sees.

use std::sync::Arc;

use datafusion::sql::parser::{ResetStatement as DfReset, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{
    CloseCursor, ContextModifier, Expr, Reset, ResetStatement, Set, Statement as Sql, Value, ValueWithSpan,
};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use super::error::fault;
use super::simpler::{TYPES, simpler};
use crate::engine::{Asked, Explorer, Fault as Wrong, FaultKind, QueryError};
use crate::server::error::{Fault, code};

/// A statement of a client.
#[derive(Debug, Clone)]
pub enum Command {
    /// Runs in the engine.
    Query(Query),
    /// Changes a setting, until the end of the transaction if it is local.
    Set {
        /// Name of the setting.
        name: String,
        /// Value; `None` is the default.
        value: Option<String>,
        /// Whether the end of the transaction undoes it.
        is_local: bool,
    },
    /// Restores a setting, or all.
    Reset(Option<String>),
    /// Shows a setting, or all.
    Show(Option<String>),
    /// Begins a transaction, which has no effect but on errors.
    Begin(&'static str),
    /// Ends a transaction.
    Commit,
    /// Ends a transaction after an error.
    Rollback,
    /// Returns to a savepoint.
    RollbackTo,
    /// Drops statements, settings and portals.
    DiscardAll,
    /// Drops a prepared statement, or all.
    Deallocate(Option<String>),
    /// Drops a portal, or all.
    Close(Option<String>),
    /// Has no effect here, and this tag as its answer.
    Nothing(&'static str),
}

/// A query as sent, and as rewritten if the engine does not take it as sent.
#[derive(Debug, Clone)]
pub struct Query {
    /// Text that contains the query, as sent.
    sent: Arc<str>,
    /// Index of the query in the text; `None` if only the rewritten one can be parsed.
    place: Option<usize>,
    /// The query alone, as it was parsed.
    alone: Arc<str>,
    /// Word that begins the answer's tag.
    pub tag: &'static str,
}

/// A text that contains a query, and its index.
pub struct Candidate {
    /// The text.
    pub text: Arc<str>,
    /// Index of the query in it.
    pub place: usize,
    /// Whether the client sent this text, so that places in it mean something to the client.
    pub is_sent: bool,
}

impl Query {
    /// Returns the texts to try, in order.
    ///
    /// Queries of the system's catalog need rewriting, because clients write them for PostgreSQL. Others run as they
    /// would in `flowgap sql`, unless they need PostgreSQL's grammar.
    pub fn candidates(&self, rewriter: &PostgresCompatibilityParser) -> Vec<Candidate> {
        let sent = self.place.map(|place| Candidate { text: Arc::clone(&self.sent), place, is_sent: true });
        if self.asks_types() {
            return vec![Candidate { text: TYPES.into(), place: 0, is_sent: false }];
        }
        let rewrite = |text: &str| {
            let statement = rewriter.parse(text).ok().filter(|statements| statements.len() == 1)?.pop()?;
            Some(Candidate { text: statement.to_string().into(), place: 0, is_sent: false })
        };
        let rewritten = rewrite(&self.alone);
        let lower = self.alone.to_lowercase();
        let asks_catalog = ["pg_", "information_schema", "current_", "session_user", "::reg", "version("];
        if !asks_catalog.iter().any(|word| lower.contains(word)) {
            return [sent, rewritten].into_iter().flatten().collect();
        }
        let simpler = simpler(&self.alone).and_then(|text| rewrite(&text));
        [rewritten, simpler, sent].into_iter().flatten().collect()
    }

    /// Returns whether this is asyncpg's query for types. Its parameter must be a list of oids.
    pub fn asks_types(&self) -> bool {
        self.alone.contains("WITH RECURSIVE typeinfo_tree(")
    }

    /// Returns the text that the client sent.
    pub fn sent(&self) -> &str {
        &self.sent
    }
}

/// Splits a text into its statements.
pub fn commands(
    explorer: &Explorer,
    rewriter: &PostgresCompatibilityParser,
    text: &str,
) -> Result<Vec<Command>, Fault> {
    let sent: Arc<str> = text.into();
    match explorer.parse_any(text) {
        Ok(parsed) => {
            // Rewriting knows some queries by their exact words.
            let is_one = parsed.len() == 1;
            let command = |(place, asked): (usize, Asked)| command(asked.parsed, &sent, Some((place, is_one)));
            parsed.into_iter().enumerate().map(command).collect()
        }
        // PostgreSQL's grammar has what the engine's lacks.
        Err(error @ QueryError::Wrong(Wrong { kind: FaultKind::Syntax, .. })) => match rewriter.parse(text) {
            Ok(parsed) => {
                let parsed = parsed.into_iter().map(|statement| Parsed::Statement(Box::new(statement)));
                parsed.map(|parsed| command(parsed, &sent, None)).collect()
            }
            Err(_) => Err(fault(&error, Some(text))),
        },
        Err(error) => Err(fault(&error, Some(text))),
    }
}

fn command(parsed: Parsed, sent: &Arc<str>, place: Option<(usize, bool)>) -> Result<Command, Fault> {
    let query = |parsed: &Parsed, tag| {
        let alone = match place {
            Some((_, true)) => Arc::clone(sent),
            _ => parsed.to_string().into(),
        };
        Ok(Command::Query(Query { sent: Arc::clone(sent), place: place.map(|(place, _)| place), alone, tag }))
    };
    let refused = |what: &str, hint: &str| {
        Err(Fault::new(code::READ_ONLY, format!("{what} is refused, because flowgap only reads")).hint(hint))
    };
    let statement = match parsed {
        Parsed::Statement(statement) => *statement,
        Parsed::Reset(DfReset::Variable(name)) => return Ok(Command::Reset(unless_all(&name.to_string()))),
        Parsed::Explain(_) => return query(&parsed, "EXPLAIN"),
        Parsed::CopyTo(_) => return refused("COPY", "write a SELECT"),
        Parsed::CreateExternalTable(_) => return refused("CREATE EXTERNAL TABLE", "the server reads its sources only"),
    };
    Ok(match statement {
        Sql::Set(set) => return setting(set),
        Sql::ShowVariable { variable } => {
            let words: Vec<&str> = variable.iter().map(|word| word.value.as_str()).collect();
            Command::Show(unless_all(&words.join(".")))
        }
        Sql::StartTransaction { begin, .. } => Command::Begin(if begin { "BEGIN" } else { "START TRANSACTION" }),
        Sql::Commit { .. } => Command::Commit,
        Sql::Rollback { savepoint: None, .. } => Command::Rollback,
        Sql::Rollback { savepoint: Some(_), .. } => Command::RollbackTo,
        Sql::Savepoint { .. } => Command::Nothing("SAVEPOINT"),
        Sql::ReleaseSavepoint { .. } => Command::Nothing("RELEASE"),
        Sql::Discard { .. } => Command::DiscardAll,
        Sql::Reset(ResetStatement { reset: Reset::ALL }) => Command::Reset(None),
        Sql::Reset(ResetStatement { reset: Reset::ConfigurationParameter(name) }) => {
            Command::Reset(Some(name.to_string()))
        }
        Sql::Deallocate { name, .. } => Command::Deallocate(unless_all(&name.value)),
        Sql::Close { cursor: CloseCursor::All } => Command::Close(None),
        Sql::Close { cursor: CloseCursor::Specific { name } } => Command::Close(Some(name.value)),
        Sql::LISTEN { .. } => Command::Nothing("LISTEN"),
        Sql::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
        Sql::Copy { .. } => return refused("COPY", "write a SELECT"),
        Sql::Explain { .. } => return query(&Parsed::Statement(Box::new(statement)), "EXPLAIN"),
        Sql::ShowTables { .. } | Sql::ShowColumns { .. } | Sql::ShowFunctions { .. } => {
            return query(&Parsed::Statement(Box::new(statement)), "SHOW");
        }
        statement => return query(&Parsed::Statement(Box::new(statement)), "SELECT"),
    })
}

fn unless_all(name: &str) -> Option<String> {
    (!name.eq_ignore_ascii_case("all")).then(|| name.to_owned())
}

fn setting(set: Set) -> Result<Command, Fault> {
    Ok(match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            let words: Vec<String> = values.iter().map(word).collect();
            let value = Some(words.join(", ")).filter(|value| !value.eq_ignore_ascii_case("default"));
            let is_local = matches!(scope, Some(ContextModifier::Local));
            Command::Set { name: variable.to_string().replace('"', ""), value, is_local }
        }
        Set::SetTimeZone { local, value } => {
            let value = Some(word(&value)).filter(|value| !value.eq_ignore_ascii_case("default"));
            Command::Set { name: "timezone".to_owned(), value, is_local: local }
        }
        Set::SetNames { charset_name, .. } => {
            Command::Set { name: "client_encoding".to_owned(), value: Some(charset_name.value), is_local: false }
        }
        Set::SetTransaction { .. } => Command::Nothing("SET"),
        other => {
            let message = format!("SET {other} is not supported");
            return Err(Fault::new(code::FEATURE_NOT_SUPPORTED, message));
        }
    })
}

/// Returns the text of a value without its quotes.
fn word(value: &Expr) -> String {
    match value {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text) | Value::DoubleQuotedString(text), ..
        }) => text.clone(),
        Expr::Identifier(name) => name.value.clone(),
        Expr::Interval(interval) => word(&interval.value),
        other => other.to_string(),
    }
}
