//! Bytes of one blob in, record batches of `flows` out.
//!
//! A [`Decoder`] is pushed chunks cut at any byte and flushes batches. It knows no paths, stores, async
//! or SQL. `encoding` makes UTF-8 of UTF-16 first, and places are those of the UTF-8 text. Three rooms lie behind it, in the
//! order of the data's way:
//!
//! 1. `frame` finds where each flow record starts and ends, whatever wraps it.
//! 2. `walk` goes through one whole record and has `tuple`, or what `simd` knows to do faster, check every field of
//!    its tuples, so that a malformed tuple is malformed whatever was asked. `times` says which times are plausible.
//!    `cursor` steps from value to value, `keys` knows the keys in any case. `record` keeps the rows that are wanted,
//!    `tally` counts, `foreign` counts the records of other logs.
//! 3. `columns` decodes only the asked columns, column by column, and only of the kept rows.
//!
//! v1, v2 and v4 differ nowhere above this module.

mod columns;
mod cursor;
mod encoding;
mod foreign;
mod frame;
mod keys;
mod predicate;
mod problem;
mod record;
mod simd;
mod tally;
mod times;
mod tuple;
mod walk;

pub use crate::time::TimeRange;
pub use foreign::Foreign;
pub use frame::{SplitHint, probe_head};
pub use predicate::{Predicate, Term};
pub use problem::{KEPT_PROBLEMS, OffTime, Problem, Reason};
pub use simd::Instructions;

use std::ops::Range;

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::schema::{Column, Text};
use columns::Columns;
use encoding::Encoding;
use frame::{Frame, Framer};
use record::{Read, Records};

/// The asked columns, in the order of the batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projection(pub Vec<Column>);

impl Projection {
    pub fn all() -> Self {
        Self(Column::ALL.to_vec())
    }
}

/// What to decode and how. Plain values: a scan unit and these suffice to scan elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    pub projection: Projection,
    /// Rows that do not fit are never built.
    pub predicate: Predicate,
    /// Tuples outside of it are neither rows nor counted.
    pub window: TimeRange,
    /// Start of the hour in the path of the blob, ms since 1970; `None` where its path has none. Tuples of a record that
    /// does not tell its own time before them must be near it.
    pub hour: Option<i64>,
    /// Interfaces whose records are read, twelve upper-case digits each; none for all. Other records are passed over
    /// and not counted.
    pub macs: Vec<String>,
    /// No batch has more rows; at least 1.
    pub batch_size: usize,
    pub text: Text,
    /// Whether the addresses of source and destination are numbers, as in [`Text::Coded`], whatever `text` says.
    pub numbers: [bool; 2],
    /// The widest that may be used. What comes out is the same.
    pub instructions: Instructions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            projection: Projection::all(),
            predicate: Predicate::default(),
            window: TimeRange::default(),
            hour: None,
            macs: Vec::new(),
            batch_size: 8192,
            text: Text::View,
            numbers: [false; 2],
            instructions: Instructions::default(),
        }
    }
}

/// The part of a blob that a decoder owns: the records that start in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Byte range `[start, end)`, cut anywhere; `end` is `None` for the last piece.
    Piece {
        start: u64,
        end: Option<u64>,
        hint: SplitHint,
    },
}

/// What was seen, wanted or not. Projection and predicate never change it; the window does for tuples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub records: u64,
    /// Records that could not be read, parts of records in the place of a list of tuples, and stretches of bytes that
    /// belong to no record. Each is a problem.
    pub bad_records: u64,
    pub tuples: u64,
    pub denied_tuples: u64,
    pub malformed_tuples: u64,
    /// Problems, also those beyond the first [`KEPT_PROBLEMS`].
    pub problems: u64,
    /// Records that only the slower, general path could read.
    pub slow_records: u64,
    /// Records with the time and interface of the one before. Pieces of a blob are not compared across their edges.
    pub split_records: u64,
    /// Likewise, records that are older than the one of their interface before.
    pub unordered_records: u64,
    /// Records of other logs.
    pub foreign: Foreign,
    /// Tuples of NSG v1, NSG v2 and VNet v4 records.
    pub versions: Versions,
    /// First and last flow time, ms.
    pub times: Option<(i64, i64)>,
}

/// Tuples by the version of their record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub nsg1: u64,
    pub nsg2: u64,
    pub vnet4: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.records += other.records;
        self.bad_records += other.bad_records;
        self.tuples += other.tuples;
        self.denied_tuples += other.denied_tuples;
        self.malformed_tuples += other.malformed_tuples;
        self.problems += other.problems;
        self.slow_records += other.slow_records;
        self.split_records += other.split_records;
        self.unordered_records += other.unordered_records;
        if !other.foreign.is_empty() {
            self.foreign.add(&other.foreign);
        }
        self.versions.nsg1 += other.versions.nsg1;
        self.versions.nsg2 += other.versions.nsg2;
        self.versions.vnet4 += other.versions.vnet4;
        self.times = match (self.times, other.times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

/// Push chunks, flush batches, finish, flush again.
pub struct Decoder {
    encoding: Encoding,
    framer: Framer,
    /// A record found but not read yet: the rows before it go first.
    held: Option<Range<usize>>,
    records: Records,
    columns: Columns,
    batch_size: usize,
    is_whole: bool,
    is_finished: bool,
    /// Offset after the last whole record.
    end: Option<u64>,
}

impl Decoder {
    /// `blob` is what the `blob` column says.
    pub fn new(blob: &str, part: Part, options: Options) -> Self {
        let is_whole = part == Part::Whole;
        Self {
            encoding: if is_whole { Encoding::unknown() } else { Encoding::plain() },
            framer: Framer::new(part, options.instructions),
            held: None,
            records: Records::new(&options),
            columns: Columns::new(blob, options.projection, options.text, options.numbers),
            batch_size: options.batch_size.max(1),
            is_whole,
            is_finished: false,
            end: None,
        }
    }

    /// Takes the next bytes. Flush until `None` before the next push, or memory grows with what was pushed.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.held.is_none() && self.records.pending() == 0 {
            self.framer.forget_consumed();
        }
        self.framer.push(self.encoding.push(chunk));
    }

    /// After the last push and its flushes: what is left of a record is a problem.
    pub fn finish(&mut self) {
        self.framer.push(self.encoding.finish());
        if self.encoding.is_refused() {
            self.records.bad(0, Reason::Utf16, &[]);
        }
        self.is_finished = true;
        self.finish_framer();
    }

    fn finish_framer(&mut self) {
        if let Some((offset, reason)) = self.framer.finish() {
            let from = usize::try_from(offset - self.framer.origin()).unwrap_or(usize::MAX);
            self.records.bad(offset, reason, self.framer.bytes().get(from..).unwrap_or_default());
        }
    }

    /// The next rows, at most a batch of them; `None` when more must be pushed first.
    pub fn flush(&mut self) -> Option<RecordBatch> {
        while self.records.pending() < self.batch_size && !self.records.is_rewritten() {
            if !self.read_next() {
                break;
            }
        }
        if self.records.pending() == 0 {
            if self.is_finished && self.is_whole {
                self.records.settle();
            }
            return None;
        }
        let batch = self.columns.decode(&self.records.take(self.framer.bytes(), self.batch_size));
        self.records.forget_flushed();
        Some(batch)
    }

    /// True when further bytes are not needed: a piece has reached the first record of the next one, or the blob is in an
    /// encoding that is not read.
    pub fn is_done(&self) -> bool {
        self.framer.is_done() || self.encoding.is_refused()
    }

    /// Everything flushed so far, and a little more.
    pub fn counts(&self) -> &Counts {
        &self.records.counts
    }

    /// Offset in the blob's text after the last whole record that was read; `None` before the first.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// The first [`KEPT_PROBLEMS`] problems found since the last call, in the order of their places.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.records.problems).into_vec()
    }

    /// Reads one more record. False when that takes more bytes, or a flush.
    fn read_next(&mut self) -> bool {
        let span = match self.held.take() {
            Some(span) => span,
            None => match self.framer.next() {
                None => return false,
                Some(Frame::Bad(offset, reason)) => {
                    self.records.bad(offset, reason, &[]);
                    return true;
                }
                Some(Frame::Record(span)) => span,
            },
        };
        match self.records.read(self.framer.bytes(), span.clone(), self.framer.origin()) {
            Read::Done => {
                self.end = Some(self.framer.origin() + span.end as u64);
                true
            }
            Read::FlushFirst => {
                self.held = Some(span);
                false
            }
        }
    }
}
