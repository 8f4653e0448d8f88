//! Contacts: the peers that were allowed, and when. Refused peers are compared with them.

use std::hash::{Hash, Hasher};

use super::state::{AddressHasher, Hours, Sample, spread};

/// One local end and one peer on one port, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Number of the peer's address.
    pub peer: u128,
    /// Index of the local address's subnet in the scope; while the scope is unknown, the number of the local address.
    pub local: u128,
    pub port: u16,
    pub protocol: u8,
    /// Code of the direction, as in a group's key.
    pub direction: u8,
}

impl AddressHasher for Contact {
    /// Hashes all but the local end, so that a sample holds all local ends of a contact or none.
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

/// Times at which a contact was allowed.
#[derive(Debug, Default)]
pub struct Visits {
    /// Hours of flows in state begin, or without a state.
    pub new: Hours,
    /// Hours of all other flows, noted only until the first beginning of a flow is seen. After it, only new flows
    /// count.
    pub other: Option<Box<Hours>>,
}

/// The visits of each contact. Above [`CONTACTS`], the sample keeps those with the smallest hashes.
pub type Contacts = Sample<Contact, Visits>;

/// Number of contacts up to which all are kept.
pub const CONTACTS: usize = 262_144;
