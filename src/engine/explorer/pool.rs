//! The memory pool of user queries, shared fairly among operators that can spill.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// A [`FairSpillPool`] that reserves a part for the last step of a sort, and never makes an exchange between partitions
/// spill.
#[derive(Debug)]
pub struct Pool {
    shared: FairSpillPool,
    bytes: usize,
    /// Bytes held by merges of sorted partitions.
    merges: AtomicUsize,
}

impl Pool {
    pub fn new(bytes: usize) -> Self {
        Self { shared: FairSpillPool::new(bytes - bytes / 8), bytes, merges: AtomicUsize::new(0) }
    }
}

/// Kind of a memory consumer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Operator that takes its fair share of the pool.
    Sharing,
    /// Merge of the sorted rows of all partitions. It begins when the sorts have filled the pool and can no longer
    /// spill, so an eighth is kept for it.
    Merge,
    /// Exchange of rows between partitions. Its memory is not counted, so that it never spills.
    ///
    /// A spilling exchange can hang. Its inputs write batches to several files. Its output waits for the next batch of
    /// the first file, and that batch may be in another one. An exchange holds few batches, unless most rows go to one
    /// partition; then the limit on the process applies.
    Exchange,
}

fn kind(consumer: &MemoryConsumer) -> Kind {
    match consumer.name() {
        name if name.starts_with("RepartitionExec") => Kind::Exchange,
        name if name.starts_with("SortPreservingMergeExec") => Kind::Merge,
        _ => Kind::Sharing,
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.shared.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if kind(consumer) == Kind::Sharing {
            self.shared.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if kind(consumer) == Kind::Sharing {
            self.shared.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        match kind(reservation.consumer()) {
            Kind::Sharing => self.shared.grow(reservation, additional),
            Kind::Merge => _ = self.merges.fetch_add(additional, Ordering::Relaxed),
            Kind::Exchange => {}
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        match kind(reservation.consumer()) {
            Kind::Sharing => self.shared.shrink(reservation, shrink),
            Kind::Merge => _ = self.merges.fetch_sub(shrink, Ordering::Relaxed),
            Kind::Exchange => {}
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        match kind(reservation.consumer()) {
            Kind::Sharing => self.shared.try_grow(reservation, additional),
            Kind::Merge => {
                let left = self.bytes.saturating_sub(self.shared.reserved());
                let grown = |held: usize| held.checked_add(additional).filter(|&grown| grown <= left);
                let name = reservation.consumer().name();
                let refused = |_| resources_datafusion_err!("Failed to allocate {additional} bytes for {name}");
                self.merges.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).map(|_| ()).map_err(refused)
            }
            Kind::Exchange => Ok(()),
        }
    }

    fn reserved(&self) -> usize {
        self.shared.reserved() + self.merges.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
