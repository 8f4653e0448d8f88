use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::ops::ControlFlow;

use super::{Prefix, V4_FIRST, number};

/// Id of a distinct set of values; equal sets have equal ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetId(u32);

impl SetId {
    /// Returns the position of the set in [`PrefixMap::sets`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Limits of a map built from untrusted entries.
#[derive(Debug, Clone, Copy)]
pub struct MapBounds {
    /// Maximum number of entries that contain one address.
    pub depth: usize,
    /// Maximum number of values over all intervals. It limits time and memory.
    pub values: usize,
}

/// Maps an address to every value whose prefix contains it, most specific prefix first.
///
/// Prefixes either nest or are disjoint, so they cut the number line into intervals on which the
/// answer is constant. IPv4 look-ups jump by their upper bits to a block, and search the starts in it if it has any.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixMap<T> {
    /// Distinct results; the first is empty.
    sets: Vec<Vec<T>>,
    /// Starts of the intervals, ascending; the first is 0, so every address lies in one.
    starts: Vec<u128>,
    /// Set of each interval, parallel to `starts`.
    set_of: Vec<SetId>,
    /// IPv4 only: starts as 32-bit numbers, the first is 0.
    v4_starts: Vec<u32>,
    v4_set_of: Vec<SetId>,
    /// Number of IPv4 address bits below the block number.
    v4_shift: u32,
    v4_blocks: Vec<Block>,
}

/// A block of neighbouring IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Block {
    /// Interval that contains the first address.
    from: u32,
    /// Interval that contains the last address.
    to: u32,
}

const V4_LAST: u128 = 0xffff_ffff_ffff;

/// Up to this many intervals, blocks are the upper 8 bits, so that the table fits into the L1 cache. More intervals
/// need 16 bits.
const FEW: usize = 128;

impl<T: Copy + Eq + std::hash::Hash> PrefixMap<T> {
    /// Builds the map. If two entries have the same prefix, the earlier one comes first in the result.
    pub fn new(entries: impl IntoIterator<Item = (Prefix, T)>) -> Self {
        let mut build = Build::new();
        let ControlFlow::<Infallible>::Continue(()) = sweep(entries, |start, open| {
            build.begin(start, open);
            ControlFlow::Continue(())
        });
        build.finish()
    }

    /// Builds the map like [`Self::new`], or returns `None` if that exceeds `bounds`. Used for untrusted entries.
    pub fn bounded(entries: impl IntoIterator<Item = (Prefix, T)>, bounds: MapBounds) -> Option<Self> {
        let mut build = Build::new();
        let mut values = bounds.values;
        let swept = sweep(entries, |start, open| match values.checked_sub(open.len()) {
            Some(left) if open.len() <= bounds.depth => {
                values = left;
                build.begin(start, open);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        });
        swept.is_continue().then(|| build.finish())
    }

    fn with_v4_index(sets: Vec<Vec<T>>, starts: Vec<u128>, set_of: Vec<SetId>) -> Self {
        let from = starts.partition_point(|&s| s <= V4_FIRST) - 1;
        let to = starts.partition_point(|&s| s <= V4_LAST);
        let v4_starts: Vec<u32> = starts[from..to].iter().map(|&s| s.saturating_sub(V4_FIRST) as u32).collect();
        let v4_set_of = set_of[from..to].to_vec();
        let v4_shift = if v4_starts.len() <= FEW { 24 } else { 16 };
        let interval = |bits: u32| (v4_starts.partition_point(|&s| s <= bits) - 1) as u32;
        let block = |upper: u32| Block {
            from: interval(upper << v4_shift),
            to: interval(upper << v4_shift | (u32::MAX >> (32 - v4_shift))),
        };
        let v4_blocks = (0..=u32::MAX >> v4_shift).map(block).collect();
        Self { sets, starts, set_of, v4_starts, v4_set_of, v4_shift, v4_blocks }
    }

    /// Returns the values at `ip`, most specific prefix first.
    pub fn get(&self, ip: IpAddr) -> &[T] {
        self.set(self.find(ip))
    }

    /// Returns the id of the set of values at `ip`.
    pub fn find(&self, ip: IpAddr) -> SetId {
        self.find_number(number(ip))
    }

    /// Like [`Self::find`], by the position on the common number line.
    #[inline]
    pub fn find_number(&self, number: u128) -> SetId {
        if number >> 32 != V4_FIRST >> 32 {
            return self.set_of[self.starts.partition_point(|&s| s <= number) - 1];
        }
        let bits = number as u32;
        let Block { from, to } = self.v4_blocks[(bits >> self.v4_shift) as usize];
        let (from, to) = (from as usize, to as usize);
        if from == to {
            return self.v4_set_of[from];
        }
        self.v4_set_of[from + self.v4_starts[from + 1..=to].partition_point(|&s| s <= bits)]
    }

    /// Returns the values of a set, most specific prefix first.
    pub fn set(&self, id: SetId) -> &[T] {
        &self.sets[id.index()]
    }

    /// Returns every distinct set, ordered by id.
    pub fn sets(&self) -> impl Iterator<Item = &[T]> {
        self.sets.iter().map(Vec::as_slice)
    }
}

/// Walks the number line: calls `begin` at each interval start, ascending, with the entries that contain it, outermost
/// first. At most one interval starts at each position.
fn sweep<T: Copy, B>(
    entries: impl IntoIterator<Item = (Prefix, T)>,
    mut begin: impl FnMut(u128, &[(Prefix, T)]) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut entries: Vec<(Prefix, T)> = entries.into_iter().collect();
    entries.sort_by_key(|(prefix, _)| (prefix.first(), prefix.bits()));
    let mut entries = entries.into_iter().peekable();
    let mut open: Vec<(Prefix, T)> = Vec::new();
    while let Some(entry) = entries.next() {
        open.push(entry);
        let next = entries.peek().map(|(prefix, _)| prefix.first());
        if next != Some(entry.0.first()) {
            begin(entry.0.first(), &open)?;
        }
        // Closes the entries that end before the next prefix, or all at the end.
        while let Some(end) = open.last().map(|(prefix, _)| prefix.last()).filter(|&end| next.is_none_or(|n| end < n)) {
            while open.pop_if(|(prefix, _)| prefix.last() == end).is_some() {}
            match end.checked_add(1) {
                Some(after) if next != Some(after) => begin(after, &open)?,
                _ => {}
            }
        }
    }
    ControlFlow::Continue(())
}

struct Build<T> {
    sets: Vec<Vec<T>>,
    ids: HashMap<Vec<T>, SetId>,
    starts: Vec<u128>,
    set_of: Vec<SetId>,
}

impl<T: Copy + Eq + std::hash::Hash> Build<T> {
    fn new() -> Self {
        Self {
            sets: vec![Vec::new()],
            ids: HashMap::from([(Vec::new(), SetId(0))]),
            starts: vec![0],
            set_of: vec![SetId(0)],
        }
    }

    fn begin(&mut self, start: u128, open: &[(Prefix, T)]) {
        let mut order: Vec<&(Prefix, T)> = open.iter().collect();
        order.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.bits()));
        let set: Vec<T> = order.into_iter().map(|&(_, value)| value).collect();
        let id = *self.ids.entry(set).or_insert_with_key(|set| {
            self.sets.push(set.clone());
            SetId((self.sets.len() - 1) as u32)
        });
        if self.starts.last() == Some(&start) {
            self.set_of.pop();
            self.starts.pop();
        }
        self.starts.push(start);
        self.set_of.push(id);
    }

    fn finish(self) -> PrefixMap<T> {
        PrefixMap::with_v4_index(self.sets, self.starts, self.set_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(entries: &[(Prefix, usize)], ip: IpAddr) -> Vec<usize> {
        let mut hits: Vec<&(Prefix, usize)> = entries.iter().filter(|(p, _)| p.contains(ip)).collect();
        hits.sort_by_key(|(p, _)| std::cmp::Reverse(p.bits()));
        hits.into_iter().map(|(_, value)| *value).collect()
    }

    fn any_ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|n| IpAddr::V4(n.into())),
            (0_u32..2048).prop_map(|n| IpAddr::V4((n << 8).into())),
            any::<u128>().prop_map(super::super::address),
            (0_u128..64).prop_map(|n| super::super::address(V4_FIRST - 32 + n)),
            (0_u128..64).prop_map(|n| super::super::address(V4_LAST - 32 + n)),
        ]
    }

    proptest! {
        #[test]
        fn equals_a_linear_search(
            prefixes in proptest::collection::vec((any_ip(), 0_u8..=128), 0..40),
            ips in proptest::collection::vec(any_ip(), 1..60),
        ) {
            let entries: Vec<(Prefix, usize)> = prefixes
                .iter()
                .enumerate()
                .filter_map(|(i, &(ip, length))| Some((Prefix::around(ip, length)?, i)))
                .collect();
            let map = PrefixMap::new(entries.clone());
            let deepest = map.sets().map(<[usize]>::len).max().unwrap_or_default();
            let bounds = |depth| MapBounds { depth, values: 40 * 80 };
            let bounded = PrefixMap::bounded(entries.clone(), bounds(deepest)).expect("within its bounds");
            prop_assert_eq!(&bounded.starts, &map.starts);
            prop_assert!(deepest == 0 || PrefixMap::bounded(entries.clone(), bounds(deepest - 1)).is_none());
            let edges = entries.iter().flat_map(|(p, _)| [p.first(), p.last()]).map(super::super::address);
            for ip in ips.into_iter().chain(edges) {
                prop_assert_eq!(map.get(ip), naive(&entries, ip), "{}", ip);
            }
        }
    }

    #[test]
    fn equal_prefixes_cost_as_much_as_one_interval() {
        let prefix: Prefix = "192.0.2.0/24".parse().expect("valid");
        let map = PrefixMap::new((0..100_000_u32).map(|i| (prefix, i)));
        assert_eq!(map.sets().map(<[u32]>::len).collect::<Vec<_>>(), [0, 100_000]);
        let many = (0..100_u32).flat_map(|i| {
            let inner = Prefix::around(IpAddr::from([192, 0, 2, i as u8]), 32).expect("valid");
            [(prefix, i), (inner, i)]
        });
        assert!(PrefixMap::bounded(many, MapBounds { depth: 1_000, values: 5_000 }).is_none());
    }
}
