//! Finds rules that were meant for a requirement and miss it by one value.

use serde::Serialize;

use super::address::{Address, listed};
use super::answer::Question;
use super::model::{Access, Acl, Rule, RuleProtocol};
use super::space::Space;
use crate::catalog::{Tag, is_within};
use crate::flow::Direction;
use crate::names::names;
use crate::net::PortSet;

/// Value by which a rule misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// The direction.
    Direction,
    /// The protocol.
    Protocol,
    /// A port, by one digit or two swapped ones.
    Port,
    /// Source and destination are swapped.
    Ends,
    /// A tag that covers only a part, such as one region.
    Part,
}

names!(Miss { Direction = "direction", Protocol = "protocol", Port = "port", Ends = "ends", Part = "part" });

/// A rule that misses a requirement by one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// Name of the rule.
    pub rule: String,
    /// Value by which it misses.
    pub miss: Miss,
    /// The difference in words.
    pub words: String,
    /// JSON pointer of the rule.
    pub pointer: String,
}

impl Space {
    /// Lists the allow rules of users that miss the flows of a question by one value.
    pub fn near_misses(&self, acl: &Acl, question: &Question) -> Vec<NearMiss> {
        let rules = acl.rules.iter().filter(|rule| rule.access == Some(Access::Allow) && !rule.origin.is_default());
        let near = |rule: &Rule| {
            let (miss, words) = self.miss(rule, question)?;
            Some(NearMiss { rule: rule.name.clone(), miss, words, pointer: rule.pointer.clone() })
        };
        rules.filter_map(near).collect()
    }

    fn miss(&self, rule: &Rule, question: &Question) -> Option<(Miss, String)> {
        let direction = rule.direction?;
        if self.covers(rule, question) || !names_peer(rule, question) {
            return None;
        }
        let other = match question.direction {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        if direction == other && self.fits_turned(rule, question) {
            return Some((Miss::Direction, format!("it is {direction}, and {} is needed", question.direction)));
        }
        if direction != question.direction {
            return None;
        }
        let with = |edit: &dyn Fn(&mut Rule)| {
            let mut fixed = rule.clone();
            edit(&mut fixed);
            self.covers(&fixed, question)
        };
        let protocol = rule.protocol?;
        if with(&|rule| rule.protocol = Some(RuleProtocol::Any)) {
            return Some((Miss::Protocol, format!("it is for {protocol}, and {} is needed", question.protocol)));
        }
        if with(&|rule| rule.destination_ports = PortSet::all())
            && let Some((written, needed)) = near_port(&rule.destination_ports, &question.ports)
        {
            return Some((Miss::Port, format!("it has port {written}, and {needed} is needed")));
        }
        let is_swapped = with(&|rule| std::mem::swap(&mut rule.source, &mut rule.destination));
        let [_, peer] = rule.ends(direction);
        if is_swapped || self.has_peer_at_both_ends(rule, question) {
            let ends = format!("from {} to {}", listed(&rule.source), listed(&rule.destination));
            return Some((Miss::Ends, format!("it goes {ends}: the ends are swapped")));
        }
        let fits_else = with(&|rule| match direction {
            Direction::Inbound => rule.source = vec![Address::Any],
            Direction::Outbound => rule.destination = vec![Address::Any],
        });
        let is_part = |address: &Address| match (address.tag(), &question.peer.tag) {
            (Some(Tag::Named(part)), Some(Tag::Named(whole))) => is_within(&part, whole),
            _ => false,
        };
        if fits_else && !peer.addresses.is_empty() && peer.addresses.iter().all(is_part) {
            let whole = question.peer.tag.as_ref().map(Tag::name).unwrap_or_default();
            return Some((Miss::Part, format!("it allows {}, which is a part of {whole}", listed(peer.addresses))));
        }
        None
    }

    /// Returns whether a rule of the other direction would fit, either with its ends as they are or swapped.
    fn fits_turned(&self, rule: &Rule, question: &Question) -> bool {
        let mut turned = rule.clone();
        turned.direction = Some(question.direction);
        if self.covers(&turned, question) {
            return true;
        }
        std::mem::swap(&mut turned.source, &mut turned.destination);
        self.covers(&turned, question)
    }

    /// Returns whether a rule names the peer's tag at the instance's end, and anything at the other end.
    fn has_peer_at_both_ends(&self, rule: &Rule, question: &Question) -> bool {
        let [own, _] = rule.ends(question.direction);
        let names_peer = own.addresses.iter().any(|address| {
            let is = address.tag().zip(question.peer.tag.clone());
            is.is_some_and(|(one, other)| one == other && !matches!(one, Tag::Any | Tag::VirtualNetwork))
        });
        let mut fixed = rule.clone();
        match question.direction {
            Direction::Inbound => fixed.destination = vec![Address::Any],
            Direction::Outbound => fixed.source = vec![Address::Any],
        }
        names_peer && self.covers(&fixed, question)
    }
}

/// Returns whether a rule names the tag of the peer, or a part of it, at one of its ends. Other rules were not meant for
/// it.
fn names_peer(rule: &Rule, question: &Question) -> bool {
    let Some(wanted) = question.peer.tag.as_ref().filter(|tag| **tag != Tag::Any) else { return true };
    rule.source.iter().chain(&rule.destination).filter_map(Address::tag).any(|tag| match (&tag, wanted) {
        (Tag::Named(part), Tag::Named(whole)) => is_within(part, whole),
        (tag, wanted) => *tag == *wanted,
    })
}

/// Returns a port of the rule that looks like a needed one, and that one: one digit more, less or different, or two
/// swapped. The rule must have all other needed ports.
fn near_port(written: &PortSet, needed: &PortSet) -> Option<(u16, u16)> {
    let singles = |set: &PortSet| -> Vec<u16> {
        set.ranges().iter().filter(|(low, high)| low == high).map(|(port, _)| *port).collect()
    };
    let missing = singles(&needed.difference(written));
    let near = |port: u16| singles(written).into_iter().find(|other| is_near(&other.to_string(), &port.to_string()));
    missing.iter().find_map(|&port| Some((near(port)?, port)))
}

/// Returns whether two texts differ by one letter: more, less or other, or by two neighbours swapped.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    let start = short.iter().zip(long.iter()).take_while(|(a, b)| a == b).count();
    let end =
        |short: &[char], long: &[char]| short.iter().rev().zip(long.iter().rev()).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => {
            let (short, long) = (&short[start..], &long[start..]);
            let middle = short.len() - end(short, long);
            middle == 1 || middle == 2 && short.first() == long.get(1) && short.get(1) == long.first()
        }
        1 => start + end(&short[start..], &long[start..]) >= short.len(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_ports_are_not() {
        for (one, other, near) in [
            ("433", "443", true),
            ("1443", "1433", true),
            ("3334", "3343", true),
            ("443", "4443", true),
            ("4443", "443", true),
            ("443", "453", true),
            ("443", "443", false),
            ("80", "443", false),
            ("8080", "443", false),
            ("334", "443", false),
        ] {
            assert_eq!(is_near(one, other), near, "{one} {other}");
        }
    }
}
