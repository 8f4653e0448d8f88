//! One tuple in about a hundred instructions, with no branch that the text decides.
//!
//! A tuple is looked at as its marks: the bytes that are no digits. Of a usual tuple they are always the same, but for
//! a few letters: `,...,...,,,,O,E,NX,,,,"`. So one compare tells its layout, the distances between the marks are the
//! lengths of its numbers, and the digits of all numbers can be brought to fixed lanes and added up at once.

use std::arch::x86_64::*;

use super::super::tuple::{Code, FIRST_MILLISECONDS, NO_COUNTER, Tuple};
use crate::flow::Protocol;

/// So many bytes are looked at; a longer tuple is left to others.
const REACH: usize = 128;

/// Marks that both layouts begin with; from lane 11 on each has its own letters, and commas between them.
const MARKS: [u8; 16] = *b",...,...,,,,,,,,";
/// Lanes of [`MARKS`] that must be equal: `,…,6,O,E,` and `,…,T,O,A,`. The last lane is looked at apart.
const NUMBERS: u16 = 0b0010_1111_1111_1111;
const LETTERS: u16 = 0b0101_0111_1111_1111;
/// Fewest and most digits before each of the first sixteen marks.
const NUMBERS_LEAST: [u8; 16] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0];
const NUMBERS_SPAN: [u8; 16] = [12, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 2, 0, 0, 0, 0];
const LETTERS_LEAST: [u8; 16] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const LETTERS_SPAN: [u8; 16] = [12, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 0, 0, 0, 0, 0];
/// What counters end with: those before them, and the tuple.
const TAIL: u64 = u64::from_le_bytes(*b",,,,\"\0\0\0");
/// More digits of a counter are left to others.
const COUNTER_DIGITS: u64 = 16;
/// A tuple with more marks is left to others: so many fit a register, and the tail can be read behind them.
const MOST_MARKS: u32 = 52;

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

/// Numbers laid out in lanes, each right-aligned: for each lane the mark that its number ends at, and how far before it
/// the lane's digit stands.
struct Lanes {
    mark: [u8; 64],
    before: [u8; 64],
}

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

/// Time, ports, and the octets of both addresses.
const KEYS: Lanes = lanes([(0, 16), (9, 8), (10, 8), (1, 4), (2, 4), (3, 4), (4, 4), (5, 4), (6, 4), (7, 4), (8, 4)]);
/// Counters, by the marks of the tail: of up to eight digits, and of more.
const SHORT_COUNTERS: Lanes = lanes([(1, 8), (2, 8), (3, 8), (4, 8)]);
const COUNTERS: Lanes = lanes([(1, 16), (2, 16), (3, 16), (4, 16)]);

/// A letter that stands for nothing.
const WRONG: u8 = 0xff;
const DIRECTION: [u8; 256] = letters(&[(b'I', 0), (b'O', Code::OUTBOUND)]);
/// Column 7 of the layout with numbers.
const STATE_OR_DENY: [u8; 256] =
    letters(&[(b'B', 0), (b'C', 1 << Code::STATE), (b'E', 2 << Code::STATE), (b'D', Code::DENY | Code::NO_STATE)]);
const STATE: [u8; 256] = letters(&[
    (b'B', 0),
    (b'C', 1 << Code::STATE),
    (b'E', 2 << Code::STATE),
    (b',', Code::NO_STATE),
    (b'"', Code::NO_STATE),
]);
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

/// See [`super::tuples`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
pub fn tuples(bytes: &[u8], mut at: usize, end: usize, counters: bool, mut take: impl FnMut(Tuple, usize)) -> usize {
    while let Some(text) = bytes.get(at + 1..).and_then(|rest| rest.first_chunk::<REACH>()) {
        let Some((tuple, close)) = tuple(text, counters) else { break };
        let close = at + 1 + close;
        if close >= end {
            break;
        }
        take(tuple, at + 1);
        at = close + 1;
        if bytes[at..end].first_chunk::<2>() != Some(b",\"") {
            break;
        }
        at += 1;
    }
    at
}

/// The tuple that `text` begins with and the place of the quote that ends it; `None` for what is not usual.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn tuple(text: &[u8; REACH], counters: bool) -> Option<(Tuple, usize)> {
    let (low, high) = (load(text.first_chunk()?), load(text.last_chunk()?));

    // The marks up to the closing quote: as one number, so that no branch asks in which half it stands.
    let quote = _mm512_set1_epi8(b'"' as i8);
    let quotes = wide(_mm512_cmpeq_epi8_mask(low, quote), _mm512_cmpeq_epi8_mask(high, quote));
    let close = quotes.trailing_zeros();
    let marks = wide(no_digits(low), no_digits(high)) & (quotes ^ quotes.wrapping_sub(1));
    let (marks_low, marks_high) = (marks as u64, (marks >> 64) as u64);
    let (count_low, count) = (marks_low.count_ones(), marks.count_ones());
    if close as usize == REACH || count.wrapping_sub(16) > MOST_MARKS - 16 {
        return None;
    }

    // Their places, one a lane, and the bytes there.
    let iota = load(&IOTA);
    let behind = _mm512_maskz_compress_epi8(marks_high, _mm512_add_epi8(iota, _mm512_set1_epi8(64)));
    let shift = _mm512_sub_epi8(iota, _mm512_set1_epi8(count_low as i8));
    let places = _mm512_or_si512(
        _mm512_maskz_compress_epi8(marks_low, iota),
        _mm512_maskz_permutexvar_epi8(u64::MAX << (count_low & 63), shift, behind),
    );
    let marks = _mm512_permutex2var_epi8(low, places, high);

    // The layout, and the digits before each of the first sixteen marks.
    let (first_marks, first_places) = (_mm512_castsi512_si128(marks), _mm512_castsi512_si128(places));
    let equal = _mm_cmpeq_epi8_mask(first_marks, load_16(&MARKS));
    let numbers = equal & NUMBERS == NUMBERS;
    if !numbers && (equal & LETTERS != LETTERS) {
        return None;
    }
    let before = _mm_alignr_epi8::<15>(first_places, _mm_set1_epi8(-1));
    let digits = _mm_sub_epi8(_mm_sub_epi8(first_places, before), _mm_set1_epi8(1));
    let (least, span) = if numbers { (&NUMBERS_LEAST, &NUMBERS_SPAN) } else { (&LETTERS_LEAST, &LETTERS_SPAN) };
    if _mm_cmple_epu8_mask(_mm_sub_epi8(digits, load_16(least)), load_16(span)) != u16::MAX {
        return None;
    }

    // All numbers but the counters, four digits a lane. By its digits, the least that an octet without a leading zero is.
    let keys = sums(low, high, places, _mm512_castsi128_si512(before), &KEYS);
    let octets = _mm512_extracti64x4_epi64::<1>(keys);
    let table = _mm_setr_epi8(0, 0, 10, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    let floor = _mm256_cvtepu8_epi32(_mm_bsrli_si128::<1>(_mm_shuffle_epi8(table, digits)));
    if _mm256_cmpge_epi32_mask(octets, floor) & _mm256_cmple_epi32_mask(octets, _mm256_set1_epi32(255)) != 0xff {
        return None;
    }

    // From here on byte by byte, and through memory: taking bytes out of wide registers costs more.
    let mut seen = Seen { marks: [0; 64], places: [0; 64], keys: [0; 8], ips: [0; 16] };
    store(&mut seen.marks, marks);
    store(&mut seen.places, places);
    store_keys(&mut seen.keys, _mm512_castsi512_si256(keys));
    store_16(&mut seen.ips, _mm256_cvtepi32_epi8(octets));
    let Seen { marks: mark, places: place, keys, ips } = std::hint::black_box(&seen);
    let four = |nr: usize| u64::from(keys[nr]);
    let value = (((four(0) * 10_000 + four(1)) * 10_000 + four(2)) * 10_000 + four(3)) as i64;
    let time = if value < FIRST_MILLISECONDS { value * 1000 } else { value };
    let [src_port, dst_port] = [four(4) * 10_000 + four(5), four(6) * 10_000 + four(7)];
    if src_port.max(dst_port) > 65_535 {
        return None;
    }
    let letter = |table: &[u8; 256], nr: usize| table[usize::from(mark[nr])];
    let (protocol, code, head, decided) = if numbers {
        let protocol = number(text, place[11], place[11] - place[10] - 1);
        if protocol > 255 {
            return None;
        }
        (Protocol(protocol as u8), letter(&DIRECTION, 12) | letter(&STATE_OR_DENY, 14), 16, place[15])
    } else {
        let protocol = match mark[11] {
            b'T' => Protocol::TCP,
            b'U' => Protocol::UDP,
            _ => return None,
        };
        let state = letter(&STATE, if mark[16] == b',' { 17 } else { 16 });
        (protocol, letter(&DIRECTION, 13) | letter(&DECISION, 15) | state, 17, place[15] + 1)
    };
    if code == WRONG {
        return None;
    }
    let ip = |from: usize| u32::from_be_bytes([ips[from], ips[from + 1], ips[from + 2], ips[from + 3]]);
    let mut tuple = Tuple {
        time,
        ips: [ip(0), ip(4)],
        ports: [src_port as u16, dst_port as u16],
        protocol,
        code: Code(code),
        ends: [place[0], place[4], place[8], decided],
        encryption: 0,
        counters: [NO_COUNTER; 4],
    };

    // Eight columns end here.
    let ender = mark[head - 1];
    if ender == b'"' {
        return (count as usize == head && close == u32::from(decided)).then_some((tuple, close as usize));
    }
    if ender != b',' || (count as usize) < head + 5 {
        return None;
    }

    // The last five marks end column 8 and the counters.
    let tail = count as usize - 5;
    let tail_word = |bytes: &[u8; 64]| bytes[tail..].first_chunk().map_or(0, |&eight| u64::from_le_bytes(eight));
    if tail_word(mark) & 0xff_ffff_ffff != TAIL {
        return None;
    }
    let ends = tail_word(place);
    let column_8 = ends as u8;
    if numbers {
        // The encryption may be any text but for commas; text that is not ASCII is left to others.
        let commas = _mm512_cmpeq_epi8_mask(marks, _mm512_set1_epi8(b',' as i8));
        let within = (1 << count) - 1;
        if (commas & within).count_ones() != 12 || _mm512_movepi8_mask(marks) & within != 0 {
            return None;
        }
        tuple.encryption = u32::from(column_8 - decided - 1);
    } else {
        // A letter stands between the commas, or none does.
        let letters = count - 22;
        if letters > 1 || u32::from(column_8) != u32::from(decided) + 1 + letters || (letters == 1 && mark[17] == b',')
        {
            return None;
        }
    }
    // The digits of each counter, a byte each: places ascend, so nothing is borrowed.
    let digits = (ends - (ends << 8)).wrapping_sub(0x0101_0101_0101_0101) >> 8 & 0xffff_ffff;
    if (digits + (0x7f - COUNTER_DIGITS) * 0x0101_0101) & 0x8080_8080 != 0 {
        return None;
    }
    if counters {
        let last = _mm512_add_epi8(iota, _mm512_set1_epi8(tail as i8));
        let tail_places = _mm512_permutexvar_epi8(last, places);
        let tail_before = _mm512_bslli_epi128::<1>(tail_places);
        let is_short = (digits + 0x7777_7777) & 0x8080_8080 == 0;
        let values = match is_short {
            true => pairs(_mm512_castsi512_si256(sums(low, high, tail_places, tail_before, &SHORT_COUNTERS))),
            false => {
                let sixteen = sums(low, high, tail_places, tail_before, &COUNTERS);
                let [a, b, c, d] = pairs(_mm512_castsi512_si256(sixteen));
                let [e, f, g, h] = pairs(_mm512_extracti64x4_epi64::<1>(sixteen));
                [(a, b), (c, d), (e, f), (g, h)].map(|(high, low)| high * 100_000_000 + low)
            }
        };
        tuple.counters = std::array::from_fn(|nr| {
            let is_there = digits >> (8 * nr) & 0xff != 0;
            if is_there { values[nr] as i64 } else { NO_COUNTER }
        });
    }
    Some((tuple, close as usize))
}

/// What is known of a tuple before its letters are looked at.
struct Seen {
    marks: [u8; 64],
    places: [u8; 64],
    /// Four digits each: time, source port, destination port.
    keys: [u32; 8],
    /// Octets of both addresses, in the first eight.
    ips: [u8; 16],
}

fn wide(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn no_digits(block: __m512i) -> u64 {
    _mm512_cmpge_epu8_mask(_mm512_sub_epi8(block, _mm512_set1_epi8(b'0' as i8)), _mm512_set1_epi8(10))
}

/// The digits of every number of `lanes`, four to a sum. `before` has the place of the mark before each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn sums(low: __m512i, high: __m512i, places: __m512i, before: __m512i, lanes: &Lanes) -> __m512i {
    let mark = load(&lanes.mark);
    let from = _mm512_sub_epi8(_mm512_permutexvar_epi8(mark, places), load(&lanes.before));
    let is_digit = _mm512_cmpgt_epi8_mask(from, _mm512_permutexvar_epi8(mark, before));
    let bytes = _mm512_permutex2var_epi8(low, from, high);
    let digits = _mm512_maskz_sub_epi8(is_digit, bytes, _mm512_set1_epi8(b'0' as i8));
    let twos = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010a));
    _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064))
}

/// Two sums of four digits to one number, four times.
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

/// One to three digits that end at `end`.
#[inline]
fn number(text: &[u8; REACH], end: u8, digits: u8) -> u32 {
    let end = usize::from(end);
    let word = text
        .get(end.wrapping_sub(4)..end)
        .and_then(|four| four.first_chunk())
        .map_or(0, |&four| u32::from_le_bytes(four));
    let kept = u32::MAX << (32 - 8 * u32::from(digits.clamp(1, 3)));
    let [_, hundreds, tens, ones] = ((word & kept).wrapping_sub(0x3030_3030 & kept)).to_le_bytes();
    u32::from(hundreds) * 100 + u32::from(tens) * 10 + u32::from(ones)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are there, and they need no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are there, and they need no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(bytes: &mut [u8; 64], value: __m512i) {
    // SAFETY: there are 64 bytes, and they need no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_keys(keys: &mut [u32; 8], value: __m256i) {
    // SAFETY: there are 32 bytes, and they need no alignment.
    unsafe { _mm256_storeu_si256(keys.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store_16(bytes: &mut [u8; 16], value: __m128i) {
    // SAFETY: there are 16 bytes, and they need no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}
