//! What was read: counters and problems, keyed by blob, ETag and range. A unit scanned twice counts once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::decode::{Counts, KEPT_PROBLEMS, Problem};

/// Collects what openers read, and can ask them to end. No row depends on what it holds.
#[derive(Debug)]
pub struct InputLog {
    state: Mutex<State>,
    /// Bytes read so far, those of scans that were repeated, too. For a progress bar only.
    progress: AtomicU64,
    stop: watch::Sender<bool>,
}

impl Default for InputLog {
    fn default() -> Self {
        Self { state: Mutex::default(), progress: AtomicU64::new(0), stop: watch::Sender::new(false) }
    }
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

/// A blob or a piece of one that was read to its end, or as far as it went.
pub struct PartRead<'a> {
    /// As shown.
    pub blob: &'a str,
    pub e_tag: Option<&'a str>,
    pub start: u64,
    /// Bytes that this part owns.
    pub bytes: u64,
    /// Of a compressed blob what was unpacked.
    pub unpacked: Option<u64>,
    /// Part of a cut blob.
    pub is_piece: bool,
    pub counts: Counts,
    pub problems: Vec<Problem>,
    /// From which byte on the rest could not be read, and why.
    pub failure: Option<(u64, String)>,
}

impl<'a> PartRead<'a> {
    /// What `place` names could not be listed.
    pub fn not_listed(place: &'a str, why: &str) -> Self {
        Self::not_read(place, 0, format!("not listed, so nothing in it is read: {why}"))
    }

    /// Nothing of what `place` names could be read from byte `at` on.
    pub fn not_read(place: &'a str, at: u64, why: String) -> Self {
        Self {
            blob: place,
            e_tag: None,
            start: 0,
            bytes: 0,
            unpacked: None,
            is_piece: false,
            counts: Counts::default(),
            problems: Vec::new(),
            failure: Some((at, why)),
        }
    }
}

impl InputLog {
    pub fn advance(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Asks all openers to close what they read, with what they have of it, and to open nothing more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ready once a stop was asked for.
    pub async fn stopped(&self) {
        // The sender lives in here, so that the only way to end is a stop.
        if self.stop.subscribe().wait_for(|&stop| stop).await.is_err() {
            std::future::pending().await
        }
    }

    pub fn add(&self, part: PartRead) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.seen.insert(key(&part)) {
            return;
        }
        state.total.blobs += u64::from(part.start == 0);
        state.total.bytes += part.bytes;
        state.total.packed_blobs += u64::from(part.unpacked.is_some());
        state.total.unpacked_bytes += part.unpacked.unwrap_or(part.bytes);
        state.total.counts.add(&part.counts);
        if part.is_piece {
            state.pieces.entry(part.blob.to_owned()).or_default().insert(part.start, part.counts.records);
        }
        state.total.problem_count += part.counts.problems;
        for Problem { offset, record, reason } in part.problems {
            state.note(part.blob, part.start, offset, record, reason.to_string());
        }
        if let Some((offset, reason)) = part.failure {
            state.total.unreadable_blobs += 1;
            state.total.problem_count += 1;
            state.note(part.blob, part.start, offset, part.counts.records, reason);
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

fn key(part: &PartRead) -> [u8; 16] {
    digest(&format!("{}\n{}\n{}", part.blob, part.e_tag.unwrap_or_default(), part.start))
}

/// What tells texts apart, in little memory.
pub fn digest(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    key
}
