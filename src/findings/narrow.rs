//! Narrows an analysis to the findings that a user asks for.

use glob::Pattern;

use super::analysis::Analysis;
use super::model::Finding;
use super::score::Severity;

/// Conditions on findings. A finding must meet all that are given.
#[derive(Debug, Clone, Default)]
pub struct Narrowing {
    /// Least severity.
    pub least: Option<Severity>,
    /// Ids of requirements, of which a finding may concern one; empty for all findings.
    pub requirements: Vec<String>,
    /// Patterns for the name of the rule, as the log or the portal has it; empty for all findings.
    pub rules: Vec<Pattern>,
}

impl Narrowing {
    fn fits(&self, finding: &Finding) -> bool {
        let (subject, blame) = (&finding.subject, &finding.blame);
        let named = |id: &String| self.requirements.iter().any(|only| only.eq_ignore_ascii_case(id));
        let matched = |name: &String| self.rules.iter().any(|rule| rule.matches(name));
        self.least.is_none_or(|least| finding.grade.severity >= least)
            && (self.requirements.is_empty() || subject.requirement.iter().chain(&subject.candidates).any(named))
            && (self.rules.is_empty() || blame.rule.iter().chain(&blame.rule_name).any(matched))
    }

    /// Removes the other findings, and causes without any left. Only the rest decides on the exit status. The word stays,
    /// so that a part of the findings never makes the whole look fine. Returns the number of removed findings.
    pub fn apply(&self, analysis: &mut Analysis) -> usize {
        let before = analysis.findings.len();
        analysis.findings.retain(|finding| self.fits(finding));
        let removed = before - analysis.findings.len();
        if removed == 0 {
            return 0;
        }
        let findings = &analysis.findings;
        analysis.causes.retain_mut(|cause| {
            cause.findings.retain(|id| findings.iter().any(|finding| finding.identity.id == *id));
            let left = findings.iter().filter(|finding| cause.findings.contains(&finding.identity.id));
            left.map(|finding| finding.grade.severity).max().map(|most| cause.max_severity = most).is_some()
        });
        analysis.settle_exit();
        removed
    }
}
