//! Plans one statement: a query with its notes, a setting, or a view.

use std::sync::Arc;

use datafusion::common::{DataFusionError, internal_datafusion_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;

use super::error::{QueryError, Stage};
use super::notes::notes;
use super::params::ParamValues;
use super::read_only::{self, Kind, Statement};
use super::running::{Answer, Frugal, Needs, Planned, Running};
use super::summary::{description, summary};
use super::views::NewView;
use super::{check_zone, dialect};
use crate::engine::archive::Archive;
use crate::engine::scan::opener::reads_of;

/// A planned statement.
pub enum Plan {
    /// A setting that has taken effect.
    Setting,
    Query(Box<Planned>),
    View(Box<NewView>),
}

pub async fn planned(
    context: &SessionContext,
    frugal: (SessionContext, bool),
    running: Running,
    statement: Statement,
    values: ParamValues,
) -> Result<Plan, QueryError> {
    let explain = running.explain.clone();
    let planned = Box::pin(plan(context, frugal, running, statement, values)).await;
    planned.map_err(|error| explain.error(error, Stage::Planning))
}

async fn plan(
    context: &SessionContext,
    (frugal, is_large): (SessionContext, bool),
    running: Running,
    statement: Statement,
    values: ParamValues,
) -> Result<Plan, DataFusionError> {
    let Statement { parsed, text, place, kind, written } = statement;
    let plan = context.state().statement_to_plan(parsed).await?;
    let is_setting = kind == Kind::Setting;
    read_only::options(is_setting).verify_plan(&plan)?;
    if let Kind::View { name, or_replace } = kind {
        let again = frugal.state().statement_to_plan(again(&text, place)?).await?;
        return Ok(Plan::View(Box::new(NewView { name, or_replace, text, plans: [plan, again] })));
    }
    if is_setting {
        let zone = running.display.time_zone.clone();
        context.execute_logical_plan(plan).await?;
        return check_zone(context, zone).map(|()| Plan::Setting);
    }
    let is_summary = kind == Kind::Summary;
    let frame = context.execute_logical_plan(special(plan, is_summary)?).await?;
    let frame = if values.is_empty() { frame } else { frame.with_param_values(values.clone())? };
    let task = Arc::new(frame.task_ctx());
    let (state, plan) = frame.into_parts();
    let plan = state.optimize(&plan)?;
    let (notes, reads) = match &plan {
        LogicalPlan::Explain(explain) => {
            let plan = state.create_physical_plan(&explain.plan).await?;
            (notes(&explain.plan)?, Some(reads(&plan, &running.archive)?))
        }
        plan => (notes(plan)?, None),
    };
    let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
    let (config, needs) = (state.config().clone(), Needs::of(&plan)?);
    let rows = (config.batch_size() / 8).clamp(32, 256);
    let frugal = Frugal { context: frugal, config, text, place, is_summary, values, rows, needs, is_large };
    let answer = Answer { written, notes, reads };
    Ok(Plan::Query(Box::new(Planned::new(plan, task, frugal, running, answer)?)))
}

/// Returns the plan of a statement whose rows are not those of the plan that the engine makes for it.
pub fn special(plan: LogicalPlan, is_summary: bool) -> Result<LogicalPlan, DataFusionError> {
    match plan {
        plan if is_summary => summary(plan),
        LogicalPlan::DescribeTable(table) => description(&table.schema),
        plan => Ok(plan),
    }
}

/// Parses a statement again. A copy of a deep statement would take stack.
pub fn again(text: &str, place: usize) -> Result<Parsed, DataFusionError> {
    use datafusion::sql::sqlparser::ast::Statement as Sql;
    let asked = dialect::parsed(text)?.remove(place);
    let parsed = asked.ok_or_else(|| internal_datafusion_err!("a statement that is no more"))?.parsed;
    Ok(match parsed {
        Parsed::Statement(statement) => Parsed::Statement(match *statement {
            Sql::CreateView(view) => Box::new(Sql::Query(view.query)),
            other => Box::new(other),
        }),
        other => other,
    })
}

/// Returns the line that an EXPLAIN begins with: what each scan reads, and which conditions it evaluates.
fn reads(plan: &Arc<dyn ExecutionPlan>, archive: &Archive) -> Result<String, DataFusionError> {
    let all = archive.locations().count();
    let scans = reads_of(plan)?;
    if scans.is_empty() {
        return Ok("reads no flows".to_owned());
    }
    let words = scans.iter().map(|(pushed, blobs)| {
        let pushed = if pushed.is_empty() { "every flow" } else { pushed.as_str() };
        format!("{pushed}; {blobs} of {all} blobs")
    });
    let mut words: Vec<String> = words.collect();
    words.dedup();
    Ok(format!("reads {}", words.join(" | ")))
}
