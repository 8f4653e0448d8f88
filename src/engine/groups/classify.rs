//! The pass itself: puts each flow into the group of its key.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::GroupingContext;
use super::batch::{Batch, NONE, Rule, UNANSWERED};
use super::contacts::{CONTACTS, Contact, Contacts};
use super::hour_ranges::{HourRanges, hour_of};
use super::key::{Interner, Key, NO_ADDRESS, NO_PORT, Packed, Seen};
use super::state::{Call, Callers, GroupState, Hours, LISTED, Peers, Steps};
use crate::catalog::Side;
use crate::engine::functions::locator::ScopeLocator;
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::SetId;

pub const OUTBOUND: u8 = 0;
pub const INBOUND: u8 = 1;
pub const INTERNAL: u8 = 2;

/// Number of flows that are classified before they are added to groups, so that they fit into the nearest cache.
const STEP: usize = 256;
/// Callers kept per group of answered calls. A few prove that clients on the Internet get through.
const CALLERS: usize = 16;

/// The class of a peer, and whether the peer is on the Internet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Class {
    pub letters: Box<str>,
    pub is_internet: bool,
}

/// Value of [`Group::steps`] for a group without flows whose absence would show that a requirement fell silent.
pub const NO_STEPS: u32 = u32::MAX;

/// Summary of the flows of a group.
#[derive(Debug)]
pub struct Group {
    pub hours: Hours,
    /// Index into [`FlowGrouper::steps`], or [`NO_STEPS`].
    pub steps: u32,
    /// Local ends of denied flows, unanswered outbound TCP flows, and ended, answered inbound flows to ports that no
    /// requirement names. Empty while the scope is unknown, because the key then has the local end.
    pub locals: Peers,
    /// Peers of denied flows, unanswered outbound TCP flows, and some calls.
    pub peers: Peers,
    /// Callers of denied flows to a guarded port.
    pub callers: Callers,
}

impl Group {
    fn new(key: &Key) -> Self {
        let peers = if key.is_call { Peers::bounded(CALLERS) } else { Peers::default() };
        let locals = Peers::bounded(LISTED);
        Self { hours: Hours::default(), steps: NO_STEPS, locals, peers, callers: Callers::default() }
    }
}

/// State of a pass: the groups and contacts so far, and the tables that number their parts.
#[derive(Debug)]
pub struct FlowGrouper {
    sight: Arc<GroupingContext>,
    /// Addresses as numbers.
    pub ips: Interner<u128>,
    pub rules: Interner<Rule>,
    looked_up: LookedUp,
    pub classes: Interner<Class>,
    /// Index in `classes` per class of the scope; `None` before it is seen.
    class_numbers: Vec<Option<u32>>,
    pub keys: Interner<Packed>,
    /// Groups, parallel to `keys`.
    pub groups: Vec<Group>,
    /// Allowed flows per ten minutes, from whose gaps the analysis learns that a requirement fell silent. Groups that
    /// differ only in rule, state, answer and `is_call` share steps, because any rule may let a requirement through.
    pub steps: Vec<Steps>,
    step_keys: Interner<Packed>,
    pub contacts: Contacts,
    /// Whether a beginning of a flow was seen in scope, so that only beginnings count as new. Always false while the
    /// scope is unknown.
    has_begin: bool,
    /// Local addresses, as indices into `ips`, each with an interface that logged it.
    pub interfaces: HashSet<(u32, Box<str>)>,
    /// Hours in which a local address was logged, by its index in `ips`: in NSG logs and in VNet logs.
    pub captures: Vec<[HourRanges; 2]>,
    /// Interface that was added last.
    last_interface: Option<(u32, Box<str>)>,
    /// Buffer of one call, kept to reuse its memory.
    flows: Vec<Flow>,
    /// Number of calls.
    calls: usize,
    /// Bytes held when they were last counted.
    size: usize,
}

/// Index of a rule, whether the rule is the platform's, and whether a VNet log names it.
type KnownRule = (u32, bool, bool);

/// Caches keyed by the dictionary keys of a batch. They stay valid while batches share the dictionaries, as batches of
/// one blob mostly do.
#[derive(Debug, Default)]
struct LookedUp {
    texts: Vec<ArrayRef>,
    rules: Seen<u128, KnownRule>,
    /// Last capture that was noted per local address.
    captures: Seen<u128, Capture>,
}

/// The interface's key in the batch, whether the log is a VNet log, and the hour.
type Capture = (Option<u32>, bool, i64);

impl LookedUp {
    fn begin(&mut self, batch: &Batch) {
        let texts = batch.texts();
        let is_same = self.texts.len() == texts.len() && self.texts.iter().zip(texts).all(|(a, b)| Arc::ptr_eq(a, b));
        if !is_same {
            self.rules.clear();
            self.captures.clear();
            self.texts = texts.map(Arc::clone).to_vec();
        }
    }
}

/// A flow in scope, ready for its group.
#[derive(Debug, Clone, Copy)]
struct Flow {
    key: Packed,
    time: i64,
    local: u128,
    peer: u128,
    keeps_local: bool,
    keeps_peer: bool,
    keeps_steps: bool,
    keeps_caller: bool,
    /// The contact, and whether the flow is new.
    contact: Option<(Contact, bool)>,
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
    fn find(places: &ScopeLocator, number: u128) -> End {
        let class = places.tag_test.find_number(number);
        End { number, class, side: places.tag_test.side(class) }
    }
}

impl FlowGrouper {
    pub fn new(sight: Arc<GroupingContext>) -> Self {
        let class_numbers = vec![None; sight.places.tag_test.classes().len()];
        Self {
            sight,
            ips: Interner::default(),
            rules: Interner::default(),
            looked_up: LookedUp::default(),
            classes: Interner::default(),
            class_numbers,
            keys: Interner::default(),
            groups: Vec::new(),
            steps: Vec::new(),
            step_keys: Interner::default(),
            contacts: Contacts::default(),
            has_begin: false,
            interfaces: HashSet::new(),
            captures: Vec::new(),
            last_interface: None,
            flows: Vec::new(),
            calls: 0,
            size: 0,
        }
    }

    pub fn places(&self) -> &ScopeLocator {
        &self.sight.places
    }

    pub fn clear(&mut self) {
        *self = Self::new(Arc::clone(&self.sight));
    }

    /// Returns the bytes held when they were last counted.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Counts the bytes held, once per 32 calls. A small batch adds little, and a count visits all groups.
    pub fn count_size(&mut self) {
        const CALLS: usize = 32;
        if self.calls.is_multiple_of(CALLS) {
            let each = size_of::<Group>() + 4 * size_of::<Packed>();
            let of = |group: &Group| {
                let Group { hours, steps: _, locals, peers, callers } = group;
                hours.size() + locals.size() + peers.size() + callers.size()
            };
            let groups: usize = self.groups.iter().map(of).sum();
            let steps: usize = self.steps.iter().map(Steps::size).sum();
            self.size = each * self.groups.len() + groups + steps + self.contacts.size();
        }
        self.calls += 1;
    }

    /// Returns the index of a key's group. Adds the group if it is new.
    #[inline(always)]
    fn group_index(&mut self, key: &Packed) -> usize {
        let number = self.keys.number(key) as usize;
        if number == self.groups.len() {
            self.groups.push(Group::new(&key.unpack()));
        }
        number
    }

    /// Returns the group of a key. Adds it if it is new.
    pub fn group(&mut self, key: &Packed) -> &mut Group {
        let index = self.group_index(key);
        &mut self.groups[index]
    }

    /// Returns the steps of a key's group. Adds them if they are new.
    pub fn steps_of(&mut self, key: &Packed) -> &mut Steps {
        let index = self.group_index(key);
        self.steps_of_group(index, key)
    }

    #[inline(always)]
    fn steps_of_group(&mut self, index: usize, key: &Packed) -> &mut Steps {
        let known = self.groups[index].steps;
        let place = if known == NO_STEPS { self.share_steps(index, key) } else { known };
        &mut self.steps[place as usize]
    }

    #[cold]
    fn share_steps(&mut self, index: usize, key: &Packed) -> u32 {
        let place = self.step_keys.number(&key.of_steps());
        if place as usize == self.steps.len() {
            self.steps.push(Steps::default());
        }
        self.groups[index].steps = place;
        place
    }

    #[inline(always)]
    fn class(&mut self, end: &End) -> u32 {
        match self.class_numbers[end.class.index()] {
            Some(number) => number,
            None => self.new_class(end),
        }
    }

    #[cold]
    fn new_class(&mut self, end: &End) -> u32 {
        let index = end.class.index();
        let letters = self.sight.places.tag_test.classes()[index].as_str().into();
        let number = self.classes.number(&Class { letters, is_internet: end.side.is_internet });
        self.class_numbers[index] = Some(number);
        number
    }

    /// Adds the flows of a batch, in steps of [`STEP`]. Each step first classifies
    /// its flows and then adds them to groups, so that the processor can work on many flows at once.
    pub fn add(&mut self, batch: &Batch) {
        let rows = batch.times.len();
        self.add_steps(batch, (0..rows).step_by(STEP).map(|from| from..rows.min(from + STEP)));
    }

    /// Adds some flows of a batch, as [`Self::add`] does.
    pub fn add_rows(&mut self, batch: &Batch, rows: &[u32]) {
        self.add_steps(batch, rows.chunks(STEP).map(|rows| rows.iter().map(|row| *row as usize)));
    }

    fn add_steps(&mut self, batch: &Batch, steps: impl Iterator<Item = impl Iterator<Item = usize>>) {
        let mut flows = std::mem::take(&mut self.flows);
        let mut looked_up = std::mem::take(&mut self.looked_up);
        looked_up.begin(batch);
        let mut last: Option<(Packed, usize)> = None;
        for rows in steps {
            flows.clear();
            self.classify(batch, rows, &mut looked_up, &mut flows);
            for flow in &flows {
                // Neighbouring flows of a lake often are of one group.
                let index = match last {
                    Some((key, index)) if key == flow.key => index,
                    _ => self.group_index(&flow.key),
                };
                last = Some((flow.key, index));
                let group = &mut self.groups[index];
                group.hours.add_time(flow.time);
                if flow.keeps_local {
                    group.locals.add(flow.local, flow.time);
                }
                if flow.keeps_peer {
                    group.peers.add(flow.peer, flow.time);
                }
                if flow.keeps_caller {
                    group.callers.add(Call { caller: flow.peer, local: flow.local }, flow.time);
                }
                if flow.keeps_steps {
                    self.steps_of_group(index, &flow.key).add_time(flow.time);
                }
                if let Some((contact, is_new)) = flow.contact {
                    self.add_contact(contact, is_new, flow.time);
                }
            }
        }
        self.flows = flows;
        self.looked_up = looked_up;
    }

    fn add_contact(&mut self, contact: Contact, is_new: bool, time: i64) {
        let has_begin = self.has_begin;
        let Some(visits) = self.contacts.entry(contact, CONTACTS) else { return };
        if is_new {
            visits.new.add_time(time);
        } else if !has_begin {
            visits.other.get_or_insert_default().add_time(time);
        }
    }

    fn classify(
        &mut self,
        batch: &Batch,
        rows: impl Iterator<Item = usize>,
        LookedUp { rules, captures, .. }: &mut LookedUp,
        flows: &mut Vec<Flow>,
    ) {
        let sight = Arc::clone(&self.sight);
        let places = &*sight.places;
        let mut last_ours = End::find(places, 0);
        let mut last_local = None;
        let mut last_capture = None;
        let mut last_rule = (u128::MAX, (0, false, false));
        let [src_ips, dst_ips] = batch.ips;
        let [src_ports, dst_ports] = batch.ports;
        let protocols = batch.protocols;
        flows.reserve(STEP);
        for row in rows {
            let is_outbound = batch.directions.code(row) == Direction::Outbound as u8;
            // `ours` is the end of the interface that logged the flow. Neighbouring flows mostly share it.
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
            let (local_key, end) = match last_local {
                Some((number, key, end)) if number == local.number => (key, end),
                _ => {
                    let end = places.end(local.number);
                    (if places.is_open { self.ips.number(&local.number) } else { end as u32 }, end)
                }
            };
            last_local = Some((local.number, local_key, end));
            let peer_local = match places.is_open && peer.side.may_be_interface {
                true => self.ips.number(&peer.number),
                false => NO_ADDRESS,
            };
            let rule_key = batch.rule_key(row);
            if last_rule.0 != rule_key {
                let number = *rules.entry(rule_key).or_insert_with(|| {
                    let rule = batch.rule(row);
                    (self.rules.number(&rule), rule.is_platform(), rule.is_vnet())
                });
                last_rule = (rule_key, number);
            }
            let (rule, is_platform, is_vnet) = last_rule.1;
            let time = batch.times[row];
            if is_local.0 {
                let capture = (batch.mac_key(row), is_vnet, hour_of(time));
                if last_capture != Some((ours.number, capture)) {
                    last_capture = Some((ours.number, capture));
                    if captures.insert(ours.number, capture) != Some(capture) {
                        self.capture(ours.number, capture, batch);
                    }
                }
            }
            // `&` and `|` instead of `&&` and `||`: these conditions are unpredictable, so evaluating both sides is
            // cheaper than branching.
            let is_denied = batch.decisions.code(row) == Decision::Deny as u8;
            let [src_port, dst_port] = [src_ports[row], dst_ports[row]];
            let is_named_src = sight.named_sources.contains(src_port);
            let is_from_internet = (direction == INBOUND) & peer.side.is_internet;
            let is_named = sight.named.contains(dst_port);
            let is_guarded = (direction == INBOUND) & sight.guarded.contains(dst_port);
            let has_port = is_named | is_denied & !is_from_internet;
            let (protocol, answer, state) = (protocols[row], batch.answer(row), batch.states.code(row));
            let is_unanswered = (answer == UNANSWERED) & (direction == OUTBOUND) & (protocol == Protocol::TCP.0);
            let is_web = (protocol == Protocol::TCP.0) & sight.client.contains(dst_port);
            let is_call = is_from_internet & !is_denied & !is_platform & is_web & batch.is_conversation(row);
            let may_fall_silent = (direction == OUTBOUND) | sight.management.contains(dst_port) | places.is_open;
            // Flows that a requirement asks for are compared with all allowed flows of the requirement, not peer by
            // peer.
            let is_asked_for =
                (direction == OUTBOUND) & !places.is_open && sight.asks_for(peer.class, protocol, dst_port);
            let is_contact = !is_denied & !is_platform & !is_asked_for & (!is_from_internet | is_guarded);
            let is_stranger =
                (direction == INBOUND) & (state == FlowState::End as u8) & (answer != NONE) & (answer != UNANSWERED);
            let key = Key {
                local: local_key,
                peer_local,
                class: self.class(&peer),
                rule,
                port: if has_port { dst_port.into() } else { NO_PORT },
                src_port: if is_named_src { src_port.into() } else { NO_PORT },
                protocol,
                direction,
                is_far: (direction != INTERNAL) & (is_outbound != (direction == OUTBOUND)),
                is_denied,
                is_call,
                state,
                answer,
            };
            let is_new = (state == NONE) | (state == FlowState::Begin as u8);
            self.has_begin |= (state == FlowState::Begin as u8) & !places.is_open;
            let contact = Contact { peer: peer.number, local: end, port: dst_port, protocol, direction };
            flows.push(Flow {
                key: key.pack(),
                time,
                local: local.number,
                peer: peer.number,
                keeps_local: !places.is_open & (is_denied | is_unanswered | is_stranger & !has_port),
                keeps_peer: has_port & (is_denied | is_unanswered | is_call),
                keeps_caller: is_denied & is_guarded,
                keeps_steps: is_named & !is_denied & !is_platform & may_fall_silent,
                contact: is_contact.then_some((contact, is_new)),
            });
        }
    }

    /// Notes that an address was logged: by an interface, in a kind of log, in an hour.
    fn capture(&mut self, local: u128, (mac, is_vnet, hour): Capture, batch: &Batch) {
        let local = self.ips.number(&local);
        self.hours_of(local, is_vnet).add(hour, hour);
        let Some(mac) = mac.map(|mac| batch.mac(mac)) else { return };
        if self.last_interface.as_ref().is_none_or(|(known, at)| *known != local || **at != *mac) {
            self.last_interface = Some((local, mac.into()));
            self.interfaces.insert((local, mac.into()));
        }
    }

    /// Returns the hours in which an address was logged in one kind of log. `local` is its index in `ips`.
    pub fn hours_of(&mut self, local: u32, is_vnet: bool) -> &mut HourRanges {
        let local = local as usize;
        if self.captures.len() <= local {
            self.captures.resize_with(local + 1, Default::default);
        }
        &mut self.captures[local][usize::from(is_vnet)]
    }
}
