//! The addresses of a group: how many tuples each had, and when.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, ListArray, StringViewBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};

use super::sample::{Sample, spread};
use super::spans::Hours;
use super::{Kept, element, list_type};
use crate::net::{address, number, parse_ip};

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

/// Returns how many distinct addresses there were, from those that [`Addresses`] lists, or several of them together: exact
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

/// Each distinct peer of a group with the hours of its tuples, in the order of a hash; of more than a limit, those with the
/// smallest hashes.
#[derive(Debug)]
pub struct Peers {
    sample: Sample<u128, Hours>,
    limit: usize,
}

impl Default for Peers {
    fn default() -> Self {
        Self::bounded(Self::LIMIT)
    }
}

impl Peers {
    /// Up to this many distinct peers are all kept.
    pub const LIMIT: usize = 262_144;

    /// Of more than `limit` peers not all are kept; groups that are merged have the same limit.
    pub fn bounded(limit: usize) -> Self {
        Self { sample: Sample::default(), limit }
    }

    /// Takes in one tuple of the peer at `number` on the common number line.
    #[inline]
    pub fn add(&mut self, number: u128, time: i64) {
        if let Some(hours) = self.sample.entry(number, self.limit) {
            hours.add_time(time);
        }
    }
}

impl Kept for Peers {
    type Columns = (Vec<u128>, Vec<i64>, Vec<usize>, <Hours as Kept>::Columns);

    fn fields() -> Fields {
        let hours = Field::new("hours", list_type::<Hours>(), false);
        Addresses::fields().iter().cloned().chain([Arc::new(hours)]).collect()
    }

    fn merge(&mut self, elements: &StructArray) {
        let (ips, hours) = (elements.column(0).as_string_view(), elements.column(2).as_list::<i32>());
        for (row, ip) in ips.iter().enumerate() {
            if let Some(ip) = ip.and_then(parse_ip)
                && let Some(known) = self.sample.entry(number(ip), self.limit)
            {
                known.merge(hours.value(row).as_struct());
            }
        }
    }

    fn append(&self, (ips, tuples, lengths, columns): &mut Self::Columns) {
        for (number, hours) in self.sample.smallest(self.limit) {
            ips.push(number);
            tuples.push(hours.tuples());
            lengths.push(hours.len());
            hours.append(columns);
        }
    }

    fn finish((ips, tuples, lengths, columns): Self::Columns) -> Vec<ArrayRef> {
        let hours = Arc::new(hour_lists(lengths, columns));
        vec![address_texts(ips.into_iter()), Arc::new(Int64Array::from(tuples)), hours]
    }

    fn len(&self) -> usize {
        self.sample.len().min(self.limit)
    }

    fn size(&self) -> usize {
        self.sample.size() + self.sample.iter().map(|(_, hours)| hours.size()).sum::<usize>()
    }
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
