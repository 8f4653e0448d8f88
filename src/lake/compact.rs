//! Joins small files of a day. No row changes, so programs that follow changes see none.

use futures::StreamExt;
use tracing::info;

use super::columns::STORED;
use super::commit::{ATTEMPTS, Change, Committed, Kind, commit, removed};
use super::error::{LakeError, Result};
use super::read;
use super::snapshot::{DataFile, Snapshot};
use super::write::{LARGEST, Writer};

/// Size in bytes below which a file is small.
const SMALL: u64 = LARGEST / 2;
/// Number of small files of a day that are many.
const MANY: usize = 48;

/// Which days are compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compaction {
    /// Those with at least two small files.
    All,
    /// Those with many small files.
    IfMany,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Files before.
    pub before: u64,
    /// Files that replace them.
    pub after: u64,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Compacts a lake, one group of files per commit. Returns its newest version.
pub async fn compact(mut snapshot: Snapshot, which: Compaction) -> Result<(Snapshot, Compacted)> {
    let mut compacted = Compacted::default();
    let mut attempts = 0;
    let mut done = Vec::new();
    while let Some(group) = groups(&snapshot, which).into_iter().find(|group| !done.contains(&group[0].path)) {
        attempts += 1;
        if attempts > ATTEMPTS {
            return Err(LakeError::Busy { shown: snapshot.lake().shown().to_owned(), attempts });
        }
        let mut writer = Writer::moving(snapshot.lake());
        for file in &group {
            let mut rows = read::rows(snapshot.lake(), file, &STORED).await?;
            while let Some(batch) = rows.next().await {
                writer.push(batch?).await?;
            }
        }
        let adds = writer.finish().await?;
        let (before, after) = (group.len() as u64, adds.len() as u64);
        let bytes = adds.iter().map(|file| file.size.unsigned_abs()).sum::<u64>();
        // The result of a group is not compacted again in this run.
        done.extend(adds.iter().map(|file| object_store::path::Path::from(file.path.as_str())));
        let removes = group.iter().map(|file| removed(file, false)).collect();
        let cursors = snapshot.cursors().await?;
        let change = Change { adds, removes, kind: Kind::Compact, ..Change::default() };
        match commit(&snapshot, Some(&cursors), change).await? {
            Committed::Done(newest) => {
                info!(version = newest.version, before, after, "compacted");
                compacted.before += before;
                compacted.after += after;
                compacted.bytes += bytes;
                attempts = 0;
                snapshot = *newest;
            }
            Committed::Moved(newest) => snapshot = *newest,
        }
    }
    Ok((snapshot, compacted))
}

/// Returns groups of files that are joined, each of one day.
fn groups(snapshot: &Snapshot, which: Compaction) -> Vec<Vec<DataFile>> {
    let least = if which == Compaction::All { 2 } else { MANY };
    let mut small: Vec<&DataFile> = snapshot.files.iter().filter(|file| file.size < SMALL).collect();
    small.sort_by(|a, b| (a.date, a.first_time(), &a.path).cmp(&(b.date, b.first_time(), &b.path)));
    let days = small.chunk_by(|a, b| a.date == b.date).filter(|files| files.len() >= least);
    let mut groups = Vec::new();
    for files in days {
        let mut group: Vec<DataFile> = Vec::new();
        for file in files {
            if group.iter().map(|file| file.size).sum::<u64>() + file.size > LARGEST {
                groups.push(std::mem::take(&mut group));
            }
            group.push((*file).clone());
        }
        groups.push(group);
    }
    groups.retain(|group| group.len() > 1);
    groups
}
