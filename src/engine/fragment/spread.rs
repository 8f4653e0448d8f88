//! The operator in the place of a fragment: runs it as tasks on the workers, checks what comes back, and gives the rows.
//!
//! A task counts only as a whole. Its last frame must agree with the rows and receipts that came, and each part of its
//! input must have exactly one receipt. Other tasks run again, a few times; then the query fails.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, exec_err, internal_err, not_impl_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::codec::{Encoder, prepared};
use super::frame::{self, Frame, FrameKind, Sent, TaskFailure};
use super::parcel::{Parcel, ParcelSession, VERSION};
use super::task::{Load, Part, parts_of};
use super::{Job, Spreading, Unfinished};
use crate::engine::scan::opener::FlowSource;
use crate::engine::scan::receipt::{LeafReceipts, Receipt, Receipts};
use crate::engine::tables::lake::LakeExec;
use crate::time::TimeRange;

/// Times before tasks run again. In the second, a scheduler may come back.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(4)];
/// Number of times that a task may run.
const ATTEMPTS: usize = PAUSES.len() + 1;

/// The operator.
#[derive(Debug)]
pub struct SpreadExec {
    /// The fragment over its whole input.
    fragment: Arc<dyn ExecutionPlan>,
    spreading: Arc<Spreading>,
    /// Receipts of accepted tasks, or those that a lake has.
    receipts: LeafReceipts,
    properties: Arc<PlanProperties>,
    round: Mutex<Option<Round>>,
}

/// One run of all partitions. They share the answers of the tasks.
#[derive(Debug)]
struct Round {
    begun: HashSet<usize>,
    answers: Arc<Answers>,
}

/// Answers of tasks, in the order in which they end.
struct Answers {
    /// The driver, until an answer is first asked for.
    driver: Mutex<Option<(Driver, mpsc::Sender<Result<Answer>>)>>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Result<Answer>>>,
    running: Mutex<JoinSet<()>>,
}

/// Rows of one task.
enum Answer {
    Frames(Vec<Bytes>),
    Batches(Vec<RecordBatch>),
}

impl SpreadExec {
    /// Creates the operator. Fails if the fragment cannot travel.
    pub fn try_new(fragment: Arc<dyn ExecutionPlan>, spreading: &Arc<Spreading>) -> Result<Self> {
        encoded(&prepared(Arc::clone(&fragment))?, spreading, &ConfigOptions::default())?;
        let receipts = lake_of(&fragment)?.unwrap_or_default();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(fragment.schema()),
            Partitioning::UnknownPartitioning(fragment.output_partitioning().partition_count()),
            fragment.pipeline_behavior(),
            fragment.boundedness(),
        );
        let (spreading, properties, round) = (Arc::clone(spreading), Arc::new(properties), Mutex::default());
        Ok(Self { fragment, spreading, receipts, properties, round })
    }

    /// Returns the operator with other receipts.
    pub fn with_receipts(self, receipts: LeafReceipts) -> Self {
        Self { receipts, ..self }
    }

    /// Returns the answers of the round in which this partition has not begun.
    fn answers(&self, partition: usize, context: Arc<TaskContext>) -> Arc<Answers> {
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(round) = round.as_mut().filter(|round| !round.begun.contains(&partition)) {
            round.begun.insert(partition);
            return Arc::clone(&round.answers);
        }
        let driver = Driver {
            fragment: Arc::clone(&self.fragment),
            spreading: Arc::clone(&self.spreading),
            receipts: Arc::clone(&self.receipts),
            context,
        };
        let (sender, receiver) = mpsc::channel(2);
        let answers = Arc::new(Answers {
            driver: Mutex::new(Some((driver, sender))),
            receiver: tokio::sync::Mutex::new(receiver),
            running: Mutex::default(),
        });
        *round = Some(Round { begun: HashSet::from([partition]), answers: Arc::clone(&answers) });
        answers
    }
}

impl Answers {
    async fn next(&self) -> Option<Result<Answer>> {
        if let Some((driver, sender)) = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.spawn(driver.run(sender));
        }
        self.receiver.lock().await.recv().await
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

impl DisplayAs for SpreadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SpreadExec: {}", self.fragment.name())
    }
}

impl ExecutionPlan for SpreadExec {
    fn name(&self) -> &str {
        "SpreadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("SpreadExec has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (answers, schema) = (self.answers(partition, context), self.schema());
        let form = Arc::clone(&schema);
        let frames = stream::unfold(answers, |answers| async move { Some((answers.next().await?, answers)) });
        let batches = frames
            .map_ok(move |answer| {
                let schema = Arc::clone(&form);
                match answer {
                    Answer::Batches(batches) => stream::iter(batches.into_iter().map(Ok)).boxed(),
                    Answer::Frames(frames) => {
                        let batches = frames.into_iter().map(move |body| frame::rows(&body, &schema));
                        let batches = batches.flat_map(|batches| match batches {
                            Ok(batches) => batches.into_iter().map(Ok).collect(),
                            Err(error) => vec![Err(error)],
                        });
                        stream::iter(batches).boxed()
                    }
                }
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Returns the receipts of the fragments of a plan that run on workers.
pub fn receipts_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<LeafReceipts>> {
    let mut leaves = Vec::new();
    plan.apply(|node| {
        leaves.extend(node.downcast_ref::<SpreadExec>().map(|spread| Arc::clone(&spread.receipts)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(leaves)
}

/// Returns the receipts of the lake that a fragment reads, if it reads one.
fn lake_of(fragment: &Arc<dyn ExecutionPlan>) -> Result<Option<LeafReceipts>> {
    let mut receipts = None;
    fragment.apply(|node| {
        receipts = node.downcast_ref::<LakeExec>().map(|lake| Arc::clone(lake.receipts())).or(receipts.take());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(receipts)
}

/// Returns the bytes of a prepared fragment.
fn encoded(prepared: &Arc<dyn ExecutionPlan>, spreading: &Spreading, settings: &ConfigOptions) -> Result<Bytes> {
    if has_subquery(prepared)? {
        return not_impl_err!("a value that a subquery gives");
    }
    let encoder = Encoder::default();
    let node = PhysicalPlanNode::try_from_physical_plan(Arc::clone(prepared), &encoder)?;
    let mut plan = Vec::new();
    node.try_encode(&mut plan)?;
    let scope = encoder.needs_scope().then(|| (*spreading.scope).clone());
    let store = scan_of(prepared)?.config.object_store_url.as_str().to_owned();
    let session = ParcelSession { functions: spreading.functions, scope, settings: changed(settings), store };
    Parcel { session, plan: plan.into() }.encode(VERSION)
}

/// Returns whether an operator computes with the value of a subquery, which its process alone has.
fn has_subquery(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut has_subquery = false;
    plan.apply(|node| {
        node.apply_expressions(&mut |expr| {
            has_subquery |= expr.exists(|expr| Ok(expr.is::<ScalarSubqueryExpr>()))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(has_subquery)
}

/// Returns the settings that differ from the defaults.
fn changed(settings: &ConfigOptions) -> Vec<(String, String)> {
    let defaults = ConfigOptions::default().entries();
    let defaults: BTreeMap<String, Option<String>> =
        defaults.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let changed = settings.entries().into_iter().filter(|entry| defaults.get(&entry.key) != Some(&entry.value));
    changed.filter_map(|entry| Some((entry.key, entry.value?))).collect()
}

/// The scan of a fragment.
struct Scan {
    config: FileScanConfig,
    /// Times of the flows that it reads, for a scan of units.
    times: TimeRange,
    /// Whether it may end before its input.
    has_limit: bool,
}

fn scan_of(fragment: &Arc<dyn ExecutionPlan>) -> Result<Scan> {
    let (mut found, mut has_limit) = (None, false);
    fragment.apply(|node| {
        has_limit |= node.is::<LocalLimitExec>();
        if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
            if let Some((config, source)) = scan.downcast_to_file_source::<FlowSource>() {
                has_limit |= config.limit.is_some();
                found = Some((config.clone(), source.decoder_options().predicate.times));
            } else if let Some((config, _)) = scan.downcast_to_file_source::<ParquetSource>() {
                found = Some((config.clone(), TimeRange::default()));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some((config, times)) = found else { return internal_err!("a fragment without a scan") };
    Ok(Scan { config, times, has_limit })
}

/// Runs the tasks of one round.
struct Driver {
    fragment: Arc<dyn ExecutionPlan>,
    spreading: Arc<Spreading>,
    receipts: LeafReceipts,
    context: Arc<TaskContext>,
}

/// A task that has not been accepted.
struct Open {
    load: Load,
    bytes: Bytes,
    expected: Vec<Part>,
}

/// What came of a task.
#[derive(Default)]
struct Collected {
    frames: Vec<Bytes>,
    rows: u64,
    receipts: Vec<Receipt>,
}

impl Driver {
    async fn run(self, sender: mpsc::Sender<Result<Answer>>) {
        let ended = select! {
            biased;
            // The report then covers the tasks that were accepted.
            () = self.spreading.control.stop.asked() => Ok(()),
            ended = self.drive(&sender) => ended,
        };
        if let Err(error) = ended {
            // The receiver is gone if the query ended.
            _ = sender.send(Err(error)).await;
        }
    }

    async fn drive(&self, sender: &mpsc::Sender<Result<Answer>>) -> Result<()> {
        // Conditions that operators have derived by now travel with the fragment.
        let prepared = prepared(Arc::clone(&self.fragment))?;
        let fragment = encoded(&prepared, &self.spreading, self.context.session_config().options())?;
        let Scan { times, has_limit, .. } = scan_of(&prepared)?;
        let mut open = BTreeMap::new();
        for (number, load) in (0..).zip(Load::cut(&scan_of(&self.fragment)?.config)) {
            let (bytes, expected) = (load.encode()?, load.expected(times));
            open.insert(number, Open { load, bytes, expected });
        }
        let total = open.len();
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            if let Some(pause) = attempt.checked_sub(1).and_then(|repeat| PAUSES.get(repeat)) {
                let sentence = format!("{} of {total} tasks run again on the cluster: {why}", open.len());
                self.spreading.workers.note(&sentence);
                sleep(*pause).await;
            }
            let tasks = open.iter().map(|(number, open)| (*number, open.bytes.clone())).collect();
            let job = Job { fragment: fragment.clone(), tasks };
            why = "tasks ended without an answer".to_owned();
            let mut frames = self.spreading.workers.run(job);
            let mut collected: BTreeMap<u32, Collected> = BTreeMap::new();
            while let Some(frame) = frames.next().await {
                let frame = match frame {
                    Ok(frame) => frame,
                    Err(error) => {
                        why = error;
                        break;
                    }
                };
                let number = frame.task;
                if !open.contains_key(&number) {
                    continue;
                }
                match collected.entry(number).or_default().take(frame) {
                    Ok(None) => {}
                    Ok(Some(sent)) => {
                        let (Some(found), Some(task)) = (collected.remove(&number), open.get(&number)) else {
                            continue;
                        };
                        match found.checked(sent, &task.expected, has_limit) {
                            Ok(found) => {
                                let answer = self.accepted(found, &prepared, &task.load).await?;
                                open.remove(&number);
                                if sender.send(Ok(answer)).await.is_err() {
                                    return Ok(());
                                }
                            }
                            Err(error) => why = error.to_string(),
                        }
                    }
                    Err(failure) => {
                        collected.remove(&number);
                        why = failure.why;
                        if failure.is_of_query
                            && let Some(task) = open.get(&number)
                        {
                            // Fails with the words of this process, unless it has more memory.
                            let (answer, receipts) = self.read_here(&prepared, &task.load).await?;
                            self.add(receipts);
                            open.remove(&number);
                            if sender.send(Ok(answer)).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
        let words = format!(
            "the cluster did not finish {} of {total} tasks in {ATTEMPTS} attempts, so there is no answer: {why}",
            open.len()
        );
        Err(DataFusionError::External(Box::new(Unfinished(words))))
    }

    /// Takes the receipts of a task. If a part could not be read there, this process reads the task's input itself, and
    /// reports what it finds.
    async fn accepted(&self, found: Collected, fragment: &Arc<dyn ExecutionPlan>, load: &Load) -> Result<Answer> {
        let (answer, receipts) = match found.receipts.iter().any(|receipt| receipt.failure.is_some()) {
            true => self.read_here(fragment, load).await?,
            false => {
                self.spreading.control.progress.advance(load.size());
                (Answer::Frames(found.frames), found.receipts)
            }
        };
        self.add(receipts);
        Ok(answer)
    }

    fn add(&self, receipts: Vec<Receipt>) {
        let mut known = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        receipts.into_iter().for_each(|receipt| known.add(receipt));
    }

    async fn read_here(&self, fragment: &Arc<dyn ExecutionPlan>, load: &Load) -> Result<(Answer, Vec<Receipt>)> {
        let receipts: LeafReceipts = Arc::new(Mutex::new(Receipts::recording()));
        let over = |node: Arc<dyn ExecutionPlan>| {
            let scan = node.downcast_ref::<DataSourceExec>();
            let Some((config, source)) = scan.and_then(|scan| scan.downcast_to_file_source::<FlowSource>()) else {
                return Ok(Transformed::no(node));
            };
            let config = FileScanConfigBuilder::from(config.clone())
                .with_source(Arc::new(source.clone().with_receipts(Arc::clone(&receipts))))
                .with_file_groups(vec![load.files()?])
                .build();
            Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
        };
        let plan = Arc::clone(fragment).transform_up(over)?.data;
        let batches = plan.execute(0, Arc::clone(&self.context))?.try_collect().await?;
        drop(plan);
        let receipts = receipts.lock().unwrap_or_else(PoisonError::into_inner).take_recorded();
        Ok((Answer::Batches(batches), receipts))
    }
}

impl Collected {
    /// Adds a frame. Returns what the task says it sent, if this is the last one. Fails if the task failed.
    fn take(&mut self, frame: Frame) -> Result<Option<Sent>, TaskFailure> {
        let other = |error: DataFusionError| TaskFailure { why: error.to_string(), is_of_query: false };
        match frame.kind {
            FrameKind::Rows => {
                self.rows += frame::count(&frame.body).map_err(other)?;
                self.frames.push(frame.body);
            }
            FrameKind::Receipts => self.receipts.extend(frame.as_receipts().map_err(other)?),
            FrameKind::End => return frame.as_end().map(Some).map_err(other),
            FrameKind::Failed => return Err(frame.as_failure().unwrap_or_else(other)),
        }
        Ok(None)
    }

    /// Returns itself if it is complete.
    fn checked(self, sent: Sent, expected: &[Part], has_limit: bool) -> Result<Self> {
        let came = Sent { rows: self.rows, receipts: self.receipts.len() as u64 };
        if came != sent {
            return exec_err!("a task sent {sent:?}, and {came:?} came");
        }
        let parts = parts_of(&self.receipts);
        let is_complete = match has_limit {
            // A scan that has its rows reads no further.
            true => parts.iter().all(|part| expected.binary_search(part).is_ok()),
            false => parts == expected,
        };
        match is_complete {
            true => Ok(self),
            false => exec_err!("a task gave {} receipts for {} parts of its input", parts.len(), expected.len()),
        }
    }
}
