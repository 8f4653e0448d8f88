//! The aggregate `logged_flows`: what the logs contain, in one pass over columns of [`Text::Coded`] and in bounded memory.
//!
//! It counts the flows of each interface and of each rule, and keeps the local addresses with the flows that may show API
//! Management on them. The result is one struct of lists, and partial results travel between threads in the same form.
//!
//! [`Text::Coded`]: crate::schema::Text::Coded

mod batch;
mod columns;
mod tally;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::functions::locator::ScopeLocator;
use super::scope::Scope;
use crate::net::PortBits;
use crate::schema::{Text, flows};
use batch::{ARGUMENTS, Batch};
use tally::Tally;

/// Name of the aggregate.
pub const NAME: &str = "logged_flows";

/// Returns the aggregate of one scope. It works only without GROUP BY.
pub fn aggregate(scope: &Scope, places: &Arc<ScopeLocator>) -> AggregateUDF {
    let schema = flows(Text::Coded);
    let arguments = ARGUMENTS.map(|column| schema.field(column as usize).data_type().clone()).to_vec();
    let sight = Arc::new(Sight { places: Arc::clone(places), telling: PortBits::from(&scope.telling_ports()) });
    AggregateUDF::from(LoggedFlows { signature: Signature::exact(arguments, Volatility::Immutable), sight })
}

/// Lookup tables of one scope.
struct Sight {
    places: Arc<ScopeLocator>,
    /// Ports on which API Management shows itself.
    telling: PortBits,
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sight")
    }
}

#[derive(Debug)]
struct LoggedFlows {
    signature: Signature,
    sight: Arc<Sight>,
}

impl PartialEq for LoggedFlows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sight, &other.sight)
    }
}

impl Eq for LoggedFlows {}

impl Hash for LoggedFlows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.sight).hash(state);
    }
}

impl AggregateUDFImpl for LoggedFlows {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(columns::fields()))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("pass", DataType::Struct(columns::fields()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Tallying { tally: Tally::default(), sight: Arc::clone(&self.sight) }))
    }
}

#[derive(Debug)]
struct Tallying {
    tally: Tally,
    sight: Arc<Sight>,
}

impl Accumulator for Tallying {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let batch =
            Batch::new(values).ok_or_else(|| internal_datafusion_err!("logged_flows: columns of other types"))?;
        self.tally.add(&batch, &self.sight);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        columns::merge(&mut self.tally, states[0].as_struct(), &self.sight)
            .ok_or_else(|| internal_datafusion_err!("logged_flows: a partial result of another form"))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    /// Returns the result and clears the state, because the result takes as much memory again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let tally = std::mem::take(&mut self.tally);
        Ok(ScalarValue::Struct(Arc::new(columns::pass(&tally, &self.sight))))
    }

    fn size(&self) -> usize {
        self.tally.size()
    }
}
