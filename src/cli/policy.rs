//! Files with configured rules and routes, as options name them.

use std::path::PathBuf;

use super::Failure;
use crate::policy::Policy;

/// Reads the files of `--nsg`.
pub fn open(files: &[PathBuf]) -> Result<Policy, Failure> {
    Policy::open(files).map_err(|error| Failure::usage(format!("--nsg {error}")))
}
