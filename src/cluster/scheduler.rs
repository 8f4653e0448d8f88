//! The scheduler: takes jobs and hands their tasks to executors. It opens no source and holds no rows.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::ClusterError;
use super::client::MESSAGE;
use super::place::Place;
use super::tasks::JobCodec;

/// Seconds for which a scheduler knows a job that ended.
const KEPT: u64 = 600;

type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// A scheduler that listens.
pub struct Scheduler {
    listener: TcpListener,
    server: Server,
    /// Time without any executor after which jobs end.
    alone: Duration,
    /// Where it listens.
    pub place: Place,
}

impl Scheduler {
    /// Default of the seconds without a sign of an executor after which its tasks run elsewhere. Executors call every 5
    /// seconds.
    pub const LOST: u64 = 20;

    /// Binds a scheduler. The tasks of an executor run elsewhere after `lost` seconds without a sign of it.
    pub async fn bind(place: &Place, lost: u64) -> Result<Self, ClusterError> {
        let alone = Duration::from_secs(lost + lost / 2);
        let failed = |error| ClusterError::Bind { place: place.to_string(), error };
        let listener = TcpListener::bind((place.host.as_str(), place.port)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let place = Place { host: place.host.clone(), port };
        let limit = u32::try_from(MESSAGE).unwrap_or(u32::MAX);
        let config = SchedulerConfig {
            external_host: place.host.clone(),
            bind_host: place.host.clone(),
            bind_port: port,
            scheduling_policy: TaskSchedulingPolicy::PullStaged,
            executor_timeout_seconds: lost,
            expire_dead_executor_interval_seconds: (lost / 5).max(1),
            no_executors_grace_period_seconds: alone.as_secs(),
            finished_job_data_clean_up_interval_seconds: KEPT,
            finished_job_state_clean_up_interval_seconds: KEPT,
            grpc_server_max_decoding_message_size: limit,
            grpc_server_max_encoding_message_size: limit,
            grpc_client_max_message_size: limit,
            min_ready_executors: 1,
            override_physical_codec: Some(Arc::new(JobCodec::default())),
            ..SchedulerConfig::default()
        };
        let config = Arc::new(config);
        let cluster = BallistaCluster::new_from_config(&config).await.map_err(ballista)?;
        let server = create_scheduler(cluster, config).await.map_err(ballista)?;
        Ok(Self { listener, server, alone, place })
    }

    /// Serves until it fails.
    pub async fn serve(self) -> Result<(), ClusterError> {
        tokio::select! {
            served = start_grpc_service_with_listener(self.listener, self.server.clone()) => served.map_err(ballista),
            () = end_stranded(&self.server, self.alone) => Ok(()),
        }
    }
}

/// Ends jobs for which there has been no executor for this long. Ballista would let them wait.
async fn end_stranded(server: &Server, limit: Duration) {
    let (step, mut alone) = (Duration::from_secs(1), Duration::ZERO);
    loop {
        sleep(step).await;
        let has_jobs = server.running_job_number() > 0 || server.pending_job_number() > 0;
        alone = if server.is_ready() || !has_jobs { Duration::ZERO } else { alone + step };
        if alone >= limit {
            for job in server.state.task_manager.get_running_job_cache().keys() {
                // A job that ends at this moment needs no end.
                _ = server.cancel_job(job.clone()).await;
            }
            alone = Duration::ZERO;
        }
    }
}

fn ballista(error: ballista_core::error::BallistaError) -> ClusterError {
    ClusterError::Ballista(error.to_string())
}
