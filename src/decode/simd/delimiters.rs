//! Finds commas and quotes, 64 bytes at a time.

use super::{BLOCK, Instructions};

/// Iterator over the offsets of `,` and `"` in `bytes[from..]`, ascending.
pub struct Delimiters<'a> {
    instructions: Instructions,
    bytes: &'a [u8],
    /// Start of the block that `mask` describes.
    block: usize,
    /// One bit per delimiter of the block that is not returned yet.
    mask: u64,
}

impl<'a> Delimiters<'a> {
    pub fn new(instructions: Instructions, bytes: &'a [u8], from: usize) -> Self {
        Self { instructions, bytes, block: from, mask: mask_at(instructions, bytes, from) }
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
            self.mask = mask_at(self.instructions, self.bytes, self.block);
        }
        let place = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(place)
    }
}

#[inline]
fn mask_at(instructions: Instructions, bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<BLOCK>() {
        Some(block) => mask(instructions, block),
        None => {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            mask(instructions, &block)
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn mask(instructions: Instructions, block: &[u8; BLOCK]) -> u64 {
    match instructions {
        // SAFETY: the function needs only SSE2, which every x86-64 processor has.
        Instructions::Portable => unsafe { sse2_mask(block) },
        // SAFETY: the processor has AVX2.
        _ => unsafe { avx2_mask(block) },
    }
}

/// Returns a bit per delimiter. Compares 32 bytes at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn avx2_mask(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi8,
    };
    let (words, _) = block.as_chunks::<8>();
    let mut mask = 0;
    for (lane, four) in words.chunks_exact(4).enumerate() {
        let word = |nr: usize| i64::from_le_bytes(four[nr]);
        let vector = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
        let commas = _mm256_cmpeq_epi8(vector, _mm256_set1_epi8(b',' as i8));
        let quotes = _mm256_cmpeq_epi8(vector, _mm256_set1_epi8(b'"' as i8));
        let bits = _mm256_movemask_epi8(_mm256_or_si256(commas, quotes)) as u32;
        mask |= u64::from(bits) << (32 * lane);
    }
    mask
}

/// Returns a bit per delimiter. Compares 16 bytes at a time.
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
fn mask(_: Instructions, block: &[u8; BLOCK]) -> u64 {
    portable_mask(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_mask(block: &[u8; BLOCK]) -> u64 {
    block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(matches!(byte, b',' | b'"')))
}

#[cfg(test)]
mod tests {
    use super::super::tests::EACH;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_byte_by_byte_search_finds(text in "[,\"a\\\\é]{0,200}", from in 0_usize..80) {
            let bytes = text.as_bytes();
            let from = from.min(bytes.len());
            let slow: Vec<usize> = (from..bytes.len()).filter(|&i| matches!(bytes[i], b',' | b'"')).collect();
            for each in EACH {
                let found: Vec<usize> = Delimiters::new(each.available(), bytes, from).collect();
                prop_assert_eq!(&found, &slow, "{:?}", each);
            }
        }

        #[test]
        fn every_path_gives_the_same_mask(block in proptest::collection::vec(proptest::sample::select(b",\"\x00\xac\x22a".to_vec()), 64)) {
            let block: [u8; 64] = block.try_into().expect("64 bytes");
            for each in EACH {
                prop_assert_eq!(mask(each.available(), &block), portable_mask(&block), "{:?}", each);
            }
        }
    }
}
