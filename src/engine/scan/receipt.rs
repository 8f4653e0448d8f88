//! Receipts of what was read, and their sum, keyed by blob, ETag and start. A part scanned twice counts once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::debug;

use crate::decode::{Counts, KEPT_PROBLEMS, Problem};

/// Sums the receipts of an archive's scans. No row depends on what it holds.
#[derive(Debug, Default)]
pub struct ScanLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashSet<[u8; 16]>,
    total: InputSummary,
    /// By blob and offset, with the start of the part they were found in.
    problems: BTreeMap<(String, u64), (u64, InputProblem)>,
    /// Records of each piece of a cut blob, by its start.
    pieces: HashMap<String, BTreeMap<u64, u64>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputSummary {
    pub blobs: u64,
    pub bytes: u64,
    /// Blobs that are compressed, and all bytes once unpacked.
    pub packed_blobs: u64,
    pub unpacked_bytes: u64,
    pub unreadable_blobs: u64,
    pub counts: Counts,
    pub problem_count: u64,
    /// The first [`KEPT_PROBLEMS`], by blob and offset.
    pub problems: Vec<InputProblem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    pub blob: String,
    pub offset: u64,
    /// How many records of the blob came before.
    pub record: u64,
    pub reason: String,
}

/// Says what was read of a blob, or of a piece of one: to its end, or as far as it went. Owned, so that it may travel with the
/// rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Name of the blob, as shown.
    pub blob: String,
    /// Version that was read; `None` where the store has none.
    pub e_tag: Option<String>,
    /// First byte of the part.
    pub start: u64,
    /// Offset after the last whole record, in the blob's unpacked UTF-8 text; `start` where there is none.
    pub end: u64,
    /// Bytes that the part owns.
    pub bytes: u64,
    /// Bytes that a compressed blob was unpacked to.
    pub unpacked: Option<u64>,
    /// Whether it is a part of a cut blob.
    pub is_piece: bool,
    /// Whether everything was read. False after a failure, and where the scan was stopped.
    pub is_whole: bool,
    /// Counters of the part.
    pub counts: Counts,
    /// The first problems, by offset.
    pub problems: Vec<Problem>,
    /// Byte from which on the rest could not be read, and why.
    pub failure: Option<(u64, String)>,
}

impl Receipt {
    /// For a place that could not be listed.
    pub fn not_listed(place: String, why: &str) -> Self {
        Self::not_read(place, 0, format!("not listed, so nothing in it is read: {why}"))
    }

    /// For a place of which nothing could be read from byte `at` on.
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
    /// Adds a receipt, unless it is of a part that was added already.
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
            state.total.unreadable_blobs += 1;
            state.total.problem_count += 1;
            state.note(&part.blob, part.start, offset, part.counts.records, reason);
        }
    }

    pub fn summary(&self) -> InputSummary {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let problems = state.problems.iter().map(|((blob, _), (start, problem))| {
            // A piece counts its own records; those of the pieces before come before them.
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

/// What tells texts apart, in little memory.
pub fn digest(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    key
}
