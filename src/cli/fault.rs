//! Internal errors. A panic is reported with what to do about it, and makes the exit status 5 wherever it was caught.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;

use super::{Failure, Status};
use crate::engine::{SessionError, Stop};
use crate::report::sink::{one_line, say};
use crate::source::SourceError;

/// Beginning of the message of a panic in work that a signal dropped.
const DROPPED: &str = "TokioMultiThreadExecutor has crashed";
/// Set by the first panic of any thread.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Installs a panic hook that prints only the first panic, in our own format.
pub fn say_panics() {
    panic::set_hook(Box::new(|info| {
        // The Delta kernel's executor panics in work that is dropped at a signal. Work that is awaited fails by its error.
        if info.payload_as_str().is_some_and(|what| what.starts_with(DROPPED)) {
            return;
        }
        if !HAS_FAILED.swap(true, Ordering::SeqCst) {
            say(words(info));
        }
    }));
}

fn words(info: &PanicHookInfo) -> String {
    let what = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "flowgap: internal error: {}{place}: this is a bug in flowgap {version}: please report it with this line and the command",
        one_line(what)
    )
}

/// Returns whether any thread panicked.
pub fn has_failed() -> bool {
    HAS_FAILED.load(Ordering::SeqCst)
}

/// Returns `status`, or `Internal` if any thread panicked.
pub fn checked(status: Status) -> Status {
    if has_failed() { Status::Internal } else { status }
}

/// Runs `scan`. After a panic it stops the scans and returns `None`. Running the scan again then reports everything
/// that was read so far.
pub async fn reported<T>(
    stop: &Stop,
    scan: impl Future<Output = Result<T, SessionError>>,
) -> Result<Option<T>, Failure> {
    match AssertUnwindSafe(scan).catch_unwind().await {
        Ok(Ok(done)) => Ok(Some(done)),
        Ok(Err(error)) if !has_failed() => Err(failure(error)),
        _ => {
            stop.ask();
            Ok(None)
        }
    }
}

pub fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Source(error) => source_failure(error),
        SessionError::Lake(error) => Failure { status: Status::Source, message: error.to_string() },
        SessionError::Engine(_) | SessionError::Unfinished(_) | SessionError::Unavailable(_) => {
            Failure { status: Status::Internal, message: error.to_string() }
        }
    }
}

pub fn source_failure(error: SourceError) -> Failure {
    Failure { status: Status::Source, message: error.to_string() }
}
