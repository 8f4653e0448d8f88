//! Several machines, on Ballista: its scheduler hands the tasks of a job to executors, and this process fetches what they
//! answered. Knows nothing of flows: fragments, tasks and frames are bytes of the engine's. In reading order:
//!
//! - `place`: addresses, and which of them may be used without TLS.
//! - `tasks`: the operator that runs tasks on an executor, and its codec.
//! - `client`: submits jobs, waits for them, and fetches their frames.
//! - `scheduler` and `executor`: the processes.

mod client;
mod executor;
mod place;
mod scheduler;
mod tasks;

pub use client::Cluster;
pub use executor::Executor;
pub use place::{Place, PlaceError};
pub use scheduler::Scheduler;

/// A process of the cluster that failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Its address cannot be used.
    #[error("cannot listen on {place}: {error}")]
    Bind {
        /// The address.
        place: String,
        /// Reason, as a message.
        error: std::io::Error,
    },
    /// Its folder cannot be used.
    #[error("cannot use the folder for results: {0}")]
    Folder(std::io::Error),
    /// Ballista failed.
    #[error("{0}")]
    Ballista(String),
}
