//! Options of configuration and platform truth: files with rules, network status and changes.

use std::path::PathBuf;

use super::Failure;
use crate::findings::configured::{Configuration, ConfigurationError};
use crate::policy::Policy;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exported rules or routes as JSON, so that fixes get a free priority and are tried: network security groups, admin
    /// rules, effective rules, route tables; repeatable
    #[arg(long, value_name = "FILE")]
    nsg: Vec<PathBuf>,

    /// Network status of the instance as JSON, as its REST API gives it; repeatable
    #[arg(long, value_name = "FILE")]
    network_status: Vec<PathBuf>,

    /// Activity log or rows of resourcechanges as JSON, to say which change began the refusals: a file, or a folder of
    /// them; repeatable
    #[arg(long, value_name = "FILE|FOLDER")]
    activity_log: Vec<PathBuf>,
}

impl Args {
    /// Reads the files.
    pub fn open(&self) -> Result<Configuration, Failure> {
        Configuration::open(&self.nsg, &self.network_status, &self.activity_log).map_err(|error| {
            let option = match &error {
                ConfigurationError::Policy(_) => "--nsg",
                ConfigurationError::Status(_) => "--network-status",
                ConfigurationError::Changes(_) => "--activity-log",
            };
            Failure::usage(format!("{option} {error}"))
        })
    }
}

/// Reads the files of `--nsg`.
pub fn open(files: &[PathBuf]) -> Result<Policy, Failure> {
    Policy::open(files).map_err(|error| Failure::usage(format!("--nsg {error}")))
}
