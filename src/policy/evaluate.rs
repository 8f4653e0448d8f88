//! Decides what lists of rules do with flows. Works on sets of addresses and ports, and keeps what is not known apart: a
//! rule that may match decides nothing, and what follows it is in doubt.

use super::answer::{Decision, Effect, Evaluation, Question, RuleRef};
use super::model::{Access, Acl, Layer, Rule, RuleProtocol, RuleState};
use super::parts::{Doubt, Outcome, Part};
use super::space::{Degree, End, Space};
use crate::flow::Direction;
use crate::net::{IpSet, PortSet};

/// Maximum number of parts of a subnet that are decided on one by one.
const MOST_PARTS: usize = 64;

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

    /// Returns the peers of a question of which a rule matches some flows for certain.
    pub fn hit(&self, rule: &Rule, question: &Question) -> IpSet {
        let reach = self.reach(rule, question, &question.local).filter(|reach| reach.doubt == Degree::No);
        let met = reach.filter(|reach| !reach.ports.intersection(&question.ports).is_empty());
        met.map(|reach| reach.certain.intersection(&question.peer.whole())).unwrap_or_default()
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

/// Returns the order in which a flow passes the places.
fn rank(layer: Layer, direction: Direction) -> u8 {
    match (layer, direction) {
        (Layer::Admin, _) => 0,
        (Layer::Subnet, Direction::Inbound) | (Layer::Nic, Direction::Outbound) => 1,
        (Layer::Nic, Direction::Inbound) | (Layer::Subnet, Direction::Outbound) => 2,
    }
}
