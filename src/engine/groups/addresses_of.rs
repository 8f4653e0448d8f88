//! The aggregate `addresses(lists)`: merges lists of `Peers` into the [`Addresses`] of each group.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::state::{Addresses, GroupState, Lists, list_type, lists};

pub fn addresses() -> AggregateUDF {
    AggregateUDF::from(AddressesOf { signature: Signature::any(1, Volatility::Immutable) })
}

/// The aggregate function. It works only with GROUP BY.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AddressesOf {
    signature: Signature,
}

impl AggregateUDFImpl for AddressesOf {
    fn name(&self) -> &str {
        "addresses"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_type::<Addresses>())
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("kept", list_type::<Addresses>(), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("addresses without GROUP BY")
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::<Groups>::default())
    }
}

#[derive(Default)]
struct Groups(Vec<Addresses>);

impl Groups {
    fn grow(&mut self, total: usize) {
        self.0.resize_with(total.max(self.0.len()), Addresses::default);
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
        let wanted = |row: usize| values[0].is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let Some(lists) = Lists::<Addresses>::of(&values[0]) else {
            return internal_err!("addresses: lists of another form");
        };
        for (row, &group) in group_indices.iter().enumerate().filter(|&(row, _)| wanted(row)) {
            lists.merge(row, &mut self.0[group]);
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let Some(lists) = Lists::<Addresses>::of(&values[0]) else {
            return internal_err!("addresses: a partial result of another form");
        };
        for (row, &group) in group_indices.iter().enumerate().filter(|&(row, _)| values[0].is_valid(row)) {
            lists.merge(row, &mut self.0[group]);
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.0);
        Ok(lists(groups.iter()))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Groups::default();
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.iter().map(|group| size_of::<Addresses>() + group.size()).sum()
    }
}
