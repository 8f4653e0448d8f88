//! What to know before believing the findings. One place for all of them, in the order in which they are printed.

use std::collections::BTreeMap;

use tokio::try_join;

use super::LISTED_FINDINGS;
use super::analysis::{Analysis, Basis, CoverageVerdict, Notice};
use super::finding::Kind;
use crate::catalog::{RowMode, ServiceTags, TagAge};
use crate::engine::{Scope, Session, SessionError, Table};
use crate::queries;
use crate::time::HOUR;

/// What is asked of the flows for the notices alone.
pub struct Facts {
    facts: Table,
    strangers: Table,
}

impl Facts {
    pub async fn read(session: &Session) -> Result<Self, SessionError> {
        let (facts, strangers) = try_join!(session.table(queries::FACTS), session.table(queries::STRANGERS))?;
        Ok(Self { facts, strangers })
    }
}

/// `other_cloud` is the cloud of a service-tag file that was left aside, for the logs come from another.
pub fn notices(
    session: &Session,
    Facts { facts, strangers }: &Facts,
    other_cloud: Option<&str>,
    analysis: &Analysis,
) -> Vec<Notice> {
    let (scope, input) = (session.scope(), &analysis.input);
    let has_flows = input.tuples_in_scope > 0;
    let versions = &input.versions;
    let allowed = input.tuples_in_scope - input.denied_in_scope;
    let subnets = || listed(scope.subnets().iter().map(ToString::to_string));
    let strange = || listed(strangers.rows().map(|row| strangers.text("ip", row)));
    let unreliable = facts.int("unreliable_acls", 0).unwrap_or_default();
    let checks = [
        analysis.is_interrupted.then(|| ("interrupted", "The run was interrupted: this is what had been read so far.".to_owned())),
        (analysis.basis == Basis::Unknown).then(|| {
            let text = "Which subnet is API Management's is not known, so every interface in the logs counts, and no finding is more \
                        than medium or fails the run. Give --subnet CIDR.";
            ("subnet-unknown", text.to_owned())
        }),
        (analysis.basis == Basis::Inferred).then(|| {
            let text = format!(
                "No --subnet was given, so the logs were asked: API Management seems to be {}, for it is probed, managed or \
                 answers there. Say --subnet CIDR to be sure.",
                subnets()
            );
            ("subnet-inferred", text)
        }),
        (versions.vnet4 == 0 && versions.nsg1 + versions.nsg2 > 0).then(|| {
            let text = "All input is NSG flow logs, which Azure does not support for API Management: what they do not show proves \
                        little. Turn VNet flow logs on.";
            ("nsg-format-only", text.to_owned())
        }),
        (unreliable > 0).then(|| {
            let text = format!(
                "{unreliable} of the NSGs log next to no packets on the way back, so from them nothing was concluded about \
                 missing answers."
            );
            ("return-counters-unreliable", text)
        }),
        (has_flows && allowed == 0).then(|| {
            let text = "The logs hold denied flows only, so how much got through cannot be known.";
            ("allowed-not-logged", text.to_owned())
        }),
        (facts.flag("has_state", 0) && !facts.flag("has_begin", 0)).then(|| {
            let text = "The logs hold no beginnings of flows, as if filtered at the source; every allowed entry was taken for a new flow.";
            ("states-filtered-at-source", text.to_owned())
        }),
        other_cloud.map(|cloud| {
            let clouds: Vec<&str> = session.clouds().iter().copied().collect();
            let text = format!(
                "The service-tag file is of the cloud {cloud}, but the logs come from {}: it was left aside. Load that cloud's file.",
                clouds.join(" and ")
            );
            ("service-tags-other-cloud", text)
        }),
        (scope.service_tags().is_none() && other_cloud.is_none()).then(|| {
            let text = "No service-tag file (Microsoft's list of the addresses of each service) was loaded, so public addresses cannot be \
                        told apart by service. Download ServiceTags_Public_*.json and add --service-tags FILE.";
            ("service-tags-missing", text.to_owned())
        }),
        scope.service_tags().and_then(|tags| old_tags(tags, input.last_flow.map(|t| t.0))),
        lacking_tags(scope),
        (analysis.scope.vnet_mode_origin.is_none() && has_external_only(session, analysis)).then(|| {
            let text = "Some findings matter only to an instance in external mode; they are at most medium until you say --vnet-mode \
                        external.";
            ("vnet-mode-unknown", text.to_owned())
        }),
        (is_likely_internal(analysis) && has_external_only(session, analysis)).then(|| {
            let text = "Internet calls on 443 are refused: right for internal mode, else give --vnet-mode external.";
            ("vnet-mode-unknown", text.to_owned())
        }),
        (has_flows && has_identifying_rows(session) && !facts.flag("has_identifying", 0)).then(|| {
            let text = format!(
                "No flow uses a port that only API Management needs by edition {}: perhaps this is a v2 tier or another kind of \
                 instance (flowgap requirements --list-editions), or not its subnet.",
                scope.edition().id()
            );
            ("edition-mismatch", text)
        }),
        window_edge(analysis),
        no_evidence(analysis),
        (analysis.findings.len() > LISTED_FINDINGS).then(|| {
            let text = format!(
                "Of {} findings, the first {LISTED_FINDINGS} are listed. Fewer subnets, or a narrower window, show the others.",
                analysis.findings.len()
            );
            ("findings-cut", text)
        }),
        (!strangers.rows().is_empty()).then(|| {
            let text = format!(
                "{} in the subnet answered on ports that API Management has no use for: its subnet must hold nothing else, and \
                 findings may be another machine's.",
                strange()
            );
            ("stranger-in-subnet", text)
        }),
        facts.int("double_hours", 0).filter(|&hours| hours > 0).map(|hours| {
            let text = format!(
                "NSG and VNet flow logs of the same interface captured {}: their flows count twice.",
                super::counted(hours, "hour")
            );
            ("double-captured", text)
        }),
        foreign_logs(&input.foreign),
        (input.slow_records > 0).then(|| {
            let text = "Some records hold escaped characters and took the slower way through the decoder.";
            ("slow-path-input", text.to_owned())
        }),
    ];
    let notices = checks.into_iter().flatten();
    notices.map(|(code, message)| Notice { code, message }).collect()
}

/// A line for each kind of log that lies beside the flow logs.
fn foreign_logs(kinds: &[(String, u64)]) -> Option<(&'static str, String)> {
    let line = |(kind, records): &(String, u64)| format!("{} of {kind}", super::counted(*records as i64, "record"));
    let lines: Vec<String> = kinds.iter().map(line).collect();
    let text = || format!("Records of other logs were passed over:\n{}", lines.join(";\n"));
    (!lines.is_empty()).then(|| ("foreign-logs", text()))
}

fn old_tags(tags: &ServiceTags, last_flow: Option<i64>) -> Option<(&'static str, String)> {
    match tags.age_at(last_flow) {
        TagAge::Fresh => None,
        TagAge::Stale { days } => {
            let text = format!(
                "The service-tag file is {days} days older than the newest flow; addresses that came since are not in it. Download \
                 the newest one."
            );
            Some(("service-tags-old", text))
        }
        TagAge::Undated => {
            let text = "The age of the service-tag file is not known, so addresses that it does not list may be new. Keep the name that \
                        Microsoft gives it, or give --service-tags-date.";
            Some(("service-tags-undated", text.to_owned()))
        }
    }
}

/// Says which tags of the port table a loaded file does not have.
fn lacking_tags(scope: &Scope) -> Option<(&'static str, String)> {
    let tags = scope.lacking_tags();
    (!tags.is_empty()).then(|| {
        let text = format!(
            "The loaded service-tag file lacks the tags {}: their services cannot be told apart. Load the file of your cloud as Microsoft \
             publishes it.",
            tags.join(", ")
        );
        ("service-tags-missing", text)
    })
}

pub fn is_likely_internal(analysis: &Analysis) -> bool {
    let scope = &analysis.scope;
    scope.vnet_mode_origin == Some("likely") && scope.vnet_mode.as_deref() == Some("internal")
}

fn has_external_only(session: &Session, analysis: &Analysis) -> bool {
    let rows = session.scope().requirements();
    let is_external = |id: &String| rows.iter().any(|row| row.id == *id && row.vnet_mode == RowMode::External);
    analysis.findings.iter().filter_map(|f| f.requirement.as_ref()).any(is_external)
}

fn has_identifying_rows(session: &Session) -> bool {
    session.scope().requirements().iter().any(|row| row.is_identifying())
}

/// What is denied from the first hour on may have begun before it.
fn window_edge(analysis: &Analysis) -> Option<(&'static str, String)> {
    let first = analysis.input.first_flow?;
    let is_edge = |f: &&super::Finding| {
        f.kind == Kind::BlockedDependency
            && f.last_allowed_before.is_none()
            && f.first_denied.is_some_and(|denied| denied.0 - first.0 < HOUR)
    };
    let at_edge: Vec<String> = analysis.findings.iter().filter(is_edge).map(|f| f.id.clone()).collect();
    (!at_edge.is_empty()).then(|| {
        let text = format!(
            "{} began in the first hour that was read ({}) or before it: read earlier logs to learn since when.",
            listed(at_edge.into_iter()),
            first.minute()
        );
        ("window-edge", text)
    })
}

fn no_evidence(analysis: &Analysis) -> Option<(&'static str, String)> {
    let mut blind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in analysis.coverage.iter().filter(|row| row.is_required() && row.verdict == CoverageVerdict::NoEvidence) {
        blind.entry(&row.requirement).or_default().push(&row.subnet);
    }
    // By the subnets that they are missing in; first what is seen nowhere.
    let mut places: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
    for (requirement, subnets) in blind {
        let is_everywhere = subnets.len() == analysis.scope.subnets.len();
        places.entry(if is_everywhere { Vec::new() } else { subnets }).or_default().push(requirement.to_owned());
    }
    let place = |(subnets, names): (Vec<&str>, Vec<String>)| match subnets.as_slice() {
        [] => format!("about {}", listed(names.into_iter())),
        subnets => {
            let subnets = listed(subnets.iter().map(|subnet| (*subnet).to_owned()));
            format!("in {subnets} about {}", listed(names.into_iter()))
        }
    };
    (!places.is_empty()).then(|| {
        let places: Vec<String> = places.into_iter().map(place).collect();
        let text = format!(
            "No flow tells anything {}. That is not proof that they work: they may not have been tried, or not be logged.",
            places.join("; ")
        );
        ("no-evidence", text)
    })
}

/// The first few, and how many more.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.split_at_checked(8) {
        Some((first, rest @ [_, ..])) => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
