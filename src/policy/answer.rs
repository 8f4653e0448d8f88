//! Questions about flows, and what lists of rules answer.

use super::model::{Acl, Rule, RuleProtocol};
use super::space::End;
use crate::flow::Direction;
use crate::names::names;
use crate::net::{IpSet, PortSet};

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
