//! The scan of `flows`: its units, its plan, what conditions it takes, and what was read.

pub(super) mod control;
pub(super) mod exact;
pub(super) mod look;
pub(super) mod opener;
pub(super) mod pushdown;
pub(super) mod receipt;
pub(super) mod table;
pub(super) mod unit;

use std::sync::Arc;

use control::Control;
use receipt::ScanLog;

/// What all scans of an archive have in common.
#[derive(Debug, Clone)]
pub struct ScanContext {
    /// Requests that a remote scan makes before they are needed.
    pub concurrency: usize,
    /// Whether conditions reach the decoder.
    pub pushdown: bool,
    /// Takes the receipts.
    pub log: Arc<ScanLog>,
    /// Ends and follows the scans.
    pub control: Control,
}
