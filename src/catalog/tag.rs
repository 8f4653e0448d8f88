//! Tests whether an address is in a tag: yes, no or unknown.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::ServiceTags;
use crate::names::names;
use crate::net::{Prefix, PrefixMap, SetId};

/// Source or destination of a row of the port table, in the spelling of Azure Resource Manager.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Tag {
    /// `*`
    Any,
    /// The instance's own subnets.
    Subnet,
    /// Addresses of the virtual network.
    VirtualNetwork,
    /// Public addresses.
    Internet,
    /// Addresses of the platform's probes.
    AzureLoadBalancer,
    /// A tag of Microsoft's file.
    Named(String),
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.name().to_owned()
    }
}

impl From<String> for Tag {
    fn from(name: String) -> Self {
        Self::from_name(&name)
    }
}

impl Tag {
    /// Returns the tag with this name. Every name is valid; unknown ones become [`Tag::Named`].
    pub fn from_name(name: &str) -> Self {
        match name {
            "*" => Tag::Any,
            "subnet" => Tag::Subnet,
            "VirtualNetwork" => Tag::VirtualNetwork,
            "Internet" => Tag::Internet,
            "AzureLoadBalancer" => Tag::AzureLoadBalancer,
            named => Tag::Named(named.to_owned()),
        }
    }

    /// Returns the name, as Azure Resource Manager spells it.
    pub fn name(&self) -> &str {
        match self {
            Tag::Any => "*",
            Tag::Subnet => "subnet",
            Tag::VirtualNetwork => "VirtualNetwork",
            Tag::Internet => "Internet",
            Tag::AzureLoadBalancer => "AzureLoadBalancer",
            Tag::Named(name) => name,
        }
    }

    /// Returns the kind of the tag as used in SQL.
    pub fn kind(&self) -> &'static str {
        match self {
            Tag::Any => "any",
            Tag::Subnet => "subnet",
            Tag::VirtualNetwork => "virtual-network",
            Tag::Internet => "internet",
            Tag::AzureLoadBalancer => "load-balancer",
            Tag::Named(_) => "named",
        }
    }
}

/// Answer to whether an address is in a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// The address is in the tag.
    Yes,
    /// The address is not in the tag.
    No,
    /// The address is public, and no file is loaded or the file lacks the tag. Regions of the tag may be listed, but
    /// none contains the address.
    Unknown,
    /// A public address that the loaded file does not list under the tag. The file may be older than the address.
    Unlisted,
}

names!(Answer { Yes = "yes", No = "no", Unknown = "unknown", Unlisted = "unlisted" });

impl Answer {
    /// Returns the letter used in a class.
    pub fn letter(self) -> char {
        match self {
            Answer::Yes => 'y',
            Answer::No => 'n',
            Answer::Unknown => 'u',
            Answer::Unlisted => 'l',
        }
    }
}

/// Private ranges: RFC 1918, shared, loopback, link local and unique local. Documentation ranges are public.
const PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];
/// Source addresses of the platform's probes; in no service-tag file.
const LOAD_BALANCER: [&str; 2] = ["168.63.129.16/32", "fe80::1234:5678:9abc/128"];
/// The platform's address, which counts as part of every virtual network.
const PLATFORM: [&str; 1] = ["168.63.129.16/32"];

fn constant(prefixes: &[&str]) -> Vec<Prefix> {
    prefixes.iter().map(|p| p.parse().expect("a constant of this file")).collect()
}

/// Returns whether an address is in a private range: RFC 1918, shared, loopback, link local or unique local.
pub fn is_private(ip: IpAddr) -> bool {
    static PREFIXES: LazyLock<Vec<Prefix>> = LazyLock::new(|| constant(&PRIVATE));
    PREFIXES.iter().any(|p| p.contains(ip))
}

/// Returns the private ranges.
pub fn private_ranges() -> Vec<Prefix> {
    constant(&PRIVATE)
}

/// Returns the addresses that the tag `AzureLoadBalancer` stands for.
pub fn probe_addresses() -> Vec<Prefix> {
    constant(&LOAD_BALANCER)
}

/// Returns the platform's address, which counts as part of every virtual network and answers name queries.
pub fn platform_addresses() -> Vec<Prefix> {
    constant(&PLATFORM)
}

/// Set that contains an interval of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fact {
    Subnet,
    VirtualNetwork,
    Private,
    LoadBalancer,
    /// Index in `TagTest::tags`.
    Named(usize),
}

/// Tests addresses against a fixed list of tags, with one look-up per address.
#[derive(Debug, Clone)]
pub struct TagTest {
    tags: Vec<Tag>,
    places: HashMap<Tag, usize>,
    map: PrefixMap<Fact>,
    /// Class of the addresses in each set of the map: one letter per tag.
    classes: Vec<String>,
    /// Answers in each set of the map, in the order of `tags`.
    answers: Vec<Vec<Answer>>,
    /// Side of the addresses in each set of the map.
    sides: Vec<Side>,
}

/// Position of an address relative to the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// In a subnet of the scope.
    pub is_local: bool,
    /// Neither in the virtual network nor private.
    pub is_internet: bool,
    /// In the virtual network or private, and not the platform's: possibly an interface of the network.
    pub may_be_interface: bool,
}

impl TagTest {
    /// Builds the test. `subnets` is the scope, `vnet` the address space of `VirtualNetwork`.
    pub fn new(tags: Vec<Tag>, subnets: &[Prefix], vnet: &[Prefix], service_tags: Option<&ServiceTags>) -> Self {
        let mut entries = Vec::new();
        let mut add = |prefixes: &[Prefix], fact| entries.extend(prefixes.iter().map(|&p| (p, fact)));
        add(subnets, Fact::Subnet);
        add(subnets, Fact::VirtualNetwork);
        add(vnet, Fact::VirtualNetwork);
        add(&constant(&PLATFORM), Fact::VirtualNetwork);
        add(&constant(&PRIVATE), Fact::Private);
        add(&constant(&LOAD_BALANCER), Fact::LoadBalancer);
        let mut listed = vec![false; tags.len()];
        for (place, tag) in tags.iter().enumerate() {
            if let (Tag::Named(name), Some(file)) = (tag, service_tags) {
                listed[place] = !file.lacks(name);
                add(file.prefixes(name).unwrap_or_default().prefixes(), Fact::Named(place));
            }
        }
        let map = PrefixMap::new(entries);
        let answers: Vec<Vec<Answer>> = map
            .sets()
            .map(|facts| tags.iter().enumerate().map(|(place, tag)| answer(tag, place, listed[place], facts)).collect())
            .collect();
        let classes = answers.iter().map(|answers| answers.iter().map(|a| a.letter()).collect()).collect();
        let side = |facts: &[Fact]| Side {
            is_local: facts.contains(&Fact::Subnet),
            is_internet: is_outside(facts),
            may_be_interface: !is_outside(facts) && !facts.contains(&Fact::LoadBalancer),
        };
        let sides = map.sets().map(side).collect();
        let places = tags.iter().cloned().enumerate().map(|(place, tag)| (tag, place)).collect();
        Self { tags, places, map, classes, answers, sides }
    }

    /// Returns the list of tags.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Returns the class of an address. Addresses of one class get the same answers.
    pub fn find(&self, ip: IpAddr) -> SetId {
        self.map.find(ip)
    }

    /// Like [`Self::find`], by the position on the common number line.
    #[inline]
    pub fn find_number(&self, number: u128) -> SetId {
        self.map.find_number(number)
    }

    /// Returns the answers of each class by index, one letter per tag, in the order of [`Self::tags`].
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Returns the side of the addresses in a class.
    pub fn side(&self, class: SetId) -> Side {
        self.sides[class.index()]
    }

    /// Returns the answer of a class for a tag of the list.
    pub fn answer(&self, class: SetId, tag: &Tag) -> Option<Answer> {
        let place = *self.places.get(tag)?;
        Some(self.answers[class.index()][place])
    }

    /// Returns the answer for an address and a tag, or `None` if the tag is not in the list.
    pub fn test(&self, ip: IpAddr, tag: &Tag) -> Option<Answer> {
        self.answer(self.find(ip), tag)
    }
}

fn is_outside(facts: &[Fact]) -> bool {
    !facts.contains(&Fact::VirtualNetwork) && !facts.contains(&Fact::Private)
}

fn answer(tag: &Tag, place: usize, listed: bool, facts: &[Fact]) -> Answer {
    let is = |fact| facts.contains(&fact);
    let yes_or_no = |yes| if yes { Answer::Yes } else { Answer::No };
    let inside = !is_outside(facts);
    match tag {
        Tag::Any => Answer::Yes,
        Tag::Subnet => yes_or_no(is(Fact::Subnet)),
        Tag::VirtualNetwork => yes_or_no(is(Fact::VirtualNetwork)),
        Tag::Internet => yes_or_no(!inside),
        Tag::AzureLoadBalancer => yes_or_no(is(Fact::LoadBalancer)),
        Tag::Named(_) if is(Fact::Named(place)) => Answer::Yes,
        Tag::Named(_) if inside => Answer::No,
        Tag::Named(_) if !listed => Answer::Unknown,
        Tag::Named(_) => Answer::Unlisted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_says_yes_and_its_absence_nothing() {
        let file = r#"{"cloud": "Public", "values": [
            {"name": "storage.westeurope", "properties": {"addressPrefixes": ["192.0.2.0/28", "10.30.2.0/28"]}},
            {"name": "Sql", "properties": {"addressPrefixes": ["192.0.2.32/28"]}},
            {"name": "Sql.WestEurope", "properties": {"addressPrefixes": ["192.0.2.48/28"]}}]}"#;
        let file = ServiceTags::from_json(file.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let tags = ["Storage", "Sql", "EventHub"].map(Tag::from_name);
        let vnet: Prefix = "10.30.0.0/16".parse().expect("valid");
        let letters = |file: Option<&ServiceTags>, ip: &str| {
            let test = TagTest::new(tags.to_vec(), &[], &[vnet], file);
            test.classes()[test.find(ip.parse().expect("an address")).index()].clone()
        };
        for (ip, tagged, untagged) in [
            ("192.0.2.1", "ylu", "uuu"),
            ("192.0.2.33", "uyu", "uuu"),
            ("192.0.2.49", "uyu", "uuu"),
            ("203.0.113.9", "ulu", "uuu"),
            ("10.30.2.1", "ynn", "nnn"),
            ("10.30.3.1", "nnn", "nnn"),
        ] {
            assert_eq!((letters(Some(&file), ip).as_str(), letters(None, ip).as_str()), (tagged, untagged), "{ip}");
        }
    }
}
