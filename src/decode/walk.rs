//! Reads one whole flow record, skips unknown content, and decodes its tuples.
//!
//! Below `flowRecords` or `properties` are nested scopes. Each may give rule, ACL or MAC, before or after its tuples.
//! So tuples refer to a run, and missing values of a run are filled as scopes close, innermost first.
//!
//! Keys match in any case, and an object or text is accepted in place of a list of one. A record without any readable
//! list of tuples is bad. If some of its lists are readable, each other one is a problem.

use std::borrow::Cow;
use std::ops::Range;

use super::cursor::Cursor;
use super::keys::{RecordKey, ScopeKey};
use super::problem::{Problem, Problems, Reason};
use super::record::{Head, Read, Records, Run, TextId, without_escapes};
use super::simd::{self, Delimiters};
use super::tally::Tally;
use super::tuple::{self, Fields, MAX_FIELDS};
use super::{Counts, Versions, foreign};
use crate::flow::LogKind;

impl Records {
    /// Reads the record in `bytes[span]`. `origin` is the offset of `bytes[0]` in the blob.
    pub fn read(&mut self, bytes: &[u8], span: Range<usize>, origin: u64) -> Read {
        let offset = origin + span.start as u64;
        if memchr::memchr(b'\\', &bytes[span.clone()]).is_none() {
            self.walk(bytes, span, Offsets::FromStart(origin));
            return Read::Done;
        }
        if self.pending() > 0 {
            return Read::FlushFirst;
        }
        self.forget_flushed();
        self.counts.slow_records += 1;
        match without_escapes(&bytes[span.clone()]) {
            Some(rewritten) => {
                self.walk(&rewritten, 0..rewritten.len(), Offsets::Fixed(offset));
                self.rewritten = (self.pending() > 0).then_some(rewritten);
            }
            None => self.bad(offset, Reason::Json, &bytes[span]),
        }
        Read::Done
    }

    fn walk(&mut self, bytes: &[u8], span: Range<usize>, offsets: Offsets) {
        let before = (self.rows.len(), self.runs.len(), self.heads.len());
        let offset = offsets.of(span.start);
        let outcome = Walk::new(bytes, span.clone(), offsets, self).record();
        self.is_flow_log |= matches!(outcome, Ok(Outcome::Read(..) | Outcome::PassedOver));
        if let Ok(Outcome::Read(counts, problems)) = outcome {
            self.counts.records += 1;
            self.counts.add(&counts);
            problems.into_vec().into_iter().for_each(|problem| self.problems.push(problem));
            return;
        }
        self.rows.truncate(before.0);
        self.runs.truncate(before.1);
        self.heads.truncate(before.2);
        match outcome {
            Ok(Outcome::Foreign(kind)) => self.counts.foreign.count(&kind),
            Ok(_) => {}
            Err(reason) => self.bad(offset, reason, &bytes[span]),
        }
    }
}

/// Maps positions in the bytes to offsets in the blob.
#[derive(Clone, Copy)]
pub enum Offsets {
    /// The bytes are those of the blob, and the first one has this offset.
    FromStart(u64),
    /// The bytes were rewritten, so all positions map to this offset.
    Fixed(u64),
}

impl Offsets {
    pub fn of(self, at: usize) -> u64 {
        match self {
            Offsets::FromStart(origin) => origin + at as u64,
            Offsets::Fixed(offset) => offset,
        }
    }
}

/// Result of reading a record.
pub enum Outcome {
    /// A flow record, with its statistics and problems.
    Read(Counts, Problems),
    /// A record of another log, with its kind.
    Foreign(String),
    /// A record of an interface that is not selected.
    PassedOver,
}

/// Tuples below `flowRecords` or `properties`.
struct Subtree {
    rows: Range<usize>,
    runs: Range<usize>,
    tally: Tally,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Absent,
    Number(u8),
    Unknown,
}

/// Maximum nesting of scopes. No flow record is deeper.
const MAX_SCOPES: u32 = 8;

/// Reader of one record, whose keys and tuples have no needless escapes.
pub struct Walk<'a, 'r> {
    json: Cursor<'a>,
    offsets: Offsets,
    records: &'r mut Records,
}

impl<'a, 'r> Walk<'a, 'r> {
    pub fn new(bytes: &'a [u8], record: Range<usize>, offsets: Offsets, records: &'r mut Records) -> Self {
        Self { json: Cursor::new(bytes, record), offsets, records }
    }

    /// Reads the record, or only as much as shows that it is not selected.
    pub fn record(&mut self) -> Result<Outcome, Reason> {
        let offset = self.offsets.of(self.json.at);
        let (first_run, head_index) = (self.records.runs.len(), self.records.heads.len() as u32);
        let (mut mac, mut resource, mut flow_log, mut target) = (None, None, None, None);
        let (mut category, mut has_metric) = (None, false);
        let (mut record_time, mut flow_log_version) = (None, Version::Absent);
        let (mut flow_records, mut properties) = (None, None);
        self.json.expect(b'{')?;
        while let Some(key) = self.json.next_key()? {
            match RecordKey::of(key) {
                Some(RecordKey::Time) => record_time = self.json.text()?.and_then(|t| time_of(&self.json.bytes[t])),
                Some(RecordKey::MacAddress) => {
                    mac = self.text_id()?;
                    if mac.is_some_and(|mac| !self.is_chosen(mac)) {
                        return Ok(Outcome::PassedOver);
                    }
                }
                Some(RecordKey::Category) => category = self.json.text()?,
                Some(RecordKey::MetricName) => has_metric = self.json.text()?.is_some(),
                Some(RecordKey::ResourceId) => resource = self.text_id()?,
                Some(RecordKey::FlowLogResourceId) => flow_log = self.text_id()?,
                Some(RecordKey::TargetResourceId) => target = self.text_id()?,
                Some(RecordKey::FlowLogVersion) => flow_log_version = self.version()?,
                Some(RecordKey::FlowRecords) if flow_records.is_none() => {
                    flow_records = Some(self.subtree(record_time)?);
                }
                Some(RecordKey::Properties) if properties.is_none() => properties = Some(self.subtree(record_time)?),
                Some(RecordKey::FlowRecords | RecordKey::Properties) => return Err(Reason::TwoBodies),
                None => self.json.skip_value()?,
            }
        }
        if flow_records.is_none()
            && properties.as_ref().is_none_or(|body| !body.tally.has_list())
            && let Some(kind) = foreign::kind(category.map(|text| self.as_text(text)).as_deref(), has_metric)
        {
            return Ok(Outcome::Foreign(kind));
        }
        let runs = flow_records.as_ref().or(properties.as_ref()).map(|body| body.runs.clone());
        if mac.is_none() && !self.names_chosen(runs.unwrap_or_default()) {
            return Ok(Outcome::PassedOver);
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
        if !kept.tally.has_list() {
            return Err(Reason::NoList);
        }
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
            run.acl = run.acl.or(resource).or(Some(nothing));
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
        Ok(Outcome::Read(counts, problems))
    }

    fn is_chosen(&self, mac: TextId) -> bool {
        self.records.is_chosen(&self.records.texts.all()[mac.index() as usize])
    }

    /// Returns whether a record without `macAddress` is selected. One selected `mac` among its runs suffices.
    fn names_chosen(&self, runs: Range<usize>) -> bool {
        let mut macs = self.records.runs[runs].iter().filter_map(|run| run.mac);
        self.records.takes_all() || macs.any(|mac| self.is_chosen(mac))
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

    /// Reads `flowRecords` or `properties`. Their tuples can be checked against the record's time only if it comes
    /// first.
    fn subtree(&mut self, record_time: Option<i64>) -> Result<Subtree, Reason> {
        self.records.expect_tuples(record_time);
        let (first_row, first_run) = (self.records.rows.len(), self.records.runs.len());
        let mut tally = Tally::default();
        let mut version = Version::Absent;
        self.scopes(&mut tally, Some(&mut version), 0)?;
        let (rows, runs) = (first_row..self.records.rows.len(), first_run..self.records.runs.len());
        Ok(Subtree { rows, runs, tally, version })
    }

    /// Reads a list of scopes, or one scope in its place.
    fn scopes(&mut self, tally: &mut Tally, mut version: Option<&mut Version>, depth: u32) -> Result<(), Reason> {
        match self.json.peek() {
            Some(b'{') => return self.scope(tally, version, depth),
            Some(b'[') => self.json.at += 1,
            _ => return self.unread(tally),
        }
        let mut is_empty = true;
        while !self.json.at_array_end()? {
            is_empty = false;
            match self.json.peek() {
                Some(b'{') => self.scope(tally, version.as_deref_mut(), depth)?,
                _ => self.unread(tally)?,
            }
        }
        if is_empty {
            tally.add_list();
        }
        Ok(())
    }

    /// Reads an object that may give rule, ACL or MAC for the tuples in it.
    fn scope(&mut self, tally: &mut Tally, mut version: Option<&mut Version>, depth: u32) -> Result<(), Reason> {
        if depth > MAX_SCOPES {
            return Err(Reason::TooDeep);
        }
        let (start, first_run) = (self.json.at, self.records.runs.len());
        let (mut rule, mut acl, mut mac, mut is_empty) = (None, None, None, true);
        self.json.expect(b'{')?;
        while let Some(key) = self.json.next_key()? {
            let key = ScopeKey::of(key);
            is_empty &= !matches!(key, Some(ScopeKey::Scopes | ScopeKey::Tuples));
            match (key, version.as_deref_mut()) {
                (Some(ScopeKey::Rule), _) => rule = self.text_id()?,
                (Some(ScopeKey::AclId), _) => acl = self.text_id()?,
                (Some(ScopeKey::Mac), _) => mac = self.text_id()?,
                (Some(ScopeKey::Version), Some(version)) => *version = self.version()?,
                (Some(ScopeKey::Scopes), _) => self.scopes(tally, None, depth + 1)?,
                (Some(ScopeKey::Tuples), _) => self.tuples(tally)?,
                (Some(ScopeKey::Version) | None, _) => self.json.skip_value()?,
            }
        }
        if is_empty {
            self.note_unread(tally, start);
        }
        for run in &mut self.records.runs[first_run..] {
            run.rule = run.rule.or(rule);
            run.acl = run.acl.or(acl);
            run.mac = run.mac.or(mac);
        }
        Ok(())
    }

    /// Skips a value in place of a list of scopes or tuples, and reports it.
    fn unread(&mut self, tally: &mut Tally) -> Result<(), Reason> {
        self.json.peek();
        self.note_unread(tally, self.json.at);
        self.json.skip_value()
    }

    fn note_unread(&mut self, tally: &mut Tally, at: usize) {
        let offset = self.offsets.of(at);
        tally.add_unread(Problem { offset, record: self.records.counts.records, reason: Reason::NoListInPart });
    }

    /// Phase one: checks every tuple of a list, or one tuple in its place. Vector code reads the tuples that it can
    /// handle.
    fn tuples(&mut self, tally: &mut Tally) -> Result<(), Reason> {
        let first = self.json.peek();
        if !matches!(first, Some(b'[' | b'"')) {
            return self.unread(tally);
        }
        tally.add_list();
        let bytes = self.json.bytes;
        let run = self.records.runs.len() as u32;
        self.records.runs.push(Run { rule: None, acl: None, mac: None, head: 0 });
        let instructions = self.records.instructions;
        if first == Some(b'"') {
            let mut delimiters = Delimiters::new(instructions, &bytes[..self.json.end], self.json.at);
            return self.tuple(tally, run, &mut delimiters);
        }
        self.json.at += 1;
        let mut delimiters = None;
        while !self.json.at_array_end()? {
            if self.json.peek() != Some(b'"') {
                self.malformed(tally, self.json.at, Reason::NotText);
                self.json.skip_value()?;
                continue;
            }
            let (at, end) = (self.json.at, self.json.end);
            if let offsets @ Offsets::FromStart(_) = self.offsets {
                let (counters, records) = (self.records.with_counters, &mut *self.records);
                let mut left_out = None;
                let next = simd::tuples(instructions, bytes, at, end, counters, |tuple, start| {
                    let time = tuple.time;
                    let is_wanted = records.keep_or_count(tally, bytes, tuple, run, start);
                    if !is_wanted {
                        left_out = Some((time, start));
                    }
                    is_wanted
                });
                if let Some((time, start)) = left_out {
                    records.leave_out(tally, time, offsets.of(start));
                }
                if next > at {
                    (self.json.at, delimiters) = (next, None);
                    continue;
                }
            }
            let delimiters = delimiters.get_or_insert_with(|| Delimiters::new(instructions, &bytes[..end], at));
            self.tuple(tally, run, delimiters)?;
        }
        Ok(())
    }

    /// Reads the tuple whose opening quote comes next, with the general code.
    fn tuple(&mut self, tally: &mut Tally, run: u32, delimiters: &mut Delimiters) -> Result<(), Reason> {
        let bytes = self.json.bytes;
        let start = self.json.at + 1;
        // Skip the delimiters between tuples, and those inside elements that are not text.
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
        self.json.at = close + 1;
        match tuple::check(Fields::new(bytes, &marks[..=fields])) {
            Ok(tuple) => {
                let time = tuple.time;
                if !self.records.keep_or_count(tally, bytes, tuple, run, start) {
                    self.records.leave_out(tally, time, self.offsets.of(start));
                }
            }
            Err(reason) => self.malformed(tally, start, reason),
        }
        Ok(())
    }

    fn malformed(&mut self, tally: &mut Tally, at: usize, reason: Reason) {
        let offset = self.offsets.of(at);
        tally.add_malformed(Problem { offset, record: self.records.counts.records, reason });
    }

    fn text_id(&mut self) -> Result<Option<TextId>, Reason> {
        let Some(text) = self.json.text()? else { return Ok(None) };
        if self.json.bytes[text.clone()].contains(&b'\\') {
            let quoted = &self.json.bytes[text.start - 1..text.end + 1];
            let text: String = serde_json::from_slice(quoted).map_err(|_| Reason::Json)?;
            return Ok(Some(self.records.texts.id(&text)));
        }
        let text = std::str::from_utf8(&self.json.bytes[text]).map_err(|_| Reason::Json)?;
        Ok(Some(self.records.texts.id(text)))
    }

    /// Returns a text between quotes with its escapes resolved.
    fn as_text(&self, text: Range<usize>) -> Cow<'a, str> {
        let quoted = &self.json.bytes[text.start - 1..text.end + 1];
        match serde_json::from_slice::<String>(quoted) {
            Ok(text) => Cow::Owned(text),
            Err(_) => String::from_utf8_lossy(&self.json.bytes[text]),
        }
    }

    fn version(&mut self) -> Result<Version, Reason> {
        let start = self.json.at;
        self.json.skip_value()?;
        let digits = self.json.bytes[start..self.json.at].trim_ascii();
        Ok(tuple::number(digits).and_then(|n| u8::try_from(n).ok()).map_or(Version::Unknown, Version::Number))
    }
}

/// Returns whether a quote follows an odd number of backslashes.
fn is_escaped(bytes: &[u8], quote: usize) -> bool {
    bytes[..quote].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// Parses an RFC 3339 time to ms since 1970. Further digits are truncated.
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
