//! The addresses of a group: how many tuples each had, and when.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, ListArray, StringViewBuilder, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimestampMillisecondType};

use super::sample::{Sample, spread};
use super::spans::Hours;
use super::{Kept, element, list_type};
use crate::net::{address, number, parse_ip};
use crate::schema::timestamp;

/// Up to this many distinct addresses are counted one by one.
pub const EXACT_ADDRESSES: usize = 32_768;
/// One more than are counted one by one, so that a full list tells that there were more.
const LISTED: usize = EXACT_ADDRESSES + 1;

/// Each distinct address with the sum of its tuples, in the order of a hash; of more than [`EXACT_ADDRESSES`], those with the
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
pub fn distinct(listed: &[IpAddr]) -> u64 {
    if listed.len() <= EXACT_ADDRESSES {
        return listed.len() as u64;
    }
    let mut hashes: Vec<u64> = listed.iter().map(|&ip| spread(number(ip))).collect();
    // Of several lists together, none lacks an address up to this hash.
    let (_, &mut greatest, _) = hashes.select_nth_unstable(EXACT_ADDRESSES);
    let share = (greatest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
    (EXACT_ADDRESSES as f64 / share).round() as u64
}

/// Returns the text of addresses as a column.
pub fn address_texts(numbers: impl Iterator<Item = u128>) -> ArrayRef {
    let mut texts = StringViewBuilder::new();
    numbers.for_each(|number| texts.append_value(address(number).to_string()));
    Arc::new(texts.finish())
}

impl Kept for Addresses {
    type Columns = (Vec<u128>, Vec<i64>);

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
        for (number, sum) in self.0.smallest(LISTED) {
            ips.push(number);
            tuples.push(*sum);
        }
    }

    fn finish((ips, tuples): Self::Columns) -> Vec<ArrayRef> {
        vec![address_texts(ips.into_iter()), Arc::new(Int64Array::from(tuples))]
    }

    fn len(&self) -> usize {
        self.0.len().min(LISTED)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// Each distinct peer of a group with the number of its tuples, the first time and the last, in the order of a hash; of more
/// than a limit, those with the smallest hashes.
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

    fn merge(&mut self, elements: &StructArray) {
        let tuples = elements.column(1).as_primitive::<Int64Type>().values();
        let times = |i: usize| elements.column(i).as_primitive::<TimestampMillisecondType>().values();
        let (firsts, lasts) = (times(2), times(3));
        for (row, number) in numbers(elements.column(0)).enumerate() {
            if let Some(course) = self.sample.entry(number, self.limit) {
                course.add(Course { tuples: tuples[row], first: firsts[row], last: lasts[row] });
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

/// Each distinct caller of a group with the hours of its tuples; bounded as [`Peers`] are.
#[derive(Debug, Default)]
pub struct Callers(Sample<u128, Hours>);

impl Callers {
    /// Takes in one tuple of the caller at `number` on the common number line.
    #[inline]
    pub fn add(&mut self, number: u128, time: i64) {
        if let Some(hours) = self.0.entry(number, PEERS) {
            hours.add_time(time);
        }
    }
}

impl Kept for Callers {
    type Columns = (Vec<u128>, Vec<usize>, <Hours as Kept>::Columns);

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("ip", DataType::FixedSizeBinary(16), false),
            Field::new("hours", list_type::<Hours>(), false),
        ])
    }

    fn merge(&mut self, elements: &StructArray) {
        let hours = elements.column(1).as_list::<i32>();
        for (row, number) in numbers(elements.column(0)).enumerate() {
            if let Some(known) = self.0.entry(number, PEERS) {
                known.merge(hours.value(row).as_struct());
            }
        }
    }

    fn append(&self, (ips, lengths, columns): &mut Self::Columns) {
        for (number, hours) in self.0.smallest(PEERS) {
            ips.push(number);
            lengths.push(hours.len());
            hours.append(columns);
        }
    }

    fn finish((ips, lengths, columns): Self::Columns) -> Vec<ArrayRef> {
        vec![address_bytes(ips), Arc::new(hour_lists(lengths, columns))]
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
pub fn numbers(bytes: &ArrayRef) -> impl Iterator<Item = u128> {
    bytes.as_fixed_size_binary().value_data().as_chunks::<16>().0.iter().map(|bytes| u128::from_be_bytes(*bytes))
}

/// Returns lists of hours, of these lengths, as one column.
pub fn hour_lists(lengths: Vec<usize>, columns: <Hours as Kept>::Columns) -> ListArray {
    let elements = StructArray::new(Hours::fields(), Hours::finish(columns), None);
    ListArray::new(element::<Hours>(), OffsetBuffer::from_lengths(lengths), Arc::new(elements), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_addresses_are_estimated_alike_in_any_order() {
        let ips: Vec<IpAddr> = (0..400_000_u32).map(|n| IpAddr::V4((n * 7 + 1).into())).collect();
        let listed = |order: &mut dyn Iterator<Item = &IpAddr>| {
            let mut kept = Addresses::default();
            order.for_each(|&ip| kept.add(number(ip), 1));
            kept.0.smallest(LISTED).into_iter().map(|(number, &sum)| (number, sum)).collect::<Vec<_>>()
        };
        let forward = listed(&mut ips.iter());
        assert_eq!(forward, listed(&mut ips.iter().rev()));
        assert_eq!(forward.len(), LISTED);
        let listed: Vec<IpAddr> = forward.iter().map(|&(number, _)| address(number)).collect();
        let estimate = distinct(&listed) as f64;
        assert!((estimate / 400_000.0 - 1.0).abs() < 0.03, "{estimate}");
        assert_eq!(distinct(&ips[..1000]), 1000);
        // Together with a short list, whose hashes go up to the end.
        let few = (0..1000_u32).map(|n| IpAddr::V4((n * 7 + 2).into()));
        let estimate = distinct(&listed.into_iter().chain(few).collect::<Vec<_>>()) as f64;
        assert!((estimate / 401_000.0 - 1.0).abs() < 0.03, "{estimate}");
    }
}
