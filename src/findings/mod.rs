//! From groups of flows to ranked findings: the analysis of contract sections 2.1 to 2.5.
//!
//! The queries match, group and compare; here findings get their identity, score and words. Knows no stores,
//! report formats or command lines.

mod analysis;
mod coverage;
mod denied;
mod draft;
mod explain;
mod finding;
mod fix;
mod hints;
mod mode;
mod names;
mod notices;
mod scope;
mod score;
mod status;
mod subnets;
pub mod tables;
mod unanswered;
mod unlisted;
mod unmatched;

pub use analysis::*;
pub use explain::counted;
pub use finding::*;
pub use names::acl_name as short_acl;
pub use score::{Activity, Confidence, Reach, Score, Severity};
pub use status::Gate;

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use tokio::try_join;

use crate::catalog::Requirement;
use crate::engine::{InputProblem, Session, SessionError, Table};
use crate::queries;
use crate::time::Timestamp;
use coverage::Seen;
use draft::{Draft, Lists, Setting};
use hints::Hint;
use mode::{Mode, Origin};

/// How many findings are listed, the worst by rank. The status and the coverage are those of all.
pub const LISTED_FINDINGS: usize = 10_000;

/// Scans the input once and says what is blocked. Without subnets in the session's scope, it finds them first.
pub async fn analyze(session: &mut Session, gate: &Gate) -> Result<Analysis, SessionError> {
    let other_cloud = session.drop_tags_of_other_clouds()?;
    let scope::Grouped { basis, mut subnets_seen } = scope::group_flows(session).await?;
    let session = &*session;
    let (mode, interfaces, ()) = try_join!(
        Mode::read(session),
        session.table(queries::INTERFACES),
        session.materialize(queries::CAPTURED_TWICE, vec![]),
    )?;
    let setting = Setting { scope: session.scope(), mode, basis };
    group(session, mode).await?;
    let rows = session.materialized(queries::FINDINGS).await?;
    let (mut lists, unanswered, facts, flows, silences, totals) = try_join!(
        Lists::of_denied(session),
        unanswered::unanswered(session, setting),
        notices::Facts::read(session),
        session.table(queries::COVERAGE),
        session.table(queries::SILENCES),
        session.table(queries::TOTALS),
    )?;
    let mut drafts = denied::drafts(&rows, setting, &mut lists)?;
    drafts.extend(unanswered);
    let seen = Seen { flows, silences };
    // What was seen working tells by elimination what refused flows may be, and those may be another blocked dependency.
    let known = coverage::coverage(setting, &seen, drafts.iter().map(|draft| &draft.finding));
    let refused = Refused::read(session).await?;
    drafts.extend(unlisted::drafts(&rows, setting, &mut lists, refused.hints_of_findings(&rows, &known))?);
    let coverage = coverage::coverage(setting, &seen, drafts.iter().map(|draft| &draft.finding));
    let is_interrupted = session.log().is_stopped();
    if basis == Basis::Given && totals.int("tuples_in_scope", 0).unwrap_or_default() == 0 && !is_interrupted {
        subnets_seen = scope::subnets_seen(session).await?;
    }
    let (findings, untold) = ranked(drafts);
    let noise = totals.int("inbound_internet_tuples", 0).unwrap_or_default();
    let mut analysis = Analysis {
        schema: "flowgap.analysis/1",
        flowgap_version: env!("CARGO_PKG_VERSION"),
        scope: scope_used(session, setting),
        input: input(session, &totals),
        status: Status::unknown(gate),
        needs: Needs::of(&coverage, &findings),
        subnets_seen,
        archive: archive(session),
        causes: Vec::new(),
        findings,
        coverage,
        unmatched_denied: refused.unmatched(&known, noise),
        notices: Vec::new(),
        basis,
        is_interrupted,
    };
    analysis.notices = notices::notices(session, &facts, other_cloud.as_deref(), &analysis);
    analysis.status = Status::of(&analysis, gate, &interfaces);
    analysis.findings.truncate(LISTED_FINDINGS);
    analysis.causes = causes(&analysis.findings);
    analysis.findings.iter_mut().zip(untold).for_each(|(finding, untold)| untold.tell(finding));
    Ok(analysis)
}

/// Makes the tables that the findings are read from. What does not need one another is made at a time: on a small archive,
/// planning is most of the work.
async fn group(session: &Session, mode: Mode) -> Result<(), SessionError> {
    let keep = |query| session.materialize(query, vec![]);
    let last_flow = session.input().counts.times.map(|(_, last)| last);
    let has_fresh_tags = ScalarValue::from(session.scope().has_fresh_tags(last_flow));
    try_join!(
        session.materialize(queries::CANDIDATES, vec![("has_fresh_tags", has_fresh_tags)]),
        keep(queries::QUALITY),
        keep(queries::LOG_STATES),
    )?;
    session.forget(queries::FLOW_PASS)?;
    session.materialize(queries::MATCHED, vec![("vnet_mode", ScalarValue::from(mode.name()))]).await?;
    try_join!(keep(queries::UNANSWERED), keep(queries::SUBNET_ENDS))?;
    keep(queries::ACTIVITY).await?;
    denied::number(session).await
}

/// Refusals that no requirement asks for, as the queries give them.
struct Refused {
    listed: Table,
    rules: Table,
    hints: Table,
}

impl Refused {
    async fn read(session: &Session) -> Result<Self, SessionError> {
        let (listed, rules) =
            try_join!(session.materialize_table(queries::UNMATCHED), session.table(queries::UNMATCHED_RULES))?;
        Ok(Self { listed, rules, hints: session.table(queries::HINTS).await? })
    }

    fn hints_of_findings(&self, findings: &Table, coverage: &[Coverage]) -> BTreeMap<i64, Hint> {
        let place = |row| {
            let (direction, subnet) = (findings.text("direction", row), findings.text("subnet", row));
            Some((findings.int("finding", row)?, (direction, subnet)))
        };
        let places: BTreeMap<i64, (String, String)> = findings.rows().filter_map(place).collect();
        let place = |number: i64| places.get(&-number).map(|(direction, subnet)| (direction.as_str(), subnet.as_str()));
        hints::hints(&self.hints, coverage, place).into_iter().map(|(number, hint)| (-number, hint)).collect()
    }

    fn unmatched(&self, coverage: &[Coverage], inbound_internet_tuples: i64) -> UnmatchedDenied {
        unmatched::unmatched(&self.listed, &self.rules, &self.hints, coverage, inbound_internet_tuples)
    }
}

/// What the words and the fix of a finding are made of.
struct Untold {
    requirement: Option<Requirement>,
    facts: explain::Facts,
}

impl Untold {
    fn tell(self, finding: &mut Finding) {
        let requirement = self.requirement.as_ref();
        finding.fix = fix::fix(finding, requirement, self.facts.needs_correction);
        finding.explanation = explain::explanation(finding, requirement, &self.facts);
    }
}

/// In their order, with their rank.
fn ranked(mut drafts: Vec<Draft>) -> (Vec<Finding>, Vec<Untold>) {
    drafts.sort_by(|a, b| {
        let (a, b) = (&a.finding, &b.finding);
        b.score.cmp(&a.score).then(b.denied_tuples.cmp(&a.denied_tuples)).then(a.id.cmp(&b.id))
    });
    let nameless: Vec<(String, Timestamp)> =
        (drafts.iter()).filter_map(|draft| Some((draft.finding.subnet.clone(), draft.nameless_since()?))).collect();
    let place = |(rank, mut draft): (u64, Draft)| {
        draft.finding.follows_dns =
            nameless.iter().any(|(subnet, since)| *subnet == draft.finding.subnet && draft.may_follow(*since));
        draft.finding.rank = rank;
        (draft.finding, Untold { requirement: draft.requirement, facts: draft.facts })
    };
    (1..).zip(drafts).map(place).unzip()
}

/// Findings by rule, ACL and subnet, and those that get no answer by subnet: the worst first. What is nobody's need is no cause.
fn causes(findings: &[Finding]) -> Vec<Cause> {
    let mut causes: BTreeMap<(&str, String, String, &str), Cause> = BTreeMap::new();
    for finding in findings {
        let kind = match finding.kind {
            Kind::UnansweredDependency | Kind::ForcedTunnellingSuspected => "no-answer",
            Kind::SourceRestricted => continue,
            Kind::UnlistedBlocked if finding.worked_before != Some(true) => continue,
            _ if finding.rule_origin == "encryption" => "encryption",
            Kind::BlockedDependency | Kind::AmbiguousDependency | Kind::UnlistedBlocked => "rule",
        };
        let is_ruled = kind != "no-answer";
        let of = |text: &Option<String>| text.clone().filter(|_| is_ruled);
        let (acl, rule) = (of(&finding.acl), of(&finding.rule));
        let name = |text: &Option<String>| text.clone().unwrap_or_default();
        let key = (kind, name(&acl).to_lowercase(), name(&rule), finding.subnet.as_str());
        let cause = causes.entry(key).or_insert_with(|| Cause {
            number: 0,
            kind,
            acl_name: of(&finding.acl_name),
            acl,
            rule_name: of(&finding.rule_name),
            rule,
            rule_origin: if is_ruled { finding.rule_origin.clone() } else { "unknown".to_owned() },
            subnet: finding.subnet.clone(),
            effect: None,
            findings: Vec::new(),
            max_severity: Severity::Info,
            first_denied: None,
            last_denied: None,
            denied_tuples: 0,
        });
        cause.findings.push(finding.id.clone());
        cause.effect = cause.effect.take().or_else(|| finding.effect.clone());
        cause.max_severity = cause.max_severity.max(finding.severity);
        cause.first_denied = [cause.first_denied, finding.first_denied].into_iter().flatten().min();
        cause.last_denied = cause.last_denied.max(finding.last_denied);
        cause.denied_tuples += finding.denied_tuples;
    }
    let mut causes: Vec<Cause> = causes.into_values().collect();
    causes.sort_by_key(|c| (std::cmp::Reverse(c.max_severity), std::cmp::Reverse(c.denied_tuples)));
    (1..).zip(&mut causes).for_each(|(number, cause)| cause.number = number);
    causes
}

/// What the names of the blobs say.
fn archive(session: &Session) -> ArchiveListed {
    let hours = session.hours();
    ArchiveListed {
        blobs_listed: session.listed().iter().map(|listed| listed.listed).sum(),
        first_hour: hours.map(|(first, _)| Timestamp(first)),
        last_hour: hours.map(|(_, last)| Timestamp(last)),
    }
}

fn input(session: &Session, totals: &Table) -> Input {
    let read = session.input();
    let counts = read.counts;
    let foreign = counts.foreign.kinds();
    Input {
        blobs: read.blobs,
        bytes: read.bytes,
        records: counts.records,
        tuples: counts.tuples,
        denied_tuples: counts.denied_tuples,
        tuples_in_scope: totals.int("tuples_in_scope", 0).unwrap_or_default(),
        denied_in_scope: totals.int("denied_in_scope", 0).unwrap_or_default(),
        malformed_tuples: counts.malformed_tuples,
        unreadable_blobs: read.unreadable_blobs,
        first_flow: counts.times.map(|(first, _)| Timestamp(first)),
        last_flow: counts.times.map(|(_, last)| Timestamp(last)),
        versions: counts.versions,
        problem_count: read.problem_count,
        problems: read.problems.into_iter().map(Problem::from).collect(),
        bad_records: counts.bad_records,
        foreign: foreign.into_iter().map(|(kind, records)| (kind.to_owned(), records)).collect(),
        slow_records: counts.slow_records,
    }
}

impl From<InputProblem> for Problem {
    fn from(problem: InputProblem) -> Self {
        let InputProblem { blob, offset, record, reason } = problem;
        Self { blob, offset, record, reason }
    }
}

fn scope_used(session: &Session, Setting { scope, mode, basis }: Setting) -> ScopeUsed {
    let window = session.window();
    ScopeUsed {
        subnets: scope.subnets().iter().map(ToString::to_string).collect(),
        subnets_inferred: basis == Basis::Inferred,
        vnet: scope.vnet().iter().map(ToString::to_string).collect(),
        vnet_mode: mode.mode.map(|mode| mode.name().to_owned()),
        vnet_mode_origin: mode.origin.map(Origin::name),
        edition: scope.edition().id().to_owned(),
        from: window.from.map(Timestamp),
        to: window.to.map(Timestamp),
        service_tags: scope.service_tags().map(|tags| ServiceTagsUsed {
            cloud: tags.cloud.clone(),
            change_number: tags.change_number,
            tags: tags.len() as u64,
        }),
    }
}
