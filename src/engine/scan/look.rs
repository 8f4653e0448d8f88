//! Samples an archive before its scan: the beginnings of the first and last blobs of each interface. From the sample, a
//! query finds out which interfaces are API Management's. Reads at most 4 % of the archive, in rounds.

use std::collections::BTreeMap;

use super::table::StoreUnits;
use super::unit::{LOOK, ScanUnit, UnitContents};
use crate::source::{Blob, BlobPath, DisplayPath, StoreKey};

/// Archives below this size, in bytes, are not sampled. Their one scan can keep every interface.
const SMALL: u64 = 64 << 20;
/// A look reads at most 1/25 of the archive. The edges of pieces of big blobs add less than another 1 %.
const SHARE: u64 = 25;
/// Minimum number of bytes to read per blob. Fewer bytes hold too few records to show anything, unless they are a good
/// part of the blob.
const LEAST: u64 = 256 << 10;
/// A read of at least 1/4 of the blobs' bytes is a good part.
const PART: u64 = 4;
/// Blobs kept per interface: the first two and the last two.
const BLOBS: usize = 4;

/// Plan of a look: the blobs still to sample and the bytes still to spend.
#[derive(Debug)]
pub struct Look {
    /// Blobs of each interface that is not identified yet, in the order in which they are read. The key is the
    /// upper-case MAC address.
    interfaces: BTreeMap<String, Vec<Candidate>>,
    /// Index of the next round, which reads one blob per interface.
    round: usize,
    /// Bytes that later rounds may still read.
    budget: u64,
    partitions: usize,
}

#[derive(Debug, Clone)]
struct Candidate {
    hour: i64,
    store: StoreKey,
    shown: DisplayPath,
    blob: Blob,
}

/// Scan units that one round of a look reads.
#[derive(Debug)]
pub struct Round(StoreUnits);

impl Round {
    pub(in crate::engine) fn into_units(self) -> StoreUnits {
        self.0
    }
}

impl Look {
    /// Plans a look over the blobs of `stores`, which hold `size` bytes in total. `partitions` is the number of units
    /// decoded in parallel.
    ///
    /// Returns `None` if the archive is small, a blob path names no interface, or a source is an archive file. The one
    /// scan then keeps all interfaces.
    pub(in crate::engine) fn new(stores: &StoreUnits, size: u64, partitions: usize) -> Option<Self> {
        let units = || stores.iter().flat_map(|(store, units)| units.iter().map(move |unit| (store, unit)));
        if units().any(|(_, unit)| matches!(unit.reading, UnitContents::Members(_))) {
            return None;
        }
        let blobs = units().flat_map(|(store, unit)| unit.blobs().map(move |blob| (store, &unit.shown, blob)));
        Self::over(blobs, size, partitions)
    }

    /// Plans a look as [`Self::new`] does, over blobs with their stores and names.
    pub(in crate::engine) fn over<'a>(
        blobs: impl Iterator<Item = (&'a StoreKey, &'a DisplayPath, Blob)>,
        size: u64,
        partitions: usize,
    ) -> Option<Self> {
        if size < SMALL {
            return None;
        }
        let mut interfaces: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for (store, shown, blob) in blobs {
            let path = BlobPath::parse(&blob.location)?;
            let (hour, mac) = (path.hour, path.mac?.to_ascii_uppercase());
            let candidate = Candidate { hour, store: store.clone(), shown: shown.clone(), blob };
            keep_outermost(interfaces.entry(mac).or_default(), candidate);
        }
        for blobs in interfaces.values_mut() {
            *blobs = outside_in(blobs);
        }
        Some(Self { interfaces, round: 0, budget: size / SHARE, partitions })
    }

    /// Returns the next blob of each interface that is not identified yet. Returns `None` after the last round, or if
    /// the budget allows too little per blob.
    pub fn next_round(&mut self) -> Option<Round> {
        let place = self.round;
        self.round += 1;
        let mut chosen: Vec<&Candidate> = self.interfaces.values().filter_map(|blobs| blobs.get(place)).collect();
        if chosen.is_empty() {
            return None;
        }
        // If the budget is too small for all further rounds, fewer rounds read more per blob.
        let limit = (place + 1..=BLOBS).rev().map(|end| self.limit(place, end)).find(|&limit| {
            let read: u64 = chosen.iter().map(|c| c.blob.size.min(limit)).sum();
            limit >= LEAST || read.saturating_mul(PART) >= chosen.iter().map(|c| c.blob.size).sum()
        })?;
        self.budget -= chosen.iter().map(|c| c.blob.size.min(limit)).sum::<u64>();
        chosen.sort_by(|a, b| key(a).cmp(&key(b)));
        let each = chosen.len().div_ceil(self.partitions);
        let mut stores = StoreUnits::new();
        for of_store in chosen.chunk_by(|a, b| a.store == b.store) {
            let of_source = of_store.chunk_by(|a, b| a.shown == b.shown).flat_map(|blobs| blobs.chunks(each));
            let unit = |blobs: &[&Candidate]| {
                let shown = blobs.first().map(|c| c.shown.clone()).unwrap_or_default();
                let blobs = blobs.iter().map(|c| c.blob.clone()).collect();
                ScanUnit { shown, reading: UnitContents::Start { blobs, limit } }.into()
            };
            if let Some(first) = of_store.first() {
                stores.push((first.store.clone(), of_source.map(unit).collect()));
            }
        }
        Some(Round(stores))
    }

    /// Returns the bytes to read per blob in the rounds `place..end`.
    fn limit(&self, place: usize, end: usize) -> u64 {
        let of_rounds = |blobs: &'_ [Candidate]| -> Vec<u64> {
            let rounds = blobs.get(place..end.min(blobs.len())).unwrap_or_default();
            rounds.iter().map(|c| c.blob.size.min(LOOK)).collect()
        };
        level(self.interfaces.values().flat_map(|blobs| of_rounds(blobs)).collect(), self.budget)
    }

    /// Marks the interface as identified. Later rounds skip it.
    pub fn end(&mut self, mac: &str) {
        self.interfaces.remove(&mac.to_ascii_uppercase());
    }
}

fn key(candidate: &Candidate) -> (&StoreKey, &str, &str) {
    (&candidate.store, &candidate.shown.put, &candidate.blob.location)
}

/// Inserts a blob in order of hours, and keeps only the first two and the last two.
fn keep_outermost(blobs: &mut Vec<Candidate>, new: Candidate) {
    let at = blobs.partition_point(|known| (known.hour, &known.blob.location) <= (new.hour, &new.blob.location));
    blobs.insert(at, new);
    if blobs.len() > BLOBS {
        blobs.remove(BLOBS / 2);
    }
}

/// Orders blobs from outside in: first, last, second, second to last.
fn outside_in(blobs: &[Candidate]) -> Vec<Candidate> {
    let (mut left, mut ordered) = (blobs, Vec::new());
    while let [first, rest @ ..] = left {
        ordered.push(first.clone());
        left = match rest {
            [between @ .., last] => {
                ordered.push(last.clone());
                between
            }
            [] => rest,
        };
    }
    ordered
}

/// Returns the limit in bytes per blob, equal for all, that keeps the total of all blobs within `budget`.
fn level(mut sizes: Vec<u64>, mut budget: u64) -> u64 {
    sizes.sort_unstable();
    for (nr, &size) in sizes.iter().enumerate() {
        let left = (sizes.len() - nr) as u64;
        if size.saturating_mul(left) > budget {
            return budget / left;
        }
        budget -= size;
    }
    LOOK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_small_blobs_leave_goes_to_big_ones() {
        assert_eq!(level(vec![10, 10, 10], 30), LOOK);
        assert_eq!(level(vec![10, 10, 10], 29), 9);
        assert_eq!(level(vec![2, 100, 100], 52), 25);
        assert_eq!(level(vec![u64::MAX, 1], 9), 8);
        assert_eq!(level(vec![], 0), LOOK);
    }

    fn candidate(hour: i64) -> Candidate {
        let blob = Blob { location: format!("{hour:02}"), size: 1, e_tag: None };
        let store = StoreKey::of(&"file:///".parse().expect("a URL"));
        Candidate { hour, store, shown: DisplayPath::default(), blob }
    }

    /// A look over this many interfaces with four blobs of this size each.
    fn look(interfaces: usize, size: u64, budget: u64) -> Look {
        let blobs = |nr: usize| {
            let blob = |hour: i64| {
                let mut candidate = candidate(hour);
                candidate.blob.size = size;
                candidate
            };
            (nr.to_string(), (0..4).map(blob).collect())
        };
        Look { interfaces: (0..interfaces).map(blobs).collect(), round: 0, budget, partitions: 2 }
    }

    #[test]
    fn thin_blobs_of_many_interfaces_are_looked_at_in_fewer_rounds() {
        let rounds = |mut look: Look| std::iter::from_fn(|| look.next_round()).count();
        assert_eq!(rounds(look(10, 100_000, 4_000_000)), 4);
        assert_eq!(rounds(look(1000, 100_000, 50_000_000)), 2);
        assert_eq!(rounds(look(1000, 100_000, 25_000_000)), 1);
        // Too few bytes per blob to show anything.
        assert_eq!(rounds(look(1000, 100_000, 24_000_000)), 0);
        assert_eq!(rounds(look(10, 10 << 20, 10 << 20)), 4);
    }

    #[test]
    fn the_outermost_blobs_are_looked_at_from_outside_in() {
        for (hours, expected) in
            [(vec![], vec![]), (vec![3], vec![3]), (vec![2, 1], vec![1, 2]), (vec![2, 3, 1], vec![1, 3, 2])]
                .into_iter()
                .chain([(vec![5, 1, 4, 3, 6, 2, 7], vec![1, 7, 2, 6])])
        {
            let mut blobs = Vec::new();
            hours.iter().for_each(|&hour| keep_outermost(&mut blobs, candidate(hour)));
            let looked: Vec<i64> = outside_in(&blobs).iter().map(|c| c.hour).collect();
            assert_eq!(looked, expected, "{hours:?}");
        }
    }
}
