//! Why a session fails.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use crate::source::SourceError;

/// A failure of a session: a source that the user can mend, or a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The user can do something about it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Ours.
    #[error("internal error: {0}")]
    Engine(#[from] DataFusionError),
}

impl From<ArrowError> for SessionError {
    fn from(error: ArrowError) -> Self {
        Self::Engine(error.into())
    }
}
