//! Rows that wait to be converted to columns: kept tuples of whole records, and the values they share.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use arrow::array::ArrayRef;
use serde::de::IgnoredAny;

use super::frame::peek::string_end;
use super::keys::names_flows;
use super::predicate::Filter;
use super::problem::{Problem, Problems, Reason};
use super::simd::Instructions;
use super::tally::Tally;
use super::times::Times;
use super::tuple::Tuple;
use super::{Counts, Options};
use crate::flow::LogKind;
use crate::net::{V4_FIRST, number, parse_ip};
use crate::time::TimeRange;

/// A kept tuple.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub tuple: Tuple,
    /// Index of its run. Rows of a run are consecutive.
    pub run: u32,
    /// Offset of its first byte in the record buffer.
    start: u32,
}

impl Row {
    pub fn new(tuple: Tuple, run: u32, start: usize) -> Self {
        Self { tuple, run, start: start as u32 }
    }

    /// Returns the range of the source (0) or destination (1).
    fn address(&self, end: usize) -> Range<usize> {
        let [from, to] = [0, 1].map(|i| self.start as usize + usize::from(self.tuple.ends[end + i]));
        from + 1..to
    }

    fn encryption(&self) -> Range<usize> {
        let from = self.start as usize + usize::from(self.tuple.ends[3]) + 1;
        from..from + self.tuple.encryption as usize
    }
}

/// Values that consecutive tuples share.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub rule: Option<TextId>,
    pub acl: Option<TextId>,
    pub mac: Option<TextId>,
    /// Index of the record's head.
    pub head: u32,
}

/// Values that all tuples of a record share.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub flow_log: Option<TextId>,
    pub target: Option<TextId>,
    /// ms since 1970.
    pub record_time: Option<i64>,
    pub kind: LogKind,
    pub version: u8,
}

/// Index of a text in [`Texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextId(u32);

impl TextId {
    pub fn index(self) -> u32 {
        self.0
    }
}

/// Interned texts that many tuples share.
#[derive(Default)]
pub struct Texts {
    ids: HashMap<Box<str>, TextId>,
    all: Vec<Box<str>>,
    /// Cached column of all texts. Reset when a text is added.
    column: OnceCell<ArrayRef>,
}

/// Number of distinct texts above which they are dropped, once no row needs them.
const MANY_TEXTS: usize = 32_768;

impl Texts {
    pub fn all(&self) -> &[Box<str>] {
        &self.all
    }

    /// Returns all texts as a column, created by `make` on first use.
    pub fn column(&self, make: impl FnOnce() -> ArrayRef) -> &ArrayRef {
        self.column.get_or_init(make)
    }

    pub fn id(&mut self, text: &str) -> TextId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = TextId(self.all.len() as u32);
        self.column.take();
        self.all.push(text.into());
        self.ids.insert(text.into(), id);
        id
    }
}

/// Rows of [`Records`] for one batch, with everything that their columns need.
pub struct Pending<'a> {
    pub rows: &'a [Row],
    pub runs: &'a [Run],
    pub heads: &'a [Head],
    pub texts: &'a Texts,
    bytes: &'a [u8],
    /// Runs, each with its number of rows.
    spans: Vec<(u32, usize)>,
    /// Validated UTF-8 from the first row to the last, and its offset. Set on first use.
    text: OnceCell<(&'a str, usize)>,
}

impl<'a> Pending<'a> {
    /// Returns the source (0) or destination (1) as written in the tuple.
    #[inline]
    pub fn address(&self, row: &Row, end: usize) -> &'a str {
        self.text(row.address(end))
    }

    /// Returns the encryption as written in the tuple; empty if there is none.
    #[inline]
    pub fn encryption(&self, row: &Row) -> &'a str {
        if row.tuple.encryption == 0 { "" } else { self.text(row.encryption()) }
    }

    #[inline]
    fn text(&self, range: Range<usize>) -> &'a str {
        let (text, from) = *self.text.get_or_init(|| self.all_text());
        match text.get(range.start - from..range.end - from) {
            Some(text) => text,
            // The bytes between the rows are not valid UTF-8 as a whole, so this field is checked alone.
            None => std::str::from_utf8(&self.bytes[range]).unwrap_or_default(),
        }
    }

    /// Validates the text of all rows at once. Returns an empty text if few tuples were kept; each field is then
    /// checked alone.
    fn all_text(&self) -> (&'a str, usize) {
        /// Bytes per row above which most bytes belong to no row.
        const SPARSE: usize = 200;
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return ("", 0) };
        let (from, to) = (first.start as usize, last.address(1).end.max(last.encryption().end));
        if (to - from) / self.rows.len() > SPARSE {
            return ("", from);
        }
        (std::str::from_utf8(&self.bytes[from..to.min(self.bytes.len())]).unwrap_or_default(), from)
    }

    /// Returns the runs in row order, each with its number of rows.
    pub fn spans(&self) -> impl Iterator<Item = (&'a Run, usize)> + Clone {
        let runs = self.runs;
        self.spans.iter().map(|&(run, rows)| (&runs[run as usize], rows))
    }

    pub fn head(&self, run: &Run) -> &'a Head {
        &self.heads[run.head as usize]
    }
}

/// Reads records and keeps their rows until they are flushed.
pub struct Records {
    window: TimeRange,
    /// Hour in the blob's path, ms since 1970.
    hour: Option<i64>,
    /// Plausible times for the current tuples.
    times: Times,
    filter: Filter,
    /// Interfaces to read, as twelve upper-case digits each; empty for all.
    macs: Vec<String>,
    pub instructions: Instructions,
    /// True if a counter column is projected.
    pub with_counters: bool,
    pub counts: Counts,
    /// Problems since the last call of `take_problems`.
    pub problems: Problems,
    /// True if any input so far belongs to a flow log, readable or not.
    pub is_flow_log: bool,
    pub rows: Vec<Row>,
    /// Number of rows already flushed.
    flushed: usize,
    pub runs: Vec<Run>,
    pub heads: Vec<Head>,
    pub texts: Texts,
    /// Interface and time of the last record that has both.
    pub last: Option<(Box<str>, i64)>,
    /// Copy of the current record without needless escapes, if it had escapes. The rows then refer to this copy.
    pub rewritten: Option<Vec<u8>>,
}

/// Result of reading a record: done, or the rows before it must be flushed first.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    Done,
    FlushFirst,
}

impl Records {
    pub fn new(options: &Options) -> Self {
        Self {
            window: options.window,
            hour: options.hour,
            times: Times::new(None, options.hour, options.window),
            filter: Filter::new(&options.predicate),
            macs: options.macs.clone(),
            instructions: options.instructions.available(),
            with_counters: options.projection.0.iter().any(|column| column.is_counter()),
            counts: Counts::default(),
            problems: Problems::default(),
            is_flow_log: false,
            rows: Vec::new(),
            flushed: 0,
            runs: Vec::new(),
            heads: Vec::new(),
            texts: Texts::default(),
            last: None,
            rewritten: None,
        }
    }

    /// Number of rows not flushed yet.
    pub fn pending(&self) -> usize {
        self.rows.len() - self.flushed
    }

    /// Returns whether rows refer to the rewritten copy. They must be flushed before the next record.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten.is_some()
    }

    /// Returns the next rows, at most `limit`. `bytes` is the buffer that the records were read from.
    pub fn take<'a>(&'a mut self, bytes: &'a [u8], limit: usize) -> Pending<'a> {
        let from = self.flushed;
        self.flushed = self.rows.len().min(from + limit);
        let rows = &self.rows[from..self.flushed];
        Pending {
            rows,
            spans: rows.chunk_by(|a, b| a.run == b.run).map(|rows| (rows[0].run, rows.len())).collect(),
            runs: &self.runs,
            heads: &self.heads,
            texts: &self.texts,
            bytes: self.rewritten.as_deref().unwrap_or(bytes),
            text: OnceCell::new(),
        }
    }

    /// Releases memory once all rows are flushed.
    pub fn forget_flushed(&mut self) {
        if self.pending() > 0 {
            return;
        }
        self.flushed = 0;
        self.rows.clear();
        self.runs.clear();
        self.heads.clear();
        self.rewritten = None;
        if self.texts.all.len() > MANY_TEXTS {
            self.texts = Texts::default();
        }
    }

    /// Returns whether all interfaces are selected.
    pub fn takes_all(&self) -> bool {
        self.macs.is_empty()
    }

    /// Returns whether the interface is selected. Separators `:`, `-` and `.` in `mac` are ignored.
    pub fn is_chosen(&self, mac: &str) -> bool {
        let digits = || mac.bytes().filter(|b| !matches!(b, b':' | b'-' | b'.')).map(|b| b.to_ascii_uppercase());
        self.takes_all() || self.macs.iter().any(|chosen| digits().eq(chosen.bytes()))
    }

    /// Records a problem with a whole record or with bytes outside of records. `bytes` holds as much of them as is
    /// available.
    pub fn bad(&mut self, offset: u64, reason: Reason, bytes: &[u8]) {
        self.is_flow_log |= match reason {
            Reason::Garbage | Reason::CutBetweenRecords => false,
            Reason::UnknownRecord | Reason::Json | Reason::Cut => names_flows(bytes),
            _ => true,
        };
        self.counts.bad_records += 1;
        self.counts.problems += 1;
        self.problems.push(Problem { offset, record: self.counts.records, reason });
    }

    /// Ends a whole blob. If it contains nothing of a flow log, all its problems are replaced by one.
    pub fn settle(&mut self) {
        if self.is_flow_log || self.counts.bad_records < 2 || !self.counts.foreign.is_empty() {
            return;
        }
        self.counts.bad_records = 1;
        self.counts.problems = 1;
        self.problems.replace(Reason::OtherKind);
    }

    /// Sets the plausible times for the tuples below the next key. `record_time` is the record's time if already
    /// known.
    pub fn expect_tuples(&mut self, record_time: Option<i64>) {
        self.times = Times::new(record_time, self.hour, self.window);
    }

    /// Counts a tuple read from `bytes`, and keeps it as a row if the filter accepts it. Returns false, with no
    /// effect, if its time is not wanted. The caller then calls [`Self::leave_out`], because a call from here would
    /// slow down the loop over all other tuples.
    #[inline(always)]
    pub fn keep_or_count(&mut self, tally: &mut Tally, bytes: &[u8], tuple: Tuple, run: u32, start: usize) -> bool {
        if !self.times.are_wanted(tuple.time) {
            return false;
        }
        // Write the row, then drop it if the filter rejects it: a mispredicted branch costs more than the write.
        // Filter the stored row, because a second copy is slower.
        self.rows.push(Row::new(tuple, run, start));
        let last = self.rows.len() - 1;
        let tuple = &self.rows[last].tuple;
        tally.add(tuple);
        let is_kept = self.filter.keeps(tuple, |end| address_of(bytes, tuple, start, end));
        self.rows.truncate(last + usize::from(is_kept));
        true
    }

    /// Records a tuple at `offset` whose time is implausible or outside the window.
    pub fn leave_out(&self, tally: &mut Tally, time: i64, offset: u64) {
        match self.times.fault(time) {
            Some(off) => tally.add_off(off, offset, self.counts.records),
            None => tally.add_outside(),
        }
    }
}

/// Returns the source (0) or destination (1) of a tuple on the common number line.
fn address_of(bytes: &[u8], tuple: &Tuple, start: usize, end: usize) -> u128 {
    if !tuple.code.is_v6(end) {
        return V4_FIRST | u128::from(tuple.ips[end]);
    }
    let text = &bytes[Row::new(*tuple, 0, start).address(end)];
    std::str::from_utf8(text).ok().and_then(parse_ip).map_or(0, number)
}

/// Returns the same JSON without needless escapes, with keys in the same order. Returns `None` for invalid JSON.
pub fn without_escapes(record: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<IgnoredAny>(record).ok()?;
    std::str::from_utf8(record).ok()?;
    let mut rewritten = Vec::with_capacity(record.len());
    let mut copied = 0;
    while let Some(quote) = memchr::memchr(b'"', &record[copied..]) {
        let open = copied + quote;
        let end = string_end(record, open + 1)? + 1;
        let text = &record[open..end];
        rewritten.extend_from_slice(&record[copied..open]);
        if text.contains(&b'\\') {
            let text: String = serde_json::from_slice(text).ok()?;
            serde_json::to_writer(&mut rewritten, &text).ok()?;
        } else {
            rewritten.extend_from_slice(text);
        }
        copied = end;
    }
    rewritten.extend_from_slice(&record[copied..]);
    Some(rewritten)
}
