//! From groups of flows to ranked findings: the analysis of contract sections 2.1 to 2.5.
//!
//! The queries match, group and compare; here findings get their identity, score and words. Knows no stores,
//! report formats or command lines.

mod coverage;
mod denied;
mod draft;
mod explain;
mod finding;
mod fix;
mod notices;
mod scope;
mod score;
mod subnets;
pub mod tables;
mod unanswered;
mod unmatched;

pub use explain::{acl_name as short_acl, counted, minute};
pub use finding::*;
pub use score::{Activity, Confidence, Reach, Score, Severity};

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use tokio::try_join;

use crate::catalog::VnetMode;
use crate::engine::{InputProblem, Session, SessionError, Table};
use crate::queries;
use draft::Draft;

/// Scans the input once and says what is blocked. Without subnets in the session's scope, it finds them first.
pub async fn analyze(session: &mut Session) -> Result<Analysis, SessionError> {
    let scope::Grouped { basis, mut subnets_seen } = scope::group_flows(session).await?;
    let session = &*session;
    let mode = session.scope().vnet_mode.map_or("both", VnetMode::name);
    // What does not need one another is asked at a time: on a small archive, planning is most of the work.
    let keep = |query| session.materialize(query, vec![]);
    try_join!(keep(queries::CANDIDATES), keep(queries::QUALITY))?;
    session.materialize(queries::MATCHED, vec![("vnet_mode", ScalarValue::from(mode))]).await?;
    try_join!(keep(queries::UNANSWERED), keep(queries::ACTIVITY), keep(queries::DENIED))?;
    let (mut drafts, unanswered, listed, facts, seen, totals) = try_join!(
        denied::denied(session, basis),
        unanswered::unanswered(session, basis),
        unmatched::unmatched(session),
        notices::Facts::read(session),
        session.table(queries::COVERAGE),
        session.table(queries::TOTALS),
    )?;
    drafts.extend(unanswered);
    let is_interrupted = session.log().is_stopped();
    if basis == Basis::Given && totals.int("tuples_in_scope", 0).unwrap_or_default() == 0 && !is_interrupted {
        subnets_seen = scope::subnets_seen(session).await?;
    }
    let findings = ranked(drafts);
    let coverage = coverage::coverage(session.scope(), &seen, &findings);
    let mut analysis = Analysis {
        schema: "flowgap.analysis/1",
        flowgap_version: env!("CARGO_PKG_VERSION"),
        scope: scope_used(session, basis),
        input: input(session, &totals),
        causes: causes(&findings),
        findings,
        coverage,
        unmatched_denied: UnmatchedDenied {
            inbound_internet_tuples: totals.int("inbound_internet_tuples", 0).unwrap_or_default(),
            listed,
        },
        notices: Vec::new(),
        subnets_seen,
        basis,
        is_interrupted,
    };
    analysis.notices = notices::notices(session, &facts, &analysis);
    Ok(analysis)
}

/// In their order, with rank, words and fix.
fn ranked(mut drafts: Vec<Draft>) -> Vec<Finding> {
    drafts.sort_by(|a, b| {
        let (a, b) = (&a.finding, &b.finding);
        b.score.cmp(&a.score).then(b.denied_tuples.cmp(&a.denied_tuples)).then(a.id.cmp(&b.id))
    });
    let nameless: Vec<String> = drafts.iter().filter(|d| d.blocks_names()).map(|d| d.finding.subnet.clone()).collect();
    let finish = |(rank, mut draft): (usize, Draft)| {
        draft.facts.follows_from_dns = draft.may_follow_from_dns() && nameless.contains(&draft.finding.subnet);
        draft.finding.rank = rank as u64 + 1;
        draft.finding.fix = fix::fix(&draft.finding, draft.requirement.as_ref(), draft.facts.needs_correction);
        draft.finding.explanation = explain::explanation(&draft.finding, draft.requirement.as_ref(), &draft.facts);
        draft.finding
    };
    drafts.into_iter().enumerate().map(finish).collect()
}

/// Blocked and ambiguous findings by rule, ACL and subnet: the worst first.
fn causes(findings: &[Finding]) -> Vec<Cause> {
    let mut causes: BTreeMap<(String, String, &str), Cause> = BTreeMap::new();
    let blamed = |f: &&Finding| matches!(f.kind, Kind::BlockedDependency | Kind::AmbiguousDependency);
    for finding in findings.iter().filter(blamed) {
        let (acl, rule) = (finding.acl.clone().unwrap_or_default(), finding.rule.clone().unwrap_or_default());
        let key = (acl.to_lowercase(), rule.clone(), finding.subnet.as_str());
        let cause = causes.entry(key).or_insert_with(|| Cause {
            acl,
            rule,
            rule_origin: finding.rule_origin.clone(),
            subnet: finding.subnet.clone(),
            findings: Vec::new(),
            max_severity: Severity::Info,
            first_denied: finding.first_denied,
            last_denied: finding.last_denied,
            denied_tuples: 0,
        });
        cause.findings.push(finding.id.clone());
        cause.max_severity = cause.max_severity.max(finding.severity);
        cause.first_denied = cause.first_denied.min(finding.first_denied);
        cause.last_denied = cause.last_denied.max(finding.last_denied);
        cause.denied_tuples += finding.denied_tuples;
    }
    let mut causes: Vec<Cause> = causes.into_values().collect();
    causes.sort_by_key(|c| (std::cmp::Reverse(c.max_severity), std::cmp::Reverse(c.denied_tuples)));
    causes
}

fn input(session: &Session, totals: &Table) -> Input {
    let read = session.input();
    let counts = read.counts;
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
        first_flow: counts.times.map(|(first, _)| Time(first)),
        last_flow: counts.times.map(|(_, last)| Time(last)),
        versions: counts.versions,
        problem_count: read.problem_count,
        problems: read.problems.into_iter().map(Problem::from).collect(),
        bad_records: counts.bad_records,
        slow_records: counts.slow_records,
    }
}

impl From<InputProblem> for Problem {
    fn from(problem: InputProblem) -> Self {
        let InputProblem { blob, offset, record, reason } = problem;
        Self { blob, offset, record, reason }
    }
}

fn scope_used(session: &Session, basis: Basis) -> ScopeUsed {
    let (scope, window) = (session.scope(), session.window());
    ScopeUsed {
        subnets: scope.subnets.iter().map(ToString::to_string).collect(),
        subnets_inferred: basis == Basis::Inferred,
        vnet: scope.vnet.iter().map(ToString::to_string).collect(),
        vnet_mode: scope.vnet_mode.map(|mode| mode.name().to_owned()),
        edition: scope.edition.clone(),
        from: window.from.map(Time),
        to: window.to.map(Time),
        service_tags: scope.service_tags.as_ref().map(|tags| ServiceTagsUsed {
            cloud: tags.cloud.clone(),
            change_number: tags.change_number,
            tags: tags.len() as u64,
        }),
    }
}
