//! Findings of flows that a rule let through and nobody answered, and what several of them say together.

use std::collections::BTreeMap;

use tokio::try_join;

use super::draft::{Addresses, Caps, Draft, Key, Lists, Setting, requirement};
use super::explain::Facts;
use super::finding::{Finding, Kind, Unanswered, Verdict};
use super::score::{Activity, Confidence, Reach};
use crate::catalog::{Role, role};
use crate::engine::{Session, SessionError, Table};
use crate::queries;
use crate::time::Timestamp;

pub async fn unanswered(session: &Session, setting: Setting<'_>) -> Result<Vec<Draft>, SessionError> {
    let (rows, addresses) =
        try_join!(session.table(queries::UNANSWERED_FINDINGS), session.table(queries::UNANSWERED_ADDRESSES))?;
    let mut lists = Lists::default();
    lists.add_addresses(&addresses);
    let found: Vec<Silent> = rows.rows().map(|row| silent(&rows, row, setting, &mut lists)).collect();
    let tunnels = tunnels(&found, setting);
    Ok(found.into_iter().map(|silent| silent.draft).chain(tunnels).collect())
}

/// A finding with both its ends, of which it lists the busiest alone.
struct Silent {
    draft: Draft,
    locals: Addresses,
    peers: Addresses,
}

fn silent(rows: &Table, row: usize, setting: Setting, lists: &mut Lists) -> Silent {
    let scope = setting.scope;
    let number = rows.int("finding", row).unwrap_or_default();
    let int = |name: &str| rows.int(name, row).unwrap_or_default();
    let flag = |name: &str| rows.flag(name, row);
    let time = |name: &str| rows.int(name, row).map(Timestamp);
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
    let id = rows.text("primary_id", row);
    let key = Key::read(rows, row);
    let fingerprint = key.fingerprint(&format!("unanswered:{id}"));
    let requirement = requirement(scope, &id);
    let mut finding = Finding::new(kind, verdict, key, vec![id], fingerprint);
    if let Some(requirement) = &requirement {
        finding.concern(requirement);
    }
    finding.protocol = rows.text("protocol", row);
    finding.ports = rows.ints("ports", row);
    finding.rule_origin = rows.text("rule_origin", row);
    finding.rate(int("impact") as u16, Confidence::of_certainty(int("certainty")), state, counts.reach());
    let is_external_only = flag("is_external_only");
    finding.severity =
        Caps { kind, verdict, is_from_internet: false, is_external_only }.severity(finding.score, setting);
    finding.count(counts);
    let (locals, peers) = (lists.take_locals(number), lists.take_peers(number));
    finding.add_locals(locals.clone());
    // Nobody denied them.
    finding.local_addresses.iter_mut().for_each(|address| address.denied_tuples = 0);
    finding.add_peers(peers.clone(), scope);
    finding.remote_addresses.iter_mut().for_each(|address| address.denied_tuples = 0);
    let facts = Facts {
        is_mode_unknown: is_external_only && setting.mode.mode.is_none(),
        needs_correction: flag("needs_correction"),
        is_named: flag("is_named"),
        ..Facts::of(scope)
    };
    Silent { draft: Draft { finding, requirement, facts }, locals, peers }
}

impl Finding {
    fn count(&mut self, counts: Unanswered) {
        self.sent_tuples = counts.connections;
        self.unanswered_tuples = counts.unanswered;
        self.worked_before = Some(counts.last_answered_before.is_some());
        self.unanswered = Some(counts);
    }
}

impl Unanswered {
    fn reach(&self) -> Reach {
        let (denied, allowed) = (self.unanswered, self.connections - self.unanswered);
        Reach::Share { denied, allowed, is_floored: false }
    }
}

/// One per subnet where two dependencies or more go unanswered, or the configuration database does entirely.
fn tunnels(found: &[Silent], setting: Setting) -> Vec<Draft> {
    let mut subnets: BTreeMap<&str, Vec<&Silent>> = BTreeMap::new();
    for silent in found {
        subnets.entry(&silent.draft.finding.subnet).or_default().push(silent);
    }
    let all = subnets.into_values().map(|silent| (findings(&silent), silent));
    let suggesting = all.filter(|(findings, _)| suggests_tunnel(findings));
    suggesting.map(|(findings, silent)| tunnel(&findings, &silent, setting)).collect()
}

fn findings<'a>(silent: &[&'a Silent]) -> Vec<&'a Finding> {
    silent.iter().map(|silent| &silent.draft.finding).collect()
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

/// `findings` are those of one subnet, and not empty; `silent` are the same with their ends.
fn tunnel(findings: &[&Finding], silent: &[&Silent], setting: Setting) -> Draft {
    let (kind, verdict) = (Kind::ForcedTunnellingSuspected, Verdict::Unanswered);
    let counts = total(findings);
    let states = [Activity::Ongoing, Activity::Quiet];
    let state =
        states.into_iter().find(|state| findings.iter().any(|f| f.state == *state)).unwrap_or(Activity::Recovered);
    let key = Key {
        direction: "outbound".to_owned(),
        vantage: "near".to_owned(),
        subnet: findings.first().map(|f| f.subnet.clone()).unwrap_or_default(),
        acl: String::new(),
        rule: String::new(),
    };
    let fingerprint = key.fingerprint("forced-tunnelling");
    let mut finding = Finding::new(kind, verdict, key, candidates(findings), fingerprint);
    finding.purpose = "what must leave the virtual network".to_owned();
    finding.protocol = "TCP".to_owned();
    finding.ports = findings.iter().flat_map(|f| &f.ports).copied().collect();
    finding.ports.sort_unstable();
    finding.ports.dedup();
    finding.rate(1000, Confidence::Likely, state, counts.reach());
    let caps = Caps { kind, verdict, is_from_internet: false, is_external_only: false };
    finding.severity = caps.severity(finding.score, setting);
    finding.count(counts);
    let joined = |of: fn(&Silent) -> &Addresses| -> Addresses {
        let distinct: BTreeMap<u128, i64> =
            silent.iter().flat_map(|silent| of(silent).iter().map(|&(ip, _)| (ip, 0))).collect();
        distinct.into_iter().collect()
    };
    finding.add_locals(joined(|silent| &silent.locals));
    finding.add_peers(joined(|silent| &silent.peers), setting.scope);
    // The addresses themselves are listed by the findings of the single dependencies.
    finding.remote_addresses.clear();
    Draft { finding, requirement: None, facts: Facts::of(setting.scope) }
}
