//! The operator that runs tasks on an executor: each row of its input is a task, and its rows are frames. A frame is cut
//! into several rows if it is large, because a message of the network has a limit.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, UInt8Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt8Type, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use bytes::{Bytes, BytesMut};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::engine::{Frame, FrameKind, Job, TaskRunner};

/// Maximum bytes of a row.
const PIECE: usize = 2 << 20;
const MAGIC: &[u8] = b"flowgap-tasks\n";

static TASKS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![field("task", DataType::UInt32), field("load", DataType::Binary)]))
});

static FRAMES: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field("task", DataType::UInt32),
        field("kind", DataType::UInt8),
        field("is_last", DataType::Boolean),
        field("body", DataType::Binary),
    ]))
});

/// Returns the plan of a job, with one partition per task.
pub fn plan(job: &Job) -> Result<Arc<dyn ExecutionPlan>> {
    let task = |(number, load): &(u32, Bytes)| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt32Array::from(vec![*number])), Arc::new(BinaryArray::from(vec![load.as_ref()]))];
        Ok(vec![RecordBatch::try_new(Arc::clone(&TASKS), columns)?])
    };
    let partitions = job.tasks.iter().map(task).collect::<Result<Vec<_>>>()?;
    let tasks = MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&TASKS), None)?;
    Ok(Arc::new(TasksExec::new(job.fragment.clone(), None, tasks)))
}

/// The operator.
struct TasksExec {
    fragment: Bytes,
    /// Runs the tasks; `None` where it only travels.
    runner: Option<Arc<TaskRunner>>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl TasksExec {
    fn new(fragment: Bytes, runner: Option<Arc<TaskRunner>>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&FRAMES)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self { fragment, runner, input, properties }
    }
}

impl fmt::Debug for TasksExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TasksExec")
    }
}

impl DisplayAs for TasksExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("TasksExec")
    }
}

impl ExecutionPlan for TasksExec {
    fn name(&self) -> &str {
        "TasksExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        let Some(input) = children.pop() else { return internal_err!("TasksExec without tasks") };
        Ok(Arc::new(Self::new(self.fragment.clone(), self.runner.clone(), input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(runner) = self.runner.clone() else { return exec_err!("only an executor of flowgap runs tasks") };
        let (fragment, runtime) = (self.fragment.clone(), context.runtime_env());
        let tasks = self.input.execute(partition, context)?;
        let frames = tasks
            .map_ok(move |batch| {
                let tasks = tasks_of(&batch).map(|tasks| {
                    let run = |(number, load)| {
                        runner.run(number, fragment.clone(), load, Arc::clone(&runtime)).map(|frame| rows_of(&frame))
                    };
                    stream::iter(tasks.into_iter().map(run).collect::<Vec<_>>()).flatten()
                });
                match tasks {
                    Ok(frames) => frames.boxed(),
                    Err(error) => stream::iter([Err(error)]).boxed(),
                }
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), frames)))
    }
}

fn tasks_of(batch: &RecordBatch) -> Result<Vec<(u32, Bytes)>> {
    let other = || exec_datafusion_err!("tasks of another form");
    let [numbers, loads] = batch.columns() else { return Err(other()) };
    let numbers = numbers.as_primitive_opt::<UInt32Type>().ok_or_else(other)?;
    let loads = loads.as_binary_opt::<i32>().ok_or_else(other)?;
    Ok((0..batch.num_rows()).map(|row| (numbers.value(row), Bytes::copy_from_slice(loads.value(row)))).collect())
}

/// Returns a frame as rows.
fn rows_of(frame: &Frame) -> Result<RecordBatch> {
    let mut pieces: Vec<&[u8]> = frame.body.chunks(PIECE).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let count = pieces.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(vec![frame.task; count])),
        Arc::new(UInt8Array::from(vec![frame.kind as u8; count])),
        Arc::new(BooleanArray::from_iter((1..=count).map(|nr| Some(nr == count)))),
        Arc::new(BinaryArray::from(pieces)),
    ];
    Ok(RecordBatch::try_new(Arc::clone(&FRAMES), columns)?)
}

/// Joins rows to frames again. Rows of one task come in order.
#[derive(Debug, Default)]
pub struct Joiner {
    open: Option<(u32, u8, BytesMut)>,
}

impl Joiner {
    /// Adds rows. Returns the frames that they end.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<Frame>, ArrowError> {
        let other = || ArrowError::SchemaError("frames of another form".to_owned());
        let [numbers, kinds, ends, bodies] = batch.columns() else { return Err(other()) };
        let numbers = numbers.as_primitive_opt::<UInt32Type>().ok_or_else(other)?;
        let kinds = kinds.as_primitive_opt::<UInt8Type>().ok_or_else(other)?;
        let ends = ends.as_boolean_opt().ok_or_else(other)?;
        let bodies = bodies.as_binary_opt::<i32>().ok_or_else(other)?;
        let mut frames = Vec::new();
        for row in 0..batch.num_rows() {
            let (task, kind, body) = (numbers.value(row), kinds.value(row), bodies.value(row));
            let mut joined = match self.open.take() {
                Some((open, open_kind, joined)) if (open, open_kind) == (task, kind) => joined,
                Some(_) => return Err(other()),
                None => BytesMut::new(),
            };
            joined.extend_from_slice(body);
            if ends.value(row) {
                let kind = FrameKind::of(kind).ok_or_else(other)?;
                frames.push(Frame { task, kind, body: joined.freeze() });
            } else {
                self.open = Some((task, kind, joined));
            }
        }
        Ok(frames)
    }
}

/// The codec of jobs. Ballista encodes its own operators.
#[derive(Debug, Default)]
pub struct JobCodec {
    /// Runs the tasks, on an executor.
    pub runner: Option<Arc<TaskRunner>>,
    ballista: BallistaPhysicalExtensionCodec,
}

impl JobCodec {
    /// Returns the codec of an executor.
    pub fn of(runner: Arc<TaskRunner>) -> Self {
        Self { runner: Some(runner), ..Self::default() }
    }
}

impl PhysicalExtensionCodec for JobCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes.strip_prefix(MAGIC), inputs) {
            (Some(fragment), [input]) => {
                let fragment = Bytes::copy_from_slice(fragment);
                Ok(Arc::new(TasksExec::new(fragment, self.runner.clone(), Arc::clone(input))))
            }
            (Some(_), _) => exec_err!("a job without its tasks"),
            (None, _) => self.ballista.try_decode(bytes, inputs, context, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(tasks) = node.downcast_ref::<TasksExec>() else {
            return self.ballista.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&tasks.fragment);
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.ballista.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udf(function, bytes)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.ballista.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udaf(function, bytes)
    }
}
