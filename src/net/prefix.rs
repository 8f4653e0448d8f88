use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{address, number};

/// A CIDR block on the common number line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    /// First address; host bits are zero.
    first: u128,
    /// Fixed bits, 0 to 128; an IPv4 block has at least 96.
    bits: u8,
}

/// Reason why a text is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The text is not a CIDR block.
    #[error("'{0}' is not a CIDR block such as 10.0.0.0/24 or 2001:db8::/32")]
    Syntax(String),
    /// The address has bits after the prefix.
    #[error("'{given}' has host bits set: did you mean {meant}?")]
    HostBits {
        /// Text as given.
        given: String,
        /// Block that contains the address.
        meant: Prefix,
    },
}

impl Prefix {
    /// Returns the block of `length` fixed bits around `ip`, or `None` if the family has no such length.
    pub fn around(ip: IpAddr, length: u8) -> Option<Self> {
        let (width, offset) = match ip {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let bits = (length <= width).then(|| length + offset)?;
        Some(Self { first: number(ip) & mask(bits), bits })
    }

    /// Returns a single address as /32 or /128.
    pub fn single(ip: IpAddr) -> Self {
        Self { first: number(ip), bits: 128 }
    }

    /// Returns the smallest block that contains both addresses.
    pub fn spanning(one: IpAddr, other: IpAddr) -> Self {
        let (one, other) = (number(one), number(other));
        let bits = (one ^ other).leading_zeros() as u8;
        Self { first: one & mask(bits), bits }
    }

    /// Returns the block of twice the size around this one, or `None` for all addresses of a family.
    pub fn wider(&self) -> Option<Self> {
        let least = if address(self.first).is_ipv4() && self.bits >= 96 { 96 } else { 0 };
        let bits = self.bits.checked_sub(1).filter(|&bits| bits >= least)?;
        Some(Self { first: self.first & mask(bits), bits })
    }

    /// Returns the lower and the upper half, or `None` for a single address.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let bits = self.bits.checked_add(1).filter(|&bits| bits <= 128)?;
        let upper = self.first | 1_u128.checked_shl(128 - u32::from(bits))?;
        Some([Self { first: self.first, bits }, Self { first: upper, bits }])
    }

    /// Returns the position of the first address on the common number line.
    pub fn first(&self) -> u128 {
        self.first
    }

    /// Returns the position of the last address on the common number line.
    pub fn last(&self) -> u128 {
        self.first | !mask(self.bits)
    }

    /// Returns the fixed bits on the common number line: more is more specific.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Returns whether the block contains an address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        (self.first..=self.last()).contains(&number(ip))
    }

    /// Returns the length in CIDR notation: 0 to 32 or 0 to 128.
    pub fn length(&self) -> u8 {
        match address(self.first) {
            IpAddr::V4(_) if self.bits >= 96 => self.bits - 96,
            _ => self.bits,
        }
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// Parses `10.0.0.0/24`, or a single address without a length.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let syntax = || PrefixError::Syntax(text.to_owned());
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) if length.bytes().all(|b| b.is_ascii_digit()) => {
                (ip, Some(length.parse::<u8>().map_err(|_| syntax())?))
            }
            Some(_) => return Err(syntax()),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| syntax())?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = Self::around(ip, length.unwrap_or(width)).ok_or_else(syntax)?;
        if prefix.first == number(ip) {
            Ok(prefix)
        } else {
            Err(PrefixError::HostBits { given: text.to_owned(), meant: prefix })
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match address(self.first) {
            IpAddr::V4(ip) if self.bits >= 96 => write!(f, "{ip}/{}", self.bits - 96),
            _ => write!(f, "{}/{}", std::net::Ipv6Addr::from_bits(self.first), self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_text_in_json() {
        let prefix: Prefix = serde_json::from_str("\"10.20.1.0/24\"").expect("a prefix");
        assert_eq!(serde_json::to_string(&prefix).expect("JSON"), "\"10.20.1.0/24\"");
        assert!(serde_json::from_str::<Prefix>("\"10.20.1.5/24\"").is_err());
    }

    #[test]
    fn text_round_trips() {
        for text in ["10.20.1.0/24", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "fe80::1/128"] {
            let prefix: Prefix = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(prefix.to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<Prefix>().map(|p| p.to_string()), Ok("192.0.2.7/32".into()));
    }

    #[test]
    fn grows_around_addresses() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid");
        for (one, other, block, wider) in [
            ("10.0.0.4", "10.0.0.7", "10.0.0.4/30", Some("10.0.0.0/29")),
            ("10.0.0.9", "10.0.0.9", "10.0.0.9/32", Some("10.0.0.8/31")),
            ("192.0.2.1", "10.0.0.1", "0.0.0.0/0", None),
            ("2001:db8::1", "2001:db8::ff", "2001:db8::/120", Some("2001:db8::/119")),
        ] {
            let spanning = Prefix::spanning(ip(one), ip(other));
            assert_eq!(spanning.to_string(), block);
            assert_eq!(spanning, Prefix::spanning(ip(other), ip(one)));
            assert_eq!(spanning.wider().map(|w| w.to_string()).as_deref(), wider);
        }
    }

    #[test]
    fn refuses_with_a_way_out() {
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "x/8", "::/129", ""] {
            assert!(matches!(text.parse::<Prefix>(), Err(PrefixError::Syntax(_))), "{text}");
        }
        let error = "10.20.1.5/24".parse::<Prefix>().map_err(|e| e.to_string());
        assert_eq!(error, Err("'10.20.1.5/24' has host bits set: did you mean 10.20.1.0/24?".into()));
    }

    #[test]
    fn the_whole_of_ipv4_holds_no_ipv6() {
        let all: Prefix = "0.0.0.0/0".parse().expect("valid");
        assert!(all.contains(IpAddr::from([255, 255, 255, 255])));
        assert!(!all.contains("2001:db8::1".parse().expect("valid")));
        assert_eq!(all.length(), 0);
    }
}
