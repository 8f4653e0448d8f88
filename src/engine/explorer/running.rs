//! Execution of a planned query. If it runs out of memory before its first rows, it runs again with a frugal plan.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::windows::BoundedWindowAggExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::select;

use super::dialect::{again, headers};
use super::error::{Explain, QueryError, Stage};
use super::guard::{guarded, hungry, too_large};
use super::params::ParamValues;
use super::resident::{Bound, Watch};
use super::summary::special;
use crate::display::Display;
use crate::engine::archive::Archive;
use crate::engine::fragment::Functions;
use crate::engine::scope::Scope;

/// Pool size in bytes below which the uncounted memory of merges and writers may exceed the available memory.
const LITTLE: usize = 160 << 20;

/// A query that is ready to run.
pub struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    frugal: Frugal,
    running: Running,
    answer: Answer,
}

/// Parts of an answer besides its rows.
pub(in crate::engine) struct Answer {
    /// Expression of each column as written; empty if they are not known.
    pub written: Vec<Option<String>>,
    /// Sentences about conditions that no flow meets.
    pub notes: Vec<String>,
    /// First line of an EXPLAIN.
    pub reads: Option<String>,
}

/// Context of a query besides its plan.
pub(in crate::engine) struct Running {
    /// Counts what the query reads.
    pub archive: Arc<Archive>,
    /// Scope of the functions.
    pub scope: Arc<Scope>,
    pub watch: Watch,
    /// Divisor of the pool for the part that grouping reserves in advance.
    pub reserves: usize,
    pub explain: Explain,
    pub display: Display,
}

/// The same query, to be planned for little memory. It is slower, so it is the second try.
///
/// Sort-merge joins, which can spill, replace hash joins, which must fit into memory. Batches are small, because a
/// merge of spilled parts holds one batch per part. Text is in plain strings: operators miscount the bytes of views
/// that rows share, and keep views too long.
pub(in crate::engine) struct Frugal {
    pub context: SessionContext,
    /// Settings at the time when the query was planned.
    pub config: SessionConfig,
    /// Text that contains the statement. It is parsed again, because a copy of a deep statement would take stack.
    pub text: Arc<str>,
    pub place: usize,
    pub is_summary: bool,
    pub values: ParamValues,
    /// Rows per batch.
    pub rows: usize,
    pub needs: Needs,
    /// Whether the input, once decoded, might not fit into memory.
    pub is_large: bool,
}

impl Frugal {
    /// Returns whether the frugal plan must run first. The other plan would send rows before it runs out of memory, and
    /// then there could be no second try.
    fn must_be_first(&self, counted: MemoryLimit) -> bool {
        let is_little = matches!(counted, MemoryLimit::Finite(counted) if counted < LITTLE);
        self.is_large && (self.needs.windows || self.needs.sorts && is_little)
    }

    async fn start(
        self,
        schema: &SchemaRef,
        bound: &Arc<Bound>,
        reserves: usize,
        (archive, scope): (&Archive, &Arc<Scope>),
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        // DataFusion plans sort-merge joins only for two or more partitions.
        let partitions = if self.needs.joins { 2 } else { 1 };
        let mut config = self.config.with_batch_size(self.rows).with_target_partitions(partitions);
        config.options_mut().optimizer.prefer_hash_join = false;
        let mut state = self.context.state();
        *state.config_mut() = config;
        let plan = special(state.statement_to_plan(again(&self.text, self.place)?).await?, self.is_summary)?;
        let plan = if self.values.is_empty() { plan } else { plan.with_param_values(self.values)? };
        let plan = archive.spread(state.create_physical_plan(&plan).await?, scope, Functions::User)?;
        let plan = guarded(yielding(plan)?, bound)?;
        let rows = start(plan, state.task_ctx(), (self.needs, reserves), archive)?;
        let schema = Arc::clone(schema);
        let promised = Arc::clone(&schema);
        let rows = rows.map(move |batch| Ok(as_promised(&batch?, &promised)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Casts text to the types of the first plan.
fn as_promised(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

/// Stream of batches of rows. It ends after an error.
pub type Rows = BoxStream<'static, Result<RecordBatch, QueryError>>;

/// The answer of a running query.
pub struct RowStream {
    /// Schema of the rows.
    pub schema: SchemaRef,
    /// Rows, in batches, as they are computed.
    pub rows: Rows,
}

impl Planned {
    pub(in crate::engine) fn new(
        plan: Arc<dyn ExecutionPlan>,
        task: Arc<TaskContext>,
        frugal: Frugal,
        running: Running,
        answer: Answer,
    ) -> Result<Self, DataFusionError> {
        Ok(Self { plan: yielding(plan)?, task, frugal, running, answer })
    }

    /// Returns a sentence for each condition that no flow meets.
    pub fn notes(&self) -> &[String] {
        &self.answer.notes
    }

    /// Returns whether the statement is an EXPLAIN.
    pub fn is_explain(&self) -> bool {
        self.plan.is::<ExplainExec>() || self.plan.is::<AnalyzeExec>()
    }

    /// Returns the display settings at the time when the query was planned.
    pub fn display(&self) -> &Display {
        &self.running.display
    }

    /// Runs the query. Dropping the answer stops it.
    pub fn run(self) -> Result<RowStream, QueryError> {
        let Self { plan, task, frugal, running: Running { archive, scope, watch, reserves, explain, .. }, answer } =
            self;
        let operator = hungry(&plan);
        let schema = plan.schema();
        // Spawned, so that a caller that waits for rows can be stopped while the next row takes long.
        let mut ahead = RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), 2);
        let (sender, promised) = (ahead.tx(), Arc::clone(&schema));
        ahead.spawn(async move {
            let is_first = !frugal.must_be_first(task.memory_pool().memory_limit());
            let mut bound = Arc::new(watch.bound(is_first));
            let (mut rows, mut frugal) = match is_first {
                true => {
                    let plan = guarded(archive.spread(plan, &scope, Functions::User)?, &bound)?;
                    (start(plan, task, (frugal.needs, reserves), &archive)?, Some(frugal))
                }
                false => (frugal.start(&promised, &bound, reserves, (&archive, &scope)).await?, None),
            };
            loop {
                let batch = select! {
                    biased;
                    () = bound.exceeded() => Err(too_large(&operator)),
                    next = rows.next() => match next {
                        Some(batch) => batch,
                        None => return Ok(()),
                    },
                };
                if batch.as_ref().is_err_and(is_too_large)
                    && let Some(frugal) = frugal.take()
                {
                    // The first try frees its memory before the second begins.
                    drop(rows);
                    watch.settled().await;
                    bound = Arc::new(watch.bound(false));
                    rows = frugal.start(&promised, &bound, reserves, (&archive, &scope)).await?;
                    continue;
                }
                // Rows that were sent cannot be taken back.
                frugal = None;
                bound.set_last_try();
                let is_last = batch.is_err();
                // The receiver was dropped, or the query failed.
                if sender.send(batch).await.is_err() || is_last {
                    return Ok(());
                }
            }
        });
        let rows = ahead.build().map_err(move |error| explain.error(error, Stage::Running)).boxed();
        let (schema, rows) = renamed(schema, rows, &answer.written);
        let first = answer.reads.map(|reads| first_line(&schema, reads));
        Ok(RowStream { schema, rows: stream::iter(first.map(Ok)).chain(rows).boxed() })
    }
}

/// Names the columns of an answer as they were written.
fn renamed(schema: SchemaRef, rows: Rows, written: &[Option<String>]) -> (SchemaRef, Rows) {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let shown = headers(&names, written);
    if shown == names {
        return (schema, rows);
    }
    let fields = schema.fields().iter().zip(shown).map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let shown = Arc::clone(&schema);
    let rename = move |batch: RecordBatch| {
        let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&shown), batch.columns().to_vec(), &count);
        batch.map_err(|error| QueryError::Engine(error.into()))
    };
    (schema, rows.map(move |batch| batch.and_then(&rename)).boxed())
}

/// Returns the first row of an EXPLAIN, whose columns are the kind and the text of a plan.
fn first_line(schema: &SchemaRef, line: String) -> RecordBatch {
    let text = |text: String| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let row = RecordBatch::try_new(Arc::clone(schema), vec![text(String::new()), text(line)]);
    row.unwrap_or_else(|_| RecordBatch::new_empty(Arc::clone(schema)))
}

fn is_too_large(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// Starts a plan. Reserves a part of the pool, a third if queries run one at a time, for memory that grouping does not
/// count.
fn start(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    (needs, reserves): (Needs, usize),
    archive: &Archive,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let pool = task.memory_pool();
    let copies = MemoryConsumer::new("GroupedHashAggregate").register(pool);
    if let (true, MemoryLimit::Finite(memory)) = (needs.groups, pool.memory_limit()) {
        copies.try_grow(memory / reserves)?;
    }
    archive.follow(&plan)?;
    let rows = execute_stream(plan, task)?;
    let schema = rows.schema();
    let rows = rows.inspect(move |_| _ = &copies);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Properties of a plan that a frugal plan must handle differently.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Needs {
    /// Whether it has hash joins, which must fit into memory.
    joins: bool,
    /// Whether it has streaming windows, which keep the buffers of all views that they have seen.
    windows: bool,
    /// Whether it sorts rows that were read, without a limit.
    sorts: bool,
    /// Whether it groups. While groups are sorted for a spill, they are in memory three times and counted once.
    groups: bool,
}

impl Needs {
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Self, DataFusionError> {
        let mut needs = Self::default();
        plan.apply(|node| {
            needs.joins |= node.is::<HashJoinExec>();
            needs.windows |= node.is::<BoundedWindowAggExec>();
            needs.sorts |=
                node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_none()) && !has_groups(node)?;
            let groups = node.downcast_ref::<AggregateExec>().map(|node| !node.group_expr().is_empty());
            needs.groups |= groups.unwrap_or(false);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(needs)
    }
}

fn has_groups(plan: &Arc<dyn ExecutionPlan>) -> Result<bool, DataFusionError> {
    plan.exists(|node| Ok(node.is::<AggregateExec>()))
}

/// Makes joins yield to other tasks between batches. They visit far more rows than they read. A scan below them, which
/// does yield, may have ended long before.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let wrap = |node: Arc<dyn ExecutionPlan>| match node.name().ends_with("JoinExec") {
        true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(node)),
    };
    Ok(plan.transform_up(wrap)?.data)
}
