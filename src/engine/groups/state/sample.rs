//! A map of bounded size whose final entries do not depend on the order of insertion.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A key whose hash is uniform and the same on every machine. Its [`Hash`] writes only [`AddressHasher::spread`], perhaps
/// mixed with a part of the key that `spread` ignores.
pub trait AddressHasher: Copy + Ord + Hash {
    fn spread(&self) -> u64;
}

/// Returns the hash of an address, given as a number.
pub fn spread(number: u128) -> u64 {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    mix(mix(number as u64).wrapping_add((number >> 64) as u64).wrapping_add(0x9e37_79b9_7f4a_7c15))
}

impl AddressHasher for u128 {
    fn spread(&self) -> u64 {
        spread(*self)
    }
}

/// Hasher of [`AddressHasher`] keys. A written `u64` is the hash itself.
#[derive(Debug, Default)]
pub struct Spreading(u64);

impl Hasher for Spreading {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = spread(u128::from(self.0) << 8 | u128::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = spread(number);
    }
}

/// A map of limited size. Above the limit, it keeps the entries with the smallest hashes.
///
/// The kept entries depend only on the keys, not on their order or on threads. Their values are complete, because an
/// entry that is kept at the end was never dropped before.
#[derive(Debug)]
pub struct Sample<K, V> {
    /// Entries while there are at most [`FEW`], as in most samples.
    few: Vec<(K, V)>,
    many: Option<Box<Many<K, V>>>,
}

const FEW: usize = 8;

#[derive(Debug)]
struct Many<K, V> {
    entries: HashMap<K, V, BuildHasherDefault<Spreading>>,
    /// Greatest hash that is still kept; `None` before the first pruning.
    limit: Option<u64>,
}

impl<K, V> Default for Sample<K, V> {
    fn default() -> Self {
        Self { few: Vec::new(), many: None }
    }
}

impl<K: AddressHasher, V: Default> Sample<K, V> {
    /// Returns the value of `key`, inserting a default if it is new. Returns `None` if the key is not among the `limit`
    /// smallest. All calls on one sample must pass the same limit.
    #[inline]
    pub fn entry(&mut self, key: K, limit: usize) -> Option<&mut V> {
        if self.many.is_none() {
            if let Some(place) = self.few.iter().position(|(known, _)| *known == key) {
                return Some(&mut self.few[place].1);
            }
            if self.few.len() < FEW {
                if self.few.is_empty() {
                    self.few.reserve_exact(1);
                }
                self.few.push((key, V::default()));
                return self.few.last_mut().map(|(_, value)| value);
            }
            let entries = std::mem::take(&mut self.few).into_iter().collect();
            self.many = Some(Box::new(Many { entries, limit: None }));
        }
        self.many.as_mut()?.entry(key, limit)
    }

    /// Returns the `limit` entries with the smallest hashes, in no order.
    pub fn smallest(&self, limit: usize) -> Vec<(K, &V)> {
        let mut all: Vec<(K, &V)> = self.iter().map(|(key, value)| (*key, value)).collect();
        if all.len() > limit {
            all.select_nth_unstable_by_key(limit, |&(key, _)| (key.spread(), key));
            all.truncate(limit);
        }
        all
    }

    /// Returns whether there were more keys than `limit`.
    pub fn is_cut(&self, limit: usize) -> bool {
        self.many.as_ref().is_some_and(|many| many.limit.is_some() || many.entries.len() > limit)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let many = self.many.iter().flat_map(|many| many.entries.iter());
        self.few.iter().map(|(key, value)| (key, value)).chain(many)
    }

    pub fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.entries.len())
    }

    /// Returns the bytes on the heap, without those that values own.
    pub fn size(&self) -> usize {
        let many = self.many.as_ref().map_or(0, |many| many.entries.capacity() * 8 / 7 + 1);
        (self.few.capacity() + many) * size_of::<(K, V)>()
    }
}

impl<K: AddressHasher, V: Default> Many<K, V> {
    fn entry(&mut self, key: K, limit: usize) -> Option<&mut V> {
        if self.limit.is_some_and(|greatest| key.spread() > greatest) {
            return None;
        }
        // Prunes only at 1.5 times the limit, so that pruning is rare and the map still small.
        if self.entries.len() > limit + limit / 2 && !self.entries.contains_key(&key) {
            self.prune(limit);
            if self.limit.is_some_and(|greatest| key.spread() > greatest) {
                return None;
            }
        }
        Some(self.entries.entry(key).or_default())
    }

    fn prune(&mut self, limit: usize) {
        let mut all: Vec<(u64, K, V)> = self.entries.drain().map(|(key, value)| (key.spread(), key, value)).collect();
        all.select_nth_unstable_by_key(limit - 1, |&(hash, key, _)| (hash, key));
        all.truncate(limit);
        self.limit = all.last().map(|&(hash, ..)| hash);
        self.entries.extend(all.into_iter().map(|(_, key, value)| (key, value)));
    }
}
