//! An executor: runs tasks with its own credentials, and keeps their answers in a folder until they are fetched.

use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use tempfile::TempDir;

use super::ClusterError;
use super::client::MESSAGE;
use super::place::Place;
use super::tasks::JobCodec;
use crate::engine::{Faults, TaskRunner};
use crate::source::Access;

/// Settings of an executor.
#[derive(Debug, Clone)]
pub struct Executor {
    /// The scheduler.
    pub scheduler: Place,
    /// Address on which it hands out answers.
    pub bind: Place,
    /// Host name or address by which others reach it.
    pub host: Option<String>,
    /// Folder for answers; `None` for a temporary one.
    pub folder: Option<PathBuf>,
    /// Number of tasks that run at a time.
    pub cores: usize,
    /// Memory of all tasks together, in bytes.
    pub memory: usize,
    /// Credentials and requests.
    pub access: Access,
    /// Seconds without progress after which a task fails.
    pub stall: u64,
    /// Faults to inject, for tests.
    pub faults: Faults,
}

impl Executor {
    /// Runs until a signal ends it, or the scheduler is out of reach at its start.
    pub async fn run(self) -> Result<(), ClusterError> {
        let failed = ClusterError::Folder;
        let own = match &self.folder {
            Some(folder) => std::fs::create_dir_all(folder).map(|()| None),
            None => TempDir::with_prefix("flowgap-executor-").map(Some),
        };
        let own = own.map_err(failed)?;
        let folder = own.as_ref().map_or_else(|| self.folder.clone().unwrap_or_default(), |own| own.path().to_owned());
        let spill = folder.join("spill");
        std::fs::create_dir_all(&spill).map_err(failed)?;
        let host = self.host.clone().unwrap_or_else(|| self.bind.host.clone());
        let name = Place { host: host.clone(), port: self.bind.port }.to_string();
        let stall = std::time::Duration::from_secs(self.stall);
        let runner = Arc::new(TaskRunner::new(name, self.access, stall, self.faults));
        let stores = runner.stores();
        let limit = u32::try_from(MESSAGE).unwrap_or(u32::MAX);
        let config = ExecutorProcessConfig {
            bind_host: self.bind.host.clone(),
            external_host: Some(host),
            port: self.bind.port,
            scheduler_host: self.scheduler.host.clone(),
            scheduler_port: self.scheduler.port,
            scheduler_connect_timeout_seconds: 0,
            vcores: self.cores.max(1),
            task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
            work_dir: Some(folder.to_string_lossy().into_owned()),
            job_data_ttl_seconds: 3600,
            job_data_clean_up_interval_seconds: 600,
            grpc_max_decoding_message_size: limit,
            grpc_max_encoding_message_size: limit,
            memory_pool_size: Some(self.memory as u64),
            override_runtime_producer: Some(Arc::new(move |_| {
                RuntimeEnvBuilder::new()
                    .with_temp_file_path(&spill)
                    .with_object_list_cache_limit(0)
                    .with_object_store_registry(Arc::clone(&stores))
                    .build_arc()
            })),
            override_physical_codec: Some(Arc::new(JobCodec::of(runner))),
            ..ExecutorProcessConfig::default()
        };
        let ran = start_executor_process(Arc::new(config)).await;
        drop(own);
        ran.map_err(|error| {
            ClusterError::Ballista(format!("the executor ended (scheduler {}): {error}", self.scheduler))
        })
    }
}
