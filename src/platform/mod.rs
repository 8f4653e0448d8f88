//! What Azure says of its own state: the network status of API Management, and the changes that the activity log and
//! Resource Graph record. Reads files, and knows no flow logs and no SQL.

mod activity_log;
mod change;
mod error;
mod network_status;
mod recordings;
mod resource_changes;

pub use change::{ChangeSource, Recorded, Target};
pub use error::PlatformError;
pub use network_status::{Connectivity, ConnectivityStatus, NetworkStatus, read as read_status, requirement_of};
pub use recordings::Recordings;

use std::path::{Path, PathBuf};

use serde_json::Value;

use error::Reason;

use crate::catalog::text_file;
use crate::policy::Node;

/// Reads files with the network status of an instance.
pub fn open_status(paths: &[PathBuf]) -> Result<Vec<NetworkStatus>, PlatformError> {
    let mut found = Vec::new();
    for path in paths {
        found.extend(network_status::read(&path.display().to_string(), &text(path)?)?);
    }
    Ok(found)
}

/// Reads files with changes, or folders with `*.json` at any depth: exports of the activity log, its blobs, or rows of
/// Resource Graph.
pub fn open_changes(paths: &[PathBuf]) -> Result<Recordings, PlatformError> {
    let mut all = Recordings::default();
    for path in paths {
        for file in files(path)? {
            all.add_text(&file.display().to_string(), &text(&file)?)?;
        }
    }
    Ok(all.sorted())
}

fn text(path: &Path) -> Result<String, PlatformError> {
    let refused = |reason: Reason| PlatformError::new(&path.display().to_string(), reason);
    let bytes = text_file::read(path).map_err(|reason| refused(reason.into()))?;
    let text = text_file::decode(&bytes).map_err(|reason| refused(reason.into()))?;
    Ok(text.into_owned())
}

/// Returns the file, or the JSON files of a folder, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, PlatformError> {
    let refused = |error: std::io::Error| PlatformError::new(&path.display().to_string(), error.into());
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(refused)? {
        let inner = entry.map_err(refused)?.path();
        if inner.is_dir() {
            found.extend(files(&inner)?);
        } else if inner.extension().is_some_and(|ending| ending == "json") {
            found.push(inner);
        }
    }
    found.sort();
    Ok(found)
}

/// Parses JSON, or JSON Lines as a list. A line that is cut off ends the list.
fn parse(text: &str) -> Result<Value, Reason> {
    let error = match serde_json::from_str::<Value>(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    match lines.is_empty() {
        false if text.lines().count() > 1 => Ok(Value::Array(lines)),
        _ => Err(Reason::Damaged { line: error.line(), column: error.column() }),
    }
}

/// Returns the elements of a document: of a list, or of what wraps a list.
fn elements<'a>(root: &Node<'a>) -> Vec<Node<'a>> {
    let wrapped =
        ["value", "records", "data"].iter().find_map(|key| root.get(key).filter(|list| list.value().is_array()));
    wrapped.unwrap_or_else(|| root.clone()).items()
}
