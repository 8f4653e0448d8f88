//! The addresses of a group, each with its number of tuples and their times.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, ListArray, StringViewBuilder, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimestampMillisecondType};

use super::sample::{AddressHasher, Sample, spread};
use super::spans::Hours;
use super::{GroupState, element, list_type};
use crate::net::push_address;
use crate::schema::timestamp;

/// Number of distinct addresses up to which the count is exact.
pub const EXACT_ADDRESSES: usize = 32_768;
/// Number of addresses kept: one more than are counted exactly, so that a full list shows that there were more.
pub const LISTED: usize = EXACT_ADDRESSES + 1;

/// The sum of tuples per distinct address. Above `limit` addresses, the sample keeps those with the smallest hashes.
#[derive(Debug)]
pub struct Addresses {
    sample: Sample<u128, i64>,
    limit: usize,
}

impl Default for Addresses {
    fn default() -> Self {
        Self::bounded(LISTED)
    }
}

impl Addresses {
    /// Creates a sample of up to `limit` addresses. Groups that are merged must have the same limit.
    pub fn bounded(limit: usize) -> Self {
        Self { sample: Sample::default(), limit }
    }

    /// Adds tuples of an address, given as a number.
    pub fn add(&mut self, number: u128, tuples: i64) {
        if let Some(sum) = self.sample.entry(number, self.limit) {
            *sum += tuples;
        }
    }
}

/// Returns the number of distinct addresses in one list of `Addresses`, or in several merged ones. It is exact up to
/// [`EXACT_ADDRESSES`] and an estimate above.
pub fn distinct(listed: &[(u128, i64)]) -> u64 {
    estimate(&listed.iter().map(|&(number, _)| number).collect::<Vec<_>>(), EXACT_ADDRESSES)
}

/// Returns the number of distinct keys behind one sample, or several merged ones, that keeps more than `exact` keys. It
/// is exact up to `exact` keys and an estimate above.
pub fn estimate(kept: &[u128], exact: usize) -> u64 {
    if kept.len() <= exact {
        return kept.len() as u64;
    }
    let mut hashes: Vec<u64> = kept.iter().map(|&number| spread(number)).collect();
    // Up to this hash, none of the merged samples lacks a key.
    let (_, &mut greatest, _) = hashes.select_nth_unstable(exact);
    let share = (greatest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
    (exact as f64 / share).round() as u64
}

/// Returns the texts of addresses as a column.
pub fn address_texts(numbers: impl Iterator<Item = u128>) -> ArrayRef {
    nullable_address_texts(numbers.map(Some))
}

/// Returns the texts of addresses as a column; null for `None`.
pub fn nullable_address_texts(numbers: impl Iterator<Item = Option<u128>>) -> ArrayRef {
    let mut texts = StringViewBuilder::with_capacity(numbers.size_hint().0);
    let mut text = String::new();
    for number in numbers {
        text.clear();
        if let Some(number) = number {
            push_address(number, &mut text);
        }
        texts.append_option(number.map(|_| &text));
    }
    Arc::new(texts.finish())
}

impl GroupState for Addresses {
    type Columns = (Vec<u128>, Vec<i64>);

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("ip", DataType::FixedSizeBinary(16), false),
            Field::new("tuples", DataType::Int64, false),
        ])
    }

    type Parts<'a> = (&'a [[u8; 16]], &'a [i64]);

    fn parts(elements: &StructArray) -> Self::Parts<'_> {
        (bytes(elements.column(0)), elements.column(1).as_primitive::<Int64Type>().values())
    }

    fn merge(&mut self, (ips, tuples): &Self::Parts<'_>, elements: Range<usize>) {
        for i in elements {
            self.add(u128::from_be_bytes(ips[i]), tuples[i]);
        }
    }

    fn append(&self, (ips, tuples): &mut Self::Columns) {
        for (number, sum) in self.sample.smallest(self.limit) {
            ips.push(number);
            tuples.push(*sum);
        }
    }

    fn finish((ips, tuples): Self::Columns) -> Vec<ArrayRef> {
        vec![address_bytes(ips), Arc::new(Int64Array::from(tuples))]
    }

    fn len(&self) -> usize {
        self.sample.len().min(self.limit)
    }

    fn size(&self) -> usize {
        self.sample.size()
    }
}

/// The number of tuples, first time and last time per distinct address at one end of a group's flows. Above `limit`
/// addresses, the sample keeps those with the smallest hashes.
#[derive(Debug)]
pub struct Peers {
    sample: Sample<u128, Course>,
    limit: usize,
}

/// Tuples of a peer. `first` and `last` are valid only if `tuples` is positive.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    tuples: i64,
    first: i64,
    last: i64,
}

impl Course {
    #[inline]
    fn add(&mut self, other: Course) {
        if self.tuples == 0 {
            *self = other;
        } else {
            self.tuples += other.tuples;
            self.first = self.first.min(other.first);
            self.last = self.last.max(other.last);
        }
    }
}

/// Default number of distinct peers per group up to which all are kept.
pub const PEERS: usize = 262_144;

impl Default for Peers {
    fn default() -> Self {
        Self::bounded(PEERS)
    }
}

impl Peers {
    /// Creates a sample of up to `limit` peers. Groups that are merged must have the same limit.
    pub fn bounded(limit: usize) -> Self {
        Self { sample: Sample::default(), limit }
    }

    /// Adds one tuple of the peer whose address has this number.
    #[inline]
    pub fn add(&mut self, number: u128, time: i64) {
        if let Some(course) = self.sample.entry(number, self.limit) {
            course.add(Course { tuples: 1, first: time, last: time });
        }
    }
}

impl GroupState for Peers {
    type Columns = (Vec<u128>, [Vec<i64>; 3]);

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("ip", DataType::FixedSizeBinary(16), false),
            Field::new("tuples", DataType::Int64, false),
            Field::new("first", timestamp(), false),
            Field::new("last", timestamp(), false),
        ])
    }

    type Parts<'a> = (&'a [[u8; 16]], [&'a [i64]; 3]);

    fn parts(elements: &StructArray) -> Self::Parts<'_> {
        let times = |i: usize| &**elements.column(i).as_primitive::<TimestampMillisecondType>().values();
        let tuples = elements.column(1).as_primitive::<Int64Type>().values();
        (bytes(elements.column(0)), [tuples, times(2), times(3)])
    }

    fn merge(&mut self, (ips, [tuples, firsts, lasts]): &Self::Parts<'_>, elements: Range<usize>) {
        for i in elements {
            if let Some(course) = self.sample.entry(u128::from_be_bytes(ips[i]), self.limit) {
                course.add(Course { tuples: tuples[i], first: firsts[i], last: lasts[i] });
            }
        }
    }

    fn append(&self, (ips, [tuples, firsts, lasts]): &mut Self::Columns) {
        for (number, course) in self.sample.smallest(self.limit) {
            ips.push(number);
            tuples.push(course.tuples);
            firsts.push(course.first);
            lasts.push(course.last);
        }
    }

    fn finish((ips, [tuples, firsts, lasts]): Self::Columns) -> Vec<ArrayRef> {
        let times = |times: Vec<i64>| Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"));
        vec![address_bytes(ips), Arc::new(Int64Array::from(tuples)), times(firsts), times(lasts)]
    }

    fn len(&self) -> usize {
        self.sample.len().min(self.limit)
    }

    fn size(&self) -> usize {
        self.sample.size()
    }
}

/// A caller and the local address that it called, both as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub caller: u128,
    pub local: u128,
}

impl AddressHasher for Call {
    /// Hashes only the caller, so that a sample holds all calls of a caller or none.
    fn spread(&self) -> u64 {
        spread(self.caller)
    }
}

impl Hash for Call {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.spread() ^ spread(self.local));
    }
}

/// The hours of the tuples per distinct caller and called address; limited to [`PEERS`] as [`Peers`] are.
#[derive(Debug, Default)]
pub struct Callers(Sample<Call, Hours>);

impl Callers {
    /// Adds one tuple.
    #[inline]
    pub fn add(&mut self, call: Call, time: i64) {
        if let Some(hours) = self.0.entry(call, PEERS) {
            hours.add_time(time);
        }
    }
}

impl GroupState for Callers {
    type Columns = ([Vec<u128>; 2], Vec<usize>, <Hours as GroupState>::Columns);

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("ip", DataType::FixedSizeBinary(16), false),
            Field::new("local", DataType::FixedSizeBinary(16), false),
            Field::new("hours", list_type::<Hours>(), false),
        ])
    }

    type Parts<'a> = ([&'a [[u8; 16]]; 2], &'a [i32], <Hours as GroupState>::Parts<'a>);

    fn parts(elements: &StructArray) -> Self::Parts<'_> {
        let hours = elements.column(2).as_list::<i32>();
        let ends = [0, 1].map(|column| bytes(elements.column(column)));
        (ends, hours.value_offsets(), Hours::parts(hours.values().as_struct()))
    }

    fn merge(&mut self, (ends, offsets, hours): &Self::Parts<'_>, elements: Range<usize>) {
        for i in elements {
            let [caller, local] = ends.map(|bytes| u128::from_be_bytes(bytes[i]));
            if let Some(known) = self.0.entry(Call { caller, local }, PEERS) {
                known.merge(hours, offsets[i] as usize..offsets[i + 1] as usize);
            }
        }
    }

    fn append(&self, ([callers, locals], lengths, columns): &mut Self::Columns) {
        for (call, hours) in self.0.smallest(PEERS) {
            callers.push(call.caller);
            locals.push(call.local);
            lengths.push(hours.len());
            hours.append(columns);
        }
    }

    fn finish((ends, lengths, columns): Self::Columns) -> Vec<ArrayRef> {
        let [callers, locals] = ends.map(address_bytes);
        vec![callers, locals, Arc::new(hour_lists(lengths, columns))]
    }

    fn len(&self) -> usize {
        self.0.len().min(PEERS)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// Returns addresses as a column of 16 bytes each, IPv4 mapped into IPv6.
pub fn address_bytes(numbers: Vec<u128>) -> ArrayRef {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u128::to_be_bytes).collect();
    Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None))
}

/// Returns the addresses of a column of 16 bytes each, as numbers.
pub fn numbers(column: &ArrayRef) -> impl Iterator<Item = u128> {
    bytes(column).iter().map(|bytes| u128::from_be_bytes(*bytes))
}

fn bytes(column: &ArrayRef) -> &[[u8; 16]] {
    column.as_fixed_size_binary().value_data().as_chunks::<16>().0
}

/// Returns lists of hours, of these lengths, as one column.
pub fn hour_lists(lengths: Vec<usize>, columns: <Hours as GroupState>::Columns) -> ListArray {
    let elements = StructArray::new(Hours::fields(), Hours::finish(columns), None);
    ListArray::new(element::<Hours>(), OffsetBuffer::from_lengths(lengths), Arc::new(elements), None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::net::number;

    #[test]
    fn many_addresses_are_estimated_alike_in_any_order() {
        let ips: Vec<u128> = (0..400_000_u32).map(|n| number(Ipv4Addr::from(n * 7 + 1).into())).collect();
        let listed = |order: &mut dyn Iterator<Item = &u128>| {
            let mut kept = Addresses::default();
            order.for_each(|&ip| kept.add(ip, 1));
            let listed = kept.sample.smallest(LISTED).into_iter().map(|(number, &sum)| (number, sum));
            listed.collect::<BTreeMap<_, _>>()
        };
        let forward = listed(&mut ips.iter());
        assert_eq!(forward, listed(&mut ips.iter().rev()));
        assert_eq!(forward.len(), LISTED);
        let listed: Vec<(u128, i64)> = forward.into_iter().collect();
        let estimate = distinct(&listed) as f64;
        assert!((estimate / 400_000.0 - 1.0).abs() < 0.03, "{estimate}");
        assert_eq!(distinct(&listed[..1000]), 1000);
        // Merged with a short list, whose hashes span the whole range.
        let few = (0..1000_u32).map(|n| (number(Ipv4Addr::from(n * 7 + 2).into()), 1));
        let estimate = distinct(&listed.into_iter().chain(few).collect::<Vec<_>>()) as f64;
        assert!((estimate / 401_000.0 - 1.0).abs() < 0.03, "{estimate}");
    }
}
