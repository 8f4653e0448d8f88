//! Finds rules that never decide, because one before them matches everything that they match.

use serde::Serialize;

use super::address::Address;
use super::model::{Access, Acl, Rule, RuleProtocol, RuleState};
use crate::catalog::{Tag, is_within};
use crate::flow::Direction;
use crate::net::Prefix;

/// A rule that never decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shadowed {
    /// List that holds both rules.
    pub acl: String,
    /// Direction of both rules.
    pub direction: Direction,
    /// Name of the rule.
    pub rule: String,
    /// Priority of the rule.
    pub priority: Option<u32>,
    /// Decision of the rule.
    pub access: Option<Access>,
    /// Name of the rule that precedes it.
    pub by: String,
    /// Priority of the rule that precedes it.
    pub by_priority: Option<u32>,
    /// Decision of the rule that precedes it.
    pub by_access: Option<Access>,
    /// JSON pointer of the rule.
    pub pointer: String,
}

/// Lists the rules of users that never decide. Only one rule before is looked at, not several together.
pub fn shadowed(acl: &Acl) -> Vec<Shadowed> {
    let mut found = Vec::new();
    for direction in Direction::ALL {
        let rules: Vec<&Rule> = acl.rules_of(direction).filter(|rule| rule.state == RuleState::Ok).collect();
        for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.origin.is_default()) {
            let Some(by) = rules[..place].iter().find(|before| is_whole(before, rule)) else { continue };
            found.push(Shadowed {
                acl: acl.shown().to_owned(),
                direction,
                rule: rule.name.clone(),
                priority: rule.priority,
                access: rule.access,
                by: by.name.clone(),
                by_priority: by.priority,
                by_access: by.access,
                pointer: rule.pointer.clone(),
            });
        }
    }
    found
}

/// Returns whether `before` ends every flow that `rule` matches.
fn is_whole(before: &Rule, rule: &Rule) -> bool {
    // An admin rule that allows leaves the decision open only for network security groups, not for later admin rules.
    let protocols = before.protocol == Some(RuleProtocol::Any) || before.protocol == rule.protocol;
    protocols
        && before.source_ports.covers(&rule.source_ports)
        && before.destination_ports.covers(&rule.destination_ports)
        && contains_all(&before.source, &rule.source)
        && contains_all(&before.destination, &rule.destination)
}

fn contains_all(outer: &[Address], inner: &[Address]) -> bool {
    !inner.is_empty() && inner.iter().all(|inner| outer.iter().any(|outer| contains(outer, inner)))
}

/// Returns whether one address contains another for certain, in every network.
fn contains(outer: &Address, inner: &Address) -> bool {
    let is_in = |outer: &Prefix, inner: &Prefix| outer.first() <= inner.first() && inner.last() <= outer.last();
    match (outer, inner) {
        (Address::Any, _) => true,
        (Address::Unknown(_), _) | (_, Address::Unknown(_)) => false,
        (Address::Block(outer), Address::Block(inner)) => is_in(outer, inner),
        (Address::Tag(outer), Address::Tag(inner)) => {
            is_within(inner, outer)
                || Tag::from_name(outer) == Tag::Internet && matches!(Tag::from_name(inner), Tag::Named(_))
        }
        (outer, inner) => outer == inner,
    }
}
