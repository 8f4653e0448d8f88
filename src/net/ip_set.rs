use serde::{Deserialize, Serialize};

use super::Prefix;

/// A set of addresses, stored as disjoint prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IpSet {
    /// Ascending; no prefix contains another.
    prefixes: Vec<Prefix>,
}

impl IpSet {
    /// Returns the disjoint prefixes, ascending.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Returns whether the set contains the address at position `number` of the common number line.
    #[inline]
    pub fn contains(&self, number: u128) -> bool {
        self.holds(number, number)
    }

    /// Returns whether one prefix contains both.
    #[inline]
    fn holds(&self, first: u128, last: u128) -> bool {
        let at = self.prefixes.partition_point(|prefix| prefix.first() <= first);
        at.checked_sub(1).is_some_and(|i| last <= self.prefixes[i].last())
    }

    /// Returns whether the set contains no address.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Returns whether every address of `other` is in the set, too.
    pub fn covers(&self, other: &Self) -> bool {
        other.difference(self).is_empty()
    }

    /// Returns whether the set contains every address.
    pub fn is_all(&self) -> bool {
        self.holds(0, u128::MAX)
    }

    /// Returns the addresses that are in either set.
    pub fn union(&self, other: &Self) -> Self {
        self.prefixes.iter().chain(&other.prefixes).copied().collect()
    }

    /// Returns the addresses that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        // Prefixes nest or are disjoint, so the intersection consists of the prefixes of one set that lie in the other.
        let within = |inner: &Self, outer: &Self| -> Vec<Prefix> {
            inner.prefixes.iter().filter(|p| outer.holds(p.first(), p.last())).copied().collect()
        };
        within(self, other).into_iter().chain(within(other, self)).collect()
    }

    /// Returns the addresses of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for prefix in &self.prefixes {
            remove(*prefix, &other.prefixes, &mut left);
        }
        Self { prefixes: left }
    }
}

/// Adds the parts of `prefix` that no prefix of `holes` contains. `holes` are disjoint and ascending.
fn remove(prefix: Prefix, holes: &[Prefix], left: &mut Vec<Prefix>) {
    let start = holes.partition_point(|hole| hole.last() < prefix.first());
    let end = holes.partition_point(|hole| hole.first() <= prefix.last());
    let holes = holes.get(start..end).unwrap_or_default();
    match (holes, prefix.halves()) {
        ([], _) => left.push(prefix),
        ([hole, ..], _) if hole.bits() <= prefix.bits() => {}
        (_, None) => {}
        (holes, Some(halves)) => halves.into_iter().for_each(|half| remove(half, holes, left)),
    }
}

impl FromIterator<Prefix> for IpSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let mut prefixes: Vec<Prefix> = prefixes.into_iter().collect();
        // If two begin at the same address, the wider one comes first.
        prefixes.sort_unstable_by_key(|prefix| (prefix.first(), prefix.bits()));
        prefixes.dedup_by(|inner, outer| inner.first() <= outer.last());
        Self { prefixes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::address;

    fn any_set() -> impl Strategy<Value = Vec<Prefix>> {
        let prefix = (0_u32..1024, 22_u8..=32)
            .prop_filter_map("a length", |(ip, length)| Prefix::around(std::net::IpAddr::V4(ip.into()), length));
        proptest::collection::vec(prefix, 0..8)
    }

    proptest! {
        #[test]
        fn holds_what_one_of_its_prefixes_holds(a in any_set(), b in any_set()) {
            let (set, other): (IpSet, IpSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let both = set.intersection(&other);
            for n in 0..1100_u128 {
                let number = 0xffff_0000_0000 + n;
                let held = |prefixes: &[Prefix]| prefixes.iter().any(|p| p.contains(address(number)));
                prop_assert_eq!(set.contains(number), held(&a));
                prop_assert_eq!(both.contains(number), held(&a) && held(&b));
                prop_assert_eq!(set.union(&other).contains(number), held(&a) || held(&b));
                prop_assert_eq!(set.difference(&other).contains(number), held(&a) && !held(&b));
            }
            prop_assert!(set.covers(&both) && set.covers(&set.difference(&other)));
        }
    }
}
