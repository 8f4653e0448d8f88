//! Fragments: parts of a plan that other processes run, each time over another part of the input. Does not know who
//! distributes them. In reading order:
//!
//! - `cut` finds the fragments of a plan, and puts a [`spread::SpreadExec`] in the place of each.
//! - `wrap`, `parcel`, `codec` and `functions` turn a fragment into bytes and back; `task` does so with the parts of its input.
//! - `run` runs a task in another process, whose answer is a sequence of frames (`frame`).
//! - `driver` starts the tasks and checks what comes back; `spread` gives the rows to the rest of the plan, and `read` to an
//!   ingest.

pub(super) mod codec;
pub(super) mod cut;
mod driver;
pub(super) mod frame;
mod functions;
pub(super) mod parcel;
pub(super) mod read;
pub(super) mod run;
pub(super) mod spread;
pub(super) mod task;
mod wrap;

pub use functions::Functions;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use futures::stream::BoxStream;

use super::scan::control::Control;
use super::scope::Scope;
use frame::Frame;

/// Other processes that run tasks.
pub trait Workers: fmt::Debug + Send + Sync {
    /// Runs the tasks of a job. Frames of one task come in order, and those of several may come mixed. An error ends the
    /// stream; a task whose last frame has not come by then is lost.
    fn run(&self, job: Job) -> BoxStream<'static, Result<Frame, String>>;

    /// Takes a sentence for the user: why tasks are run again.
    fn note(&self, sentence: &str);
}

/// What the fragments of a plan share.
#[derive(Debug)]
pub struct Spreading {
    pub workers: Arc<dyn Workers>,
    /// Scope of the functions.
    pub scope: Arc<Scope>,
    pub functions: Functions,
    /// Stops the scans and counts their bytes.
    pub control: Control,
}

/// Tasks that were not finished, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfinished(pub String);

/// Returns the words of an error, if tasks were not finished.
pub fn unfinished(error: &DataFusionError) -> Option<String> {
    match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<Unfinished>().map(ToString::to_string),
        _ => None,
    }
}

/// Tasks that run the same fragment.
#[derive(Debug, Clone)]
pub struct Job {
    /// The fragment.
    pub fragment: Bytes,
    /// Number and input of each task.
    pub tasks: Vec<(u32, Bytes)>,
}
