//! The addresses of a group: how many tuples each had, and when.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, ListArray, StringViewBuilder, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimestampMillisecondType};

use super::sample::{Sample, Spread, spread};
use super::spans::Hours;
use super::{Kept, element, list_type};
use crate::net::push_address;
use crate::schema::timestamp;

/// Up to this many distinct addresses are counted one by one.
pub const EXACT_ADDRESSES: usize = 32_768;
/// One more than are counted one by one, so that a full list tells that there were more.
pub const LISTED: usize = EXACT_ADDRESSES + 1;

/// Each distinct address with the sum of its tuples; of more than [`EXACT_ADDRESSES`], those with the
/// smallest hashes.
#[derive(Debug, Default)]
pub struct Addresses(Sample<u128, i64>);

impl Addresses {
    /// `number` is the address on the common number line.
    pub fn add(&mut self, number: u128, tuples: i64) {
        if let Some(sum) = self.0.entry(number, LISTED) {
            *sum += tuples;
        }
    }
}

/// Returns how many distinct addresses there were, from those that `Addresses` lists, or several of them together: exact
/// while all are listed.
pub fn distinct(listed: &[(u128, i64)]) -> u64 {
    if listed.len() <= EXACT_ADDRESSES {
        return listed.len() as u64;
    }
    let mut hashes: Vec<u64> = listed.iter().map(|&(number, _)| spread(number)).collect();
    // Of several lists together, none lacks an address up to this hash.
    let (_, &mut greatest, _) = hashes.select_nth_unstable(EXACT_ADDRESSES);
    let share = (greatest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
    (EXACT_ADDRESSES as f64 / share).round() as u64
}

/// Returns the text of addresses as a column.
pub fn address_texts(numbers: impl Iterator<Item = u128>) -> ArrayRef {
    nullable_address_texts(numbers.map(Some))
}

/// As [`address_texts`], null where there is no address.
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

impl Kept for Addresses {
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
        for (number, sum) in self.0.smallest(LISTED) {
            ips.push(number);
            tuples.push(*sum);
        }
    }

    fn finish((ips, tuples): Self::Columns) -> Vec<ArrayRef> {
        vec![address_bytes(ips), Arc::new(Int64Array::from(tuples))]
    }

    fn len(&self) -> usize {
        self.0.len().min(LISTED)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// Each distinct address at one end of a group's flows, with the number of its tuples, the first time and the last; of
/// more than a limit, those with the smallest hashes.
#[derive(Debug)]
pub struct Peers {
    sample: Sample<u128, Course>,
    limit: usize,
}

/// When a peer was seen; without tuples it was not.
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

/// Up to this many distinct peers of a group are all kept.
pub const PEERS: usize = 262_144;

impl Default for Peers {
    fn default() -> Self {
        Self::bounded(PEERS)
    }
}

impl Peers {
    /// Of more than `limit` peers not all are kept; groups that are merged have the same limit.
    pub fn bounded(limit: usize) -> Self {
        Self { sample: Sample::default(), limit }
    }

    /// Takes in one tuple of the peer at `number` on the common number line.
    #[inline]
    pub fn add(&mut self, number: u128, time: i64) {
        if let Some(course) = self.sample.entry(number, self.limit) {
            course.add(Course { tuples: 1, first: time, last: time });
        }
    }
}

impl Kept for Peers {
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

/// Who called which address of the scope. Both are positions on the common number line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub caller: u128,
    pub local: u128,
}

impl Spread for Call {
    /// Equal for all calls of a caller, so that a sample holds all of them or none.
    fn spread(&self) -> u64 {
        spread(self.caller)
    }
}

impl Hash for Call {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.spread() ^ spread(self.local));
    }
}

/// Each distinct caller of a group and whom it called, with the hours of the tuples; bounded as [`Peers`] are.
#[derive(Debug, Default)]
pub struct Callers(Sample<Call, Hours>);

impl Callers {
    /// Takes in one tuple.
    #[inline]
    pub fn add(&mut self, call: Call, time: i64) {
        if let Some(hours) = self.0.entry(call, PEERS) {
            hours.add_time(time);
        }
    }
}

impl Kept for Callers {
    type Columns = ([Vec<u128>; 2], Vec<usize>, <Hours as Kept>::Columns);

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("ip", DataType::FixedSizeBinary(16), false),
            Field::new("local", DataType::FixedSizeBinary(16), false),
            Field::new("hours", list_type::<Hours>(), false),
        ])
    }

    type Parts<'a> = ([&'a [[u8; 16]]; 2], &'a [i32], <Hours as Kept>::Parts<'a>);

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

/// Returns addresses as 16 bytes each, IPv4 mapped into IPv6.
pub fn address_bytes(numbers: Vec<u128>) -> ArrayRef {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u128::to_be_bytes).collect();
    Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None))
}

/// Returns the addresses of a column of 16 bytes each.
pub fn numbers(column: &ArrayRef) -> impl Iterator<Item = u128> {
    bytes(column).iter().map(|bytes| u128::from_be_bytes(*bytes))
}

fn bytes(column: &ArrayRef) -> &[[u8; 16]] {
    column.as_fixed_size_binary().value_data().as_chunks::<16>().0
}

/// Returns lists of hours, of these lengths, as one column.
pub fn hour_lists(lengths: Vec<usize>, columns: <Hours as Kept>::Columns) -> ListArray {
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
            let listed = kept.0.smallest(LISTED).into_iter().map(|(number, &sum)| (number, sum));
            listed.collect::<BTreeMap<_, _>>()
        };
        let forward = listed(&mut ips.iter());
        assert_eq!(forward, listed(&mut ips.iter().rev()));
        assert_eq!(forward.len(), LISTED);
        let listed: Vec<(u128, i64)> = forward.into_iter().collect();
        let estimate = distinct(&listed) as f64;
        assert!((estimate / 400_000.0 - 1.0).abs() < 0.03, "{estimate}");
        assert_eq!(distinct(&listed[..1000]), 1000);
        // Together with a short list, whose hashes go up to the end.
        let few = (0..1000_u32).map(|n| (number(Ipv4Addr::from(n * 7 + 2).into()), 1));
        let estimate = distinct(&listed.into_iter().chain(few).collect::<Vec<_>>()) as f64;
        assert!((estimate / 401_000.0 - 1.0).abs() < 0.03, "{estimate}");
    }
}
