//! Finds where the logs and the configuration disagree: then the export is older or newer than the logs.

use super::fixes::{acls_of, answers, without_guid};
use crate::catalog::{Requirement, RowDirection};
use crate::engine::Scope;
use crate::findings::analysis::{Analysis, Coverage, CoverageVerdict};
use crate::findings::change::{Change, Fix};
use crate::findings::check::space_of;
use crate::findings::identity::FindingKey;
use crate::findings::model::{Addresses, Finding, Grade, Kind, Verdict};
use crate::findings::score::{Confidence, Reach, State};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::policy::{Access, Acl, Effect, Layer, Policy, Rule, Verdict as Answer, merged, shadowed, stations};

const EXPORT: &str =
    "Export the rules again, and look in the activity log for a change between the logs and the export.";
/// Impact in thousandths: the evidence is in doubt, and no flow is lost by that.
const IMPACT: u16 = 100;

/// Returns a finding for each disagreement.
pub fn find(analysis: &Analysis, policy: &Policy, scope: &Scope) -> Vec<Finding> {
    let mut found = Vec::new();
    let (space, subnets) = space_of(policy, scope);
    for finding in analysis.findings.iter().filter(|f| f.identity.kind.is_denial() && !f.is_unneeded()) {
        let Some(acls) = acls_of(policy, finding) else { continue };
        let Some(rule) = finding.blame.rule.as_deref() else { continue };
        let words = match rule_of(&acls, finding, rule) {
            None => Some(format!(
                "the logs say that {} refused flows, and the exported rules of {} have no such rule",
                shown(finding),
                finding.blame.acl_text()
            )),
            Some((_, own)) if own.access == Some(Access::Allow) => {
                Some(format!("the logs say that {} refused flows, and in the export it allows", shown(finding)))
            }
            Some((acl, own)) => match shadowed(acl).into_iter().find(|known| known.rule == own.name) {
                Some(known) => Some(format!(
                    "the logs say that {} refused flows, and in the export it never decides, because {} stands before it",
                    shown(finding),
                    known.by
                )),
                None => {
                    let answers = answers(&space, &acls, scope, &subnets, finding);
                    let verdict = merged(answers.iter().map(|(_, answer)| answer.verdict));
                    let is_allowed = !answers.is_empty() && verdict == Answer::Allow;
                    is_allowed.then(|| {
                        format!(
                            "the logs say that {} refused flows, and the exported rules let all of them pass",
                            shown(finding)
                        )
                    })
                }
            },
        };
        if let Some(words) = words {
            found.push(contradiction(finding, &words));
        }
    }
    found.extend(allowed(analysis, policy, scope));
    found
}

fn shown(finding: &Finding) -> String {
    finding.blame.rule_name.clone().unwrap_or_default()
}

/// Returns the configured rule that a log names, with its list.
fn rule_of<'a>(acls: &[&'a Acl], finding: &Finding, logged: &str) -> Option<(&'a Acl, &'a Rule)> {
    let is_admin = finding.blame.rule_origin == RuleOrigin::Admin;
    let mut lists = acls.iter().filter(|acl| (acl.layer == Layer::Admin) == is_admin);
    lists.find_map(|acl| Some((*acl, acl.rule(logged).or_else(|| acl.rule(without_guid(logged)))?)))
}

/// Returns a finding for each requirement that the logs show working and the only configured group refuses.
fn allowed(analysis: &Analysis, policy: &Policy, scope: &Scope) -> Vec<Finding> {
    let (space, subnets) = space_of(policy, scope);
    let stations = stations(&policy.acls);
    let [station] = stations.as_slice() else { return Vec::new() };
    let is_working = |row: &&Coverage| row.verdict == CoverageVerdict::Allowed;
    let mut found = Vec::new();
    for row in analysis.coverage.iter().filter(is_working) {
        let Some(requirement) = scope.requirement(&row.requirement) else { continue };
        let need = space.need(station, requirement, &subnets, &[]);
        let Some(decision) = need.rules(Effect::Denies).into_iter().next().filter(|_| need.verdict == Answer::Deny)
        else {
            continue;
        };
        let Some((acl, rule)) = decision.by.of(&station.acls) else { continue };
        let key = FindingKey {
            direction: direction(requirement),
            vantage: Vantage::Near,
            subnet: row.subnet.clone(),
            acl: acl.id.clone().or_else(|| Some(acl.name.clone()).filter(|name| !name.is_empty())),
            rule: Some(rule.log_name()),
        };
        let words = format!(
            "the logs show {} working, and in the export {} of {} refuses all of it",
            row.requirement,
            rule.name,
            acl.shown()
        );
        let origin = crate::findings::check::rule_origin(rule.origin);
        found.push(made(key, origin, &row.requirement, &row.protocol, &words));
    }
    found
}

fn direction(row: &Requirement) -> ScopeDirection {
    match row.direction {
        RowDirection::Inbound => ScopeDirection::Inbound,
        RowDirection::Outbound => ScopeDirection::Outbound,
        RowDirection::Both | RowDirection::None => ScopeDirection::Internal,
    }
}

fn contradiction(finding: &Finding, words: &str) -> Finding {
    let key = FindingKey {
        direction: finding.subject.direction,
        vantage: finding.subject.vantage,
        subnet: finding.subject.subnet.clone(),
        acl: finding.blame.acl.clone(),
        rule: finding.blame.rule.clone(),
    };
    let concern = finding.subject.requirement.clone().unwrap_or_else(|| finding.identity.id.clone());
    made(key, finding.blame.rule_origin, &concern, &finding.subject.protocol, words)
}

fn made(key: FindingKey, origin: RuleOrigin, concern: &str, protocol: &str, words: &str) -> Finding {
    let kind = Kind::ConfigurationContradicts;
    let identity = key.identity(kind, &format!("configuration:{concern}"));
    let grade = Grade::new(Verdict::Contradicted, IMPACT, Confidence::Confirmed, State::Ongoing, Reach::Whole);
    let blame = key.blame(origin);
    let subject = key.subject(vec![concern.to_owned()], protocol.to_owned(), Vec::new());
    let mut finding = Finding::new(identity, grade, subject, blame, Addresses::none());
    finding.subject.purpose = "the configuration and the logs disagree".to_owned();
    finding.explanation = format!(
        "{}{}. The export is older or newer than the logs, or another list of rules decides.",
        words[..1].to_uppercase(),
        &words[1..]
    );
    finding.fix = Fix { change: Change::None, note: EXPORT.to_owned() };
    finding
}
