//! Drafts findings of flows that a rule refused and a requirement asks for: blocked, ambiguous and source-restricted
//! dependencies.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tokio::try_join;

use super::caps::SeverityCaps;
use super::details::Details;
use super::draft::{Draft, Setting};
use super::explain::ExplainContext;
use super::identity::FindingKey;
use super::model::{Denials, Finding, Grade, Kind, Times, Verdict};
use super::score::{Confidence, Reach, State};
use crate::engine::{ResultRows, Row, Scope, Session, SessionError};
use crate::flow::ScopeDirection;
use crate::queries;

/// Numbers the denied groups by their findings, and makes the tables `denied` and `findings`.
pub async fn number(session: &Session) -> Result<(), SessionError> {
    session.materialize(queries::DENIED, vec![]).await?;
    find(session).await?;
    let rows = session.materialized(queries::FINDINGS).await?;
    // Addresses that keep coming are no strangers, so they become findings of their own.
    let mut restricted: Vec<ScalarValue> = Vec::new();
    for row in rows.rows() {
        if row.flag("is_unproven")? && is_restricted(row)? {
            restricted.push(ScalarValue::from(row.int::<i64>("finding")?));
        }
    }
    if restricted.is_empty() {
        return Ok(());
    }
    let findings = ScalarValue::List(ScalarValue::new_list_nullable(&restricted, &DataType::Int64));
    session.materialize(queries::REGULARS, vec![("findings", findings)]).await?;
    session.materialize_as(queries::DENIED.id, queries::SPLIT_DENIED, vec![]).await?;
    find(session).await
}

/// Makes the table `findings` from `denied`, and the tables in between.
async fn find(session: &Session) -> Result<(), SessionError> {
    let keep = |query| session.materialize(query, vec![]);
    try_join!(keep(queries::FINDING_HOURS), keep(queries::FINDING_KEYS), keep(queries::REFUSED_PEERS))?;
    keep(queries::FINDING_SPANS).await?;
    keep(queries::ALLOWED_HOURS).await?;
    keep(queries::FINDINGS).await
}

/// Drafts the rows of the table `findings` that have candidates.
pub fn drafts(rows: &ResultRows, setting: Setting, details: &mut Details) -> Result<Vec<Draft>, SessionError> {
    let mut drafts = Vec::new();
    for row in rows.rows() {
        if let Some(candidates) = row.text_or_null("candidates")? {
            drafts.push(draft(row, &candidates, setting, details)?);
        }
    }
    Ok(drafts)
}

/// Returns whether some flows got through in the last 24 hours while others were refused, without an outage.
fn is_restricted(row: Row) -> Result<bool, SessionError> {
    Ok(row.int::<i64>("allowed_24h")? > 0 && !row.flag("is_outage")?)
}

fn draft(row: Row, candidates: &str, setting: Setting, details: &mut Details) -> Result<Draft, SessionError> {
    let scope = setting.scope;
    let key = FindingKey::read(row)?;
    let address = row.text_or_null("address")?;
    let kind = kind(row, address.is_some())?;
    let concern = address.as_ref().map_or(candidates.to_owned(), |address| format!("address:{address}"));
    let candidates: Vec<String> = candidates.split(',').map(str::to_owned).collect();
    let is_floored = key.direction == ScopeDirection::Outbound || row.flag("is_named")?;
    let grade = grade(row, kind, is_floored, setting)?;
    let mut addresses = details.take(row.int("finding")?).listed(scope);
    addresses.outside_loaded_tags = row.int("unlisted_tuples")?;
    let (identity, blame) = (key.identity(kind, &concern), key.blame(row.named("rule_origin")?));
    let subject = key.subject(candidates, row.text("protocol")?, row.ports_or_null("ports")?.unwrap_or_default());
    let mut finding = Finding::new(identity, grade, subject, blame, addresses);
    let requirement = scope.requirement(&row.text("primary_id")?).cloned();
    match &requirement {
        Some(requirement) if kind != Kind::AmbiguousDependency => finding.concern(requirement),
        _ => finding.subject.purpose = one_of(&finding.subject.candidates, scope),
    }
    (finding.denials, finding.times) = (denials(row)?, times(row)?);
    finding.meaning.worked_before = Some(finding.times.last_allowed_before.is_some());
    let context = ExplainContext {
        is_mode_unknown: row.flag("is_external_only")? && setting.mode.mode.is_none(),
        needs_correction: row.flag("needs_correction")?,
        is_named: row.flag("is_named")?,
        is_regular: address.is_some(),
        ..ExplainContext::of(scope)
    };
    Ok(Draft { finding, requirement, context })
}

fn kind(row: Row, is_of_one_address: bool) -> Result<Kind, SessionError> {
    let is_of_strangers = row.flag("all_from_internet")? || row.flag("are_strangers")? && !is_of_one_address;
    Ok(if row.int::<i64>("unknown_count")? > 1 {
        Kind::AmbiguousDependency
    } else if is_of_strangers && is_restricted(row)? {
        Kind::SourceRestricted
    } else {
        Kind::BlockedDependency
    })
}

fn grade(row: Row, kind: Kind, is_floored: bool, setting: Setting) -> Result<Grade, SessionError> {
    let verdict = row.named("verdict")?;
    let reach = reach(verdict, &denials(row)?, is_floored);
    let mut grade = Grade::new(verdict, row.int("impact")?, confidence(row)?, state(row, verdict)?, reach);
    let caps = SeverityCaps {
        kind,
        is_from_internet: row.flag("all_from_internet")?,
        is_external_only: row.flag("is_external_only")?,
    };
    caps.apply(&mut grade, setting);
    Ok(grade)
}

/// Reads the confidence. Fails if the certainty is not 1, 2 or 3.
pub fn confidence(row: Row) -> Result<Confidence, SessionError> {
    let certainty = row.int("certainty")?;
    Confidence::of_certainty(certainty).ok_or_else(|| row.fault("certainty", format!("{certainty} is not 1, 2 or 3")))
}

/// Reads the counts that all denials have.
pub fn denials(row: Row) -> Result<Denials, SessionError> {
    Ok(Denials {
        denied_tuples: row.int("denied_tuples")?,
        denied_tuples_24h: row.int("denied_tuples_24h")?,
        allowed_24h: row.int("allowed_24h")?,
        allowed_since_first_denied: row.int("allowed_since_first_denied")?,
        ..Denials::default()
    })
}

/// Reads the times that all denials have.
pub fn times(row: Row) -> Result<Times, SessionError> {
    Ok(Times {
        first_denied: row.time_or_null("first_denied")?,
        last_denied: row.time_or_null("last_denied")?,
        last_allowed_before: row.time_or_null("last_allowed_before")?,
        first_allowed_after: row.time_or_null("first_allowed_after")?,
    })
}

/// Returns the state: recovered by the verdict, else quiet or ongoing by the row.
pub fn state(row: Row, verdict: Verdict) -> Result<State, SessionError> {
    Ok(match verdict {
        Verdict::Recovered => State::Recovered,
        _ if row.flag("is_quiet")? => State::Quiet,
        _ => State::Ongoing,
    })
}

/// Returns the share of the flows that was denied: by the verdict if that decides, else in the last 24 hours.
pub fn reach(verdict: Verdict, denials: &Denials, is_floored: bool) -> Reach {
    match verdict {
        Verdict::Blocked | Verdict::Contradicted => Reach::Whole,
        Verdict::ShareUnknown => Reach::Half,
        Verdict::Partial | Verdict::Recovered | Verdict::Unanswered => {
            Reach::Share { denied: denials.denied_tuples_24h, allowed: denials.allowed_24h, is_floored }
        }
    }
}

fn one_of(candidates: &[String], scope: &Scope) -> String {
    let purposes = scope.requirements().iter().filter(|r| candidates.contains(&r.id)).map(|r| r.purpose.as_str());
    format!("one of: {}", purposes.collect::<Vec<_>>().join("; "))
}
