//! Findings before they are ranked, and the setting that they are made in.

use super::analysis::Basis;
use super::explain::ExplainContext;
use super::mode::Mode;
use super::model::{Finding, Kind};
use super::score::State;
use crate::catalog::{Requirement, Role, role};
use crate::engine::Scope;
use crate::flow::ScopeDirection;
use crate::time::Timestamp;

/// A finding without its rank, fix and words.
pub struct Draft {
    /// The finding so far.
    pub finding: Finding,
    /// Requirement that the fix and the words are about.
    pub requirement: Option<Requirement>,
    /// Facts that the words need beyond the finding.
    pub context: ExplainContext,
}

/// Scope, mode, and the origin of the scope.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub scope: &'a Scope,
    pub mode: Mode,
    pub basis: Basis,
}

impl Draft {
    /// Returns the first refusal if the finding is an ongoing refusal of name resolution.
    pub fn nameless_since(&self) -> Option<Timestamp> {
        let finding = &self.finding;
        let is_dns = finding.subject.requirement.as_deref().and_then(role) == Some(Role::Dns);
        let is_refused = finding.identity.kind == Kind::BlockedDependency && finding.grade.state == State::Ongoing;
        finding.times.first_denied.filter(|_| is_dns && is_refused)
    }

    /// Returns whether the finding may follow from refused name resolution. It must be an ongoing outbound finding of
    /// another dependency that began after `nameless_since`, and nothing may confirm its addresses.
    pub fn may_follow(&self, nameless_since: Timestamp) -> bool {
        let finding = &self.finding;
        let began = finding.times.first_denied.or(finding.unanswered.and_then(|counts| counts.first));
        finding.subject.direction == ScopeDirection::Outbound
            && finding.grade.state == State::Ongoing
            && finding.identity.kind != Kind::SourceRestricted
            && self.nameless_since().is_none()
            && !self.context.is_named
            && began.is_some_and(|began| began > nameless_since)
    }
}
