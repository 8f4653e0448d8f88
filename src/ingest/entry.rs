//! Makes the cursor of a blob from its receipt.

use super::plan::{Kind, Planned, last};
use super::read::Ended;
use super::work::Work;
use crate::engine::{EDGE, Receipt};
use crate::lake::{Entry, EntryProblem, KEPT, Totals};
use crate::source::hash;

/// What was read of a blob.
pub struct Reading {
    /// Name of the blob.
    pub blob: String,
    /// How it was read.
    pub kind: Kind,
    /// Bytes that were read, as stored.
    pub bytes: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Problems in what was read.
    pub problems: u64,
    /// Records that could not be read.
    pub bad_records: u64,
}

/// Returns the cursor of a blob, or why it could not be read.
pub async fn of(work: &Work, planned: Option<&Planned>, read: &Ended) -> Result<(Reading, Entry), String> {
    let receipt = &read.receipt;
    let planned = planned.ok_or("it was not asked for")?;
    if !receipt.is_whole {
        let failure = receipt.failure.as_ref().map(|(_, why)| why.clone());
        return Err(failure.unwrap_or_else(|| "not read to the end: stopped".to_owned()));
    }
    let mut entry = first(receipt, read.totals);
    entry.size = planned.blob.size;
    if let (Some(before), Some(head)) = (&planned.before, &planned.head) {
        continue_from(before, &mut entry);
        let length = head.len().min(EDGE).min(usize::try_from(entry.end).unwrap_or(usize::MAX));
        entry.hashes[0] = hash(head.get(..length).unwrap_or_default());
        // A short piece does not have all of the last bytes. Without them, the blob is read again when it changes.
        let is_short = entry.end - before.end < EDGE as u64;
        if is_short {
            let last = last(&work.store, &planned.blob, entry.end).await;
            entry.can_grow &= last.is_some();
            entry.hashes[1] = last.map_or(0, |bytes| hash(&bytes));
        }
    }
    let reading = Reading {
        blob: receipt.blob.clone(),
        kind: planned.kind(),
        bytes: receipt.bytes,
        rows: read.totals.rows,
        problems: receipt.counts.problems,
        bad_records: receipt.counts.bad_records,
    };
    Ok((reading, entry))
}

/// Returns the cursor of what a receipt is for, as if it was the whole blob.
pub fn first(receipt: &Receipt, totals: Totals) -> Entry {
    let problems = receipt.problems.iter().take(KEPT).map(|problem| EntryProblem {
        offset: problem.offset,
        record: problem.record,
        reason: problem.reason.to_string(),
    });
    let has_late_problem = receipt.counts.problems > receipt.problems.len() as u64
        || receipt.problems.iter().any(|problem| problem.offset >= receipt.end);
    Entry {
        blob: receipt.blob.clone(),
        e_tag: receipt.e_tag.clone(),
        size: receipt.bytes,
        unpacked: receipt.unpacked,
        end: receipt.end,
        hashes: receipt.hashes,
        can_grow: receipt.unpacked.is_none() && !has_late_problem,
        totals,
        counts: receipt.counts.clone(),
        problems: problems.collect(),
    }
}

/// Makes the cursor of a piece the one of its blob.
fn continue_from(before: &Entry, entry: &mut Entry) {
    let records = before.counts.records;
    let later = std::mem::take(&mut entry.problems).into_iter();
    let later = later.map(|problem| EntryProblem { record: problem.record + records, ..problem });
    entry.problems = before.problems.iter().cloned().chain(later).take(KEPT).collect();
    let mut counts = before.counts.clone();
    counts.add(&entry.counts);
    entry.counts = counts;
    entry.totals.add(&before.totals);
}
