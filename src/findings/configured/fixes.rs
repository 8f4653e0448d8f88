//! Gives fixes of findings their priority, or the rule to move, and tries them against the rules.

use std::collections::{BTreeMap, BTreeSet};

use super::replay::{Refusals, Trial};
use crate::engine::Scope;
use crate::findings::analysis::Analysis;
use crate::findings::change::{Change, Fix};
use crate::findings::check::space_of;
use crate::findings::model::{Finding, Kind, Verdict};
use crate::findings::planned::complete;
use crate::flow::{Direction, ScopeDirection, Vantage};
use crate::net::{IpSet, PortSet, Prefix, parse_ip};
use crate::policy::{Acl, End, Evaluation, Layer, Policy, Question, RuleProtocol, Space};

/// Completes the fixes of all findings whose list of rules is in a file.
pub fn complete_all(analysis: &mut Analysis, policy: &Policy, scope: &Scope, refusals: &Refusals) {
    let (space, subnets) = space_of(policy, scope);
    // Rules that several findings need get one priority, and others get different ones.
    let mut reserved: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let mut done: BTreeMap<(String, String, Option<String>), Fix> = BTreeMap::new();
    for finding in analysis.findings.iter_mut().filter(|finding| !finding.is_unneeded()) {
        let Some(acls) = acls_of(policy, finding) else { continue };
        let Some(group) = finding.blame.acl.as_deref().map(str::to_ascii_lowercase) else { continue };
        let Some(spec) = finding.fix.rule() else { continue };
        let key = (
            group.clone(),
            format!("{:?} {} {}", spec.direction, spec.source, spec.destination),
            finding.subject.requirement.clone(),
        );
        if let Some(known) = done.get(&key).filter(|known| known.change.kind() == finding.fix.change.kind()) {
            finding.fix = known.clone();
            continue;
        }
        let answers = answers(&space, &acls, scope, &subnets, finding);
        let reserved = reserved.entry(group).or_default();
        let Some(planned) = space.plan(&acls, &answers, reserved) else { continue };
        complete(&mut finding.fix, &space, &planned, &acls, reserved);
        if let Some(changed) = space.changed(&planned)
            && let Some(mut simulated) = finding.fix.rule().and_then(|rule| rule.simulated.clone())
        {
            let trial = Trial { space: &space, acls: &acls, old: planned.acl, new: &changed, subnets: &subnets };
            let words = refusals.replay(trial, finding, scope, &mut simulated);
            finding.fix.note = format!("{} {words}", finding.fix.note).trim().to_owned();
            if let Change::AllowRule(rule) = &mut finding.fix.change {
                rule.simulated = Some(simulated);
            }
        }
        let note = &mut finding.fix.note;
        if finding.grade.verdict == Verdict::Recovered {
            *note = format!("It works again, so there is nothing to do unless it returns; then: {note}");
        } else if finding.identity.kind == Kind::UnlistedBlocked {
            *note = format!("If these are needed: {note}");
        }
        done.insert(key, finding.fix.clone());
    }
}

/// Returns the lists that decide on the flows of a finding: the admin rules, and the list that the log names. `None` if no
/// file has it, or if the other end refused the flows.
pub fn acls_of<'a>(policy: &'a Policy, finding: &Finding) -> Option<Vec<&'a Acl>> {
    if finding.subject.vantage == Vantage::Far {
        return None;
    }
    let named = policy.acl(finding.blame.acl.as_deref()?);
    let mut acls: Vec<&Acl> = policy.acls.iter().filter(|acl| acl.layer == Layer::Admin).collect();
    let rule = finding.blame.rule.as_deref()?;
    let is_admin = acls.iter().any(|acl| acl.rule(rule).or_else(|| acl.rule(without_guid(rule))).is_some());
    match named {
        Some(named) if named.layer != Layer::Admin => {
            // An interface may pass a second group that was exported with it.
            let others = policy.acls.iter().filter(|acl| acl.file == named.file && acl.attached == named.attached);
            acls.extend(others.filter(|acl| std::ptr::eq(*acl, named)));
            Some(acls)
        }
        _ if is_admin => Some(acls),
        _ => None,
    }
}

/// Returns the name of an admin rule without the GUID that some logs add.
pub fn without_guid(rule: &str) -> &str {
    match rule.rsplit_once('_') {
        Some((name, guid)) if guid.len() == 36 && guid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') => name,
        _ => rule,
    }
}

/// Returns the questions that a finding asks, with their answers.
pub fn answers(
    space: &Space,
    acls: &[&Acl],
    scope: &Scope,
    subnets: &End,
    finding: &Finding,
) -> Vec<(Question, Evaluation)> {
    let is_meant = |direction: Direction| match finding.subject.direction {
        ScopeDirection::Inbound => direction == Direction::Inbound,
        ScopeDirection::Outbound => direction == Direction::Outbound,
        ScopeDirection::Internal => true,
    };
    let protocols = finding.fix.rule().map_or_else(|| finding.subject.protocol.clone(), |rule| rule.protocol.clone());
    let row = finding.subject.requirement.as_deref().and_then(|id| scope.requirement(id));
    let questions = match row {
        Some(row) if finding.identity.kind != Kind::UnlistedBlocked => space.questions(row, subnets),
        _ => unlisted(subnets, finding),
    };
    let is_asked = |question: &Question| {
        let is_protocol = protocols.split('+').any(|name| name.eq_ignore_ascii_case(question.protocol.name()));
        is_meant(question.direction) && is_protocol
    };
    let answer = |question: Question| {
        let evaluation = space.evaluate(acls, &question);
        (question, evaluation)
    };
    questions.into_iter().filter(is_asked).map(answer).collect()
}

/// Returns the questions about refused peers that no requirement names.
fn unlisted(subnets: &End, finding: &Finding) -> Vec<Question> {
    let peers = finding.addresses.remote_addresses.iter().filter_map(|peer| parse_ip(&peer.ip));
    let peers: IpSet = peers.map(Prefix::single).collect();
    let ports = PortSet::from_ranges(finding.subject.ports.iter().map(|port| (*port, *port)));
    if peers.is_empty() || ports.is_empty() {
        return Vec::new();
    }
    let directions: &[Direction] = match finding.subject.direction {
        ScopeDirection::Inbound => &[Direction::Inbound],
        ScopeDirection::Outbound => &[Direction::Outbound],
        ScopeDirection::Internal => &Direction::ALL,
    };
    let protocols = [RuleProtocol::Tcp, RuleProtocol::Udp];
    let question = |(direction, protocol)| Question {
        direction,
        protocol,
        local: subnets.clone(),
        peer: End::of_addresses(peers.clone()),
        ports: ports.clone(),
        source_ports: PortSet::all(),
    };
    directions.iter().flat_map(|direction| protocols.map(|protocol| (*direction, protocol))).map(question).collect()
}
