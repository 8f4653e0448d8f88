//! Which rows to build. Free of DataFusion: the engine translates what it can, the rest stays above the scan.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tuple::{Code, Tuple};
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::{IpSet, PortBits, PortSet, V4_FIRST};
use crate::time::{TimeRange, Timestamp};

/// All parts must hold; `None` holds always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Predicate {
    pub decision: Option<Decision>,
    pub direction: Option<Direction>,
    /// A tuple without a state fits none.
    pub states: Option<Vec<FlowState>>,
    pub protocols: Option<Vec<Protocol>>,
    pub src_ports: Option<PortSet>,
    pub dst_ports: Option<PortSet>,
    pub src_ips: Option<IpSet>,
    pub dst_ips: Option<IpSet>,
    /// Source or destination lies in each of them.
    pub either_ips: Vec<IpSet>,
    pub times: TimeRange,
}

impl Predicate {
    /// Also asks for `term`; what contradicts leaves nothing to keep.
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
    Decision(Decision),
    Direction(Direction),
    States(Vec<FlowState>),
    Protocols(Vec<Protocol>),
    SrcPorts(PortSet),
    DstPorts(PortSet),
    SrcIps(IpSet),
    DstIps(IpSet),
    EitherIps(IpSet),
    Times(TimeRange),
}

/// The one prefix of a set, if there is one only and it is of IPv4.
fn only_prefix(set: &IpSet) -> Option<(u32, u32)> {
    let [prefix] = set.prefixes() else { return None };
    let (first, more) = (prefix.first(), prefix.last() - prefix.first());
    (first >> 32 == V4_FIRST >> 32).then_some((first as u32, u32::try_from(more).ok()?))
}

/// A predicate made ready to be asked of every tuple.
pub(super) struct Filter {
    /// By direction, decision and state.
    letters: [bool; Code::LETTERS],
    protocols: Option<Box<[bool; 256]>>,
    /// Of source and destination.
    ports: [Option<PortBits>; 2],
    /// Whether there is a condition on addresses.
    asks_for_ips: bool,
    ips: [Option<IpSet>; 2],
    either_ips: Vec<IpSet>,
    /// Where one prefix of IPv4 is all that is asked for: its first address, and how many follow it.
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

    /// `number` tells an address, of source or destination, on the common number line.
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

    /// True where the usual question has the usual answer. False says nothing.
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

/// As EXPLAIN shows it.
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
