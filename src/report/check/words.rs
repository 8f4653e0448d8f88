//! Words about a check that every format shares.

use crate::catalog::{Necessity, RowDirection};
use crate::findings::Severity;
use crate::findings::check::{Check, CheckRow};
use crate::policy::{Path, Verdict};
use crate::report::layout::joined;
use crate::report::sink::shortened;

/// Returns the answer to a row in a word or two.
pub fn answer(row: &CheckRow) -> String {
    match (row.verdict, row.path) {
        (Verdict::Allow, Some(path)) if path != Path::Direct => format!("allowed, {path}"),
        (Verdict::Allow, _) => "allowed".to_owned(),
        (Verdict::Unknown, _) => "unknown".to_owned(),
        (Verdict::Partly, _) => "refused in part".to_owned(),
        (Verdict::Deny, _) => "refused".to_owned(),
    }
}

/// Returns the flow of a row, such as `out TCP 1433 -> Sql`.
pub fn flow(row: &CheckRow) -> String {
    let (protocol, ports) = (&row.protocol, row.ports.join(","));
    match row.direction {
        RowDirection::Inbound => format!("in  {protocol} {ports} <- {}", row.source.name()),
        RowDirection::Outbound => format!("out {protocol} {ports} -> {}", row.destination.name()),
        RowDirection::Both | RowDirection::None => format!("in and out {protocol} {ports}, {}", row.destination.name()),
    }
}

/// Returns the sentence after the word: how many required rows pass.
pub fn headline(check: &Check) -> String {
    let required: Vec<&CheckRow> = check.rows.iter().filter(|row| row.necessity == Necessity::Required).collect();
    let with = |is: fn(&CheckRow) -> bool| required.iter().filter(|row| is(row)).count();
    let mut groups: Vec<&str> = check.rows.iter().map(|row| row.group.as_str()).collect();
    groups.dedup();
    let place = match groups.as_slice() {
        [one] => (*one).to_owned(),
        groups => format!("{} groups", groups.len()),
    };
    let all = required.len();
    let refused =
        with(|row| matches!(row.verdict, Verdict::Deny | Verdict::Partly) && row.severity > Some(Severity::Info));
    let unknown = with(|row| row.verdict == Verdict::Unknown);
    match (refused, unknown) {
        (0, 0) if all == 0 => "no rules were checked".to_owned(),
        (0, 0) if check.status.exit == 3 => format!("{place}: {}", check.status.reasons.join("; ")),
        (0, 0) => format!("{place}: the rules allow all {all} things that API Management requires"),
        (0, unknown) => {
            format!("{place}: the rules do not tell of {unknown} of {all} things that API Management requires")
        }
        (refused, 0) => format!("{place}: the rules refuse {refused} of {all} things that API Management requires"),
        (refused, unknown) => {
            format!(
                "{place}: the rules refuse {refused} of {all} things that API Management requires, and do not tell of {unknown}"
            )
        }
    }
}

/// Returns what was compared, in one line.
pub fn compared(check: &Check) -> String {
    let mut files: Vec<String> =
        check.groups.iter().map(|group| format!("{} ({})", shortened(&group.file, 60), group.shape)).collect();
    files.dedup();
    let tags = match &check.scope.service_tags {
        Some(tags) => format!("{} service tags", tags.tags),
        None => "no service tags".to_owned(),
    };
    format!("{}; port table {}; {tags}; no flow was looked at", joined(&files, ", ", 3), check.scope.edition)
}
