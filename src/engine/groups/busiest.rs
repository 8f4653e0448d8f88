//! The aggregate `busiest(peers, subnet)`: merges lists of peers, counts the distinct ones, and lists the busiest.
//!
//! SQL could unnest the lists and group by address. The aggregate avoids that, because there may be millions of peers
//! and most groups have a single list.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringViewArray, StructArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMillisecondType};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::state::{Spreading, address_bytes, numbers};
use crate::schema::timestamp;

/// Maximum number of peers listed, the same as the number of unrequired refusals in a report.
const LISTED: usize = 100;

pub fn busiest() -> AggregateUDF {
    AggregateUDF::from(Busiest { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Busiest {
    signature: Signature,
}

fn peer_fields() -> Fields {
    Fields::from(vec![
        Field::new("ip", DataType::FixedSizeBinary(16), false),
        Field::new("tuples", DataType::Int64, false),
        Field::new("first", timestamp(), false),
        Field::new("last", timestamp(), false),
        // The first, in text order, of the subnets given with the lists that contain the peer.
        Field::new("subnet", DataType::Utf8View, false),
    ])
}

fn element() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(peer_fields()), false))
}

fn result_fields() -> Fields {
    Fields::from(vec![
        Field::new("count", DataType::Int64, false),
        Field::new("busiest", DataType::List(element()), false),
    ])
}

impl AggregateUDFImpl for Busiest {
    fn name(&self) -> &str {
        "busiest"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("peers", DataType::List(element()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::<One>::default())
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::<Groups>::default())
    }
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    tuples: i64,
    first: i64,
    last: i64,
    /// Index of its subnet in [`Names`].
    subnet: u32,
}

/// The distinct subnets given so far, which are few.
#[derive(Debug, Default)]
struct Names(Vec<String>);

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        let known = self.0.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }) as u32
    }

    fn first(&self, a: u32, b: u32) -> u32 {
        if a == b || self.0[a as usize] <= self.0[b as usize] { a } else { b }
    }
}

impl Peer {
    fn add(&mut self, other: Self, names: &Names) {
        self.tuples += other.tuples;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.subnet = names.first(self.subnet, other.subnet);
    }
}

/// The peers of some lists. A single list stays as it is, because its peers are distinct.
#[derive(Debug, Default)]
struct Together {
    single: Vec<(u128, Peer)>,
    several: HashMap<u128, Peer, BuildHasherDefault<Spreading>>,
}

impl Together {
    fn add(&mut self, list: impl Iterator<Item = (u128, Peer)>, names: &Names) {
        if self.single.is_empty() && self.several.is_empty() {
            self.single.extend(list);
            return;
        }
        for (ip, peer) in self.single.drain(..).chain(list) {
            self.several.entry(ip).and_modify(|known| known.add(peer, names)).or_insert(peer);
        }
    }

    fn all(&self) -> impl Iterator<Item = (u128, Peer)> {
        self.single.iter().copied().chain(self.several.iter().map(|(ip, peer)| (*ip, *peer)))
    }

    fn len(&self) -> usize {
        self.single.len() + self.several.len()
    }

    /// Returns the busiest peers: most tuples first, and equal ones in the order of their numbers.
    fn busiest(&self) -> Vec<(u128, Peer)> {
        let mut all: Vec<(u128, Peer)> = self.all().collect();
        let order = |(ip, peer): &(u128, Peer)| (Reverse(peer.tuples), *ip);
        if all.len() > LISTED {
            all.select_nth_unstable_by_key(LISTED, order);
            all.truncate(LISTED);
        }
        all.sort_unstable_by_key(order);
        all
    }

    fn size(&self) -> usize {
        (self.single.capacity() + self.several.capacity() * 8 / 7) * size_of::<(u128, Peer)>()
    }
}

/// The columns of an array of lists of peers.
struct Peers<'a> {
    offsets: &'a [i32],
    ips: Vec<u128>,
    numbers: [&'a [i64]; 3],
    /// Subnet of each peer; only in partial results.
    subnets: Option<&'a StringViewArray>,
}

impl<'a> Peers<'a> {
    fn of(column: &'a ArrayRef) -> Result<Self> {
        let read = || {
            let lists = column.as_list_opt::<i32>()?;
            let peers = lists.values().as_struct_opt()?;
            let integers = |name: &str| Some(&**peers.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.values());
            let times = |name: &str| {
                Some(&**peers.column_by_name(name)?.as_primitive_opt::<TimestampMillisecondType>()?.values())
            };
            Some(Self {
                offsets: lists.value_offsets(),
                ips: numbers(peers.column_by_name("ip")?).collect(),
                numbers: [integers("tuples")?, times("first")?, times("last")?],
                subnets: peers.column_by_name("subnet").and_then(|column| column.as_string_view_opt()),
            })
        };
        read().ok_or_else(|| internal_datafusion_err!("busiest: lists of another form"))
    }

    fn list(&self, row: usize, subnets: impl Fn(usize) -> u32) -> impl Iterator<Item = (u128, Peer)> {
        (self.offsets[row] as usize..self.offsets[row + 1] as usize).map(move |i| {
            let [tuples, first, last] = self.numbers.map(|numbers| numbers[i]);
            (self.ips[i], Peer { tuples, first, last, subnet: subnets(i) })
        })
    }
}

fn lists(groups: &[Vec<(u128, Peer)>], names: &Names) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
    let peers = || groups.iter().flatten();
    let integers = |number: fn(&Peer) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(peers().map(|(_, peer)| number(peer))))
    };
    let times = |time: fn(&Peer) -> i64| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(peers().map(|(_, peer)| time(peer))).with_timezone("UTC"))
    };
    let subnets = UInt32Array::from_iter_values(peers().map(|(_, peer)| peer.subnet));
    let columns: Vec<ArrayRef> = vec![
        address_bytes(peers().map(|(ip, _)| *ip).collect()),
        integers(|peer| peer.tuples),
        times(|peer| peer.first),
        times(|peer| peer.last),
        take(&StringViewArray::from_iter_values(&names.0), &subnets, None)?,
    ];
    Ok(Arc::new(ListArray::new(element(), offsets, Arc::new(StructArray::new(peer_fields(), columns, None)), None)))
}

#[derive(Default)]
struct Groups {
    all: Vec<Together>,
    names: Names,
}

impl Groups {
    fn grow(&mut self, total: usize) {
        self.all.resize_with(total.max(self.all.len()), Together::default);
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let peers = Peers::of(&values[0])?;
        let subnets = cast(&values[1], &DataType::Utf8View)?;
        let subnets = subnets.as_string_view();
        let is_wanted = |row: usize| values[0].is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        for (row, &group) in group_indices.iter().enumerate().filter(|&(row, _)| is_wanted(row)) {
            let subnet = self.names.place(subnets.value(row));
            self.all[group].add(peers.list(row, |_| subnet), &self.names);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let peers = Peers::of(&states[0])?;
        let subnets =
            peers.subnets.ok_or_else(|| internal_datafusion_err!("busiest: a partial result of another form"))?;
        // Neighbouring peers mostly share the subnet, and equal views are equal texts.
        let mut last = None;
        let mut place = |i: usize| match last {
            Some((view, place)) if view == subnets.views()[i] => place,
            _ => {
                let place = self.names.place(subnets.value(i));
                last = Some((subnets.views()[i], place));
                place
            }
        };
        let places: Vec<u32> = (0..subnets.len()).map(&mut place).collect();
        for (row, &group) in group_indices.iter().enumerate() {
            self.all[group].add(peers.list(row, |i| places[i]), &self.names);
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.all);
        Ok(vec![lists(&groups.iter().map(|group| group.all().collect()).collect::<Vec<_>>(), &self.names)?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.all);
        let counts = Int64Array::from_iter_values(groups.iter().map(|group| group.len() as i64));
        let busiest = lists(&groups.iter().map(Together::busiest).collect::<Vec<_>>(), &self.names)?;
        Ok(Arc::new(StructArray::new(result_fields(), vec![Arc::new(counts), busiest], None)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Groups::default();
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.all.iter().map(|group| size_of::<Together>() + group.size()).sum()
    }
}

/// Accumulator of a single group with all rows.
#[derive(Default)]
struct One(Groups);

impl std::fmt::Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("One")
    }
}

impl One {
    fn of_all(rows: usize) -> Vec<usize> {
        vec![0; rows]
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &Self::of_all(values[0].len()), None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &Self::of_all(states[0].len()), 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        self.0.state(EmitTo::All)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        self.0.grow(1);
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
