//! Findings of flows that a rule let through and nobody answered, and what several of them say together.

use std::collections::BTreeMap;

use tokio::try_join;

use super::draft::{Caps, Draft, Key, Lists, remote_addresses, requirement};
use super::explain::Facts;
use super::finding::{Basis, Finding, Fix, Kind, Time, Unanswered, Verdict};
use super::score::{Activity, Confidence, Reach, Score};
use crate::catalog::{Role, role};
use crate::engine::{Scope, Session, SessionError, Table, distinct_addresses};
use crate::queries;

pub async fn unanswered(session: &Session, basis: Basis) -> Result<Vec<Draft>, SessionError> {
    let (rows, locals, peers) = try_join!(
        session.table(queries::UNANSWERED_FINDINGS),
        session.table(queries::UNANSWERED_LOCALS),
        session.table(queries::UNANSWERED_ADDRESSES),
    )?;
    let mut lists = Lists::default();
    lists.add_locals(&locals);
    lists.add_peers(&peers);
    let scope = session.scope();
    let mut drafts: Vec<Draft> = rows.rows().map(|row| draft(&rows, row, scope, basis, &mut lists)).collect();
    let tunnels = tunnels(&drafts, scope, basis);
    drafts.extend(tunnels);
    Ok(drafts)
}

fn draft(rows: &Table, row: usize, scope: &Scope, basis: Basis, lists: &mut Lists) -> Draft {
    let number = rows.int("finding", row).unwrap_or_default();
    let int = |name: &str| rows.int(name, row).unwrap_or_default();
    let flag = |name: &str| rows.flag(name, row);
    let time = |name: &str| rows.int(name, row).map(Time);
    let counts = Unanswered {
        connections: int("connections"),
        unanswered: int("unanswered"),
        first: time("first_unanswered"),
        last: time("last_unanswered"),
        last_answered_before: time("last_answered_before"),
        first_answered_after: time("first_answered_after"),
    };
    let state = match (flag("is_recovered"), flag("is_quiet")) {
        (true, _) => Activity::Recovered,
        (_, true) => Activity::Quiet,
        _ => Activity::Ongoing,
    };
    let (kind, verdict) = (Kind::UnansweredDependency, Verdict::Unanswered);
    let confidence = Confidence::of_certainty(int("certainty"));
    let impact = int("impact") as u16;
    let reach = counts.reach();
    let score = Score::new(impact, confidence, state, reach);
    let is_mode_unknown = flag("is_external_only") && scope.vnet_mode.is_none();
    let caps = Caps { kind, verdict, is_from_internet: false, is_mode_unknown, basis };
    let key = Key::read(rows, row);
    let id = rows.text("primary_id", row);
    let candidates = vec![id.clone()];
    let fingerprint = key.fingerprint(&candidates);
    let peers = lists.take_peers(number);
    let requirement = requirement(scope, &id);
    let mut remote_addresses_listed = remote_addresses(peers.clone(), scope);
    remote_addresses_listed.iter_mut().for_each(|address| address.denied_tuples = 0);
    let finding = Finding {
        rank: 0,
        id: format!("F-{}", &fingerprint[..8]),
        fingerprint,
        kind,
        severity: caps.severity(score),
        score,
        impact: f64::from(impact) / 1000.0,
        confidence,
        verdict,
        state,
        reach,
        purpose: requirement.as_ref().map(|r| r.purpose.clone()).unwrap_or_default(),
        requirement: Some(id),
        candidates,
        direction: key.direction,
        vantage: key.vantage,
        subnet: key.subnet,
        protocol: rows.text("protocol", row),
        ports: rows.ints("ports", row),
        acl: Some(key.acl),
        rule: Some(key.rule),
        rule_origin: rows.text("rule_origin", row),
        denied_tuples: 0,
        denied_tuples_24h: 0,
        allowed_24h: 0,
        first_denied: None,
        last_denied: None,
        last_allowed_before: None,
        first_allowed_after: None,
        local_addresses: lists.take_locals(number),
        remote_address_count: distinct_addresses(&peers.iter().map(|&(ip, _)| ip).collect::<Vec<_>>()),
        remote_addresses: remote_addresses_listed,
        hours: Vec::new(),
        outside_loaded_tags: 0,
        explanation: String::new(),
        fix: Fix::none(),
        unanswered: Some(counts),
    };
    let facts = Facts {
        is_mode_unknown,
        needs_correction: flag("needs_correction"),
        has_service_tags: scope.service_tags.is_some(),
        ..Facts::default()
    };
    Draft { finding, requirement, facts }
}

impl Unanswered {
    fn reach(&self) -> Reach {
        let (denied, allowed) = (self.unanswered, self.connections - self.unanswered);
        Reach::Share { denied, allowed, is_floored: false }
    }
}

/// One per subnet where two dependencies or more go unanswered, or the configuration database does entirely.
fn tunnels(drafts: &[Draft], scope: &Scope, basis: Basis) -> Vec<Draft> {
    let mut subnets: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in drafts.iter().map(|draft| &draft.finding) {
        subnets.entry(&finding.subnet).or_default().push(finding);
    }
    subnets
        .into_values()
        .filter(|findings| suggests_tunnel(findings))
        .map(|findings| tunnel(&findings, scope, basis))
        .collect()
}

fn candidates(findings: &[&Finding]) -> Vec<String> {
    let mut ids: Vec<String> = findings.iter().flat_map(|f| &f.candidates).cloned().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn suggests_tunnel(findings: &[&Finding]) -> bool {
    let ids = candidates(findings);
    let is_whole = total(findings).unanswered == total(findings).connections;
    ids.len() >= 2 || ids.iter().any(|id| role(id) == Some(Role::Configuration)) && is_whole
}

fn total(findings: &[&Finding]) -> Unanswered {
    let counts = || findings.iter().filter_map(|f| f.unanswered);
    Unanswered {
        connections: counts().map(|c| c.connections).sum(),
        unanswered: counts().map(|c| c.unanswered).sum(),
        first: counts().filter_map(|c| c.first).min(),
        last: counts().filter_map(|c| c.last).max(),
        last_answered_before: counts().filter_map(|c| c.last_answered_before).max(),
        first_answered_after: counts().filter_map(|c| c.first_answered_after).min(),
    }
}

/// `findings` are those of one subnet, and not empty.
fn tunnel(findings: &[&Finding], scope: &Scope, basis: Basis) -> Draft {
    let (kind, verdict) = (Kind::ForcedTunnellingSuspected, Verdict::Unanswered);
    let counts = total(findings);
    let states = [Activity::Ongoing, Activity::Quiet];
    let state =
        states.into_iter().find(|state| findings.iter().any(|f| f.state == *state)).unwrap_or(Activity::Recovered);
    let (confidence, impact, reach) = (Confidence::Likely, 1000, counts.reach());
    let score = Score::new(impact, confidence, state, reach);
    let caps = Caps { kind, verdict, is_from_internet: false, is_mode_unknown: false, basis };
    let candidates = candidates(findings);
    let subnet = findings.first().map(|f| f.subnet.clone()).unwrap_or_default();
    let key = Key {
        direction: "outbound".to_owned(),
        vantage: "near".to_owned(),
        subnet,
        acl: String::new(),
        rule: String::new(),
    };
    let fingerprint = key.fingerprint(&candidates);
    let mut ports: Vec<i64> = findings.iter().flat_map(|f| &f.ports).copied().collect();
    ports.sort_unstable();
    ports.dedup();
    let mut locals: Vec<_> = findings.iter().flat_map(|f| f.local_addresses.clone()).collect();
    locals.sort_by(|a, b| a.ip.cmp(&b.ip));
    locals.dedup_by(|a, b| a.ip == b.ip);
    let finding = Finding {
        rank: 0,
        id: format!("F-{}", &fingerprint[..8]),
        fingerprint,
        kind,
        severity: caps.severity(score),
        score,
        impact: f64::from(impact) / 1000.0,
        confidence,
        verdict,
        state,
        reach,
        requirement: None,
        purpose: "what must leave the virtual network".to_owned(),
        candidates,
        direction: key.direction,
        vantage: key.vantage,
        subnet: key.subnet,
        protocol: "TCP".to_owned(),
        ports,
        acl: None,
        rule: None,
        rule_origin: "unknown".to_owned(),
        denied_tuples: 0,
        denied_tuples_24h: 0,
        allowed_24h: 0,
        first_denied: None,
        last_denied: None,
        last_allowed_before: None,
        first_allowed_after: None,
        local_addresses: locals,
        // Those of the single dependencies stand with their own findings.
        remote_addresses: Vec::new(),
        remote_address_count: findings.iter().map(|f| f.remote_address_count).sum(),
        hours: Vec::new(),
        outside_loaded_tags: 0,
        explanation: String::new(),
        fix: Fix::none(),
        unanswered: Some(counts),
    };
    let facts = Facts { has_service_tags: scope.service_tags.is_some(), ..Facts::default() };
    Draft { finding, requirement: None, facts }
}
