//! Where each flow record starts and ends, in bytes cut anywhere and wrapped in anything.
//!
//! Around records lie containers: arrays, and objects that have an array `records`. Braces are counted outside of
//! strings, so that nothing inside a record needs to be understood here. Records longer than [`MAX_RECORD`] are skipped, so memory does
//! not follow the input.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};
use serde::{Deserialize, Serialize};

use super::Part;
use super::problem::Reason;

const MAX_RECORD: usize = 64 << 20;
/// While looking for a record's first key, keep so many bytes of what held none.
const SEEK_TAIL: usize = 4096;

/// What lets a piece of a blob find its first record: the key that records start with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SplitHint {
    /// First key of the blob's first record; only keys that occur nowhere inside a record.
    first_key: String,
    /// `{` and `[` of the containers around the records.
    containers: String,
}

/// Keys that records have and nothing inside them.
const RECORD_KEYS: [&str; 10] = [
    "time",
    "systemId",
    "macAddress",
    "category",
    "resourceId",
    "operationName",
    "flowLogGUID",
    "flowLogResourceID",
    "targetResourceID",
    "flowLogVersion",
];

/// From the first few KiB of a blob, how to cut it; `None` when it must be read from its start.
pub fn probe_head(head: &[u8]) -> Option<SplitHint> {
    let mut framer = Framer::new(Part::Whole);
    framer.push(head);
    let start = match framer.next() {
        Some(Frame::Record(span)) => span.start,
        Some(Frame::Bad(..)) => return None,
        None => match framer.state {
            State::Inside { start, .. } => start,
            _ => return None,
        },
    };
    let Peek::Key(key) = peek_key(&framer.bytes, start) else { return None };
    let first_key = RECORD_KEYS.into_iter().find(|k| k.as_bytes() == &framer.bytes[key.clone()])?;
    let containers = framer.containers.iter().map(|&b| char::from(b)).collect();
    Some(SplitHint { first_key: first_key.to_owned(), containers })
}

pub enum Frame {
    /// A whole record, as a range of [`Framer::bytes`].
    Record(Range<usize>),
    /// Bytes that are no record, and where they start in the blob.
    Bad(u64, Reason),
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A piece that has not found its first record.
    Seek,
    /// Among containers.
    Between,
    /// In bytes that belong to nothing, noted already.
    Garbage,
    /// In a record; `kept` is false once it grew too long.
    Inside { start: usize, depth: u32, in_string: bool, kept: bool },
    /// A piece that has reached the next one's first record.
    Done,
}

pub struct Framer {
    /// Bytes from the first one that may still be needed.
    bytes: Vec<u8>,
    /// Place of `bytes[0]` in the blob.
    origin: u64,
    /// Everything before is understood; may lie one behind the end after a backslash.
    at: usize,
    state: State,
    /// Openers of the containers around the current place, outermost first.
    containers: Vec<u8>,
    /// Where a piece ends, and how to recognise a record there.
    until: Option<(u64, SplitHint)>,
    /// What a piece behind the first one looks for.
    seeks: Option<SplitHint>,
}

impl Framer {
    pub fn new(part: Part) -> Self {
        let (origin, state, containers, until, seeks) = match part {
            Part::Whole => (0, State::Between, Vec::new(), None, None),
            Part::Piece { start: 0, end, hint } => (0, State::Between, Vec::new(), end.map(|end| (end, hint)), None),
            Part::Piece { start, end, hint } => (
                start,
                State::Seek,
                hint.containers.clone().into_bytes(),
                end.map(|end| (end, hint.clone())),
                Some(hint),
            ),
        };
        Self { bytes: Vec::new(), origin, at: 0, state, containers, until, seeks }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Place of the first of [`Self::bytes`] in the blob.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if !self.is_done() {
            self.bytes.extend_from_slice(chunk);
        }
    }

    /// Drops the bytes of frames already given out.
    pub fn forget_consumed(&mut self) {
        let keep = match self.state {
            State::Inside { start, kept: true, .. } => start,
            State::Seek => self.bytes.len().saturating_sub(SEEK_TAIL),
            _ => self.at.min(self.bytes.len()),
        };
        self.bytes.drain(..keep);
        self.origin += keep as u64;
        self.at = self.at.saturating_sub(keep);
        if let State::Inside { start, .. } = &mut self.state {
            *start = start.saturating_sub(keep);
        }
    }

    /// The next frame, or `None` when it takes more bytes.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            match self.state {
                State::Done => return None,
                State::Seek => self.seek()?,
                State::Garbage => self.skip_garbage()?,
                State::Between => {
                    if let Some(bad) = self.between()? {
                        return Some(bad);
                    }
                }
                State::Inside { start, depth, in_string, kept } => {
                    if let Some(frame) = self.inside(start, depth, in_string, kept)? {
                        return Some(frame);
                    }
                }
            }
        }
    }

    /// What the end of the bytes leaves undone.
    pub fn finish(&mut self) -> Option<(u64, Reason)> {
        let end = self.origin + self.bytes.len() as u64;
        let left = match self.state {
            State::Inside { start, kept: true, .. } => (self.origin + start as u64, Reason::Cut),
            State::Between if self.at < self.bytes.len() => (self.origin + self.at as u64, Reason::Cut),
            State::Between if self.is_open() => (end, Reason::CutBetweenRecords),
            _ => return None,
        };
        self.state = State::Done;
        Some(left)
    }

    /// True when containers wait for their end. A piece that started elsewhere than at the head only knows
    /// that something must have closed.
    fn is_open(&self) -> bool {
        match &self.seeks {
            None => !self.containers.is_empty(),
            Some(hint) => !self.containers.is_empty() && self.containers.len() >= hint.containers.len(),
        }
    }

    fn seek(&mut self) -> Option<()> {
        let start = find_record(&self.bytes, &self.seeks.as_ref()?.first_key)?;
        self.at = start;
        self.state = State::Between;
        Some(())
    }

    /// Walks among containers up to the next record: `Some(None)` when in one, `Some(Some(_))` for garbage.
    fn between(&mut self) -> Option<Option<Frame>> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' => self.at += 1,
                b'[' => {
                    self.containers.push(b'[');
                    self.at += 1;
                }
                b']' if self.containers.last() == Some(&b'[') => self.close(),
                b'}' if self.containers.last() == Some(&b'{') => self.close(),
                b'{' => match self.reaches_next_piece() {
                    None => return None,
                    Some(true) => {
                        self.state = State::Done;
                        return None;
                    }
                    Some(false) => {
                        self.state = State::Inside { start: self.at, depth: 0, in_string: false, kept: true };
                        return Some(None);
                    }
                },
                0xEF if self.origin + self.at as u64 == 0 => match self.bytes.get(..3) {
                    None => return None,
                    Some(b"\xEF\xBB\xBF") => self.at = 3,
                    Some(_) => return Some(Some(self.garbage())),
                },
                // Other keys of a wrapper, behind its records.
                b'"' if self.containers.last() == Some(&b'{') => {
                    self.at = string_end(&self.bytes, self.at + 1)? + 1;
                }
                _ if self.containers.last() == Some(&b'{') => self.at += 1,
                // A piece that started in a nested container closes more than it knows of.
                b']' | b'}' if self.seeks.is_some() => self.at += 1,
                _ => return Some(Some(self.garbage())),
            }
        }
        None
    }

    fn close(&mut self) {
        self.containers.pop();
        self.at += 1;
    }

    /// True when the object that opens here is the first record of the next piece; `None` takes more bytes.
    fn reaches_next_piece(&self) -> Option<bool> {
        let Some((_, hint)) = self.until.as_ref().filter(|(end, _)| self.origin + self.at as u64 >= *end) else {
            return Some(false);
        };
        match peek_key(&self.bytes, self.at) {
            Peek::Incomplete => (self.bytes.len() - self.at > SEEK_TAIL).then_some(false),
            Peek::NoKey => Some(false),
            Peek::Key(key) => Some(self.bytes[key] == *hint.first_key.as_bytes()),
        }
    }

    /// Bytes that belong to nothing start here. They are one problem, however many they are.
    fn garbage(&mut self) -> Frame {
        let start = self.at;
        self.at += 1;
        self.state = State::Garbage;
        Frame::Bad(self.origin + start as u64, Reason::Garbage)
    }

    /// Goes on to the next byte that may open or close something.
    fn skip_garbage(&mut self) -> Option<()> {
        while let Some(&byte) = self.bytes.get(self.at) {
            let opener = self.containers.last();
            if matches!(byte, b'{' | b'[' | b'\n')
                || byte == b']' && opener == Some(&b'[')
                || byte == b'}' && opener == Some(&b'{')
            {
                self.state = State::Between;
                return Some(());
            }
            self.at += 1;
        }
        None
    }

    /// Walks to the end of a record: `Some(None)` when it turned out to be a container, or too long to keep.
    fn inside(&mut self, start: usize, mut depth: u32, mut in_string: bool, kept: bool) -> Option<Option<Frame>> {
        let bytes = &self.bytes[..];
        let mut at = self.at;
        while at < bytes.len() {
            if in_string {
                match memchr2(b'"', b'\\', &bytes[at..]) {
                    None => at = bytes.len(),
                    Some(n) if bytes[at + n] == b'\\' => at += n + 2,
                    Some(n) => {
                        at += n + 1;
                        in_string = false;
                    }
                }
                continue;
            }
            match bytes[at] {
                b'"' => in_string = true,
                b'[' if depth == 1 && kept && is_records(bytes, start, at) => {
                    self.containers.push(b'{');
                    self.at = at;
                    self.state = State::Between;
                    return Some(None);
                }
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                self.at = at;
                self.state = State::Between;
                return Some(kept.then_some(Frame::Record(start..at)));
            }
        }
        self.at = at;
        let too_long = kept && bytes.len() - start > MAX_RECORD;
        self.state = State::Inside { start, depth, in_string, kept: kept && !too_long };
        too_long.then(|| Some(Frame::Bad(self.origin + start as u64, Reason::TooLong)))
    }
}

enum Peek {
    /// The object's first key.
    Key(Range<usize>),
    NoKey,
    Incomplete,
}

/// Looks at the first key of the object that opens at `open`.
fn peek_key(bytes: &[u8], open: usize) -> Peek {
    let quote = skip_space(bytes, open + 1);
    match bytes.get(quote) {
        None => return Peek::Incomplete,
        Some(b'"') => {}
        Some(_) => return Peek::NoKey,
    }
    let Some(length) = memchr(b'"', &bytes[quote + 1..]) else { return Peek::Incomplete };
    let key = quote + 1..quote + 1 + length;
    match bytes.get(skip_space(bytes, key.end + 1)) {
        None => Peek::Incomplete,
        Some(b':') => Peek::Key(key),
        Some(_) => Peek::NoKey,
    }
}

/// Whether the array that opens at `open` is the value of `records` in the object that opened at `start`.
fn is_records(bytes: &[u8], start: usize, open: usize) -> bool {
    let value_of = bytes[start..open].trim_ascii_end();
    value_of.strip_suffix(b":").is_some_and(|before| before.trim_ascii_end().ends_with(b"\"records\""))
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(rest.len())
}

/// The closing quote of the string whose text starts at `from`.
pub fn string_end(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// The first `{` whose first key is `key`. A quote inside a JSON string is escaped, so this is no text.
fn find_record(bytes: &[u8], key: &str) -> Option<usize> {
    let quoted = format!("\"{key}\"");
    memmem::find_iter(bytes, quoted.as_bytes()).find_map(|quote| {
        let before = bytes[..quote].iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))?;
        let colon = skip_space(bytes, quote + quoted.len());
        (bytes[before] == b'{' && bytes.get(colon) == Some(&b':')).then_some(before)
    })
}
