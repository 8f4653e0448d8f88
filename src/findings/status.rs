//! Computes the word of an analysis, its exit status, and the reasons for both.

use std::collections::{BTreeMap, BTreeSet};

use super::analysis::{Analysis, Basis, Coverage, CoverageVerdict, Needs, Status, Word};
use super::explain::counted;
use super::model::{Finding, Grade, Kind, Verdict};
use super::notice_code::NoticeCode;
use super::notices::RunState;
use super::score::{Severity, State};
use crate::engine::{ResultRows, SessionError};
use crate::time::{DAY, Timestamp};

/// Conditions for an exit status other than 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Findings of at least this severity fail the run; `None` for none.
    pub fail_on: Option<Severity>,
    /// Share of required rows that need evidence for exit status 0, from 0 to 1.
    pub min_coverage: f64,
    /// Whether any malformed tuple or record fails the run.
    pub is_strict: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self { fail_on: Some(Severity::High), min_coverage: 0.5, is_strict: false }
    }
}

impl Needs {
    /// Counts the required rows of `coverage` by their verdicts. `findings` show which partial rows refuse only
    /// strangers.
    pub fn of(coverage: &[Coverage], findings: &[Finding]) -> Self {
        let mut needs = Self::default();
        let is_policy = |row: &Coverage| {
            let mut own = findings.iter().map(|f| (&f.subject, f.identity.kind)).filter(|(subject, _)| {
                subject.requirement.as_ref() == Some(&row.requirement) && subject.subnet == row.subnet
            });
            own.all(|(_, kind)| kind == Kind::SourceRestricted)
        };
        for row in coverage.iter().filter(|row| row.is_required()) {
            needs.required += 1;
            match row.verdict {
                CoverageVerdict::Blocked | CoverageVerdict::Unanswered => needs.blocked += 1,
                CoverageVerdict::Partial if is_policy(row) => needs.seen += 1,
                CoverageVerdict::Partial => needs.degraded += 1,
                CoverageVerdict::Recovered | CoverageVerdict::Allowed => needs.seen += 1,
                CoverageVerdict::NoEvidence => needs.never_tried += 1,
                // Flows that may belong to several requirements show none of them working.
                CoverageVerdict::Indistinguishable => {}
            }
        }
        needs
    }
}

impl Status {
    /// Returns the status of an analysis that is not complete.
    pub(super) fn unknown(gate: &Gate) -> Self {
        Self {
            word: Word::CouldNotTell,
            exit: 3,
            reasons: Vec::new(),
            partial: false,
            fail_on: gate.fail_on,
            min_coverage: gate.min_coverage,
        }
    }

    /// Returns the status. `interfaces` has the columns `subnet` and `mac`, and the notices of `analysis` must be
    /// complete.
    pub fn of(analysis: &Analysis, run: &RunState, gate: &Gate, interfaces: &ResultRows) -> Result<Self, SessionError> {
        let doubts = doubts(analysis, run, gate, interfaces)?;
        let failing = failing(analysis, run.basis, gate.fail_on);
        let is_incomplete = analysis.input.unreadable_blobs > 0 || run.bad_records > 0;
        let strict = gate.is_strict && (analysis.input.malformed_tuples > 0 || is_incomplete);
        let (exit, reasons) = if run.is_interrupted {
            (130, vec!["it was interrupted before all was read".to_owned()])
        } else if strict {
            (3, vec!["some tuples or records could not be read, and every one was to be".to_owned()])
        } else if let Some(reason) = failing {
            (1, vec![reason])
        } else if !doubts.is_empty() {
            (3, doubts.clone())
        } else {
            (0, Vec::new())
        };
        Ok(Self {
            word: word(analysis, !doubts.is_empty()),
            exit,
            reasons,
            partial: run.is_interrupted || is_incomplete,
            fail_on: gate.fail_on,
            min_coverage: gate.min_coverage,
        })
    }
}

impl Analysis {
    /// Adapts word and exit status to findings that were suppressed, or raised to what earlier runs proved.
    pub(super) fn settle_status(&mut self) {
        if self.settle_exit() {
            self.status.word = word(self, self.has_doubts());
        }
    }

    /// Adapts the exit status to the findings that count. Returns whether it is one that findings decide.
    pub(super) fn settle_exit(&mut self) -> bool {
        let failing = failing(self, self.basis(), self.status.fail_on);
        let (exit, reasons) = match (self.status.exit, failing) {
            (0 | 1, Some(reason)) => (1, vec![reason]),
            (1, None) if self.has_doubts() => (3, vec!["what is left to count is too little evidence".to_owned()]),
            (1, None) => (0, Vec::new()),
            _ => return false,
        };
        (self.status.exit, self.status.reasons) = (exit, reasons);
        true
    }
}

fn failing(analysis: &Analysis, basis: Basis, fail_on: Option<Severity>) -> Option<String> {
    let least = fail_on?;
    let counts = |f: &&Finding| f.grade.severity >= least && f.suppressed.is_none() && basis != Basis::Unknown;
    let count = analysis.findings.iter().filter(counts).count();
    match count {
        0 => None,
        1 => Some(format!("1 finding is {least} or worse")),
        n => Some(format!("{n} findings are {least} or worse")),
    }
}

/// Lists the reasons why the result cannot be called fine.
fn doubts(
    analysis: &Analysis,
    run: &RunState,
    gate: &Gate,
    interfaces: &ResultRows,
) -> Result<Vec<String>, SessionError> {
    let has = |code| analysis.has_notice(code);
    let input = &analysis.input;
    let counts = [(input.unreadable_blobs, "blob"), (run.bad_records, "record")];
    let unread = counts.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count as i64, noun));
    let unread: Vec<String> = unread.collect();
    let unread = (!unread.is_empty()).then(|| format!("{} could not be read", unread.join(" and ")));
    if analysis.is_empty() {
        return Ok([unread, Some("there is no flow in window and scope".to_owned())].into_iter().flatten().collect());
    }
    let checks = [
        unread,
        has(NoticeCode::SubnetUnknown).then(|| "which subnet is API Management's is not known".to_owned()),
        has(NoticeCode::EditionMismatch).then(|| "no flow uses a port that only API Management needs".to_owned()),
        too_little(analysis, gate, interfaces)?,
    ];
    Ok(checks.into_iter().flatten().collect())
}

/// Returns the reason if fewer required rows have evidence than the gate asks for.
fn too_little(analysis: &Analysis, gate: &Gate, interfaces: &ResultRows) -> Result<Option<String>, SessionError> {
    let evidence = |group: BTreeSet<String>| Evidence::of(analysis, &group);
    let is_thin = |evidence: &Evidence| (evidence.seen as f64) < gate.min_coverage * evidence.all as f64;
    let thin: Vec<Evidence> = groups(analysis, interfaces)?.into_iter().map(evidence).filter(is_thin).collect();
    let more = match thin.len() {
        0 | 1 => String::new(),
        n => format!(", and as little in {} others", n - 1),
    };
    let share = |Evidence { seen, all, subnets }| {
        format!("only {seen} of {all} required dependencies of {subnets} have any evidence{more}")
    };
    let nothing = || analysis.lacks_all_evidence().then(|| "no required dependency has any evidence".to_owned());
    Ok(thin.into_iter().min().map(share).or_else(nothing))
}

/// Groups the subnets of the scope. Subnets whose addresses share an interface count as one, because IPv4 and IPv6 of
/// one machine see different rows.
fn groups(analysis: &Analysis, interfaces: &ResultRows) -> Result<Vec<BTreeSet<String>>, SessionError> {
    let mut by_mac: BTreeMap<Option<String>, BTreeSet<String>> = BTreeMap::new();
    for row in interfaces.rows() {
        by_mac.entry(row.text_or_null("mac")?).or_default().insert(row.text("subnet")?);
    }
    let single = analysis.scope.subnets.iter().map(|subnet| BTreeSet::from([subnet.clone()]));
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for mut together in single.chain(by_mac.into_values()) {
        let (joined, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| !group.is_disjoint(&together));
        joined.into_iter().for_each(|group| together.extend(group));
        groups = apart;
        groups.push(together);
    }
    Ok(groups)
}

/// Evidence for the required rows of some subnets.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Evidence {
    /// Number of rows with evidence.
    seen: usize,
    /// Number of rows.
    all: usize,
    /// Names of the subnets, for a sentence.
    subnets: String,
}

impl Evidence {
    fn of(analysis: &Analysis, group: &BTreeSet<String>) -> Self {
        let mut rows: BTreeMap<&str, bool> = BTreeMap::new();
        for row in analysis.coverage.iter().filter(|row| row.is_required() && group.contains(&row.subnet)) {
            *rows.entry(&row.requirement).or_default() |= row.verdict != CoverageVerdict::NoEvidence;
        }
        let subnets: Vec<&str> = group.iter().map(String::as_str).collect();
        Self {
            seen: rows.values().filter(|&&is_seen| is_seen).count(),
            all: rows.len(),
            subnets: subnets.join(" and "),
        }
    }
}

fn word(analysis: &Analysis, is_in_doubt: bool) -> Word {
    let findings = || analysis.findings.iter();
    let required = || analysis.coverage.iter().filter(|row| row.is_required());
    let last = analysis.input.last_flow;
    if is_in_doubt && !findings().any(|f| f.grade.severity >= Severity::Medium) {
        Word::CouldNotTell
    } else if findings().any(|f| f.is_open() && is_blocked(&f.grade)) {
        Word::Blocked
    } else if findings().any(|f| f.is_open()) || required().any(|row| row.silent_since.is_some()) {
        Word::Degraded
    } else if required().any(|row| row.verdict == CoverageVerdict::NoEvidence)
        || findings().any(|f| has_recovered(f, last))
    {
        Word::OkSoFar
    } else {
        Word::Ok
    }
}

fn is_blocked(grade: &Grade) -> bool {
    match grade.verdict {
        Verdict::Blocked | Verdict::ShareUnknown => true,
        Verdict::Unanswered => grade.reach.value() >= 0.95,
        Verdict::Partial | Verdict::Recovered | Verdict::Contradicted => false,
    }
}

/// Returns whether the finding recovered in the last 24 hours of the logs, and is more than info.
fn has_recovered(finding: &Finding, last: Option<Timestamp>) -> bool {
    let ended = finding.times.last_denied.or(finding.unanswered.and_then(|counts| counts.last));
    let is_fresh = ended.zip(last).is_some_and(|(ended, last)| last.0 - ended.0 <= DAY);
    finding.grade.state == State::Recovered && finding.grade.severity > Severity::Info && is_fresh
}
