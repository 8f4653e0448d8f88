//! Chooses the change that lets flows pass, and tries it: what the rules do once it is made.

use std::collections::BTreeSet;

use super::address::Address;
use super::answer::{Effect, Evaluation, Question, Verdict};
use super::model::{Access, Acl, Layer, Origin, Rule, RuleState};
use super::priority::Room;
use super::space::Space;
use crate::catalog::Tag;
use crate::flow::Direction;

/// A change of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// New allow rules with this priority and the ones after it, one per question.
    Add {
        /// Priority of the first rule.
        priority: u32,
    },
    /// Another priority of a rule that allows the flows already, and stands behind the one that refuses them.
    Move {
        /// Name of the rule.
        rule: String,
        /// Its priority.
        from: u32,
        /// Its new priority.
        to: u32,
    },
    /// A change of an admin rule, because no network security group can override it.
    Admin {
        /// Name of the rule.
        rule: String,
    },
    /// No change, because no number is free.
    Stuck(Room),
}

/// A change, and the list that it is made in.
#[derive(Debug, Clone)]
pub struct Planned<'a> {
    /// List to change.
    pub acl: &'a Acl,
    /// Change to make.
    pub step: Step,
    /// Questions that are not answered by an allow, in their order.
    pub questions: Vec<Question>,
}

impl Space {
    /// Chooses the change that lets the flows of questions pass. `None` if all pass already, or no rule refuses them.
    /// `reserved` are priorities that other new rules get.
    pub fn plan<'a>(
        &self,
        acls: &[&'a Acl],
        answers: &[(Question, Evaluation)],
        reserved: &BTreeSet<u32>,
    ) -> Option<Planned<'a>> {
        let open: Vec<&(Question, Evaluation)> =
            answers.iter().filter(|(_, answer)| answer.verdict != Verdict::Allow).collect();
        let by = open
            .iter()
            .flat_map(|(_, answer)| &answer.decisions)
            .find(|decision| matches!(decision.effect, Effect::Denies | Effect::MayDeny))?;
        let (acl, rule) = by.by.of(acls)?;
        let questions: Vec<Question> = open.iter().map(|(question, _)| question.clone()).collect();
        let planned = |step| Some(Planned { acl, step, questions: questions.clone() });
        if acl.layer == Layer::Admin {
            return planned(Step::Admin { rule: rule.name.clone() });
        }
        let every: Vec<&Question> = questions.iter().collect();
        // A rule that covers all of it must only come first.
        let behind = acl.rules.iter().find(|rule| {
            rule.access == Some(Access::Allow)
                && !rule.origin.is_default()
                && every.iter().all(|question| self.covers(rule, question))
        });
        if let (Some(behind), Some(first)) = (behind, every.first()) {
            let one = self.room(acl, &[first], reserved);
            if let (Room::Free(to), Some(from)) = (&one, behind.priority) {
                return planned(Step::Move { rule: behind.name.clone(), from, to: *to });
            }
        }
        planned(match self.room(acl, &every, reserved) {
            Room::Free(priority) => Step::Add { priority },
            full => Step::Stuck(full),
        })
    }

    /// Returns the list with the change made; `None` if there is none to make.
    pub fn changed(&self, planned: &Planned) -> Option<Acl> {
        let mut acl = planned.acl.clone();
        match &planned.step {
            Step::Add { priority } => {
                for (number, question) in (*priority..).zip(&planned.questions) {
                    acl.rules.push(allow(question, number));
                }
            }
            Step::Move { rule, to, .. } => {
                let moved = acl.rules.iter_mut().find(|other| other.name == *rule)?;
                moved.priority = Some(*to);
            }
            Step::Admin { .. } | Step::Stuck(_) => return None,
        }
        let direction = |rule: &Rule| rule.direction.map(|direction| direction == Direction::Outbound);
        acl.rules.sort_by_key(|rule| (direction(rule), rule.priority));
        Some(acl)
    }
}

/// Returns the rule that allows the flows of a question.
fn allow(question: &Question, priority: u32) -> Rule {
    let peer = match (&question.peer.tag, &question.peer.addresses) {
        (Some(Tag::Any), _) => vec![Address::Any],
        (Some(Tag::Subnet) | None, Some(addresses)) => {
            addresses.prefixes().iter().copied().map(Address::Block).collect()
        }
        (Some(tag), _) => vec![Address::Tag(tag.name().to_owned())],
        (None, None) => vec![Address::Any],
    };
    let own = vec![Address::Tag(Tag::VirtualNetwork.name().to_owned())];
    let (source, destination) = match question.direction {
        Direction::Inbound => (peer, own),
        Direction::Outbound => (own, peer),
    };
    Rule {
        name: format!("new-{priority}"),
        origin: Origin::User,
        priority: Some(priority),
        direction: Some(question.direction),
        access: Some(Access::Allow),
        protocol: Some(question.protocol),
        source,
        destination,
        source_ports: crate::net::PortSet::all(),
        destination_ports: question.ports.clone(),
        expanded_source: None,
        expanded_destination: None,
        description: String::new(),
        state: RuleState::Ok,
        pointer: String::new(),
    }
}
