//! The aggregate `flow_groups`: like flows in scope, grouped in one pass over columns of [`Text::Coded`].
//!
//! SQL could say it with a dozen keys in a GROUP BY, and did; a number for each key and one table for all are ten times
//! as fast, and every flow comes by here. What is grouped travels between threads as the rows that come out.
//!
//! [`Text::Coded`]: crate::schema::Text::Coded

mod batch;
mod key;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StringViewArray, StructArray, UInt16Array, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, UInt16Type};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::kept::{Addresses, Hours, Kept, list_type, lists};
use super::places::Places;
use super::scope::Scope;
use crate::catalog::Side;
use crate::flow::{Decision, Direction, FlowState, LogKind, Protocol};
use crate::net::{PortBits, SetId, address, number, parse_ip};
use crate::schema::{Text, flows};
use batch::{ANSWERS, ARGUMENTS, Batch, NONE, Rule, UNANSWERED};
use key::{Key, Known, NO_PORT, Packed, Seen};

/// As the scope sees a flow.
const DIRECTIONS: [&str; 3] = ["outbound", "inbound", "internal"];
const OUTBOUND: u8 = 0;
const INBOUND: u8 = 1;
const INTERNAL: u8 = 2;
/// Near when the scope's own interface logged the flow, far when the other end's did.
const VANTAGES: [&str; 2] = ["near", "far"];
fn group_fields() -> Fields {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8View, nullable);
    Fields::from(vec![
        text("direction", false),
        text("vantage", false),
        text("local_ip", false),
        // While the scope is not known: the other end, where that may turn out local, too.
        text("peer_local", true),
        // One letter per tag that rows ask for, and the Internet first.
        text("peer_class", false),
        Field::new("port", DataType::UInt16, true),
        Field::new("src_port", DataType::UInt16, true),
        text("protocol", false),
        text("decision", false),
        text("state", true),
        text("answer", true),
        text("rule", false),
        text("acl", false),
        text("log_kind", false),
        Field::new("peer_is_internet", DataType::Boolean, false),
        Field::new("hours", list_type::<Hours>(), false),
        Field::new("peers", list_type::<Addresses>(), false),
    ])
}

fn group_element() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(group_fields()), false))
}

/// The aggregate of one scope; only without GROUP BY.
pub fn aggregate(scope: &Scope, places: &Arc<Places>) -> AggregateUDF {
    let schema = flows(Text::Coded);
    let arguments = ARGUMENTS.map(|column| schema.field(column as usize).data_type().clone()).to_vec();
    let named = [scope.named_ports(|row| &row.source_ports), scope.named_ports(|row| &row.destination_ports)];
    let named = named.map(|ports| PortBits::from(&ports));
    let sight = Arc::new(Sight { places: Arc::clone(places), named });
    AggregateUDF::from(FlowGroups { signature: Signature::exact(arguments, Volatility::Immutable), sight })
}

/// How flows are looked at.
struct Sight {
    places: Arc<Places>,
    /// Source ports, and destination ports, that a requirement names.
    named: [PortBits; 2],
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
        Ok(DataType::List(group_element()))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("groups", DataType::List(group_element()), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Grouping::new(Arc::clone(&self.sight))))
    }
}

/// A peer's class, and whether it is of the Internet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Class {
    letters: Box<str>,
    is_internet: bool,
}

#[derive(Debug)]
struct Grouping {
    sight: Arc<Sight>,
    /// Number 0 is none.
    ips: Known<Option<u128>>,
    rules: Known<Rule>,
    classes: Known<Class>,
    /// For each class of the scope, its number plus one; 0 while it was not seen.
    class_numbers: Vec<u32>,
    keys: Known<Packed>,
    /// By the numbers of their keys.
    hours: Vec<Hours>,
    /// Likewise; apart, for most flows do not ask for it.
    peers: Vec<Addresses>,
    /// What one call looks up, kept for its memory.
    flows: Vec<Flow>,
    /// Calls, and bytes held when they were last counted.
    calls: usize,
    size: usize,
}

/// A flow in scope, ready to be put into its group.
#[derive(Debug, Clone, Copy)]
struct Flow {
    key: Packed,
    time: i64,
    /// Kept where `keeps_peer`.
    peer: u128,
    keeps_peer: bool,
}

/// One end of a flow.
#[derive(Debug, Clone, Copy)]
struct End {
    number: u128,
    class: SetId,
    side: Side,
}

impl End {
    #[inline(always)]
    fn find(places: &Places, number: u128) -> End {
        let class = places.tag_test.find_number(number);
        End { number, class, side: places.tag_test.side(class) }
    }
}

impl Grouping {
    fn new(sight: Arc<Sight>) -> Self {
        let mut ips = Known::default();
        ips.number(&None);
        let class_numbers = vec![0; sight.places.tag_test.classes().len()];
        Self {
            sight,
            ips,
            rules: Known::default(),
            classes: Known::default(),
            class_numbers,
            keys: Known::default(),
            hours: Vec::new(),
            peers: Vec::new(),
            flows: Vec::new(),
            calls: 0,
            size: 0,
        }
    }

    /// Counts the bytes held, now and then: small batches bring little, and the groups may be many.
    fn count_size(&mut self) {
        const CALLS: usize = 32;
        if self.calls.is_multiple_of(CALLS) {
            let each = size_of::<Hours>() + size_of::<Addresses>() + 4 * size_of::<Packed>();
            let hours: usize = self.hours.iter().map(Kept::size).sum();
            let peers: usize = self.peers.iter().map(Kept::size).sum();
            self.size = each * self.hours.len() + hours + peers;
        }
        self.calls += 1;
    }

    /// The number of the group of a key.
    #[inline(always)]
    fn group(&mut self, key: &Packed) -> usize {
        let number = self.keys.number(key) as usize;
        if number == self.hours.len() {
            self.hours.push(Hours::default());
            self.peers.push(Addresses::default());
        }
        number
    }

    #[inline(always)]
    fn class(&mut self, end: &End) -> u32 {
        match self.class_numbers[end.class.index()] {
            0 => self.new_class(end),
            number => number - 1,
        }
    }

    #[cold]
    fn new_class(&mut self, end: &End) -> u32 {
        let index = end.class.index();
        let letters = self.sight.places.tag_test.classes()[index].as_str().into();
        let number = self.classes.number(&Class { letters, is_internet: end.side.is_internet });
        self.class_numbers[index] = number + 1;
        number
    }

    /// In two steps, so that the processor can work at many flows at once: first what each is, then where it goes. A
    /// few hundred at a time, which stay in its nearest cache between the steps.
    fn add(&mut self, batch: &Batch) {
        const STEP: usize = 256;
        let mut flows = std::mem::take(&mut self.flows);
        let mut rules = Seen::default();
        let rows = batch.times.len();
        for from in (0..rows).step_by(STEP) {
            flows.clear();
            self.look_at(batch, from..rows.min(from + STEP), &mut rules, &mut flows);
            for flow in &flows {
                let group = self.group(&flow.key);
                self.hours[group].add_time(flow.time);
                if flow.keeps_peer {
                    self.peers[group].add(flow.peer, 1);
                }
            }
        }
        self.flows = flows;
    }

    /// `rules` has the numbers of the batch's rules that were seen.
    fn look_at(&mut self, batch: &Batch, rows: Range<usize>, rules: &mut Seen<u128>, flows: &mut Vec<Flow>) {
        let sight = Arc::clone(&self.sight);
        let places = &*sight.places;
        let mut last_ours = End::find(places, 0);
        let mut last_local = (0, 0);
        let mut last_rule = (u128::MAX, 0);
        let [src_ips, dst_ips] = batch.ips.map(|ips| &ips[..rows.end]);
        let [src_ports, dst_ports] = batch.ports.map(|ports| &ports[..rows.end]);
        let protocols = &batch.protocols[..rows.end];
        flows.reserve(rows.len());
        for row in rows {
            let is_outbound = batch.directions.code(row) == Direction::Outbound as u8;
            // Ours is the end of the interface that logged the flow. Neighbouring flows mostly share it.
            let ends = [&src_ips[row], &dst_ips[row]];
            let [ours, theirs] = [usize::from(!is_outbound), usize::from(is_outbound)];
            let [ours, theirs] = [ours, theirs].map(|end| u128::from_be_bytes(*ends[end]));
            if last_ours.number != ours {
                last_ours = End::find(places, ours);
            }
            let (ours, theirs) = (last_ours, End::find(places, theirs));
            let (logged, other) = if is_outbound { (OUTBOUND, INBOUND) } else { (INBOUND, OUTBOUND) };
            let is_local = (ours.side.is_local | places.is_open, theirs.side.is_local & !places.is_open);
            let (direction, local, peer) = match is_local {
                (true, false) => (logged, ours, theirs),
                (false, true) => (other, theirs, ours),
                (true, true) if is_outbound => (INTERNAL, theirs, theirs),
                (true, true) => (INTERNAL, ours, ours),
                (false, false) => continue,
            };
            if last_local.0 != local.number {
                last_local = (local.number, self.ips.number(&Some(local.number)));
            }
            let peer_local = match places.is_open && peer.side.may_be_interface {
                true => self.ips.number(&Some(peer.number)),
                false => 0,
            };
            let rule_key = batch.rule_key(row);
            if last_rule.0 != rule_key {
                let number = *rules.entry(rule_key).or_insert_with(|| self.rules.number(&batch.rule(row)));
                last_rule = (rule_key, number);
            }
            // With `&` and `|`: what cannot be foreseen is better computed than asked.
            let is_denied = batch.decisions.code(row) == Decision::Deny as u8;
            let [src_port, dst_port] = [src_ports[row], dst_ports[row]];
            let is_named_src = sight.named[0].contains(src_port);
            let is_noise = (direction == INBOUND) & peer.side.is_internet;
            let has_port = sight.named[1].contains(dst_port) | is_denied & !is_noise;
            let (protocol, answer) = (protocols[row], batch.answer(row));
            let is_deaf = (answer == UNANSWERED)
                & (direction == OUTBOUND)
                & (protocol == Protocol::TCP.0)
                & (batch.kinds.code(row) == LogKind::Vnet as u8);
            let key = Key {
                local: last_local.1,
                peer_local,
                class: self.class(&peer),
                rule: last_rule.1,
                port: if has_port { dst_port.into() } else { NO_PORT },
                src_port: if is_named_src { src_port.into() } else { NO_PORT },
                protocol,
                direction,
                is_far: (direction != INTERNAL) & (is_outbound != (direction == OUTBOUND)),
                is_denied,
                state: batch.states.code(row),
                answer,
            };
            let keeps_peer = has_port & (is_denied | is_deaf);
            flows.push(Flow { key: key.pack(), time: batch.times[row], peer: peer.number, keeps_peer });
        }
    }

    /// Takes in groups as they travel.
    fn merge(&mut self, groups: &StructArray) -> Option<()> {
        let text = |nr: usize| groups.column(nr).as_string_view();
        // Of one array, equal views are equal texts: each is looked up once.
        let (mut seen_ips, mut seen_classes) = (Seen::<u128>::default(), Seen::<u128>::default());
        let mut seen_rules = Seen::<[u128; 3]>::default();
        let place = |names: &[&str], nr: usize, row: usize| {
            let name = text(nr).is_valid(row).then(|| text(nr).value(row));
            names.iter().position(|n| Some(*n) == name).map_or(NONE, |place| place as u8)
        };
        let port = |nr: usize, row: usize| {
            let ports = groups.column(nr).as_primitive::<UInt16Type>();
            if ports.is_valid(row) { ports.value(row).into() } else { NO_PORT }
        };
        let (hours, peers) = (groups.column(15).as_list::<i32>(), groups.column(16).as_list::<i32>());
        for row in 0..groups.len() {
            let view = |nr: usize| text(nr).views()[row];
            let mut ip = |ips: &mut Known<Option<u128>>, nr: usize| match seen_ips.get(&view(nr)) {
                Some(&known) => Some(known),
                None => {
                    let number = ips.number(&Some(number(parse_ip(text(nr).value(row))?)));
                    // Only what lies in the view itself is told by it, for the columns differ.
                    if text(nr).value(row).len() <= 12 {
                        seen_ips.insert(view(nr), number);
                    }
                    Some(number)
                }
            };
            let local = ip(&mut self.ips, 2)?;
            let peer_local = if text(3).is_valid(row) { ip(&mut self.ips, 3)? } else { 0 };
            let class = *seen_classes.entry(view(4)).or_insert_with(|| {
                let is_internet = groups.column(14).as_boolean().value(row);
                self.classes.number(&Class { letters: text(4).value(row).into(), is_internet })
            });
            let rule = *seen_rules.entry([11, 12, 13].map(view)).or_insert_with(|| {
                let [rule, acl, kind] = [11, 12, 13].map(|nr| text(nr).value(row).into());
                self.rules.number(&Rule { rule, acl, kind })
            });
            let key = Key {
                local,
                peer_local,
                class,
                rule,
                port: port(5, row),
                src_port: port(6, row),
                protocol: Protocol::from_name(text(7).value(row))?.0,
                direction: place(&DIRECTIONS, 0, row),
                is_far: place(&VANTAGES, 1, row) == 1,
                is_denied: place(&Decision::NAMES, 8, row) == Decision::Deny as u8,
                state: place(&FlowState::NAMES, 9, row),
                answer: place(&ANSWERS, 10, row),
            };
            let group = self.group(&key.pack());
            self.hours[group].merge(hours.value(row).as_struct());
            self.peers[group].merge(peers.value(row).as_struct());
        }
        Some(())
    }

    /// The groups as one list.
    fn list(&self) -> ListArray {
        let keys: Vec<Key> = self.keys.all.iter().map(Packed::unpack).collect();
        // One of some texts for each key. Rows with the same text share it.
        let one_of = |texts: &mut dyn Iterator<Item = Option<String>>, index: &dyn Fn(&Key) -> u32| -> ArrayRef {
            let texts = StringViewArray::from_iter(texts);
            let indices = UInt32Array::from_iter_values(keys.iter().map(index));
            take(&texts, &indices, None).expect("every index has its text")
        };
        let names = |names: &[&str], code: fn(&Key) -> u8| -> ArrayRef {
            let texts = (0..=NONE).map(|code| names.get(usize::from(code)).map(|name| (*name).to_owned()));
            one_of(&mut texts.into_iter(), &|key| code(key).into())
        };
        let ports = |port: fn(&Key) -> u32| -> ArrayRef {
            Arc::new(UInt16Array::from_iter(keys.iter().map(|key| u16::try_from(port(key)).ok())))
        };
        let ips = || self.ips.all.iter().map(|ip| ip.map(|ip| address(ip).to_string()));
        let of_rules =
            |text: fn(&Rule) -> &str| one_of(&mut self.rules.all.iter().map(|r| Some(text(r).to_owned())), &|k| k.rule);
        let protocols = &mut (0..=u8::MAX).map(|number| Some(Protocol(number).name().into_owned()));
        let columns: Vec<ArrayRef> = vec![
            names(&DIRECTIONS, |key| key.direction),
            names(&VANTAGES, |key| key.is_far.into()),
            one_of(&mut ips(), &|key| key.local),
            one_of(&mut ips(), &|key| key.peer_local),
            one_of(&mut self.classes.all.iter().map(|class| Some(class.letters.to_string())), &|key| key.class),
            ports(|key| key.port),
            ports(|key| key.src_port),
            one_of(protocols, &|key| key.protocol.into()),
            names(&Decision::NAMES, |key| key.is_denied.into()),
            names(&FlowState::NAMES, |key| key.state),
            names(&ANSWERS, |key| key.answer),
            of_rules(|rule| &rule.rule),
            of_rules(|rule| &rule.acl),
            of_rules(|rule| &rule.kind),
            Arc::new(BooleanArray::from_iter(keys.iter().map(|key| Some(self.classes.get(key.class).is_internet)))),
            lists(self.hours.iter()),
            lists(self.peers.iter()),
        ];
        let groups = StructArray::new(group_fields(), columns, None);
        ListArray::new(group_element(), OffsetBuffer::from_lengths([groups.len()]), Arc::new(groups), None)
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
        for groups in states[0].as_list::<i32>().iter().flatten() {
            self.merge(groups.as_struct())
                .ok_or_else(|| internal_datafusion_err!("flow_groups: a group of another"))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    /// Nothing is kept: the list is as much again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let list = self.list();
        *self = Self::new(Arc::clone(&self.sight));
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn size(&self) -> usize {
        self.size
    }
}
