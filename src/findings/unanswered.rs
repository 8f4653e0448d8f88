//! Drafts findings of flows that a rule allowed and that got no answer, and findings about subnets with several of
//! them.

use std::collections::BTreeMap;

use tokio::try_join;

use super::caps::SeverityCaps;
use super::denied::confidence;
use super::details::{AddressCounts, Details, Ends};
use super::draft::{Draft, Setting};
use super::explain::ExplainContext;
use super::identity::FindingKey;
use super::model::{Finding, Grade, Kind, Unanswered, Verdict};
use super::score::{Confidence, State};
use crate::catalog::{Role, role};
use crate::engine::{Row, Session, SessionError};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::queries;

/// Drafts the unanswered dependencies, then the suspected forced tunnels.
pub async fn unanswered(session: &Session, setting: Setting<'_>) -> Result<Vec<Draft>, SessionError> {
    let (rows, addresses) =
        try_join!(session.table(queries::UNANSWERED_FINDINGS), session.table(queries::UNANSWERED_ADDRESSES))?;
    let mut details = Details::default();
    details.add_addresses(&addresses)?;
    let found: Vec<Silent> = rows.rows().map(|row| silent(row, setting, &mut details)).collect::<Result<_, _>>()?;
    let tunnels = tunnels(&found, setting);
    Ok(found.into_iter().map(|silent| silent.draft).chain(tunnels).collect())
}

/// A draft with all of its addresses, because the finding itself lists only the busiest.
struct Silent {
    draft: Draft,
    ends: Ends,
}

fn silent(row: Row, setting: Setting, details: &mut Details) -> Result<Silent, SessionError> {
    let (scope, kind) = (setting.scope, Kind::UnansweredDependency);
    let counts = counts(row)?;
    let is_external_only = row.flag("is_external_only")?;
    let mut grade = Grade::new(Verdict::Unanswered, row.int("impact")?, confidence(row)?, state(row)?, counts.reach());
    SeverityCaps { is_external_only, ..SeverityCaps::of(kind) }.apply(&mut grade, setting);
    let ends = details.take(row.int("finding")?);
    let mut addresses = ends.clone().listed(scope);
    // The tuples of these addresses were allowed.
    addresses.local_addresses.iter_mut().for_each(|address| address.denied_tuples = 0);
    addresses.remote_addresses.iter_mut().for_each(|address| address.denied_tuples = 0);
    let id = row.text("primary_id")?;
    let requirement = scope.requirement(&id).cloned();
    let key = FindingKey::read(row)?;
    let (identity, blame) = (key.identity(kind, &format!("unanswered:{id}")), key.blame(row.named("rule_origin")?));
    let subject = key.subject(vec![id], row.text("protocol")?, row.ports_or_null("ports")?.unwrap_or_default());
    let mut finding = Finding::new(identity, grade, subject, blame, addresses);
    if let Some(requirement) = &requirement {
        finding.concern(requirement);
    }
    finding.count(counts);
    let context = ExplainContext {
        is_mode_unknown: is_external_only && setting.mode.mode.is_none(),
        needs_correction: row.flag("needs_correction")?,
        is_named: row.flag("is_named")?,
        ..ExplainContext::of(scope)
    };
    Ok(Silent { draft: Draft { finding, requirement, context }, ends })
}

fn counts(row: Row) -> Result<Unanswered, SessionError> {
    Ok(Unanswered {
        connections: row.int("connections")?,
        unanswered: row.int("unanswered")?,
        first: row.time_or_null("first_unanswered")?,
        last: row.time_or_null("last_unanswered")?,
        last_answered_before: row.time_or_null("last_answered_before")?,
        first_answered_after: row.time_or_null("first_answered_after")?,
    })
}

fn state(row: Row) -> Result<State, SessionError> {
    Ok(match (row.flag("is_recovered")?, row.flag("is_quiet")?) {
        (true, _) => State::Recovered,
        (_, true) => State::Quiet,
        _ => State::Ongoing,
    })
}

/// Drafts one finding per subnet where two or more dependencies are unanswered, or all connections of the configuration
/// database.
fn tunnels(found: &[Silent], setting: Setting) -> Vec<Draft> {
    let mut subnets: BTreeMap<&str, Vec<&Silent>> = BTreeMap::new();
    for silent in found {
        subnets.entry(&silent.draft.finding.subject.subnet).or_default().push(silent);
    }
    let suggesting = subnets.into_iter().filter(|(_, silent)| suggests_tunnel(silent));
    suggesting.map(|(subnet, silent)| tunnel(subnet, &silent, setting)).collect()
}

fn findings<'a>(silent: &[&'a Silent]) -> impl Iterator<Item = &'a Finding> + Clone {
    let findings: Vec<&Finding> = silent.iter().map(|silent| &silent.draft.finding).collect();
    findings.into_iter()
}

fn candidates(silent: &[&Silent]) -> Vec<String> {
    let mut ids: Vec<String> = findings(silent).flat_map(|f| &f.subject.candidates).cloned().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn suggests_tunnel(silent: &[&Silent]) -> bool {
    let (ids, total) = (candidates(silent), total(silent));
    let is_whole = total.unanswered == total.connections;
    ids.len() >= 2 || ids.iter().any(|id| role(id) == Some(Role::Configuration)) && is_whole
}

fn total(silent: &[&Silent]) -> Unanswered {
    let counts = || findings(silent).filter_map(|f| f.unanswered);
    Unanswered {
        connections: counts().map(|c| c.connections).sum(),
        unanswered: counts().map(|c| c.unanswered).sum(),
        first: counts().filter_map(|c| c.first).min(),
        last: counts().filter_map(|c| c.last).max(),
        last_answered_before: counts().filter_map(|c| c.last_answered_before).max(),
        first_answered_after: counts().filter_map(|c| c.first_answered_after).min(),
    }
}

/// Drafts the finding about one subnet. All of `silent` are of that subnet.
fn tunnel(subnet: &str, silent: &[&Silent], setting: Setting) -> Draft {
    let kind = Kind::ForcedTunnellingSuspected;
    let counts = total(silent);
    let is_any = |state: &State| findings(silent).any(|f| f.grade.state == *state);
    let state = [State::Ongoing, State::Quiet].into_iter().find(is_any).unwrap_or(State::Recovered);
    let mut grade = Grade::new(Verdict::Unanswered, 1000, Confidence::Likely, state, counts.reach());
    SeverityCaps::of(kind).apply(&mut grade, setting);
    let key = FindingKey {
        direction: ScopeDirection::Outbound,
        vantage: Vantage::Near,
        subnet: subnet.to_owned(),
        acl: None,
        rule: None,
    };
    let (identity, blame) = (key.identity(kind, "forced-tunnelling"), key.blame(RuleOrigin::Unknown));
    let mut ports: Vec<u16> = findings(silent).flat_map(|f| &f.subject.ports).copied().collect();
    ports.sort_unstable();
    ports.dedup();
    let subject = key.subject(candidates(silent), "TCP".to_owned(), ports);
    let mut addresses = joined(silent).listed(setting.scope);
    // The findings of the individual dependencies list the addresses themselves.
    addresses.remote_addresses.clear();
    let mut finding = Finding::new(identity, grade, subject, blame, addresses);
    finding.subject.purpose = "what must leave the virtual network".to_owned();
    finding.count(counts);
    Draft { finding, requirement: None, context: ExplainContext::of(setting.scope) }
}

/// Returns each address once, without counts.
fn joined(silent: &[&Silent]) -> Ends {
    let distinct = |of: fn(&Ends) -> &AddressCounts| -> AddressCounts {
        let ips = silent.iter().flat_map(|silent| of(&silent.ends).iter().map(|&(ip, _)| (ip, 0)));
        ips.collect::<BTreeMap<u128, i64>>().into_iter().collect()
    };
    Ends { locals: distinct(|ends| &ends.locals), peers: distinct(|ends| &ends.peers), hours: Vec::new() }
}
