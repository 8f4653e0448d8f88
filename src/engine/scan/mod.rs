//! The scan of `flows`: scan units, the plan's leaf, filter pushdown and receipts.

pub(super) mod control;
mod edges;
pub(super) mod exact;
pub(super) mod look;
pub(super) mod opener;
pub(super) mod pushdown;
pub(super) mod receipt;
pub(super) mod table;
pub(super) mod unit;

use control::Control;

/// Settings and shared state of all scans of an archive.
#[derive(Debug, Clone)]
pub struct ScanContext {
    /// Maximum number of prefetch requests of a remote scan.
    pub concurrency: usize,
    /// Whether filters are pushed down to the decoder.
    pub pushdown: bool,
    /// Stops the scans and counts their bytes.
    pub control: Control,
}
