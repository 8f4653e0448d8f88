//! Joins findings and coverage with the network status of the instance. Where both disagree, that is a finding.

use std::collections::BTreeMap;

use crate::catalog::{Requirement, RowDirection};
use crate::engine::Scope;
use crate::findings::analysis::{Analysis, CoverageVerdict, Notice};
use crate::findings::change::{Change, Fix};
use crate::findings::evidence::PlatformSays;
use crate::findings::identity::FindingKey;
use crate::findings::model::{Addresses, Finding, Grade, Kind, Verdict};
use crate::findings::notice_code::NoticeCode;
use crate::findings::score::{Confidence, Reach, Severity, State};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::platform::{Connectivity, ConnectivityStatus, NetworkStatus};
use crate::time::{MINUTE, Timestamp};

/// Age from which a status tells nothing about the logs. An instance tries again every 15 minutes.
const STALE: i64 = 30 * MINUTE;

/// Checks of one requirement, the worst first.
struct Said<'a> {
    check: &'a Connectivity,
    region: &'a NetworkStatus,
}

/// Completes findings and coverage, and returns the disagreements.
pub fn join(analysis: &mut Analysis, status: &[NetworkStatus], scope: &Scope) -> Vec<Finding> {
    let last_flow = analysis.input.last_flow;
    stale(analysis, status, last_flow);
    let first_flow = analysis.input.first_flow;
    let began: BTreeMap<String, Timestamp> = began(analysis);
    let mut found = Vec::new();
    for row in scope.requirements() {
        let Some(said) = said(status, &row.id) else { continue };
        let Some(covered) =
            analysis.coverage.iter_mut().filter(|own| own.requirement == row.id).min_by_key(|own| own.verdict)
        else {
            continue;
        };
        let (verdict, subnet, protocol) = (covered.verdict, covered.subnet.clone(), covered.protocol.clone());
        let age = Age::of(said.check, first_flow, last_flow, began.get(&row.id).copied());
        let (conclusion, is_contradiction) = conclusion(said.check.status, verdict, age, said.region);
        if verdict == CoverageVerdict::NoEvidence
            && said.check.status == ConnectivityStatus::Success
            && matches!(age, Age::Fresh | Age::Changed)
        {
            covered.platform = Some(ConnectivityStatus::Success);
        }
        let says = PlatformSays {
            status: said.check.status,
            name: said.check.name.clone(),
            location: said.region.location.clone(),
            last_status_change: said.check.last_status_change,
            conclusion: conclusion.to_owned(),
        };
        let own = |finding: &&mut Finding| {
            finding.subject.requirement.as_ref() == Some(&row.id) && finding.identity.kind != Kind::SourceRestricted
        };
        for finding in analysis.findings.iter_mut().filter(own) {
            if !says.conclusion.is_empty() && !is_contradiction {
                let since = says.last_status_change.map(|time| format!(" since {}", time.minute())).unwrap_or_default();
                finding.explanation = format!(
                    "{} API Management reports {}{since}: {}.",
                    finding.explanation, says.status, says.conclusion
                );
            }
            finding.platform = Some(says.clone());
        }
        if is_contradiction {
            found.push(contradiction(row, subnet, protocol, says, said.check));
        }
    }
    found
}

/// Returns the worst check of a requirement: a failure of something that the instance needs comes first.
fn said<'a>(status: &'a [NetworkStatus], id: &str) -> Option<Said<'a>> {
    let checks = status.iter().flat_map(|region| region.checks.iter().map(move |check| Said { check, region }));
    let own = checks.filter(|said| said.check.requirement.as_deref() == Some(id));
    own.min_by_key(|said| {
        (
            said.check.status != ConnectivityStatus::Failure,
            said.check.is_optional,
            said.check.status != ConnectivityStatus::Initializing,
        )
    })
}

/// Returns when each requirement first failed in the logs.
fn began(analysis: &Analysis) -> BTreeMap<String, Timestamp> {
    let mut began = BTreeMap::new();
    for finding in &analysis.findings {
        let first = finding.times.first_denied.or(finding.unanswered.and_then(|silent| silent.first));
        if let (Some(id), Some(first)) = (&finding.subject.requirement, first) {
            let known = began.entry(id.clone()).or_insert(first);
            *known = first.min(*known);
        }
    }
    began
}

/// Age of a check beside the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Its last try was before the logs begin.
    Before,
    /// Its last try was before the logs end.
    Old,
    /// Its last try was when the logs end, or later.
    Fresh,
    /// Its result changed after the logs end, or after the first failure in the logs if it is a success.
    Changed,
}

impl Age {
    fn of(
        check: &Connectivity,
        first_flow: Option<Timestamp>,
        last_flow: Option<Timestamp>,
        began: Option<Timestamp>,
    ) -> Self {
        let since = if check.status == ConnectivityStatus::Success { began } else { last_flow };
        let is_updated = |time: Option<Timestamp>| {
            time.zip(check.last_updated).is_none_or(|(time, updated)| updated.0 >= time.0 - STALE)
        };
        match (is_updated(first_flow), is_updated(last_flow)) {
            (false, _) => Self::Before,
            _ if since.zip(check.last_status_change).is_some_and(|(since, changed)| changed > since) => Self::Changed,
            (_, false) => Self::Old,
            _ => Self::Fresh,
        }
    }
}

/// Returns what follows from a status and the verdict of the flows, and whether they disagree.
fn conclusion(
    status: ConnectivityStatus,
    verdict: CoverageVerdict,
    age: Age,
    region: &NetworkStatus,
) -> (&'static str, bool) {
    use ConnectivityStatus::{Failure, Success};
    use CoverageVerdict as Flows;
    let has_own_servers = region.dns_servers.iter().any(|server| server != "168.63.129.16");
    match (status, verdict) {
        _ if age == Age::Before => ("", false),
        (Failure, _) if age == Age::Changed => ("that began after the logs end", false),
        (Failure, Flows::Blocked | Flows::Partial) => ("the instance itself confirms that it is not reached", false),
        (Failure, Flows::Unanswered) => {
            ("the instance itself confirms it: a route or a firewall behind the rules swallows the flows", false)
        }
        (Failure, Flows::Allowed | Flows::Recovered) => (
            "the flows are allowed and answered, so it is not a rule: look at name resolution, TLS inspection, the private endpoint, or the firewall of the service",
            true,
        ),
        (Failure, Flows::NoEvidence) if has_own_servers => (
            "no packet leaves, so most likely the name is not resolved: check the name servers that the instance uses, and the rows of port 53",
            true,
        ),
        (Failure, Flows::NoEvidence | Flows::Indistinguishable) => {
            ("no packet of its own is seen, so most likely the name is not resolved", true)
        }
        (Success, Flows::Blocked | Flows::Unanswered) if age == Age::Changed => {
            ("it is reached again since then", false)
        }
        (Success, Flows::Blocked | Flows::Unanswered) if age == Age::Fresh => (
            "the instance says that it is reached: the refused flows are of another instance or region, or of an endpoint that is not needed",
            true,
        ),
        (Success, Flows::Blocked | Flows::Unanswered) => ("the status is older than the refusals", false),
        (Success, Flows::NoEvidence) if matches!(age, Age::Fresh | Age::Changed) => {
            ("the instance says that it is reached", false)
        }
        _ => ("", false),
    }
}

fn contradiction(
    row: &Requirement,
    subnet: String,
    protocol: String,
    says: PlatformSays,
    check: &Connectivity,
) -> Finding {
    let key = FindingKey {
        direction: match row.direction {
            RowDirection::Inbound => ScopeDirection::Inbound,
            RowDirection::Outbound => ScopeDirection::Outbound,
            RowDirection::Both | RowDirection::None => ScopeDirection::Internal,
        },
        vantage: Vantage::Near,
        subnet,
        acl: None,
        rule: None,
    };
    let identity = key.identity(Kind::PlatformContradicts, &format!("platform:{}", row.id));
    let is_failure = says.status == ConnectivityStatus::Failure;
    let impact = if is_failure { row.impact } else { 0 };
    let mut grade = Grade::new(Verdict::Contradicted, impact, Confidence::Possible, State::Ongoing, Reach::Whole);
    let most = if check.is_optional { Severity::Low } else { Severity::Medium };
    grade.severity = grade.severity.min(most);
    let blame = key.blame(RuleOrigin::Unknown);
    let subject = key.subject(vec![row.id.clone()], protocol, Vec::new());
    let mut finding = Finding::new(identity, grade, subject, blame, Addresses::none());
    finding.subject.purpose = "the instance and the logs disagree".to_owned();
    let place = if says.location.is_empty() { String::new() } else { format!(" in {}", says.location) };
    let since = says.last_status_change.map(|time| format!(" since {}", time.minute())).unwrap_or_default();
    let error = check.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    finding.explanation = format!(
        "API Management{place} reports {} for {} ({}){since}{error}: {}.",
        says.status, says.name, row.id, says.conclusion
    );
    finding.fix = Fix {
        change: Change::None,
        note:
            "No rule is known to help. Compare Network status of the instance in the portal with the time of the logs."
                .to_owned(),
    };
    finding.platform = Some(says);
    finding
}

/// Says that a status is older than the logs, or that an instance tried nothing for long.
fn stale(analysis: &mut Analysis, status: &[NetworkStatus], last_flow: Option<Timestamp>) {
    let newest = status.iter().flat_map(|region| &region.checks).filter_map(|check| check.last_updated).max();
    let (Some(newest), Some(last)) = (newest, last_flow) else { return };
    if newest.0 < last.0 - STALE {
        let message = format!(
            "the network status is of {}, and the logs end at {}: export it again",
            newest.minute(),
            last.minute()
        );
        analysis.notices.push(Notice { code: NoticeCode::NetworkStatusOld, message });
    }
}
