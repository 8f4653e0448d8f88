//! Where each flow record starts and ends, in bytes cut anywhere and wrapped in anything.
//!
//! Around records lie containers: arrays, and objects that have an array `records`, or one record in its place. Braces are counted outside of
//! strings, so that nothing inside a record needs to be understood here. Records longer than [`MAX_RECORD`] are
//! skipped, so memory does not follow the input.
//!
//! A lost brace or quote would make a record swallow those behind it. So an object inside another one that begins as
//! records do is followed for itself. If it is a flow record in a list, the one around it is damaged, and no more than
//! that is lost. Where it may as well be a value of the one around it, that one decides: whether it ends as a record.

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

const MAX_RECORD: usize = 32 << 20;
/// A buffer that grew beyond this for one record is given back behind it.
const USUAL: usize = 4 << 20;
/// Objects that begin as records do, one inside the other: more than damage makes.
const MAX_GUESSES: usize = 64;

/// What lets a piece of a blob find its first record: the key that records start with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SplitHint {
    /// First key of the blob's first record; only keys that occur nowhere inside a record.
    first_key: String,
    /// `{` and `[` of the containers around the records.
    containers: String,
}

/// From the first few KiB of a blob, how to cut it; `None` when it must be read from its start, or is no flow log.
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
    // Records of other logs may hold objects that begin with the same key.
    if !is_record_key(first_key.as_bytes()) || !names_flows(head) {
        return None;
    }
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
    /// In an object that may be a record.
    Inside(Open),
    /// Behind records that began inside of damaged ones, which are to be noted first.
    Found,
    /// A piece that has reached the next one's first record.
    Done,
}

/// An object that has opened and not closed.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: usize,
    /// Of braces and brackets, its own included.
    depth: u32,
    in_string: bool,
    /// Noted as a problem already: its bytes are not kept.
    is_noted: bool,
    /// It begins as records do where none is due: it counts if it turns out to be one.
    is_guess: bool,
    /// It may be a value of the object around it.
    is_doubtful: bool,
}

impl Open {
    fn at(start: usize) -> Self {
        Self { start, depth: 0, in_string: false, is_noted: false, is_guess: false, is_doubtful: false }
    }
}

pub struct Framer {
    instructions: Instructions,
    /// Bytes from the first one that may still be needed.
    bytes: Vec<u8>,
    /// Place of `bytes[0]` in the blob.
    origin: u64,
    /// Everything before is understood; may lie one behind the end after a backslash.
    at: usize,
    state: State,
    /// Objects around the one of `Inside`, outermost first. Hardly ever any.
    around: Vec<Open>,
    /// Records inside of the object of `Inside`, unless they are values of it. In order, and none within another.
    doubts: Vec<Range<usize>>,
    /// Records of `Found`.
    found: VecDeque<Range<usize>>,
    /// Openers of the containers around the current place, outermost first.
    containers: Vec<u8>,
    /// Where a piece ends, and how to recognise a record there.
    until: Option<(u64, SplitHint)>,
    /// What a piece behind the first one looks for.
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

    /// Place of the first of [`Self::bytes`] in the blob.
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
            // At once, for what growing step by step leaves behind is as much again. It only takes what is used.
            self.bytes.reserve_exact(most - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
    }

    /// Drops the bytes of frames already given out.
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

    /// The outermost object that is still to be given out or noted.
    fn first_kept(&self, inside: Open) -> Option<Open> {
        self.around.iter().copied().chain([inside]).find(|open| !open.is_noted)
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

    /// What the end of the bytes leaves undone.
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

    /// True when containers wait for their end. A piece that started elsewhere than at the head only knows
    /// that something must have closed.
    fn is_open(&self) -> bool {
        match &self.seeks {
            None => !self.containers.is_empty(),
            Some(hint) => !self.containers.is_empty() && self.containers.len() >= hint.containers.len(),
        }
    }

    fn seek(&mut self) -> Option<()> {
        let from = self.at.min(self.bytes.len());
        let Some(found) = find_record(&self.bytes[from..], &self.seeks.as_ref()?.first_key) else {
            // Behind the piece's end there is nothing to look for.
            if self.bytes.len() > SEEK_TAIL && self.is_behind_piece(self.bytes.len() - SEEK_TAIL) {
                self.state = State::Done;
            }
            return None;
        };
        let start = from + found;
        self.at = start;
        // The value of a key is no record, but what begins the piece may be one.
        let is_doubtful = self.bytes[..start].trim_ascii_end().last() == Some(&b':');
        self.state = match self.is_behind_piece(start) {
            true => State::Done,
            false => State::Inside(Open { is_guess: true, is_doubtful, ..Open::at(start) }),
        };
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
                // Other keys of a wrapper, behind its records.
                b'"' if self.containers.last() == Some(&b'{') => match string_end(&self.bytes, self.at + 1) {
                    None if self.bytes.len() - self.at > MAX_RECORD => return Some(Some(self.garbage())),
                    None => return None,
                    // The quote that seems to end a text may begin a record, where a quote before it is lost.
                    Some(end) => match record_at(&self.bytes, end) {
                        Peek::Incomplete => return None,
                        Peek::Key(_) => self.at = opener_before(&self.bytes, end).unwrap_or(end + 1),
                        Peek::NoKey => self.at = end + 1,
                    },
                },
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

    fn is_behind_piece(&self, place: usize) -> bool {
        self.until.as_ref().is_some_and(|(end, _)| self.origin + place as u64 >= *end)
    }

    /// True when the object that opens at `start` is the first record of the next piece: one that the next piece looks
    /// for. `None` takes more bytes.
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

    /// Bytes that belong to nothing start here. They are one problem, however many they are.
    fn garbage(&mut self) -> Frame {
        let start = self.at;
        self.at += 1;
        self.state = State::Garbage;
        Frame::Bad(self.origin + start as u64, Reason::Garbage)
    }

    /// Goes on to the next byte that may open or close something.
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

    /// Walks to the end of an object: `Some(None)` when it turned out to be something else than the next frame.
    fn inside(&mut self, mut open: Open) -> Option<Option<Frame>> {
        let bytes = &self.bytes[..];
        let mut at = self.at;
        while at < bytes.len() {
            // What neither opens, closes nor escapes anything, and so begins nothing: tuples, mostly.
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
                        // Behind the inner object, the brace that opened it has closed.
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
        // Their bytes go, too.
        self.doubts.clear();
        Some(Some(Frame::Bad(self.origin + first.start as u64, Reason::TooLong)))
    }

    /// An object ends at `self.at`.
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
            // The first record of a piece, which is bad or of another log.
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

    /// How many doubtful records begin before a place.
    fn doubts_before(&self, place: usize) -> usize {
        self.doubts.partition_point(|doubt| doubt.start < place)
    }

    /// Whether an object that ends at `self.at` is a flow record, whatever the doubtful ones in it are.
    fn is_flow_record(&self, object: Range<usize>) -> bool {
        let inner = self.doubts[self.doubts_before(object.start)..].iter();
        let starts = [object.start].into_iter().chain(inner.clone().map(|doubt| doubt.end));
        let ends = inner.map(|doubt| doubt.start).chain([object.end]);
        let own: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &self.bytes[start..end]).collect();
        let has = |key: &str| own.iter().any(|part| has_key(part, key));
        has("\"flows\"") && (has("\"flowRecords\"") || has("\"properties\""))
    }

    /// Whether an object that may be a record begins at the quote at `quote`, within another one.
    #[inline]
    fn guess(&self, open: Open, quote: usize) -> Guess {
        // Mostly neither a brace nor space stands before a quote.
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

    /// Notes the damaged objects around records, then gives the records out, one a call, or leaves them to the next piece.
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

/// Whether an object begins inside of another one that may be a record.
enum Guess {
    No,
    Incomplete,
    At(Open),
}
