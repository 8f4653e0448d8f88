//! One flow tuple: checks every field, and says in numbers what it says in text.
//!
//! Columns, both layouts: 0 time, 1 source, 2 destination, 3 and 4 their ports, 5 protocol, 6 direction.
//! Then letters (`T`, `U` in column 5): 7 decision, 8 state. Numbers (IANA): 7 state or `D`, 8 encryption.
//! 9 to 12 counters. The letter or number in column 5 decides, never the count of columns.

use std::net::Ipv6Addr;

use super::problem::Reason;
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::parse_ipv4;

/// Field ends that count; further columns are ignored.
pub const MAX_FIELDS: usize = 13;

/// The fields of one tuple: where it starts and where each field ends, as places in the same bytes.
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

    /// Field `i` without its commas; empty when the tuple has fewer.
    pub fn get(&self, i: usize) -> &'a [u8] {
        match self.marks.get(i..i + 2) {
            Some(&[before, end]) => &self.bytes[before as usize + usize::from(i > 0)..end as usize],
            _ => &[],
        }
    }

    /// Where field `i` ends, from the start of the tuple. For fields whose check bounds their length.
    fn end(&self, i: usize) -> u8 {
        (self.marks[i + 1] - self.marks[0]) as u8
    }
}

/// What a checked tuple says. Addresses and encryption that are no numbers stay text, and this says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// ms since 1970.
    pub time: i64,
    /// Source and destination; 0 for IPv6.
    pub ips: [u32; 2],
    /// Of source and destination.
    pub ports: [u16; 2],
    pub protocol: Protocol,
    pub code: Code,
    /// Where time, source, destination and column 7 end, from the start of the tuple.
    pub ends: [u8; 4],
    /// Bytes of the encryption, which begins one behind column 7.
    pub encryption: u32,
    /// Packets and bytes sent, packets and bytes received; [`NO_COUNTER`] where nothing stands. Only when asked for.
    pub counters: [i64; 4],
}

pub const NO_COUNTER: i64 = -1;

/// What a tuple says in letters, in a few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    pub const OUTBOUND: u8 = 1;
    pub const DENY: u8 = 1 << 1;
    /// Two bits: begin, continue, end, and none.
    pub const STATE: u32 = 2;
    pub const NO_STATE: u8 = 3 << Self::STATE;
    pub const SRC_V6: u8 = 1 << 4;
    pub const DST_V6: u8 = 1 << 5;
    /// How many codes there are of direction, decision and state.
    pub const LETTERS: usize = 16;

    fn new(direction: Direction, decision: Decision, state: Option<FlowState>) -> Self {
        Self(direction as u8 | (decision as u8) << 1 | state.map_or(3, |s| s as u8) << Self::STATE)
    }

    fn with(self, flag: u8, is_set: bool) -> Self {
        Self(self.0 | if is_set { flag } else { 0 })
    }

    /// Direction, decision and state alone; below [`Self::LETTERS`].
    pub fn letters(self) -> usize {
        usize::from(self.0) % Self::LETTERS
    }

    /// As its place in [`Direction::NAMES`].
    pub fn direction(self) -> u8 {
        self.0 & Self::OUTBOUND
    }

    /// As its place in [`Decision::NAMES`].
    pub fn decision(self) -> u8 {
        (self.0 & Self::DENY) >> 1
    }

    pub fn is_denied(self) -> bool {
        self.0 & Self::DENY != 0
    }

    /// As its place in [`FlowState::NAMES`], or 3. Never for a denied tuple.
    pub fn state(self) -> u8 {
        self.0 >> Self::STATE & 3
    }

    /// Whether source (0) or destination (1) is IPv6.
    pub fn is_v6(self, end: usize) -> bool {
        self.0 & (Self::SRC_V6 << end) != 0
    }
}

/// Checks all fields, asked or not.
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

/// Below this a time is in seconds.
pub const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// Year 9999.
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

/// One to nineteen ASCII digits that fit.
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

/// An IPv4 address as a number, `Some(None)` for IPv6; `None` for what is no address.
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
