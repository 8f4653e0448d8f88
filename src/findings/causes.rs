//! Groups findings by their cause: one rule, encryption, or missing answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::analysis::{Cause, CauseKind};
use super::model::{Finding, Kind};
use super::score::Severity;
use crate::flow::RuleOrigin;

/// Groups findings by rule or encryption, ACL and subnet, and findings about missing answers by subnet. The worst cause
/// comes first. Findings about refused strangers or unneeded flows have no cause.
pub fn causes(findings: &[Finding]) -> Vec<Cause> {
    let mut causes: BTreeMap<(CauseKind, String, String, &str), (Cause, &Finding)> = BTreeMap::new();
    for finding in findings {
        let Some(kind) = kind(finding) else { continue };
        let has_rule = kind != CauseKind::NoAnswer;
        let key = |text: &str| if has_rule { text.to_owned() } else { String::new() };
        let acl = key(finding.blame.acl.as_deref().unwrap_or_default()).to_lowercase();
        let key = (kind, acl, key(finding.blame.rule_text()), finding.subject.subnet.as_str());
        add(&mut causes.entry(key).or_insert_with(|| (empty(kind, finding), finding)).0, finding);
    }
    let mut causes: Vec<(Cause, &Finding)> = causes.into_values().collect();
    // Findings come by rank, so the first one of a cause is its worst.
    causes.sort_by_key(|(cause, worst)| (Reverse(cause.max_severity), worst.rank));
    number(causes)
}

/// Numbers the causes from 1. Causes that differ only in subnet or in digits of the ACL's name, such as `nsg-1` and
/// `nsg-2`, share a number, because one report line serves all of them.
fn number(causes: Vec<(Cause, &Finding)>) -> Vec<Cause> {
    let mut numbers = HashMap::new();
    let numbered = |(mut cause, worst): (Cause, &Finding)| {
        let Finding { subject, .. } = worst;
        let flows = (subject.direction.name(), subject.vantage.name(), subject.protocol.clone(), subject.ports.clone());
        let wanted = (subject.requirement.clone(), subject.candidates.clone());
        let nsg: String = cause.acl_name.iter().flat_map(|name| name.chars()).filter(|c| !c.is_ascii_digit()).collect();
        let rule = (nsg.to_lowercase(), cause.rule.clone(), cause.rule_origin.name());
        let key = (cause.kind, rule, flows, wanted);
        let next = numbers.len() as u64 + 1;
        cause.number = *numbers.entry(key).or_insert(next);
        cause
    };
    causes.into_iter().map(numbered).collect()
}

fn kind(finding: &Finding) -> Option<CauseKind> {
    match finding.identity.kind {
        Kind::UnansweredDependency | Kind::ForcedTunnellingSuspected => Some(CauseKind::NoAnswer),
        Kind::SourceRestricted | Kind::ConfigurationContradicts | Kind::PlatformContradicts => None,
        Kind::UnlistedBlocked if finding.is_unneeded() => None,
        _ if finding.blame.rule_origin == RuleOrigin::Encryption => Some(CauseKind::Encryption),
        Kind::BlockedDependency | Kind::AmbiguousDependency | Kind::UnlistedBlocked => Some(CauseKind::Rule),
    }
}

/// Creates the cause that `finding` belongs to. Its list of findings is still empty.
fn empty(kind: CauseKind, finding: &Finding) -> Cause {
    let blame = finding.blame.clone();
    let has_rule = kind != CauseKind::NoAnswer;
    Cause {
        number: 0,
        kind,
        acl: blame.acl.filter(|_| has_rule),
        acl_name: blame.acl_name.filter(|_| has_rule),
        rule: blame.rule.filter(|_| has_rule),
        rule_name: blame.rule_name.filter(|_| has_rule),
        rule_origin: if has_rule { blame.rule_origin } else { RuleOrigin::Unknown },
        subnet: finding.subject.subnet.clone(),
        effect: None,
        findings: Vec::new(),
        max_severity: Severity::Info,
        first_denied: None,
        last_denied: None,
        denied_tuples: 0,
    }
}

fn add(cause: &mut Cause, finding: &Finding) {
    cause.findings.push(finding.identity.id.clone());
    cause.effect = cause.effect.take().or_else(|| finding.meaning.effect.clone());
    cause.max_severity = cause.max_severity.max(finding.grade.severity);
    cause.first_denied = [cause.first_denied, finding.times.first_denied].into_iter().flatten().min();
    cause.last_denied = cause.last_denied.max(finding.times.last_denied);
    cause.denied_tuples += finding.denials.denied_tuples;
}
