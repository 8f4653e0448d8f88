//! Fast text and randomness: formats numbers, addresses and dates, and provides hashes used as random numbers. Knows no
//! formats.

/// One tuple under construction, at most as long as the buffer.
pub struct Line<'a> {
    pub buffer: [u8; LONGEST],
    /// Length; always <= `LONGEST`.
    pub length: usize,
    pub decimals: &'a Decimals,
}

/// Maximum length of a tuple in bytes, with a margin.
pub const LONGEST: usize = 192;

impl<'a> Line<'a> {
    pub fn new(decimals: &'a Decimals) -> Self {
        Self { buffer: [0; LONGEST], length: 0, decimals }
    }

    pub fn text(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.buffer[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Writes four bytes and advances by the significant ones.
    #[inline]
    fn padded(&mut self, text: [u8; 4], length: u8) {
        self.buffer[self.length..self.length + 4].copy_from_slice(&text);
        self.length += usize::from(length);
    }

    #[inline]
    pub fn number(&mut self, number: u64) {
        if number < 10_000 {
            let (text, length) = self.decimals.short[number as usize];
            self.padded(text, length);
        } else {
            self.number(number / 10_000);
            let text = self.decimals.full[(number % 10_000) as usize];
            self.padded(text, 4);
        }
    }

    #[inline]
    pub fn comma_number(&mut self, number: u64) {
        self.byte(b',');
        self.number(number);
    }

    #[inline]
    pub fn comma_address(&mut self, address: u32) {
        for (n, octet) in address.to_be_bytes().into_iter().enumerate() {
            self.byte(if n == 0 { b',' } else { b'.' });
            let (text, length) = self.decimals.short[usize::from(octet)];
            self.padded(text, length);
        }
    }
}

/// Numbers below 10,000 as text: left-aligned with their length, and with leading zeros.
pub struct Decimals {
    short: Vec<([u8; 4], u8)>,
    full: Vec<[u8; 4]>,
}

impl Decimals {
    pub fn new() -> Self {
        let full: Vec<[u8; 4]> = (0..10_000_u32)
            .map(|n| [n / 1000, n / 100 % 10, n / 10 % 10, n % 10].map(|digit| b'0' + digit as u8))
            .collect();
        let short = full
            .iter()
            .map(|digits| {
                let zeros = digits.iter().take(3).take_while(|digit| **digit == b'0').count();
                let mut text = *digits;
                text.rotate_left(zeros);
                (text, 4 - zeros as u8)
            })
            .collect();
        Self { short, full }
    }
}

/// Returns a hash that spreads neighbouring numbers over all 64 bits (the last steps of SplitMix64).
#[inline]
pub fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Returns a number below `count` (at most 33 bits) from the lower 32 random bits.
#[inline]
pub fn below(count: u64, bits: u64) -> u64 {
    ((bits & 0xffff_ffff) * count) >> 32
}

/// Returns a hash of several numbers in order.
pub fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |hash, part| mix(hash ^ mix(*part)))
}

/// Returns year, month, day and hour of day for hours since 1970 (algorithm by Howard Hinnant).
pub fn calendar(hours: u64) -> (u64, u64, u64, u64) {
    let days = hours / 24 + 719_468;
    let era_day = days % 146_097;
    let era_year = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    let month_index = (5 * year_day + 2) / 153;
    let day = year_day - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = days / 146_097 * 400 + era_year + u64::from(month <= 2);
    (year, month, day, hours % 24)
}
