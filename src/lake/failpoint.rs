//! Places at which tests kill the process. `FLOWGAP_FAILPOINT=NAME:N` aborts at the Nth time that place is passed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "FLOWGAP_FAILPOINT";

static CHOSEN: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    let (name, nth) = text.rsplit_once(':')?;
    Some((name.to_owned(), nth.parse().ok()?))
});

static PASSED: AtomicU64 = AtomicU64::new(0);

/// Aborts the process if the environment chose this place, and it is passed the chosen number of times.
pub fn pass(name: &str) {
    if let Some((chosen, nth)) = &*CHOSEN
        && chosen == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        std::process::abort();
    }
}
