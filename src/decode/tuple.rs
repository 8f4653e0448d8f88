//! Checks every field of one flow tuple and converts it to numbers.
//!
//! Columns in both layouts: 0 time, 1 source, 2 destination, 3 and 4 their ports, 5 protocol, 6 direction.
//! Layout with letters (`T` or `U` in column 5): 7 decision, 8 state. Layout with numbers (IANA in column 5): 7 state
//! or `D`, 8 encryption. Columns 9 to 12 are counters. Column 5 decides on the layout, never the number of columns.

use std::net::Ipv6Addr;

use super::problem::Reason;
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::parse_ipv4;

/// Maximum number of fields examined; further ones are ignored.
pub const MAX_FIELDS: usize = 13;

/// Fields of one tuple: its start and the end of each field, as offsets in the same bytes.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// Start of the tuple, then the end of each field.
    marks: &'a [u32],
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8], marks: &'a [u32]) -> Self {
        Self { bytes, marks }
    }

    pub fn len(&self) -> usize {
        self.marks.len() - 1
    }

    /// Returns field `i` without its commas; empty if the tuple has fewer fields.
    pub fn get(&self, i: usize) -> &'a [u8] {
        match self.marks.get(i..i + 2) {
            Some(&[before, end]) => &self.bytes[before as usize + usize::from(i > 0)..end as usize],
            _ => &[],
        }
    }

    /// Returns the end of field `i`, relative to the tuple. Only valid for fields whose checked length is bounded.
    fn end(&self, i: usize) -> u8 {
        (self.marks[i + 1] - self.marks[0]) as u8
    }
}

/// A checked tuple in numbers. IPv6 addresses and encryption remain text, and `ends` locates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// ms since 1970.
    pub time: i64,
    /// Source and destination; 0 for IPv6.
    pub ips: [u32; 2],
    /// Source and destination port.
    pub ports: [u16; 2],
    pub protocol: Protocol,
    pub code: Code,
    /// Ends of time, source, destination and column 7, relative to the tuple.
    pub ends: [u8; 4],
    /// Length of the encryption in bytes. It starts one byte after the end of column 7.
    pub encryption: u32,
    /// Packets and bytes sent, packets and bytes received; [`NO_COUNTER`] for an empty field. The fast path also omits
    /// counters that were not requested.
    pub counters: [i64; 4],
}

/// Value of a missing counter.
pub const NO_COUNTER: i64 = -1;

/// Direction, decision, state and address families of a tuple, packed into bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    pub const OUTBOUND: u8 = 1;
    pub const DENY: u8 = 1 << 1;
    /// Shift of the two bits of the state: begin, continue, end, none.
    pub const STATE: u32 = 2;
    pub const NO_STATE: u8 = 3 << Self::STATE;
    pub const SRC_V6: u8 = 1 << 4;
    pub const DST_V6: u8 = 1 << 5;
    /// Number of combinations of direction, decision and state.
    pub const LETTERS: usize = 16;

    fn new(direction: Direction, decision: Decision, state: Option<FlowState>) -> Self {
        Self(direction as u8 | (decision as u8) << 1 | state.map_or(3, |s| s as u8) << Self::STATE)
    }

    fn with(self, flag: u8, is_set: bool) -> Self {
        Self(self.0 | if is_set { flag } else { 0 })
    }

    /// Returns direction, decision and state only; always < [`Self::LETTERS`].
    pub fn letters(self) -> usize {
        usize::from(self.0) % Self::LETTERS
    }

    /// Returns the index in [`Direction::NAMES`].
    pub fn direction(self) -> u8 {
        self.0 & Self::OUTBOUND
    }

    /// Returns the index in [`Decision::NAMES`].
    pub fn decision(self) -> u8 {
        (self.0 & Self::DENY) >> 1
    }

    pub fn is_denied(self) -> bool {
        self.0 & Self::DENY != 0
    }

    /// Returns the index in [`FlowState::NAMES`], or 3 for none. Always 3 for a denied tuple.
    pub fn state(self) -> u8 {
        self.0 >> Self::STATE & 3
    }

    /// Returns whether the source (0) or destination (1) is IPv6.
    pub fn is_v6(self, end: usize) -> bool {
        self.0 & (Self::SRC_V6 << end) != 0
    }
}

/// Checks and converts all fields, projected or not. Returns the first fault.
pub fn check(fields: Fields) -> Result<Tuple, Reason> {
    if fields.len() < 8 {
        return Err(Reason::TooFewColumns);
    }
    let time = time(fields.get(0)).ok_or(Reason::Time)?;
    let [src, dst] = [ip(fields.get(1)).ok_or(Reason::Address)?, ip(fields.get(2)).ok_or(Reason::Address)?];
    let ports = [port(fields.get(3)).ok_or(Reason::Port)?, port(fields.get(4)).ok_or(Reason::Port)?];
    let (protocol, numbers) = match fields.get(5) {
        b"T" => (Protocol::TCP, false),
        b"U" => (Protocol::UDP, false),
        digits => (protocol(digits).ok_or(Reason::Protocol)?, true),
    };
    let direction = match fields.get(6) {
        b"I" => Direction::Inbound,
        b"O" => Direction::Outbound,
        _ => return Err(Reason::Direction),
    };
    let (decision, state) = if numbers {
        match fields.get(7) {
            b"D" => (Decision::Deny, None),
            letter => (Decision::Allow, Some(state(letter).ok_or(Reason::State)?)),
        }
    } else {
        let decision = match fields.get(7) {
            b"A" => Decision::Allow,
            b"D" => Decision::Deny,
            _ => return Err(Reason::Decision),
        };
        match fields.get(8) {
            b"" => (decision, None),
            letter => {
                let state = state(letter).ok_or(Reason::State)?;
                (decision, (decision == Decision::Allow).then_some(state))
            }
        }
    };
    let encryption = if numbers { fields.get(8) } else { b"" };
    if std::str::from_utf8(encryption).is_err() {
        return Err(Reason::NotText);
    }
    let mut counters = [NO_COUNTER; 4];
    for (i, counter) in counters.iter_mut().enumerate() {
        let digits = fields.get(9 + i);
        if !digits.is_empty() {
            *counter = number(digits).ok_or(Reason::Counter)?;
        }
    }
    let code =
        Code::new(direction, decision, state).with(Code::SRC_V6, src.is_none()).with(Code::DST_V6, dst.is_none());
    Ok(Tuple {
        time,
        ips: [src.unwrap_or(0), dst.unwrap_or(0)],
        ports,
        protocol,
        code,
        ends: [0, 1, 2, 7].map(|i| fields.end(i)),
        encryption: encryption.len() as u32,
        counters,
    })
}

fn state(letter: &[u8]) -> Option<FlowState> {
    match letter {
        b"B" => Some(FlowState::Begin),
        b"C" => Some(FlowState::Continue),
        b"E" => Some(FlowState::End),
        _ => None,
    }
}

/// Times below this value are in seconds.
pub const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// End of the year 9999, ms since 1970.
const LAST_TIME: i64 = 253_402_300_799_999;

fn time(digits: &[u8]) -> Option<i64> {
    let value = number(digits)?;
    let time = if value < FIRST_MILLISECONDS { value * 1000 } else { value };
    (time <= LAST_TIME).then_some(time)
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 { None } else { u16::try_from(number(digits)?).ok() }
}

fn protocol(digits: &[u8]) -> Option<Protocol> {
    if digits.len() > 3 { None } else { u8::try_from(number(digits)?).ok().map(Protocol) }
}

/// Parses one to nineteen ASCII digits. Returns `None` on overflow.
pub fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).ok()
}

/// Returns an IPv4 address as a number, `Some(None)` for IPv6, and `None` for any other text.
fn ip(text: &[u8]) -> Option<Option<u32>> {
    match parse_ipv4(text) {
        Some(ip) => Some(Some(ip.to_bits())),
        None => std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok().map(|_| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn number_is_what_std_takes(text in "[0-9]{0,20}|[-+ x0-9]{1,5}") {
            let digits_only = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 19;
            prop_assert_eq!(number(text.as_bytes()), text.parse::<i64>().ok().filter(|_| digits_only));
        }
    }
}
