//! One flow tuple: checks every field and keeps the numbers that predicates and counts need.
//!
//! Columns, both layouts: 0 time, 1 source, 2 destination, 3 and 4 their ports, 5 protocol, 6 direction.
//! Then letters (`T`, `U` in column 5): 7 decision, 8 state. Numbers (IANA): 7 state or `D`, 8 encryption.
//! 9 to 12 counters. The letter or number in column 5 decides, never the count of columns.

use std::net::Ipv6Addr;

use super::problem::Reason;
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::parse_ipv4;

/// A record keeps this many field ends of a tuple; further columns are ignored.
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
}

/// What a checked tuple says, except for its addresses, encryption and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// ms since 1970.
    pub time: i64,
    pub src_port: u16,
    pub dst_port: u16,
    pub protocol: Protocol,
    pub direction: Direction,
    pub decision: Decision,
    /// Not for a denied tuple.
    pub state: Option<FlowState>,
    /// Column 8 is the encryption.
    pub numbers: bool,
    /// Source and destination are IPv6.
    pub is_v6: [bool; 2],
}

/// Checks all fields, asked or not.
pub fn check(fields: Fields) -> Result<Key, Reason> {
    if fields.len() < 8 {
        return Err(Reason::TooFewColumns);
    }
    let time = time(fields.get(0)).ok_or(Reason::Time)?;
    let is_v6 = [is_v6(fields.get(1)).ok_or(Reason::Address)?, is_v6(fields.get(2)).ok_or(Reason::Address)?];
    let src_port = port(fields.get(3)).ok_or(Reason::Port)?;
    let dst_port = port(fields.get(4)).ok_or(Reason::Port)?;
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
    if numbers && std::str::from_utf8(fields.get(8)).is_err() {
        return Err(Reason::NotText);
    }
    for i in 9..fields.len().min(MAX_FIELDS) {
        let counter = fields.get(i);
        if !counter.is_empty() && number(counter).is_none() {
            return Err(Reason::Counter);
        }
    }
    Ok(Key { time, src_port, dst_port, protocol, direction, decision, state, numbers, is_v6 })
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
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
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

/// False for IPv4, whose text already is what people write; `None` for what is no address.
fn is_v6(text: &[u8]) -> Option<bool> {
    match parse_ipv4(text) {
        Some(_) => Some(false),
        None => std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok().map(|_| true),
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
