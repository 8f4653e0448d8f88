//! Parts of flows on their way through lists of rules, and their fates. What is not known is kept apart as doubt.

use super::answer::{Decision, Effect, RuleRef, Verdict};
use super::model::Access;
use super::space::Degree;
use crate::net::{IpSet, PortSet};

/// A doubt, and the rule that raises it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Doubt {
    pub degree: Degree,
    pub by: Option<RuleRef>,
}

impl Doubt {
    pub fn raise(&mut self, degree: Degree, by: RuleRef) {
        if degree > self.degree {
            *self = Self { degree, by: Some(by) };
        }
    }

    /// Returns how much is left to a rule that certainly decides on what this doubt leaves; `No` if there is no doubt.
    pub fn rest(self) -> Degree {
        match self.degree {
            Degree::Some => Degree::Most,
            degree => degree,
        }
    }

    pub fn join(&mut self, other: Self) {
        if other.degree > self.degree {
            *self = other;
        }
    }
}

/// A part of the flows on its way through the lists.
#[derive(Debug, Clone)]
pub struct Part {
    pub ports: PortSet,
    pub peers: IpSet,
    /// Whether it may have been refused already.
    pub denied: Doubt,
    /// Whether an admin rule may have let it pass for good.
    pub allowed: Doubt,
    /// Last rule that let it pass.
    pub passed_by: Option<RuleRef>,
    /// Whether it may pass the list that is being looked at.
    pub pass: Doubt,
    /// Whether the list that is being looked at may refuse it.
    pub deny: Doubt,
}

impl Part {
    /// Notes that a rule may decide on the part.
    pub fn doubt(&mut self, access: Option<Access>, degree: Degree, by: RuleRef) {
        if access.is_none_or(|access| access == Access::Allow) {
            self.pass.raise(degree, by);
        }
        if access.is_none_or(|access| access == Access::Deny) {
            self.deny.raise(degree, by);
        }
        if access == Some(Access::AlwaysAllow) {
            self.allowed.raise(degree, by);
        }
    }

    pub fn cut(&self, ports: PortSet, peers: IpSet) -> Self {
        Self { ports, peers, ..self.clone() }
    }

    /// Ends the list that is being looked at.
    pub fn leave(mut self) -> Self {
        self.denied.join(self.deny);
        (self.pass, self.deny) = (Doubt::default(), Doubt::default());
        self
    }
}

/// Fates of parts, and the rules behind them.
#[derive(Debug, Default)]
pub struct Outcome {
    has_allowed: bool,
    has_denied: bool,
    has_unknown: bool,
    pub decisions: Vec<Decision>,
}

impl Outcome {
    pub fn verdict(&self) -> Verdict {
        match (self.has_denied, self.has_unknown, self.has_allowed) {
            (true, false, false) => Verdict::Deny,
            (true, ..) => Verdict::Partly,
            (false, false, true) => Verdict::Allow,
            _ => Verdict::Unknown,
        }
    }

    pub fn add(&mut self, by: Option<RuleRef>, effect: Effect, part: &Part) {
        let Some(by) = by else { return };
        let known = self.decisions.iter_mut().find(|known| known.by == by && known.effect == effect);
        match known {
            Some(known) => {
                let ports = known.ports.ranges().iter().chain(part.ports.ranges()).copied();
                known.ports = PortSet::from_ranges(ports.collect::<Vec<_>>());
                known.peers = known.peers.union(&part.peers);
            }
            None => {
                self.decisions.push(Decision { by, effect, ports: part.ports.clone(), peers: part.peers.clone() });
            }
        }
    }

    /// Ends a part that passed the last list, or that an admin rule let pass.
    pub fn allow(&mut self, part: &Part) {
        match part.denied.degree {
            Degree::No => {
                self.has_allowed = true;
                self.add(part.passed_by, Effect::Allows, part);
            }
            Degree::Some | Degree::Most => {
                (self.has_allowed, self.has_denied) = (true, true);
                self.add(part.denied.by, Effect::Denies, part);
                self.add(part.passed_by, Effect::MayAllow, part);
            }
            Degree::Maybe => {
                self.has_unknown = true;
                self.add(part.denied.by, Effect::MayDeny, part);
                self.add(part.passed_by, Effect::MayAllow, part);
            }
        }
    }

    /// Ends a part that `by` refuses.
    pub fn deny(&mut self, part: &Part, by: RuleRef) {
        match part.allowed.degree {
            Degree::No => {
                self.has_denied = true;
                self.add(Some(by), Effect::Denies, part);
            }
            Degree::Some | Degree::Most => {
                (self.has_allowed, self.has_denied) = (true, true);
                self.add(Some(by), Effect::Denies, part);
                self.add(part.allowed.by, Effect::MayAllow, part);
            }
            Degree::Maybe => {
                self.has_unknown = true;
                self.add(Some(by), Effect::MayDeny, part);
                self.add(part.allowed.by, Effect::MayAllow, part);
            }
        }
    }
}
