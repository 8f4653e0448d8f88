//! What a lake holds, from its log and its cursors.

use std::collections::BTreeSet;

use super::cursor::Cursors;
use super::error::Result;
use super::snapshot::Snapshot;
use crate::source::BlobPath;
use crate::time::HOUR;

/// What a lake holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Version of the table.
    pub version: u64,
    /// Days with rows.
    pub days: u64,
    /// Data files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the data files.
    pub bytes: u64,
    /// Times of the first and of the last flow, in ms since 1970.
    pub times: Option<(i64, i64)>,
    /// Blobs that were read.
    pub blobs: u64,
    /// Bytes of these blobs, as stored.
    pub blob_bytes: u64,
    /// Hours between the first and the last one for which no blob was read: start and number of each run of hours.
    pub gaps: Vec<(i64, u64)>,
    /// Problems in the blobs.
    pub problems: u64,
    /// Records that could not be read.
    pub bad_records: u64,
    /// Day from which rows are kept, in days since 1970, if older ones were deleted.
    pub kept_from: Option<i32>,
}

/// Returns what a lake holds.
pub fn status(snapshot: &Snapshot, cursors: &Cursors) -> Result<Status> {
    let mut hours = BTreeSet::new();
    let mut status = Status {
        version: snapshot.version,
        days: snapshot.files.iter().map(|file| file.date).collect::<BTreeSet<_>>().len() as u64,
        files: snapshot.files.len() as u64,
        rows: snapshot.rows(),
        bytes: snapshot.files.iter().map(|file| file.size).sum(),
        times: snapshot.times(),
        blobs: cursors.blobs,
        kept_from: cursors.kept_from,
        ..Status::default()
    };
    cursors.for_each(|entry| {
        status.blob_bytes += entry.size;
        status.problems += entry.counts.problems;
        status.bad_records += entry.counts.bad_records;
        hours.extend(BlobPath::parse(&entry.blob).map(|path| path.hour));
        Ok(())
    })?;
    let missing = |pair: (&i64, &i64)| (pair.0 + HOUR, u64::try_from((pair.1 - pair.0) / HOUR - 1).unwrap_or_default());
    let gaps = hours.iter().zip(hours.iter().skip(1)).map(missing);
    status.gaps = gaps.filter(|(_, count)| *count > 0).collect();
    Ok(status)
}
