//! What an analysis comes to: a word, an exit status, and the reasons for both.

use std::collections::{BTreeMap, BTreeSet};

use super::analysis::{Analysis, Basis, Coverage, CoverageVerdict, Needs, Status, Word};
use super::finding::{Finding, Kind, Verdict};
use super::score::{Activity, Severity};
use crate::engine::Table;
use crate::time::DAY;

/// What a run fails for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Findings at least this severe; `None` for none.
    pub fail_on: Option<Severity>,
    /// The share of required rows that need evidence before anything is called fine, 0 to 1.
    pub min_coverage: f64,
    /// Any malformed tuple or record.
    pub is_strict: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self { fail_on: Some(Severity::High), min_coverage: 0.5, is_strict: false }
    }
}

impl Needs {
    pub fn of(coverage: &[Coverage], findings: &[Finding]) -> Self {
        let mut needs = Self::default();
        let is_policy = |row: &Coverage| {
            let mut own =
                findings.iter().filter(|f| f.requirement.as_ref() == Some(&row.requirement) && f.subnet == row.subnet);
            own.all(|finding| finding.kind == Kind::SourceRestricted)
        };
        for row in coverage.iter().filter(|row| row.is_required()) {
            needs.required += 1;
            match row.verdict {
                CoverageVerdict::Blocked | CoverageVerdict::Unanswered => needs.blocked += 1,
                CoverageVerdict::Partial if is_policy(row) => needs.seen += 1,
                CoverageVerdict::Partial => needs.degraded += 1,
                CoverageVerdict::Recovered | CoverageVerdict::Allowed => needs.seen += 1,
                CoverageVerdict::NoEvidence => needs.never_tried += 1,
                // Flows that may be of several requirements show none of them working.
                CoverageVerdict::Indistinguishable => {}
            }
        }
        needs
    }
}

impl Status {
    /// Of an analysis that is not finished.
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

    /// `interfaces` has the columns `subnet` and `mac`. The notices of `analysis` are complete.
    pub fn of(analysis: &Analysis, gate: &Gate, interfaces: &Table) -> Self {
        let doubts = doubts(analysis, gate, interfaces);
        let failing = failing(analysis, gate);
        let strict = gate.is_strict && (analysis.input.malformed_tuples > 0 || analysis.is_incomplete());
        let (exit, reasons) = if analysis.is_interrupted {
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
        Self {
            word: word(analysis, !doubts.is_empty()),
            exit,
            reasons,
            partial: analysis.is_interrupted || analysis.is_incomplete(),
            fail_on: gate.fail_on,
            min_coverage: gate.min_coverage,
        }
    }
}

fn failing(analysis: &Analysis, gate: &Gate) -> Option<String> {
    let least = gate.fail_on?;
    let count = analysis.findings.iter().filter(|f| f.severity >= least && analysis.basis != Basis::Unknown).count();
    match count {
        0 => None,
        1 => Some(format!("1 finding is {least} or worse")),
        n => Some(format!("{n} findings are {least} or worse")),
    }
}

/// Why nothing can be called fine.
fn doubts(analysis: &Analysis, gate: &Gate, interfaces: &Table) -> Vec<String> {
    let has = |code: &str| analysis.notices.iter().any(|notice| notice.code == code);
    let input = &analysis.input;
    let unread = match (input.unreadable_blobs, input.bad_records) {
        (0, 0) => None,
        (0, records) => Some(format!("{records} records could not be read")),
        (blobs, 0) => Some(format!("{blobs} blobs could not be read")),
        (blobs, records) => Some(format!("{blobs} blobs and {records} records could not be read")),
    };
    if analysis.is_empty() {
        return [unread, Some("there is no flow in window and scope".to_owned())].into_iter().flatten().collect();
    }
    let checks = [
        unread,
        has("subnet-unknown").then(|| "which subnet is API Management's is not known".to_owned()),
        has("edition-mismatch").then(|| "no flow uses a port that only API Management needs".to_owned()),
        too_little(analysis, gate, interfaces),
    ];
    checks.into_iter().flatten().collect()
}

/// Fewer of the required rows have evidence than are asked for, in some subnet. Subnets whose addresses share an interface
/// count as one: IPv4 and IPv6 of one machine see different rows.
fn too_little(analysis: &Analysis, gate: &Gate, interfaces: &Table) -> Option<String> {
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    let mut by_mac: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in interfaces.rows() {
        by_mac.entry(interfaces.text("mac", row)).or_default().insert(interfaces.text("subnet", row));
    }
    let single = analysis.scope.subnets.iter().map(|subnet| BTreeSet::from([subnet.clone()]));
    for mut together in single.chain(by_mac.into_values()) {
        let (joined, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| !group.is_disjoint(&together));
        joined.into_iter().for_each(|group| together.extend(group));
        groups = apart;
        groups.push(together);
    }
    let evidence = |group: &BTreeSet<String>| {
        let mut rows: BTreeMap<&str, bool> = BTreeMap::new();
        for row in analysis.coverage.iter().filter(|row| row.is_required() && group.contains(&row.subnet)) {
            *rows.entry(&row.requirement).or_default() |= row.verdict != CoverageVerdict::NoEvidence;
        }
        let seen = rows.values().filter(|&&is_seen| is_seen).count();
        let subnets: Vec<&str> = group.iter().map(String::as_str).collect();
        (seen, rows.len(), subnets.join(" and "))
    };
    let is_thin = |(seen, all, _): &(usize, usize, String)| (*seen as f64) < gate.min_coverage * *all as f64;
    let thin: Vec<_> = groups.iter().map(evidence).filter(is_thin).collect();
    let nothing = || analysis.lacks_all_evidence().then(|| "no required dependency has any evidence".to_owned());
    let more = match thin.len() {
        0 | 1 => String::new(),
        n => format!(", and as little in {} others", n - 1),
    };
    let share = |(seen, all, subnets): (usize, usize, String)| {
        format!("only {seen} of {all} required dependencies of {subnets} have any evidence{more}")
    };
    thin.into_iter().min().map(share).or_else(nothing)
}

fn word(analysis: &Analysis, is_in_doubt: bool) -> Word {
    let findings = || analysis.findings.iter();
    let is_blocked = |verdict, reach: f64| match verdict {
        Verdict::Blocked | Verdict::ShareUnknown => true,
        Verdict::Unanswered => reach >= 0.95,
        Verdict::Partial | Verdict::Recovered => false,
    };
    let required = || analysis.coverage.iter().filter(|row| row.is_required());
    let last = analysis.input.last_flow;
    let has_recovered = |f: &Finding| {
        let ended = f.last_denied.or(f.unanswered.and_then(|counts| counts.last));
        let is_fresh = ended.zip(last).is_some_and(|(ended, last)| last.0 - ended.0 <= DAY);
        f.state == Activity::Recovered && f.severity > Severity::Info && is_fresh
    };
    if is_in_doubt && !findings().any(|f| f.severity >= Severity::Medium) {
        Word::CouldNotTell
    } else if findings().any(|f| f.is_open() && is_blocked(f.verdict, f.reach.rounded())) {
        Word::Blocked
    } else if findings().any(|f| f.is_open()) || required().any(|row| row.silent_since.is_some()) {
        Word::Degraded
    } else if required().any(|row| row.verdict == CoverageVerdict::NoEvidence) || findings().any(has_recovered) {
        Word::OkSoFar
    } else {
        Word::Ok
    }
}
