//! Findings of flows that a rule refused: blocked, ambiguous and source-restricted dependencies.

use tokio::try_join;

use super::draft::{Caps, Draft, Key, Lists, remote_addresses, requirement};
use super::explain::Facts;
use super::finding::{Basis, Finding, Fix, Kind, Time, Verdict};
use super::score::{Activity, Confidence, Reach, Score};
use crate::catalog::Requirement;
use crate::engine::{Scope, Session, SessionError, Table, distinct_addresses};
use crate::queries;

pub async fn denied(session: &Session, basis: Basis) -> Result<Vec<Draft>, SessionError> {
    let (rows, hours, locals, peers) = try_join!(
        session.table(queries::FINDINGS),
        session.table(queries::FINDING_HOURS),
        session.table(queries::FINDING_LOCALS),
        session.table(queries::FINDING_ADDRESSES),
    )?;
    let mut lists = Lists::default();
    lists.add_hours(&hours);
    lists.add_locals(&locals);
    lists.add_peers(&peers);
    Ok(rows.rows().map(|row| draft(&rows, row, session.scope(), basis, &mut lists)).collect())
}

fn draft(rows: &Table, row: usize, scope: &Scope, basis: Basis, lists: &mut Lists) -> Draft {
    let number = rows.int("finding", row).unwrap_or_default();
    let int = |name: &str| rows.int(name, row).unwrap_or_default();
    let flag = |name: &str| rows.flag(name, row);
    let time = |name: &str| rows.int(name, row).map(Time);
    let candidates: Vec<String> = rows.text("candidates", row).split(',').map(str::to_owned).collect();
    let primary = rows.text("primary_id", row);
    let verdict = Verdict::from_name(&rows.text("verdict", row));
    let direction = rows.text("direction", row);
    let (denied_tuples_24h, allowed_24h) = (int("denied_tuples_24h"), int("allowed_24h"));
    let kind = if int("unknown_count") > 1 {
        Kind::AmbiguousDependency
    } else if flag("all_from_internet") && allowed_24h > 0 && !is_outage(rows, row, verdict) {
        Kind::SourceRestricted
    } else {
        Kind::BlockedDependency
    };
    let state = match verdict {
        Verdict::Recovered => Activity::Recovered,
        _ if flag("is_quiet") => Activity::Quiet,
        _ => Activity::Ongoing,
    };
    let reach = match verdict {
        Verdict::Blocked => Reach::Whole,
        Verdict::ShareUnknown => Reach::Half,
        Verdict::Partial | Verdict::Recovered | Verdict::Unanswered => {
            let is_floored = direction == "outbound" || flag("is_named");
            Reach::Share { denied: denied_tuples_24h, allowed: allowed_24h, is_floored }
        }
    };
    let confidence = Confidence::of_certainty(int("certainty"));
    let impact = int("impact") as u16;
    let score = Score::new(impact, confidence, state, reach);
    let is_mode_unknown = flag("is_external_only") && scope.vnet_mode.is_none();
    let caps = Caps { kind, verdict, is_from_internet: flag("all_from_internet"), is_mode_unknown, basis };
    let key = Key::read(rows, row);
    let fingerprint = key.fingerprint(&candidates);
    let peers = lists.take_peers(number);
    let requirement = requirement(scope, &primary);
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
        requirement: (kind != Kind::AmbiguousDependency).then(|| primary.clone()),
        purpose: purpose(kind, requirement.as_ref(), &candidates, scope),
        candidates,
        direction: key.direction,
        vantage: key.vantage,
        subnet: key.subnet,
        protocol: rows.text("protocol", row),
        ports: rows.ints("ports", row),
        acl: Some(key.acl),
        rule: Some(key.rule),
        rule_origin: rows.text("rule_origin", row),
        denied_tuples: int("denied_tuples"),
        denied_tuples_24h,
        allowed_24h,
        first_denied: time("first_denied"),
        last_denied: time("last_denied"),
        last_allowed_before: time("last_allowed_before"),
        first_allowed_after: time("first_allowed_after"),
        local_addresses: lists.take_locals(number),
        remote_address_count: distinct_addresses(&peers.iter().map(|&(ip, _)| ip).collect::<Vec<_>>()),
        remote_addresses: remote_addresses(peers, scope),
        hours: lists.take_hours(number),
        outside_loaded_tags: int("unlisted_tuples"),
        explanation: String::new(),
        fix: Fix::none(),
        unanswered: None,
    };
    let facts = Facts {
        is_mode_unknown,
        needs_correction: flag("needs_correction"),
        has_service_tags: scope.service_tags.is_some(),
        ..Facts::default()
    };
    Draft { finding, requirement, facts }
}

/// Nobody gets through any more, as against some being turned away: for an hour or more of denials, and to the end of
/// the logs, nothing was let through, though by the rate before at least five flows were due. The contract does not
/// tell the two apart; a gateway that turns everybody away is no policy.
fn is_outage(rows: &Table, row: usize, verdict: Verdict) -> bool {
    const DUE: i64 = 5;
    const HOUR: i64 = 3_600_000;
    let int = |name: &str| rows.int(name, row);
    let (Some(first), Some(last)) = (int("first_denied_24h"), int("last_denied")) else { return false };
    let (silent, before) = (last - first, (24 * HOUR - (last - first)).max(HOUR));
    let due = int("allowed_24h").unwrap_or_default() * (silent / HOUR) / (before / HOUR);
    verdict == Verdict::Blocked && int("first_allowed_after").is_none() && silent >= HOUR && due >= DUE
}

fn purpose(kind: Kind, requirement: Option<&Requirement>, candidates: &[String], scope: &Scope) -> String {
    if kind != Kind::AmbiguousDependency {
        return requirement.map(|r| r.purpose.clone()).unwrap_or_default();
    }
    let rows = scope.requirements();
    let purposes = rows.iter().filter(|r| candidates.contains(&r.id)).map(|r| r.purpose.as_str());
    format!("one of: {}", purposes.collect::<Vec<_>>().join("; "))
}
