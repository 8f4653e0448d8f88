//! Receipts of scanned parts and their sum, keyed by blob, ETag and start. A part that is scanned twice counts once.
//!
//! Each leaf of a plan owns the receipts of its scan. The archive sums those of all plans that were run over it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::decode::{Counts, KEPT_PROBLEMS, Problem};
pub use crate::source::digest;

/// A sum of receipts.
#[derive(Debug, Default)]
pub struct Receipts {
    /// Parts that count for themselves: those not read to their end, and those of a plan that has not ended.
    parts: HashMap<[u8; 16], Part>,
    /// Whole parts whose numbers are in `total`.
    counted: HashSet<[u8; 16]>,
    total: InputSummary,
    /// Blobs with a part that could not be read.
    failed: HashSet<[u8; 16]>,
    /// Problems by blob and offset, each with the start of its part.
    problems: BTreeMap<(String, u64), (u64, InputProblem)>,
    /// Number of records per piece of a cut blob, by the start of the piece.
    pieces: HashMap<String, BTreeMap<u64, u64>>,
    /// The receipts themselves, for a scan whose receipts travel; `None` for others.
    recorded: Option<Vec<Receipt>>,
}

/// The numbers of one receipt.
#[derive(Debug)]
struct Part {
    is_whole: bool,
    /// Bytes of the part that were decoded.
    decoded: u64,
    summary: InputSummary,
}

/// Receipts of one leaf of a plan. The leaf adds to them while the plan runs.
pub type LeafReceipts = Arc<Mutex<Receipts>>;

/// Sum of the receipts of an archive: those of its list, and those of the plans that were run over it.
#[derive(Debug, Default)]
pub struct ArchiveReceipts {
    state: Mutex<ArchiveState>,
}

#[derive(Debug, Default)]
struct ArchiveState {
    sum: Receipts,
    /// Leaves of plans that may still run.
    leaves: Vec<LeafReceipts>,
}

/// Summary of the input that an archive's scans have read so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputSummary {
    /// Blobs whose first part has a receipt, whether or not it was readable.
    pub blobs: u64,
    /// Bytes of the scanned parts, as stored.
    pub bytes: u64,
    /// Compressed blobs.
    pub packed_blobs: u64,
    /// Bytes of all parts after decompression.
    pub unpacked_bytes: u64,
    /// Failures to read a blob or a piece of one to its end.
    pub unreadable_blobs: u64,
    /// Counts of records, tuples and problems, summed over all parts.
    pub counts: Counts,
    /// Number of problems, including those not kept in `problems`.
    pub problem_count: u64,
    /// The first [`KEPT_PROBLEMS`] problems, by blob and offset.
    pub problems: Vec<InputProblem>,
}

/// A located problem in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    /// Name of the blob, as shown.
    pub blob: String,
    /// Byte offset in the blob's unpacked text.
    pub offset: u64,
    /// Number of records of the blob before the problem.
    pub record: u64,
    /// Reason, as a message.
    pub reason: String,
}

/// Receipt for a blob, or for a piece of one: how far it was read, its counts and its problems. It is owned, so that it
/// can travel with the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Name of the blob, as shown.
    pub blob: String,
    /// ETag of the version that was read; `None` if the store has none.
    pub e_tag: Option<String>,
    /// Offset of the part's first byte.
    pub start: u64,
    /// Offset after the last whole record, in the blob's unpacked UTF-8 text; `start` if there is no whole record.
    pub end: u64,
    /// Bytes of the part, as stored.
    pub bytes: u64,
    /// Bytes of a compressed blob after decompression; `None` if it is not compressed.
    pub unpacked: Option<u64>,
    /// Whether the part is a piece of a cut blob.
    pub is_piece: bool,
    /// Whether the part was read to its end. False after a failure or a stop.
    pub is_whole: bool,
    /// Counts of the part.
    pub counts: Counts,
    /// First problems of the part, by offset.
    pub problems: Vec<Problem>,
    /// Offset from which the rest could not be read, and the reason.
    pub failure: Option<(u64, String)>,
    /// Hashes of the first and of the last [`EDGE`] bytes of the part before `end`.
    pub hashes: [u64; 2],
}

/// Number of bytes at each end of a part of which a receipt has a hash.
pub const EDGE: usize = 4096;

impl Receipt {
    /// Returns the receipt of a location that could not be listed.
    pub fn not_listed(place: String, why: &str) -> Self {
        Self::not_read(place, 0, format!("not listed, so nothing in it is read: {why}"))
    }

    /// Returns the receipt of a location that could not be read from byte `at` on.
    pub fn not_read(place: String, at: u64, why: String) -> Self {
        Self {
            blob: place,
            e_tag: None,
            start: 0,
            end: 0,
            bytes: 0,
            unpacked: None,
            is_piece: false,
            is_whole: false,
            counts: Counts::default(),
            problems: Vec::new(),
            failure: Some((at, why)),
            hashes: [0; 2],
        }
    }
}

impl Receipts {
    /// Returns an empty sum that also keeps the receipts.
    pub fn recording() -> Self {
        Self { recorded: Some(Vec::new()), ..Self::default() }
    }

    /// Returns the receipts that were kept.
    pub fn take_recorded(&mut self) -> Vec<Receipt> {
        self.recorded.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a receipt. Of two receipts for one blob, ETag and start, the one that was read further counts.
    pub fn add(&mut self, receipt: Receipt) {
        debug!(
            blob = %receipt.blob, start = receipt.start, bytes = receipt.bytes, records = receipt.counts.records,
            problems = receipt.counts.problems, is_whole = receipt.is_whole, "scanned"
        );
        if let Some(recorded) = &mut self.recorded {
            recorded.push(receipt.clone());
        }
        let key = key(&receipt);
        if receipt.is_piece {
            self.set_records(&receipt.blob, receipt.start, receipt.counts.records);
        }
        for Problem { offset, record, reason } in receipt.problems {
            self.note(&receipt.blob, receipt.start, offset, record, reason.to_string());
        }
        let mut problem_count = receipt.counts.problems;
        if let Some((offset, reason)) = receipt.failure {
            self.failed.insert(digest(&receipt.blob));
            problem_count += 1;
            self.note(&receipt.blob, receipt.start, offset, receipt.counts.records, reason);
        }
        let summary = InputSummary {
            blobs: u64::from(receipt.start == 0),
            bytes: receipt.bytes,
            packed_blobs: u64::from(receipt.unpacked.is_some()),
            unpacked_bytes: receipt.unpacked.unwrap_or(receipt.bytes),
            counts: receipt.counts,
            problem_count,
            ..InputSummary::default()
        };
        let decoded = receipt.end.saturating_sub(receipt.start);
        self.put(key, Part { is_whole: receipt.is_whole, decoded, summary });
    }

    /// Adds the receipt of a blob that was read in an earlier run, and its problems.
    pub fn add_known(&mut self, receipt: Receipt, problems: impl IntoIterator<Item = InputProblem>) {
        for InputProblem { blob, offset, record, reason } in problems {
            self.note(&blob, receipt.start, offset, record, reason);
        }
        self.add(receipt);
    }

    /// Adds the receipts of another sum.
    pub fn absorb(&mut self, other: Self) {
        self.failed.extend(other.failed);
        for (blob, starts) in other.pieces {
            starts.into_iter().for_each(|(start, records)| self.set_records(&blob, start, records));
        }
        self.problems.extend(other.problems);
        self.drop_late_problems();
        other.parts.into_iter().for_each(|(key, part)| self.put(key, part));
    }

    /// Adds the numbers of all whole parts to the total, which takes less memory.
    fn settle(&mut self) {
        for (key, part) in self.parts.extract_if(|_, part| part.is_whole) {
            self.counted.insert(key);
            self.total.add(&part.summary);
        }
    }

    /// Returns the sum of the receipts added so far.
    pub fn summary(&self) -> InputSummary {
        let mut summary = self.total.clone();
        self.parts.values().for_each(|part| summary.add(&part.summary));
        summary.unreadable_blobs = self.failed.len() as u64;
        let problems = self.problems.iter().map(|((blob, _), (start, problem))| {
            // A piece counts only its own records, so the records of earlier pieces are added.
            let before = self.pieces.get(blob).map_or(0, |pieces| pieces.range(..start).map(|(_, n)| n).sum());
            InputProblem { record: problem.record + before, ..problem.clone() }
        });
        summary.problems = problems.collect();
        summary
    }

    fn put(&mut self, key: [u8; 16], part: Part) {
        let rank = |part: &Part| (part.is_whole, part.decoded);
        let is_known = self.parts.get(&key).is_some_and(|known| rank(known) >= rank(&part));
        if !is_known && !self.counted.contains(&key) {
            self.parts.insert(key, part);
        }
    }

    fn set_records(&mut self, blob: &str, start: u64, records: u64) {
        let known = self.pieces.entry(blob.to_owned()).or_default().entry(start).or_default();
        *known = records.max(*known);
    }

    fn note(&mut self, blob: &str, start: u64, offset: u64, record: u64, reason: String) {
        let problem = InputProblem { blob: blob.to_owned(), offset, record, reason };
        self.problems.insert((blob.to_owned(), offset), (start, problem));
        self.drop_late_problems();
    }

    fn drop_late_problems(&mut self) {
        while self.problems.len() > KEPT_PROBLEMS {
            self.problems.pop_last();
        }
    }
}

impl ArchiveReceipts {
    /// Adds a receipt that no scan gave.
    pub fn add(&self, receipt: Receipt) {
        self.state().sum.add(receipt);
    }

    /// Counts the receipts of a plan that is about to run.
    pub fn follow(&self, leaves: impl IntoIterator<Item = LeafReceipts>) {
        let mut state = self.state();
        state.collect();
        state.leaves.extend(leaves);
    }

    /// Returns the sum of the receipts so far.
    pub fn summary(&self) -> InputSummary {
        let mut state = self.state();
        state.collect();
        state.sum.summary()
    }

    fn state(&self) -> MutexGuard<'_, ArchiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ArchiveState {
    /// Takes the receipts out of all leaves. Forgets the leaves of plans that have ended.
    fn collect(&mut self) {
        self.leaves.retain(|leaf| {
            // Counted before the receipts are taken, so that none is lost.
            let may_run = Arc::strong_count(leaf) > 1;
            let receipts = std::mem::take(&mut *leaf.lock().unwrap_or_else(PoisonError::into_inner));
            self.sum.absorb(receipts);
            may_run
        });
        self.sum.settle();
    }
}

impl InputSummary {
    /// Adds the numbers of another summary, without its problems and unreadable blobs.
    fn add(&mut self, other: &Self) {
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.packed_blobs += other.packed_blobs;
        self.unpacked_bytes += other.unpacked_bytes;
        self.counts.add(&other.counts);
        self.problem_count += other.problem_count;
    }
}

fn key(part: &Receipt) -> [u8; 16] {
    digest(&format!("{}\n{}\n{}", part.blob, part.e_tag.as_deref().unwrap_or_default(), part.start))
}
