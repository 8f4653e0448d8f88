//! Computes the verdict of the logs on each requirement in each subnet. Missing evidence never counts as success.

use std::collections::HashMap;

use super::analysis::{Coverage, CoverageVerdict};
use super::draft::Setting;
use super::model::{Finding, Kind, Verdict};
use crate::catalog::{Requirement, Role, RowDirection, RowMode, role};
use crate::engine::{ResultRows, Row, SessionError};
use crate::time::Timestamp;

/// Rows of a query by requirement and subnet.
type Evidence<'a> = HashMap<(String, String), Row<'a>>;

/// Rows of the queries about requirements.
pub struct Seen {
    /// Rows of [`COVERAGE`](crate::queries::COVERAGE).
    pub flows: ResultRows,
    /// Rows of [`SILENCES`](crate::queries::SILENCES).
    pub silences: ResultRows,
}

/// Returns a row per subnet and requirement, in the order of the subnets, then of the port table. Rows that do not
/// apply in the given mode are left out.
pub fn coverage<'a>(
    setting: Setting,
    Seen { flows, silences }: &Seen,
    findings: impl Iterator<Item = &'a Finding> + Clone,
) -> Result<Vec<Coverage>, SessionError> {
    let scope = setting.scope;
    let (flows, silences) = (by_key(flows)?, by_key(silences)?);
    let mut coverage = Vec::new();
    for subnet in scope.subnets().iter().map(ToString::to_string) {
        for requirement in scope.requirements().iter().filter(|r| r.applies_in(scope.vnet_mode())) {
            let found = findings
                .clone()
                .filter(|f| f.subject.requirement.as_ref() == Some(&requirement.id) && f.subject.subnet == subnet);
            let key = (requirement.id.clone(), subnet.clone());
            let evidence = flows.get(&key).copied();
            let verdict = verdict(found, evidence)?;
            let silent_since = match silences.get(&key) {
                Some(row) if may_fall_silent(requirement, verdict) => Some(Timestamp(row.int("silent_since")?)),
                _ => None,
            };
            let counts = requirement.vnet_mode != RowMode::External || !setting.mode.is_likely_internal();
            coverage.push(Coverage { silent_since, counts, ..row(requirement, &subnet, verdict, evidence)? });
        }
    }
    Ok(coverage)
}

fn by_key(rows: &ResultRows) -> Result<Evidence<'_>, SessionError> {
    rows.rows().map(|row| Ok(((row.text("requirement")?, row.text("subnet")?), row))).collect()
}

/// Returns the worst verdict of the findings; without one, the verdict of the flows.
fn verdict<'a>(
    findings: impl Iterator<Item = &'a Finding>,
    evidence: Option<Row>,
) -> Result<CoverageVerdict, SessionError> {
    if let Some(worst) = findings.filter_map(of_finding).min() {
        return Ok(worst);
    }
    Ok(match evidence {
        None => CoverageVerdict::NoEvidence,
        Some(row) if row.flag("is_allowed")? => CoverageVerdict::Allowed,
        Some(_) => CoverageVerdict::Indistinguishable,
    })
}

fn may_fall_silent(requirement: &Requirement, verdict: CoverageVerdict) -> bool {
    let is_regular = requirement.direction == RowDirection::Outbound || role(&requirement.id) == Some(Role::Management);
    verdict == CoverageVerdict::Allowed && is_regular
}

fn row(
    requirement: &Requirement,
    subnet: &str,
    verdict: CoverageVerdict,
    evidence: Option<Row>,
) -> Result<Coverage, SessionError> {
    let count = |column| evidence.map_or(Ok(0), |row| row.int(column));
    let time = |column| evidence.map_or(Ok(None), |row| row.time_or_null(column));
    Ok(Coverage {
        requirement: requirement.id.clone(),
        subnet: subnet.to_owned(),
        direction: requirement.direction,
        protocol: requirement.protocol_text(),
        ports: requirement.printed_ports(),
        source: requirement.source.clone(),
        destination: requirement.destination.clone(),
        necessity: requirement.necessity,
        verdict,
        denied_tuples: count("denied_tuples")?,
        allowed_tuples: count("allowed_tuples")?,
        first_flow: time("first_flow")?,
        last_flow: time("last_flow")?,
        silent_since: None,
        platform: None,
        counts: true,
    })
}

/// Returns the verdict that a finding gives its requirement. If only denials are logged, denied counts as blocked,
/// because nothing shows otherwise. If only some callers are refused, the requirement is partial, because others get
/// through.
fn of_finding(finding: &Finding) -> Option<CoverageVerdict> {
    match (finding.identity.kind, finding.grade.verdict) {
        (Kind::AmbiguousDependency | Kind::ForcedTunnellingSuspected, _) | (_, Verdict::Contradicted) => None,
        (Kind::SourceRestricted, Verdict::Blocked) => Some(CoverageVerdict::Partial),
        (_, Verdict::Blocked | Verdict::ShareUnknown) => Some(CoverageVerdict::Blocked),
        (_, Verdict::Partial) => Some(CoverageVerdict::Partial),
        (_, Verdict::Unanswered) => Some(CoverageVerdict::Unanswered),
        (_, Verdict::Recovered) => Some(CoverageVerdict::Recovered),
    }
}
