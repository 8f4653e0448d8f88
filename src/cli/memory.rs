//! Memory of this machine, and sizes as typed.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Returns the memory of this machine, or the limit of the process's cgroup if that is less.
pub fn machine_memory() -> usize {
    let system =
        System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    usize::try_from(system.total_memory().min(limit)).unwrap_or(usize::MAX).max(1 << 30)
}

/// Parses a size into bytes; 512MB, 512MiB and 512M are the same.
pub fn size(text: &str) -> Result<usize, String> {
    let error = || "write a size such as 512MB or 4GB".to_owned();
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.find(|c: char| !c.is_ascii_digit()).unwrap_or(upper.len());
    let (number, unit) = upper.split_at(digits);
    let shift = match unit.trim() {
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(error()),
    };
    let bytes = number.parse::<usize>().map_err(|_| error())?.checked_mul(1 << shift).ok_or_else(error)?;
    if bytes < 1 << 20 { Err("it must be at least 1MB".to_owned()) } else { Ok(bytes) }
}
