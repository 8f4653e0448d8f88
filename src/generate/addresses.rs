//! Builds address pools: takes the tags of the port table and optionally Microsoft's file, and returns IPv4 pools.
//! Knows no flows. Pools of different tags, and the Internet's pool, share no address.

use std::collections::BTreeMap;

use super::text::{below, mix};
use crate::catalog::{Requirement, ServiceTags, Tag};
use crate::net::{Prefix, number};

/// Addresses to draw from. Most draws hit a few regular addresses, because clients resolve a service to few addresses.
#[derive(Debug, Clone)]
pub struct Pool {
    /// First and last address of each range; never empty.
    ranges: Vec<(u32, u32)>,
    /// Regular addresses. Their number is a power of two, or zero if no address recurs.
    regulars: Vec<u32>,
    /// Number of draws out of eight that do not return a regular address.
    fresh: u64,
    /// Maximum number of addresses, if limited.
    most: Option<u32>,
}

/// The pools of a plan.
#[derive(Debug)]
pub struct Addresses {
    /// Pools by tag name. Tags without an address of their own are missing.
    named: BTreeMap<String, Vec<(u32, u32)>>,
    /// Public addresses outside all tags.
    internet: Vec<(u32, u32)>,
    most: Option<u32>,
}

/// Source of the platform's probes.
const LOAD_BALANCER: u32 = u32::from_be_bytes([168, 63, 129, 16]);
/// Two servers in the network that answer on any port.
const SERVERS: (u32, u32) = (u32::from_be_bytes([10, 20, 10, 4]), u32::from_be_bytes([10, 20, 10, 5]));
/// Callers inside the network.
const CALLERS: (u32, u32) = (u32::from_be_bytes([10, 20, 100, 4]), u32::from_be_bytes([10, 20, 103, 250]));
/// Backends of the instance.
const BACKENDS: (u32, u32) = (u32::from_be_bytes([10, 20, 20, 4]), u32::from_be_bytes([10, 20, 20, 67]));
/// Upper octets of Internet addresses; neither private nor reserved.
const INTERNET: std::ops::Range<u32> = 24..88;
/// Upper octets in which a tag without prefixes gets its own block.
const CLOUD: [u32; 4] = [13, 20, 40, 52];

impl Addresses {
    /// Builds the pools. At most `most` Internet addresses are drawn.
    pub fn new(rows: &[Requirement], file: Option<&ServiceTags>, most: Option<u32>) -> Self {
        let tags = rows.iter().filter_map(|row| match row.peer_tag() {
            Tag::Named(name) => Some(name.clone()),
            _ => None,
        });
        let mut names: Vec<String> = tags.collect();
        names.sort_unstable();
        names.dedup();
        let all: Vec<Vec<(u32, u32)>> = match file {
            Some(file) => names.iter().map(|name| ipv4(file.prefixes(name).unwrap_or_default().prefixes())).collect(),
            None => (0..names.len() as u32).map(|nr| vec![own_block(nr)]).collect(),
        };
        let own = |at: usize| {
            let others = all.iter().enumerate().filter(|(other, _)| *other != at).flat_map(|(_, ranges)| ranges);
            let others = merged(others.copied());
            let own: Vec<(u32, u32)> = all[at].iter().filter(|range| !meets(&others, **range)).copied().collect();
            (names[at].clone(), own)
        };
        let named: BTreeMap<_, _> = (0..names.len()).map(own).filter(|(_, own)| !own.is_empty()).collect();
        let listed: Vec<Prefix> = file.into_iter().flat_map(|file| file.rows()).map(|row| row.prefix).collect();
        let taken = merged(ipv4(&listed).into_iter().chain(named.values().flatten().copied()));
        let blocks = (INTERNET.start << 8..INTERNET.end << 8).map(|block| (block << 16, block << 16 | 0xffff));
        let mut internet = merged(blocks.clone().filter(|block| !meets(&taken, *block)));
        if internet.is_empty() {
            internet = merged(blocks);
        }
        Self { named, internet, most }
    }

    /// Returns whether the tag has an address that no other tag contains.
    pub fn knows(&self, tag: &str) -> bool {
        self.named.contains_key(tag)
    }

    /// Returns the usual peers of a requirement; for a tag without addresses, those of the Internet.
    pub fn pool(&self, tag: &Tag, seed: u64) -> Pool {
        match tag {
            Tag::Named(name) => match self.named.get(name) {
                Some(ranges) => Pool::new(ranges.clone(), 16, 1, seed),
                None => self.clients(seed),
            },
            Tag::Internet => self.clients(seed),
            Tag::AzureLoadBalancer => Pool::new(vec![(LOAD_BALANCER, LOAD_BALANCER)], 1, 0, seed),
            Tag::VirtualNetwork | Tag::Subnet => Pool::new(vec![CALLERS], 64, 4, seed),
            Tag::Any => Pool::new(vec![SERVERS], 2, 0, seed),
        }
    }

    /// Returns a pool of clients, half of which recur.
    pub fn clients(&self, seed: u64) -> Pool {
        let regulars = self.most.map_or(4096, |most| most.clamp(2, 8192).next_power_of_two() / 2);
        Pool { most: self.most, ..Pool::new(self.internet.clone(), regulars.into(), 4, seed) }
    }

    /// Returns the pool of scanners, which never recur.
    pub fn scanners(&self) -> Pool {
        Pool { ranges: self.internet.clone(), regulars: Vec::new(), fresh: 8, most: self.most }
    }

    pub fn backends(&self, seed: u64) -> Pool {
        Pool::new(vec![BACKENDS], 16, 0, seed)
    }
}

impl Pool {
    /// Makes a pool. `regulars` is a power of two.
    fn new(ranges: Vec<(u32, u32)>, regulars: u64, fresh: u64, seed: u64) -> Self {
        let anyone = Self { ranges, regulars: Vec::new(), fresh: 8, most: None };
        let regulars = (0..regulars).map(|nr| anyone.pick(mix(seed ^ mix(nr)))).collect();
        Self { regulars, fresh, ..anyone }
    }

    /// Draws an address by random `bits`.
    #[inline]
    pub fn pick(&self, bits: u64) -> u32 {
        if bits >> 61 >= self.fresh {
            return self.regulars[(bits >> 32) as usize & (self.regulars.len() - 1)];
        }
        let bits = mix(self.most.map_or(bits, |most| below(most.into(), bits >> 32)));
        let (first, last) = self.ranges[below(self.ranges.len() as u64, bits >> 32) as usize];
        first + below(u64::from(last - first) + 1, bits) as u32
    }
}

/// Returns the block of a tag that is in no file: public-looking, and separate for each tag.
fn own_block(nr: u32) -> (u32, u32) {
    let block = CLOUD[nr as usize % CLOUD.len()] << 8 | (64 + nr / CLOUD.len() as u32) & 0xff;
    (block << 16, block << 16 | 0xffff)
}

fn ipv4(prefixes: &[Prefix]) -> Vec<(u32, u32)> {
    let offset = number([0, 0, 0, 0].into());
    let range = |prefix: &Prefix| {
        let end = |number: u128| u32::try_from(number.checked_sub(offset)?).ok();
        Some((end(prefix.first())?, end(prefix.last())?))
    };
    prefixes.iter().filter_map(range).collect()
}

/// Merges ranges into ascending ones that neither touch nor overlap.
fn merged(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut sorted: Vec<(u32, u32)> = ranges.collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, end) in sorted {
        match merged.last_mut() {
            Some(last) if u64::from(first) <= u64::from(last.1) + 1 => last.1 = last.1.max(end),
            _ => merged.push((first, end)),
        }
    }
    merged
}

/// Returns whether a range shares an address with the `merged` ranges.
fn meets(merged: &[(u32, u32)], (first, last): (u32, u32)) -> bool {
    let before = merged.partition_point(|range| range.0 <= last);
    before.checked_sub(1).is_some_and(|at| merged[at].1 >= first)
}
