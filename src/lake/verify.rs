//! Compares the rows of a table with its cursors.

use std::collections::HashMap;

use futures::StreamExt;

use super::columns::STORED;
use super::cursor::Cursors;
use super::error::{LakeError, Result};
use super::read;
use super::snapshot::Snapshot;
use super::totals::{Totals, add_by_blob};

/// A blob whose rows are not those that its cursor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the blob.
    pub blob: String,
    /// Sums over its rows.
    pub found: Totals,
    /// Sums that its cursor has.
    pub expected: Totals,
}

/// Reads the whole table and sums up the rows of each blob. Fails if a file cannot be read, or has another number of rows
/// than the log says.
pub async fn totals(snapshot: &Snapshot) -> Result<HashMap<String, Totals>> {
    let mut all: HashMap<String, Totals> = HashMap::new();
    for file in &snapshot.files {
        let mut rows = read::rows(snapshot.lake(), file, &STORED).await?;
        let mut found = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            found += batch.num_rows() as u64;
            add_by_blob(&batch, &mut all).map_err(|error| LakeError::failed(snapshot.lake().shown(), error))?;
        }
        if found != file.rows {
            let reason = format!("{} has {found} rows, and the log says {}", file.path, file.rows);
            return Err(LakeError::failed(snapshot.lake().shown(), reason));
        }
    }
    Ok(all)
}

/// Returns the blobs whose rows differ from their cursors.
pub async fn verify(snapshot: &Snapshot, cursors: &Cursors) -> Result<Vec<Mismatch>> {
    let mut left = totals(snapshot).await?;
    let mut mismatches = Vec::new();
    cursors.for_each(|entry| {
        let found = left.remove(&entry.blob).unwrap_or_default();
        if found != entry.totals {
            mismatches.push(Mismatch { blob: entry.blob, found, expected: entry.totals });
        }
        Ok(())
    })?;
    mismatches.extend(left.into_iter().map(|(blob, found)| Mismatch { blob, found, expected: Totals::default() }));
    mismatches.sort_unstable_by(|a, b| a.blob.cmp(&b.blob));
    Ok(mismatches)
}
