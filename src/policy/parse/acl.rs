//! Puts the rules of a file together to lists of rules: by group, in order, with the rules that every group has.

use std::collections::HashSet;

use crate::flow::Direction;
use crate::policy::default_rules::{DEFAULT_RULES, is_default};
use crate::policy::model::{Acl, Layer, Origin, Rule, RuleState, Shape};

/// What a file says of a list of rules, beside the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub id: Option<String>,
    pub name: String,
    pub layer: Layer,
    pub attached: Option<Vec<String>>,
    pub flushes: bool,
    pub shape: Shape,
    pub has_inline_blocks: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            id: None,
            name: String::new(),
            layer: Layer::Subnet,
            attached: None,
            flushes: false,
            shape: Shape::Arm,
            has_inline_blocks: false,
        }
    }
}

/// Collects the lists of rules of one file.
pub struct Builder<'f> {
    file: &'f str,
    acls: Vec<Acl>,
    /// Place of the list that rules are added to.
    current: Option<usize>,
    gaps: Vec<String>,
}

impl<'f> Builder<'f> {
    pub fn new(file: &'f str) -> Self {
        Self { file, acls: Vec::new(), current: None, gaps: Vec::new() }
    }

    /// Goes on with the list of this id, or of this name, and begins it if there is none.
    pub fn begin(&mut self, head: Head) {
        let id = head.id.as_ref().map(|id| id.to_ascii_lowercase());
        let is_same = |acl: &Acl| {
            let ids = acl.id.as_ref().zip(id.as_ref()).map(|(one, other)| one == other);
            acl.layer == head.layer && ids.unwrap_or_else(|| acl.name.eq_ignore_ascii_case(&head.name))
        };
        if let Some(place) = self.acls.iter().position(is_same) {
            if let Some(acl) = self.acls.get_mut(place) {
                acl.id = acl.id.take().or(id);
                acl.attached = acl.attached.take().or(head.attached);
                acl.flushes |= head.flushes;
                acl.has_inline_blocks |= head.has_inline_blocks;
            }
            self.current = Some(place);
            return;
        }
        let Head { name, layer, attached, flushes, shape, has_inline_blocks, .. } = head;
        self.acls.push(Acl {
            id,
            name,
            layer,
            rules: Vec::new(),
            attached,
            flushes,
            gaps: Vec::new(),
            lacks_rules: false,
            shape,
            file: self.file.to_owned(),
            has_inline_blocks,
        });
        self.current = Some(self.acls.len() - 1);
    }

    /// Adds a rule to the list that was begun last. A rule that is there already counts once; one that differs from
    /// another of its name makes both unknown.
    pub fn add(&mut self, mut rule: Rule) {
        let Some(acl) = self.current.and_then(|place| self.acls.get_mut(place)) else { return };
        if rule.origin == Origin::User && is_default(&rule.name) && rule.priority.is_some_and(|number| number >= 65_000)
        {
            rule.origin = Origin::Default;
        }
        let same_name = |other: &&mut Rule| {
            other.name.eq_ignore_ascii_case(&rule.name)
                && (other.direction == rule.direction || acl.layer != Layer::Admin)
        };
        let twin = acl.rules.iter_mut().find(same_name).filter(|_| !rule.name.is_empty() && acl.layer != Layer::Admin);
        match twin {
            Some(twin) if is_equal(twin, &rule) => {}
            Some(twin) => {
                let reason = format!("the file holds '{}' twice, with different content", rule.name);
                twin.state = RuleState::Unknown(reason.clone());
                rule.state = RuleState::Unknown(reason);
                acl.rules.push(rule);
            }
            None => acl.rules.push(rule),
        }
    }

    /// Remembers that the list that was begun last lacks rules.
    pub fn gap(&mut self, reason: &str) {
        if let Some(acl) = self.current.and_then(|place| self.acls.get_mut(place)) {
            acl.gaps.push(reason.to_owned());
            acl.lacks_rules = true;
        }
    }

    /// Remembers that lists of the file may be missing, or lack rules.
    pub fn gap_everywhere(&mut self, reason: &str) {
        self.gaps.push(reason.to_owned());
    }

    /// Notes that a list of this id is attached to a subnet.
    pub fn attach(&mut self, id: &str, subnet: String) {
        let id = id.to_ascii_lowercase();
        for acl in self.acls.iter_mut().filter(|acl| acl.id.as_deref() == Some(id.as_str())) {
            acl.attached.get_or_insert_default().push(subnet.clone());
        }
    }

    /// Returns the lists with the rules that every group has, in the order in which the rules decide.
    pub fn finish(self) -> Vec<Acl> {
        let Self { mut acls, gaps, .. } = self;
        for acl in &mut acls {
            acl.gaps.extend(gaps.iter().cloned());
            // A page may end between two rules of a list, but never within a group.
            let is_listed = matches!(acl.shape, Shape::RuleList | Shape::NetworkManager | Shape::Effective);
            acl.lacks_rules |= is_listed && !gaps.is_empty();
            if acl.layer != Layer::Admin {
                let known: HashSet<String> = acl.rules.iter().map(|rule| rule.name.to_ascii_lowercase()).collect();
                let lacking = DEFAULT_RULES.iter().filter(|rule| !known.contains(&rule.name.to_ascii_lowercase()));
                acl.rules.extend(lacking.cloned());
                doubt_equal_priorities(&mut acl.rules);
            }
            let direction = |rule: &Rule| rule.direction.map(|direction| direction == Direction::Outbound);
            acl.rules.sort_by_key(|rule| (direction(rule), rule.priority, rule.name.clone()));
        }
        acls
    }
}

/// Makes rules unreadable that have one priority and decide differently: Azure refuses them, so which one comes first is
/// not known.
fn doubt_equal_priorities(rules: &mut [Rule]) {
    let known = rules.to_vec();
    for rule in rules.iter_mut().filter(|rule| rule.state == RuleState::Ok) {
        let is_rival = |other: &&Rule| {
            let is_alike = other.priority == rule.priority && other.direction == rule.direction;
            is_alike && other.state == RuleState::Ok && other.access != rule.access
        };
        if let (Some(priority), Some(rival)) = (rule.priority, known.iter().find(is_rival)) {
            rule.state = RuleState::Unreadable(format!("its priority {priority} is also that of '{}'", rival.name));
        }
    }
}

/// Returns whether two rules say the same, wherever they stand.
pub fn is_equal(one: &Rule, other: &Rule) -> bool {
    let plain = |rule: &Rule| Rule {
        name: rule.name.to_ascii_lowercase(),
        origin: if rule.origin.is_default() { Origin::Default } else { rule.origin },
        expanded_source: None,
        expanded_destination: None,
        pointer: String::new(),
        ..rule.clone()
    };
    plain(one) == plain(other)
}
