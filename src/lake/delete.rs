//! Deletes the rows of old days, whole files at a time.

use std::collections::HashMap;

use futures::StreamExt;

use super::columns::STORED;
use super::commit::{ATTEMPTS, Change, Committed, Kind, commit, removed};
use super::cursor::{Changes, Seen};
use super::error::{LakeError, Result};
use super::failpoint;
use super::read;
use super::snapshot::Snapshot;
use super::totals::{Totals, add_by_blob};

/// What a deletion removes, or would remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Days.
    pub days: u64,
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Returns what deleting the days before `day`, in days since 1970, would remove.
pub fn deletable(snapshot: &Snapshot, day: i32) -> Deleted {
    let mut deleted = Deleted::default();
    let mut days = std::collections::BTreeSet::new();
    for file in snapshot.files.iter().filter(|file| file.date < day) {
        days.insert(file.date);
        deleted.files += 1;
        deleted.rows += file.rows;
        deleted.bytes += file.size;
    }
    deleted.days = days.len() as u64;
    deleted
}

/// Deletes the days before `day`. Later ingests do not bring their rows back.
pub async fn delete_before(mut snapshot: Snapshot, day: i32) -> Result<Deleted> {
    for _ in 0..ATTEMPTS {
        let deleted = deletable(&snapshot, day);
        let cursors = snapshot.cursors().await?;
        let mut lost: HashMap<String, Totals> = HashMap::new();
        let mut removes = Vec::new();
        for file in snapshot.files.iter().filter(|file| file.date < day) {
            let mut rows = read::rows(snapshot.lake(), file, &STORED).await?;
            while let Some(batch) = rows.next().await {
                add_by_blob(&batch?, &mut lost).map_err(|error| LakeError::failed(snapshot.lake().shown(), error))?;
            }
            failpoint::pass("delete");
            removes.push(removed(file, true));
        }
        let known = cursors.known()?;
        let places = lost.keys().filter_map(|blob| match known.compare(blob, None, 0) {
            Seen::Changed(place) | Seen::Unchanged(place) => Some(place),
            Seen::New => None,
        });
        let mut changes = Changes { kept_from: Some(day), ..Changes::default() };
        for (blob, mut entry) in cursors.at(places.collect())? {
            entry.totals.subtract(lost.get(&blob).unwrap_or(&Totals::default()));
            changes.entries.insert(blob, entry);
        }
        let change = Change { removes, cursors: changes, kind: Kind::Delete, ..Change::default() };
        match commit(&snapshot, Some(&cursors), change).await? {
            Committed::Done(_) => return Ok(deleted),
            Committed::Moved(newest) => snapshot = *newest,
        }
    }
    Err(LakeError::Busy { shown: snapshot.lake().shown().to_owned(), attempts: ATTEMPTS })
}
