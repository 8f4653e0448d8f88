//! One whole flow record: finds its tuples, indexes and checks them, and learns what they have in common.
//!
//! Below `flowRecords` or `properties` lie nested scopes. Each may say rule, ACL or MAC, before or behind
//! its tuples: tuples point to a run, and a run's blanks are filled as scopes close, innermost first.

use std::collections::HashMap;
use std::ops::Range;

use super::frame::string_end;
use super::index::Delimiters;
use super::predicate::{Predicate, TimeRange};
use super::problem::{Problem, Reason};
use super::tuple::{self, Fields, Key, MAX_FIELDS};
use super::{Counts, Versions};
use crate::flow::{Decision, LogKind};

/// A kept tuple.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub key: Key,
    /// Index of its run.
    pub run: u32,
    /// Its marks start here, and are so many.
    first_mark: u32,
    marks: u8,
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
}

/// With more distinct texts than this they are forgotten once no row needs them.
const MANY_TEXTS: usize = 4096;

impl Texts {
    pub fn all(&self) -> &[Box<str>] {
        &self.all
    }

    fn id(&mut self, text: &str) -> TextId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = TextId(self.all.len() as u32);
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
    marks: &'a [u32],
    /// The bytes between the first row and the last, once checked to be text, and where they start.
    text: (&'a str, usize),
}

impl<'a> Pending<'a> {
    /// A field as text.
    #[inline]
    pub fn text(&self, row: &Row, field: usize) -> &'a str {
        let first = row.first_mark as usize;
        let Some(&[before, end]) = self.marks[first..first + usize::from(row.marks)].get(field..field + 2) else {
            return "";
        };
        let (start, end) = (before as usize + usize::from(field > 0), end as usize);
        let (text, from) = self.text;
        match text.get(start - from..end - from) {
            Some(text) => text,
            // Other bytes between the rows are no text: check this field alone.
            None => std::str::from_utf8(&self.bytes[start..end]).unwrap_or_default(),
        }
    }

    pub fn run(&self, row: &Row) -> &'a Run {
        &self.runs[row.run as usize]
    }

    pub fn head(&self, row: &Row) -> &'a Head {
        &self.heads[self.run(row).head as usize]
    }
}

/// Reads records into rows that wait to be flushed.
pub struct Records {
    window: TimeRange,
    predicate: Predicate,
    pub counts: Counts,
    pub problems: Vec<Problem>,
    rows: Vec<Row>,
    /// Rows before this one are flushed.
    flushed: usize,
    marks: Vec<u32>,
    runs: Vec<Run>,
    heads: Vec<Head>,
    texts: Texts,
    /// Interface and time of the last record that has both.
    last: Option<(Box<str>, i64)>,
    /// A record with no needless escapes, when the one read had escapes; then the rows lie in it.
    rewritten: Option<Vec<u8>>,
}

/// Whether a record was read, or the rows before it must be flushed first.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    Done,
    FlushFirst,
}

impl Records {
    pub fn new(window: TimeRange, predicate: Predicate) -> Self {
        Self {
            window,
            predicate,
            counts: Counts::default(),
            problems: Vec::new(),
            rows: Vec::new(),
            flushed: 0,
            marks: Vec::new(),
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
        let bytes = self.rewritten.as_deref().unwrap_or(bytes);
        Pending {
            rows,
            runs: &self.runs,
            heads: &self.heads,
            texts: &self.texts,
            bytes,
            marks: &self.marks,
            text: self.text_of(rows, bytes),
        }
    }

    fn text_of<'a>(&self, rows: &[Row], bytes: &'a [u8]) -> (&'a str, usize) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return ("", 0) };
        let from = self.marks[first.first_mark as usize] as usize;
        let to = self.marks[last.first_mark as usize + usize::from(last.marks) - 1] as usize;
        (std::str::from_utf8(&bytes[from..to]).unwrap_or_default(), from)
    }

    /// Makes room once all rows are flushed.
    pub fn forget_flushed(&mut self) {
        if self.pending() > 0 {
            return;
        }
        self.flushed = 0;
        self.rows.clear();
        self.marks.clear();
        self.runs.clear();
        self.heads.clear();
        self.rewritten = None;
        if self.texts.all.len() > MANY_TEXTS {
            self.texts = Texts::default();
        }
    }

    pub fn bad(&mut self, offset: u64, reason: Reason) {
        self.counts.bad_records += 1;
        self.problems.push(Problem { offset, record: self.counts.records, reason });
    }

    /// Reads the record in `bytes[span]`; `origin` is the place of `bytes[0]` in the blob.
    pub fn read(&mut self, bytes: &[u8], span: Range<usize>, origin: u64) -> Read {
        let offset = origin + span.start as u64;
        if memchr::memchr(b'\\', &bytes[span.clone()]).is_none() {
            self.walk(bytes, span, Places::In(origin));
            return Read::Done;
        }
        if self.pending() > 0 {
            return Read::FlushFirst;
        }
        self.forget_flushed();
        self.counts.slow_records += 1;
        match without_escapes(&bytes[span]) {
            Some(rewritten) => {
                self.walk(&rewritten, 0..rewritten.len(), Places::At(offset));
                self.rewritten = (self.pending() > 0).then_some(rewritten);
            }
            None => self.bad(offset, Reason::Json),
        }
        Read::Done
    }

    fn walk(&mut self, bytes: &[u8], span: Range<usize>, places: Places) {
        let before = (self.rows.len(), self.marks.len(), self.runs.len(), self.heads.len(), self.problems.len());
        let offset = places.of(span.start);
        let mut walk = Walk { bytes, at: span.start, end: span.end, places, records: self };
        match walk.record() {
            Ok(tally) => {
                self.counts.records += 1;
                self.counts.add(&tally);
            }
            Err(reason) => {
                self.rows.truncate(before.0);
                self.marks.truncate(before.1);
                self.runs.truncate(before.2);
                self.heads.truncate(before.3);
                self.problems.truncate(before.4);
                self.bad(offset, reason);
            }
        }
    }
}

/// Where in the blob a byte lies.
#[derive(Clone, Copy)]
enum Places {
    /// The bytes are those of the blob, the first one here.
    In(u64),
    /// The bytes were rewritten: all stand for this place.
    At(u64),
}

impl Places {
    fn of(self, at: usize) -> u64 {
        match self {
            Places::In(origin) => origin + at as u64,
            Places::At(offset) => offset,
        }
    }
}

/// The same JSON with no escape that text can do without.
fn without_escapes(record: &[u8]) -> Option<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_slice(record).ok()?;
    serde_json::to_vec(&value).ok()
}

/// The tuples below one of a record's two possible keys.
struct Subtree {
    rows: Range<usize>,
    problems: Range<usize>,
    tally: Counts,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Absent,
    Number(u8),
    Unknown,
}

/// Deeper than any flow record nests its scopes.
const MAX_SCOPES: u32 = 8;

/// A place in one record whose keys and tuples have no needless escapes.
struct Walk<'a, 'r> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    places: Places,
    records: &'r mut Records,
}

impl<'a> Walk<'a, '_> {
    fn record(&mut self) -> Result<Counts, Reason> {
        let (first_run, head_index) = (self.records.runs.len(), self.records.heads.len() as u32);
        let (mut mac, mut resource, mut resource_lower, mut flow_log, mut target) = (None, None, None, None, None);
        let (mut record_time, mut flow_log_version) = (None, Version::Absent);
        let (mut flow_records, mut properties) = (None, None);
        self.expect(b'{')?;
        while let Some(key) = self.next_key()? {
            match key {
                b"time" => record_time = self.text()?.and_then(|t| time_of(&self.bytes[t])),
                b"macAddress" => mac = self.text_id()?,
                b"resourceId" => resource = self.text_id()?,
                b"resourceid" => resource_lower = self.text_id()?,
                b"flowLogResourceID" => flow_log = self.text_id()?,
                b"targetResourceID" => target = self.text_id()?,
                b"flowLogVersion" => flow_log_version = self.version()?,
                b"flowRecords" if flow_records.is_none() => flow_records = Some(self.subtree()?),
                b"properties" if properties.is_none() => properties = Some(self.subtree()?),
                b"flowRecords" | b"properties" => return Err(Reason::TwoBodies),
                _ => self.skip_value()?,
            }
        }
        let (kind, kept, dropped) = match (flow_records, properties) {
            (Some(kept), dropped) => (LogKind::Vnet, kept, dropped),
            (None, Some(kept)) => (LogKind::Nsg, kept, None),
            (None, None) => return Err(Reason::UnknownRecord),
        };
        let version = match (kind, if kind == LogKind::Vnet { flow_log_version } else { kept.version }) {
            (LogKind::Vnet, Version::Absent | Version::Number(4)) => 4,
            (LogKind::Nsg, Version::Absent) => 2,
            (LogKind::Nsg, Version::Number(version @ (1 | 2))) => version,
            _ => return Err(Reason::UnknownVersion),
        };
        if let Some(dropped) = dropped {
            self.records.rows.drain(dropped.rows);
            self.records.problems.drain(dropped.problems);
        }
        let vnet = kind == LogKind::Vnet;
        let head =
            Head { flow_log: if vnet { flow_log.or(resource) } else { None }, target, record_time, kind, version };
        self.records.heads.push(head);
        let nothing = self.records.texts.id("");
        for run in &mut self.records.runs[first_run..] {
            run.rule = run.rule.or(Some(nothing));
            run.acl = run.acl.or(resource).or(resource_lower).or(Some(nothing));
            run.mac = run.mac.or(mac);
            run.head = head_index;
        }
        let mut tally = kept.tally;
        let versions = match (kind, version) {
            (LogKind::Vnet, _) => Versions { vnet4: tally.tuples, ..Versions::default() },
            (LogKind::Nsg, 1) => Versions { nsg1: tally.tuples, ..Versions::default() },
            (LogKind::Nsg, _) => Versions { nsg2: tally.tuples, ..Versions::default() },
        };
        tally.versions = versions;
        if let (Some(mac), Some(time)) = (mac, record_time) {
            self.compare_with_last(&mut tally, mac, time);
        }
        Ok(tally)
    }

    fn compare_with_last(&mut self, tally: &mut Counts, mac: TextId, time: i64) {
        let Records { last, texts, .. } = &mut *self.records;
        let mac = &texts.all[mac.index() as usize];
        match last {
            Some((last_mac, last_time)) if **last_mac == **mac => {
                tally.split_records = u64::from(*last_time == time);
                tally.unordered_records = u64::from(*last_time > time);
                *last_time = time;
            }
            _ => *last = Some((mac.clone(), time)),
        }
    }

    /// `flowRecords` or `properties`.
    fn subtree(&mut self) -> Result<Subtree, Reason> {
        let (rows, problems) = (self.records.rows.len(), self.records.problems.len());
        let mut tally = Counts::default();
        let mut version = Version::Absent;
        if self.peek() == Some(b'{') {
            self.scope(&mut tally, Some(&mut version), 0)?;
        } else {
            self.skip_value()?;
        }
        let (rows, problems) = (rows..self.records.rows.len(), problems..self.records.problems.len());
        Ok(Subtree { rows, problems, tally, version })
    }

    /// An object that may say rule, ACL or MAC for the tuples in it.
    fn scope(&mut self, tally: &mut Counts, mut version: Option<&mut Version>, depth: u32) -> Result<(), Reason> {
        if depth > MAX_SCOPES {
            return Err(Reason::TooDeep);
        }
        let first_run = self.records.runs.len();
        let (mut rule, mut acl, mut mac) = (None, None, None);
        self.expect(b'{')?;
        while let Some(key) = self.next_key()? {
            match (key, version.as_deref_mut()) {
                (b"rule", _) => rule = self.text_id()?,
                (b"aclID", _) => acl = self.text_id()?,
                (b"mac", _) => mac = self.text_id()?,
                (b"Version", Some(version)) => *version = self.version()?,
                (b"version", Some(version)) if *version == Version::Absent => *version = self.version()?,
                (b"flows" | b"flowGroups", _) if self.peek() == Some(b'[') => {
                    self.at += 1;
                    while !self.at_array_end()? {
                        match self.peek() {
                            Some(b'{') => self.scope(tally, None, depth + 1)?,
                            _ => self.skip_value()?,
                        }
                    }
                }
                (b"flowTuples", _) if self.peek() == Some(b'[') => self.tuples(tally)?,
                _ => self.skip_value()?,
            }
        }
        for run in &mut self.records.runs[first_run..] {
            run.rule = run.rule.or(rule);
            run.acl = run.acl.or(acl);
            run.mac = run.mac.or(mac);
        }
        Ok(())
    }

    /// Phase one: the fields of every tuple of an array, indexed by one pass over its commas and quotes.
    fn tuples(&mut self, tally: &mut Counts) -> Result<(), Reason> {
        let bytes = self.bytes;
        let run = self.records.runs.len() as u32;
        self.records.runs.push(Run { rule: None, acl: None, mac: None, head: 0 });
        self.at += 1;
        let mut delimiters = Delimiters::new(&bytes[..self.end], self.at);
        while !self.at_array_end()? {
            if self.peek() != Some(b'"') {
                self.malformed(tally, self.at, Reason::NotText);
                self.skip_value()?;
                continue;
            }
            let start = self.at + 1;
            // Commas between the tuples, and whatever an element that is no text held.
            delimiters.find(|&d| d + 1 == start);
            let first_mark = self.records.marks.len();
            self.records.marks.push(start as u32);
            let close = loop {
                let delimiter = delimiters.next().ok_or(Reason::Json)?;
                let is_quote = bytes[delimiter] == b'"';
                if is_quote && is_escaped(bytes, delimiter) {
                    continue;
                }
                if self.records.marks.len() - first_mark <= MAX_FIELDS {
                    self.records.marks.push(delimiter as u32);
                }
                if is_quote {
                    break delimiter;
                }
            };
            self.at = close + 1;
            self.keep_or_count(tally, run, first_mark);
        }
        Ok(())
    }

    /// Checks the tuple whose marks start at `first_mark`, counts it, and keeps it if it is wanted.
    fn keep_or_count(&mut self, tally: &mut Counts, run: u32, first_mark: usize) {
        let marks = &self.records.marks[first_mark..];
        let wanted = match tuple::check(Fields::new(self.bytes, marks)) {
            Ok(key) if self.records.window.contains(key.time) => {
                tally.tuples += 1;
                tally.denied_tuples += u64::from(key.decision == Decision::Deny);
                let (first, last) = tally.times.unwrap_or((key.time, key.time));
                tally.times = Some((first.min(key.time), last.max(key.time)));
                self.records.predicate.keeps(&key).then_some(key)
            }
            Ok(_) => None,
            Err(reason) => {
                let start = marks[0] as usize;
                self.malformed(tally, start, reason);
                None
            }
        };
        match wanted {
            Some(key) => {
                let marks = (self.records.marks.len() - first_mark) as u8;
                self.records.rows.push(Row { key, run, first_mark: first_mark as u32, marks });
            }
            None => self.records.marks.truncate(first_mark),
        }
    }

    fn malformed(&mut self, tally: &mut Counts, at: usize, reason: Reason) {
        tally.malformed_tuples += 1;
        let offset = self.places.of(at);
        self.records.problems.push(Problem { offset, record: self.records.counts.records, reason });
    }

    fn peek(&mut self) -> Option<u8> {
        while self.at < self.end {
            match self.bytes[self.at] {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
        None
    }

    fn expect(&mut self, byte: u8) -> Result<(), Reason> {
        if self.peek() != Some(byte) {
            return Err(Reason::Json);
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the object around, its value next; `None` behind its closing brace.
    fn next_key(&mut self) -> Result<Option<&'a [u8]>, Reason> {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        let key = self.string()?;
        self.expect(b':')?;
        self.peek();
        let bytes = self.bytes;
        Ok(Some(&bytes[key]))
    }

    /// Behind the closing bracket if that comes next; otherwise an element does.
    fn at_array_end(&mut self) -> Result<bool, Reason> {
        while self.peek() == Some(b',') {
            self.at += 1;
        }
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') | None => Err(Reason::Json),
            Some(_) => Ok(false),
        }
    }

    fn string(&mut self) -> Result<Range<usize>, Reason> {
        self.expect(b'"')?;
        let start = self.at;
        let close = string_end(&self.bytes[..self.end], start).ok_or(Reason::Json)?;
        self.at = close + 1;
        Ok(start..close)
    }

    /// A string; `None` for another value.
    fn text(&mut self) -> Result<Option<Range<usize>>, Reason> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        self.skip_value()?;
        Ok(None)
    }

    fn text_id(&mut self) -> Result<Option<TextId>, Reason> {
        let Some(text) = self.text()? else { return Ok(None) };
        if self.bytes[text.clone()].contains(&b'\\') {
            let quoted = &self.bytes[text.start - 1..text.end + 1];
            let text: String = serde_json::from_slice(quoted).map_err(|_| Reason::Json)?;
            return Ok(Some(self.records.texts.id(&text)));
        }
        let text = std::str::from_utf8(&self.bytes[text]).map_err(|_| Reason::Json)?;
        Ok(Some(self.records.texts.id(text)))
    }

    fn version(&mut self) -> Result<Version, Reason> {
        let start = self.at;
        self.skip_value()?;
        let digits = self.bytes[start..self.at].trim_ascii();
        Ok(tuple::number(digits).and_then(|n| u8::try_from(n).ok()).map_or(Version::Unknown, Version::Number))
    }

    fn skip_value(&mut self) -> Result<(), Reason> {
        let mut depth = 0_u32;
        loop {
            match self.peek().ok_or(Reason::Json)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return Err(Reason::Json),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b',' | b':' => return Err(Reason::Json),
                _ => {
                    let rest = &self.bytes[self.at..self.end];
                    let ends =
                        |b: &u8| matches!(b, b',' | b':' | b'}' | b']' | b'"' | b'{' | b'[') || b.is_ascii_whitespace();
                    // Whatever byte it starts with.
                    self.at += rest.iter().skip(1).position(ends).map_or(rest.len(), |n| n + 1);
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// A quote behind an odd number of backslashes.
fn is_escaped(bytes: &[u8], quote: usize) -> bool {
    bytes[..quote].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// RFC 3339 to ms since 1970, further digits cut off.
fn time_of(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = (text.get(..19)?, text.get(19..)?);
    if seconds.as_bytes().get(17..19) == Some(b"60")
        || !seconds.as_bytes()[10].eq_ignore_ascii_case(&b'T')
        || fraction.is_empty()
    {
        return None;
    }
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_millis())
}
