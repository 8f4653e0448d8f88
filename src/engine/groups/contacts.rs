//! Which peers were let through, and when: what a refused peer is compared with.

use std::hash::{Hash, Hasher};

use super::state::{Hours, Sample, Spread, spread};

/// One local end and one peer on one port, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Position of the peer on the common number line of addresses.
    pub peer: u128,
    /// Place of the local address's subnet in the scope; while the scope is not known, the position of the local address.
    pub local: u128,
    pub port: u16,
    pub protocol: u8,
    /// As in a group's key.
    pub direction: u8,
}

impl Spread for Contact {
    /// Equal for all local ends, so that a sample holds all of them or none.
    fn spread(&self) -> u64 {
        let rest = u64::from(self.port) << 16 | u64::from(self.protocol) << 8 | u64::from(self.direction);
        spread(self.peer ^ u128::from(rest) << 64)
    }
}

impl Hash for Contact {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.spread() ^ spread(self.local));
    }
}

/// When a contact was let through.
#[derive(Debug, Default)]
pub struct Visits {
    /// Flows that began then, or whose log does not say when they did.
    pub new: Hours,
    /// Other flows, while no beginning was seen at all: else they are not asked for.
    pub other: Option<Box<Hours>>,
}

/// The visits of each contact; of more than [`CONTACTS`], of those with the smallest hashes.
pub type Contacts = Sample<Contact, Visits>;

/// Up to this many contacts are all kept.
pub const CONTACTS: usize = 262_144;
