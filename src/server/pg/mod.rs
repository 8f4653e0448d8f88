//! Statements of clients over the engine: parsed, planned and run. The only part of the server that knows DataFusion.

mod answers;
mod catalog;
mod error;
mod params;
mod procedures;
mod rows;
mod simpler;
mod statement;
mod system;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::logical_expr::LogicalPlan;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::api::Type;
use tracing::debug;

pub use catalog::{add as add_catalog, add_settings};
pub use params::Param;
pub use rows::{Answer, Columns, columns, described};
pub use statement::{Command, Query, commands};

use super::error::{Fault, code};
use crate::engine::{Explorer, ParamValues, Planned, QueryError};
use error::fault;
use statement::Candidate;

/// Rewrites queries that clients write for PostgreSQL.
pub type Rewriter = PostgresCompatibilityParser;

/// A statement that was prepared: its parameters, and its columns if it has an answer.
pub struct Prepared {
    /// What it does.
    pub command: Command,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// Columns of its answer.
    pub schema: Option<SchemaRef>,
}

/// Prepares the one statement of a text; `None` if there is none. `types` are those of parameters; 0 is open.
pub async fn prepare(
    explorer: &Explorer,
    rewriter: &Rewriter,
    text: &str,
    types: &[u32],
) -> Result<Option<Prepared>, Fault> {
    let mut commands = commands(explorer, rewriter, text)?;
    let Some(command) = commands.pop() else { return Ok(None) };
    if !commands.is_empty() {
        return Err(Fault::new(code::SYNTAX, "cannot insert multiple commands into a prepared statement"));
    }
    let Command::Query(query) = &command else {
        return Ok(Some(Prepared { command, params: Vec::new(), schema: None }));
    };
    let mut attempts = Attempts::new(query, rewriter);
    let plan: LogicalPlan = loop {
        let candidate = attempts.next(query)?;
        let planned = match explorer.statement(&candidate.text, candidate.place) {
            Ok(statement) => explorer.logical_plan(&statement).await,
            Err(error) => Err(error),
        };
        match planned {
            Ok(plan) => break plan,
            Err(error) => attempts.failed(error, &candidate)?,
        }
    };
    let mut params = params::parameters(&plan, types)?;
    if let (true, Some(first)) = (query.asks_types(), params.first_mut()) {
        first.sent = Type::OID_ARRAY;
    }
    let schema = Some(plan.schema().inner().clone());
    Ok(Some(Prepared { command, params, schema }))
}

/// Returns the values of a statement's parameters.
pub fn bound(prepared: &Prepared, formats: &[i16], values: &[Option<Bytes>]) -> Result<ParamValues, Fault> {
    params::values(&prepared.params, formats, values)
}

/// Runs a query. Without `columns` those of its plan are taken, all as text.
pub async fn run(
    explorer: &Explorer,
    rewriter: &Rewriter,
    query: &Query,
    values: ParamValues,
    announced: Option<Columns>,
    zone: &str,
) -> Result<Answer, Fault> {
    let mut attempts = Attempts::new(query, rewriter);
    let planned: Option<Planned> = loop {
        let candidate = attempts.next(query)?;
        let planned = match explorer.statement(&candidate.text, candidate.place) {
            Ok(statement) => explorer.plan(statement, values.clone()).await,
            Err(error) => Err(error),
        };
        match planned {
            Ok(planned) => break planned,
            Err(error) => attempts.failed(error, &candidate)?,
        }
    };
    let planned = planned.ok_or_else(|| Fault::new(code::READ_ONLY, "settings are changed with SET"))?;
    let answer = planned.run().map_err(|error| fault(&error, None))?;
    let columns = match announced {
        Some(columns) => columns,
        None => columns(&answer.schema, &[])?,
    };
    Ok(Answer::new(columns, query.tag, answer.rows, zone))
}

/// Texts of a query that are tried in order.
struct Attempts {
    candidates: std::vec::IntoIter<Candidate>,
    /// Error of the first text, and whether the client sent that.
    error: Option<(QueryError, bool)>,
}

impl Attempts {
    fn new(query: &Query, rewriter: &Rewriter) -> Self {
        Self { candidates: query.candidates(rewriter).into_iter(), error: None }
    }

    /// Returns the next text, or else the error of the first one.
    fn next(&mut self, query: &Query) -> Result<Candidate, Fault> {
        self.candidates.next().ok_or_else(|| match self.error.take() {
            Some((error, is_sent)) => fault(&error, is_sent.then(|| query.sent())),
            None => Fault::new(code::SYNTAX, "this is not valid SQL"),
        })
    }

    /// Records that a text failed. Another one does not help a query that is refused or too large.
    fn failed(&mut self, error: QueryError, candidate: &Candidate) -> Result<(), Fault> {
        match error {
            QueryError::Wrong(_) => {
                debug!(text = &*candidate.text, "a text of a query does not work: {error}");
                self.error.get_or_insert((error, candidate.is_sent));
                Ok(())
            }
            error => Err(fault(&error, None)),
        }
    }
}
