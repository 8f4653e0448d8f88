//! Places at which tests kill the process. `FLOWGAP_FAILPOINT=NAME:N` aborts at the Nth time that place is passed. Without
//! the variable, a place costs one comparison.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "FLOWGAP_FAILPOINT";

static CHOSEN: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    let (name, nth) = text.rsplit_once(':')?;
    Some((name.to_owned(), nth.parse().ok()?))
});

static PASSED: AtomicU64 = AtomicU64::new(0);

/// Returns whether the answer of a store is to be lost here, although the store did what it was asked.
pub fn loses_answer() -> bool {
    is_reached("lost-answer")
}

/// Aborts the process if the environment chose this place, and it is passed the chosen number of times.
pub fn pass(name: &str) {
    if is_reached(name) {
        std::process::abort();
    }
}

fn is_reached(name: &str) -> bool {
    CHOSEN.as_ref().is_some_and(|(chosen, nth)| chosen == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth)
}
