//! Makes the notices: facts to know before believing the findings, in the order in which they are printed.

use std::collections::BTreeMap;

use tokio::try_join;

use super::LISTED_FINDINGS;
use super::analysis::{Analysis, Basis, CoverageVerdict, Notice};
use super::mode::ModeOrigin;
use super::model::Kind;
use super::notice_code::NoticeCode;
use crate::catalog::{InstanceMode, RowMode, TagAge};
use crate::engine::{ResultRows, Scope, Session, SessionError};
use crate::queries;
use crate::remedy::Remedy;
use crate::time::{DAY, HOUR};

/// State of the run that the JSON does not hold.
#[derive(Debug)]
pub struct RunState {
    /// Origin of the scope.
    pub basis: Basis,
    /// Whether a scan was stopped before all was read.
    pub is_interrupted: bool,
    /// Records that could not be read; each is a problem.
    pub bad_records: u64,
    /// Records of other logs by kind, the most frequent first.
    pub foreign: Vec<(String, u64)>,
    /// Records that took the slow path of the decoder.
    pub slow_records: u64,
    /// Cloud of a service-tag file that was ignored, because the logs come from another cloud.
    pub other_cloud: Option<String>,
}

/// Facts about the flows that only the notices need.
pub struct NoticeInputs {
    has_begin: bool,
    has_state: bool,
    has_identifying: bool,
    unreliable_acls: i64,
    double_hours: i64,
    /// Addresses of the scope that answer on ports of no requirement.
    strangers: Vec<String>,
}

impl NoticeInputs {
    pub async fn read(session: &Session) -> Result<Self, SessionError> {
        let (facts, strangers) = try_join!(session.table(queries::FACTS), session.table(queries::STRANGERS))?;
        let row = facts.only()?;
        Ok(Self {
            has_begin: row.flag("has_begin")?,
            has_state: row.flag("has_state")?,
            has_identifying: row.flag("has_identifying")?,
            unreliable_acls: row.int("unreliable_acls")?,
            double_hours: row.int("double_hours")?,
            strangers: addresses(&strangers)?,
        })
    }
}

fn addresses(rows: &ResultRows) -> Result<Vec<String>, SessionError> {
    rows.rows().map(|row| row.text("ip")).collect()
}

/// Everything that the notices depend on.
struct Noted<'a> {
    session: &'a Session,
    inputs: &'a NoticeInputs,
    run: &'a RunState,
    analysis: &'a Analysis,
}

/// A code with its message, or `None` if there is nothing to note.
type Note = Option<(NoticeCode, String)>;

/// Lists the notices. `analysis` must be complete except for its notices, status and causes.
pub fn notices(session: &Session, inputs: &NoticeInputs, run: &RunState, analysis: &Analysis) -> Vec<Notice> {
    let noted = Noted { session, inputs, run, analysis };
    let notes = noted.of_scope().into_iter().chain(noted.of_logs()).chain(noted.of_tags()).chain(noted.of_mode());
    let notes = notes.chain(noted.of_findings()).chain(noted.of_input());
    notes.flatten().map(|(code, message)| Notice { code, message }).collect()
}

impl Noted<'_> {
    fn scope(&self) -> &Scope {
        self.session.scope()
    }

    fn has_flows(&self) -> bool {
        !self.analysis.is_empty()
    }

    fn of_scope(&self) -> [Note; 3] {
        let subnets = || listed(self.scope().subnets().iter().map(ToString::to_string));
        [
            self.run.is_interrupted.then(|| {
                let text = "The run was interrupted: this is what had been read so far.";
                (NoticeCode::Interrupted, text.to_owned())
            }),
            (self.run.basis == Basis::Unknown).then(|| {
                let text = "Which subnet is API Management's is not known, so every interface in the logs counts, and no finding is \
                            more than medium or fails the run. Give {subnet} CIDR.";
                (NoticeCode::SubnetUnknown, Remedy::spell(text))
            }),
            (self.run.basis == Basis::Inferred).then(|| {
                let text = format!(
                    "No {subnet} was given, so the logs were asked: API Management seems to be {}, for it is probed, managed or \
                     answers there. Say {subnet} CIDR to be sure.",
                    subnets(),
                    subnet = Remedy::Subnet,
                );
                (NoticeCode::SubnetInferred, text)
            }),
        ]
    }

    fn of_logs(&self) -> [Note; 4] {
        let input = &self.analysis.input;
        let (versions, allowed) = (&input.versions, input.tuples_in_scope - input.denied_in_scope);
        let NoticeInputs { has_begin, has_state, unreliable_acls, .. } = *self.inputs;
        [
            (versions.vnet4 == 0 && versions.nsg1 + versions.nsg2 > 0).then(|| {
                let text = "All input is NSG flow logs, which Azure does not support for API Management: what they do not show \
                            proves little. Turn VNet flow logs on.";
                (NoticeCode::NsgFormatOnly, text.to_owned())
            }),
            (unreliable_acls > 0).then(|| {
                let text = format!(
                    "{unreliable_acls} of the NSGs log next to no packets on the way back, so from them nothing was concluded \
                     about missing answers."
                );
                (NoticeCode::ReturnCountersUnreliable, text)
            }),
            (self.has_flows() && allowed == 0).then(|| {
                let text = "The logs hold denied flows only, so how much got through cannot be known.";
                (NoticeCode::AllowedNotLogged, text.to_owned())
            }),
            (has_state && !has_begin).then(|| {
                let text = "The logs hold no beginnings of flows, as if filtered at the source; every allowed entry was taken for \
                            a new flow.";
                (NoticeCode::StatesFilteredAtSource, text.to_owned())
            }),
        ]
    }

    fn of_tags(&self) -> [Note; 5] {
        let other_cloud = self.run.other_cloud.as_ref();
        [
            other_cloud.map(|cloud| {
                let clouds: Vec<&str> = self.session.clouds().iter().copied().collect();
                let text = format!(
                    "The service-tag file is of the cloud {cloud}, but the logs come from {}: it was left aside. Load that cloud's \
                     file.",
                    clouds.join(" and ")
                );
                (NoticeCode::ServiceTagsOtherCloud, text)
            }),
            (self.scope().service_tags().is_none() && other_cloud.is_none()).then(|| {
                let text = "No service-tag file (Microsoft's list of the addresses of each service) was loaded, so public \
                            addresses cannot be told apart by service. Run flowgap tags fetch, or download \
                            ServiceTags_Public_*.json and add {service-tags} FILE.";
                (NoticeCode::ServiceTagsMissing, Remedy::spell(text))
            }),
            self.cached_tags(),
            self.old_tags(),
            self.lacking_tags(),
        ]
    }

    /// Notes the file of the cache, and its age.
    fn cached_tags(&self) -> Note {
        let tags = self.scope().service_tags()?;
        let (name, published) = (tags.cached_as.as_ref()?, tags.published?);
        let days = self.analysis.input.last_flow.map_or(0, |last| (last.0 - published.time).div_euclid(DAY));
        let age = match days {
            1 => "1 day older than the newest flow".to_owned(),
            2.. => format!("{days} days older than the newest flow"),
            _ => "not older than the newest flow".to_owned(),
        };
        Some((NoticeCode::ServiceTagsCached, format!("Service tags come from the cached file {name}, {age}.")))
    }

    fn old_tags(&self) -> Note {
        let last_flow = self.analysis.input.last_flow.map(|time| time.0);
        let tags = self.scope().service_tags()?;
        match tags.age_at(last_flow) {
            TagAge::Fresh => None,
            TagAge::Stale { days } => {
                let remedy = match tags.cached_as {
                    Some(_) => "Run flowgap tags fetch.",
                    None => "Download the newest one.",
                };
                let text = format!(
                    "The service-tag file is {days} days older than the newest flow; addresses that came since are not in it. \
                     {remedy}"
                );
                Some((NoticeCode::ServiceTagsOld, text))
            }
            TagAge::Undated => {
                let text = "The age of the service-tag file is not known, so addresses that it does not list may be new. Keep the \
                            name that Microsoft gives it, or give {service-tags-date}.";
                Some((NoticeCode::ServiceTagsUndated, Remedy::spell(text)))
            }
        }
    }

    /// Notes the tags of the port table that a loaded file lacks.
    fn lacking_tags(&self) -> Note {
        let tags = self.scope().lacking_tags();
        (!tags.is_empty()).then(|| {
            let text = format!(
                "The loaded service-tag file lacks the tags {}: their services cannot be told apart. Load the file of your cloud \
                 as Microsoft publishes it.",
                tags.join(", ")
            );
            (NoticeCode::ServiceTagsMissing, text)
        })
    }

    fn of_mode(&self) -> [Note; 3] {
        let scope = &self.analysis.scope;
        let is_likely_internal =
            scope.vnet_mode_origin == Some(ModeOrigin::Likely) && scope.vnet_mode == Some(InstanceMode::Internal);
        [
            (scope.vnet_mode_origin.is_none() && self.has_external_only()).then(|| {
                let text = "Some findings matter only to an instance in external mode; they are at most medium until you say \
                            {vnet-mode} external.";
                (NoticeCode::VnetModeUnknown, Remedy::spell(text))
            }),
            (is_likely_internal && self.has_external_only()).then(|| {
                let text = "Internet calls on 443 are refused: right for internal mode, else give {vnet-mode} external.";
                (NoticeCode::VnetModeUnknown, Remedy::spell(text))
            }),
            (self.has_flows() && self.has_identifying_rows() && !self.inputs.has_identifying).then(|| {
                let text = format!(
                    "No flow uses a port that only API Management needs by edition {}: perhaps this is a v2 tier or another kind \
                     of instance (flowgap requirements {editions}), or not its subnet.",
                    scope.edition,
                    editions = Remedy::ListEditions,
                );
                (NoticeCode::EditionMismatch, text)
            }),
        ]
    }

    fn has_external_only(&self) -> bool {
        let is_external =
            |id: &String| self.scope().requirement(id).is_some_and(|row| row.vnet_mode == RowMode::External);
        self.analysis.findings.iter().filter_map(|f| f.subject.requirement.as_ref()).any(is_external)
    }

    fn has_identifying_rows(&self) -> bool {
        self.scope().requirements().iter().any(|row| row.is_identifying())
    }

    fn of_findings(&self) -> [Note; 4] {
        let (findings, strangers) = (self.analysis.findings.len(), &self.inputs.strangers);
        [
            window_edge(self.analysis),
            no_evidence(self.analysis),
            (findings > LISTED_FINDINGS).then(|| {
                let text = format!(
                    "Of {findings} findings, the first {LISTED_FINDINGS} are listed. Fewer subnets, or a narrower window, show \
                     the others."
                );
                (NoticeCode::FindingsCut, text)
            }),
            (!strangers.is_empty()).then(|| {
                let text = format!(
                    "{} in the subnet answered on ports that API Management has no use for: its subnet must hold nothing else, \
                     and findings may be another machine's.",
                    listed(strangers.iter().cloned())
                );
                (NoticeCode::StrangerInSubnet, text)
            }),
        ]
    }

    fn of_input(&self) -> [Note; 3] {
        let double_hours = self.inputs.double_hours;
        [
            (double_hours > 0).then(|| {
                let text = format!(
                    "NSG and VNet flow logs of the same interface captured {}: their flows count twice.",
                    super::counted(double_hours, "hour")
                );
                (NoticeCode::DoubleCaptured, text)
            }),
            foreign_logs(&self.run.foreign),
            (self.run.slow_records > 0).then(|| {
                let text = "Some records hold escaped characters and took the slower way through the decoder.";
                (NoticeCode::SlowPathInput, text.to_owned())
            }),
        ]
    }
}

/// Lists the logs of other kinds, one line per kind.
fn foreign_logs(kinds: &[(String, u64)]) -> Note {
    let line = |(kind, records): &(String, u64)| format!("{} of {kind}", super::counted(*records as i64, "record"));
    let lines: Vec<String> = kinds.iter().map(line).collect();
    let text = || format!("Records of other logs were passed over:\n{}", lines.join(";\n"));
    (!lines.is_empty()).then(|| (NoticeCode::ForeignLogs, text()))
}

/// Notes findings that began in the first hour, because they may have begun before it.
fn window_edge(analysis: &Analysis) -> Note {
    let first = analysis.input.first_flow?;
    let is_edge = |f: &&super::Finding| {
        f.identity.kind == Kind::BlockedDependency
            && f.times.last_allowed_before.is_none()
            && f.times.first_denied.is_some_and(|denied| denied.0 - first.0 < HOUR)
    };
    let at_edge: Vec<String> = analysis.findings.iter().filter(is_edge).map(|f| f.identity.id.clone()).collect();
    (!at_edge.is_empty()).then(|| {
        let text = format!(
            "{} began in the first hour that was read ({}) or before it: read earlier logs to learn since when.",
            listed(at_edge.into_iter()),
            first.minute()
        );
        (NoticeCode::WindowEdge, text)
    })
}

fn no_evidence(analysis: &Analysis) -> Note {
    let mut blind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in analysis.coverage.iter().filter(|row| row.is_required() && row.verdict == CoverageVerdict::NoEvidence) {
        blind.entry(&row.requirement).or_default().push(&row.subnet);
    }
    // Requirements by the subnets without evidence. An empty key means all subnets, and sorts first.
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
        (NoticeCode::NoEvidence, text)
    })
}

/// Joins the first eight names, and counts the rest.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.split_at_checked(8) {
        Some((first, rest @ [_, ..])) => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
