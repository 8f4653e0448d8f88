//! Memory of this process as the operating system counts it. A second limit is needed, because operators do not count
//! all memory that they hold.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

/// Bytes that the process may hold beyond the memory limit: code, lists of blobs, read buffers, and uncounted memory of
/// operators.
const BESIDES: usize = 135 << 20;
/// Minimum bytes for uncounted memory beyond the process's size when the watch begins.
const UNCOUNTED: usize = 60 << 20;
/// Bytes below the limit at which a first try ends, because the allocator does not return freed memory at once.
const RETRY: usize = 40 << 20;
/// Time after which the allocator returns freed memory to the system at its next use.
const SETTLING: Duration = Duration::from_millis(1100);
/// Interval between checks.
const LOOK: Duration = Duration::from_millis(5);
/// Limit on the memory of this process while a query runs.
#[derive(Debug, Clone)]
pub struct Watch {
    most: usize,
}

impl Watch {
    /// Returns a watch without a limit.
    pub fn none() -> Self {
        Self { most: usize::MAX }
    }

    /// Returns a watch whose limit is `memory` and an allowance for memory outside of queries.
    pub fn beyond(memory: usize) -> Self {
        Self { most: memory.saturating_add(BESIDES.max(resident().unwrap_or(0) + UNCOUNTED)) }
    }

    /// Returns the limit for one run of a query. It is lower while a failed run can be tried again.
    pub fn bound(&self, has_another_try: bool) -> Bound {
        Bound {
            most: self.most,
            has_another_try: AtomicBool::new(has_another_try),
            begun: Instant::now(),
            looked: AtomicU64::new(0),
        }
    }

    /// Waits until freed memory is returned to the system and no longer counts.
    pub async fn settled(&self) {
        if self.most != usize::MAX {
            sleep(SETTLING).await;
        }
    }
}

/// Limit on the memory of this process for one run of a query.
#[derive(Debug)]
pub struct Bound {
    most: usize,
    has_another_try: AtomicBool,
    begun: Instant,
    /// Time of the last check, in ms since `begun`, plus 1.
    looked: AtomicU64,
}

impl Bound {
    /// Records that rows were sent, so that the query cannot run again. From then on, the run may use the full limit.
    pub fn set_last_try(&self) {
        self.has_another_try.store(false, Ordering::Relaxed);
    }

    /// Returns whether the process holds too much. Cheap enough to call per batch, because threads share one check per
    /// ms.
    pub fn is_exceeded(&self) -> bool {
        if self.most == usize::MAX {
            return false;
        }
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        // Only one of several threads checks at a time.
        let most = if self.has_another_try.load(Ordering::Relaxed) { self.most - RETRY } else { self.most };
        self.looked.swap(now, Ordering::Relaxed) != now && resident().is_some_and(|resident| resident > most)
    }

    /// Completes when the process holds too much.
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

/// Returns the resident bytes of this process. Returns `None` if the system does not report them.
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
