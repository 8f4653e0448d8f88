//! The scheduled job, contract section 6: analyses each instance, compares with the last run, delivers what changed, and
//! saves the state. Knows no command line.

pub mod config;
pub mod deliver;
mod lag;
mod run;
mod scans;
pub mod state;
pub mod store;

pub use run::{Ended, RunError, RunOptions, run, test_delivery};
pub use scans::{ScanError, open_instance};
