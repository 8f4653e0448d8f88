//! Finds the start and end of each flow record, in bytes cut anywhere and inside any containers.
//!
//! Containers are arrays, and objects whose key `records` holds an array or a single record. Braces outside of strings
//! are counted, so the content of a record is not parsed here. Records longer than [`MAX_RECORD`] are skipped, so
//! memory does not grow with the input.
//!
//! After a lost brace or quote, a record would swallow the records that follow. So that only one is lost, the framer
//! also tracks nested objects whose first key is a record key. If such an object proves to be a flow record inside an
//! array, the enclosing object is damaged and only it is lost. If it could be an ordinary value, the decision waits
//! until the enclosing object ends.

pub(super) mod peek;

use std::collections::VecDeque;
use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};
use serde::{Deserialize, Serialize};

use super::Part;
use super::keys::names_flows;
use super::problem::Reason;
use super::simd::{self, Instructions};
use peek::{
    Peek, SEEK_TAIL, find_record, has_key, is_record_key, is_records, opener_before, peek_key, record_at, string_end,
};

/// Maximum length of a record in bytes.
const MAX_RECORD: usize = 32 << 20;
/// Buffer size in bytes above which memory is returned after a long record.
const USUAL: usize = 4 << 20;
/// Maximum nesting of objects that begin like records. Real damage nests less deeply; only hostile input nests deeper.
const MAX_GUESSES: usize = 64;

/// Description of how records begin in a blob, by which a piece finds its first record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SplitHint {
    /// First key of the blob's first record. Always one that never occurs inside a record.
    first_key: String,
    /// Opening `{` and `[` of the containers around the records.
    containers: String,
}

impl SplitHint {
    /// Returns whether the records are in one list in one object, as in `{"records":[...]}`.
    pub fn is_in_records(&self) -> bool {
        self.containers == "{["
    }
}

/// Derives a hint from the first few KiB of a blob. Returns `None` if the blob must be read from its start, or is not
/// a flow log.
pub fn probe_head(head: &[u8]) -> Option<SplitHint> {
    let mut framer = Framer::new(Part::Whole, Instructions::default());
    framer.push(head);
    let start = match framer.next() {
        Some(Frame::Record(span)) => span.start,
        Some(Frame::Bad(..)) => return None,
        None => match framer.state {
            State::Inside(open) => open.start,
            _ => return None,
        },
    };
    let Peek::Key(key) = peek_key(&framer.bytes, start) else { return None };
    let first_key = std::str::from_utf8(&framer.bytes[key]).ok()?;
    // Nested objects in records of other logs may begin with the same key.
    if !is_record_key(first_key.as_bytes()) || !names_flows(head) {
        return None;
    }
    let containers = framer.containers.iter().map(|&b| char::from(b)).collect();
    Some(SplitHint { first_key: first_key.to_owned(), containers })
}

/// A unit of the input.
pub enum Frame {
    /// A whole record, as a range of [`Framer::bytes`].
    Record(Range<usize>),
    /// Bytes outside of records, with their offset in the blob.
    Bad(u64, Reason),
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a piece that has not found its first record yet.
    Seek,
    /// Between records, inside containers.
    Between,
    /// In bytes that belong to no record and are already reported.
    Garbage,
    /// In an object that may be a record.
    Inside(Open),
    /// Records were found inside damaged objects. The damaged objects are reported before the records.
    Found,
    /// In a piece that has reached the first record of the next one.
    Done,
}

/// An object whose end has not been reached.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: usize,
    /// Open braces and brackets, including its own.
    depth: u32,
    in_string: bool,
    /// True if it is already reported as a problem, so that its bytes are not kept.
    is_noted: bool,
    /// True if it begins like a record where none is expected. It counts only if it proves to be one.
    is_guess: bool,
    /// True if it may be a value of the enclosing object.
    is_doubtful: bool,
}

impl Open {
    fn at(start: usize) -> Self {
        Self { start, depth: 0, in_string: false, is_noted: false, is_guess: false, is_doubtful: false }
    }
}

/// Push parser that splits bytes into frames.
pub struct Framer {
    instructions: Instructions,
    /// Bytes from the first one that may still be needed.
    bytes: Vec<u8>,
    /// Offset of `bytes[0]` in the blob.
    origin: u64,
    /// End of the bytes already examined. May be one past the end of `bytes` after a backslash.
    at: usize,
    state: State,
    /// Objects that enclose the one of `Inside`, outermost first. Usually empty.
    around: Vec<Open>,
    /// Flow records inside the open object that may be ordinary values of it. They are dropped if that object proves to be
    /// a flow record. Ascending and not nested.
    doubts: Vec<Range<usize>>,
    /// Records of `Found`.
    found: VecDeque<Range<usize>>,
    /// Openers of the containers around the current position, outermost first.
    containers: Vec<u8>,
    /// End of the piece, and how to recognise the record there. `None` for the last piece.
    until: Option<(u64, SplitHint)>,
    /// How to recognise this piece's first record. `None` if it starts at the head of the blob.
    seeks: Option<SplitHint>,
}

impl Framer {
    pub fn new(part: Part, instructions: Instructions) -> Self {
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
        Self {
            instructions: instructions.available(),
            bytes: Vec::new(),
            origin,
            at: 0,
            state,
            around: Vec::new(),
            doubts: Vec::new(),
            found: VecDeque::new(),
            containers,
            until,
            seeks,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Offset of the first of [`Self::bytes`] in the blob.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if self.is_done() {
            return;
        }
        let most = MAX_RECORD + USUAL;
        if self.bytes.len() > USUAL && self.bytes.capacity() < most {
            // The buffer grows to its limit in one step, because stepwise growth would double the memory. Only used
            // pages are committed.
            self.bytes.reserve_exact(most - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
    }

    /// Drops the bytes of frames already returned.
    pub fn forget_consumed(&mut self) {
        let read = self.at.min(self.bytes.len());
        let keep = match self.state {
            State::Inside(open) => self.first_kept(open).map_or(read, |first| first.start),
            State::Found => {
                let starts = self.around.iter().map(|open| open.start).chain(self.found.iter().map(|span| span.start));
                starts.fold(read, usize::min)
            }
            State::Seek => self.bytes.len().saturating_sub(SEEK_TAIL).max(read),
            _ => read,
        };
        let keep = self.doubts.iter().map(|span| span.start).fold(keep, usize::min);
        self.bytes.drain(..keep);
        if self.bytes.capacity() > 2 * USUAL && self.bytes.len() < USUAL {
            self.bytes.shrink_to(USUAL);
        }
        self.origin += keep as u64;
        self.at = self.at.saturating_sub(keep);
        let inside = if let State::Inside(open) = &mut self.state { Some(open) } else { None };
        for open in self.around.iter_mut().chain(inside) {
            open.start = open.start.saturating_sub(keep);
        }
        for span in self.doubts.iter_mut().chain(&mut self.found) {
            *span = span.start - keep..span.end - keep;
        }
    }

    /// Returns the outermost open object that is not reported yet.
    fn first_kept(&self, inside: Open) -> Option<Open> {
        self.around.iter().copied().chain([inside]).find(|open| !open.is_noted)
    }

    /// Returns the next frame, or `None` if more bytes are needed.
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
                State::Inside(open) => {
                    if let Some(frame) = self.inside(open)? {
                        return Some(frame);
                    }
                }
                State::Found => {
                    if let Some(frame) = self.next_found() {
                        return Some(frame);
                    }
                }
            }
        }
    }

    /// Ends the input and returns the problem of an unfinished record or container.
    pub fn finish(&mut self) -> Option<(u64, Reason)> {
        let end = self.origin + self.bytes.len() as u64;
        let left = match self.state {
            State::Inside(open) => {
                let first = self.first_kept(open)?;
                (self.origin + first.start as u64, Reason::Cut)
            }
            State::Between if self.at < self.bytes.len() => (self.origin + self.at as u64, Reason::Cut),
            State::Between if self.is_open() => (end, Reason::CutBetweenRecords),
            _ => return None,
        };
        self.around.clear();
        self.found.extend(self.doubts.drain(..));
        self.state = if self.found.is_empty() { State::Done } else { State::Found };
        Some(left)
    }

    /// Returns whether a container is still open. A later piece cannot count its containers, so for it
    /// the end is complete once one container closed.
    fn is_open(&self) -> bool {
        match &self.seeks {
            None => !self.containers.is_empty(),
            Some(hint) => !self.containers.is_empty() && self.containers.len() >= hint.containers.len(),
        }
    }

    fn seek(&mut self) -> Option<()> {
        let from = self.at.min(self.bytes.len());
        let Some(found) = find_record(&self.bytes[from..], &self.seeks.as_ref()?.first_key) else {
            // After the end of the piece there is nothing to search.
            if self.bytes.len() > SEEK_TAIL && self.is_behind_piece(self.bytes.len() - SEEK_TAIL) {
                self.state = State::Done;
            }
            return None;
        };
        let start = from + found;
        self.at = start;
        // An object after a colon is normally not a record, but at the start of a piece it may be one.
        let is_doubtful = self.bytes[..start].trim_ascii_end().last() == Some(&b':');
        self.state = match self.is_behind_piece(start) {
            true => State::Done,
            false => State::Inside(Open { is_guess: true, is_doubtful, ..Open::at(start) }),
        };
        Some(())
    }

    /// Moves through containers to the next record. Returns `None` if more bytes are needed or the
    /// piece is done, `Some(None)` if a record begins, and `Some(Some(_))` for garbage.
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
                b'{' => match self.is_next_pieces(self.at) {
                    None => return None,
                    Some(true) => {
                        self.state = State::Done;
                        return None;
                    }
                    Some(false) => {
                        self.state = State::Inside(Open::at(self.at));
                        return Some(None);
                    }
                },
                0xEF if self.origin + self.at as u64 == 0 => match self.bytes.get(..3) {
                    None => return None,
                    Some(b"\xEF\xBB\xBF") => self.at = 3,
                    Some(_) => return Some(Some(self.garbage())),
                },
                // Other keys of a container object, after its records.
                b'"' if self.containers.last() == Some(&b'{') => match string_end(&self.bytes, self.at + 1) {
                    None if self.bytes.len() - self.at > MAX_RECORD => return Some(Some(self.garbage())),
                    None => return None,
                    // If an earlier quote is lost, the quote that seems to close this string may start a record.
                    Some(end) => match record_at(&self.bytes, end) {
                        Peek::Incomplete => return None,
                        Peek::Key(_) => self.at = opener_before(&self.bytes, end).unwrap_or(end + 1),
                        Peek::NoKey => self.at = end + 1,
                    },
                },
                _ if self.containers.last() == Some(&b'{') => self.at += 1,
                // A piece that starts in a nested container sees more closers than openers.
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

    fn is_behind_piece(&self, place: usize) -> bool {
        self.until.as_ref().is_some_and(|(end, _)| self.origin + place as u64 >= *end)
    }

    /// Returns whether the object at `start` is the first record of the next piece, by the form that the next piece
    /// searches. Returns `None` if more bytes are needed.
    fn is_next_pieces(&self, start: usize) -> Option<bool> {
        let Some((_, hint)) = self.until.as_ref().filter(|_| self.is_behind_piece(start)) else {
            return Some(false);
        };
        match peek_key(&self.bytes, start) {
            Peek::Incomplete => (self.bytes.len() - start > SEEK_TAIL).then_some(false),
            Peek::NoKey => Some(false),
            Peek::Key(key) => Some(self.bytes[key] == *hint.first_key.as_bytes()),
        }
    }

    /// Starts a range of bytes outside of records. The whole range is one problem.
    fn garbage(&mut self) -> Frame {
        let start = self.at;
        self.at += 1;
        self.state = State::Garbage;
        Frame::Bad(self.origin + start as u64, Reason::Garbage)
    }

    /// Moves to the next byte that may open or close a container.
    fn skip_garbage(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let opener = memchr3(b'{', b'[', b'\n', rest);
        let before = &rest[..opener.unwrap_or(rest.len())];
        let closer = match self.containers.last() {
            Some(b'[') => memchr(b']', before),
            Some(_) => memchr(b'}', before),
            None => None,
        };
        let Some(next) = closer.or(opener) else {
            self.at = self.bytes.len();
            return None;
        };
        self.at += next;
        self.state = State::Between;
        Some(())
    }

    /// Moves to the end of an object. Returns `Some(None)` if the object is not the next frame.
    fn inside(&mut self, mut open: Open) -> Option<Option<Frame>> {
        let bytes = &self.bytes[..];
        let mut at = self.at;
        while at < bytes.len() {
            // Skip bytes that neither open, close nor escape anything. Most of them are tuples.
            let before = bytes[..at].last();
            if !matches!(before, Some(b'{' | b' ' | b'\t' | b'\r' | b'\n')) {
                let (plain, is_odd) = simd::plain(self.instructions, &bytes[at..]);
                at += plain;
                open.in_string ^= is_odd;
                if at == bytes.len() {
                    break;
                }
            }
            if open.in_string {
                match memchr2(b'"', b'\\', &bytes[at..]) {
                    None => at = bytes.len(),
                    Some(n) if bytes[at + n] == b'\\' => at += n + 2,
                    Some(n) => {
                        at += n;
                        match self.guess(open, at) {
                            Guess::Incomplete => break,
                            Guess::No => open.in_string = false,
                            Guess::At(inner) => {
                                self.around.push(open);
                                open = inner;
                            }
                        }
                        at += 1;
                    }
                }
                continue;
            }
            match bytes[at] {
                b'"' => match self.guess(open, at) {
                    Guess::Incomplete => break,
                    Guess::No => open.in_string = true,
                    Guess::At(inner) => {
                        // After the inner object, its opening brace is already closed.
                        self.around.push(Open { depth: open.depth - 1, ..open });
                        open = inner;
                    }
                },
                b'[' | b'{' if open.depth == 1 && !open.is_noted && is_records(bytes, open.start, at) => {
                    self.containers.push(b'{');
                    self.around.clear();
                    self.doubts.clear();
                    self.at = at;
                    self.state = State::Between;
                    return Some(None);
                }
                b'{' | b'[' => open.depth = open.depth.saturating_add(1),
                b'}' | b']' => open.depth -= 1,
                _ => {}
            }
            at += 1;
            if open.depth == 0 {
                self.at = at;
                return Some(self.close_object(open));
            }
        }
        self.at = at;
        self.state = State::Inside(open);
        let first = self.first_kept(open).filter(|first| bytes.len() - first.start > MAX_RECORD)?;
        for open in self.around.iter_mut().filter(|open| open.start == first.start) {
            open.is_noted = true;
        }
        if let State::Inside(open) = &mut self.state {
            open.is_noted |= open.start == first.start;
        }
        // The doubtful records lie in the bytes that are dropped.
        self.doubts.clear();
        Some(Some(Frame::Bad(self.origin + first.start as u64, Reason::TooLong)))
    }

    /// Handles the end of an object at `self.at`.
    fn close_object(&mut self, open: Open) -> Option<Frame> {
        let span = open.start..self.at;
        if !open.is_guess && self.doubts.is_empty() {
            self.state = State::Between;
            return (!open.is_noted).then_some(Frame::Record(span));
        }
        let is_record = !open.is_noted && self.is_flow_record(span.clone());
        if !open.is_guess {
            self.state = if is_record { State::Between } else { State::Found };
            let doubts = self.doubts.drain(..);
            self.found.extend(doubts.filter(|_| !is_record));
            return (!open.is_noted).then_some(Frame::Record(span));
        }
        let is_value = open.is_doubtful && self.around.iter().any(|outer| !outer.is_noted);
        if is_record && !is_value {
            self.found.extend(self.doubts.drain(..).chain([span]));
            self.state = State::Found;
            return None;
        }
        if is_record {
            self.doubts.truncate(self.doubts_before(span.start));
            self.doubts.push(span.clone());
        }
        self.state = match self.around.pop() {
            Some(outer) => State::Inside(outer),
            // The first record of a piece, which is bad or belongs to another log.
            None if !open.is_doubtful && !open.is_noted => {
                self.found.push_back(span);
                self.found.extend(self.doubts.drain(..));
                State::Found
            }
            None if self.doubts.is_empty() => State::Seek,
            None => {
                self.found.extend(self.doubts.drain(..));
                State::Found
            }
        };
        None
    }

    /// Number of doubtful records that begin before an offset.
    fn doubts_before(&self, place: usize) -> usize {
        self.doubts.partition_point(|doubt| doubt.start < place)
    }

    /// Returns whether an object that ends at `self.at` is a flow record. Doubtful records inside it are ignored.
    fn is_flow_record(&self, object: Range<usize>) -> bool {
        let inner = self.doubts[self.doubts_before(object.start)..].iter();
        let starts = [object.start].into_iter().chain(inner.clone().map(|doubt| doubt.end));
        let ends = inner.map(|doubt| doubt.start).chain([object.end]);
        let own: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &self.bytes[start..end]).collect();
        let has = |key: &str| own.iter().any(|part| has_key(part, key));
        has("\"flows\"") && (has("\"flowRecords\"") || has("\"properties\""))
    }

    /// Checks whether an object that may be a record begins at `quote`, inside another object.
    #[inline]
    fn guess(&self, open: Open, quote: usize) -> Guess {
        // Usually neither a brace nor white space precedes a quote.
        match self.bytes[..quote].last() {
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => self.look_back(open, quote),
            _ => Guess::No,
        }
    }

    fn look_back(&self, open: Open, quote: usize) -> Guess {
        let start = match opener_before(&self.bytes, quote) {
            Some(start) if start > open.start && self.around.len() < MAX_GUESSES => start,
            _ => return Guess::No,
        };
        let is_doubtful = matches!(self.bytes[..start].trim_ascii_end().last(), Some(b':' | b'['));
        match record_at(&self.bytes, quote) {
            Peek::Incomplete => Guess::Incomplete,
            Peek::NoKey => Guess::No,
            Peek::Key(_) => {
                Guess::At(Open { depth: 1, in_string: true, is_guess: true, is_doubtful, ..Open::at(start) })
            }
        }
    }

    /// Reports the damaged enclosing objects, then returns the records, one per call. Records of the next piece are
    /// left to it.
    fn next_found(&mut self) -> Option<Frame> {
        while !self.around.is_empty() {
            let open = self.around.remove(0);
            if !open.is_noted {
                return Some(Frame::Bad(self.origin + open.start as u64, Reason::Broken));
            }
        }
        let Some(span) = self.found.pop_front() else {
            self.state = State::Between;
            return None;
        };
        if self.is_next_pieces(span.start) == Some(true) {
            self.found.clear();
            self.state = State::Done;
            return None;
        }
        Some(Frame::Record(span))
    }
}

/// Result of the check for a record inside another object.
enum Guess {
    No,
    Incomplete,
    At(Open),
}
