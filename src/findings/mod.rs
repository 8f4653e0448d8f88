//! Turns groups of flows into ranked findings, as in contract sections 2.1 to 2.5.
//!
//! The queries match, group and compare. This module adds identity, score and words. Knows no stores, report formats or
//! command lines.

mod address_names;
mod analysis;
mod caps;
mod causes;
mod change;
pub mod check;
pub mod configured;
mod coverage;
mod decimal;
mod denied;
mod details;
mod draft;
mod evidence;
mod explain;
mod fix;
mod hints;
pub mod history;
mod identity;
mod mode;
mod model;
mod narrow;
mod notice_code;
mod notices;
mod planned;
mod portal_names;
mod scope;
mod score;
mod status;
mod subnets;
pub mod suppress;
mod suppressed;
pub mod tables;
mod unanswered;
mod unlisted;
mod unmatched;

pub use analysis::*;
pub use change::{Change, ChangeKind, Commands, Fix, NewlyAllowed, RuleDirection, RuleSpec, Simulated};
pub use decimal::Decimal;
pub use evidence::{Certainty, ChangeFound, PlatformSays};
pub use explain::{counted, number};
pub use mode::ModeOrigin;
pub use model::*;
pub use narrow::Narrowing;
pub use notice_code::NoticeCode;
pub use portal_names::{acl_name as short_acl, rule_name as short_rule};
pub use scope::local_subnets;
pub use scope::scan_together;
pub use score::{Confidence, Reach, Score, Severity, State};
pub use status::Gate;
pub use suppressed::Suppression;

use datafusion::common::ScalarValue;
use tokio::try_join;

use crate::catalog::Requirement;
use crate::engine::{InputProblem, Row, Session, SessionError};
use crate::queries;
use crate::time::Timestamp;
use coverage::Seen;
use details::Details;
use draft::{Draft, Setting};
use explain::ExplainContext;
use mode::Mode;
use notices::{NoticeInputs, RunState};
use unmatched::Refused;

/// Maximum number of listed findings, the worst first. Status and coverage are computed from all findings.
pub const LISTED_FINDINGS: usize = 10_000;

/// Scans the input once and reports blocked dependencies. If the session's scope has no subnets, it infers them first.
pub async fn analyze(session: &mut Session, gate: &Gate) -> Result<Analysis, SessionError> {
    let other_cloud = session.drop_tags_of_other_clouds()?;
    let scope::Grouped { basis, mut subnets_seen } = scope::group_flows(session).await?;
    let session = &*session;
    let (mode, interfaces, ()) = try_join!(
        Mode::read(session),
        session.materialize_table(queries::INTERFACES),
        session.materialize(queries::CAPTURED_TWICE, vec![]),
    )?;
    let setting = Setting { scope: session.scope(), mode, basis };
    group(session, mode).await?;
    let (found, inputs, totals) =
        try_join!(Found::read(session, setting), NoticeInputs::read(session), session.table(queries::TOTALS))?;
    let totals = totals.only()?;
    let run = run_state(session, basis, other_cloud);
    let input = input(session, totals)?;
    if basis == Basis::Given && input.tuples_in_scope == 0 && !run.is_interrupted {
        subnets_seen = scope::subnets_seen(session).await?;
    }
    let (findings, unworded) = ranked(found.drafts);
    let mut analysis = Analysis {
        schema: Schema::V1,
        flowgap_version: env!("CARGO_PKG_VERSION").to_owned(),
        scope: scope_used(session, setting),
        input,
        status: Status::unknown(gate),
        needs: Needs::of(&found.coverage, &findings),
        subnets_seen,
        archive: archive(session),
        causes: Vec::new(),
        findings,
        coverage: found.coverage,
        unmatched_denied: found.refused.unmatched(&found.known, totals.int("inbound_internet_tuples")?)?,
        notices: Vec::new(),
    };
    analysis.notices = notices::notices(session, &inputs, &run, &analysis);
    analysis.status = Status::of(&analysis, &run, gate, &interfaces)?;
    analysis.findings.truncate(LISTED_FINDINGS);
    analysis.causes = causes::causes(&analysis.findings);
    analysis.findings.iter_mut().zip(unworded).for_each(|(finding, unworded)| unworded.word(finding));
    analysis.name_addresses(session.scope().names());
    Ok(analysis)
}

/// Makes the tables that the findings are read from. Independent tables are made concurrently, because on a small
/// archive planning is most of the work.
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

/// Drafts of all findings, and the coverage that follows from them.
struct Found {
    drafts: Vec<Draft>,
    coverage: Vec<Coverage>,
    refused: Refused,
    /// Coverage that follows from the findings with requirements alone.
    known: Vec<Coverage>,
}

impl Found {
    async fn read(session: &Session, setting: Setting<'_>) -> Result<Self, SessionError> {
        let (rows, mut details, unanswered, flows, silences) = try_join!(
            session.materialized(queries::FINDINGS),
            Details::of_denied(session),
            unanswered::unanswered(session, setting),
            session.table(queries::COVERAGE),
            session.table(queries::SILENCES),
        )?;
        let seen = Seen { flows, silences };
        let coverage = |drafts: &[Draft]| coverage::coverage(setting, &seen, drafts.iter().map(|draft| &draft.finding));
        let mut drafts = denied::drafts(&rows, setting, &mut details)?;
        drafts.extend(unanswered);
        // Services that were seen working cannot explain refused flows. The refused flows may in turn be another
        // blocked dependency.
        let known = coverage(&drafts)?;
        let refused = Refused::read(session).await?;
        let hints = refused.hints_of_findings(&rows, &known)?;
        drafts.extend(unlisted::drafts(&rows, setting, &mut details, hints)?);
        let coverage = coverage(&drafts)?;
        Ok(Self { drafts, coverage, refused, known })
    }
}

/// Sources of the words and the fix of a finding.
struct Unworded {
    requirement: Option<Requirement>,
    context: ExplainContext,
}

impl Unworded {
    fn word(self, finding: &mut Finding) {
        let requirement = self.requirement.as_ref();
        finding.fix = fix::fix(finding, requirement, self.context.needs_correction);
        finding.explanation = explain::explanation(finding, requirement, &self.context);
    }
}

/// Sorts the findings, the worst first, and sets their ranks.
fn ranked(mut drafts: Vec<Draft>) -> (Vec<Finding>, Vec<Unworded>) {
    drafts.sort_by(|a, b| {
        let (a, b) = (&a.finding, &b.finding);
        let by_tuples = b.denials.denied_tuples.cmp(&a.denials.denied_tuples);
        b.grade.score.cmp(&a.grade.score).then(by_tuples).then(a.identity.id.cmp(&b.identity.id))
    });
    let nameless: Vec<(String, Timestamp)> = (drafts.iter())
        .filter_map(|draft| Some((draft.finding.subject.subnet.clone(), draft.nameless_since()?)))
        .collect();
    let place = |(rank, mut draft): (u64, Draft)| {
        let subnet = &draft.finding.subject.subnet;
        draft.finding.meaning.follows_dns =
            nameless.iter().any(|(nameless, since)| nameless == subnet && draft.may_follow(*since));
        draft.finding.rank = rank;
        (draft.finding, Unworded { requirement: draft.requirement, context: draft.context })
    };
    (1..).zip(drafts).map(place).unzip()
}

/// Returns the number of listed blobs and the hours in their names.
fn archive(session: &Session) -> ArchiveListed {
    let hours = session.hours();
    ArchiveListed {
        blobs_listed: session.listed().iter().map(|listed| listed.listed).sum(),
        first_hour: hours.map(|(first, _)| Timestamp(first)),
        last_hour: hours.map(|(_, last)| Timestamp(last)),
    }
}

fn run_state(session: &Session, basis: Basis, other_cloud: Option<String>) -> RunState {
    let counts = session.input().counts;
    let foreign = counts.foreign.kinds();
    RunState {
        basis,
        is_interrupted: session.stop().is_asked(),
        bad_records: counts.bad_records,
        foreign: foreign.into_iter().map(|(kind, records)| (kind.to_owned(), records)).collect(),
        slow_records: counts.slow_records,
        other_cloud,
    }
}

fn input(session: &Session, totals: Row) -> Result<Input, SessionError> {
    let read = session.input();
    let counts = read.counts;
    Ok(Input {
        blobs: read.blobs,
        bytes: read.bytes,
        records: counts.records,
        tuples: counts.tuples,
        denied_tuples: counts.denied_tuples,
        tuples_in_scope: totals.int("tuples_in_scope")?,
        denied_in_scope: totals.int("denied_in_scope")?,
        malformed_tuples: counts.malformed_tuples,
        unreadable_blobs: read.unreadable_blobs,
        first_flow: counts.times.map(|(first, _)| Timestamp(first)),
        last_flow: counts.times.map(|(_, last)| Timestamp(last)),
        versions: counts.versions,
        problem_count: read.problem_count,
        problems: read.problems.into_iter().map(Problem::from).collect(),
    })
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
        vnet_mode: mode.mode,
        vnet_mode_origin: mode.origin,
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
