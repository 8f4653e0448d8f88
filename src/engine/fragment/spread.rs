//! The operator in the place of a fragment: gives the rows of its tasks, which a driver runs.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Spreading;
use super::codec::prepared;
use super::driver::{Answer, Driver};
use super::frame;
use super::wrap::wrapped;
use crate::engine::scan::receipt::LeafReceipts;
use crate::engine::tables::lake::LakeExec;

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

impl SpreadExec {
    /// Creates the operator. Fails if the fragment cannot travel.
    pub fn try_new(fragment: Arc<dyn ExecutionPlan>, spreading: &Arc<Spreading>) -> Result<Self> {
        wrapped(&prepared(Arc::clone(&fragment))?, spreading, &ConfigOptions::default())?;
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
