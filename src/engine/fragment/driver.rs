//! Runs the tasks of a fragment on the workers, and checks what comes back.
//!
//! A task counts only as a whole. Its last frame must agree with the rows and receipts that came, and each part of its
//! input must have exactly one receipt. Other tasks run again, a few times; then the query fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::datasource::physical_plan::FileScanConfigBuilder;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::stream::{StreamExt, TryStreamExt};
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::codec::prepared;
use super::frame::{self, Frame, FrameKind, Sent, TaskFailure};
use super::task::{Load, Part, parts_of};
use super::wrap::{Scan, scan_of, wrapped};
use super::{Job, Spreading, Unfinished};
use crate::engine::scan::opener::FlowSource;
use crate::engine::scan::receipt::{LeafReceipts, Receipt, Receipts};

/// Times before tasks run again. In the second, a scheduler may come back.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(4)];
/// Number of times that a task may run.
const ATTEMPTS: usize = PAUSES.len() + 1;

/// Rows of one task.
pub enum Answer {
    /// As they came.
    Frames(Vec<Bytes>),
    /// As this process read them.
    Batches(Vec<RecordBatch>),
}

/// Runs the tasks of one round.
pub struct Driver {
    /// The fragment over its whole input.
    pub fragment: Arc<dyn ExecutionPlan>,
    pub spreading: Arc<Spreading>,
    /// Takes the receipts of accepted tasks.
    pub receipts: LeafReceipts,
    /// Context of what this process runs itself.
    pub context: Arc<TaskContext>,
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
    /// Runs the tasks, and sends what each one answered once it is complete.
    pub async fn run(self, sender: mpsc::Sender<Result<Answer>>) {
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
        let fragment = wrapped(&prepared, &self.spreading, self.context.session_config().options())?;
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
