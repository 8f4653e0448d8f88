//! Errors of user queries, as messages that point to the place in the query.

use std::error::Error;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError, Span};

use super::literals::Misread;
use super::suggest::closest_name;
use crate::catalog::CatalogError;
use crate::engine::error::SessionError;
use crate::engine::fragment::unfinished;
use crate::remedy::Remedy;
use crate::source::SourceError;

/// Reason why a user query does not run or ends early.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Statement that is refused, because it would change something or chains too many operators.
    #[error("{0}")]
    Refused(String),
    /// Query that is wrong, or meets a value that it cannot process.
    #[error("{0}")]
    Wrong(Fault),
    /// Query that needs more memory or disk than it may use.
    #[error("{0}")]
    TooLarge(String),
    /// Work that other processes did not finish.
    #[error("{0}")]
    Unfinished(String),
    /// Internal error.
    #[error("internal error: {0}")]
    Engine(DataFusionError),
}

/// What is wrong with a query, and where. It prints as the message, the hint, and the line with a mark.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Kind of the fault.
    pub kind: FaultKind,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Line and column in the text, both from 1.
    pub place: Option<(usize, usize)>,
    /// The line of the query with a mark below the place; empty without a place.
    shown: String,
}

/// Kind of a fault, for programs that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The text is no SQL.
    Syntax,
    /// No column has the name.
    Column,
    /// No table has the name.
    Table,
    /// No function has the name.
    Function,
    /// A column is neither grouped by nor aggregated.
    Grouping,
    /// A parameter has no value.
    Parameter,
    /// The engine lacks the feature.
    Unsupported,
    /// Division by zero.
    Division,
    /// Another fault that planning found.
    Plan,
    /// Another fault that a value caused while the query ran.
    Value,
}

impl QueryError {
    /// Returns a fault without a place.
    pub fn wrong(message: String) -> Self {
        Self::Wrong(Fault { kind: FaultKind::Plan, message, hint: None, place: None, shown: String::new() })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, ": {hint}")?;
        }
        f.write_str(&self.shown)
    }
}

/// Names that a query may use.
#[derive(Debug, Default, Clone)]
pub struct Names {
    /// Tables, each with its columns.
    pub tables: Vec<(String, Vec<String>)>,
    /// Functions of all kinds, sorted.
    pub functions: Vec<String>,
}

impl Names {
    fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().flat_map(|(_, columns)| columns).map(String::as_str)
    }
}

/// Stage at which an error occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Planning,
    Running,
}

/// Converts errors of DataFusion into messages for one query.
#[derive(Clone)]
pub struct Explain {
    pub text: Arc<str>,
    pub names: Arc<Names>,
    /// Whether the session has sources.
    pub has_flows: bool,
    /// Memory limit of queries, in words.
    pub memory: String,
}

impl Explain {
    pub fn error(&self, error: DataFusionError, stage: Stage) -> QueryError {
        explained(error, stage, self)
    }
}

/// Converts `error` of a query into a message, with a suggestion if a known name is close.
fn explained(error: DataFusionError, stage: Stage, explain: &Explain) -> QueryError {
    let Explain { text, names, has_flows, memory } = explain;
    if let Some(words) = unfinished(&error) {
        return QueryError::Unfinished(words);
    }
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let at = |kind: FaultKind, message: String, hint: Option<String>, place: Option<At>| {
        QueryError::Wrong(Fault { kind, message, hint, place, shown: pointer(text, place) })
    };
    let wrong = |kind: FaultKind, message: String, hint: Option<String>, word: &str| {
        at(kind, message, hint, place(text, span, word))
    };
    let other = if stage == Stage::Planning { FaultKind::Plan } else { FaultKind::Value };
    match error.find_root() {
        DataFusionError::SQL(parser, _) => {
            let message = parser.to_string();
            let message = message.trim_start_matches("sql parser error: ");
            let (message, place) = match message.rsplit_once(" at Line: ") {
                Some((message, at)) => (message, line_and_column(at)),
                None => (message, None),
            };
            let place = place.or_else(|| message.ends_with("found: EOF").then(|| end_of(text)));
            at(FaultKind::Syntax, format!("this is not valid SQL: {}", lower(message)), None, place)
        }
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let own: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                let near = if own.is_empty() {
                    closest_name(&field.name, names.columns())
                } else {
                    closest_name(&field.name, own)
                };
                let is_text = near.is_none() && text.contains(&format!("\"{}\"", field.name));
                let hint = if is_text { Some("text goes in single quotes".to_owned()) } else { meant(near) };
                wrong(FaultKind::Column, format!("there is no column {}", field.name), hint, &field.name)
            }
            schema => wrong(other, schema.to_string(), None, ""),
        },
        DataFusionError::Plan(message) => match unknown(message) {
            Some((Unknown::Table, name)) => {
                let name = name.strip_prefix(CATALOG).and_then(|name| name.strip_prefix('.')).unwrap_or(name);
                let name = name.strip_prefix("public.").unwrap_or(name);
                if !has_flows && NEED_A_SOURCE.contains(&name) {
                    let hint = Some("name the flow logs to read".to_owned());
                    return wrong(FaultKind::Table, format!("{name} needs a SOURCE"), hint, name);
                }
                let is_file = name.contains(['/', '.', '\\']);
                let hint = match is_file {
                    true => Some("a query cannot open files; name it as a SOURCE".to_owned()),
                    false => meant(closest_name(name, names.tables())),
                };
                wrong(FaultKind::Table, format!("there is no table {name}"), hint, name)
            }
            Some((Unknown::TableFunction, name)) => {
                let hint = "a query reads only the sources that were opened, as the table flows".to_owned();
                wrong(FaultKind::Function, format!("there is no table function {name}"), Some(hint), name)
            }
            Some((Unknown::Function, name)) => {
                let hint = meant(closest_name(name, names.functions.iter().map(String::as_str)));
                wrong(FaultKind::Function, format!("there is no function {name}"), hint, name)
            }
            None => match ungrouped(message) {
                Some(column) => {
                    let message = format!(
                        "{column} must be in GROUP BY or inside an aggregate function; GROUP BY ALL adds all such columns"
                    );
                    wrong(FaultKind::Grouping, message, None, column)
                }
                None => wrong(other, lower(message), None, ""),
            },
        },
        DataFusionError::ResourcesExhausted(message) => QueryError::TooLarge(too_large(message, memory)),
        DataFusionError::NotImplemented(message) => {
            wrong(FaultKind::Unsupported, format!("not supported: {}", lower(message)), None, "")
        }
        DataFusionError::Execution(message) | DataFusionError::Configuration(message) => {
            match message.strip_prefix("Placeholder '").and_then(|rest| rest.split_once('\'')) {
                Some((name, _)) => wrong(FaultKind::Parameter, format!("{name} has no value here"), None, name),
                None => wrong(other, lower(message), None, ""),
            }
        }
        DataFusionError::ArrowError(arrow, _) => match &**arrow {
            ArrowError::DivideByZero => wrong(FaultKind::Division, "division by zero".to_owned(), None, ""),
            ArrowError::CDataInterface(_) | ArrowError::IpcError(_) | ArrowError::IoError(..) => {
                QueryError::Engine(error)
            }
            _ => wrong(other, lower(&arrow.to_string()), None, ""),
        },
        // Functions pass on errors of libraries, such as those of a pattern.
        DataFusionError::External(inner) if inner.is::<Misread>() => {
            let text = inner.downcast_ref::<Misread>().map_or("", |misread| misread.text.as_str());
            wrong(other, inner.to_string(), None, text)
        }
        DataFusionError::External(inner) if !is_ours(&**inner) => wrong(other, lower(&inner.to_string()), None, ""),
        // Nothing was read yet, so the engine does not support the statement.
        DataFusionError::Internal(message) if stage == Stage::Planning => {
            wrong(FaultKind::Unsupported, format!("not supported: {}", lower(without_appeal(message))), None, "")
        }
        _ => QueryError::Engine(error),
    }
}

/// Name of the database, which holds all tables of user queries.
pub const CATALOG: &str = "flowgap";
/// Tables that exist only with a source.
const NEED_A_SOURCE: [&str; 7] = ["flows", "denied_flows", "blobs", "problems", "findings", "coverage", "flow_groups"];

/// Returns whether an error comes from below the scan.
fn is_ours(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<SourceError>() || error.is::<CatalogError>() || error.is::<SessionError>()
}

/// Returns an internal error without its request to report a bug to DataFusion.
fn without_appeal(message: &str) -> &str {
    message.split(".\nThis issue was likely caused by a bug").next().unwrap_or(message)
}

enum Unknown {
    Table,
    TableFunction,
    Function,
}

/// Returns the kind and the name of the unknown item in a message. DataFusion has no typed errors for these.
fn unknown(message: &str) -> Option<(Unknown, &str)> {
    let quoted = |rest: &'static str, kind| {
        let name = message.strip_prefix(rest)?.split('\'').next()?;
        Some((kind, name))
    };
    quoted("table '", Unknown::Table)
        .or_else(|| quoted("table function '", Unknown::TableFunction))
        .or_else(|| quoted("Table function '", Unknown::TableFunction))
        .or_else(|| quoted("Invalid function '", Unknown::Function))
}

/// Returns the column that is neither grouped by nor aggregated, if the message reports one.
fn ungrouped(message: &str) -> Option<&str> {
    let (before, _) = message.split_once("\" must appear in the GROUP BY clause")?;
    before.rsplit(['"', '.']).next()
}

fn meant(near: Option<&str>) -> Option<String> {
    near.map(|near| format!("did you mean {near}?"))
}

/// Returns the message without its prefix, and with a lower-case first letter unless it begins with an acronym.
fn lower(message: &str) -> String {
    let message = message.trim().trim_start_matches("Error during planning: ");
    let mut letters = message.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(message.chars().skip(1)).collect()
        }
        _ => message.to_owned(),
    }
}

/// Names of operators for users.
const OPERATORS: [(&str, &str); 12] = [
    ("ExternalSorter", "sorting (ORDER BY)"),
    ("TopK", "sorting (ORDER BY with LIMIT)"),
    ("GroupedHashAggregate", "grouping (GROUP BY, DISTINCT)"),
    ("AggregateStream", "aggregating all rows"),
    ("HashJoin", "joining (JOIN)"),
    ("NestedLoopJoin", "joining (JOIN)"),
    ("SortMergeJoin", "joining (JOIN)"),
    ("CrossJoin", "joining (CROSS JOIN)"),
    ("Window", "window functions (OVER)"),
    ("Unnest", "unnesting lists"),
    ("RecursiveQuery", "recursion (WITH RECURSIVE)"),
    ("Repartition", "passing rows between cores"),
];

fn too_large(message: &str, memory: &str) -> String {
    let asking = message.split("failed for ").nth(1).or_else(|| message.split("allocate ").nth(1)).unwrap_or(message);
    let operator: String = asking.chars().take_while(|c| c.is_alphanumeric()).collect();
    if message.contains("disk") || message.contains("temp") && !message.contains("memory") {
        return format!("the temporary files of the query do not fit on the disk: {}", lower(message));
    }
    let what = OPERATORS.iter().find(|(name, _)| operator.contains(name)).map_or("", |(_, words)| words);
    let what = if what.is_empty() { operator } else { format!("{what}, in {operator},") };
    let option = Remedy::Memory;
    format!(
        "{what} needs more than the {memory} of {option}: read less (WHERE, a time window, fewer columns) or raise {option}"
    )
}

/// Line and column, both from 1.
type At = (usize, usize);

fn line_and_column(text: &str) -> Option<At> {
    let (line, column) = text.split_once(", Column: ")?;
    Some((line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn end_of(text: &str) -> At {
    let text = text.trim_end();
    (text.lines().count().max(1), text.lines().last().map_or(0, |line| line.chars().count()) + 1)
}

/// Returns the place to point at: the span that DataFusion gives, or the first occurrence of `word` as a whole word.
fn place(text: &str, span: Option<Span>, word: &str) -> Option<At> {
    if let Some(span) = span {
        return Some((usize::try_from(span.start.line).ok()?, usize::try_from(span.start.column).ok()?));
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let lowered = text.to_lowercase();
    let word = word.to_lowercase();
    let mut ends = lowered.match_indices(&word).filter(|_| !word.is_empty());
    let (at, _) = ends.find(|(at, _)| {
        let before = lowered[..*at].chars().next_back();
        let behind = lowered[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })?;
    let before = &lowered[..at];
    Some((before.lines().count().max(1), before.chars().rev().take_while(|c| *c != '\n').count() + 1))
}

/// Returns the line of the query with a mark below the place.
fn pointer(text: &str, at: Option<At>) -> String {
    let Some((line, column)) = at else { return String::new() };
    let Some(shown) = text.lines().nth(line.saturating_sub(1)) else { return String::new() };
    let mut pointer = String::new();
    // A long line is shown from a little before the place.
    let skipped = if shown.chars().count() > 100 { column.saturating_sub(40) } else { 0 };
    let shown: String = shown.chars().skip(skipped).take(100).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let label = if text.trim_end().lines().count() > 1 { format!("line {line}: ") } else { "  ".to_owned() };
    let indent = label.chars().count() + column.saturating_sub(1 + skipped);
    let _ = write!(pointer, "\n{label}{}\n{}^", shown.trim_end(), " ".repeat(indent));
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_below_their_places() {
        let at = |text, word| pointer(text, place(text, None, word));
        assert_eq!(at("SELECT dst_prt FROM flows", "dst_prt"), "\n  SELECT dst_prt FROM flows\n         ^");
        assert_eq!(at("SELECT 1,\n  tme FROM flows", "tme"), "\nline 2:   tme FROM flows\n          ^");
        assert_eq!(at("SELECT times FROM flows", "time"), "");
    }

    #[test]
    fn the_operator_is_named() {
        let message = "Additional allocation failed for ExternalSorter[1] with top memory consumers (across reservations) as:\n  ExternalSorter[0]";
        let words = too_large(message, "64 MB");
        assert!(words.starts_with("sorting (ORDER BY), in ExternalSorter, needs more than the 64 MB"), "{words}");
    }
}
