//! Stops running scans and reports their progress. Clones share one state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Stop signal and progress counter shared by the scans of one archive.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// Signal that ends the scans.
    pub stop: Stop,
    /// Counter of the bytes that the scans read.
    pub progress: Progress,
}

/// Asks readers to stop: they close the open blob with the rows decoded so far and open no other.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Requests the stop. It cannot be revoked.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether the stop was requested.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes once the stop is requested.
    pub async fn asked(&self) {
        // `self` owns the sender, so the wait never fails before the stop.
        if self.0.subscribe().wait_for(|&stop| stop).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Number of bytes read so far, including those of repeated scans. Only progress bars may use it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Adds `bytes` to the counter.
    pub fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
