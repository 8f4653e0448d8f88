//! Counts of flows by interface, rule and local address, in bounded memory.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::Sight;
use super::batch::{Batch, Keys};
use crate::engine::groups::key::Seen;
use crate::engine::groups::state::{AddressHasher, Addresses, GroupState, Sample, spread};
use crate::engine::scan::receipt::digest;
use crate::flow::{Decision, Direction};

/// Number of interfaces, and of rules, up to which all are listed and counted exactly.
pub const EXACT: usize = 16_384;
/// One more than are counted exactly, so that a full list shows that there were more.
pub const LISTED: usize = EXACT + 1;
/// Number of local addresses up to which those of an interface are counted exactly.
pub const EXACT_LOCALS: usize = 32;
/// Number of signs up to which all are kept.
pub const SIGNS: usize = 65_536;

/// What one part of the flows contains.
#[derive(Debug, Default)]
pub struct Tally {
    /// By the digest of the MAC address in upper case.
    pub interfaces: Sample<u128, Interface>,
    /// By the digest of the ACL in lower case and the rule.
    pub rules: Sample<u128, Rule>,
    /// Addresses of the ends that logged the flows.
    pub locals: Addresses,
    pub signs: Sample<Sign, ()>,
}

/// Number of tuples and denied tuples. The times are valid only if `tuples` is positive.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub tuples: i64,
    pub denied: i64,
    pub first: i64,
    pub last: i64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        if self.tuples == 0 {
            *self = other;
        } else {
            self.tuples += other.tuples;
            self.denied += other.denied;
            self.first = self.first.min(other.first);
            self.last = self.last.max(other.last);
        }
    }
}

#[derive(Debug)]
pub struct Interface {
    pub mac: Box<str>,
    pub counts: Counts,
    pub locals: Addresses,
}

impl Default for Interface {
    fn default() -> Self {
        let locals = Addresses::bounded(EXACT_LOCALS + 1);
        Self { mac: Box::default(), counts: Counts::default(), locals }
    }
}

#[derive(Debug, Default)]
pub struct Rule {
    /// Of several spellings of the ACL, the first in the order of bytes.
    pub acl: Box<str>,
    pub rule: Box<str>,
    pub counts: Counts,
}

/// An inbound flow on a port on which API Management shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sign {
    pub local: u128,
    pub port: u16,
    pub protocol: u8,
    /// Index of the peer's class in the tag test.
    pub class: u32,
    pub is_denied: bool,
    pub is_answered: bool,
}

impl AddressHasher for Sign {
    /// Hashes only the address, so that a sample holds all signs of an address or none.
    fn spread(&self) -> u64 {
        spread(self.local)
    }
}

impl Hash for Sign {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let flags = u64::from(self.is_denied) << 1 | u64::from(self.is_answered);
        let rest = u64::from(self.class) << 32 | u64::from(self.port) << 16 | u64::from(self.protocol) << 8 | flags;
        hasher.write_u64(self.spread() ^ spread(rest.into()));
    }
}

impl Tally {
    /// Adds the flows of a batch. They are first counted by the keys of the batch, because those are fast to compare.
    pub fn add(&mut self, batch: &Batch, sight: &Sight) {
        let mut counted: HashMap<Keys, Counts> = HashMap::new();
        let mut locals: Seen<(u128, u64), i64> = Seen::default();
        let mut last: Option<((Keys, u128), i64, Counts)> = None;
        let [sources, destinations] = batch.ips;
        let mut flush = |(keys, local): (Keys, u128), tuples: i64, counts: Counts| {
            counted.entry(keys).or_default().add(counts);
            *locals.entry((local, keys.mac.map_or(u64::MAX, u64::from))).or_default() += tuples;
        };
        for row in 0..batch.times.len() {
            let is_inbound = batch.directions.code(row) == Direction::Inbound as u8;
            let local = u128::from_be_bytes(if is_inbound { destinations[row] } else { sources[row] });
            let is_denied = batch.decisions.code(row) == Decision::Deny as u8;
            let (time, port) = (batch.times[row], batch.ports[row]);
            if is_inbound && sight.telling.contains(port) {
                let class = sight.places.tag_test.find_number(u128::from_be_bytes(sources[row]));
                let (protocol, is_answered) = (batch.protocols[row], batch.is_answered(row));
                let sign = Sign { local, port, protocol, class: class.index() as u32, is_denied, is_answered };
                self.signs.entry(sign, SIGNS);
            }
            let counts = Counts { tuples: 1, denied: is_denied.into(), first: time, last: time };
            let key = (batch.keys(row), local);
            match &mut last {
                Some((known, tuples, sum)) if *known == key => {
                    *tuples += 1;
                    sum.add(counts);
                }
                _ => {
                    if let Some((key, tuples, counts)) = last.replace((key, 1, counts)) {
                        flush(key, tuples, counts);
                    }
                }
            }
        }
        if let Some((key, tuples, counts)) = last {
            flush(key, tuples, counts);
        }
        for (keys, counts) in counted {
            self.add_interface(&batch.mac(keys.mac), counts);
            self.add_rule(batch.acl(&keys), batch.rule(&keys), counts);
        }
        for ((local, mac), tuples) in locals {
            self.locals.add(local, tuples);
            if let Some(interface) = self.interface(&batch.mac(u32::try_from(mac).ok())) {
                interface.locals.add(local, tuples);
            }
        }
    }

    /// Returns an interface, unless it is not among those kept.
    pub fn interface(&mut self, mac: &str) -> Option<&mut Interface> {
        let interface = self.interfaces.entry(u128::from_be_bytes(digest(mac)), LISTED)?;
        if interface.mac.is_empty() {
            interface.mac = mac.into();
        }
        Some(interface)
    }

    pub fn add_interface(&mut self, mac: &str, counts: Counts) {
        if let Some(interface) = self.interface(mac) {
            interface.counts.add(counts);
        }
    }

    pub fn add_rule(&mut self, acl: &str, rule: &str, counts: Counts) {
        let key = digest(&format!("{}\n{rule}", acl.to_lowercase()));
        let Some(known) = self.rules.entry(u128::from_be_bytes(key), LISTED) else { return };
        if known.counts.tuples == 0 {
            (known.acl, known.rule) = (acl.into(), rule.into());
        } else if acl < &*known.acl {
            known.acl = acl.into();
        }
        known.counts.add(counts);
    }

    /// Returns the bytes on the heap. Texts count as a hundred bytes each.
    pub fn size(&self) -> usize {
        const TEXT: usize = 100;
        let locals: usize = self.interfaces.iter().map(|(_, interface)| interface.locals.size() + TEXT).sum();
        self.interfaces.size()
            + locals
            + self.rules.size()
            + 2 * TEXT * self.rules.len()
            + self.locals.size()
            + self.signs.size()
    }
}
