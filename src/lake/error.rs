//! Reasons why a lake cannot be used. Messages name the lake and no secret.

use deltalake_core::DeltaTableError;

use super::unwritten::{causes, remedy};
use crate::remedy::{Advice, Remedy};
use crate::source::{SourceError, remedy_for};

/// A lake that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The address cannot be the place of a lake, or the store refuses access.
    #[error(transparent)]
    Address(#[from] SourceError),
    /// There is nothing at the address.
    #[error("there is no lake at {shown}: {} makes one", Advice::Ingest(.shown))]
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
    /// A file is where the folder of a lake would be.
    #[error("{shown} cannot be a lake, because {file} is a file: name a folder")]
    NotFolder {
        /// The lake, as shown.
        shown: String,
        /// The file.
        file: String,
    },
    /// A lake is given in place of flow logs.
    #[error("{shown} is a lake, and flow logs are expected: name the folder or container of the logs")]
    NotLogs {
        /// The lake, as shown.
        shown: String,
    },
    /// A lake would be written in a source.
    #[error("{shown} is in the source {logs}, which is never written: name a place outside of it")]
    InSource {
        /// The lake, as shown.
        shown: String,
        /// The source, as shown.
        logs: String,
    },
    /// Another program forbade to remove rows.
    #[error(
        "rows of {shown} cannot be replaced or moved, because another program set delta.appendOnly: set it to false with that program"
    )]
    AppendOnly {
        /// The lake, as shown.
        shown: String,
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
        "another program changed rows of {shown} in version {version} ({operation}), so its cursors no longer hold: {} reads the sources again and makes new ones",
        Advice::Rebuild(.shown)
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
        "the cursor file {name} of {shown} cannot be used: {reason}: {} makes new ones from the table",
        Advice::Rebuild(.shown)
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
        Self::failed(shown, remedy(error, shown).unwrap_or_else(|| remedy_for(error, shown)))
    }

    /// Converts an error of the Delta library.
    pub fn of_delta(shown: &str, error: &DeltaTableError) -> Self {
        if let DeltaTableError::NotATable(_) = error {
            return Self::Missing { shown: shown.to_owned() };
        }
        match causes(error).find_map(|cause| cause.downcast_ref()) {
            Some(of_store) => Self::of_store(shown, of_store),
            None => Self::failed(shown, error),
        }
    }

    /// Converts any other error.
    pub fn failed(shown: &str, reason: impl std::fmt::Display) -> Self {
        Self::Failed { shown: shown.to_owned(), reason: reason.to_string() }
    }
}
