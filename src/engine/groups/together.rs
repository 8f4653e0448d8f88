//! The aggregate `flow_groups_together`: the pass of several scopes at once. Each flow goes to the scopes that hold one of
//! its ends, so that a scan for ten scopes costs little more than one for all their addresses.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

use super::batch::Batch;
use super::classify::FlowGrouper;
use super::{GroupingContext, batch, columns, merge, signature};
use crate::engine::functions::locator::ScopeLocator;
use crate::engine::scope::Scope;
use crate::net::{PrefixMap, SetId};

/// Name of the aggregate.
pub const NAME: &str = "flow_groups_together";

/// Returns the aggregate of scopes that are known. Its result is a struct with the pass of each, in order.
pub fn aggregate(scopes: &[&Scope]) -> AggregateUDF {
    let blocks = scopes.iter().zip(0..).flat_map(|(scope, place)| {
        let blocks = scope.blocks().into_iter();
        blocks.map(move |(block, _)| (block, place))
    });
    let sights = scopes.iter().map(|scope| {
        let places = Arc::new(ScopeLocator::new(scope));
        Arc::new(GroupingContext::new(scope, &places))
    });
    let scopes = Arc::new(Scopes { of_address: PrefixMap::new(blocks), sights: sights.collect() });
    AggregateUDF::from(Together { signature: signature(), scopes })
}

/// The scopes of a scan.
struct Scopes {
    /// Indices of the scopes that hold an address.
    of_address: PrefixMap<u32>,
    sights: Vec<Arc<GroupingContext>>,
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scopes")
    }
}

#[derive(Debug)]
struct Together {
    signature: Signature,
    scopes: Arc<Scopes>,
}

impl PartialEq for Together {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scopes, &other.scopes)
    }
}

impl Eq for Together {}

impl Hash for Together {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.scopes).hash(state);
    }
}

fn passes_fields(scopes: usize) -> Fields {
    let pass = |place| Field::new(format!("pass_{place}"), DataType::Struct(columns::pass_fields()), false);
    (0..scopes).map(pass).collect()
}

impl AggregateUDFImpl for Together {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(passes_fields(self.scopes.sights.len())))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let passes = DataType::Struct(passes_fields(self.scopes.sights.len()));
        Ok(vec![Arc::new(Field::new("passes", passes, false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let groupers: Vec<_> = self.scopes.sights.iter().map(|sight| FlowGrouper::new(Arc::clone(sight))).collect();
        let rows = vec![Vec::new(); groupers.len()];
        Ok(Box::new(TogetherGrouper { scopes: Arc::clone(&self.scopes), groupers, rows }))
    }
}

/// State of a pass of several scopes.
#[derive(Debug)]
struct TogetherGrouper {
    scopes: Arc<Scopes>,
    /// State of each scope.
    groupers: Vec<FlowGrouper>,
    /// Rows of a batch that each scope holds, kept to reuse their memory.
    rows: Vec<Vec<u32>>,
}

impl TogetherGrouper {
    /// Gives each row of a batch to its scopes.
    fn spread(&mut self, batch: &Batch) {
        let of_address = &self.scopes.of_address;
        let mut last = [0_u128; 2].map(|number| (number, of_address.find_number(number)));
        let mut find = |end: usize, bytes: &[u8; 16]| -> SetId {
            let number = u128::from_be_bytes(*bytes);
            if last[end].0 != number {
                last[end] = (number, of_address.find_number(number));
            }
            last[end].1
        };
        self.rows.iter_mut().for_each(Vec::clear);
        let [sources, destinations] = batch.ips;
        for (row, (source, destination)) in (0_u32..).zip(sources.iter().zip(destinations)) {
            for scope in [find(0, source), find(1, destination)].into_iter().flat_map(|set| of_address.set(set)) {
                let rows = &mut self.rows[*scope as usize];
                if rows.last() != Some(&row) {
                    rows.push(row);
                }
            }
        }
    }
}

impl Accumulator for TogetherGrouper {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let batch = batch(values)?;
        self.spread(&batch);
        for (grouper, rows) in self.groupers.iter_mut().zip(&self.rows) {
            if !rows.is_empty() {
                grouper.add_rows(&batch, rows);
                grouper.count_size();
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let passes = states[0].as_struct().columns();
        self.groupers.iter_mut().zip(passes).try_for_each(|(grouper, pass)| merge(grouper, pass.as_struct()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    /// Returns the results and clears the state, because each result takes as much memory again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut passes: Vec<ArrayRef> = Vec::new();
        for grouper in &mut self.groupers {
            passes.push(Arc::new(columns::pass(grouper)));
            grouper.clear();
        }
        Ok(ScalarValue::Struct(Arc::new(StructArray::new(passes_fields(passes.len()), passes, None))))
    }

    fn size(&self) -> usize {
        self.groupers.iter().map(FlowGrouper::size).sum()
    }
}
