//! Shows which dependencies work in an analysis, for findings that it no longer makes.

use super::super::LISTED_FINDINGS;
use super::super::analysis::{Analysis, Coverage, CoverageVerdict};
use super::super::model::Finding;
use super::pairing::is_nested;
use super::peers::PeersAllowed;
use super::remembered::Remembered;
use crate::time::Timestamp;

/// Returns whether an analysis may show that something works: it could tell, is whole, and lists all its findings.
pub fn can_tell(analysis: &Analysis) -> bool {
    !analysis.has_doubts() && analysis.findings.len() < LISTED_FINDINGS
}

/// What an analysis shows to work.
pub struct Evidence<'a> {
    coverage: &'a [Coverage],
    findings: &'a [Finding],
    can_tell: bool,
}

impl<'a> Evidence<'a> {
    /// Returns the evidence of an analysis, which is none if it cannot tell.
    pub fn of(analysis: &'a Analysis, can_tell: bool) -> Self {
        Self { coverage: &analysis.coverage, findings: &analysis.findings, can_tell }
    }

    /// Returns whether a new flow of the finding's requirement was allowed after its last refusal. If it names none, a
    /// flow of any of its candidates counts, or of the finding's peers and port.
    pub fn shows(&self, known: &Remembered, peers_allowed: &PeersAllowed) -> bool {
        let after = known.last_denied.unwrap_or(known.last_seen);
        let worked = match &known.subject.requirement {
            Some(requirement) => self.worked(requirement, &known.subject.subnet, false),
            None if known.subject.candidates.is_empty() => peers_allowed.get(&known.fingerprint).copied(),
            None => known.subject.candidates.iter().filter_map(|id| self.worked(id, &known.subject.subnet, true)).max(),
        };
        self.can_tell && worked.is_some_and(|time| time > after)
    }

    /// Returns the time of the last flow of a requirement that is known to be allowed.
    fn worked(&self, requirement: &str, subnet: &str, may_be_shared: bool) -> Option<Timestamp> {
        let rows = self.coverage.iter().filter(|row| row.requirement == requirement && is_nested(&row.subnet, subnet));
        let is_own = |row: &&Coverage| may_be_shared || row.verdict != CoverageVerdict::Indistinguishable;
        // Of a row with refusals, the last flow may be a refused one.
        let whole = rows.filter(is_own).filter(|row| row.allowed_tuples > 0 && row.denied_tuples == 0);
        let again = self.findings.iter().filter(|found| {
            found.subject.requirement.as_deref() == Some(requirement) && is_nested(&found.subject.subnet, subnet)
        });
        whole.filter_map(|row| row.last_flow).chain(again.filter_map(|found| found.times.first_allowed_after)).max()
    }
}
