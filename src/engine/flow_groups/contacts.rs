//! Which peers were let through, and when: what a refused peer is compared with.

use std::hash::{Hash, Hasher};

use crate::engine::kept::{Hours, Sample, Spread, spread};

/// One local address and one peer on one port, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Position of the peer on the common number line of addresses.
    pub peer: u128,
    pub local: u128,
    pub port: u16,
    pub protocol: u8,
    /// As in a group's key.
    pub direction: u8,
    /// The flow began here, or its log does not say.
    pub is_new: bool,
}

impl Spread for Contact {
    /// Equal for all local addresses, so that a sample holds all of them or none.
    fn spread(&self) -> u64 {
        let rest = u64::from(self.port) << 16 | u64::from(self.protocol) << 8 | u64::from(self.direction);
        spread(self.peer ^ u128::from(rest) << 64)
    }
}

impl Hash for Contact {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.spread() ^ spread(self.local ^ u128::from(self.is_new)));
    }
}

/// The hours of each contact that was let through; of more than [`CONTACTS`], of those with the smallest hashes.
pub type Contacts = Sample<Contact, Hours>;

/// Up to this many contacts are all kept.
pub const CONTACTS: usize = 262_144;
