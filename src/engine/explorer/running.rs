//! A planned query on its way: it is run, and where its memory does not do, run once more with less.

use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, internal_datafusion_err};
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
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use tokio::select;

use super::error::{Explain, QueryError, Stage};
use super::guard::{guarded, hungry, too_large};
use super::params::Values;
use super::read_only;
use super::resident::{Bound, Watch};
use crate::display::Display;

/// Bytes to count below which what merges and writers do not count may be more than there is.
const LITTLE: usize = 160 << 20;

/// A query that is ready to run.
pub struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    frugal: Frugal,
    running: Running,
}

/// What a query needs besides its plan.
pub(in crate::engine) struct Running {
    pub watch: Watch,
    pub explain: Explain,
    pub display: Display,
}

/// The same query, to be planned so that it needs little memory. Slower, so it is the second try.
///
/// Joins sort and go to disk in the place of hash joins, which must fit into memory. Batches are small, for whatever is
/// merged from disk holds a batch of each part. Text is in plain strings: operators count the bytes of views wrong where
/// rows share them, and keep them too long.
pub(in crate::engine) struct Frugal {
    pub context: SessionContext,
    /// As set when the query was planned.
    pub config: SessionConfig,
    /// Parsed again: a copy of a deep statement would take stack.
    pub text: Arc<str>,
    pub place: usize,
    pub values: Values,
    /// Rows of a batch.
    pub rows: usize,
    pub needs: Needs,
    /// Whether what is read would not fit into memory.
    pub is_large: bool,
}

impl Frugal {
    /// Whether the first try would give rows before it runs out of memory, so that there could be no second one.
    fn must_be_first(&self, counted: MemoryLimit) -> bool {
        let is_little = matches!(counted, MemoryLimit::Finite(counted) if counted < LITTLE);
        self.is_large && (self.needs.windows || self.needs.sorts && is_little)
    }

    async fn start(self, schema: &SchemaRef, bound: &Arc<Bound>) -> Result<SendableRecordBatchStream, DataFusionError> {
        // The engine makes no joins that sort unless there are two partitions.
        let partitions = if self.needs.joins { 2 } else { 1 };
        let mut config = self.config.with_batch_size(self.rows).with_target_partitions(partitions);
        config.options_mut().optimizer.prefer_hash_join = false;
        let mut state = self.context.state();
        *state.config_mut() = config;
        let parsed = read_only::parsed(&self.text)?.remove(self.place);
        let parsed = parsed.ok_or_else(|| internal_datafusion_err!("a statement that is no more"))?;
        let plan = state.statement_to_plan(parsed).await?;
        let plan = if self.values.is_empty() { plan } else { plan.with_param_values(self.values)? };
        let plan = guarded(yielding(state.create_physical_plan(&plan).await?)?, bound)?;
        let rows = start(plan, state.task_ctx(), self.needs)?;
        let schema = Arc::clone(schema);
        let promised = Arc::clone(&schema);
        let rows = rows.map(move |batch| Ok(as_promised(&batch?, &promised)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Text as the first plan would have given it.
fn as_promised(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

pub type Rows = BoxStream<'static, Result<RecordBatch, QueryError>>;

/// Rows as they come.
pub struct Answer {
    pub schema: SchemaRef,
    pub rows: Rows,
}

impl Planned {
    pub(in crate::engine) fn new(
        plan: Arc<dyn ExecutionPlan>,
        task: Arc<TaskContext>,
        frugal: Frugal,
        running: Running,
    ) -> Result<Self, DataFusionError> {
        Ok(Self { plan: yielding(plan)?, task, frugal, running })
    }

    /// Whether it answers how a query would run.
    pub fn is_explain(&self) -> bool {
        self.plan.is::<ExplainExec>() || self.plan.is::<AnalyzeExec>()
    }

    /// How its values are to be shown.
    pub fn display(&self) -> &Display {
        &self.running.display
    }

    /// Reads and answers; dropping the answer ends it.
    pub fn run(self) -> Result<Answer, QueryError> {
        let Self { plan, task, frugal, running: Running { watch, explain, .. } } = self;
        let operator = hungry(&plan);
        let schema = plan.schema();
        // In a task of its own: whoever waits for rows can be told to stop while the next one takes long.
        let mut ahead = RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), 2);
        let (sender, promised) = (ahead.tx(), Arc::clone(&schema));
        ahead.spawn(async move {
            let is_first = !frugal.must_be_first(task.memory_pool().memory_limit());
            let mut bound = Arc::new(watch.bound(is_first));
            let (mut rows, mut frugal) = match is_first {
                true => (start(guarded(plan, &bound)?, task, frugal.needs)?, Some(frugal)),
                false => (frugal.start(&promised, &bound).await?, None),
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
                    // The first try lets go of its memory before the second begins.
                    drop(rows);
                    watch.settled().await;
                    bound = Arc::new(watch.bound(false));
                    rows = frugal.start(&promised, &bound).await?;
                    continue;
                }
                // What was given out cannot be taken back.
                frugal = None;
                bound.set_last_try();
                let is_last = batch.is_err();
                // Nobody waits any more.
                if sender.send(batch).await.is_err() || is_last {
                    return Ok(());
                }
            }
        });
        Ok(Answer { schema, rows: ahead.build().map_err(move |error| explain.error(error, Stage::Running)).boxed() })
    }
}

fn is_too_large(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// Runs a plan, with room for what its groups do not count.
fn start(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    needs: Needs,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let pool = task.memory_pool();
    let copies = MemoryConsumer::new("GroupedHashAggregate").register(pool);
    if let (true, MemoryLimit::Finite(memory)) = (needs.groups, pool.memory_limit()) {
        copies.try_grow(memory / 3)?;
    }
    let rows = execute_stream(plan, task)?;
    let schema = rows.schema();
    let rows = rows.inspect(move |_| _ = &copies);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// What of a plan a frugal one has to do otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Needs {
    /// Joins that must fit into memory.
    joins: bool,
    /// Windows over some rows at a time, which keep the buffers of all views that they have seen.
    windows: bool,
    /// Sorts of rows that were read.
    sorts: bool,
    /// Groups, which are in memory three times while they are sorted on their way to disk, and counted once.
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

/// Has joins make way for others between batches. They look at far more rows than they read, and a scan, which does
/// make way, may long have ended.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let wrap = |node: Arc<dyn ExecutionPlan>| match node.name().ends_with("JoinExec") {
        true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(node)),
    };
    Ok(plan.transform_up(wrap)?.data)
}
