//! Errors of a session.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use super::fragment::unfinished;
use crate::lake::LakeError;
use crate::source::SourceError;

/// A failure of a session: a source that the user can fix, or an internal error.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// An error that the user can fix.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A lake that cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// An internal error.
    #[error("internal error: {0}")]
    Engine(DataFusionError),
    /// Work that other processes did not finish.
    #[error("{0}")]
    Unfinished(String),
    /// A deferred table whose rows cannot be made, for a reason outside of the query.
    #[error("{0}")]
    Unavailable(String),
}

impl From<DataFusionError> for SessionError {
    fn from(error: DataFusionError) -> Self {
        unfinished(&error).map_or(Self::Engine(error), Self::Unfinished)
    }
}

impl From<ArrowError> for SessionError {
    fn from(error: ArrowError) -> Self {
        Self::Engine(error.into())
    }
}
