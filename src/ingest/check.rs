//! Compares a lake with its sources, and makes its cursors again from both.

use std::collections::{HashMap, HashSet};

use super::entry::first;
use super::plan::Plan;
use super::read::{self, Ended, Read};
use super::{IngestError, Options, work};
use crate::decode::Counts;
use crate::engine::Control;
use crate::lake::{
    ATTEMPTS, Change, Changes, Committed, Entry, Known, Lake, LakeError, Seen, Snapshot, Totals, commit, totals,
};
use crate::source::{Source, Stores, digest};

/// A blob of which the lake has something else than its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Name of the blob.
    pub blob: String,
    /// What differs, in words.
    pub what: String,
}

/// Result of comparing a lake with its sources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Number of blobs that were read.
    pub blobs: u64,
    /// Blobs that differ, by name.
    pub differences: Vec<Difference>,
    /// Number of blobs of the lake that the sources do not have.
    pub absent: u64,
    /// The first names of these blobs, at most [`Compared::NAMES`].
    pub absent_names: Vec<String>,
}

impl Compared {
    /// Maximum number of names.
    pub const NAMES: usize = 3;
}

/// Reads the sources again and compares each blob with its cursor.
pub async fn compare(
    sources: &[Source],
    snapshot: &Snapshot,
    options: &Options,
    control: &Control,
) -> Result<Compared, IngestError> {
    let cursors = snapshot.cursors().await?;
    let known = cursors.known()?;
    let (mut compared, mut present) = (Compared::default(), HashSet::new());
    let unread = read_all(sources, snapshot.lake(), options, control, cursors.kept_from, |entry| {
        compared.blobs += 1;
        present.insert(digest(&entry.blob));
        let what = match known.compare(&entry.blob, entry.e_tag.as_deref(), entry.size) {
            Seen::New => Some("it is not in the lake".to_owned()),
            Seen::Changed(_) => Some("it changed since it was ingested".to_owned()),
            Seen::Unchanged(place) => {
                let before = cursors.at(vec![place])?.remove(&entry.blob);
                let is_same =
                    before.is_some_and(|before| before.totals == entry.totals && same(&before.counts, &entry.counts));
                (!is_same).then(|| "its content changed, and its size and ETag did not".to_owned())
            }
        };
        compared.differences.extend(what.map(|what| Difference { blob: entry.blob, what }));
        Ok(())
    })
    .await?;
    present.extend(unread.iter().map(|(blob, _)| digest(blob)));
    compared.differences.extend(unread.into_iter().map(|(blob, what)| Difference { blob, what }));
    compared.differences.sort_unstable_by(|a, b| a.blob.cmp(&b.blob));
    // A selection leaves out blobs that the sources have.
    if options.prefix.is_empty() && options.macs.is_empty() {
        cursors.for_each(|entry| {
            if !present.contains(&digest(&entry.blob)) {
                compared.absent += 1;
                if compared.absent_names.len() < Compared::NAMES {
                    compared.absent_names.push(entry.blob);
                }
            }
            Ok(())
        })?;
    }
    Ok(compared)
}

/// Makes the cursors of a lake again: for each blob in the table those that its source gives, if its rows are equal, and
/// otherwise some by which the next ingest reads it again. Returns the number of blobs, and of those that will be read again.
pub async fn rebuild(
    sources: &[Source],
    lake: &Lake,
    options: &Options,
    control: &Control,
) -> Result<(u64, u64), IngestError> {
    for _ in 0..ATTEMPTS {
        let snapshot = Snapshot::load_unchecked(lake).await?;
        let kept_from = snapshot.kept_from().await?;
        let mut entries: HashMap<String, Entry> =
            totals(&snapshot).await?.into_iter().map(|(blob, totals)| (blob.clone(), unknown(blob, totals))).collect();
        let mut certain = 0;
        read_all(sources, lake, options, control, kept_from, |entry| {
            let found = entries.get(&entry.blob).map(|known| known.totals).unwrap_or_default();
            if found == entry.totals {
                certain += 1;
                entries.insert(entry.blob.clone(), entry);
            }
            Ok(())
        })
        .await?;
        let all = entries.len() as u64;
        let cursors = Changes { entries: entries.into_iter().collect(), kept_from };
        match commit(&snapshot, None, Change { cursors, ..Change::default() }).await? {
            Committed::Done(_) => return Ok((all, all - certain)),
            Committed::Moved(_) => {}
        }
    }
    Err(LakeError::Busy { shown: lake.shown().to_owned(), attempts: ATTEMPTS }.into())
}

/// Reads all blobs of the sources whole. Returns those that cannot be read.
async fn read_all(
    sources: &[Source],
    lake: &Lake,
    options: &Options,
    control: &Control,
    kept_from: Option<i32>,
    mut each: impl FnMut(Entry) -> Result<(), LakeError>,
) -> Result<Vec<(String, String)>, IngestError> {
    let stores = Stores::new(options.access.clone());
    let known = Known::default();
    let found = work::find(sources, &stores, options, &known).await?;
    let mut unread = found.unread;
    for work in found.works {
        for batch in work.batches(options.commit_every) {
            let plan = Plan::whole(&work, &batch);
            let mut reads = read::start(&work, &plan, options, control, kept_from);
            while let Some(read) = reads.recv().await {
                let ended = match read.map_err(|error| super::reading_failed(lake, error))? {
                    Read::Rows(_) => continue,
                    Read::End(ended) => ended,
                };
                let Ended { receipt, totals } = *ended;
                match &receipt.failure {
                    None if receipt.is_whole => {
                        let size = plan.planned(&receipt.blob).map_or(receipt.bytes, |planned| planned.blob.size);
                        each(Entry { size, ..first(&receipt, totals) })?;
                    }
                    failure => {
                        let why = failure.as_ref().map_or("not read to the end: stopped", |(_, why)| why.as_str());
                        unread.push((receipt.blob.clone(), why.to_owned()));
                    }
                }
            }
        }
    }
    Ok(unread)
}

/// Returns whether two readings counted the same. Whether a record was slow to read, or how it follows the one before, may
/// depend on where reading began.
fn same(one: &Counts, other: &Counts) -> bool {
    let plain = |counts: &Counts| Counts { slow_records: 0, split_records: 0, unordered_records: 0, ..counts.clone() };
    plain(one) == plain(other)
}

/// Returns a cursor of rows whose blob is not known. No version of the blob equals it.
fn unknown(blob: String, totals: Totals) -> Entry {
    let counts = Counts { tuples: totals.rows, denied_tuples: totals.denied, ..Counts::default() };
    Entry {
        blob,
        e_tag: None,
        size: 0,
        unpacked: None,
        end: 0,
        hashes: [0; 2],
        can_grow: false,
        totals,
        counts,
        problems: Vec::new(),
    }
}
