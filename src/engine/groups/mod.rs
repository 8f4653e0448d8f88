//! The aggregate `flow_groups`: groups the flows in scope in one pass over columns of [`Text::Coded`].
//!
//! SQL could group by a dozen keys. Because every flow passes here, this code numbers the keys and uses one hash table,
//! which is ten times as fast. The result is one struct of lists, and partial results travel between threads in the
//! same form.
//!
//! [`Text::Coded`]: crate::schema::Text::Coded

pub(super) mod addresses_of;
pub(super) mod batch;
pub(super) mod busiest;
mod classify;
mod columns;
mod contacts;
mod hour_ranges;
pub(super) mod key;
pub(super) mod state;
pub(super) mod together;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::functions::locator::ScopeLocator;
use super::scope::Scope;
use super::tables::catalog;
use super::tables::catalog::OutboundWay;
use crate::flow::Protocol;
use crate::net::{PortBits, PortSet, SetId};
use crate::schema::{Column, Text, flows};
use batch::{ARGUMENTS, Batch};
use classify::FlowGrouper;

/// Name of the aggregate in the queries of an analysis.
pub const NAME: &str = "flow_groups";

/// Returns the columns of `coded_flows` that the aggregate takes, in order, as the arguments of its call.
pub fn arguments() -> String {
    ARGUMENTS.map(Column::name).join(", ")
}

/// Returns the aggregate of one scope. It works only without GROUP BY.
pub fn aggregate(scope: &Scope, places: &Arc<ScopeLocator>) -> AggregateUDF {
    AggregateUDF::from(FlowGroups { signature: signature(), sight: Arc::new(GroupingContext::new(scope, places)) })
}

fn signature() -> Signature {
    let schema = flows(Text::Coded);
    let arguments = ARGUMENTS.map(|column| schema.field(column as usize).data_type().clone()).to_vec();
    Signature::exact(arguments, Volatility::Immutable)
}

/// Lookup tables of one scope, by which a pass classifies flows.
struct GroupingContext {
    places: Arc<ScopeLocator>,
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
    /// TCP and UDP ports, by class of the peer, on which a requirement asks for outbound flows from any source port.
    /// Built when a class is first seen.
    asked_for: Vec<OnceLock<[PortBits; 2]>>,
    ways: Vec<OutboundWay>,
}

impl GroupingContext {
    fn new(scope: &Scope, places: &Arc<ScopeLocator>) -> Self {
        let bits = |ports| PortBits::from(&ports);
        Self {
            places: Arc::clone(places),
            named_sources: bits(scope.named_ports(|row| &row.source_ports)),
            named: bits(scope.named_ports(|row| &row.destination_ports)),
            guarded: bits(scope.guarded_ports()),
            management: bits(scope.management_ports()),
            client: bits(scope.client_ports()),
            asked_for: places.tag_test.classes().iter().map(|_| OnceLock::new()).collect(),
            ways: catalog::outbound_ways(scope),
        }
    }

    /// Returns whether an outbound flow to a peer of this class certainly has a candidate.
    #[inline(always)]
    fn asks_for(&self, class: SetId, protocol: u8, port: u16) -> bool {
        let is_tcp = protocol == Protocol::TCP.0;
        if !is_tcp && protocol != Protocol::UDP.0 {
            return false;
        }
        let ports = self.asked_for[class.index()].get_or_init(|| {
            let letters = self.places.tag_test.classes()[class.index()].as_bytes();
            [Protocol::TCP, Protocol::UDP].map(|protocol| {
                let of_protocol = self.ways.iter().filter(|way| way.protocol == protocol);
                PortBits::from(&PortSet::from_ranges(of_protocol.flat_map(|way| way.sure_ports(letters))))
            })
        });
        ports[usize::from(!is_tcp)].contains(port)
    }
}

impl fmt::Debug for GroupingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupingContext")
    }
}

#[derive(Debug)]
struct FlowGroups {
    signature: Signature,
    sight: Arc<GroupingContext>,
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
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(columns::pass_fields()))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("pass", DataType::Struct(columns::pass_fields()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FlowGrouper::new(Arc::clone(&self.sight))))
    }
}

fn batch(values: &[ArrayRef]) -> Result<Batch<'_>> {
    Batch::new(values).ok_or_else(|| internal_datafusion_err!("flow_groups: columns of other types"))
}

fn merge(grouper: &mut FlowGrouper, passes: &StructArray) -> Result<()> {
    columns::merge(grouper, passes)
        .ok_or_else(|| internal_datafusion_err!("flow_groups: a partial result of another form"))
}

impl Accumulator for FlowGrouper {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&batch(values)?);
        self.count_size();
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        merge(self, states[0].as_struct())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    /// Returns the result and clears the state, because the result takes as much memory again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let pass = columns::pass(self);
        self.clear();
        Ok(ScalarValue::Struct(Arc::new(pass)))
    }

    fn size(&self) -> usize {
        self.size()
    }
}
