//! Addresses and ports: prefixes, a map from address to every prefix that holds it, sets of ports.
//!
//! IPv4 and IPv6 share one number line: an IPv4 address is its IPv4-mapped IPv6 address.

mod ip_set;
mod port_set;
mod prefix;
mod prefix_map;

pub use ip_set::IpSet;
pub use port_set::{PortBits, PortSet, PortSetError};
pub use prefix::{Prefix, PrefixError};
pub use prefix_map::{MapBounds, PrefixMap, SetId};

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Start of IPv4 on the common number line.
pub const V4_FIRST: u128 = 0xffff_0000_0000;

/// Returns the position of an address on the common number line.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Returns the address at a position on the common number line; IPv4-mapped addresses become IPv4.
pub fn address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(number)).to_canonical()
}

/// Appends the text of the address at a position of the common number line, as [`address`] prints.
#[inline]
pub fn push_address(number: u128, text: &mut String) {
    if number >> 32 != V4_FIRST >> 32 {
        // Writing to a string never fails.
        return write!(text, "{}", address(number)).unwrap_or_default();
    }
    let [first, others @ ..] = (number as u32).to_be_bytes();
    push_octet(first, text);
    for octet in others {
        text.push('.');
        push_octet(octet, text);
    }
}

#[inline]
fn push_octet(octet: u8, text: &mut String) {
    let digit = |value: u8| char::from(b'0' + value % 10);
    if octet >= 100 {
        text.push(digit(octet / 100));
    }
    if octet >= 10 {
        text.push(digit(octet / 10));
    }
    text.push(digit(octet));
}

/// Parses an IPv4 address like `Ipv4Addr`, but faster: four numbers up to 255 without leading zeros, separated by dots.
#[inline]
pub fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (first, rest) = octet(text)?;
    let (second, rest) = octet(rest.strip_prefix(b".")?)?;
    let (third, rest) = octet(rest.strip_prefix(b".")?)?;
    let (fourth, rest) = octet(rest.strip_prefix(b".")?)?;
    rest.is_empty().then(|| Ipv4Addr::new(first, second, third, fourth))
}

/// Parses up to three digits without a leading zero, and returns the rest.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |i: usize| text.get(i).map(|b| b.wrapping_sub(b'0')).filter(|&d| d <= 9);
    let first = digit(0)?;
    let Some(second) = digit(1).filter(|_| first > 0) else { return Some((first, &text[1..])) };
    let Some(third) = digit(2) else { return Some((first * 10 + second, &text[2..])) };
    let value = u16::from(first) * 100 + u16::from(second) * 10 + u16::from(third);
    Some((u8::try_from(value).ok()?, &text[3..]))
}

/// Parses an address as `flows` prints it, or in any other usual notation.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    parse_ipv4(text.as_bytes()).map(IpAddr::V4).or_else(|| Some(text.parse::<IpAddr>().ok()?.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ipv4_is_what_std_takes(text in "[0-9]{1,4}\\.[0-9]{1,3}\\.[0-9]{1,3}(\\.[0-9]{0,3})?\\.?|[0-9]{1,3}(\\.[0-9]{1,2}){3}") {
            prop_assert_eq!(parse_ipv4(text.as_bytes()), text.parse::<Ipv4Addr>().ok());
        }

        #[test]
        fn texts_are_those_of_std(high: u128, low: u32) {
            for number in [high, low.into(), V4_FIRST | u128::from(low), V4_FIRST | u128::from(low % 1024)] {
                let mut text = String::new();
                push_address(number, &mut text);
                prop_assert_eq!(&text, &address(number).to_string());
                prop_assert_eq!(parse_ip(&text).map(super::number), Some(number));
            }
        }
    }
}
