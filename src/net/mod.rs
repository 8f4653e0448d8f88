//! Addresses and ports: prefixes, a map from address to every prefix that holds it, sets of ports.
//!
//! IPv4 and IPv6 share one number line: an IPv4 address is its IPv4-mapped IPv6 address.

mod port_set;
mod prefix;
mod prefix_map;

pub use port_set::{PortSet, PortSetError};
pub use prefix::{Prefix, PrefixError};
pub use prefix_map::{PrefixMap, SetId};

use std::net::{IpAddr, Ipv6Addr};

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
