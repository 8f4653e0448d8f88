//! Options of configuration and platform truth: exports of rules, network status and changes.

use tokio::select;

use super::source::interrupted;
use super::{Failure, Status};
use crate::answer::Interrupt;
use crate::findings::configured::Configuration;
use crate::options::{ExportFault, ExportKind, ExportOptions, ExportsError};
use crate::source::Access;
use crate::time::TimeRange;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exported rules or routes as JSON, so that fixes get a free priority and are tried: network security groups, admin
    /// rules, effective rules, route tables; a file, a folder or the address of blobs; repeatable
    #[arg(long, value_name = "FILE|ADDRESS")]
    nsg: Vec<String>,

    /// Network status of the instance as JSON, as its REST API gives it; a file, a folder or the address of blobs;
    /// repeatable
    #[arg(long, value_name = "FILE|ADDRESS")]
    network_status: Vec<String>,

    /// Activity log or rows of resourcechanges as JSON, to say which change began the refusals: a file, a folder of
    /// them, or the address of an account, container or prefix; repeatable
    #[arg(long, value_name = "FILE|ADDRESS")]
    activity_log: Vec<String>,
}

impl Args {
    /// Reads the exports, remote ones with the credentials of the sources.
    pub async fn open(
        &self,
        access: Access,
        window: TimeRange,
        interrupt: &Interrupt,
    ) -> Result<Configuration, Failure> {
        let Self { nsg, network_status, activity_log } = self;
        let exports = ExportOptions {
            nsg: nsg.clone(),
            network_status: network_status.clone(),
            activity_log: activity_log.clone(),
        };
        open(&exports, access, window, interrupt).await
    }
}

/// Reads exports.
pub async fn open(
    exports: &ExportOptions,
    access: Access,
    window: TimeRange,
    interrupt: &Interrupt,
) -> Result<Configuration, Failure> {
    select! {
        biased;
        () = interrupt.any() => Err(interrupted()),
        opened = exports.open(access, window) => opened.map_err(failure),
    }
}

fn failure(ExportsError { kind, reason }: ExportsError) -> Failure {
    let option = match kind {
        ExportKind::Nsg => "--nsg",
        ExportKind::NetworkStatus => "--network-status",
        ExportKind::ActivityLog => "--activity-log",
    };
    let message = format!("{option} {reason}");
    match reason {
        ExportFault::Content(_) => Failure::usage(message),
        ExportFault::Source(_) => Failure { status: Status::Source, message },
    }
}
