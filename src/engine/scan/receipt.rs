//! Receipts of scanned parts and their sum, keyed by blob, ETag and start. A part that is scanned twice counts once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::debug;

use crate::decode::{Counts, KEPT_PROBLEMS, Problem};

/// Sum of the receipts of an archive's scans. No row depends on its content.
#[derive(Debug, Default)]
pub struct ScanLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashSet<[u8; 16]>,
    /// Blobs with a part that could not be read.
    failed: HashSet<[u8; 16]>,
    total: InputSummary,
    /// Problems by blob and offset, each with the start of its part.
    problems: BTreeMap<(String, u64), (u64, InputProblem)>,
    /// Number of records per piece of a cut blob, by the start of the piece.
    pieces: HashMap<String, BTreeMap<u64, u64>>,
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
}

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
        }
    }
}

impl ScanLog {
    /// Adds a receipt. Ignores one whose blob, ETag and start were added before.
    pub fn add(&self, part: Receipt) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.seen.insert(key(&part)) {
            return;
        }
        debug!(
            blob = %part.blob, start = part.start, bytes = part.bytes, records = part.counts.records,
            problems = part.counts.problems, is_whole = part.is_whole, "scanned"
        );
        state.total.blobs += u64::from(part.start == 0);
        state.total.bytes += part.bytes;
        state.total.packed_blobs += u64::from(part.unpacked.is_some());
        state.total.unpacked_bytes += part.unpacked.unwrap_or(part.bytes);
        state.total.counts.add(&part.counts);
        if part.is_piece {
            state.pieces.entry(part.blob.clone()).or_default().insert(part.start, part.counts.records);
        }
        state.total.problem_count += part.counts.problems;
        for Problem { offset, record, reason } in part.problems {
            state.note(&part.blob, part.start, offset, record, reason.to_string());
        }
        if let Some((offset, reason)) = part.failure {
            state.total.unreadable_blobs += u64::from(state.failed.insert(digest(&part.blob)));
            state.total.problem_count += 1;
            state.note(&part.blob, part.start, offset, part.counts.records, reason);
        }
    }

    /// Returns the sum of the receipts added so far.
    pub fn summary(&self) -> InputSummary {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let problems = state.problems.iter().map(|((blob, _), (start, problem))| {
            // A piece counts only its own records, so the records of earlier pieces are added.
            let before = state.pieces.get(blob).map_or(0, |pieces| pieces.range(..start).map(|(_, n)| n).sum());
            InputProblem { record: problem.record + before, ..problem.clone() }
        });
        InputSummary { problems: problems.collect(), ..state.total.clone() }
    }
}

impl State {
    fn note(&mut self, blob: &str, start: u64, offset: u64, record: u64, reason: String) {
        let problem = InputProblem { blob: blob.to_owned(), offset, record, reason };
        self.problems.insert((blob.to_owned(), offset), (start, problem));
        if self.problems.len() > KEPT_PROBLEMS {
            self.problems.pop_last();
        }
    }
}

fn key(part: &Receipt) -> [u8; 16] {
    digest(&format!("{}\n{}\n{}", part.blob, part.e_tag.as_deref().unwrap_or_default(), part.start))
}

/// Returns the first 16 bytes of the SHA-256 hash of `text`, as a compact key.
pub fn digest(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    key
}
