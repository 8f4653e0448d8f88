//! Aggregates that keep a group small however many flows it has: `hourly(time)` and `addresses(ip, tuples)`.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringViewArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMillisecondType};
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::net::{address, number, parse_ip};
use crate::schema::timestamp;
use crate::source::hour_of;

/// The aggregates of a session.
pub fn all() -> Vec<AggregateUDF> {
    vec![grouped::<Hourly>(), grouped::<Addresses>()]
}

/// What one group keeps.
trait Kept: Default + Debug + Send + Sync + 'static {
    const NAME: &'static str;

    fn arguments() -> Vec<DataType>;
    /// Fields of the elements of the list that a group is, on its way and at its end.
    fn fields() -> Fields;
    fn update(groups: &mut [Self], values: &[ArrayRef], rows: impl Iterator<Item = (usize, usize)>);
    fn merge(&mut self, elements: &StructArray);
    /// The list of one group.
    fn append(&self, columns: &mut Self::Columns);
    type Columns: Default;
    fn finish(columns: Self::Columns) -> Vec<ArrayRef>;
    fn len(&self) -> usize;
    fn size(&self) -> usize;
}

/// The aggregate over any [`Kept`]; only with GROUP BY.
#[derive(Debug)]
struct Grouped<K: Kept> {
    signature: Signature,
    kept: std::marker::PhantomData<K>,
}

fn grouped<K: Kept>() -> AggregateUDF {
    let signature = Signature::exact(K::arguments(), Volatility::Immutable);
    AggregateUDF::from(Grouped::<K> { signature, kept: std::marker::PhantomData })
}

impl<K: Kept> PartialEq for Grouped<K> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<K: Kept> Eq for Grouped<K> {}

impl<K: Kept> Hash for Grouped<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        K::NAME.hash(state);
    }
}

fn element<K: Kept>() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(K::fields()), false))
}

impl<K: Kept> AggregateUDFImpl for Grouped<K> {
    fn name(&self) -> &str {
        K::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(element::<K>()))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("kept", DataType::List(element::<K>()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("{} without GROUP BY", K::NAME)
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::<K> { groups: Vec::new() }))
    }
}

struct Groups<K: Kept> {
    groups: Vec<K>,
}

impl<K: Kept> Groups<K> {
    fn emit(&mut self, emit_to: EmitTo) -> ArrayRef {
        let groups = emit_to.take_needed(&mut self.groups);
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(K::len));
        let mut columns = K::Columns::default();
        groups.iter().for_each(|group| group.append(&mut columns));
        let elements = StructArray::new(K::fields(), K::finish(columns), None);
        Arc::new(ListArray::new(element::<K>(), offsets, Arc::new(elements), None))
    }

    fn grow(&mut self, total: usize) {
        self.groups.resize_with(total.max(self.groups.len()), K::default);
    }
}

impl<K: Kept> GroupsAccumulator for Groups<K> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let wanted = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let rows = group_indices.iter().copied().enumerate().filter(|&(row, _)| wanted(row));
        K::update(&mut self.groups, values, rows);
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        for (row, &group) in group_indices.iter().enumerate().filter(|&(row, _)| lists.is_valid(row)) {
            self.groups[group].merge(lists.value(row).as_struct());
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit_to))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Groups::<K> { groups: Vec::new() };
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|group| size_of::<K>() + group.size()).sum()
    }
}

/// `hourly(time)`: per hour, ascending, the number of tuples, the first time and the last.
#[derive(Debug, Default)]
struct Hourly {
    hours: Vec<Hour>,
    /// Where the last tuple went: the next one most likely goes there too.
    last: usize,
}

#[derive(Debug, Clone, Copy)]
struct Hour {
    hour: i64,
    tuples: i64,
    first: i64,
    last: i64,
}

impl Hourly {
    fn add(&mut self, time: Hour) {
        if self.hours.get(self.last).is_none_or(|h| h.hour != time.hour) {
            self.last = self.hours.partition_point(|h| h.hour < time.hour);
            if self.hours.get(self.last).is_none_or(|h| h.hour != time.hour) {
                self.hours.insert(self.last, time);
                return;
            }
        }
        let hour = &mut self.hours[self.last];
        hour.tuples += time.tuples;
        hour.first = hour.first.min(time.first);
        hour.last = hour.last.max(time.last);
    }
}

impl Kept for Hourly {
    const NAME: &'static str = "hourly";
    type Columns = [Vec<i64>; 4];

    fn arguments() -> Vec<DataType> {
        vec![timestamp()]
    }

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("hour", timestamp(), false),
            Field::new("tuples", DataType::Int64, false),
            Field::new("first", timestamp(), false),
            Field::new("last", timestamp(), false),
        ])
    }

    fn update(groups: &mut [Self], values: &[ArrayRef], rows: impl Iterator<Item = (usize, usize)>) {
        let times = values[0].as_primitive::<TimestampMillisecondType>();
        for (row, group) in rows {
            let time = times.value(row);
            groups[group].add(Hour { hour: hour_of(time), tuples: 1, first: time, last: time });
        }
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
        for hour in &self.hours {
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
        self.hours.len()
    }

    fn size(&self) -> usize {
        self.hours.capacity() * size_of::<Hour>()
    }
}

/// `addresses(ip, tuples)`: each distinct address with the sum of its tuples, in the order of a hash.
///
/// Of more than [`ADDRESSES`] only those with the smallest hashes are kept. Which these are depends on the
/// addresses alone, so order and threads never show; their sums are exact.
#[derive(Debug, Default)]
struct Addresses {
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
    fn add(&mut self, ip: IpAddr, tuples: i64) {
        let number = number(ip);
        if self.limit.is_some_and(|limit| hash(number) > limit) {
            return;
        }
        *self.tuples.entry(number).or_default() += tuples;
        // A little late, so that pruning is rare and the map still small.
        if self.tuples.len() > ADDRESSES + ADDRESSES / 4 {
            self.prune();
        }
    }

    fn prune(&mut self) {
        let kept = self.smallest();
        self.limit = kept.last().map(|&(number, _)| hash(number));
        self.tuples.clear();
        self.tuples.extend(kept);
    }

    /// At most [`ADDRESSES`], by hash.
    fn smallest(&self) -> Vec<(u128, i64)> {
        let mut all: Vec<(u128, i64)> = self.tuples.iter().map(|(&number, &tuples)| (number, tuples)).collect();
        if all.len() > ADDRESSES {
            all.select_nth_unstable_by_key(ADDRESSES, |&(number, _)| (hash(number), number));
            all.truncate(ADDRESSES);
        }
        all.sort_unstable_by_key(|&(number, _)| (hash(number), number));
        all
    }
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
    const NAME: &'static str = "addresses";
    type Columns = (Vec<String>, Vec<i64>);

    fn arguments() -> Vec<DataType> {
        vec![DataType::Utf8View, DataType::Int64]
    }

    fn fields() -> Fields {
        Fields::from(vec![Field::new("ip", DataType::Utf8View, false), Field::new("tuples", DataType::Int64, false)])
    }

    fn update(groups: &mut [Self], values: &[ArrayRef], rows: impl Iterator<Item = (usize, usize)>) {
        let (ips, tuples) = (values[0].as_string_view(), values[1].as_primitive::<Int64Type>());
        for (row, group) in rows.filter(|&(row, _)| ips.is_valid(row)) {
            if let Some(ip) = parse_ip(ips.value(row)) {
                groups[group].add(ip, tuples.value(row));
            }
        }
    }

    fn merge(&mut self, elements: &StructArray) {
        let (ips, tuples) = (elements.column(0).as_string_view(), elements.column(1).as_primitive::<Int64Type>());
        for (ip, &tuples) in ips.iter().zip(tuples.values()) {
            if let Some(ip) = ip.and_then(parse_ip) {
                self.add(ip, tuples);
            }
        }
    }

    fn append(&self, (ips, tuples): &mut Self::Columns) {
        for (number, sum) in self.smallest() {
            ips.push(address(number).to_string());
            tuples.push(sum);
        }
    }

    fn finish((ips, tuples): Self::Columns) -> Vec<ArrayRef> {
        vec![Arc::new(StringViewArray::from_iter_values(ips)), Arc::new(Int64Array::from(tuples))]
    }

    fn len(&self) -> usize {
        self.tuples.len().min(ADDRESSES)
    }

    fn size(&self) -> usize {
        self.tuples.capacity() * 2 * size_of::<(u128, i64)>()
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
            order.for_each(|&ip| kept.add(ip, 1));
            kept.smallest()
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
