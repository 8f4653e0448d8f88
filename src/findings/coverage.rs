//! What the logs say of each requirement in each subnet. No evidence is never fine.

use std::collections::HashMap;

use super::analysis::{Coverage, CoverageVerdict};
use super::draft::Setting;
use super::finding::{Finding, Kind, Verdict};
use crate::catalog::{Requirement, Role, RowDirection, RowMode, role};
use crate::engine::Table;
use crate::time::Timestamp;

/// What the queries say of requirements.
pub struct Seen {
    /// The rows of [`COVERAGE`](crate::queries::COVERAGE).
    pub flows: Table,
    /// The rows of [`SILENCES`](crate::queries::SILENCES).
    pub silences: Table,
}

/// Rows by subnet, then in the order of the port table; those that do not apply in the given mode are left out.
pub fn coverage<'a>(
    setting: Setting,
    Seen { flows: seen, silences }: &Seen,
    findings: impl Iterator<Item = &'a Finding> + Clone,
) -> Vec<Coverage> {
    let scope = setting.scope;
    let keys = |rows: &Table| -> HashMap<(String, String), usize> {
        rows.rows().map(|row| ((rows.text("requirement", row), rows.text("subnet", row)), row)).collect()
    };
    let (places, silent) = (keys(seen), keys(silences));
    let rows: Vec<&Requirement> = scope.requirements().iter().filter(|r| r.applies_in(scope.vnet_mode())).collect();
    let mut coverage = Vec::new();
    for subnet in scope.subnets().iter().map(ToString::to_string) {
        for requirement in &rows {
            let key = (requirement.id.clone(), subnet.clone());
            let evidence = places.get(&key).copied();
            let int = |name: &str| evidence.and_then(|row| seen.int(name, row));
            let found =
                findings.clone().filter(|f| f.requirement.as_ref() == Some(&requirement.id) && f.subnet == subnet);
            let verdict = found.filter_map(of_finding).min().unwrap_or(match evidence {
                None => CoverageVerdict::NoEvidence,
                Some(row) if seen.flag("is_allowed", row) => CoverageVerdict::Allowed,
                Some(_) => CoverageVerdict::Indistinguishable,
            });
            let may_fall_silent = verdict == CoverageVerdict::Allowed
                && (requirement.direction == RowDirection::Outbound || role(&requirement.id) == Some(Role::Management));
            let silent_since = silent.get(&key).and_then(|&row| silences.int("silent_since", row)).map(Timestamp);
            coverage.push(Coverage {
                requirement: requirement.id.clone(),
                subnet: subnet.clone(),
                direction: requirement.direction.name().to_owned(),
                protocol: requirement.protocol_text(),
                ports: requirement.printed_ports(),
                source: requirement.source.name().to_owned(),
                destination: requirement.destination.name().to_owned(),
                necessity: requirement.necessity.name().to_owned(),
                verdict,
                denied_tuples: int("denied_tuples").unwrap_or_default(),
                allowed_tuples: int("allowed_tuples").unwrap_or_default(),
                first_flow: int("first_flow").map(Timestamp),
                last_flow: int("last_flow").map(Timestamp),
                silent_since: silent_since.filter(|_| may_fall_silent),
                counts: requirement.vnet_mode != RowMode::External || !setting.mode.is_likely_internal(),
            });
        }
    }
    coverage
}

/// Where only denials are logged, what is denied counts as blocked: nothing shows otherwise. Where some are turned away,
/// others get through, whoever came last.
fn of_finding(finding: &Finding) -> Option<CoverageVerdict> {
    match (finding.kind, finding.verdict) {
        (Kind::AmbiguousDependency | Kind::ForcedTunnellingSuspected, _) => None,
        (Kind::SourceRestricted, Verdict::Blocked) => Some(CoverageVerdict::Partial),
        (_, Verdict::Blocked | Verdict::ShareUnknown) => Some(CoverageVerdict::Blocked),
        (_, Verdict::Partial) => Some(CoverageVerdict::Partial),
        (_, Verdict::Unanswered) => Some(CoverageVerdict::Unanswered),
        (_, Verdict::Recovered) => Some(CoverageVerdict::Recovered),
    }
}
