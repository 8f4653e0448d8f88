//! Runs jobs: submits them, waits until they end, and fetches the frames from the executors.

use std::time::{Duration, Instant};

use ballista_core::client::BallistaClient;
use ballista_core::config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CancelJobParams, CleanJobDataParams, ExecuteQueryParams, GetJobStatusParams, KeyValuePair, PartitionLocation,
    RemoveSessionParams, execute_query_result, job_status,
};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use ballista_core::version::insert_version_header;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use super::place::Place;
use super::tasks::{JobCodec, Joiner, plan};
use crate::engine::{Frame, Job, Workers};
use crate::report::sink::{one_line, say};

/// Maximum bytes of a message. The plan of a job is one.
pub const MESSAGE: usize = 512 << 20;
/// Time between two questions about a job.
const POLL: Duration = Duration::from_millis(50);
/// Time for an answer of the scheduler.
const ANSWER: Duration = Duration::from_secs(20);
/// Time without a frame of an executor that sends.
const FETCH: Duration = Duration::from_secs(30);
/// Time in which a scheduler must know a job that it took.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Number of answers that are fetched at a time.
const TOGETHER: usize = 4;

/// A cluster, as a process that has work for it sees it.
#[derive(Debug)]
pub struct Cluster {
    scheduler: Place,
    is_quiet: bool,
}

type Client = SchedulerGrpcClient<Channel>;

impl Cluster {
    /// Creates the cluster of a scheduler. Opens no connection yet.
    pub fn new(scheduler: Place, is_quiet: bool) -> Self {
        Self { scheduler, is_quiet }
    }
}

impl Workers for Cluster {
    fn run(&self, job: Job) -> BoxStream<'static, Result<Frame, String>> {
        let (sender, receiver) = mpsc::channel(8);
        let (scheduler, mut running) = (self.scheduler.clone(), JoinSet::new());
        running.spawn(async move {
            if let Err(error) = run(scheduler, job, &sender).await {
                // The receiver is gone if nobody waits for the job.
                _ = sender.send(Err(error)).await;
            }
        });
        stream::unfold((receiver, running), |(mut receiver, running)| async move {
            let frame = receiver.recv().await?;
            Some((frame, (receiver, running)))
        })
        .boxed()
    }

    fn note(&self, sentence: &str) {
        if !self.is_quiet {
            say(format_args!("flowgap: note: {}", one_line(sentence)));
        }
    }
}

async fn run(scheduler: Place, job: Job, frames: &mpsc::Sender<Result<Frame, String>>) -> Result<(), String> {
    let mut client = connect(&scheduler).await?;
    let session = uuid::Uuid::new_v4().to_string();
    let query = query(&job, session.clone())?;
    drop(job);
    let mut request = tonic::Request::new(query);
    insert_version_header(request.metadata_mut());
    let answer = within(&scheduler, client.execute_query(request)).await?;
    let id = match answer.result {
        Some(execute_query_result::Result::Success(taken)) => taken.job_id,
        Some(execute_query_result::Result::Failure(failure)) => {
            return Err(format!("the scheduler {scheduler} refused the job: {failure:?}"));
        }
        None => return Err(format!("the scheduler {scheduler} answered nothing")),
    };
    // Cancels the job if this future is dropped, and forgets it at the end.
    let mut guard = Guard { client: client.clone(), id: id.clone(), session, is_over: false };
    let places = ended(&scheduler, &mut client, &id).await?;
    guard.is_over = true;
    let fetched = stream::iter(places).map(|place| fetch(place, frames)).buffer_unordered(TOGETHER);
    fetched.try_collect::<()>().await
}

async fn connect(scheduler: &Place) -> Result<Client, String> {
    let settings = GrpcClientConfig::default();
    let endpoint = create_grpc_client_endpoint(scheduler.url(), Some(&settings));
    let endpoint = endpoint.map_err(|error| format!("{scheduler} is no address of a scheduler: {error}"))?;
    let channel = match timeout(ANSWER, endpoint.connect()).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => {
            return Err(format!("cannot reach the scheduler at {scheduler}: {}", causes(&error)));
        }
        Err(_) => return Err(format!("cannot reach the scheduler at {scheduler}: it does not answer")),
    };
    let client = SchedulerGrpcClient::new(channel);
    Ok(client.max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE))
}

/// Returns an error with its causes. The first one alone says nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

fn query(job: &Job, session_id: String) -> Result<ExecuteQueryParams, String> {
    let plan = plan(job).map_err(|error| error.to_string())?;
    let node = PhysicalPlanNode::try_from_physical_plan(plan, &JobCodec::default()).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    node.try_encode(&mut bytes).map_err(|error| error.to_string())?;
    // An executor takes the next task as soon as it has ended one.
    let setting = |key: &str, value: &str| KeyValuePair { key: key.to_owned(), value: Some(value.to_owned()) };
    Ok(ExecuteQueryParams {
        settings: vec![setting(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, "1")],
        operation_id: session_id.clone(),
        session_id,
        query: Some(Query::PhysicalPlan(bytes)),
    })
}

async fn within<T>(
    scheduler: &Place,
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, String> {
    match timeout(ANSWER, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(format!("the scheduler at {scheduler} failed: {}", status.message())),
        Err(_) => Err(format!("the scheduler at {scheduler} does not answer")),
    }
}

/// Waits for the end of a job. Returns where its answers are.
async fn ended(scheduler: &Place, client: &mut Client, id: &str) -> Result<Vec<PartitionLocation>, String> {
    let mut known = Instant::now();
    loop {
        let asked = client.get_job_status(GetJobStatusParams { job_id: id.to_owned() });
        let status = within(scheduler, asked).await?.status.and_then(|status| status.status);
        match status {
            Some(job_status::Status::Successful(job)) => return Ok(job.partition_location),
            Some(job_status::Status::Failed(job)) => return Err(reason(&job.error)),
            Some(_) => known = Instant::now(),
            None if known.elapsed() > UNKNOWN => {
                return Err(format!("the scheduler at {scheduler} does not know the job any more: it was restarted"));
            }
            None => {}
        }
        sleep(POLL).await;
    }
}

fn reason(error: &str) -> String {
    match error.to_ascii_lowercase().contains("cancel") {
        true => "the scheduler ended the job: there is no executor, or they do not answer".to_owned(),
        false => format!("the job failed: {error}"),
    }
}

/// Fetches the frames of one task.
async fn fetch(place: PartitionLocation, frames: &mpsc::Sender<Result<Frame, String>>) -> Result<(), String> {
    let (layout, file) = (place.layout(), place.file_id);
    let executor = place.executor_meta.ok_or("an answer without its executor")?;
    let partition = place.partition_id.ok_or("an answer without its number")?;
    let name = format!("{}:{}", executor.host, executor.port);
    let port = u16::try_from(executor.port).map_err(|_| format!("{name} is no address of an executor"))?;
    let lost = |error: String| format!("the answer of executor {name} is lost: {error}");
    let connect = BallistaClient::try_new(&executor.host, port, MESSAGE, false, None, 1, 500, 0, 0);
    let client = timeout(ANSWER, connect).await.map_err(|_| lost("it does not answer".to_owned()))?;
    let mut client = client.map_err(|error| lost(error.to_string()))?;
    let partition = partition.into();
    let fetch = client.fetch_partition_proxied(&executor.id, &partition, file, layout, &executor.host, port, true);
    let rows = timeout(FETCH, fetch).await.map_err(|_| lost("it does not answer".to_owned()))?;
    let mut rows = rows.map_err(|error| lost(error.to_string()))?;
    let mut joiner = Joiner::default();
    loop {
        let next = timeout(FETCH, rows.next()).await.map_err(|_| lost("it does not answer".to_owned()))?;
        let Some(batch) = next else { return Ok(()) };
        let batch = batch.map_err(|error| lost(error.to_string()))?;
        for frame in joiner.push(&batch).map_err(|error| lost(error.to_string()))? {
            if frames.send(Ok(frame)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// A job of the scheduler.
struct Guard {
    client: Client,
    id: String,
    session: String,
    is_over: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (mut client, job_id, is_over) = (self.client.clone(), self.id.clone(), self.is_over);
        let session_id = self.session.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Best effort: the scheduler forgets old jobs by itself.
        runtime.spawn(timeout(ANSWER, async move {
            if !is_over {
                _ = client.cancel_job(CancelJobParams { job_id: job_id.clone() }).await;
            }
            _ = client.clean_job_data(CleanJobDataParams { job_id, remove_stage_ids: Vec::new() }).await;
            _ = client.remove_session(RemoveSessionParams { session_id }).await;
        }));
    }
}
