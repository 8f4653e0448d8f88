//! Statements of clients over the engine: parsed, planned and run. The only part of the server that knows DataFusion.

mod catalog;
mod error;
mod params;
mod rows;
mod statement;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::logical_expr::LogicalPlan;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;

pub use catalog::add as add_catalog;
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
    let plan = first(query, rewriter, async |candidate: &Candidate| {
        let statement = explorer.statement(&candidate.text, candidate.place)?;
        explorer.logical_plan(&statement).await
    });
    let plan: LogicalPlan = plan.await?;
    let params = params::parameters(&plan, types)?;
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
    let planned = first(query, rewriter, async |candidate: &Candidate| {
        let statement = explorer.statement(&candidate.text, candidate.place)?;
        explorer.plan(statement, values.clone()).await
    });
    let planned: Option<Planned> = planned.await?;
    let planned = planned.ok_or_else(|| Fault::new(code::READ_ONLY, "settings are changed with SET"))?;
    let answer = planned.run().map_err(|error| fault(&error, None))?;
    let columns = match announced {
        Some(columns) => columns,
        None => columns(&answer.schema, &[])?,
    };
    Ok(Answer::new(columns, query.tag, answer.rows, zone))
}

/// Returns the result for the first text of a query that works, or else the error of the first one.
async fn first<T>(
    query: &Query,
    rewriter: &Rewriter,
    attempt: impl AsyncFn(&Candidate) -> Result<T, QueryError>,
) -> Result<T, Fault> {
    let mut error = None;
    for candidate in query.candidates(rewriter) {
        match attempt(&candidate).await {
            Ok(done) => return Ok(done),
            // Other text does not help a query that is refused or too large.
            Err(wrong @ QueryError::Wrong(_)) => {
                error.get_or_insert((wrong, candidate.is_sent));
            }
            Err(other) => return Err(fault(&other, None)),
        }
    }
    let (error, is_sent) = error.ok_or_else(|| Fault::new(code::SYNTAX, "this is not valid SQL"))?;
    Err(fault(&error, is_sent.then(|| query.sent())))
}
