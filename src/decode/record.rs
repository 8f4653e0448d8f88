//! Rows that wait to become columns: the kept tuples of whole records, and what they have in common.

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
    /// Index of its run. Rows of a run follow one another.
    pub run: u32,
    /// Its first byte.
    start: u32,
}

impl Row {
    pub fn new(tuple: Tuple, run: u32, start: usize) -> Self {
        Self { tuple, run, start: start as u32 }
    }

    /// Text of the source (0) or destination (1).
    fn address(&self, end: usize) -> Range<usize> {
        let [from, to] = [0, 1].map(|i| self.start as usize + usize::from(self.tuple.ends[end + i]));
        from + 1..to
    }

    fn encryption(&self) -> Range<usize> {
        let from = self.start as usize + usize::from(self.tuple.ends[3]) + 1;
        from..from + self.tuple.encryption as usize
    }
}

/// What neighbouring tuples share.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub rule: Option<TextId>,
    pub acl: Option<TextId>,
    pub mac: Option<TextId>,
    /// Index of its record's head.
    pub head: u32,
}

/// What all tuples of a record share.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub flow_log: Option<TextId>,
    pub target: Option<TextId>,
    /// ms since 1970.
    pub record_time: Option<i64>,
    pub kind: LogKind,
    pub version: u8,
}

/// Place of a text in [`Texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextId(u32);

impl TextId {
    pub fn index(self) -> u32 {
        self.0
    }
}

/// Texts that many tuples share, each held once.
#[derive(Default)]
pub struct Texts {
    ids: HashMap<Box<str>, TextId>,
    all: Vec<Box<str>>,
    /// All of them as a column, until there is another.
    column: OnceCell<ArrayRef>,
}

/// With more distinct texts than this they are forgotten once no row needs them.
const MANY_TEXTS: usize = 32_768;

impl Texts {
    pub fn all(&self) -> &[Box<str>] {
        &self.all
    }

    /// All of them as `make` makes a column of them, which is made once.
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

/// The rows of [`Records`] that are due, with all that their columns are made of.
pub struct Pending<'a> {
    pub rows: &'a [Row],
    pub runs: &'a [Run],
    pub heads: &'a [Head],
    pub texts: &'a Texts,
    bytes: &'a [u8],
    /// Runs, each with the number of its rows.
    spans: Vec<(u32, usize)>,
    /// The bytes between the first row and the last, once checked to be text, and where they start.
    text: OnceCell<(&'a str, usize)>,
}

impl<'a> Pending<'a> {
    /// Source (0) or destination (1) as it stands in the tuple.
    #[inline]
    pub fn address(&self, row: &Row, end: usize) -> &'a str {
        self.text(row.address(end))
    }

    /// The encryption as it stands in the tuple; empty where there is none.
    #[inline]
    pub fn encryption(&self, row: &Row) -> &'a str {
        if row.tuple.encryption == 0 { "" } else { self.text(row.encryption()) }
    }

    #[inline]
    fn text(&self, range: Range<usize>) -> &'a str {
        let (text, from) = *self.text.get_or_init(|| self.all_text());
        match text.get(range.start - from..range.end - from) {
            Some(text) => text,
            // Other bytes between the rows are no text: check this field alone.
            None => std::str::from_utf8(&self.bytes[range]).unwrap_or_default(),
        }
    }

    /// Nothing where few of the tuples are kept: then each field is checked by itself.
    fn all_text(&self) -> (&'a str, usize) {
        /// Bytes for each row, above which most of them are not of rows.
        const SPARSE: usize = 200;
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return ("", 0) };
        let (from, to) = (first.start as usize, last.address(1).end.max(last.encryption().end));
        if (to - from) / self.rows.len() > SPARSE {
            return ("", from);
        }
        (std::str::from_utf8(&self.bytes[from..to.min(self.bytes.len())]).unwrap_or_default(), from)
    }

    /// The runs of the rows in their order, each with the number of its rows.
    pub fn spans(&self) -> impl Iterator<Item = (&'a Run, usize)> + Clone {
        let runs = self.runs;
        self.spans.iter().map(|&(run, rows)| (&runs[run as usize], rows))
    }

    pub fn head(&self, run: &Run) -> &'a Head {
        &self.heads[run.head as usize]
    }
}

/// Reads records into rows that wait to be flushed.
pub struct Records {
    window: TimeRange,
    /// Hour in the blob's path, ms since 1970.
    hour: Option<i64>,
    /// Times of the tuples that are read now.
    times: Times,
    filter: Filter,
    /// Interfaces whose records are read; none for all.
    macs: Vec<String>,
    pub instructions: Instructions,
    /// Whether rows need their counters.
    pub with_counters: bool,
    pub counts: Counts,
    /// The first ones since they were last taken.
    pub problems: Problems,
    /// Whether anything so far, read or not, is of a flow log.
    pub is_flow_log: bool,
    pub rows: Vec<Row>,
    /// Rows before this one are flushed.
    flushed: usize,
    pub runs: Vec<Run>,
    pub heads: Vec<Head>,
    pub texts: Texts,
    /// Interface and time of the last record that has both.
    pub last: Option<(Box<str>, i64)>,
    /// A record with no needless escapes, when the one read had escapes; then the rows lie in it.
    pub rewritten: Option<Vec<u8>>,
}

/// Whether a record was read, or the rows before it must be flushed first.
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

    /// Rows not flushed yet.
    pub fn pending(&self) -> usize {
        self.rows.len() - self.flushed
    }

    /// True while rows lie outside the framer's bytes: they must go before the next record.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten.is_some()
    }

    /// The next rows, at most `limit`. `bytes` are those that the records were read from.
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

    /// Makes room once all rows are flushed.
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

    /// Whether every interface is asked for.
    pub fn takes_all(&self) -> bool {
        self.macs.is_empty()
    }

    /// Whether an interface is asked for, whatever stands between the digits of its MAC.
    pub fn is_chosen(&self, mac: &str) -> bool {
        let digits = || mac.bytes().filter(|b| !matches!(b, b':' | b'-' | b'.')).map(|b| b.to_ascii_uppercase());
        self.takes_all() || self.macs.iter().any(|chosen| digits().eq(chosen.bytes()))
    }

    /// Notes a record, or a stretch of bytes, that could not be read; `bytes` as far as they are at hand.
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

    /// To be called once a whole blob is read: makes one problem of those of a blob that is of another kind altogether.
    pub fn settle(&mut self) {
        if self.is_flow_log || self.counts.bad_records < 2 || !self.counts.foreign.is_empty() {
            return;
        }
        self.counts.bad_records = 1;
        self.counts.problems = 1;
        self.problems.replace(Reason::OtherKind);
    }

    /// Tells the time of the record, if it is known, before the tuples below one of its keys are read.
    pub fn expect_tuples(&mut self, record_time: Option<i64>) {
        self.times = Times::new(record_time, self.hour, self.window);
    }

    /// Counts a tuple that was read from `bytes`, and keeps it as a row if it is wanted. False, and nothing else, if its
    /// time is not: see [`Self::leave_out`], which would slow the loop over all others down if it was called from it.
    #[inline(always)]
    pub fn keep_or_count(&mut self, tally: &mut Tally, bytes: &[u8], tuple: Tuple, run: u32, start: usize) -> bool {
        if !self.times.are_wanted(tuple.time) {
            return false;
        }
        // Pushed first: whether a row stays is often hard to foresee, and a wrong guess costs more than a row. And only
        // looked at there: a tuple that goes by way of other memory costs more than reading it.
        self.rows.push(Row::new(tuple, run, start));
        let last = self.rows.len() - 1;
        let tuple = &self.rows[last].tuple;
        tally.add(tuple);
        let is_kept = self.filter.keeps(tuple, |end| address_of(bytes, tuple, start, end));
        self.rows.truncate(last + usize::from(is_kept));
        true
    }

    /// Notes a tuple at `offset` whose time is implausible, or outside the window.
    pub fn leave_out(&self, tally: &mut Tally, time: i64, offset: u64) {
        match self.times.fault(time) {
            Some(off) => tally.add_off(off, offset, self.counts.records),
            None => tally.add_outside(),
        }
    }
}

/// Source (0) or destination (1) of a tuple on the common number line.
fn address_of(bytes: &[u8], tuple: &Tuple, start: usize, end: usize) -> u128 {
    if !tuple.code.is_v6(end) {
        return V4_FIRST | u128::from(tuple.ips[end]);
    }
    let text = &bytes[Row::new(*tuple, 0, start).address(end)];
    std::str::from_utf8(text).ok().and_then(parse_ip).map_or(0, number)
}

/// The same JSON with no escape that text can do without, and all keys where they were.
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
