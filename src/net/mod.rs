//! Addresses and ports: prefixes, a map from address to every prefix that holds it, sets of ports.
//!
//! IPv4 and IPv6 share one number line: an IPv4 address is its IPv4-mapped IPv6 address.

mod port_set;
mod prefix;
mod prefix_map;

pub use port_set::{PortSet, PortSetError};
pub use prefix::{Prefix, PrefixError};
pub use prefix_map::{PrefixMap, SetId};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Position of an address on the common number line.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address at a position of the common number line; IPv4-mapped ones come back as IPv4.
pub fn address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(number)).to_canonical()
}

/// Four decimal numbers up to 255 without leading zeros, between dots: what `Ipv4Addr` parses, faster.
pub fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut bits, mut dots, mut value, mut digits) = (0_u32, 0, 0_u32, 0);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            if digits > 0 && value == 0 {
                return None;
            }
            value = value * 10 + u32::from(digit);
            digits += 1;
            if value > 255 {
                return None;
            }
        } else if byte == b'.' && digits > 0 && dots < 3 {
            bits = bits << 8 | value;
            dots += 1;
            (value, digits) = (0, 0);
        } else {
            return None;
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from_bits(bits << 8 | value))
}

/// An address as `flows` prints it, and as people write it.
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
    }
}
