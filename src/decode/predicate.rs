//! Which rows to build. Free of DataFusion: the engine translates what it can, the rest stays above the scan.

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

    /// Also asks for `term`. False, and unchanged, when this form cannot say both.
    pub fn narrow(&mut self, term: Term) -> bool {
        match term {
            Term::Decision(decision) => narrow_to(&mut self.decision, decision),
            Term::Direction(direction) => narrow_to(&mut self.direction, direction),
            Term::Protocols(mut protocols) => {
                protocols.retain(|p| self.protocols.as_ref().is_none_or(|mine| mine.contains(p)));
                self.protocols = Some(protocols);
                true
            }
            Term::SrcPorts(ports) => narrow_ports(&mut self.src_ports, &ports),
            Term::DstPorts(ports) => narrow_ports(&mut self.dst_ports, &ports),
        }
    }
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

fn narrow_to<T: PartialEq>(mine: &mut Option<T>, value: T) -> bool {
    match mine {
        Some(mine) => *mine == value,
        None => {
            *mine = Some(value);
            true
        }
    }
}

fn narrow_ports(mine: &mut Option<PortSet>, ports: &PortSet) -> bool {
    *mine = Some(mine.as_ref().map_or_else(|| ports.clone(), |mine| mine.intersection(ports)));
    true
}
