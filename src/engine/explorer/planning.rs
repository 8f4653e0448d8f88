//! Plans one statement: a query with its notes, a setting, or a view.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use datafusion::common::{DataFusionError, plan_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use super::dialect::again;
use super::error::{QueryError, Stage};
use super::macros::Macros;
use super::notes::notes;
use super::params::ParamValues;
use super::read_only::{self, Kind, Statement};
use super::running::{Answer, Frugal, Needs, Planned, Running};
use super::summary::special;
use super::views::NewView;
use crate::display::Display;
use crate::engine::archive::Archive;
use crate::engine::scan::opener::reads_of;
use crate::engine::tables::lake;

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
    mut statement: Statement,
    values: ParamValues,
    (macros, links_of_views): (Arc<Macros>, usize),
) -> Result<Plan, QueryError> {
    let explain = running.explain.clone();
    if macros.expand_in(&mut statement.parsed).map_err(QueryError::wrong)? {
        (statement.text, statement.place) = (statement.parsed.to_string().into(), 0);
        read_only::bounded(&statement.text, links_of_views)?;
    }
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

/// Returns the line that an EXPLAIN begins with: what each scan reads, and which conditions it evaluates.
fn reads(plan: &Arc<dyn ExecutionPlan>, archive: &Archive) -> Result<String, DataFusionError> {
    let all = archive.locations().count();
    let blobs = reads_of(plan)?.into_iter().map(|(pushed, blobs)| (pushed, format!("{blobs} of {all} blobs")));
    let files =
        lake::reads_of(plan)?.into_iter().map(|(pushed, files)| (pushed, format!("files of the lake: {files}")));
    let words = blobs.chain(files).map(|(pushed, what)| match pushed.is_empty() {
        true => format!("every flow; {what}"),
        false => format!("{pushed}; {what}"),
    });
    let mut words: Vec<String> = words.collect();
    if words.is_empty() {
        return Ok("reads no flows".to_owned());
    }
    words.dedup();
    Ok(format!("reads {}", words.join(" | ")))
}

/// Restores the time zone `before` and returns an error if the new zone does not exist.
fn check_zone(context: &SessionContext, before: String) -> Result<(), DataFusionError> {
    let zone = display(context).time_zone;
    if zone.parse::<Tz>().is_ok() {
        return Ok(());
    }
    context.state_ref().write().config_mut().options_mut().execution.time_zone = Some(before);
    plan_err!("there is no time zone '{zone}': write one like UTC, Europe/Berlin or +02:00")
}

/// Returns how the settings want values to be shown.
pub fn display(context: &SessionContext) -> Display {
    let state = context.state();
    let options = state.config().options();
    let format = &options.format;
    let own = |format: &Option<String>, default: Option<&str>| format.clone().filter(|f| Some(f.as_str()) != default);
    Display {
        null: Some(format.null.clone()).filter(|null| !null.is_empty()),
        date_format: format.date_format.clone(),
        time_format: format.time_format.clone(),
        timestamp_format: format
            .timestamp_tz_format
            .clone()
            .or_else(|| own(&format.timestamp_format, Some("%Y-%m-%dT%H:%M:%S%.f"))),
        time_zone: options.execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
    }
}
