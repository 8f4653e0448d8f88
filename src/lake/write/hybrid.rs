//! Parquet's hybrid encoding of small numbers: runs of one value, and groups of 8 values of a fixed number of bits.
//!
//! Source: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>, "Run Length Encoding / Bit-Packing Hybrid".

/// Values per group.
const GROUP: usize = 8;

/// Returns the number of bits of the numbers from 0 to `greatest`.
pub fn width(greatest: u32) -> u32 {
    u32::BITS - greatest.leading_zeros()
}

/// Adds `values` to `out`, each of which has at most `width` bits.
pub fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut packed, mut at) = (0, 0);
    while at < values.len() {
        let same = values[at..].iter().take_while(|value| **value == values[at]).count();
        // Values before a run make up whole groups, if necessary with some of the run.
        let missing = (at - packed).next_multiple_of(GROUP) - (at - packed);
        if same < missing + GROUP {
            at += same;
            continue;
        }
        at += missing;
        pack(&values[packed..at], width, out);
        varint((same - missing) << 1, out);
        out.extend_from_slice(&values[at].to_le_bytes()[..width.div_ceil(8) as usize]);
        at += same - missing;
        packed = at;
    }
    pack(&values[packed..], width, out);
}

/// Adds groups. The last one is filled up with zeros.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    varint(groups << 1 | 1, out);
    let (mut bits, mut count) = (0_u64, 0);
    let end = out.len() + groups * width as usize;
    for value in values {
        bits |= u64::from(*value) << count;
        count += width;
        while count >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        out.push(bits as u8);
    }
    out.resize(end, 0);
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_packed_as_the_specification_shows() {
        let mut out = Vec::new();
        encode(&[0, 1, 2, 3, 4, 5, 6, 7], width(7), &mut out);
        assert_eq!(out, [3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        out.clear();
        encode(&[300; 20], width(300), &mut out);
        assert_eq!(out, [40, 44, 1]);
        out.clear();
        encode(&[0; 200], width(0), &mut out);
        assert_eq!(out, [0x90, 3]);
    }

    /// Slow, independent reference.
    fn decode(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < count {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let of_bits = |bits: &[bool]| bits.iter().rev().fold(0, |value, bit| value << 1 | u32::from(*bit));
            let bits_of =
                |bytes: &[u8]| bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
            if header & 1 == 1 {
                let (packed, rest) = bytes.split_at((header >> 1) * width as usize);
                let bits: Vec<bool> = bits_of(packed);
                match width {
                    0 => values.resize(values.len() + (header >> 1) * 8, 0),
                    _ => values.extend(bits.chunks(width as usize).map(of_bits)),
                }
                bytes = rest;
            } else {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let bits: Vec<bool> = bits_of(value);
                values.resize(values.len() + (header >> 1), of_bits(&bits));
                bytes = rest;
            }
        }
        assert!(bytes.is_empty() && values.len() < count + 8, "{} bytes left", bytes.len());
        values.truncate(count);
        values
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let greatest = random.u32(..) >> random.u32(0..32);
            let mut values = Vec::new();
            while values.len() < random.usize(0..300) {
                let value = random.u32(0..=greatest);
                values.resize(values.len() + if random.bool() { 1 } else { random.usize(1..40) }, value);
            }
            let mut out = Vec::new();
            encode(&values, width(greatest), &mut out);
            assert_eq!(decode(&out, width(greatest), values.len()), values, "{greatest}");
        }
    }
}
