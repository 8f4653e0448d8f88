//! Decides what lists of rules do with flows. Works on sets of addresses and ports, and keeps what is not known apart: a
//! rule that may match decides nothing, and what follows it is in doubt.

use super::model::{Access, Acl, Layer, Rule, RuleProtocol, RuleState};
use super::space::{Degree, End, Space};
use crate::flow::Direction;
use crate::names::names;
use crate::net::{IpSet, PortSet};

/// Maximum number of parts of a subnet that are decided on one by one.
const MOST_PARTS: usize = 64;

/// Flows to decide on.
#[derive(Debug, Clone)]
pub struct Question {
    /// Direction as the interface sees it.
    pub direction: Direction,
    /// TCP or UDP.
    pub protocol: RuleProtocol,
    /// The interface's end.
    pub local: End,
    /// The other end.
    pub peer: End,
    /// Destination ports.
    pub ports: PortSet,
    /// Source ports.
    pub source_ports: PortSet,
}

/// What happens to the flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All pass.
    Allow,
    /// The rules do not tell.
    Unknown,
    /// Some are refused for certain.
    Partly,
    /// All are refused.
    Deny,
}

names!(Verdict { Allow = "allow", Unknown = "unknown", Partly = "partly", Deny = "deny" });

/// What a rule does with a part of the flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Refuses them.
    Denies,
    /// May refuse them.
    MayDeny,
    /// May let them pass.
    MayAllow,
    /// Lets them pass, and no later rule refuses them.
    Allows,
}

names!(Effect { Denies = "denies", MayDeny = "may-deny", MayAllow = "may-allow", Allows = "allows" });

/// A rule, by its place in the lists of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleRef {
    /// Index of the list.
    pub acl: usize,
    /// Index of the rule in the list.
    pub rule: usize,
}

impl RuleRef {
    /// Returns the list and the rule.
    pub fn of<'a>(self, acls: &[&'a Acl]) -> Option<(&'a Acl, &'a Rule)> {
        let acl = *acls.get(self.acl)?;
        Some((acl, acl.rules.get(self.rule)?))
    }
}

/// Effect of a rule on a part of the flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rule.
    pub by: RuleRef,
    /// What it does.
    pub effect: Effect,
    /// Destination ports of the part.
    pub ports: PortSet,
    /// Addresses of the peers of the part. A peer without known addresses is one point.
    pub peers: IpSet,
}

/// Answer to a question.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// What happens to the flows.
    pub verdict: Verdict,
    /// Rules that decide, the refusing ones first, then in the order of the lists.
    pub decisions: Vec<Decision>,
    /// Rules of users that would let all of the flows pass, and stand behind a rule of their list that refuses some.
    pub shadowed_allows: Vec<RuleRef>,
}

impl Evaluation {
    /// Returns the decisions with an effect.
    pub fn with(&self, effect: Effect) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(move |decision| decision.effect == effect)
    }
}

/// A doubt, and the rule that raises it.
#[derive(Debug, Clone, Copy, Default)]
struct Doubt {
    degree: Degree,
    by: Option<RuleRef>,
}

impl Doubt {
    fn raise(&mut self, degree: Degree, by: RuleRef) {
        if degree > self.degree {
            *self = Self { degree, by: Some(by) };
        }
    }

    /// Returns how much is left to a rule that certainly decides on what this doubt leaves; `No` if there is no doubt.
    fn rest(self) -> Degree {
        match self.degree {
            Degree::Some => Degree::Most,
            degree => degree,
        }
    }

    fn join(&mut self, other: Self) {
        if other.degree > self.degree {
            *self = other;
        }
    }
}

/// A part of the flows on its way through the lists.
#[derive(Debug, Clone)]
struct Part {
    ports: PortSet,
    peers: IpSet,
    /// Whether it may have been refused already.
    denied: Doubt,
    /// Whether an admin rule may have let it pass for good.
    allowed: Doubt,
    /// Last rule that let it pass.
    passed_by: Option<RuleRef>,
    /// Whether it may pass the list that is being looked at.
    pass: Doubt,
    /// Whether the list that is being looked at may refuse it.
    deny: Doubt,
}

impl Part {
    fn cut(&self, ports: PortSet, peers: IpSet) -> Self {
        Self { ports, peers, ..self.clone() }
    }

    /// Ends the list that is being looked at.
    fn leave(mut self) -> Self {
        self.denied.join(self.deny);
        (self.pass, self.deny) = (Doubt::default(), Doubt::default());
        self
    }
}

/// Fates of parts, and the rules behind them.
#[derive(Debug, Default)]
struct Outcome {
    has_allowed: bool,
    has_denied: bool,
    has_unknown: bool,
    decisions: Vec<Decision>,
}

impl Outcome {
    fn verdict(&self) -> Verdict {
        match (self.has_denied, self.has_unknown, self.has_allowed) {
            (true, false, false) => Verdict::Deny,
            (true, ..) => Verdict::Partly,
            (false, false, true) => Verdict::Allow,
            _ => Verdict::Unknown,
        }
    }

    fn add(&mut self, by: Option<RuleRef>, effect: Effect, part: &Part) {
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
    fn allow(&mut self, part: &Part) {
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
    fn deny(&mut self, part: &Part, by: RuleRef) {
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

impl Space {
    /// Decides what `acls` do with the flows of a question. Lists that are attached to nothing must be left out.
    pub fn evaluate(&self, acls: &[&Acl], question: &Question) -> Evaluation {
        let mut outcome = Outcome::default();
        for local in self.locals(acls, question) {
            self.decide(acls, question, &local, &mut outcome);
        }
        let verdict = outcome.verdict();
        let mut decisions = outcome.decisions;
        decisions.sort_by_key(|decision| (decision.effect, decision.by));
        let shadowed_allows = self.shadowed_allows(acls, question, &decisions);
        Evaluation { verdict, decisions, shadowed_allows }
    }

    /// Cuts the local end into parts that every rule covers whole or not at all.
    fn locals(&self, acls: &[&Acl], question: &Question) -> Vec<End> {
        let Some(addresses) = &question.local.addresses else { return vec![question.local.clone()] };
        let mut parts = vec![addresses.clone()];
        for rule in acls.iter().flat_map(|acl| acl.rules_of(question.direction)) {
            let [own, _] = rule.ends(question.direction);
            let covered = self.cover(own, &question.local).certain;
            let cut = |part: IpSet| [part.intersection(&covered), part.difference(&covered)];
            if parts.len() < MOST_PARTS {
                parts = parts.into_iter().flat_map(cut).filter(|part| !part.is_empty()).collect();
            }
        }
        parts.into_iter().map(|part| End { tag: question.local.tag.clone(), addresses: Some(part) }).collect()
    }

    fn decide(&self, acls: &[&Acl], question: &Question, local: &End, outcome: &mut Outcome) {
        let mut order: Vec<usize> = (0..acls.len()).collect();
        order.sort_by_key(|&place| acls.get(place).map(|acl| rank(acl.layer, question.direction)));
        let mut parts = vec![Part {
            ports: question.ports.clone(),
            peers: question.peer.whole(),
            denied: Doubt::default(),
            allowed: Doubt::default(),
            passed_by: None,
            pass: Doubt::default(),
            deny: Doubt::default(),
        }];
        for place in order {
            if let Some(acl) = acls.get(place) {
                parts = self.pass(acl, place, parts, question, local, outcome);
            }
        }
        parts.iter().for_each(|part| outcome.allow(part));
    }

    /// Takes parts through one list. Returns those that pass it.
    fn pass(
        &self,
        acl: &Acl,
        place: usize,
        mut open: Vec<Part>,
        question: &Question,
        local: &End,
        outcome: &mut Outcome,
    ) -> Vec<Part> {
        let mut passed = Vec::new();
        for (nr, rule) in acl.rules.iter().enumerate() {
            let Some(reach) = self.reach(rule, question, local) else { continue };
            let by = RuleRef { acl: place, rule: nr };
            let mut next = Vec::with_capacity(open.len());
            for part in open {
                let ports = part.ports.intersection(&reach.ports);
                if ports.is_empty() {
                    next.push(part);
                    continue;
                }
                let others = part.ports.difference(&reach.ports);
                if !others.is_empty() {
                    next.push(part.cut(others, part.peers.clone()));
                }
                let missed = part.peers.difference(&reach.certain);
                if !missed.is_empty() {
                    let mut missed = part.cut(ports.clone(), missed);
                    missed.doubt(rule.access, reach.beyond, by);
                    next.push(missed);
                }
                let hit = part.peers.intersection(&reach.certain);
                if hit.is_empty() {
                    continue;
                }
                let mut hit = part.cut(ports, hit);
                match (reach.doubt, rule.access) {
                    (Degree::No, Some(Access::Allow)) => {
                        hit.passed_by = Some(by);
                        passed.push(hit.leave());
                    }
                    (Degree::No, Some(Access::AlwaysAllow)) => match hit.pass.rest() {
                        Degree::No => {
                            hit.passed_by = Some(by);
                            outcome.allow(&hit.leave());
                        }
                        rest => {
                            hit.allowed.raise(rest, by);
                            passed.push(hit.leave());
                        }
                    },
                    (Degree::No, Some(Access::Deny)) => match hit.pass.rest() {
                        Degree::No => outcome.deny(&hit, by),
                        rest => {
                            hit.passed_by = hit.pass.by;
                            hit.deny = Doubt { degree: rest, by: Some(by) };
                            passed.push(hit.leave());
                        }
                    },
                    (degree, access) => {
                        hit.doubt(access, degree, by);
                        next.push(hit);
                    }
                }
            }
            open = next;
        }
        passed.extend(open.into_iter().map(Part::leave));
        passed
    }

    /// Returns how far a rule reaches into the flows; `None` if it does not.
    fn reach(&self, rule: &Rule, question: &Question, local: &End) -> Option<Reach> {
        let is_other = |protocol| protocol != RuleProtocol::Any && protocol != question.protocol;
        if !rule.is_for(question.direction) || rule.protocol.is_some_and(is_other) {
            return None;
        }
        let mut doubt = Degree::No;
        let is_known = rule.state == RuleState::Ok && rule.priority.is_some() && rule.protocol.is_some();
        if !is_known || rule.direction.is_none() {
            doubt = Degree::Maybe;
        }
        let [own, peer] = rule.ends(question.direction);
        // Ports and addresses that cannot be read may be any; those that can be read limit what the rule may match. Of a
        // rule with values that are not known yet, the known ones may be a part.
        if matches!(rule.state, RuleState::Unknown(_)) {
            return Some(Reach { ports: PortSet::all(), certain: IpSet::default(), doubt, beyond: Degree::Maybe });
        }
        let locals = self.cover(own, local);
        if !own.addresses.is_empty() && !locals.certain.covers(&local.whole()) {
            let is_part = !locals.certain.is_empty();
            doubt = doubt.max(if is_part { Degree::Maybe } else { locals.doubt });
            if !is_part && locals.doubt == Degree::No {
                return None;
            }
        }
        if !rule.source_ports.covers(&question.source_ports) {
            if rule.source_ports.intersection(&question.source_ports).is_empty() {
                return None;
            }
            doubt = doubt.max(Degree::Some);
        }
        let mut peers = self.cover(peer, &question.peer);
        if peer.addresses.is_empty() {
            peers.doubt = Degree::Maybe;
        }
        let beyond = if peers.doubt == Degree::No { Degree::No } else { peers.doubt.max(doubt) };
        let is_empty = peers.certain.is_empty() && beyond == Degree::No;
        (!is_empty).then(|| Reach { ports: rule.destination_ports.clone(), certain: peers.certain, doubt, beyond })
    }

    /// Lists the allow rules of users that would let all of the flows pass if they stood first.
    fn shadowed_allows(&self, acls: &[&Acl], question: &Question, decisions: &[Decision]) -> Vec<RuleRef> {
        let mut found = Vec::new();
        for decision in decisions.iter().filter(|decision| decision.effect == Effect::Denies) {
            let Some(acl) = acls.get(decision.by.acl).filter(|acl| acl.layer != Layer::Admin) else { continue };
            for (nr, rule) in acl.rules.iter().enumerate().skip(decision.by.rule + 1) {
                let by = RuleRef { acl: decision.by.acl, rule: nr };
                let is_meant = rule.access == Some(Access::Allow) && !rule.origin.is_default();
                if is_meant && !found.contains(&by) && self.covers(rule, question) {
                    found.push(by);
                }
            }
        }
        found
    }

    /// Returns whether a rule matches all flows of a question for certain.
    pub fn covers(&self, rule: &Rule, question: &Question) -> bool {
        self.reach(rule, question, &question.local).is_some_and(|reach| {
            reach.doubt == Degree::No
                && reach.ports.covers(&question.ports)
                && reach.certain.covers(&question.peer.whole())
        })
    }

    /// Returns whether a rule may match some flows of a question.
    pub fn touches(&self, rule: &Rule, question: &Question) -> bool {
        self.reach(rule, question, &question.local)
            .is_some_and(|reach| !reach.ports.intersection(&question.ports).is_empty())
    }
}

impl Space {
    /// Returns whether a rule matches some flows of a question for certain.
    pub fn hits(&self, rule: &Rule, question: &Question) -> bool {
        self.reach(rule, question, &question.local).is_some_and(|reach| {
            let is_met = !reach.ports.intersection(&question.ports).is_empty();
            is_met && reach.doubt == Degree::No && !reach.certain.intersection(&question.peer.whole()).is_empty()
        })
    }
}

/// How far a rule reaches into the flows of a question.
struct Reach {
    ports: PortSet,
    /// Peers that it covers for certain, if it applies at all.
    certain: IpSet,
    /// Doubt whether it applies.
    doubt: Degree,
    /// Doubt whether it covers the other peers, too.
    beyond: Degree,
}

impl Part {
    /// Notes that a rule may decide on the part.
    fn doubt(&mut self, access: Option<Access>, degree: Degree, by: RuleRef) {
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
}

/// Returns the order in which a flow passes the places.
fn rank(layer: Layer, direction: Direction) -> u8 {
    match (layer, direction) {
        (Layer::Admin, _) => 0,
        (Layer::Subnet, Direction::Inbound) | (Layer::Nic, Direction::Outbound) => 1,
        (Layer::Nic, Direction::Inbound) | (Layer::Subnet, Direction::Outbound) => 2,
    }
}
