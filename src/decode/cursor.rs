//! A place in the JSON text of one record, and the steps from one value to the next.

use std::ops::Range;

use super::frame::peek::string_end;
use super::problem::Reason;

/// The next value of one record. Keys and texts are those between the quotes, as they are written.
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    /// The next byte; always <= `end`.
    pub at: usize,
    /// The end of the record.
    pub end: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], record: Range<usize>) -> Self {
        Self { bytes, at: record.start, end: record.end }
    }

    /// Skips space and returns the byte after it.
    pub fn peek(&mut self) -> Option<u8> {
        while self.at < self.end {
            match self.bytes[self.at] {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
        None
    }

    pub fn expect(&mut self, byte: u8) -> Result<(), Reason> {
        if self.peek() != Some(byte) {
            return Err(Reason::Json);
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the object around, its value next; `None` after its closing brace.
    pub fn next_key(&mut self) -> Result<Option<&'a [u8]>, Reason> {
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

    /// Steps over the closing bracket if that comes next; otherwise an element does.
    pub fn at_array_end(&mut self) -> Result<bool, Reason> {
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

    pub fn string(&mut self) -> Result<Range<usize>, Reason> {
        self.expect(b'"')?;
        let start = self.at;
        let close = string_end(&self.bytes[..self.end], start).ok_or(Reason::Json)?;
        self.at = close + 1;
        Ok(start..close)
    }

    /// A string; `None` for another value.
    pub fn text(&mut self) -> Result<Option<Range<usize>>, Reason> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        self.skip_value()?;
        Ok(None)
    }

    pub fn skip_value(&mut self) -> Result<(), Reason> {
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
