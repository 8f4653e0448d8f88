//! Memory of this process, as the system counts it: operators do not count all that they hold.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

/// Bytes that a process may hold beyond the memory of its query: code, lists of blobs, what is read, and what no operator
/// counts.
const BESIDES: usize = 120 << 20;
/// The least room for what is not counted.
const UNCOUNTED: usize = 60 << 20;
/// A first try ends this much earlier, because the allocator does not give back at once what it held.
const RETRY: usize = 25 << 20;
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

    /// Ready when the process holds too much, or too much for a query that can be tried once more with less.
    pub async fn exceeded(&self, has_another_try: bool) {
        if self.most == usize::MAX {
            return std::future::pending().await;
        }
        let most = if has_another_try { self.most - RETRY } else { self.most };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while resident().is_none_or(|resident| resident <= most) {
            looks.tick().await;
        }
    }

    /// Waits until what was let go no longer counts.
    pub async fn settled(&self) {
        if self.most != usize::MAX {
            sleep(SETTLING).await;
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
