//! Hashes of the bytes at both ends of a part of a blob, by which its next version is recognised.

use std::collections::VecDeque;

use bytes::Bytes;

use super::receipt::EDGE;
use crate::source::hash;

/// The first bytes of a part, and those that may turn out to be the last ones before its end.
#[derive(Debug, Default)]
pub struct Edges {
    first: Vec<u8>,
    /// Chunks from at most [`EDGE`] bytes before the last whole record on.
    last: VecDeque<Bytes>,
    /// Offset of the first byte in `last`, and after the last one.
    from: u64,
    to: u64,
}

impl Edges {
    /// Creates the edges of a part that starts at `start`.
    pub fn new(start: u64) -> Self {
        Self { from: start, to: start, ..Self::default() }
    }

    /// Takes the next chunk. `end` is the offset after the last whole record so far.
    pub fn push(&mut self, chunk: &Bytes, end: Option<u64>) {
        let missing = EDGE.saturating_sub(self.first.len()).min(chunk.len());
        self.first.extend_from_slice(&chunk[..missing]);
        self.last.push_back(chunk.clone());
        self.to += chunk.len() as u64;
        let needed = end.unwrap_or(self.from).saturating_sub(EDGE as u64);
        while let Some(oldest) = self.last.front()
            && self.from + oldest.len() as u64 <= needed
        {
            self.from += oldest.len() as u64;
            self.last.pop_front();
        }
    }

    /// Returns the hashes of the bytes between `start` and `end`.
    pub fn hashes(&self, start: u64, end: u64) -> [u64; 2] {
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        let mut last = Vec::with_capacity(EDGE);
        let (from, mut at) = (end.saturating_sub(EDGE as u64).max(start), self.from);
        for chunk in &self.last {
            let within =
                |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(chunk.len());
            last.extend_from_slice(&chunk[within(from)..within(end)]);
            at += chunk.len() as u64;
        }
        [hash(&self.first[..self.first.len().min(length)]), hash(&last)]
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
                    at += chunk.len();
                    // The last whole record ends somewhere in the bytes so far.
                    edges.push(&Bytes::copy_from_slice(chunk), Some(at.min(end) as u64));
                }
                let expected = [hash(&text[..end.min(EDGE)]), hash(&text[end.saturating_sub(EDGE)..end])];
                assert_eq!(edges.hashes(0, end as u64), expected, "{size} {end}");
            }
        }
    }
}
