//! Reasons why a lake cannot be used. Messages name the lake and no secret.

use deltalake_core::DeltaTableError;

use crate::remedy::Remedy;
use crate::source::{SourceError, remedy_for};

/// A lake that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The address cannot be the place of a lake, or the store refuses access.
    #[error(transparent)]
    Address(#[from] SourceError),
    /// There is nothing at the address.
    #[error("there is no lake at {shown}: flowgap ingest makes one")]
    Missing {
        /// The lake, as shown.
        shown: String,
    },
    /// The folder holds other files, or a Delta table of another program.
    #[error("{shown} is not a lake of flowgap: {reason}: name an empty folder, or the folder of a lake")]
    NotOurs {
        /// The lake, as shown.
        shown: String,
        /// What is there instead.
        reason: String,
    },
    /// A newer flowgap made the lake.
    #[error("{shown} is a lake of version {found}, and this flowgap knows versions up to {known}: use a newer flowgap")]
    Newer {
        /// The lake, as shown.
        shown: String,
        /// Version of the lake.
        found: String,
        /// Newest version that this program knows.
        known: u32,
    },
    /// Another program changed rows.
    #[error(
        "another program changed rows of {shown} in version {version} ({operation}), so its cursors no longer hold: flowgap lake verify {shown} {rebuild} SOURCE reads the sources again and makes new ones",
        rebuild = Remedy::RebuildCursors
    )]
    Changed {
        /// The lake, as shown.
        shown: String,
        /// Version of the first such commit.
        version: u64,
        /// Operation that its commit names.
        operation: String,
    },
    /// A cursor file is missing or damaged.
    #[error(
        "the cursor file {name} of {shown} cannot be used: {reason}: flowgap lake verify {shown} {rebuild} SOURCE makes new ones from the table",
        rebuild = Remedy::RebuildCursors
    )]
    Cursor {
        /// The lake, as shown.
        shown: String,
        /// Path of the file in the lake.
        name: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A lake is given together with other sources.
    #[error("{shown} is a lake, which is read alone: leave out the other sources, or the lake")]
    NotAlone {
        /// The lake, as shown.
        shown: String,
    },
    /// Blobs of a lake are chosen by their names.
    #[error("{shown} is a lake: leave out {}, and compare the column blob instead", Remedy::Prefix)]
    Prefix {
        /// The lake, as shown.
        shown: String,
    },
    /// Interfaces are chosen, and a lake has blobs whose names do not name theirs.
    #[error(
        "{shown} is a lake of blobs whose names do not name their interface, such as {blob}: compare the column mac instead"
    )]
    Interface {
        /// The lake, as shown.
        shown: String,
        /// Name of a blob.
        blob: String,
    },
    /// Other writers committed first each time.
    #[error("{shown}: other runs committed first {attempts} times: let them end, and run again")]
    Busy {
        /// The lake, as shown.
        shown: String,
        /// Number of attempts.
        attempts: u32,
    },
    /// Reading or writing failed.
    #[error("{shown}: {reason}")]
    Failed {
        /// The lake, as shown.
        shown: String,
        /// What failed, and why.
        reason: String,
    },
}

/// Result of an operation on a lake.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

impl LakeError {
    /// Converts an error of a store.
    pub fn of_store(shown: &str, error: &object_store::Error) -> Self {
        Self::Failed { shown: shown.to_owned(), reason: remedy_for(error, shown) }
    }

    /// Converts an error of the Delta library.
    pub fn of_delta(shown: &str, error: &DeltaTableError) -> Self {
        match error {
            DeltaTableError::ObjectStore { source } => Self::of_store(shown, source),
            DeltaTableError::NotATable(_) => Self::Missing { shown: shown.to_owned() },
            other => Self::failed(shown, other),
        }
    }

    /// Converts any other error.
    pub fn failed(shown: &str, reason: impl std::fmt::Display) -> Self {
        Self::Failed { shown: shown.to_owned(), reason: reason.to_string() }
    }
}
