//! Hashes of the bytes at both ends of a part of a blob, by which its next version is recognised.

use bytes::Bytes;

use super::receipt::EDGE;
use crate::source::hash;

/// The first bytes of a part, and the last ones before its end. Holds at most one chunk.
#[derive(Debug, Default)]
pub struct Edges {
    first: Vec<u8>,
    /// Bytes before `chunk`, at most [`EDGE`].
    before: Vec<u8>,
    /// The newest chunk. A record that was not whole before it ends in it.
    chunk: Bytes,
    /// Offset of the first byte of `chunk`.
    at: u64,
    /// Offset after the last whole record, and the bytes before it.
    end: u64,
    last: Vec<u8>,
}

impl Edges {
    /// Creates the edges of a part that starts at `start`.
    pub fn new(start: u64) -> Self {
        Self { at: start, end: start, ..Self::default() }
    }

    /// Takes the next chunk. `end` is the offset after the last whole record before it; `None` if there is none.
    pub fn push(&mut self, chunk: &Bytes, end: Option<u64>) {
        self.settle(end.unwrap_or(self.end));
        let missing = EDGE.saturating_sub(self.first.len()).min(chunk.len());
        self.first.extend_from_slice(&chunk[..missing]);
        self.before = self.window(self.at + self.chunk.len() as u64);
        self.at += self.chunk.len() as u64;
        self.chunk = chunk.clone();
    }

    /// Returns the hashes of the bytes between `start` and `end`.
    pub fn hashes(&mut self, start: u64, end: u64) -> [u64; 2] {
        self.settle(end);
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        [hash(&self.first[..self.first.len().min(length)]), hash(&self.last)]
    }

    /// Keeps the bytes before a new end, which is in the newest chunk.
    fn settle(&mut self, end: u64) {
        if end != self.end {
            self.last = self.window(end);
            self.end = end;
        }
    }

    /// Returns the last bytes before `end`.
    fn window(&self, end: u64) -> Vec<u8> {
        let within = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.chunk.len());
        let of_chunk = &self.chunk[within.saturating_sub(EDGE)..within];
        let earlier = self.before.len().saturating_sub(EDGE - of_chunk.len());
        [&self.before[earlier..], of_chunk].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_bytes_at_both_ends() {
        let text: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
        for size in [1, 100, 4096, 5000, 20_000] {
            for end in [0, 1, 4095, 4096, 4097, 12_345, 20_000] {
                let mut edges = Edges::new(0);
                let mut at = 0;
                for chunk in text.chunks(size) {
                    // The last whole record ends somewhere in the bytes so far.
                    edges.push(&Bytes::copy_from_slice(chunk), Some(at.min(end) as u64));
                    at += chunk.len();
                    let held = edges.first.len() + edges.before.len() + edges.chunk.len() + edges.last.len();
                    assert!(held <= 3 * EDGE + size, "{held}");
                }
                let expected = [hash(&text[..end.min(EDGE)]), hash(&text[end.saturating_sub(EDGE)..end])];
                assert_eq!(edges.hashes(0, end as u64), expected, "{size} {end}");
            }
        }
    }
}
