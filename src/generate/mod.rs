//! Realistic archives with planted faults: takes a plan, writes blobs in the real layout, and the planted truth.
//!
//! In reading order: `faults` (what goes wrong), `addresses` (who talks), `layout` (what is fixed before the first
//! byte), `background` and `planted` (which tuples there are), `record` and `text` (how they are written), `truth`,
//! `write`.
//! What a blob holds follows from the plan, its interface and its hour alone, so threads may take blobs in any order.
//! Knows neither sessions nor findings: what it plants is not checked by what is meant to find it.

mod addresses;
mod background;
mod faults;
mod layout;
mod planted;
mod record;
mod text;
mod truth;
mod write;

pub use faults::{Fault, FaultError, FaultKind};
pub use truth::TRUTH_FILE;
pub use write::write;

use addresses::Addresses;

use crate::catalog::{Requirement, ServiceTags};
use crate::names::names;
use crate::net::Prefix;

/// What to write. The numbers are within the bounds below, `start_ms` is a whole hour, and `check` found no mistake.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: Kind,
    /// Since 1970; the first hour.
    pub start_ms: u64,
    /// Tuples lie in exactly these hours. The last minute is flushed in the hour after them.
    pub hours: u32,
    /// Of the instance. Far ends that deny have one more each.
    pub interfaces: u32,
    /// Of each interface, on the average, besides planted ones.
    pub tuples_per_minute: u32,
    pub variety: Variety,
    pub seed: u64,
    /// Changes nothing but the speed.
    pub threads: usize,
    /// Rows to keep healthy traffic of, but for the faults: the analyzed ones of one edition.
    pub requirements: Vec<Requirement>,
    pub service_tags: Option<ServiceTags>,
    pub faults: Vec<Fault>,
}

/// How much the usual traffic varies. What is `None` is as the rest of the plan makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variety {
    /// All interfaces together have so many addresses of their own, each at least one.
    pub local_addresses: Option<u32>,
    /// Names of rules, at least as many as there are without it.
    pub rules: Option<u32>,
    /// Access-control lists, one of them for each interface.
    pub acls: Option<u32>,
    /// Addresses of the Internet that call or are called by mistake.
    pub remote_addresses: Option<u32>,
    /// Ports of denied flows, in each direction.
    pub ports: Option<u32>,
    /// Percent of all tuples.
    pub denied_percent: Option<u32>,
}

/// The format of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// VNet flow logs, version 4.
    Vnet4,
    /// NSG flow logs, version 2.
    Nsg2,
    /// NSG flow logs, version 1: no states and no counters, so every allowed tuple is a flow of its own.
    Nsg1,
}

/// What was written; the truth is not among the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub blobs: u64,
    pub bytes: u64,
    pub tuples: u64,
    /// Of `tuples`, those that the truth counts.
    pub planted: u64,
}

names!(Kind { Vnet4 = "vnet4", Nsg2 = "nsg2", Nsg1 = "nsg1" });

impl Kind {
    fn has_states(self) -> bool {
        self != Self::Nsg1
    }
}

impl Plan {
    /// Ten years.
    pub const MOST_HOURS: u32 = 87_600;
    pub const MOST_INTERFACES: u32 = 2_000;
    /// A record has to stay below the size from which on readers skip it.
    pub const MOST_TUPLES_PER_MINUTE: u32 = 500_000;
    pub const MOST_LOCAL_ADDRESSES: u32 = 50_000;
    pub const MOST_RULES: u32 = 100_000;
    pub const MOST_REMOTE_ADDRESSES: u32 = 100_000_000;
    pub const MOST_PORTS: u32 = 65_535;

    /// What is wrong with the faults in this archive, by number of the entry.
    pub fn check(&self) -> Result<(), FaultError> {
        let addresses = Addresses::new(&self.requirements, self.service_tags.as_ref(), None);
        self.faults.iter().enumerate().try_for_each(|(at, fault)| fault.check(at + 1, self, &addresses))
    }

    /// Addresses of all interfaces together.
    fn local_addresses(&self) -> u32 {
        self.variety.local_addresses.map_or(self.interfaces, |addresses| addresses.max(self.interfaces))
    }

    /// Where the interfaces of the instance lie: what analyze takes as --subnet.
    pub fn subnets(&self) -> Vec<Prefix> {
        layout::subnets(self.local_addresses())
    }
}
