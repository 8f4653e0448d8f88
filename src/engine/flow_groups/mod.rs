//! The aggregate `flow_groups`: like flows in scope, grouped in one pass over columns of [`Text::Coded`].
//!
//! SQL could group by a dozen keys; a number for each key and one table for all are ten times as fast, and every flow
//! passes here. The result is one struct of lists, which is also how partial results travel between threads.
//!
//! [`Text::Coded`]: crate::schema::Text::Coded

mod batch;
mod contacts;
mod grouping;
mod key;
mod rows;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::places::Places;
use super::scope::Scope;
use crate::net::PortBits;
use crate::schema::{Text, flows};
use batch::{ARGUMENTS, Batch};
use grouping::Grouping;

/// The aggregate of one scope; only without GROUP BY.
pub fn aggregate(scope: &Scope, places: &Arc<Places>) -> AggregateUDF {
    let schema = flows(Text::Coded);
    let arguments = ARGUMENTS.map(|column| schema.field(column as usize).data_type().clone()).to_vec();
    let bits = |ports| PortBits::from(&ports);
    let sight = Arc::new(Sight {
        places: Arc::clone(places),
        named_sources: bits(scope.named_ports(|row| &row.source_ports)),
        named: bits(scope.named_ports(|row| &row.destination_ports)),
        guarded: bits(scope.guarded_ports()),
        management: bits(scope.management_ports()),
        client: bits(scope.client_ports()),
    });
    AggregateUDF::from(FlowGroups { signature: Signature::exact(arguments, Volatility::Immutable), sight })
}

/// How flows are looked at.
struct Sight {
    places: Arc<Places>,
    /// Source ports that a requirement names.
    named_sources: PortBits,
    /// Destination ports that a requirement names.
    named: PortBits,
    /// Ports that only a named Azure service must reach from outside.
    guarded: PortBits,
    /// Ports that the control plane calls.
    management: PortBits,
    /// Ports that clients on the Internet call.
    client: PortBits,
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sight")
    }
}

#[derive(Debug)]
struct FlowGroups {
    signature: Signature,
    sight: Arc<Sight>,
}

impl PartialEq for FlowGroups {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sight, &other.sight)
    }
}

impl Eq for FlowGroups {}

impl Hash for FlowGroups {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.sight).hash(state);
    }
}

impl AggregateUDFImpl for FlowGroups {
    fn name(&self) -> &str {
        "flow_groups"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(rows::pass_fields()))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("pass", DataType::Struct(rows::pass_fields()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Grouping::new(Arc::clone(&self.sight))))
    }
}

impl Accumulator for Grouping {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let batch =
            Batch::new(values).ok_or_else(|| internal_datafusion_err!("flow_groups: columns of other types"))?;
        self.add(&batch);
        self.count_size();
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        rows::merge(self, states[0].as_struct())
            .ok_or_else(|| internal_datafusion_err!("flow_groups: a partial result of another form"))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    /// Keeps nothing: the result takes as much memory again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let pass = rows::pass(self);
        self.clear();
        Ok(ScalarValue::Struct(Arc::new(pass)))
    }

    fn size(&self) -> usize {
        self.size()
    }
}
