//! `flowgap scheduler`, `flowgap executor` and `--cluster` in a build without the cluster: say how to get it.

use std::sync::Arc;

use super::{Failure, Status};
use crate::engine::Workers;

/// Options of a verb that reads flows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster options")]
pub struct Args {
    /// Let the executors of a flowgap scheduler read the flows. This build has no cluster
    #[arg(long, value_name = "URL", hide = true)]
    cluster: Option<String>,

    /// Allow a scheduler on another machine
    #[arg(long, requires = "cluster", hide = true)]
    insecure: bool,
}

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct SchedulerArgs {
    /// Any argument
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _any: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct ExecutorArgs {
    /// Any argument
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _any: Vec<String>,
}

impl Args {
    /// Returns whether executors read the flows.
    pub fn is_used(&self) -> bool {
        false
    }

    /// Returns no workers.
    pub fn workers(&self, _: bool) -> Result<Option<Arc<dyn Workers>>, Failure> {
        let Self { cluster, insecure: _ } = self;
        if cluster.is_some() { Err(without()) } else { Ok(None) }
    }
}

pub async fn scheduler(_: SchedulerArgs) -> Result<Status, Failure> {
    Err(without())
}

pub async fn executor(_: ExecutorArgs) -> Result<Status, Failure> {
    Err(without())
}

fn without() -> Failure {
    Failure::usage("this flowgap is built without the cluster: build it with cargo build --release --features cluster")
}
