//! Row filter, free of DataFusion. The engine translates what it can; other conditions stay above the scan.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tuple::{Code, Tuple};
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::{IpSet, PortBits, PortSet, V4_FIRST};
use crate::time::{TimeRange, Timestamp};

/// Conjunction of conditions. An absent condition accepts every row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Predicate {
    /// Required decision.
    pub decision: Option<Decision>,
    /// Required direction.
    pub direction: Option<Direction>,
    /// Accepted flow states. A tuple without a state is rejected.
    pub states: Option<Vec<FlowState>>,
    /// Accepted protocols.
    pub protocols: Option<Vec<Protocol>>,
    /// Accepted source ports.
    pub src_ports: Option<PortSet>,
    /// Accepted destination ports.
    pub dst_ports: Option<PortSet>,
    /// Accepted source addresses.
    pub src_ips: Option<IpSet>,
    /// Accepted destination addresses.
    pub dst_ips: Option<IpSet>,
    /// Sets that must each contain the source or the destination.
    pub either_ips: Vec<IpSet>,
    /// Accepted flow times.
    pub times: TimeRange,
}

impl Predicate {
    /// Adds a condition. Contradictory conditions result in a predicate that rejects every row.
    pub fn narrow(&mut self, term: Term) {
        match term {
            Term::Decision(decision) if self.decision.is_none_or(|mine| mine == decision) => {
                self.decision = Some(decision);
            }
            Term::Direction(direction) if self.direction.is_none_or(|mine| mine == direction) => {
                self.direction = Some(direction);
            }
            Term::Decision(_) | Term::Direction(_) => self.protocols = Some(Vec::new()),
            Term::States(mut states) => {
                states.retain(|s| self.states.as_ref().is_none_or(|mine| mine.contains(s)));
                self.states = Some(states);
            }
            Term::Protocols(mut protocols) => {
                protocols.retain(|p| self.protocols.as_ref().is_none_or(|mine| mine.contains(p)));
                self.protocols = Some(protocols);
            }
            Term::SrcPorts(ports) | Term::DstPorts(ports) if ports.is_all() => {}
            Term::SrcPorts(ports) => self.src_ports = Some(narrowed(&self.src_ports, ports)),
            Term::DstPorts(ports) => self.dst_ports = Some(narrowed(&self.dst_ports, ports)),
            Term::SrcIps(ips) | Term::DstIps(ips) | Term::EitherIps(ips) if ips.is_all() => {}
            Term::SrcIps(ips) => self.src_ips = Some(within(&self.src_ips, ips)),
            Term::DstIps(ips) => self.dst_ips = Some(within(&self.dst_ips, ips)),
            Term::EitherIps(ips) => self.either_ips.push(ips),
            Term::Times(times) => self.times = self.times.intersection(&times),
        }
    }
}

fn within(mine: &Option<IpSet>, ips: IpSet) -> IpSet {
    mine.as_ref().map_or(ips.clone(), |mine| mine.intersection(&ips))
}

fn narrowed(mine: &Option<PortSet>, ports: PortSet) -> PortSet {
    mine.as_ref().map_or(ports.clone(), |mine| mine.intersection(&ports))
}

/// One condition of a predicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// Decision is this.
    Decision(Decision),
    /// Direction is this.
    Direction(Direction),
    /// Flow state is one of these.
    States(Vec<FlowState>),
    /// Protocol is one of these.
    Protocols(Vec<Protocol>),
    /// Source port is in the set.
    SrcPorts(PortSet),
    /// Destination port is in the set.
    DstPorts(PortSet),
    /// Source address is in the set.
    SrcIps(IpSet),
    /// Destination address is in the set.
    DstIps(IpSet),
    /// Source or destination address is in the set.
    EitherIps(IpSet),
    /// Flow time is in the range.
    Times(TimeRange),
}

/// Returns first address and length - 1 of the only prefix in a set, if it is IPv4.
fn only_prefix(set: &IpSet) -> Option<(u32, u32)> {
    let [prefix] = set.prefixes() else { return None };
    let (first, more) = (prefix.first(), prefix.last() - prefix.first());
    (first >> 32 == V4_FIRST >> 32).then_some((first as u32, u32::try_from(more).ok()?))
}

/// A predicate compiled for fast evaluation per tuple.
pub(super) struct Filter {
    /// Accepted combinations of direction, decision and state.
    letters: [bool; Code::LETTERS],
    protocols: Option<Box<[bool; 256]>>,
    /// Accepted ports of source and destination.
    ports: [Option<PortBits>; 2],
    /// True if there is a condition on addresses.
    asks_for_ips: bool,
    ips: [Option<IpSet>; 2],
    either_ips: Vec<IpSet>,
    /// First address and length - 1, if one IPv4 prefix for either address is the only condition on addresses.
    one_prefix: Option<(u32, u32)>,
    asks_for_times: bool,
    times: TimeRange,
}

impl Filter {
    pub fn new(predicate: &Predicate) -> Self {
        let Predicate { decision, direction, states, protocols, src_ports, dst_ports, src_ips, dst_ips, .. } =
            predicate;
        let Predicate { either_ips, times, .. } = predicate;
        let fits = |letters: usize| {
            let code = Code(letters as u8);
            decision.is_none_or(|d| d as u8 == code.decision())
                && direction.is_none_or(|d| d as u8 == code.direction())
                && states.as_ref().is_none_or(|states| states.iter().any(|&s| s as u8 == code.state()))
        };
        Self {
            letters: std::array::from_fn(fits),
            protocols: protocols
                .as_ref()
                .map(|kept| Box::new(std::array::from_fn(|nr| kept.contains(&Protocol(nr as u8))))),
            ports: [src_ports, dst_ports].map(|ports| ports.as_ref().map(PortBits::from)),
            asks_for_ips: src_ips.is_some() || dst_ips.is_some() || !either_ips.is_empty(),
            ips: [src_ips.clone(), dst_ips.clone()],
            either_ips: either_ips.clone(),
            one_prefix: match (src_ips, dst_ips, either_ips.as_slice()) {
                (None, None, [set]) => only_prefix(set),
                _ => None,
            },
            asks_for_times: *times != TimeRange::default(),
            times: *times,
        }
    }

    /// Returns whether a tuple is accepted. `number` returns the source (0) or destination (1) on the common number
    /// line.
    #[inline(always)]
    pub fn keeps(&self, tuple: &Tuple, number: impl Fn(usize) -> u128) -> bool {
        let has_port = |end: usize| self.ports[end].as_ref().is_none_or(|ports| ports.contains(tuple.ports[end]));
        self.letters[tuple.code.letters()]
            && self.protocols.as_ref().is_none_or(|flags| flags[usize::from(tuple.protocol.0)])
            && has_port(1)
            && has_port(0)
            && (!self.asks_for_times || self.times.contains(tuple.time))
            && (!self.asks_for_ips || self.has_one_prefix(tuple) || self.keeps_ips(number(0), number(1)))
    }

    /// Fast test for the most frequent condition. True is final; false only means that the general test must decide.
    #[inline(always)]
    fn has_one_prefix(&self, tuple: &Tuple) -> bool {
        self.one_prefix.is_some_and(|(first, more)| {
            let lies_in = |end: usize| tuple.ips[end].wrapping_sub(first) <= more && !tuple.code.is_v6(end);
            lies_in(0) | lies_in(1)
        })
    }

    #[inline(never)]
    fn keeps_ips(&self, src: u128, dst: u128) -> bool {
        let [src_ips, dst_ips] = &self.ips;
        src_ips.as_ref().is_none_or(|ips| ips.contains(src))
            && dst_ips.as_ref().is_none_or(|ips| ips.contains(dst))
            && self.either_ips.iter().all(|ips| ips.contains(src) || ips.contains(dst))
    }
}

/// Formats the predicate as in EXPLAIN.
impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |set: &PortSet| {
            let range = |&(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
            set.ranges().iter().map(range).collect::<Vec<_>>().join(";")
        };
        let ips = |set: &IpSet| set.prefixes().iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
        let states = |states: &Vec<FlowState>| states.iter().map(|s| s.name()).collect::<Vec<_>>().join(";");
        let names = |protocols: &Vec<Protocol>| protocols.iter().map(|p| p.name()).collect::<Vec<_>>().join(";");
        let terms = [
            ("decision", self.decision.map(|d| d.name().to_owned())),
            ("direction", self.direction.map(|d| d.name().to_owned())),
            ("state", self.states.as_ref().map(states)),
            ("protocol", self.protocols.as_ref().map(names)),
            ("src_port", self.src_ports.as_ref().map(ports)),
            ("dst_port", self.dst_ports.as_ref().map(ports)),
            ("src_ip", self.src_ips.as_ref().map(ips)),
            ("dst_ip", self.dst_ips.as_ref().map(ips)),
        ];
        let either = self.either_ips.iter().map(|set| ("src_ip|dst_ip", Some(ips(set))));
        let terms = terms.into_iter().chain(either).filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let bounds = [("time>=", self.times.from), ("time<", self.times.to)];
        let bounds = bounds.into_iter().filter_map(|(name, time)| Some(format!("{name}{}", Timestamp(time?))));
        let terms: Vec<String> = terms.chain(bounds).collect();
        f.write_str(&terms.join(" "))
    }
}
