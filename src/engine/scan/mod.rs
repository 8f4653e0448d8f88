//! The scan of `flows`: its units, its plan, what conditions it takes, and what was read.

pub(super) mod exact;
pub(super) mod look;
pub(super) mod opener;
pub(super) mod pushdown;
pub(super) mod receipt;
pub(super) mod table;
pub(super) mod unit;
