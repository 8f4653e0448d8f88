//! What a group of flows keeps, small however many flows it has: its hours, and its addresses.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StringViewBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMillisecondType};

use crate::net::{address, number, parse_ip};
use crate::schema::timestamp;
use crate::source::hour_of;

/// What one group keeps, and the list that it travels as.
pub trait Kept: Default + Debug + Send + Sync + 'static {
    /// Of the elements of the list.
    fn fields() -> Fields;
    /// Takes in what another group kept.
    fn merge(&mut self, elements: &StructArray);
    fn append(&self, columns: &mut Self::Columns);
    type Columns: Default;
    fn finish(columns: Self::Columns) -> Vec<ArrayRef>;
    /// Elements of the list.
    fn len(&self) -> usize;
    /// Bytes beyond its own.
    fn size(&self) -> usize;
}

/// A list of what `K` keeps.
pub fn list_type<K: Kept>() -> DataType {
    DataType::List(element::<K>())
}

fn element<K: Kept>() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(K::fields()), false))
}

/// The list of each group.
pub fn lists<'a, K: Kept>(groups: impl Iterator<Item = &'a K> + Clone) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(groups.clone().map(K::len));
    let mut columns = K::Columns::default();
    groups.for_each(|group| group.append(&mut columns));
    let elements = StructArray::new(K::fields(), K::finish(columns), None);
    Arc::new(ListArray::new(element::<K>(), offsets, Arc::new(elements), None))
}

/// Per hour, ascending, the number of tuples, the first time and the last.
#[derive(Debug, Default)]
pub struct Hours {
    /// Where the last tuple went: the next one most likely goes there too.
    latest: Hour,
    /// All others, ascending.
    others: Vec<Hour>,
}

/// Without tuples it is none.
#[derive(Debug, Clone, Copy, Default)]
struct Hour {
    hour: i64,
    tuples: i64,
    first: i64,
    last: i64,
}

const HOUR_MS: i64 = 3_600_000;

impl Hours {
    /// Takes in one tuple.
    #[inline(always)]
    pub fn add_time(&mut self, time: i64) {
        let latest = &mut self.latest;
        if latest.tuples > 0 && (time.wrapping_sub(latest.hour) as u64) < HOUR_MS as u64 {
            latest.tuples += 1;
            latest.first = latest.first.min(time);
            latest.last = latest.last.max(time);
        } else {
            self.add(Hour { hour: hour_of(time), tuples: 1, first: time, last: time });
        }
    }

    /// Takes in an hour, which is the latest from then on.
    #[inline(never)]
    fn add(&mut self, new: Hour) {
        if self.latest.tuples > 0 && self.latest.hour != new.hour {
            let place = self.others.partition_point(|h| h.hour < self.latest.hour);
            if self.others.is_empty() {
                self.others.reserve_exact(1);
            }
            self.others.insert(place, self.latest);
            self.latest = match self.others.binary_search_by_key(&new.hour, |h| h.hour) {
                Ok(known) => self.others.remove(known),
                Err(_) => Hour::default(),
            };
        }
        if self.latest.tuples == 0 {
            self.latest = new;
            return;
        }
        self.latest.tuples += new.tuples;
        self.latest.first = self.latest.first.min(new.first);
        self.latest.last = self.latest.last.max(new.last);
    }

    /// All hours, ascending.
    fn all(&self) -> impl Iterator<Item = &Hour> {
        let place = self.others.partition_point(|h| h.hour < self.latest.hour);
        let (before, behind) = self.others.split_at(place);
        let latest = (self.latest.tuples > 0).then_some(&self.latest);
        before.iter().chain(latest).chain(behind)
    }
}

impl Kept for Hours {
    type Columns = [Vec<i64>; 4];

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("hour", timestamp(), false),
            Field::new("tuples", DataType::Int64, false),
            Field::new("first", timestamp(), false),
            Field::new("last", timestamp(), false),
        ])
    }

    fn merge(&mut self, elements: &StructArray) {
        let times = |i: usize| elements.column(i).as_primitive::<TimestampMillisecondType>();
        let tuples = elements.column(1).as_primitive::<Int64Type>();
        for i in 0..elements.len() {
            let (hour, first, last) = (times(0).value(i), times(2).value(i), times(3).value(i));
            self.add(Hour { hour, tuples: tuples.value(i), first, last });
        }
    }

    fn append(&self, [hours, tuples, firsts, lasts]: &mut Self::Columns) {
        for hour in self.all() {
            hours.push(hour.hour);
            tuples.push(hour.tuples);
            firsts.push(hour.first);
            lasts.push(hour.last);
        }
    }

    fn finish([hours, tuples, firsts, lasts]: Self::Columns) -> Vec<ArrayRef> {
        let times = |times| Arc::new(TimestampMillisecondArray::new(times, None).with_timezone("UTC"));
        vec![times(hours.into()), Arc::new(Int64Array::from(tuples)), times(firsts.into()), times(lasts.into())]
    }

    fn len(&self) -> usize {
        self.others.len() + usize::from(self.latest.tuples > 0)
    }

    fn size(&self) -> usize {
        self.others.capacity() * size_of::<Hour>()
    }
}

/// Each distinct address with the sum of its tuples, in the order of a hash.
///
/// Of more than [`ADDRESSES`] only those with the smallest hashes are kept. Which these are depends on the
/// addresses alone, so order and threads never show; their sums are exact.
#[derive(Debug, Default)]
pub struct Addresses {
    /// While there are few: most groups never have more.
    few: Vec<(u128, i64)>,
    many: Option<Box<Many>>,
}

const FEW: usize = 8;

#[derive(Debug, Default)]
struct Many {
    tuples: HashMap<u128, i64, BuildHasherDefault<Spread>>,
    /// Addresses with a greater hash are out; `None` while all fit.
    limit: Option<u64>,
}

/// More distinct addresses than this are not listed one by one.
pub const ADDRESSES: usize = 4096;

/// Spreads addresses evenly; the same on every machine.
fn hash(number: u128) -> u64 {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    mix(mix(number as u64).wrapping_add((number >> 64) as u64).wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// [`hash`] as the hasher of a map.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = hash(u128::from(self.0) << 8 | u128::from(byte));
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = hash(number);
    }
}

impl Addresses {
    /// `number` is the address on the common number line.
    pub fn add(&mut self, number: u128, tuples: i64) {
        if let Some(many) = &mut self.many {
            return many.add(number, tuples);
        }
        if let Some((_, sum)) = self.few.iter_mut().find(|(known, _)| *known == number) {
            *sum += tuples;
        } else if self.few.len() < FEW {
            if self.few.is_empty() {
                self.few.reserve_exact(1);
            }
            self.few.push((number, tuples));
        } else {
            let many = self.many.insert(Box::default());
            std::mem::take(&mut self.few).into_iter().for_each(|(number, tuples)| many.add(number, tuples));
            many.add(number, tuples);
        }
    }

    /// At most [`ADDRESSES`], by hash.
    fn smallest(&self) -> impl Iterator<Item = (u128, i64)> {
        let many = self.many.iter().flat_map(|many| many.tuples.iter().map(|(&number, &tuples)| (number, tuples)));
        smallest(self.few.iter().copied().chain(many)).into_iter().map(|(_, number, tuples)| (number, tuples))
    }
}

impl Many {
    fn add(&mut self, number: u128, tuples: i64) {
        if self.limit.is_some_and(|limit| hash(number) > limit) {
            return;
        }
        *self.tuples.entry(number).or_default() += tuples;
        // A little late, so that pruning is rare and the map still small.
        if self.tuples.len() > ADDRESSES + ADDRESSES / 2 {
            let kept = smallest(self.tuples.drain());
            self.limit = kept.last().map(|&(hash, ..)| hash);
            self.tuples.extend(kept.into_iter().map(|(_, number, tuples)| (number, tuples)));
        }
    }
}

/// At most [`ADDRESSES`], with their hashes and in their order.
fn smallest(all: impl Iterator<Item = (u128, i64)>) -> Vec<(u64, u128, i64)> {
    let mut all: Vec<_> = all.map(|(number, tuples)| (hash(number), number, tuples)).collect();
    if all.len() > ADDRESSES {
        all.select_nth_unstable(ADDRESSES);
        all.truncate(ADDRESSES);
    }
    all.sort_unstable();
    all
}

/// How many distinct addresses there were, from those that `addresses` lists: exact while all are listed.
pub fn distinct(listed: &[IpAddr]) -> u64 {
    if listed.len() < ADDRESSES {
        return listed.len() as u64;
    }
    let greatest = listed.iter().map(|&ip| hash(number(ip))).max().unwrap_or(u64::MAX);
    let share = (greatest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
    ((listed.len() - 1) as f64 / share).round() as u64
}

impl Kept for Addresses {
    type Columns = (StringViewBuilder, Vec<i64>);

    fn fields() -> Fields {
        Fields::from(vec![Field::new("ip", DataType::Utf8View, false), Field::new("tuples", DataType::Int64, false)])
    }

    fn merge(&mut self, elements: &StructArray) {
        let (ips, tuples) = (elements.column(0).as_string_view(), elements.column(1).as_primitive::<Int64Type>());
        for (ip, &tuples) in ips.iter().zip(tuples.values()) {
            if let Some(ip) = ip.and_then(parse_ip) {
                self.add(number(ip), tuples);
            }
        }
    }

    fn append(&self, (ips, tuples): &mut Self::Columns) {
        let mut text = String::new();
        for (number, sum) in self.smallest() {
            text.clear();
            // Cannot fail: it writes to memory.
            let _ = write!(text, "{}", address(number));
            ips.append_value(&text);
            tuples.push(sum);
        }
    }

    fn finish((mut ips, tuples): Self::Columns) -> Vec<ArrayRef> {
        vec![Arc::new(ips.finish()), Arc::new(Int64Array::from(tuples))]
    }

    fn len(&self) -> usize {
        (self.few.len() + self.many.as_ref().map_or(0, |many| many.tuples.len())).min(ADDRESSES)
    }

    fn size(&self) -> usize {
        let many = self.many.as_ref().map_or(0, |many| many.tuples.capacity() * 8 / 7 + size_of::<Many>());
        (self.few.capacity() + many) * size_of::<(u128, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_addresses_are_estimated_alike_in_any_order() {
        let ips: Vec<IpAddr> = (0..100_000_u32).map(|n| IpAddr::V4((n * 7 + 1).into())).collect();
        let listed = |order: &mut dyn Iterator<Item = &IpAddr>| {
            let mut kept = Addresses::default();
            order.for_each(|&ip| kept.add(number(ip), 1));
            kept.smallest().collect::<Vec<_>>()
        };
        let forward = listed(&mut ips.iter());
        assert_eq!(forward, listed(&mut ips.iter().rev()));
        assert_eq!(forward.len(), ADDRESSES);
        let listed: Vec<IpAddr> = forward.iter().map(|&(number, _)| address(number)).collect();
        let estimate = distinct(&listed) as f64;
        assert!((estimate / 100_000.0 - 1.0).abs() < 0.05, "{estimate}");
        assert_eq!(distinct(&ips[..1000]), 1000);
    }
}
