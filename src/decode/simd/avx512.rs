//! Decodes one tuple in about two hundred instructions, without branches that depend on its text.
//!
//! A tuple is analysed by its marks, the bytes that are not digits. A usual tuple always has the same marks, except
//! for a few letters: `,...,...,,,,O,E,NX,,,,"`. So one compare shows its layout. The distances between the marks are
//! the lengths of the numbers. The digits of all numbers can be moved to fixed lanes and summed at once.
//!
//! The bottleneck is the single port that permutes and compares bytes. So at most 64 bytes are permuted, which contain
//! the first sixteen marks. After them, positions are counted in masks, on other ports.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::tuple::{Code, FIRST_MILLISECONDS, NO_COUNTER, Tuple};
use crate::flow::Protocol;

/// Bytes examined per tuple. Longer tuples are left to the portable code.
const REACH: usize = 128;

/// Marks that both layouts begin with. From lane 11 on, each layout has its own letters with commas between them.
const MARKS: [u8; 16] = *b",...,...,,,,,,,,";
/// Lanes of [`MARKS`] that must be equal: `,…,6,O,E,` and `,…,T,O,A,`. The last lane is checked separately.
const NUMBERS: u16 = 0b0010_1111_1111_1111;
const LETTERS: u16 = 0b0101_0111_1111_1111;
/// Minimum number of digits before each of the first sixteen marks, and the number of additional digits allowed.
const NUMBERS_LEAST: [u8; 16] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0];
const NUMBERS_SPAN: [u8; 16] = [12, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 2, 0, 0, 0, 0];
const LETTERS_LEAST: [u8; 16] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const LETTERS_SPAN: [u8; 16] = [12, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 0, 0, 0, 0, 0];
/// Bits that show a length of sixteen or more, in four byte counts below 64. Such tuples are left to the portable
/// code.
const COUNTER_DIGITS: u32 = 0x3030_3030;
/// Bits that show a length of eight or more.
const LONG_COUNTER: u32 = 0x3838_3838;

const IOTA: [u8; 64] = iota();

const fn iota() -> [u8; 64] {
    let mut lanes = [0; 64];
    let mut lane = 0;
    while lane < 64 {
        lanes[lane] = lane as u8;
        lane += 1;
    }
    lanes
}

/// Layout of numbers in lanes. `mark` is the mark that ends the lane's number, `before` the distance of the lane's
/// digit from it.
struct Lanes {
    mark: [u8; 64],
    before: [u8; 64],
}

/// Lays out numbers, each given as the mark that ends it and its maximum number of digits.
const fn lanes<const N: usize>(numbers: [(u8, u8); N]) -> Lanes {
    let mut lanes = Lanes { mark: [0; 64], before: [0; 64] };
    let (mut lane, mut number) = (0, 0);
    while number < N {
        let (mark, digits) = numbers[number];
        let mut digit = 0;
        while digit < digits {
            lanes.mark[lane] = mark;
            lanes.before[lane] = digits - digit;
            lane += 1;
            digit += 1;
        }
        number += 1;
    }
    lanes
}

/// Protocol and time, with at most three and thirteen digits; ports; the octets of both addresses, last to first.
const KEYS: Lanes =
    lanes([(11, 3), (0, 13), (9, 8), (10, 8), (4, 4), (3, 4), (2, 4), (1, 4), (8, 4), (7, 4), (6, 4), (5, 4)]);
/// Maximum sums of eight digits: protocol and leading digits of the time, rest of the time, ports.
const MOST: [u32; 4] = [25_599_999, u32::MAX, 65_535, 65_535];
/// Moves the digit counts of octets to the lanes of the octets in [`KEYS`], two bytes each.
const OCTETS: [u8; 16] = [4, NO, 3, NO, 2, NO, 1, NO, 8, NO, 7, NO, 6, NO, 5, NO];
/// Ends of time, source, destination and column 7 in the layout with numbers.
const ENDS: [u8; 16] = [0, 4, 8, 15, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO];
/// Index that selects zero.
const NO: u8 = 0x80;
/// Counters of up to eight digits, and longer ones.
const SHORT_COUNTERS: Lanes = lanes([(0, 8), (1, 8), (2, 8), (3, 8)]);
const COUNTERS: Lanes = lanes([(0, 16), (1, 16), (2, 16), (3, 16)]);

/// Code of an invalid letter.
const WRONG: u8 = 0xff;
const DIRECTION: [u8; 256] = letters(&[(b'I', 0), (b'O', Code::OUTBOUND)]);
/// Column 7 of the layout with numbers.
const STATE_OR_DENY: [u8; 256] =
    letters(&[(b'B', 0), (b'C', 1 << Code::STATE), (b'E', 2 << Code::STATE), (b'D', Code::DENY | Code::NO_STATE)]);
const STATE: [u8; 256] =
    letters(&[(b'B', 0), (b'C', 1 << Code::STATE), (b'E', 2 << Code::STATE), (b',', Code::NO_STATE)]);
const DECISION: [u8; 256] = letters(&[(b'A', 0), (b'D', Code::DENY | Code::NO_STATE)]);

const fn letters(known: &[(u8, u8)]) -> [u8; 256] {
    let mut table = [WRONG; 256];
    let mut i = 0;
    while i < known.len() {
        table[known[i].0 as usize] = known[i].1;
        i += 1;
    }
    table
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
pub fn plain(bytes: &[u8]) -> (usize, bool) {
    super::plain_portable(bytes)
}

/// Implements [`super::tuples`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
pub fn tuples(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    counters: bool,
    mut take: impl FnMut(Tuple, usize) -> bool,
) -> usize {
    while let Some(text) = bytes.get(at + 1..).and_then(|rest| rest.first_chunk::<REACH>()) {
        let Some((tuple, close)) = tuple(text, counters) else { break };
        let close = at + 1 + close;
        if close >= end {
            break;
        }
        let goes_on = take(tuple, at + 1);
        at = close + 1;
        if bytes.get(at..at + 2) != Some(b",\"") {
            break;
        }
        at += 1;
        if !goes_on {
            break;
        }
    }
    at
}

/// Decodes the tuple at the start of `text` and returns it with the offset of its closing quote. Returns `None` for an
/// unusual tuple.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn tuple(text: &[u8; REACH], counters: bool) -> Option<(Tuple, usize)> {
    let (low, high) = (load(text.first_chunk()?), load(text.last_chunk()?));
    let comma = _mm512_set1_epi8(b',' as i8);
    let commas = [_mm512_cmpeq_epi8_mask(low, comma), _mm512_cmpeq_epi8_mask(high, comma)];
    let marks = [no_digits(low), no_digits(high)];

    // Bytes below the comma in ASCII, or above 127. The first one must be the closing quote; otherwise the tuple is
    // unusual.
    let odd = [_mm512_cmple_epi8_mask(low, comma) ^ commas[0], _mm512_cmple_epi8_mask(high, comma) ^ commas[1]];
    let close = (u128::from(odd[0]) | u128::from(odd[1]) << 64).trailing_zeros();
    if text.get(close as usize) != Some(&b'"') {
        return None;
    }

    // The first sixteen marks, and the number of digits before each.
    let iota = load(&IOTA);
    let places = _mm512_maskz_compress_epi8(marks[0], iota);
    let first_marks = _mm512_castsi512_si128(_mm512_permutexvar_epi8(places, low));
    let first_places = _mm512_castsi512_si128(places);
    let equal = _mm_cmpeq_epi8_mask(first_marks, load_16(&MARKS));
    let numbers = equal & NUMBERS == NUMBERS;
    if !numbers && (equal & LETTERS != LETTERS) {
        return None;
    }
    let before = _mm_alignr_epi8::<15>(first_places, _mm_set1_epi8(-1));
    let digits = _mm_sub_epi8(_mm_sub_epi8(first_places, before), _mm_set1_epi8(1));

    // All numbers except the counters: sums of four digits per lane, then of eight. `floor` is the smallest octet with
    // its number of digits, so a leading zero is rejected. Any bit set in `wrong` is a fault.
    let keys = _mm512_cvtepi32_epi16(sums(
        |places| _mm512_permutexvar_epi8(places, low),
        places,
        _mm512_castsi128_si512(before),
        &KEYS,
    ));
    let heads = _mm_madd_epi16(_mm256_castsi256_si128(keys), _mm_set1_epi32(0x1_2710));
    let octets = _mm256_extracti128_si256::<1>(keys);
    let table = _mm_setr_epi8(0, 0, 10, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    let floor = _mm_shuffle_epi8(_mm_shuffle_epi8(table, digits), load_16(&OCTETS));
    let most = _mm_setr_epi32(MOST[0] as i32, MOST[1] as i32, MOST[2] as i32, MOST[3] as i32);
    let (least, span) = if numbers { (&NUMBERS_LEAST, &NUMBERS_SPAN) } else { (&LETTERS_LEAST, &LETTERS_SPAN) };
    let wrong_digits = _mm_subs_epu8(_mm_sub_epi8(digits, load_16(least)), load_16(span));
    let wrong_octets = _mm_subs_epu16(_mm_sub_epi16(octets, floor), _mm_sub_epi16(_mm_set1_epi16(255), floor));
    let wrong_heads = _mm_xor_si128(_mm_max_epu32(heads, most), most);
    let wrong = _mm_or_si128(_mm_or_si128(wrong_digits, wrong_octets), wrong_heads);
    if _mm_testz_si128(wrong, wrong) == 0 {
        return None;
    }
    let [heads, ports] = halves(heads);
    let (number, value) = (heads as u32 / 100_000, u64::from(heads as u32 % 100_000) * 100_000_000 + (heads >> 32));
    let time = if value < FIRST_MILLISECONDS as u64 { value * 1000 } else { value } as i64;
    let ips = _mm_cvtsi128_si64(_mm_packus_epi16(octets, octets)) as u64;
    let ends = _mm_cvtsi128_si32(_mm_shuffle_epi8(first_places, load_16(&ENDS))) as u32;

    // The letters are the only marks of the first sixteen that are not compared yet.
    let [_, _, _, eleventh, twelfth, thirteenth, fourteenth, fifteenth] = halves(first_marks)[1].to_le_bytes();
    let letter = |table: &[u8; 256], mark: u8| table[usize::from(mark)];
    let last = ends >> 24;
    let at = |place: u32| text.get(place as usize).map_or(0, |&byte| byte);
    let (protocol, code, ends) = if numbers {
        let code = letter(&DIRECTION, twelfth) | letter(&STATE_OR_DENY, fourteenth);
        (Protocol(number as u8), code, ends)
    } else {
        let protocol = match eleventh {
            b'T' => Protocol::TCP,
            b'U' => Protocol::UDP,
            _ => return None,
        };
        let state = if at(last + 1) == b',' { letter(&STATE, at(last + 2)) } else { Code::NO_STATE };
        (protocol, letter(&DIRECTION, thirteenth) | letter(&DECISION, fifteenth) | state, ends + (1 << 24))
    };
    if code == WRONG {
        return None;
    }
    let mut tuple = Tuple {
        time,
        ips: [ips as u32, (ips >> 32) as u32],
        ports: [ports as u16, (ports >> 32) as u16],
        protocol,
        code: Code(code),
        ends: ends.to_le_bytes(),
        encryption: 0,
        counters: [NO_COUNTER; 4],
    };

    // The tuple has eight columns if it ends after the decision.
    let decided = ends >> 24;
    if close == decided {
        return Some((tuple, close as usize));
    }

    // Column 8 and the counters, between the commas after the decision. Only column 8 may contain a byte that is not a
    // digit.
    let length = close.wrapping_sub(decided + 1);
    if at(decided) != b',' || decided >= 64 || length >= 64 {
        return None;
    }
    let behind = |[low, high]: [u64; 2]| _bzhi_u64(low >> decided >> 1 | high << (63 - decided), length);
    let (commas, marks) = (behind(commas), behind(marks));
    let second = _blsr_u64(commas);
    let third = _blsr_u64(second);
    let fourth = _blsr_u64(third);
    let column_8 = commas.trailing_zeros();
    if fourth == 0 || _blsr_u64(fourth) != 0 || (marks ^ commas) >> column_8 != 0 {
        return None;
    }
    if numbers {
        tuple.encryption = column_8;
    } else if column_8 > 1 {
        return None;
    }
    // Comma positions and digit counts, one byte each.
    let place = |rest: u64, byte: u32| rest.trailing_zeros() << (8 * byte);
    let starts = column_8 | place(second, 1) | place(third, 2) | place(fourth, 3);
    let ends = starts >> 8 | length << 24;
    let digits = ends - starts - 0x0101_0101;
    if digits & COUNTER_DIGITS != 0 {
        return None;
    }
    if counters {
        let from = u64::from(decided + 1) * 0x0101_0101;
        let ends = _mm512_castsi128_si512(_mm_cvtsi64_si128((u64::from(ends) + from) as i64));
        let starts = _mm512_castsi128_si512(_mm_cvtsi64_si128((u64::from(starts) + from) as i64));
        let sums = |lanes| sums(|places| _mm512_permutex2var_epi8(low, places, high), ends, starts, lanes);
        let values = if digits & LONG_COUNTER == 0 {
            pairs(_mm512_castsi512_si256(sums(&SHORT_COUNTERS)))
        } else {
            let sixteen = sums(&COUNTERS);
            let [a, b, c, d] = pairs(_mm512_castsi512_si256(sixteen));
            let [e, f, g, h] = pairs(_mm512_extracti64x4_epi64::<1>(sixteen));
            [(a, b), (c, d), (e, f), (g, h)].map(|(high, low)| high * 100_000_000 + low)
        };
        let digits = digits.to_le_bytes();
        tuple.counters = std::array::from_fn(|nr| if digits[nr] > 0 { values[nr] as i64 } else { NO_COUNTER });
    }
    Some((tuple, close as usize))
}

/// Returns both halves of a register through memory. Extracting them directly would occupy the port that everything
/// else needs.
#[inline]
#[target_feature(enable = "sse2")]
fn halves(value: __m128i) -> [u64; 2] {
    let mut slot = MaybeUninit::<__m128i>::uninit();
    // SAFETY: the memory read was just written, and every bit pattern is a valid number.
    unsafe {
        slot.as_mut_ptr().write_volatile(value);
        let halves = slot.as_ptr().cast::<u64>();
        [halves.read_volatile(), halves.add(1).read_volatile()]
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn no_digits(block: __m512i) -> u64 {
    _mm512_cmpge_epu8_mask(_mm512_sub_epi8(block, _mm512_set1_epi8(b'0' as i8)), _mm512_set1_epi8(10))
}

/// Sums the digits of each number in `lanes`, four per sum. `before` holds the position of the mark before each
/// number; `bytes` returns the text at given positions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn sums(bytes: impl Fn(__m512i) -> __m512i, places: __m512i, before: __m512i, lanes: &Lanes) -> __m512i {
    let mark = load(&lanes.mark);
    let from = _mm512_sub_epi8(_mm512_permutexvar_epi8(mark, places), load(&lanes.before));
    let is_digit = _mm512_cmpgt_epi8_mask(from, _mm512_permutexvar_epi8(mark, before));
    let bytes = bytes(from);
    let digits = _mm512_maskz_sub_epi8(is_digit, bytes, _mm512_set1_epi8(b'0' as i8));
    let twos = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010a));
    _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064))
}

/// Combines each pair of four-digit sums into one number.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(sums: __m256i) -> [u64; 4] {
    let scaled = _mm256_mullo_epi32(sums, _mm256_set1_epi64x(0x1_0000_2710));
    let added = _mm256_add_epi32(scaled, _mm256_srli_epi64::<32>(scaled));
    let numbers = _mm256_and_si256(added, _mm256_set1_epi64x(0xffff_ffff));
    [
        _mm256_extract_epi64::<0>(numbers) as u64,
        _mm256_extract_epi64::<1>(numbers) as u64,
        _mm256_extract_epi64::<2>(numbers) as u64,
        _mm256_extract_epi64::<3>(numbers) as u64,
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array has 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array has 16 bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}
