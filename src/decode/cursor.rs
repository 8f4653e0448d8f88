//! A position in the JSON text of one record, with steps from value to value.

use std::ops::Range;

use super::frame::peek::string_end;
use super::problem::Reason;

/// Cursor over one record. Returned keys and texts are the bytes between the quotes, with escapes.
pub struct Cursor<'a> {
    /// Bytes that contain the record.
    pub bytes: &'a [u8],
    /// Next byte; always <= `end`.
    pub at: usize,
    /// End of the record.
    pub end: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], record: Range<usize>) -> Self {
        Self { bytes, at: record.start, end: record.end }
    }

    /// Skips white space and returns the next byte without consuming it.
    pub fn peek(&mut self) -> Option<u8> {
        while self.at < self.end {
            match self.bytes[self.at] {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
        None
    }

    /// Consumes `byte` after white space, or fails.
    pub fn expect(&mut self, byte: u8) -> Result<(), Reason> {
        if self.peek() != Some(byte) {
            return Err(Reason::Json);
        }
        self.at += 1;
        Ok(())
    }

    /// Returns the next key of the current object and moves to its value. Returns `None` after the closing brace.
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

    /// Consumes commas, and the closing bracket if it comes next. Returns true in that case; otherwise an element
    /// follows.
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

    /// Consumes a string and returns the range between its quotes.
    pub fn string(&mut self) -> Result<Range<usize>, Reason> {
        self.expect(b'"')?;
        let start = self.at;
        let close = string_end(&self.bytes[..self.end], start).ok_or(Reason::Json)?;
        self.at = close + 1;
        Ok(start..close)
    }

    /// Consumes a value and returns its range if it is a string, otherwise `None`.
    pub fn text(&mut self) -> Result<Option<Range<usize>>, Reason> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        self.skip_value()?;
        Ok(None)
    }

    /// Consumes a value of any type.
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
                    // The first byte may be any, so it is always consumed.
                    self.at += rest.iter().skip(1).position(ends).map_or(rest.len(), |n| n + 1);
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}
