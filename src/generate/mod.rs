//! Realistic archives with planted faults: takes a plan, and writes blobs in the real layout and a truth file.
//!
//! In reading order: `faults` (the faults file), `addresses` (address pools), `layout` (everything fixed before the
//! first byte), `background` and `planted` (the tuples), `record` and `text` (their format), `truth`, `write`.
//! The content of a blob depends only on the plan, its interface and its hour, so threads may take blobs in any order.
//! Knows neither sessions nor findings, so that planted faults are independent of the code that finds them.

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

/// Settings of an archive. Numbers are within the limits below, `start_ms` is a full hour, and `check` found no error.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Format of the logs.
    pub kind: Kind,
    /// First hour, in ms since 1970.
    pub start_ms: u64,
    /// Number of hours with tuples. The last minute is flushed in the hour after them.
    pub hours: u32,
    /// Interfaces of the instance. Each far end that denies has one more.
    pub interfaces: u32,
    /// Average number of tuples per interface, not counting planted ones.
    pub tuples_per_minute: u32,
    /// Variety of ordinary traffic.
    pub variety: Variety,
    /// Seed of all random choices. Equal plans give equal archives.
    pub seed: u64,
    /// Number of threads; affects only the speed.
    pub threads: usize,
    /// Rows with healthy traffic, except for faults: the analyzed rows of one edition.
    pub requirements: Vec<Requirement>,
    /// Microsoft's file, from which addresses of services are drawn, if it is given.
    pub service_tags: Option<ServiceTags>,
    /// Faults to plant.
    pub faults: Vec<Fault>,
}

/// Variety of ordinary traffic. `None` keeps the default of the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variety {
    /// Number of addresses of all interfaces together; each has at least one.
    pub local_addresses: Option<u32>,
    /// Number of rules, at least as many as without this option.
    pub rules: Option<u32>,
    /// Number of ACLs. Each interface has one of them.
    pub acls: Option<u32>,
    /// Number of Internet addresses that call or are called by mistake.
    pub remote_addresses: Option<u32>,
    /// Number of ports of denied flows, per direction.
    pub ports: Option<u32>,
    /// Share of denied tuples, in percent of all tuples.
    pub denied_percent: Option<u32>,
}

/// Format of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// VNet flow logs, version 4.
    Vnet4,
    /// NSG flow logs, version 2.
    Nsg2,
    /// NSG flow logs, version 1: without states and counters, so every allowed tuple is a separate flow.
    Nsg1,
}

/// Statistics of what was written. The bytes do not include the truth file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of blobs.
    pub blobs: u64,
    /// Size of all blobs in bytes.
    pub bytes: u64,
    /// Number of tuples, including planted ones.
    pub tuples: u64,
    /// Number of `tuples` that the truth file counts.
    pub planted: u64,
}

names!(Kind { Vnet4 = "vnet4", Nsg2 = "nsg2", Nsg1 = "nsg1" });

impl Kind {
    fn has_states(self) -> bool {
        self != Self::Nsg1
    }
}

impl Plan {
    /// Maximum of `hours`: ten years.
    pub const MOST_HOURS: u32 = 87_600;
    /// Maximum of `interfaces`.
    pub const MOST_INTERFACES: u32 = 2_000;
    /// Maximum of `tuples_per_minute`. A record must stay below the size above which readers skip it.
    pub const MOST_TUPLES_PER_MINUTE: u32 = 500_000;
    /// Maximum of `local_addresses`.
    pub const MOST_LOCAL_ADDRESSES: u32 = 50_000;
    /// Maximum of `rules`.
    pub const MOST_RULES: u32 = 100_000;
    /// Maximum of `remote_addresses`.
    pub const MOST_REMOTE_ADDRESSES: u32 = 100_000_000;
    /// Maximum of `ports`.
    pub const MOST_PORTS: u32 = 65_535;

    /// Checks that the faults fit the archive. Errors name the entry by number.
    pub fn check(&self) -> Result<(), FaultError> {
        let addresses = Addresses::new(&self.requirements, self.service_tags.as_ref(), None);
        self.faults.iter().enumerate().try_for_each(|(at, fault)| fault.check(at + 1, self, &addresses))
    }

    /// Returns the number of addresses of all interfaces.
    fn local_addresses(&self) -> u32 {
        self.variety.local_addresses.map_or(self.interfaces, |addresses| addresses.max(self.interfaces))
    }

    /// Returns the subnets of the instance, which are the scope for an analysis.
    pub fn subnets(&self) -> Vec<Prefix> {
        layout::subnets(self.local_addresses())
    }
}
