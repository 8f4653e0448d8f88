//! Guards: operators that watch the rows on their way into operators that multiply rows, or hold memory that they do
//! not count.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, exec_err, resources_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{InListExpr, Literal};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::bounded::weight;
use super::resident::Bound;

/// Maximum bytes that an operator may make of one batch, if the memory limit allows that much.
const MOST_OF_A_BATCH: usize = 32 << 20;
/// Bytes of constants above which a guard cuts batches.
const LARGE: usize = 1 << 10;

/// Adds guards below the operators that need one. Also adds one above every leaf, where rows pass before any operator
/// copies them.
pub fn guarded(plan: Arc<dyn ExecutionPlan>, bound: &Arc<Bound>) -> Result<Arc<dyn ExecutionPlan>> {
    let operator: Arc<str> = hungry(&plan).into();
    let guard = |node: Arc<dyn ExecutionPlan>| {
        if node.children().is_empty() {
            let duty = Duty::Look(Arc::clone(bound), Arc::clone(&operator));
            return Ok(Transformed::yes(Arc::new(Guard { input: node, duty }) as Arc<dyn ExecutionPlan>));
        }
        let duty = if node.is::<WindowAggExec>() {
            Some(Duty::Count)
        } else if node.is::<SortPreservingMergeExec>() {
            Some(Duty::Own)
        } else if let Some(unnest) = node.downcast_ref::<UnnestExec>() {
            Some(Duty::Unnest(unnest.list_column_indices().iter().map(|list| list.index_in_input_schema).collect()))
        } else {
            let constants = constants(&node)?;
            (constants > LARGE).then_some(Duty::Cut(constants))
        };
        match (duty, node.children().as_slice()) {
            (Some(duty), [input]) => {
                let input = Arc::new(Guard { input: Arc::clone(input), duty });
                Ok(Transformed::yes(replace_children_if_necessary(node, vec![input])?))
            }
            _ => Ok(Transformed::no(node)),
        }
    };
    Ok(plan.transform_up(guard)?.data)
}

/// Returns the bytes of the constants in a node's expressions. Evaluation repeats them once per row.
fn constants(node: &Arc<dyn ExecutionPlan>) -> Result<usize> {
    let mut bytes = 0;
    node.apply_expressions(&mut |expr| {
        bytes += constants_of(expr)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(bytes)
}

fn constants_of(expr: &Arc<dyn PhysicalExpr>) -> Result<usize> {
    let mut bytes = 0;
    expr.apply(|expr: &Arc<dyn PhysicalExpr>| {
        // The constants of an IN list are not repeated per row.
        if expr.is::<InListExpr>() {
            return Ok(TreeNodeRecursion::Jump);
        }
        bytes += expr.downcast_ref::<Literal>().map_or(0, |literal| literal.value().size());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(bytes)
}

/// Returns whether constants are too large to be repeated for each row of a whole batch.
pub fn has_large_constants<'a>(expressions: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Result<bool> {
    let mut bytes = 0;
    for expr in expressions {
        bytes += constants_of(expr)?;
    }
    Ok(bytes > LARGE)
}

/// Returns the error of a process that holds too much memory. It names `operator` as the cause.
pub fn too_large(operator: &str) -> DataFusionError {
    resources_datafusion_err!("Memory of the process failed for {operator}")
}

/// Returns the operator that most likely holds the largest part of the uncounted memory.
pub fn hungry(plan: &Arc<dyn ExecutionPlan>) -> String {
    const LIKELY: [&str; 6] = ["Window", "Unnest", "Join", "RecursiveQuery", "Aggregate", "Sort"];
    let mut found = None;
    for likely in LIKELY {
        let look = |node: &Arc<dyn ExecutionPlan>| {
            if found.is_none() && node.name().contains(likely) {
                found = Some(node.name().to_owned());
            }
            Ok(TreeNodeRecursion::Continue)
        };
        plan.apply(look).map(|_| ()).unwrap_or_default();
    }
    found.unwrap_or_else(|| plan.name().to_owned())
}

/// Task of a guard.
#[derive(Debug, Clone)]
enum Duty {
    /// Counts the rows that pass as held memory, for an operator that keeps all rows.
    Count,
    /// Cuts batches so that the lists in these columns unnest to a bounded size. A row that makes more than twice the
    /// limit is an error.
    Unnest(Vec<usize>),
    /// Ends the query when the process holds too much, with an error that names an operator.
    Look(Arc<Bound>, Arc<str>),
    /// Cuts batches so that constants of this many bytes fit once per row.
    Cut(usize),
    /// Copies text, so that a batch no longer refers to the buffers of all batches that its rows came from. A merge
    /// counts each buffer once per batch, and would run out of memory after its first rows.
    Own,
}

#[derive(Debug, Clone)]
struct Guard {
    input: Arc<dyn ExecutionPlan>,
    duty: Duty,
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("GuardExec")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &str {
        "GuardExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { input: children.swap_remove(0), duty: self.duty.clone() }))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let held = MemoryConsumer::new(format!("WindowAggExec[{partition}]")).register(task.memory_pool());
        let most = match task.memory_pool().memory_limit() {
            MemoryLimit::Finite(memory) => MOST_OF_A_BATCH.min(memory / 2),
            _ => MOST_OF_A_BATCH,
        };
        let rows = self.input.execute(partition, task)?;
        let (duty, schema) = (self.duty.clone(), rows.schema());
        let guarded = rows.map(move |batch| {
            let batch = batch?;
            let parts = duty.done(batch, most, &held)?;
            Ok::<_, DataFusionError>(stream::iter(parts).map(Ok))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, guarded.try_flatten())))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

impl Duty {
    fn done(&self, batch: RecordBatch, most: usize, held: &MemoryReservation) -> Result<Vec<RecordBatch>> {
        match self {
            Self::Count => {
                held.try_grow(batch.get_array_memory_size())?;
                Ok(vec![batch])
            }
            Self::Look(bound, operator) if bound.is_exceeded() => Err(too_large(operator)),
            Self::Look(..) => Ok(vec![batch]),
            Self::Own => {
                let columns = batch.columns().iter().map(owned).collect();
                Ok(vec![RecordBatch::try_new(batch.schema(), columns)?])
            }
            Self::Unnest(lists) => unnested(&batch, lists, most as u64),
            Self::Cut(constants) => {
                let rows = (most / constants).max(1);
                let starts = (0..batch.num_rows()).step_by(rows);
                Ok(starts.map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect())
            }
        }
    }
}

/// Returns the same values without the unused rest of their buffers.
fn owned(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

/// Cuts a batch into parts whose lists unnest to at most `most` bytes. Each element of a list repeats the other columns
/// of its row.
fn unnested(batch: &RecordBatch, lists: &[usize], most: u64) -> Result<Vec<RecordBatch>> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0_u64);
    for row in 0..batch.num_rows() {
        let length = lists.iter().map(|&list| elements(batch.column(list), row)).max().unwrap_or(0);
        let others = (0..batch.num_columns()).filter(|column| !lists.contains(column));
        let others: u64 = others.map(|column| copied(batch.column(column), row)).sum();
        let whole: u64 = lists.iter().map(|&list| weight(batch.column(list), row)).sum();
        let made = length.saturating_mul(others).saturating_add(whole);
        if made > 2 * most {
            let most = 2 * most;
            return exec_err!("unnest makes {made} bytes from one row, and the limit is {most}");
        }
        if bytes + made > most && row > start {
            parts.push(batch.slice(start, row - start));
            (start, bytes) = (row, 0);
        }
        bytes += made;
    }
    parts.push(batch.slice(start, batch.num_rows() - start));
    Ok(parts)
}

/// Returns the number of rows that a value of a list column unnests to.
fn elements(list: &dyn Array, row: usize) -> u64 {
    if list.is_null(row) {
        return 1;
    }
    let length = match list.data_type() {
        DataType::List(_) => list.as_list::<i32>().value_length(row) as u64,
        DataType::LargeList(_) => list.as_list::<i64>().value_length(row) as u64,
        DataType::FixedSizeList(_, length) => u64::try_from(*length).unwrap_or(0),
        DataType::ListView(_) => list.as_list_view::<i32>().value_size(row) as u64,
        DataType::LargeListView(_) => list.as_list_view::<i64>().value_size(row) as u64,
        _ => 1,
    };
    length.max(1)
}

/// Returns the bytes that a value takes per repeated row. Views share their text.
fn copied(array: &Arc<dyn Array>, row: usize) -> u64 {
    match array.data_type() {
        DataType::Utf8View | DataType::BinaryView => 16,
        kind => kind.primitive_width().map_or_else(|| weight(array, row), |width| width as u64),
    }
}
