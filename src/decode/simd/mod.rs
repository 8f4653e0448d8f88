//! Vectorised decoding, and detection of the processor's instruction sets. All unsafe code is in this module.
//!
//! Every function returns the same for each instruction set; only the speed differs. Special code for the widest set
//! handles the usual input. Other input is left to the portable code.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod delimiters;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::tuple::Tuple;
pub use delimiters::Delimiters;

/// Instruction sets. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Instructions {
    /// Baseline instructions of the target.
    Portable,
    /// 32 bytes at a time: x86-64 since about 2013.
    Avx2,
    /// 64 bytes at a time, with byte permutation: Intel since Ice Lake, AMD since Zen 4.
    #[default]
    Avx512,
}

impl Instructions {
    /// Returns this set, or the widest one that the processor supports if that is narrower.
    pub fn available(self) -> Self {
        static BEST: LazyLock<Instructions> = LazyLock::new(best);
        self.min(*BEST)
    }
}

#[cfg(target_arch = "x86_64")]
fn best() -> Instructions {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt");
    match (avx2, avx512) {
        (true, true) => Instructions::Avx512,
        (true, false) => Instructions::Avx2,
        _ => Instructions::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Instructions {
    Instructions::Portable
}

/// Bytes examined together.
const BLOCK: usize = 64;

/// Returns the length of the leading blocks without brace, bracket, backslash and white space. The second value is
/// true if they contain an odd number of quotes.
#[inline]
pub fn plain(instructions: Instructions, bytes: &[u8]) -> (usize, bool) {
    match instructions {
        // SAFETY: the processor has AVX-512.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => unsafe { avx512::plain(bytes) },
        // SAFETY: the processor has AVX2.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => unsafe { plain_avx2(bytes) },
        _ => plain_portable(bytes),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn plain_avx2(bytes: &[u8]) -> (usize, bool) {
    plain_portable(bytes)
}

/// Written so that the compiler vectorises it with the widest instructions allowed.
#[inline(always)]
fn plain_portable(bytes: &[u8]) -> (usize, bool) {
    let (mut length, mut quotes) = (0, 0_u8);
    for block in bytes.as_chunks::<BLOCK>().0 {
        let (mut special, mut count) = (0_u8, 0_u8);
        for &byte in block {
            // With this bit set, brackets, braces and the backslash have consecutive codes.
            special |= u8::from((byte | 0x20).wrapping_sub(b'{') <= 2) | u8::from(byte <= b' ');
            count = count.wrapping_add(u8::from(byte == b'"'));
        }
        if special != 0 {
            break;
        }
        length += BLOCK;
        quotes ^= count;
    }
    (length, quotes & 1 == 1)
}

/// Reads consecutive tuples `"…","…"`, where `at` is the opening quote of the first. Passes each tuple and its start
/// to `take`, and reads counters only if `counters` is true. Returns the opening quote of the first tuple that it does
/// not handle, or the position after the last one. Every tuple equals the result of [`super::tuple::check`]. Reading
/// stops after the tuple for which `take` returns false.
///
/// `bytes[at..end]` must not contain a backslash.
#[inline]
pub fn tuples(
    instructions: Instructions,
    bytes: &[u8],
    at: usize,
    end: usize,
    counters: bool,
    take: impl FnMut(Tuple, usize) -> bool,
) -> usize {
    match instructions {
        // SAFETY: the processor has AVX-512.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => unsafe { avx512::tuples(bytes, at, end, counters, take) },
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuple::{Fields, NO_COUNTER, check};
    use super::*;
    use proptest::prelude::*;

    pub const EACH: [Instructions; 3] = [Instructions::Portable, Instructions::Avx2, Instructions::Avx512];

    /// Usually a valid field, otherwise one that is nearly valid.
    fn field(usual: &'static str, odd: &'static str) -> impl Strategy<Value = String> {
        let odd = proptest::string::string_regex(odd).expect("a pattern");
        prop_oneof![40 => proptest::string::string_regex(usual).expect("a pattern"), 1 => odd]
    }

    fn any_tuple() -> impl Strategy<Value = String> {
        let ip = || {
            field(
                "(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(\\.(25[0-5]|1?[1-9]?[0-9])){3}",
                "[0-9]{0,3}(\\.[0-9]{0,3}){0,4}|2001:db8::[0-9a-f]{1,4}",
            )
        };
        let head = (
            field("1[0-9]{9}|1[0-9]{12}", "[0-9]{0,20}|x"),
            ip(),
            ip(),
            field("[0-9]{1,5}", "[0-9]{0,6}|é"),
            field("[0-9]{1,5}", "-1|"),
        );
        let tail = (
            field("6|17|1[0-9]{2}|[0-9]", "[0-9]{0,4}|t"),
            field("[IO]", "|i|IO"),
            field("[BCED]", "A|X|"),
            field("NX|X|NX_HW_NOT_SUPPORTED|", "[A-Za-z0-9. _:é-]{0,50}"),
        );
        let letters = (field("[TU]", "[0-9]?|tu"), field("[IO]", ""), field("[AD]", "[BX]?"), field("[BCE]?", "D|xx"));
        let counters = proptest::collection::vec(field("[0-9]{1,10}|", "[0-9]{0,20}|-1|1e3|\\."), 4);
        let cut = prop_oneof![10 => Just(usize::MAX), 1 => 0_usize..14];
        let more = prop_oneof![20 => Just(""), 1 => Just(",7"), 1 => Just(",")];
        (head, tail, letters, counters, any::<bool>(), cut, more).prop_map(
            |(head, tail, letters, counters, numbers, cut, more)| {
                let mut fields = vec![head.0, head.1, head.2, head.3, head.4];
                fields.extend(if numbers {
                    [tail.0, tail.1, tail.2, tail.3]
                } else {
                    [letters.0, letters.1, letters.2, letters.3]
                });
                fields.extend(counters);
                fields.truncate(cut);
                fields.join(",") + more
            },
        )
    }

    fn slowly(text: &str) -> Option<Tuple> {
        let mut marks: Vec<u32> = vec![0];
        marks.extend(text.bytes().enumerate().filter(|(_, b)| *b == b',').map(|(i, _)| i as u32));
        marks.push(text.len() as u32);
        marks.truncate(super::super::tuple::MAX_FIELDS + 1);
        check(Fields::new(text.as_bytes(), &marks)).ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn plain_is_what_a_byte_by_byte_search_finds(text in "[a\",é]{0,300}[ {}\\[\\]\\\\|\n]?[a\"]{0,200}") {
            let bytes = text.as_bytes();
            let special = bytes.iter().position(|b| b" \t\r\n{}[]\\|".contains(b)).unwrap_or(bytes.len());
            let length = special / BLOCK * BLOCK;
            let quotes = bytes[..length].iter().filter(|b| **b == b'"').count();
            for each in EACH {
                prop_assert_eq!(plain(each.available(), bytes), (length, quotes % 2 == 1), "{:?}", each);
            }
        }

        #[test]
        fn tuples_are_what_the_check_takes(texts in proptest::collection::vec(any_tuple(), 1..6)) {
            let mut bytes = format!("[\"{}\"]", texts.join("\",\"")).into_bytes();
            let end = bytes.len();
            bytes.resize(end + 128, b' ');
            for (each, counters) in EACH.into_iter().flat_map(|each| [(each, true), (each, false)]) {
                let mut at = 1;
                for text in &texts {
                    // One by one, so that each is first tried by the fast path.
                    let expected = slowly(text).map(|t| if counters { t } else { Tuple { counters: [NO_COUNTER; 4], ..t } });
                    let mut first = None;
                    let next = tuples(each.available(), &bytes, at, end, counters, |tuple, start| {
                        first.get_or_insert((tuple, start));
                        true
                    });
                    if next > at {
                        let (tuple, start) = first.expect("it went on");
                        prop_assert_eq!(Some(tuple), expected, "{} {:?}", text, each);
                        prop_assert_eq!(start, at + 1);
                    }
                    at += text.len() + 3;
                }
            }
        }
    }

    /// Tuples that the fast path must handle itself, or it would not be fast.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_usual_is_taken() {
        let usual = [
            "1777881900000,10.20.1.4,192.0.2.7,50000,443,6,O,E,NX,7,1158,12,8143",
            "1777881900000,10.20.1.4,192.0.2.7,50000,443,17,I,D,NX,0,0,0,0",
            "1777881900000,255.255.255.255,100.200.100.200,50000,65535,6,O,C,NX_HW_NOT_SUPPORTED,1234567,1234567890,12,8143",
            "1777881900,10.20.1.4,192.0.2.7,50000,443,T,O,A,E,7,1158,12,8143",
            "1777881900,10.20.1.4,192.0.2.7,50000,443,U,I,A,B,,,,",
            "1777881900,10.20.1.4,192.0.2.7,50000,443,T,I,D,B,,,,",
            "1777881900,10.20.1.4,192.0.2.7,50000,443,T,I,D",
        ];
        let mut bytes = format!("[\"{}\"]", usual.join("\",\"")).into_bytes();
        let end = bytes.len();
        bytes.resize(end + 128, b' ');
        if Instructions::Avx512.available() < Instructions::Avx512 {
            println!("not looked at: this processor has no AVX-512");
            return;
        }
        let mut taken = Vec::new();
        let next = tuples(Instructions::Avx512, &bytes, 1, end, true, |tuple, _| {
            taken.push(Some(tuple));
            true
        });
        assert_eq!(next, end - 1);
        assert_eq!(taken, usual.map(slowly));
        let next = tuples(Instructions::Avx512, &bytes, 1, end, true, |_, _| false);
        assert_eq!(next, 1 + usual[0].len() + 3, "it ends where it is told to, before the next quote");
    }
}
