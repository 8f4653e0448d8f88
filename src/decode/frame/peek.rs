//! Lookahead in JSON text from a given position, no further than needed.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

/// Maximum white space in bytes around a record's first key. This much is kept of searched bytes.
pub const SEEK_TAIL: usize = 4096;

/// Keys that records have and that never occur inside them.
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

/// Returns whether a key, in any case, is one that records have and that never occurs inside them.
pub fn is_record_key(key: &[u8]) -> bool {
    RECORD_KEYS.iter().any(|k| k.as_bytes().eq_ignore_ascii_case(key))
}

/// Returns whether an object with this first key may be a record where none is expected: a record key or a body.
fn is_first_key(key: &[u8]) -> bool {
    is_record_key(key) || key.eq_ignore_ascii_case(b"flowRecords") || key.eq_ignore_ascii_case(b"properties")
}

/// Length of the longest key that [`is_first_key`] accepts.
const LONGEST_KEY: usize = 17;

/// Returns the position of the brace that precedes `quote`, with only white space between.
pub fn opener_before(bytes: &[u8], quote: usize) -> Option<usize> {
    let before = bytes[..quote].iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))?;
    (bytes[before] == b'{').then_some(before)
}

/// Returns the first key of a record, if one begins with the quote at `quote` after its brace.
pub fn record_at(bytes: &[u8], quote: usize) -> Peek {
    if opener_before(bytes, quote).is_none() {
        return Peek::NoKey;
    }
    let rest = &bytes[quote + 1..];
    let Some(length) = memchr(b'"', &rest[..rest.len().min(LONGEST_KEY + 1)]) else {
        return if rest.len() <= LONGEST_KEY { Peek::Incomplete } else { Peek::NoKey };
    };
    if !is_first_key(&rest[..length]) {
        return Peek::NoKey;
    }
    match rest[length + 1..].iter().take(SEEK_TAIL).find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
        Some(b':') => Peek::Key(quote + 1..quote + 1 + length),
        None if rest.len() - length <= SEEK_TAIL => Peek::Incomplete,
        _ => Peek::NoKey,
    }
}

/// Result of a lookahead for an object's first key.
pub enum Peek {
    /// Range of the first key.
    Key(Range<usize>),
    NoKey,
    Incomplete,
}

/// Reads the first key of the object that opens at `open`.
pub fn peek_key(bytes: &[u8], open: usize) -> Peek {
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

/// Returns whether the array or object at `open` is the value of `records` in the object at `start`.
pub fn is_records(bytes: &[u8], start: usize, open: usize) -> bool {
    const KEY: &[u8] = b"\"records\"";
    let Some(before) = bytes[start..open].trim_ascii_end().strip_suffix(b":") else { return false };
    let before = before.trim_ascii_end();
    before.len() > KEY.len() && before[before.len() - KEY.len()..].eq_ignore_ascii_case(KEY)
}

/// Returns whether a text contains a quoted key, in any case.
pub fn has_key(text: &[u8], quoted: &str) -> bool {
    let key = quoted.as_bytes();
    let is_at = |quote: usize| text[quote..].get(..key.len()).is_some_and(|found| found.eq_ignore_ascii_case(key));
    memmem::find(text, key).is_some() || memchr::memchr_iter(b'"', text).any(is_at)
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(rest.len())
}

/// Returns the closing quote of the string whose text starts at `from`.
pub fn string_end(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Returns the first `{` whose first key is `key`. It is never inside a string, because quotes there are escaped.
pub fn find_record(bytes: &[u8], key: &str) -> Option<usize> {
    let quoted = format!("\"{key}\"");
    memmem::find_iter(bytes, quoted.as_bytes()).find_map(|quote| {
        let before = bytes[..quote].iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))?;
        let colon = skip_space(bytes, quote + quoted.len());
        (bytes[before] == b'{' && bytes.get(colon) == Some(&b':')).then_some(before)
    })
}
