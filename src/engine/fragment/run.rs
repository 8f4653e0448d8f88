//! Runs tasks in this process, for another one.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::codec::Decoder;
use super::frame::{Frame, RowWriter, Sent, TaskFailure};
use super::parcel::{Parcel, VERSION};
use super::task::Load;
use crate::catalog::Edition;
use crate::engine::archive::Registry;
use crate::engine::scan::ScanContext;
use crate::engine::scan::control::Control;
use crate::engine::scan::receipt::{LeafReceipts, Receipts};
use crate::engine::scope::Scope;
use crate::source::{Access, StoreKey, Stores, remedy_for};

/// Runs tasks. Fragments of one job share what was made of the first.
pub struct TaskRunner {
    /// Name of this process, for errors.
    name: String,
    /// Time without progress after which a task fails.
    stall: Duration,
    concurrency: usize,
    stores: Arc<Registry>,
    /// The last fragment, with its bytes.
    known: Mutex<Option<(Bytes, Arc<Opened>)>>,
    faults: Faults,
    started: AtomicU64,
    /// Runtime of the tasks, whose threads have stacks for deep plans.
    runtime: Handle,
}

/// Faults to inject, for tests.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Number of the task, from 1, that panics.
    pub panic_in: Option<u64>,
    /// Number of the task, from 1, that hangs.
    pub hang_in: Option<u64>,
    /// Version that this process claims to be.
    pub version: Option<String>,
}

/// How a task failed.
enum Failed {
    /// The query failed on a value, or needs more memory than there is.
    Query(DataFusionError),
    /// This process cannot run the task.
    Other(DataFusionError),
}

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Self::Other(error)
    }
}

/// A fragment that was read.
struct Opened {
    plan: PhysicalPlanNode,
    store: String,
    /// Functions and settings.
    context: SessionContext,
}

impl fmt::Debug for TaskRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskRunner({})", self.name)
    }
}

impl TaskRunner {
    /// Default of the time without progress after which a task fails.
    pub const STALL: Duration = Duration::from_secs(300);

    /// Creates a runner that reads with the credentials of `access`, on the runtime of the caller.
    pub fn new(name: String, access: Access, stall: Duration, faults: Faults) -> Self {
        let concurrency = access.concurrency;
        let stores = Arc::new(Registry::new(Stores::new(access)));
        let (known, started, runtime) = (Mutex::new(None), AtomicU64::new(0), Handle::current());
        Self { name, stall, concurrency, stores, known, faults, started, runtime }
    }

    /// Returns the stores from which it reads.
    pub fn stores(&self) -> Arc<dyn ObjectStoreRegistry> {
        Arc::clone(&self.stores) as Arc<dyn ObjectStoreRegistry>
    }

    /// Runs a task. Its last frame says what it sent, or why it failed. `runtime` must have the stores of this runner.
    pub fn run(
        self: &Arc<Self>,
        task: u32,
        fragment: Bytes,
        load: Bytes,
        runtime: Arc<RuntimeEnv>,
    ) -> BoxStream<'static, Frame> {
        let (sender, receiver) = mpsc::channel(4);
        let control = Control::default();
        let (watched, runner) = (control.clone(), Arc::clone(self));
        let mut running = JoinSet::new();
        let work = async move {
            let Self { name, stall, .. } = &*runner;
            let work = runner.work(task, &fragment, &load, runtime, control, &sender);
            let (why, is_of_query) = tokio::select! {
                ended = AssertUnwindSafe(work).catch_unwind() => match ended {
                    Ok(Ok(())) => return,
                    Ok(Err(Failed::Query(error))) => (format!("executor {name}: {}", root(&error)), true),
                    Ok(Err(Failed::Other(error))) => (format!("executor {name}: {}", root(&error)), false),
                    Err(_) => {
                        (format!("executor {name} failed on a task: this is a bug in flowgap, please report it"), false)
                    }
                },
                () = stalled(&watched, &sender, *stall) => {
                    (format!("executor {name} made no progress for {} seconds", stall.as_secs()), false)
                }
            };
            if let Ok(frame) = Frame::failed(task, &TaskFailure { why, is_of_query }) {
                // The receiver is gone if nobody waits for the task.
                _ = sender.send(frame).await;
            }
        };
        running.spawn_on(work, &self.runtime);
        stream::unfold((receiver, running), |(mut receiver, running)| async move {
            let frame = receiver.recv().await?;
            Some((frame, (receiver, running)))
        })
        .boxed()
    }

    async fn work(
        &self,
        task: u32,
        fragment: &Bytes,
        load: &Bytes,
        runtime: Arc<RuntimeEnv>,
        control: Control,
        sender: &mpsc::Sender<Frame>,
    ) -> Result<(), Failed> {
        self.inject().await;
        let opened = self.open(fragment)?;
        let load = Load::decode(load)?;
        self.probe(&opened.store, &load).await?;
        let receipts: LeafReceipts = Arc::new(Mutex::new(Receipts::recording()));
        let own = Arc::into_inner(opened.context.task_ctx());
        let own = own.ok_or_else(|| exec_datafusion_err!("a session that is shared"))?;
        let known = Arc::new(own.with_runtime(runtime));
        let context = ScanContext { concurrency: self.concurrency, pushdown: true, control };
        let codec = Decoder { load, context, receipts: Arc::clone(&receipts), known: Arc::clone(&known) };
        let plan = opened.plan.try_into_physical_plan(&known, &codec)?;
        if plan.output_partitioning().partition_count() != 1 {
            let count = plan.output_partitioning().partition_count();
            return Err(exec_datafusion_err!("a task with {count} parts").into());
        }
        let sent = send_rows(task, &plan, known, sender).await.map_err(Failed::Query)?;
        drop(plan);
        let receipts = receipts.lock().unwrap_or_else(PoisonError::into_inner).take_recorded();
        for frame in Frame::receipts(task, &receipts)? {
            send(sender, frame).await?;
        }
        Ok(send(sender, Frame::end(task, Sent { rows: sent, receipts: receipts.len() as u64 })?).await?)
    }

    /// Reads a fragment, or returns it if the last task had it too.
    fn open(&self, fragment: &Bytes) -> Result<Arc<Opened>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, opened)) = known.as_ref().filter(|(bytes, _)| bytes == fragment) {
            return Ok(Arc::clone(opened));
        }
        let Parcel { session, plan } = Parcel::decode(fragment, self.faults.version.as_deref().unwrap_or(VERSION))?;
        let mut config = SessionConfig::new();
        for (name, value) in &session.settings {
            config.options_mut().set(name, value)?;
        }
        let context = SessionContext::new_with_config(config);
        let scope = match session.scope {
            Some(scope) => scope,
            None => Scope::new(Edition::newest().map_err(|error| exec_datafusion_err!("{error}"))?),
        };
        session.functions.register(&context, &Arc::new(scope))?;
        let plan = PhysicalPlanNode::try_decode(&plan)?;
        let opened = Arc::new(Opened { plan, store: session.store, context });
        *known = Some((fragment.clone(), Arc::clone(&opened)));
        Ok(opened)
    }

    /// Fails if this process cannot read the input: it lacks a credential, or the folder is on another machine.
    async fn probe(&self, store: &str, load: &Load) -> Result<()> {
        let url = ObjectStoreUrl::parse(store)?;
        let objects = self.stores.get_store(url.as_ref())?;
        let mut refused = None;
        for path in load.samples() {
            let location = Path::parse(&path).map_err(|error| exec_datafusion_err!("{error}"))?;
            match objects.head(&location).await {
                Ok(_) => return Ok(()),
                Err(error) => refused = Some((path, error)),
            }
        }
        let Some((path, error)) = refused else { return Ok(()) };
        let key = StoreKey::of(url.as_ref());
        let place =
            if key.is_local() { format!("/{path}") } else { format!("{}/{path}", url.as_str().trim_end_matches('/')) };
        let why = remedy_for(&error, &place);
        exec_err!("it cannot read what this machine reads: {why}")
    }

    async fn inject(&self) {
        let nth = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        if self.faults.panic_in == Some(nth) {
            panic!("injected");
        }
        if self.faults.hang_in == Some(nth) {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs a plan and sends its rows. Returns their number.
async fn send_rows(
    task: u32,
    plan: &Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    sender: &mpsc::Sender<Frame>,
) -> Result<u64> {
    let mut writer = RowWriter::new(task, plan.schema());
    let mut batches = plan.execute(0, context)?;
    while let Some(batch) = batches.next().await {
        if let Some(frame) = writer.push(&batch?)? {
            send(sender, frame).await?;
        }
    }
    if let Some(frame) = writer.finish()? {
        send(sender, frame).await?;
    }
    Ok(writer.rows)
}

async fn send(sender: &mpsc::Sender<Frame>, frame: Frame) -> Result<()> {
    sender.send(frame).await.map_err(|_| exec_datafusion_err!("nobody waits for the task any more"))
}

/// Completes once neither bytes were read nor frames taken for a time.
async fn stalled(control: &Control, sender: &mpsc::Sender<Frame>, limit: Duration) {
    loop {
        let (bytes, room) = (control.progress.bytes(), sender.capacity());
        // A full channel waits for its reader, and no task is to blame.
        let is_moved = async {
            loop {
                tokio::time::sleep(limit / 20).await;
                if control.progress.bytes() != bytes || sender.capacity() != room || sender.capacity() == 0 {
                    return;
                }
            }
        };
        if timeout(limit, is_moved).await.is_err() {
            return;
        }
    }
}

fn root(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::Execution(words) => words.clone(),
        other => other.to_string(),
    }
}
