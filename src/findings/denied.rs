//! Findings of flows that a rule refused and a requirement asks for: blocked, ambiguous and source-restricted dependencies.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tokio::try_join;

use super::draft::{Caps, Draft, Key, Lists, Setting, last_hours, requirement};
use super::explain::Facts;
use super::finding::{Finding, Kind, Verdict};
use super::score::{Activity, Confidence, Reach};
use crate::engine::{Scope, Session, SessionError, Table};
use crate::queries;
use crate::time::Timestamp;

/// Numbers the denied groups by their findings, and keeps the tables `denied` and `findings`.
pub async fn number(session: &Session) -> Result<(), SessionError> {
    session.materialize(queries::DENIED, vec![]).await?;
    find(session).await?;
    let rows = session.materialized(queries::FINDINGS).await?;
    // A peer that keeps coming is no stranger, though others get through.
    let restricted: Vec<ScalarValue> = (rows.rows())
        .filter(|&row| rows.flag("is_unproven", row) && is_restricted(&rows, row))
        .filter_map(|row| rows.int("finding", row).map(ScalarValue::from))
        .collect();
    if restricted.is_empty() {
        return Ok(());
    }
    let findings = ScalarValue::List(ScalarValue::new_list_nullable(&restricted, &DataType::Int64));
    session.materialize(queries::REGULARS, vec![("findings", findings)]).await?;
    session.materialize_as(queries::DENIED.id, queries::SPLIT_DENIED, vec![]).await?;
    find(session).await
}

/// Makes the table `findings` of `denied`, and those between.
async fn find(session: &Session) -> Result<(), SessionError> {
    let keep = |query| session.materialize(query, vec![]);
    try_join!(keep(queries::FINDING_HOURS), keep(queries::FINDING_KEYS), keep(queries::REFUSED_PEERS))?;
    keep(queries::FINDING_SPANS).await?;
    keep(queries::ALLOWED_HOURS).await?;
    keep(queries::FINDINGS).await
}

/// `rows` are those of the table `findings`; rows without candidates are another's.
pub fn drafts(rows: &Table, setting: Setting, lists: &mut Lists) -> Result<Vec<Draft>, SessionError> {
    let is_listed = |row: &usize| !rows.text("candidates", *row).is_empty();
    rows.rows().filter(is_listed).map(|row| draft(rows, row, setting, lists)).collect()
}

/// Some get through while others are turned away, and it is no outage.
fn is_restricted(rows: &Table, row: usize) -> bool {
    rows.int("allowed_24h", row).unwrap_or_default() > 0 && !rows.flag("is_outage", row)
}

fn draft(rows: &Table, row: usize, setting: Setting, lists: &mut Lists) -> Result<Draft, SessionError> {
    let scope = setting.scope;
    let int = |name: &str| rows.int(name, row).unwrap_or_default();
    let flag = |name: &str| rows.flag(name, row);
    let number = int("finding");
    let candidates: Vec<String> = rows.text("candidates", row).split(',').map(str::to_owned).collect();
    let verdict = verdict_of(&rows.text("verdict", row))?;
    let is_of_strangers = flag("all_from_internet") || flag("are_strangers") && rows.text("address", row).is_empty();
    let kind = if int("unknown_count") > 1 {
        Kind::AmbiguousDependency
    } else if is_of_strangers && is_restricted(rows, row) {
        Kind::SourceRestricted
    } else {
        Kind::BlockedDependency
    };
    let (key, address) = (Key::read(rows, row), rows.text("address", row));
    let first = if address.is_empty() { candidates.join(",") } else { format!("address:{address}") };
    let fingerprint = key.fingerprint(&first);
    let mut finding = Finding::new(kind, verdict, key, candidates, fingerprint);
    let requirement = requirement(scope, &rows.text("primary_id", row));
    match &requirement {
        Some(requirement) if kind != Kind::AmbiguousDependency => finding.concern(requirement),
        _ => finding.purpose = one_of(&finding.candidates, scope),
    }
    read_course(&mut finding, rows, row);
    finding.worked_before = Some(finding.last_allowed_before.is_some());
    let reach = reach(&finding, finding.direction == "outbound" || flag("is_named"));
    let confidence = Confidence::of_certainty(int("certainty"));
    finding.rate(int("impact") as u16, confidence, state(rows, row, verdict), reach);
    let is_external_only = flag("is_external_only");
    let caps = Caps { kind, verdict, is_from_internet: flag("all_from_internet"), is_external_only };
    finding.severity = caps.severity(finding.score, setting);
    finding.outside_loaded_tags = int("unlisted_tuples");
    finding.add_locals(lists.take_locals(number));
    finding.add_peers(lists.take_peers(number), scope);
    finding.hours = last_hours(lists.take_hours(number));
    let facts = Facts {
        is_mode_unknown: is_external_only && setting.mode.mode.is_none(),
        needs_correction: flag("needs_correction"),
        is_named: flag("is_named"),
        is_regular: !address.is_empty(),
        ..Facts::of(scope)
    };
    Ok(Draft { finding, requirement, facts })
}

/// Reads what all denials have: ports, rule, counts and times.
pub fn read_course(finding: &mut Finding, rows: &Table, row: usize) {
    let int = |name: &str| rows.int(name, row).unwrap_or_default();
    let time = |name: &str| rows.int(name, row).map(Timestamp);
    finding.protocol = rows.text("protocol", row);
    finding.ports = rows.ints("ports", row);
    finding.rule_origin = rows.text("rule_origin", row);
    finding.denied_tuples = int("denied_tuples");
    finding.denied_tuples_24h = int("denied_tuples_24h");
    finding.allowed_24h = int("allowed_24h");
    finding.allowed_since_first_denied = int("allowed_since_first_denied");
    finding.first_denied = time("first_denied");
    finding.last_denied = time("last_denied");
    finding.last_allowed_before = time("last_allowed_before");
    finding.first_allowed_after = time("first_allowed_after");
}

pub fn state(rows: &Table, row: usize, verdict: Verdict) -> Activity {
    match verdict {
        Verdict::Recovered => Activity::Recovered,
        _ if rows.flag("is_quiet", row) => Activity::Quiet,
        _ => Activity::Ongoing,
    }
}

/// How much of the last day was denied.
pub fn reach(finding: &Finding, is_floored: bool) -> Reach {
    match finding.verdict {
        Verdict::Blocked => Reach::Whole,
        Verdict::ShareUnknown => Reach::Half,
        Verdict::Partial | Verdict::Recovered | Verdict::Unanswered => {
            Reach::Share { denied: finding.denied_tuples_24h, allowed: finding.allowed_24h, is_floored }
        }
    }
}

fn one_of(candidates: &[String], scope: &Scope) -> String {
    let purposes = scope.requirements().iter().filter(|r| candidates.contains(&r.id)).map(|r| r.purpose.as_str());
    format!("one of: {}", purposes.collect::<Vec<_>>().join("; "))
}

/// Returns the verdict that the queries call so; an error is a fault of ours.
pub fn verdict_of(name: &str) -> Result<Verdict, SessionError> {
    Verdict::from_name(name).ok_or_else(|| SessionError::unknown_name("verdict", name))
}
