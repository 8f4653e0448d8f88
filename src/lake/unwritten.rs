//! Writes that failed. The stores of a lake mark their errors, so that the message is about writing and says what to do.

use std::error::Error;
use std::io::{self, ErrorKind};

use object_store::Error as StoreError;

/// Mark on the cause of an error of a store: the store was asked to write or to delete.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unwritten(#[source] Box<dyn Error + Send + Sync>);

/// Marks an error. Conflicts stay as they are, because they are answers.
pub fn unwritten(error: StoreError) -> StoreError {
    match error {
        StoreError::Generic { store, source } => StoreError::Generic { store, source: Unwritten(source).into() },
        StoreError::PermissionDenied { path, source } => {
            StoreError::PermissionDenied { path, source: Unwritten(source).into() }
        }
        other => other,
    }
}

/// Returns what failed and the remedy, if the error is of a write. `shown` is the lake.
pub fn remedy(error: &StoreError, shown: &str) -> Option<String> {
    let of_system = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    causes(error).find_map(|cause| cause.downcast_ref::<Unwritten>())?;
    match of_system {
        Some(kind @ (ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)) => {
            Some(format!("cannot write ({kind}): make room and run again; what was committed stays"))
        }
        Some(kind @ (ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)) => Some(format!(
            "cannot write ({kind}): run as a user who may write all its folders, or name another place; what was committed stays"
        )),
        None if causes(error).any(|cause| cause.to_string().contains("AuthorizationPermissionMismatch")) => {
            Some(format!(
                "no permission to write: assign the role Storage Blob Data Contributor on {shown}, or use a SAS that may also write (sp=racwdl)"
            ))
        }
        _ => None,
    }
}

/// Returns an error and its causes.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_is_about_writing() {
        let refused = |path: &str| StoreError::PermissionDenied {
            path: path.to_owned(),
            source: "403: AuthorizationPermissionMismatch".into(),
        };
        assert_eq!(remedy(&refused("a"), "place"), None);
        let said = remedy(&unwritten(refused("a")), "place").expect("a remedy");
        assert!(said.contains("Storage Blob Data Contributor on place"), "{said}");
        let conflict = StoreError::AlreadyExists { path: "a".to_owned(), source: "409".into() };
        assert_eq!(remedy(&unwritten(conflict), "place"), None);
    }
}
