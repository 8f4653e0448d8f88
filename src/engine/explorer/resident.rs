//! Memory of this process, as the system counts it: operators do not count all that they hold.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

/// Bytes that a process may hold beyond the memory of its query: code, lists of blobs, what is read, and what no operator
/// counts.
const BESIDES: usize = 135 << 20;
/// The least room for what is not counted.
const UNCOUNTED: usize = 60 << 20;
/// A first try ends this much earlier, because the allocator does not give back at once what it held.
const RETRY: usize = 40 << 20;
/// After this time the allocator gives back what is free, when it is next used.
const SETTLING: Duration = Duration::from_millis(1100);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(5);
/// A bound on the memory of this process while a query runs.
#[derive(Debug, Clone)]
pub struct Watch {
    most: usize,
}

impl Watch {
    pub fn none() -> Self {
        Self { most: usize::MAX }
    }

    /// Bounds what the process holds by `memory`, and a little.
    pub fn beyond(memory: usize) -> Self {
        Self { most: memory.saturating_add(BESIDES.max(resident().unwrap_or(0) + UNCOUNTED)) }
    }

    /// For a query, which may hold less while it can be tried once more.
    pub fn bound(&self, has_another_try: bool) -> Bound {
        Bound {
            most: self.most,
            has_another_try: AtomicBool::new(has_another_try),
            begun: Instant::now(),
            looked: AtomicU64::new(0),
        }
    }

    /// Waits until what was let go no longer counts.
    pub async fn settled(&self) {
        if self.most != usize::MAX {
            sleep(SETTLING).await;
        }
    }
}

/// A bound on the memory of this process for one run of a query.
#[derive(Debug)]
pub struct Bound {
    most: usize,
    has_another_try: AtomicBool,
    begun: Instant,
    /// When it was last looked, in ms from the beginning.
    looked: AtomicU64,
}

impl Bound {
    /// Notes that rows were sent, so that the query cannot be tried once more: from now on it may hold all that it may.
    pub fn set_last_try(&self) {
        self.has_another_try.store(false, Ordering::Relaxed);
    }

    /// Whether the process holds too much. Cheap enough for each batch.
    pub fn is_exceeded(&self) -> bool {
        if self.most == usize::MAX {
            return false;
        }
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        // One of several threads looks at a time.
        let most = if self.has_another_try.load(Ordering::Relaxed) { self.most - RETRY } else { self.most };
        self.looked.swap(now, Ordering::Relaxed) != now && resident().is_some_and(|resident| resident > most)
    }

    /// Ready when the process holds too much.
    pub async fn exceeded(&self) {
        if self.most == usize::MAX {
            return std::future::pending().await;
        }
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_exceeded() {
            looks.tick().await;
        }
    }
}

/// Bytes of this process that are in memory. `None` where the system does not say.
#[cfg(target_os = "linux")]
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? << 10)
}

#[cfg(not(target_os = "linux"))]
fn resident() -> Option<usize> {
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), true, memory);
    usize::try_from(system.process(own)?.memory()).ok()
}
