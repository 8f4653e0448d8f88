//! Decodes the bytes of one blob into record batches of `flows`.
//!
//! A [`Decoder`] accepts chunks cut at any byte and returns batches. It knows no paths, stores, async or SQL.
//! `encoding` first converts UTF-16 to UTF-8; offsets refer to the UTF-8 text. Three stages follow, in the order of
//! the data flow:
//!
//! 1. `frame` finds the start and end of each flow record, whatever containers surround it.
//! 2. `walk` reads one whole record. `tuple`, or a faster equivalent in `simd`, checks every field of its tuples.
//!    So a malformed tuple is reported regardless of the projection. `times` defines the plausible times. `cursor`
//!    steps from value to value, and `keys` matches keys in any case. `record` keeps the selected rows, `tally`
//!    counts, and `foreign` counts records of other logs.
//! 3. `columns` decodes only the projected columns, one at a time, and only for the kept rows.
//!
//! Log versions 1, 2 and 4 are indistinguishable above this module.

mod columns;
mod cursor;
mod distinct;
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
pub use columns::last_part;
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

/// Columns to decode, in the order of the batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projection(pub Vec<Column>);

impl Projection {
    /// Returns all columns in schema order.
    pub fn all() -> Self {
        Self(Column::ALL.to_vec())
    }
}

/// Decoder settings. They are plain values, so that a scan unit can be scanned on another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Columns to decode.
    pub projection: Projection,
    /// Filter on rows. Rejected rows are never built.
    pub predicate: Predicate,
    /// Time window. Tuples outside it are neither returned nor counted.
    pub window: TimeRange,
    /// Start of the hour in the blob's path, ms since 1970; `None` if the path has none. Tuples must be near it if
    /// their record's time does not precede them.
    pub hour: Option<i64>,
    /// Interfaces to read, as twelve upper-case digits each; empty for all. Records of other interfaces are skipped
    /// and not counted.
    pub macs: Vec<String>,
    /// Maximum number of rows per batch; at least 1.
    pub batch_size: usize,
    /// Array type of the text columns.
    pub text: Text,
    /// True if source or destination addresses are returned as numbers, as in [`Text::Coded`], regardless of `text`.
    pub numbers: [bool; 2],
    /// Widest instruction set that may be used. It does not affect the result.
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

/// Part of a blob that a decoder covers: the records that start in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The whole blob.
    Whole,
    /// Byte range `[start, end)`, cut anywhere. `end` is `None` for the last piece.
    Piece {
        /// First byte.
        start: u64,
        /// Byte after the last one, or `None` for the end of the blob.
        end: Option<u64>,
        /// Description of how records begin in this blob.
        hint: SplitHint,
    },
}

/// Statistics of the input. Projection and predicate never change them; the window excludes tuples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Flow records that were read.
    pub records: u64,
    /// Records that could not be read, parts of records without a readable list of tuples, and bytes outside of
    /// records. Each is a problem.
    pub bad_records: u64,
    /// Well-formed tuples inside the window.
    pub tuples: u64,
    /// Tuples with the decision `deny`.
    pub denied_tuples: u64,
    /// Tuples that were skipped because a field is invalid.
    pub malformed_tuples: u64,
    /// Number of problems, including those after the first [`KEPT_PROBLEMS`].
    pub problems: u64,
    /// Records that needed the slower, general path.
    pub slow_records: u64,
    /// Records with the time and interface of the previous record. Records in different pieces are not compared.
    pub split_records: u64,
    /// Records older than the previous record of their interface. Records in different pieces are not compared.
    pub unordered_records: u64,
    /// Records of other logs.
    pub foreign: Foreign,
    /// Tuples per log version.
    pub versions: Versions,
    /// First and last flow time, ms since 1970.
    pub times: Option<(i64, i64)>,
}

/// Tuples per version of their record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Tuples of NSG version 1.
    pub nsg1: u64,
    /// Tuples of NSG version 2.
    pub nsg2: u64,
    /// Tuples of VNet version 4.
    pub vnet4: u64,
}

impl Counts {
    /// Adds the statistics of another part.
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

/// Push decoder. Push a chunk, flush until `None`, repeat; then finish and flush until `None` again.
pub struct Decoder {
    encoding: Encoding,
    framer: Framer,
    /// A record that was found but not read, because the rows before it must be flushed first.
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
    /// Creates a decoder. `blob` is the value of the `blob` column.
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

    /// Takes the next bytes. Flush until `None` before each push; otherwise memory grows with the input.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.held.is_none() && self.records.pending() == 0 {
            self.framer.forget_consumed();
        }
        self.framer.push(self.encoding.push(chunk));
    }

    /// Ends the input, after the last push and its flushes. An incomplete record becomes a problem.
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

    /// Returns the next batch of rows, or `None` if more bytes must be pushed first.
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

    /// Returns whether no more bytes are needed: the first record of the next piece was reached, or the encoding is
    /// unsupported.
    pub fn is_done(&self) -> bool {
        self.framer.is_done() || self.encoding.is_refused()
    }

    /// Returns the statistics of the records read so far. Some of their rows may not have been flushed yet.
    pub fn counts(&self) -> &Counts {
        &self.records.counts
    }

    /// Returns the offset in the UTF-8 text after the last whole record that was read; `None` before the first.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// Returns the problems found since the last call, in input order, at most [`KEPT_PROBLEMS`].
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.records.problems).into_vec()
    }

    /// Reads one more record. Returns false if that needs more bytes or a flush.
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
