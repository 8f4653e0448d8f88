//! Ends scans from elsewhere, and follows how far they are. Clones share one state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// What the scans of one archive share.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// Ends the scans.
    pub stop: Stop,
    /// Counts their bytes.
    pub progress: Progress,
}

/// Asks readers to close what they read, with what they have of it, and to open nothing more.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks for the end. Cannot be taken back.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether the end was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Ready once the end is asked for.
    pub async fn asked(&self) {
        // The sender lives in here, so that the only way to end is a stop.
        if self.0.subscribe().wait_for(|&stop| stop).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Bytes read so far, those of scans that were repeated, too. For progress bars only.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Adds bytes.
    pub fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
