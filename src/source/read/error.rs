//! Errors of reading a blob.

use crate::source::error::remedy_for;

/// Reason why a blob could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// The compressed data or its archive is damaged, or its format is unsupported.
    #[error("{0}")]
    Packed(String),
    /// The blob changed, and bytes that were already read are affected.
    #[error("it was rewritten while it was read, and the part read before has changed: run again")]
    Rewritten,
}

impl ReadError {
    /// Returns the reason and a remedy in words; `shown` names the blob.
    pub fn remedy_for(&self, shown: &str) -> String {
        match self {
            Self::Store(error) => remedy_for(error, shown),
            Self::Packed(_) | Self::Rewritten => self.to_string(),
        }
    }
}
