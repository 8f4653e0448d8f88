//! Phase one's inner loop: where the commas and quotes are, 64 bytes at a time.

/// Yields the places of `,` and `"` in `bytes[from..]`, ascending.
pub struct Delimiters<'a> {
    bytes: &'a [u8],
    /// Start of the block that `mask` belongs to.
    block: usize,
    /// A bit for each delimiter of the block not yielded yet.
    mask: u64,
}

const BLOCK: usize = 64;

impl<'a> Delimiters<'a> {
    pub fn new(bytes: &'a [u8], from: usize) -> Self {
        Self { bytes, block: from, mask: mask_at(bytes, from) }
    }
}

impl Iterator for Delimiters<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.block += BLOCK;
            if self.block >= self.bytes.len() {
                self.block = self.bytes.len();
                return None;
            }
            self.mask = mask_at(self.bytes, self.block);
        }
        let place = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(place)
    }
}

#[inline]
fn mask_at(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<BLOCK>() {
        Some(block) => mask(block),
        None => {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            mask(&block)
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn mask(block: &[u8; BLOCK]) -> u64 {
    // SAFETY: all it asks for is SSE2, which is part of every x86-64.
    unsafe { sse2_mask(block) }
}

/// 16 bytes a compare.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_mask(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};
    let (words, _) = block.as_chunks::<8>();
    let mut mask = 0;
    for (lane, pair) in words.chunks_exact(2).enumerate() {
        let vector = _mm_set_epi64x(i64::from_le_bytes(pair[1]), i64::from_le_bytes(pair[0]));
        let commas = _mm_cmpeq_epi8(vector, _mm_set1_epi8(b',' as i8));
        let quotes = _mm_cmpeq_epi8(vector, _mm_set1_epi8(b'"' as i8));
        let bits = _mm_movemask_epi8(_mm_or_si128(commas, quotes)) as u16;
        mask |= u64::from(bits) << (16 * lane);
    }
    mask
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn mask(block: &[u8; BLOCK]) -> u64 {
    portable_mask(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_mask(block: &[u8; BLOCK]) -> u64 {
    block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(matches!(byte, b',' | b'"')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_byte_by_byte_search_finds(text in "[,\"a\\\\é]{0,200}", from in 0_usize..80) {
            let bytes = text.as_bytes();
            let from = from.min(bytes.len());
            let slow: Vec<usize> = (from..bytes.len()).filter(|&i| matches!(bytes[i], b',' | b'"')).collect();
            prop_assert_eq!(Delimiters::new(bytes, from).collect::<Vec<_>>(), slow);
        }

        #[test]
        fn every_path_gives_the_same_mask(block in proptest::collection::vec(proptest::sample::select(b",\"\x00\xac\x22a".to_vec()), 64)) {
            let block: [u8; 64] = block.try_into().expect("64 bytes");
            prop_assert_eq!(mask(&block), portable_mask(&block));
        }
    }
}
