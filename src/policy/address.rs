//! Addresses as rules and routes write them: anything, a block, a service tag, a group of applications.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::catalog::Tag;
use crate::net::{Prefix, PrefixError};

/// One element of the source or destination of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// Every address.
    Any,
    /// A block, or a single address.
    Block(Prefix),
    /// A service tag. Its case is that of the file, except for the tags of every network.
    Tag(String),
    /// An application security group, by its id in lower case. Its members are not in any file that we read.
    Group(String),
    /// Anything else, as written.
    Unknown(String),
}

/// Spellings of the tags of every network, in lower case: those of the classic model, and those of documents.
const SPELLINGS: [(&str, Tag); 9] = [
    ("internet", Tag::Internet),
    ("virtualnetwork", Tag::VirtualNetwork),
    ("virtual_network", Tag::VirtualNetwork),
    ("virtual network", Tag::VirtualNetwork),
    ("azureloadbalancer", Tag::AzureLoadBalancer),
    ("azure_loadbalancer", Tag::AzureLoadBalancer),
    ("azure_load_balancer", Tag::AzureLoadBalancer),
    ("*", Tag::Any),
    ("any", Tag::Any),
];

impl Address {
    /// Parses one element. Every text is some address: a text that means nothing known is [`Address::Unknown`].
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if let Some((_, tag)) = SPELLINGS.iter().find(|(spelling, _)| *spelling == lower) {
            return match tag {
                Tag::Any => Self::Any,
                tag => Self::Tag(tag.name().to_owned()),
            };
        }
        match text.parse::<Prefix>() {
            Ok(prefix) => return Self::Block(prefix),
            // Azure ignores the host bits.
            Err(PrefixError::HostBits { meant, .. }) => return Self::Block(meant),
            Err(PrefixError::Syntax(_)) => {}
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_name) {
            true => Self::Tag(text.to_owned()),
            false => Self::Unknown(text.to_owned()),
        }
    }

    /// Returns the tag that the address is; `None` for a block, a group and unknown text.
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Any => Some(Tag::Any),
            Self::Tag(name) => Some(Tag::from_name(name)),
            _ => None,
        }
    }

    /// Returns whether it is all of IPv4.
    pub fn is_all_ipv4(&self) -> bool {
        matches!(self, Self::Block(block) if block.length() == 0 && block.contains(IpAddr::from([0, 0, 0, 0])) && block.bits() == 96)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Block(block) => write!(f, "{block}"),
            Self::Tag(name) => f.write_str(name),
            Self::Group(id) => write!(f, "asg:{id}"),
            Self::Unknown(text) => write!(f, "?{text}"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Writes a list of addresses for a sentence.
pub fn listed(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        for (text, shown) in [
            ("*", "*"),
            ("Any", "*"),
            ("INTERNET", "Internet"),
            ("VIRTUAL_NETWORK", "VirtualNetwork"),
            ("AZURE_LOADBALANCER", "AzureLoadBalancer"),
            (" 10.20.1.0/24 ", "10.20.1.0/24"),
            ("10.20.1.5/24", "10.20.1.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("Storage.WestEurope", "Storage.WestEurope"),
            ("[parameters('x')]", "?[parameters('x')]"),
            ("192.0.2.1-192.0.2.9", "?192.0.2.1-192.0.2.9"),
        ] {
            assert_eq!(Address::parse(text).to_string(), shown, "{text}");
        }
        assert!(Address::parse("0.0.0.0/0").is_all_ipv4());
        assert!(!Address::parse("::/0").is_all_ipv4() && !Address::parse("0.0.0.0/1").is_all_ipv4());
    }
}
