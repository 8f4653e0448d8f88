//! The tables of the contract for people's own queries, read only: one session, with a bound on its memory.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, plan_err};
use datafusion::execution::context::SessionState;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::archive::Archive;
use super::bounded::{self, BoundFunctions};
use super::exact::ExactComparisons;
use super::late_tables::{self, LateRows};
use super::query_error::{Names, QueryError, Stage, explained};
use super::read_only::{self, Statement};
use super::scope::Scope;
use super::session::SessionError;
use super::values::Values;
use super::{catalog_tables, tag_functions};
use crate::display::Display;
use crate::queries;

pub struct Explorer {
    context: SessionContext,
    archive: Arc<Archive>,
    scope: Arc<Scope>,
    pool: Arc<dyn MemoryPool>,
    /// What queries may take, in bytes.
    memory: usize,
    names: Names,
    /// Where sorts, joins and groups go that are larger. Goes away with all in it.
    spill: TempDir,
}

/// A query that is ready to run.
pub struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    /// The same with as little memory as there can be, for where the plan does not fit.
    frugal: Option<Frugal>,
    task: Arc<TaskContext>,
    explain: Explain,
    display: Display,
}

/// A query to be planned so that it needs little memory: with joins that sort and go to disk in the place of hash joins,
/// which must fit into memory, small batches, and one of each operator. Slower, so it is the second try.
struct Frugal {
    state: Box<SessionState>,
    plan: LogicalPlan,
}

impl Frugal {
    async fn start(mut self) -> Result<SendableRecordBatchStream, DataFusionError> {
        // Whatever is merged from disk holds a batch of each part.
        let config = self.state.config().clone().with_batch_size(FEW_ROWS).with_target_partitions(1);
        *self.state.config_mut() = config;
        self.state.config_mut().options_mut().optimizer.prefer_hash_join = false;
        let plan = yielding(self.state.create_physical_plan(&self.plan).await?)?;
        execute_stream(plan, self.state.task_ctx())
    }
}

/// Rows of a batch where memory is short.
const FEW_ROWS: usize = 256;

pub type Rows = BoxStream<'static, Result<RecordBatch, QueryError>>;

/// Rows as they come.
pub struct Answer {
    pub schema: SchemaRef,
    pub rows: Rows,
}

/// Makes words of the engine's errors.
#[derive(Clone)]
struct Explain {
    text: Arc<str>,
    names: Arc<Names>,
    memory: String,
}

impl Explain {
    fn error(&self, error: DataFusionError, stage: Stage) -> QueryError {
        explained(error, stage, &self.text, &self.names, &self.memory)
    }
}

impl Explorer {
    /// Queries may take `memory` bytes; beyond that they go to disk, or end.
    pub async fn open(archive: Arc<Archive>, scope: Arc<Scope>, memory: usize) -> Result<Self, SessionError> {
        scope.check()?;
        let spill = TempDir::with_prefix("flowgap-").map_err(DataFusionError::from)?;
        let named = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(FairSpillPool::new(memory), named));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool))
            .with_temp_file_path(spill.path())
            .with_object_list_cache_limit(0)
            .with_object_store_registry(Arc::clone(&archive.registry) as Arc<dyn ObjectStoreRegistry>)
            .build_arc()?;
        // Room that a sort keeps for its last step, which each core takes from what there is.
        let reserved = (10 << 20).min(memory / (8 * archive.partitions));
        // Rows of all columns take about 1 KB, and operators hold several batches.
        let batch_size = (memory >> 17).clamp(FEW_ROWS, 8192);
        let config = SessionConfig::new()
            .with_target_partitions(archive.partitions)
            .with_batch_size(batch_size)
            .with_information_schema(true)
            .with_sort_spill_reservation_bytes(reserved)
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_str("datafusion.execution.spill_compression", "lz4_frame")
            .set_bool("datafusion.sql_parser.collect_spans", true);
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.add_analyzer_rule(Arc::new(ExactComparisons));
        context.add_analyzer_rule(Arc::new(BoundFunctions));
        tag_functions::all(&scope).into_iter().for_each(|function| context.register_udf(function));
        let mut explorer = Self { context, archive, scope, pool, memory, names: Names::default(), spill };
        explorer.put("flows", Arc::new(explorer.archive.flows()))?;
        let denied = explorer.context.sql(queries::DENIED_FLOWS.sql).await?.into_view();
        explorer.put("denied_flows", denied)?;
        for (name, table) in catalog_tables::shown(&explorer.scope)? {
            explorer.put(name, table)?;
        }
        explorer.put("blobs", late_tables::blobs(&explorer.archive)?)?;
        explorer.put("problems", late_tables::problems(&explorer.archive, &explorer.scope)?)?;
        let state = explorer.context.state();
        let functions = [
            state.scalar_functions().keys().cloned().collect::<Vec<_>>(),
            state.aggregate_functions().keys().cloned().collect(),
            state.window_functions().keys().cloned().collect(),
        ];
        explorer.names.functions = functions.concat();
        explorer.names.functions.sort_unstable();
        explorer.names.functions.dedup();
        Ok(explorer)
    }

    /// A table that is made when it is first read.
    pub fn provide(
        &mut self,
        name: &str,
        schema: SchemaRef,
        rows: impl Fn() -> LateRows + Send + Sync + 'static,
    ) -> Result<(), SessionError> {
        self.put(name, late_tables::late(schema, rows)?)
    }

    fn put(&mut self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SessionError> {
        let columns = table.schema().fields().iter().map(|field| field.name().clone()).collect();
        self.names.tables.push((name.to_owned(), columns));
        self.context.register_table(name, table)?;
        Ok(())
    }

    /// The statements of `text`, each allowed to run.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>, QueryError> {
        read_only::bounded(text)?;
        let parsed = DFParserBuilder::new(text)
            .with_dialect(&GenericDialect {})
            .build()
            .and_then(|mut parser| parser.parse_statements())
            .map_err(|error| self.explain(text).error(error, Stage::Planning))?;
        let text: Arc<str> = text.into();
        parsed.into_iter().map(|parsed| read_only::allowed(parsed, &text)).collect()
    }

    /// Makes a statement ready to run, without reading anything. `None` for a setting, which holds from then on.
    ///
    /// The optimizer folds constants, and a function of constants may take minutes. So planning has a thread of its own,
    /// which goes on without effect when the caller stops waiting.
    pub async fn plan(&self, statement: Statement, values: Values) -> Result<Option<Planned>, QueryError> {
        let explain = self.explain(&statement.text);
        let planning = {
            let (context, explain, runtime) = (self.context.clone(), explain.clone(), Handle::current());
            move || bounded::planning(|| runtime.block_on(planned(&context, explain, statement, values)))
        };
        let fault = |error| explain.error(DataFusionError::ExecutionJoin(Box::new(error)), Stage::Planning);
        spawn_blocking(planning).await.map_err(fault)?
    }

    /// As [`Self::parse`] and [`Self::plan`], all statements of all texts: a wrong one is told before any runs.
    pub async fn plan_all(&self, texts: &[impl AsRef<str>], values: &Values) -> Result<Vec<Planned>, QueryError> {
        let mut statements = Vec::new();
        for text in texts {
            statements.extend(self.parse(text.as_ref())?);
        }
        let mut planned = Vec::new();
        for statement in statements {
            planned.extend(self.plan(statement, values.clone()).await?);
        }
        Ok(planned)
    }

    fn explain(&self, text: &str) -> Explain {
        Explain { text: text.into(), names: Arc::new(self.names.clone()), memory: in_words(self.memory) }
    }

    /// What queries may name.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Columns of a table with their types, and whether they may be null.
    pub async fn columns(&self, table: &str) -> Option<SchemaRef> {
        Some(self.context.table_provider(table).await.ok()?.schema())
    }

    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Where what does not fit into memory goes for a while.
    pub fn spill_folder(&self) -> &Path {
        self.spill.path()
    }

    /// Bytes that running queries hold.
    pub fn reserved(&self) -> usize {
        self.pool.reserved()
    }
}

async fn planned(
    context: &SessionContext,
    explain: Explain,
    statement: Statement,
    values: Values,
) -> Result<Option<Planned>, QueryError> {
    let planned = async {
        let plan = context.state().statement_to_plan(statement.parsed).await?;
        read_only::options(statement.is_setting).verify_plan(&plan)?;
        let zone = display(context).time_zone;
        let frame = context.execute_logical_plan(plan).await?;
        if statement.is_setting {
            return check_zone(context, zone).map(|()| None);
        }
        let frame = if values.is_empty() { frame } else { frame.with_param_values(values)? };
        let task = Arc::new(frame.task_ctx());
        let (state, plan) = frame.into_parts();
        let physical = state.create_physical_plan(&plan).await?;
        let frugal = goes_to_disk(&physical)?.then(|| Frugal { state: Box::new(state), plan });
        Ok(Some((yielding(physical)?, frugal, task)))
    };
    let planned = Box::pin(planned).await.map_err(|error| explain.error(error, Stage::Planning))?;
    let display = display(context);
    Ok(planned.map(|(plan, frugal, task)| Planned { plan, frugal, task, explain, display }))
}

/// Takes a zone back that does not exist.
fn check_zone(context: &SessionContext, before: String) -> Result<(), DataFusionError> {
    let zone = display(context).time_zone;
    if zone.parse::<Tz>().is_ok() {
        return Ok(());
    }
    context.state_ref().write().config_mut().options_mut().execution.time_zone = Some(before);
    plan_err!("there is no time zone '{zone}': write one like UTC, Europe/Berlin or +02:00")
}

fn display(context: &SessionContext) -> Display {
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

impl Planned {
    /// Whether it answers how a query would run.
    pub fn is_explain(&self) -> bool {
        self.plan.is::<ExplainExec>() || self.plan.is::<AnalyzeExec>()
    }

    /// How its values are to be shown.
    pub fn display(&self) -> &Display {
        &self.display
    }

    /// Reads and answers; dropping the answer ends it.
    pub fn run(self) -> Result<Answer, QueryError> {
        let Self { plan, mut frugal, task, explain, .. } = self;
        let mut rows = execute_stream(plan, task).map_err(|error| explain.error(error, Stage::Running))?;
        let schema = rows.schema();
        // In a task of its own: whoever waits for rows can be told to stop while the next one takes long.
        let mut ahead = RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), 2);
        let sender = ahead.tx();
        ahead.spawn(async move {
            while let Some(batch) = rows.next().await {
                if batch.as_ref().is_err_and(is_too_large)
                    && let Some(frugal) = frugal.take()
                {
                    // The first try lets go of its memory before the second begins.
                    drop(rows);
                    rows = frugal.start().await?;
                    continue;
                }
                // What was given out cannot be taken back.
                frugal = None;
                // Nobody waits any more.
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(Answer { schema, rows: ahead.build().map_err(move |error| explain.error(error, Stage::Running)).boxed() })
    }
}

/// Whether an operator can go to disk, or has one in its place that can.
fn goes_to_disk(plan: &Arc<dyn ExecutionPlan>) -> Result<bool, DataFusionError> {
    plan.exists(|node| Ok(node.is::<HashJoinExec>() || node.is::<SortExec>() || node.is::<AggregateExec>()))
}

fn is_too_large(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// Has joins make way for others between batches. They look at far more rows than they read, and a scan, which does
/// make way, may long have ended.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let wrap = |node: Arc<dyn ExecutionPlan>| match node.name().ends_with("JoinExec") {
        true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(node)),
    };
    Ok(plan.transform_up(wrap)?.data)
}

/// Bytes, for people.
fn in_words(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
