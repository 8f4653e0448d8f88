//! The addresses that tags stand for, and how much of one end of a flow the addresses of a rule cover.

use std::collections::BTreeMap;

use super::address::Address;
use super::model::{Acl, Side};
use crate::catalog::{ServiceTags, Tag, is_within, platform_addresses, private_ranges, probe_addresses};
use crate::net::{IpSet, Prefix};

/// Tags that stand for services of the platform itself, in lower case. No file lists them, and no requirement needs
/// them.
const PLATFORM_TAGS: [&str; 3] = ["azureplatformdns", "azureplatformimds", "azureplatformlkm"];
/// Bits of a prefix that is wider than all addresses of a service: a /6 of IPv4 holds 67 million addresses, and the
/// largest tag 48 million.
const WIDE: u8 = 96 + 6;

/// How much of something is doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Degree {
    /// Nothing.
    #[default]
    No,
    /// A part that is certainly neither nothing nor everything.
    Some,
    /// Nearly everything: all but a part.
    Most,
    /// Anything from nothing to everything.
    Maybe,
}

/// One end of the flows that a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Tag that names the end; `None` if only its addresses are known.
    pub tag: Option<Tag>,
    /// Its addresses; `None` if they are not known. Without both, it is a subnet of the virtual network.
    pub addresses: Option<IpSet>,
}

impl End {
    /// Returns an end that is known by its addresses.
    pub fn of_addresses(addresses: IpSet) -> Self {
        Self { tag: None, addresses: Some(addresses) }
    }

    /// Returns a subnet of the virtual network whose addresses are not known.
    pub fn unknown_subnet() -> Self {
        Self { tag: None, addresses: None }
    }

    /// Returns all of it as a set. An end without known addresses is one point.
    pub fn whole(&self) -> IpSet {
        self.addresses.clone().unwrap_or_else(point)
    }
}

/// Returns the set that stands for an end without known addresses.
fn point() -> IpSet {
    [Prefix::single(std::net::IpAddr::from([0, 0, 0, 0]))].into_iter().collect()
}

/// Part of an end that the addresses of a rule cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Part that is covered for certain.
    pub certain: IpSet,
    /// How much of the rest may be covered.
    pub doubt: Degree,
}

/// The addresses of a network and of the service tags that its rules name.
#[derive(Debug)]
pub struct Space {
    /// Addresses of the family of the subnets: IPv4 unless one is of IPv6.
    universe: IpSet,
    vnet: IpSet,
    internet: IpSet,
    private: IpSet,
    probes: IpSet,
    /// Addresses of the loaded file for each tag, by its name in lower case.
    named: BTreeMap<String, IpSet>,
    /// Tags that share no address with each other, in lower case.
    disjoint: Vec<String>,
}

impl Space {
    /// Returns the addresses of a network. `vnet` is its address space, `subnets` are part of it. `disjoint` are tags
    /// that are known to share no address.
    pub fn new(vnet: &IpSet, subnets: &[Prefix], disjoint: Vec<String>) -> Self {
        let ipv4: IpSet = "0.0.0.0/0".parse().into_iter().collect();
        let all: IpSet = "::/0".parse().into_iter().collect();
        let is_ipv6 =
            !subnets.is_empty() && subnets.iter().all(|subnet| ipv4.intersection(&single(*subnet)).is_empty());
        let universe = if is_ipv6 { all.difference(&ipv4) } else { ipv4 };
        let set = |prefixes: Vec<Prefix>| prefixes.into_iter().collect::<IpSet>().intersection(&universe);
        let own = subnets.iter().copied().chain(platform_addresses()).collect();
        let vnet = vnet.union(&own).intersection(&universe);
        let private = set(private_ranges());
        let internet = universe.difference(&vnet).difference(&private);
        let probes = set(probe_addresses());
        Self { universe, vnet, internet, private, probes, named: BTreeMap::new(), disjoint }
    }

    /// Loads the addresses of the tags that the rules and `others` name.
    pub fn with_tags<'a>(mut self, file: &ServiceTags, acls: &[Acl], others: impl Iterator<Item = &'a Tag>) -> Self {
        let of_rules =
            acls.iter().flat_map(|acl| &acl.rules).flat_map(|rule| rule.source.iter().chain(&rule.destination));
        let names = of_rules.filter_map(Address::tag).chain(others.cloned()).filter_map(|tag| match tag {
            Tag::Named(name) => Some(name),
            _ => None,
        });
        for name in names {
            let key = name.to_ascii_lowercase();
            if self.named.contains_key(&key) || file.lacks(&name) {
                continue;
            }
            if let Some(prefixes) = file.prefixes(&name) {
                self.named.insert(key, prefixes.intersection(&self.universe));
            }
        }
        self
    }

    /// Returns the address space of the virtual network.
    pub fn vnet(&self) -> &IpSet {
        &self.vnet
    }

    /// Returns the end that a tag stands for. `subnets` are the addresses of the instance, as far as they are known.
    pub fn end(&self, tag: &Tag, subnets: &End) -> End {
        let addresses = match tag {
            Tag::Subnet => return subnets.clone(),
            // Private addresses that do not belong to the network cannot be reached.
            Tag::Any => Some(self.vnet.union(&self.internet)),
            Tag::VirtualNetwork => Some(self.vnet.clone()),
            Tag::Internet => Some(self.internet.clone()),
            Tag::AzureLoadBalancer => Some(self.probes.clone()),
            Tag::Named(name) => self.named.get(&name.to_ascii_lowercase()).cloned(),
        };
        End { tag: Some(tag.clone()), addresses: addresses.filter(|set| !set.is_empty()) }
    }

    /// Returns the part of an end that one side of a rule covers.
    pub fn cover(&self, side: Side, end: &End) -> Cover {
        let mut cover = Cover { certain: IpSet::default(), doubt: Degree::No };
        for address in side.addresses {
            let part = self.part(address, end);
            cover.certain = cover.certain.union(&part.certain);
            cover.doubt = cover.doubt.max(part.doubt);
        }
        if let (Some(expanded), Some(addresses)) = (side.expanded, &end.addresses) {
            cover.certain = cover.certain.union(&expanded.intersection(addresses));
            // What the tags stood for at the interface is known.
            if !side.addresses.iter().any(|address| matches!(address, Address::Unknown(_))) {
                cover.doubt = Degree::No;
            }
        }
        if end.whole().difference(&cover.certain).is_empty() {
            cover.doubt = Degree::No;
        }
        cover
    }

    fn part(&self, address: &Address, end: &End) -> Cover {
        let certain = |certain| Cover { certain, doubt: Degree::No };
        let doubtful = |doubt| Cover { certain: IpSet::default(), doubt };
        if *address == Address::Any || self.contains(address, end) {
            return certain(end.whole());
        }
        let Some(addresses) = &end.addresses else { return self.symbolic(address, end) };
        match address {
            Address::Any => certain(addresses.clone()),
            Address::Block(block) => certain(self.block(*block).intersection(addresses)),
            Address::Tag(name) => match Tag::from_name(name) {
                Tag::VirtualNetwork | Tag::Subnet => certain(self.vnet.intersection(addresses)),
                Tag::Internet => certain(self.internet.intersection(addresses)),
                Tag::AzureLoadBalancer => certain(self.probes.intersection(addresses)),
                _ if PLATFORM_TAGS.contains(&name.to_ascii_lowercase().as_str()) => doubtful(Degree::No),
                _ => match self.named.get(&name.to_ascii_lowercase()) {
                    Some(prefixes) => certain(prefixes.intersection(addresses)),
                    None if self.vnet.union(&self.private).covers(addresses) => doubtful(Degree::No),
                    None if addresses.prefixes().iter().any(|prefix| prefix.bits() <= WIDE) => doubtful(Degree::Some),
                    None => doubtful(Degree::Maybe),
                },
            },
            Address::Group(_) | Address::Unknown(_) => doubtful(Degree::Maybe),
        }
    }

    /// Returns whether an address of a rule contains the tag of an end, whatever addresses both have.
    fn contains(&self, address: &Address, end: &End) -> bool {
        match (address.tag(), &end.tag) {
            (Some(Tag::Named(outer)), Some(Tag::Named(inner))) => is_within(inner, &outer),
            (Some(outer), Some(inner)) => outer == *inner,
            _ => false,
        }
    }

    /// Returns the part of an end without known addresses.
    fn symbolic(&self, address: &Address, end: &End) -> Cover {
        let (all, none) = (Some(true), Some(false));
        let is_wide = self.universe.difference(&self.vnet).is_empty();
        let is_covered = match (address, &end.tag) {
            (Address::Any, _) => all,
            (Address::Group(_) | Address::Unknown(_), _) => None,
            (Address::Block(_), _) if address.is_all_ipv4() => all,
            (Address::Block(block), Some(_)) if self.vnet.union(&self.private).covers(&self.block(*block)) => none,
            (Address::Block(block), None) if self.internet.covers(&self.block(*block)) => none,
            (Address::Block(_), _) => None,
            (Address::Tag(name), own) => match (Tag::from_name(name), own) {
                (Tag::VirtualNetwork | Tag::Subnet, None) => all,
                (Tag::VirtualNetwork, Some(_)) => Some(is_wide),
                (Tag::Internet, Some(_)) => Some(!is_wide),
                (Tag::Named(outer), Some(Tag::Named(inner))) if !self.are_disjoint(&outer, inner) => None,
                _ => none,
            },
        };
        match is_covered {
            Some(true) => Cover { certain: end.whole(), doubt: Degree::No },
            Some(false) => Cover { certain: IpSet::default(), doubt: Degree::No },
            None => Cover { certain: IpSet::default(), doubt: Degree::Maybe },
        }
    }

    fn are_disjoint(&self, one: &str, other: &str) -> bool {
        let base = |name: &str| name.split('.').next().unwrap_or(name).to_ascii_lowercase();
        let (one, other) = (base(one), base(other));
        let is_known = |name: &String| self.disjoint.contains(name) || PLATFORM_TAGS.contains(&name.as_str());
        one != other && is_known(&one) && is_known(&other)
    }

    /// Returns the addresses of a block. A block of IPv6 holds none of IPv4.
    fn block(&self, block: Prefix) -> IpSet {
        single(block).intersection(&self.universe)
    }
}

fn single(prefix: Prefix) -> IpSet {
    [prefix].into_iter().collect()
}
