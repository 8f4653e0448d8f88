//! Why a blob could not be read.

use crate::source::error::way_out;

/// Why a blob could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// It is compressed, and not as it should be.
    #[error("{0}")]
    Packed(String),
    #[error("it was rewritten while it was read, and the part read before has changed: run again")]
    Rewritten,
}

impl ReadError {
    /// In words that say what to do; `shown` names the blob.
    pub fn way_out(&self, shown: &str) -> String {
        match self {
            Self::Store(error) => way_out(error, shown),
            Self::Packed(_) | Self::Rewritten => self.to_string(),
        }
    }
}
