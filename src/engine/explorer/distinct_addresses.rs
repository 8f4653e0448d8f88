//! `count(DISTINCT address)` over addresses as numbers: one set for all groups of an operator.
//!
//! DataFusion has no fast distinct count for 16-byte values: its generic one allocates a value per row. Name and result
//! equal those of DataFusion's `count`. Only plans of `late_text` use this one.

use std::mem::take;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, ListArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{HashSet, Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::net::V4_FIRST;
use crate::schema::address_number;

/// Returns the function, which must be called with DISTINCT.
pub fn distinct_addresses() -> Arc<AggregateUDF> {
    static COUNT: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        let signature = Signature::exact(vec![address_number()], Volatility::Immutable);
        Arc::new(AggregateUDF::from(DistinctAddresses { signature }))
    });
    Arc::clone(&COUNT)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DistinctAddresses {
    signature: Signature,
}

impl AggregateUDFImpl for DistinctAddresses {
    fn name(&self) -> &str {
        "count"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "count distinct");
        Ok(vec![Arc::new(Field::new(name, DataType::List(element()), false))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.is_distinct {
            true => Ok(Box::<OneGroup>::default()),
            false => internal_err!("addresses are counted without DISTINCT"),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::<Groups>::default())
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }
}

/// Returns the field of an element in the list of a group's addresses.
fn element() -> FieldRef {
    Arc::new(Field::new_list_field(address_number(), true))
}

/// The distinct addresses of each group.
#[derive(Debug, Default)]
struct Groups {
    /// IPv4 addresses, with the group in the upper half and the address in the lower. Most addresses are IPv4, and this
    /// form halves their memory.
    v4: HashSet<u64>,
    /// Other addresses, each after its group.
    v6: HashSet<(u32, u128)>,
    /// Number of addresses per group.
    counts: Vec<i64>,
}

impl Groups {
    fn add(&mut self, group: usize, address: [u8; 16]) -> Result<()> {
        let number = u128::from_be_bytes(address);
        let place = u32::try_from(group).map_err(|_| exec_datafusion_err!("more than {} groups", u32::MAX))?;
        let is_new = match number >> 32 == V4_FIRST >> 32 {
            true => self.v4.insert(u64::from(place) << 32 | u64::from(number as u32)),
            false => self.v6.insert((place, number)),
        };
        self.counts[group] += i64::from(is_new);
        Ok(())
    }

    /// Removes all addresses and returns them, each with its group.
    fn take_all(&mut self) -> impl Iterator<Item = (usize, u128)> + use<> {
        let of_v4 = |key: u64| ((key >> 32) as usize, V4_FIRST | u128::from(key as u32));
        let v6 = take(&mut self.v6).into_iter().map(|(group, number)| (group as usize, number));
        take(&mut self.v4).into_iter().map(of_v4).chain(v6)
    }

    /// Removes the first groups and passes their addresses to `found`. Renumbers the other groups from 0. Returns the
    /// counts of the removed groups.
    fn emit(&mut self, emit_to: EmitTo, mut found: impl FnMut(usize, u128)) -> Result<Vec<i64>> {
        let counts = emit_to.take_needed(&mut self.counts);
        self.counts.fill(0);
        for (group, number) in self.take_all() {
            match group.checked_sub(counts.len()) {
                None => found(group, number),
                Some(place) => self.add(place, number.to_be_bytes())?,
            }
        }
        Ok(counts)
    }
}

/// Returns whether a row is neither null nor filtered out.
fn counts(addresses: &FixedSizeBinaryArray, filter: Option<&BooleanArray>, row: usize) -> bool {
    addresses.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

fn bytes(addresses: &FixedSizeBinaryArray) -> &[[u8; 16]] {
    addresses.value_data().as_chunks().0
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        let addresses = values[0].as_fixed_size_binary();
        let is_plain = addresses.null_count() == 0 && filter.is_none();
        for (row, (&group, address)) in group_indices.iter().zip(bytes(addresses)).enumerate() {
            if is_plain || counts(addresses, filter, row) {
                self.add(group, *address)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        let lists = values[0].as_list::<i32>();
        let addresses = bytes(lists.values().as_fixed_size_binary());
        for (&group, range) in group_indices.iter().zip(lists.value_offsets().windows(2)) {
            for address in &addresses[range[0] as usize..range[1] as usize] {
                self.add(group, *address)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.emit(emit_to, |_, _| ())?)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = match emit_to {
            EmitTo::All => self.counts.len(),
            EmitTo::First(groups) => groups,
        };
        let offsets = OffsetBuffer::<i32>::from_lengths(self.counts[..groups].iter().map(|&count| count as usize));
        let mut places: Vec<usize> = offsets[..groups].iter().map(|&offset| offset as usize).collect();
        let mut addresses = vec![[0; 16]; offsets[groups] as usize];
        self.emit(emit_to, |group, number| {
            let place = &mut places[group];
            addresses[*place] = number.to_be_bytes();
            *place += 1;
        })?;
        Ok(vec![lists(addresses, offsets)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let addresses = values[0].as_fixed_size_binary();
        let is_counted = |row: &usize| counts(addresses, filter, *row);
        let offsets = OffsetBuffer::from_lengths((0..addresses.len()).map(|row| usize::from(is_counted(&row))));
        let counted = (0..addresses.len()).filter(is_counted).map(|row| bytes(addresses)[row]).collect();
        Ok(vec![lists(counted, offsets)?])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + size_of_set(&self.v4) + size_of_set(&self.v6) + self.counts.capacity() * size_of::<i64>()
    }
}

/// Returns the bytes of a set. Each slot has a control byte, and one slot in eight stays empty.
fn size_of_set<T>(set: &HashSet<T>) -> usize {
    set.capacity() * 8 / 7 * (size_of::<T>() + 1)
}

fn lists(addresses: Vec<[u8; 16]>, offsets: OffsetBuffer<i32>) -> Result<ArrayRef> {
    let addresses = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(addresses.into_flattened()), None)?;
    Ok(Arc::new(ListArray::try_new(element(), offsets, Arc::new(addresses), None)?))
}

/// Accumulator of a single group with all rows.
#[derive(Debug, Default)]
struct OneGroup(Groups);

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some((self.0.v4.len() + self.0.v6.len()) as i64)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.counts.resize(1, 0);
        let states = self.0.state(EmitTo::All)?;
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Int64Type;

    use super::*;

    fn column(numbers: &[Option<u128>]) -> ArrayRef {
        let bytes = numbers.iter().map(|number| number.map(u128::to_be_bytes));
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16).expect("16 bytes each"))
    }

    /// Addresses by group, some of them null.
    fn filled(rows: &[(usize, Option<u128>)], groups: usize) -> Groups {
        let (indices, numbers): (Vec<usize>, Vec<Option<u128>>) = rows.iter().copied().unzip();
        let mut filled = Groups::default();
        filled.update_batch(&[column(&numbers)], &indices, None, groups).expect("few groups");
        filled
    }

    fn evaluated(groups: &mut Groups, emit_to: EmitTo) -> Vec<i64> {
        let counts = groups.evaluate(emit_to).expect("counts");
        counts.as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn groups_that_stay_keep_their_addresses() {
        let v4 = V4_FIRST | 7;
        let rows =
            [(0, Some(v4)), (2, Some(v4)), (2, Some(7)), (2, Some(v4)), (3, None), (1, Some(7)), (2, Some(u128::MAX))];
        let mut groups = filled(&rows, 4);
        assert_eq!(evaluated(&mut groups, EmitTo::First(1)), [1]);
        // Group 2 is the second now.
        groups.update_batch(&[column(&[Some(v4), Some(8)])], &[1, 1], None, 3).expect("few groups");
        let state = groups.state(EmitTo::First(2)).expect("a state");
        assert_eq!(evaluated(&mut groups, EmitTo::All), [0]);
        let mut merged = filled(&[(0, Some(8)), (0, Some(9))], 1);
        merged.merge_batch(&state, &[1, 0], 2).expect("few groups");
        assert_eq!(evaluated(&mut merged, EmitTo::All), [5, 1]);
    }

    #[test]
    fn what_is_filtered_out_or_null_does_not_count() {
        let rows = column(&[Some(1), Some(2), None]);
        let filter = BooleanArray::from(vec![Some(true), None, Some(true)]);
        let mut groups = Groups::default();
        groups.update_batch(&[Arc::clone(&rows)], &[0, 0, 0], Some(&filter), 1).expect("few groups");
        let states = groups.convert_to_state(&[rows], Some(&filter)).expect("a state");
        groups.merge_batch(&states, &[1, 1, 0], 2).expect("few groups");
        assert_eq!(evaluated(&mut groups, EmitTo::All), [1, 1]);
    }
}
