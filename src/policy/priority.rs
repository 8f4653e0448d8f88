//! Chooses the priority of a new rule, so that it decides before every rule that stands in the way.

use std::collections::BTreeSet;

use super::answer::Question;
use super::model::{Access, Acl, Origin, Rule};
use super::space::Space;
use crate::flow::Direction;

/// Smallest priority that a user may give.
const FIRST: u32 = 100;
/// Largest priority that a user may give.
const LAST: u32 = 4096;
/// Largest priority that is chosen if only default rules stand in the way. Rules that deny the rest often have 4096.
const DEFAULT_LAST: u32 = 4000;
/// Priorities that are multiples of this leave room for others.
const STEP: u32 = 10;

/// A place for a rule, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// A free priority before every rule that stands in the way.
    Free(u32),
    /// No free priority is small enough. Holds the rule in the way with the smallest priority, and a free larger
    /// priority for it, if moving it there changes nothing else.
    Full {
        /// Name of the rule.
        blocker: String,
        /// Its priority.
        priority: u32,
        /// Priority to move it to; `None` if a rule between both would then decide before it.
        move_to: Option<u32>,
    },
    /// A rule whose priority is not readable may stand in the way. Holds its name.
    Unreadable(String),
}

impl Space {
    /// Returns the rules that refuse, or may refuse, flows of a question before a rule lets all of them pass.
    pub fn blockers<'a>(&self, acl: &'a Acl, question: &Question) -> Vec<&'a Rule> {
        let is_allow = |rule: &&Rule| rule.access == Some(Access::Allow) && self.covers(rule, question);
        let rules = || acl.rules_of(question.direction);
        let first = rules().find(is_allow).and_then(|rule| rule.priority);
        let precedes = |rule: &&Rule| first.is_none_or(|first| rule.priority.is_none_or(|own| own < first));
        let refuses = |rule: &&Rule| rule.access.is_none_or(|access| access == Access::Deny);
        rules().filter(refuses).filter(precedes).filter(|rule| self.touches(rule, question)).collect()
    }

    /// Chooses a priority for rules that let the flows of questions pass, one rule per question. The rules get this
    /// number and the ones after it. `reserved` are numbers that other new rules get.
    pub fn room(&self, acl: &Acl, questions: &[&Question], reserved: &BTreeSet<u32>) -> Room {
        let blockers = |is_certain: bool| -> Vec<&Rule> {
            let of = |question: &&Question| {
                let mut rules = self.blockers(acl, question);
                rules.retain(|rule| !is_certain || !self.hit(rule, question).is_empty());
                rules
            };
            questions.iter().flat_map(of).collect()
        };
        // Rules that may not match at all are avoided only if there is room before them.
        match self.before(acl, &blockers(false), questions, reserved) {
            Room::Full { .. } => self.before(acl, &blockers(true), questions, reserved),
            room => room,
        }
    }

    fn before(&self, acl: &Acl, blockers: &[&Rule], questions: &[&Question], reserved: &BTreeSet<u32>) -> Room {
        if let Some(rule) = blockers.iter().find(|rule| rule.priority.is_none()) {
            return Room::Unreadable(rule.name.clone());
        }
        let first = blockers.iter().min_by_key(|rule| rule.priority);
        let limit = first.and_then(|rule| rule.priority).unwrap_or(u32::MAX);
        let last = if limit > LAST { DEFAULT_LAST } else { limit.saturating_sub(1) };
        let mut taken = reserved.clone();
        taken.extend(questions.iter().flat_map(|question| self::taken(acl, question.direction)));
        let count = questions.len().max(1) as u32;
        let is_free =
            |number: &u32| (*number..*number + count).all(|number| number <= last && !taken.contains(&number));
        let tens = (FIRST..=last).rev().filter(|number| number.is_multiple_of(STEP)).find(is_free);
        match (tens.or_else(|| (FIRST..=last).rev().find(is_free)), first) {
            (Some(number), _) => Room::Free(number),
            (None, Some(blocker)) => Room::Full {
                blocker: blocker.name.clone(),
                priority: limit,
                move_to: (blocker.origin == Origin::User).then(|| self.larger(acl, blocker, &taken)).flatten(),
            },
            (None, None) => Room::Unreadable(String::new()),
        }
    }

    /// Returns a free larger priority for a rule, such that no rule in between decides on flows of it otherwise.
    fn larger(&self, acl: &Acl, rule: &Rule, taken: &BTreeSet<u32>) -> Option<u32> {
        let own = rule.priority?;
        let direction = rule.direction?;
        let after = acl.rules_of(direction).filter(|other| other.priority.is_none_or(|number| number > own));
        let next = after
            .filter(|other| other.access != rule.access && may_overlap(rule, other))
            .filter_map(|other| other.priority)
            .min();
        let end = next.unwrap_or(LAST + 1).min(LAST + 1);
        // The first number is for the rule that comes before it.
        (own + 1..end).find(|number| *number > FIRST && !taken.contains(number))
    }
}

/// Returns the priorities that rules of a direction have.
fn taken(acl: &Acl, direction: Direction) -> BTreeSet<u32> {
    acl.rules_of(direction).filter_map(|rule| rule.priority).collect()
}

/// Returns whether two rules may decide on the same flows, as far as their ports and protocols tell.
fn may_overlap(one: &Rule, other: &Rule) -> bool {
    use super::model::RuleProtocol::Any;
    let protocols = one.protocol.zip(other.protocol);
    let same_protocol = protocols.is_none_or(|(one, other)| one == other || one == Any || other == Any);
    same_protocol && !one.destination_ports.intersection(&other.destination_ports).is_empty()
}
