//! The two lines at the top: how it is, and what was read.

use std::collections::BTreeSet;

use super::flows::row_flow;
use crate::findings::{Analysis, CoverageVerdict, Finding, Kind, NoticeCode, Verdict, Word, counted};
use crate::report::Clock;
use crate::report::layout::number;

/// Distinct required dependencies by how they do.
pub struct Required<'a> {
    pub all: BTreeSet<&'a str>,
    pub blocked: BTreeSet<&'a str>,
    pub degraded: BTreeSet<&'a str>,
    pub never_tried: BTreeSet<&'a str>,
    /// Dependencies of which some subnet shows only flows that may be another one's.
    pub shared: BTreeSet<&'a str>,
}

impl<'a> Required<'a> {
    pub fn of(analysis: &'a Analysis) -> Self {
        let rows = || analysis.coverage.iter().filter(|row| row.is_required());
        let with = |verdicts: &[CoverageVerdict]| -> BTreeSet<&'a str> {
            rows().filter(|row| verdicts.contains(&row.verdict)).map(|row| row.requirement.as_str()).collect()
        };
        let is_real = |id: &&str| {
            let own = |f: &&Finding| f.subject.requirement.as_deref() == Some(id);
            analysis.findings.iter().filter(own).any(|f| f.identity.kind != Kind::SourceRestricted)
        };
        Self {
            all: rows().map(|row| row.requirement.as_str()).collect(),
            blocked: with(&[CoverageVerdict::Blocked, CoverageVerdict::Unanswered]),
            degraded: with(&[CoverageVerdict::Partial]).into_iter().filter(is_real).collect(),
            never_tried: with(&[CoverageVerdict::NoEvidence]),
            shared: with(&[CoverageVerdict::Indistinguishable]),
        }
    }
}

/// Returns the scope in a few words.
pub fn scope(analysis: &Analysis) -> String {
    let inferred = if analysis.scope.subnets_inferred { " (inferred)" } else { "" };
    match analysis.scope.subnets.as_slice() {
        [] => "any interface".to_owned(),
        few @ ([_] | [_, _] | [_, _, _]) => format!("{}{inferred}", few.join(", ")),
        many => format!("{} subnets{inferred}", many.len()),
    }
}

/// Returns the sentence after the word. The word is not `COULD NOT TELL`.
pub fn headline(analysis: &Analysis) -> String {
    let required = Required::of(analysis);
    let (scope, all) = (scope(analysis), required.all.len());
    let share = |part: &BTreeSet<&str>| format!("{scope}: {} of {all} things API Management needs", part.len());
    let verb =
        |part: &BTreeSet<&str>, one: &str, many: &str| if part.len() == 1 { one.to_owned() } else { many.to_owned() };
    match analysis.status.word {
        Word::Blocked if !required.blocked.is_empty() => {
            let does = verb(&required.blocked, "does", "do");
            format!("{} {does} not get through", share(&required.blocked))
        }
        Word::Degraded if !required.degraded.is_empty() => {
            let gets = verb(&required.degraded, "gets", "get");
            format!("{} {gets} through only in part", share(&required.degraded))
        }
        Word::Degraded if open(analysis).next().is_none() => {
            let silent: BTreeSet<&str> = silent(analysis).collect();
            format!("{} fell silent", share(&silent))
        }
        Word::Blocked | Word::Degraded => format!("{scope}: {}", others(analysis)),
        Word::OkSoFar | Word::Ok | Word::CouldNotTell => {
            let seen = all - required.never_tried.union(&required.shared).count();
            let never = match required.never_tried.len() {
                0 => String::new(),
                n => format!(", {n} never tried"),
            };
            match seen == all {
                true => format!("{scope}: all {all} things API Management needs were seen working"),
                false => format!("{scope}: {seen} of {all} things API Management needs were seen working{never}"),
            }
        }
    }
}

fn open(analysis: &Analysis) -> impl Iterator<Item = &Finding> {
    analysis.findings.iter().filter(|finding| finding.is_open())
}

/// Returns the required dependencies that worked and fell silent.
fn silent(analysis: &Analysis) -> impl Iterator<Item = &str> {
    let rows = analysis.coverage.iter().filter(|row| row.is_required() && row.silent_since.is_some());
    rows.map(|row| row.requirement.as_str())
}

/// Counts open findings that are about nothing that is required.
fn others(analysis: &Analysis) -> String {
    let worked = open(analysis).filter(|f| f.identity.kind == Kind::UnlistedBlocked);
    let worked: u64 = worked.map(|f| f.addresses.remote_address_count).sum();
    let findings = open(analysis).count() as i64;
    let is_part = open(analysis).all(|f| f.grade.verdict == Verdict::Partial);
    match (worked, findings) {
        (1, 1) => "1 destination that worked before is refused now".to_owned(),
        (2.., _) if open(analysis).all(|f| f.identity.kind == Kind::UnlistedBlocked) => {
            format!("{} destinations that worked before are refused now", number(worked))
        }
        (_, 0) => "findings that this report leaves out".to_owned(),
        (_, n) if is_part => format!("{} of flows that are refused in part", counted(n, "finding")),
        (_, n) => format!("{} of flows that do not get through", counted(n, "finding")),
    }
}

/// Returns the span of the logs, whether all was read, and how much.
pub fn span(analysis: &Analysis, clock: Clock) -> String {
    let input = &analysis.input;
    let read = if analysis.has_notice(NoticeCode::Interrupted) {
        "interrupted".to_owned()
    } else if input.unreadable_blobs > 0 {
        let blobs = number(input.blobs.max(input.unreadable_blobs));
        format!("{} of {blobs} blobs not read to the end", number(input.unreadable_blobs))
    } else if analysis.status.partial {
        "not all records readable".to_owned()
    } else {
        "all read".to_owned()
    };
    match (input.first_flow, input.last_flow) {
        (Some(first), Some(last)) => {
            let flows =
                counted(input.tuples as i64, "flow").replacen(&input.tuples.to_string(), &number(input.tuples), 1);
            let age = clock.age(last).map(|age| format!(", {age} old")).unwrap_or_default();
            format!("logs {} (newest flow{age}), {read}: {flows}", clock.span(first, last))
        }
        _ => {
            let files = counted(analysis.archive.blobs_listed as i64, "listed file");
            format!("read {} of {files}: no flow in the window", number(input.blobs))
        }
    }
}

/// Returns the required dependencies that no flow is about, as flows.
pub fn never_tried(analysis: &Analysis) -> Vec<String> {
    let mut flows = Vec::new();
    for row in analysis.coverage.iter().filter(|row| row.is_required() && row.verdict == CoverageVerdict::NoEvidence) {
        let flow = format!("{} ({})", row_flow(row), row.requirement);
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    flows
}
