//! Puts what the configured rules tell into a fix: priority, existing rule, and what happens once it is made.

use std::collections::BTreeSet;

use super::change::{Change, Fix, Simulated};
use crate::policy::{Acl, Planned, Room, Space, Step, Verdict, merged};

/// Completes a fix by a plan. `others` are the lists that decide beside the one that is changed.
pub fn complete(fix: &mut Fix, space: &Space, planned: &Planned, acls: &[&Acl], reserved: &mut BTreeSet<u32>) {
    let group = planned.acl.shown();
    let words = match &planned.step {
        Step::Add { priority } => {
            let count = planned.questions.len() as u32;
            reserved.extend(*priority..*priority + count);
            let blockers = planned.questions.iter().flat_map(|question| space.blockers(planned.acl, question));
            let blockers = blockers.filter(|rule| rule.priority.is_some_and(|number| number > *priority));
            let first = blockers.min_by_key(|rule| rule.priority);
            match first.and_then(|rule| Some((rule.priority?, rule))) {
                Some((number, rule)) => {
                    format!("Priority {priority} is free in {group}, and comes before {} ({number}).", rule.name)
                }
                None => format!("Priority {priority} is free in {group}."),
            }
        }
        Step::Move { rule, from, to } => {
            reserved.insert(*to);
            format!(
                "{rule} allows these flows, but stands at {from}, behind the rule that refuses them: move it to {to}."
            )
        }
        Step::Admin { rule } => {
            format!(
                "{rule} is a security admin rule of Virtual Network Manager: no NSG rule can override it. Change it there, or add an AlwaysAllow rule of smaller number."
            )
        }
        Step::Stuck(Room::Full { blocker, priority, move_to }) => {
            let way = match move_to {
                Some(number) => format!("move {blocker} from {priority} to {number} first, which changes nothing else"),
                None => format!("renumber the rules around {blocker} ({priority}) first"),
            };
            format!("No priority before {blocker} is free in {group}: {way}.")
        }
        Step::Stuck(Room::Unreadable(rule)) => {
            format!(
                "The priority of rule '{rule}' in {group} is not readable, so no priority is certain to come before it."
            )
        }
        Step::Stuck(Room::Free(_)) => String::new(),
    };
    let simulated = space.changed(planned).map(|changed| {
        let lists = with(acls, planned.acl, &changed);
        let verdict = merged(planned.questions.iter().map(|question| space.evaluate(&lists, question).verdict));
        let newly_allowed = Vec::new();
        Simulated { verdict, newly_allowed, newly_allowed_flows: 0, newly_allowed_tuples: 0, not_replayed_tuples: 0 }
    });
    if matches!(planned.step, Step::Admin { .. })
        && let Change::AllowRule(rule) = &fix.change
    {
        fix.change = Change::AdminRule(rule.clone());
    }
    if let Change::AllowRule(rule) | Change::AdminRule(rule) = &mut fix.change {
        match &planned.step {
            Step::Add { priority } => rule.priority = u16::try_from(*priority).ok(),
            Step::Move { rule: name, from, to } => {
                rule.existing_rule = Some(name.clone());
                rule.existing_priority = u16::try_from(*from).ok();
                rule.priority = u16::try_from(*to).ok();
            }
            Step::Admin { .. } | Step::Stuck(_) => {}
        }
        rule.simulated = simulated;
    }
    let still = fix.rule().and_then(|rule| rule.simulated.as_ref()).map(|simulated| simulated.verdict);
    let after = match still {
        None | Some(Verdict::Allow) => "",
        Some(Verdict::Unknown) => " With it, the rules do not tell whether the flows pass.",
        Some(_) => " With it, another rule still refuses some of the flows.",
    };
    fix.note = format!("{words}{after}").trim().to_owned();
}

/// Returns the lists with one of them replaced.
pub fn with<'a>(acls: &[&'a Acl], old: &Acl, new: &'a Acl) -> Vec<&'a Acl> {
    acls.iter().map(|acl| if std::ptr::eq(*acl, old) { new } else { *acl }).collect()
}
