//! A way through one whole flow record, past whatever it may hold, to its tuples.
//!
//! Below `flowRecords` or `properties` lie nested scopes. Each may say rule, ACL or MAC, before or behind
//! its tuples: tuples point to a run, and a run's blanks are filled as scopes close, innermost first.

use std::ops::Range;

use super::peek::string_end;
use super::problem::{Problem, Problems, Reason};
use super::record::{Head, Records, Run, TextId};
use super::simd::{self, Delimiters};
use super::tally::Tally;
use super::tuple::{self, Fields, MAX_FIELDS};
use super::{Counts, Versions};
use crate::flow::LogKind;

/// Where in the blob a byte lies.
#[derive(Clone, Copy)]
pub enum Places {
    /// The bytes are those of the blob, the first one here.
    In(u64),
    /// The bytes were rewritten: all stand for this place.
    At(u64),
}

impl Places {
    pub fn of(self, at: usize) -> u64 {
        match self {
            Places::In(origin) => origin + at as u64,
            Places::At(offset) => offset,
        }
    }
}

/// The tuples below one of a record's two possible keys.
struct Subtree {
    rows: Range<usize>,
    tally: Tally,
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
pub struct Walk<'a, 'r> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    places: Places,
    records: &'r mut Records,
}

impl<'a, 'r> Walk<'a, 'r> {
    pub fn new(bytes: &'a [u8], record: Range<usize>, places: Places, records: &'r mut Records) -> Self {
        Self { bytes, at: record.start, end: record.end, places, records }
    }

    /// Reads the whole record, and says what was in it and what was wrong with it.
    pub fn record(&mut self) -> Result<(Counts, Problems), Reason> {
        let offset = self.places.of(self.at);
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
                b"flowRecords" if flow_records.is_none() => flow_records = Some(self.subtree(record_time)?),
                b"properties" if properties.is_none() => properties = Some(self.subtree(record_time)?),
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
        let (mut counts, problems) = kept.tally.finish(offset, self.records.counts.records);
        counts.versions = match (kind, version) {
            (LogKind::Vnet, _) => Versions { vnet4: counts.tuples, ..Versions::default() },
            (LogKind::Nsg, 1) => Versions { nsg1: counts.tuples, ..Versions::default() },
            (LogKind::Nsg, _) => Versions { nsg2: counts.tuples, ..Versions::default() },
        };
        if let (Some(mac), Some(time)) = (mac, record_time) {
            self.compare_with_last(&mut counts, mac, time);
        }
        Ok((counts, problems))
    }

    fn compare_with_last(&mut self, counts: &mut Counts, mac: TextId, time: i64) {
        let Records { last, texts, .. } = &mut *self.records;
        let mac = &texts.all()[mac.index() as usize];
        match last {
            Some((last_mac, last_time)) if **last_mac == **mac => {
                counts.split_records = u64::from(*last_time == time);
                counts.unordered_records = u64::from(*last_time > time);
                *last_time = time;
            }
            _ => *last = Some((mac.clone(), time)),
        }
    }

    /// `flowRecords` or `properties`. A record's time behind them comes too late to check their tuples by it.
    fn subtree(&mut self, record_time: Option<i64>) -> Result<Subtree, Reason> {
        self.records.expect_tuples(record_time);
        let first_row = self.records.rows.len();
        let mut tally = Tally::default();
        let mut version = Version::Absent;
        if self.peek() == Some(b'{') {
            self.scope(&mut tally, Some(&mut version), 0)?;
        } else {
            self.skip_value()?;
        }
        Ok(Subtree { rows: first_row..self.records.rows.len(), tally, version })
    }

    /// An object that may say rule, ACL or MAC for the tuples in it.
    fn scope(&mut self, tally: &mut Tally, mut version: Option<&mut Version>, depth: u32) -> Result<(), Reason> {
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

    /// Phase one: every tuple of an array. What the processor has wide instructions for is read by them.
    fn tuples(&mut self, tally: &mut Tally) -> Result<(), Reason> {
        let bytes = self.bytes;
        let run = self.records.runs.len() as u32;
        self.records.runs.push(Run { rule: None, acl: None, mac: None, head: 0 });
        self.at += 1;
        let instructions = self.records.instructions;
        let mut delimiters = None;
        while !self.at_array_end()? {
            if self.peek() != Some(b'"') {
                self.malformed(tally, self.at, Reason::NotText);
                self.skip_value()?;
                continue;
            }
            if let places @ Places::In(_) = self.places {
                let (end, counters, records) = (self.end, self.records.with_counters, &mut *self.records);
                let next = simd::tuples(instructions, bytes, self.at, end, counters, |tuple, start| {
                    records.keep_or_count(tally, bytes, tuple, run, start, places);
                });
                if next > self.at {
                    (self.at, delimiters) = (next, None);
                    continue;
                }
            }
            let delimiters =
                delimiters.get_or_insert_with(|| Delimiters::new(instructions, &bytes[..self.end], self.at));
            self.tuple(tally, run, delimiters)?;
        }
        Ok(())
    }

    /// The tuple whose quote comes next, whatever it is like.
    fn tuple(&mut self, tally: &mut Tally, run: u32, delimiters: &mut Delimiters) -> Result<(), Reason> {
        let bytes = self.bytes;
        let start = self.at + 1;
        // Commas between the tuples, and whatever an element that is no text held.
        delimiters.find(|&d| d + 1 == start);
        let mut marks = [start as u32; MAX_FIELDS + 1];
        let mut fields = 0;
        let close = loop {
            let delimiter = delimiters.next().ok_or(Reason::Json)?;
            let is_quote = bytes[delimiter] == b'"';
            if is_quote && is_escaped(bytes, delimiter) {
                continue;
            }
            if fields < MAX_FIELDS {
                fields += 1;
                marks[fields] = delimiter as u32;
            }
            if is_quote {
                break delimiter;
            }
        };
        self.at = close + 1;
        match tuple::check(Fields::new(bytes, &marks[..=fields])) {
            Ok(tuple) => self.records.keep_or_count(tally, bytes, tuple, run, start, self.places),
            Err(reason) => self.malformed(tally, start, reason),
        }
        Ok(())
    }

    fn malformed(&mut self, tally: &mut Tally, at: usize, reason: Reason) {
        let offset = self.places.of(at);
        tally.add_malformed(Problem { offset, record: self.records.counts.records, reason });
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
