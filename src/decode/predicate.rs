//! Which rows to build. Free of DataFusion: the engine translates what it can, the rest stays above the scan.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tuple::Key;
use crate::flow::{Decision, Direction, Protocol};
use crate::net::PortSet;

/// Half open, ms since 1970; `None` is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

impl TimeRange {
    pub fn contains(&self, time: i64) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

/// All parts must hold; `None` holds always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Predicate {
    pub decision: Option<Decision>,
    pub direction: Option<Direction>,
    pub protocols: Option<Vec<Protocol>>,
    pub src_ports: Option<PortSet>,
    pub dst_ports: Option<PortSet>,
}

impl Predicate {
    pub(super) fn keeps(&self, key: &Key) -> bool {
        self.decision.is_none_or(|d| d == key.decision)
            && self.direction.is_none_or(|d| d == key.direction)
            && self.protocols.as_ref().is_none_or(|p| p.contains(&key.protocol))
            && self.dst_ports.as_ref().is_none_or(|p| p.contains(key.dst_port))
            && self.src_ports.as_ref().is_none_or(|p| p.contains(key.src_port))
    }

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
            Term::Protocols(mut protocols) => {
                protocols.retain(|p| self.protocols.as_ref().is_none_or(|mine| mine.contains(p)));
                self.protocols = Some(protocols);
            }
            Term::SrcPorts(ports) | Term::DstPorts(ports) if ports.is_all() => {}
            Term::SrcPorts(ports) => self.src_ports = Some(narrowed(&self.src_ports, ports)),
            Term::DstPorts(ports) => self.dst_ports = Some(narrowed(&self.dst_ports, ports)),
        }
    }
}

fn narrowed(mine: &Option<PortSet>, ports: PortSet) -> PortSet {
    mine.as_ref().map_or(ports.clone(), |mine| mine.intersection(&ports))
}

/// One condition of a predicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    Decision(Decision),
    Direction(Direction),
    Protocols(Vec<Protocol>),
    SrcPorts(PortSet),
    DstPorts(PortSet),
}

/// As EXPLAIN shows it.
impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |set: &PortSet| {
            let range = |&(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
            set.ranges().iter().map(range).collect::<Vec<_>>().join(";")
        };
        let names = |protocols: &Vec<Protocol>| protocols.iter().map(|p| p.name()).collect::<Vec<_>>().join(";");
        let terms = [
            ("decision", self.decision.map(|d| d.name().to_owned())),
            ("direction", self.direction.map(|d| d.name().to_owned())),
            ("protocol", self.protocols.as_ref().map(names)),
            ("src_port", self.src_ports.as_ref().map(ports)),
            ("dst_port", self.dst_ports.as_ref().map(ports)),
        ];
        let terms: Vec<String> =
            terms.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
        f.write_str(&terms.join(" "))
    }
}
