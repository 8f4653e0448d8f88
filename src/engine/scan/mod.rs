//! The scan of `flows`: scan units, the plan's leaf, filter pushdown and receipts.

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

/// Settings and shared state of all scans of an archive.
#[derive(Debug, Clone)]
pub struct ScanContext {
    /// Maximum number of prefetch requests of a remote scan.
    pub concurrency: usize,
    /// Whether filters are pushed down to the decoder.
    pub pushdown: bool,
    /// Collects the receipts.
    pub log: Arc<ScanLog>,
    /// Stops the scans and counts their bytes.
    pub control: Control,
}
