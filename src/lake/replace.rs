//! Writes files again without the rows of some blobs. The rows are found by the column `blob`.

use std::collections::HashSet;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use deltalake_core::kernel::Remove;
use futures::StreamExt;

use super::columns::{STORED, index};
use super::commit::removed;
use super::error::{LakeError, Result};
use super::failpoint;
use super::read;
use super::snapshot::Snapshot;
use super::text::TextColumn;
use super::write::Writer;
use crate::schema::Column;

/// Files that a commit removes.
#[derive(Debug, Default)]
pub struct Replaced {
    /// The files, as entries of the log.
    pub removes: Vec<Remove>,
    /// Number of rows that are not written again.
    pub rows: u64,
}

/// Gives `writer` all rows of the files that hold rows of `blobs`, except these rows.
pub async fn without(snapshot: &Snapshot, blobs: &HashSet<String>, writer: &mut Writer) -> Result<Replaced> {
    let mut replaced = Replaced::default();
    if blobs.is_empty() {
        return Ok(replaced);
    }
    let lake = snapshot.lake();
    let failed = |error: ArrowError| LakeError::failed(lake.shown(), error);
    let name = Column::Blob.name();
    for file in snapshot.files.iter().filter(|file| blobs.iter().any(|blob| file.may_hold(name, blob))) {
        // Statistics only bound the names, so the column itself is read first.
        let mut names = read::rows(lake, file, &[Column::Blob]).await?;
        let mut found = 0;
        while let Some(batch) = names.next().await {
            found += kept(batch?.column(0), blobs).map_err(failed)?.false_count() as u64;
        }
        if found == 0 {
            continue;
        }
        failpoint::pass("replace");
        replaced.rows += found;
        replaced.removes.push(removed(file, true));
        if found == file.rows {
            continue;
        }
        let at = index(Column::Blob).unwrap_or_default();
        let mut rows = read::rows(lake, file, &STORED).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let is_kept = kept(batch.column(at), blobs).map_err(failed)?;
            let left = filter_record_batch(&batch, &is_kept).map_err(failed)?;
            if left.num_rows() > 0 {
                writer.push(left).await?;
            }
        }
    }
    Ok(replaced)
}

/// Returns which rows are of other blobs.
fn kept(names: &ArrayRef, blobs: &HashSet<String>) -> Result<BooleanArray, ArrowError> {
    let names = TextColumn::of(names)?;
    let is_kept = names.map(|name| !blobs.contains(name));
    Ok(names.gather(&is_kept).map(Some).collect())
}
