//! Words that several parts of the page share.

use super::markup::{Page, count, number};
use crate::findings::{Analysis, Coverage, CoverageVerdict, Finding, Severity, Verdict, Word};
use crate::flow::ScopeDirection;
use crate::report::sentences::name;

/// Returns the verdict word, after `PARTIAL` if a part of the input was not read.
pub fn verdict(analysis: &Analysis) -> String {
    let word = analysis.status.word;
    if analysis.status.partial { format!("PARTIAL: {word}") } else { word.to_string() }
}

/// Returns the scope in a few words.
pub fn scope(analysis: &Analysis) -> String {
    match analysis.scope.subnets.as_slice() {
        [] => "every interface in the logs".to_owned(),
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} and {} more subnets", rest.len())
        }
        few => few.join(", "),
    }
}

/// Returns the title of the page.
pub fn title(analysis: &Analysis) -> String {
    format!("{}: API Management in {}", verdict(analysis), scope(analysis))
}

/// Returns the name of the class that colours the verdict.
pub fn tone(word: Word) -> &'static str {
    match word {
        Word::Blocked => "bad",
        Word::Degraded => "warn",
        Word::CouldNotTell => "unknown",
        Word::OkSoFar | Word::Ok => "good",
    }
}

/// Writes a severity as a word with a shape, so that it does not depend on colour.
pub fn severity(page: &mut Page, severity: Severity) {
    let shape = match severity {
        Severity::Critical => "⬢",
        Severity::High => "▲",
        Severity::Medium => "◆",
        Severity::Low => "●",
        Severity::Info => "○",
    };
    page.put(
        "<span class=\"severity {}\"><span aria-hidden=\"true\">{}</span> {}</span>",
        &[&severity, &shape, &severity],
    );
}

/// Returns the flow of a finding with the port before the names, such as `out TCP 1433`.
pub fn flow(finding: &Finding) -> String {
    let subject = &finding.subject;
    let ports = match subject.ports.as_slice() {
        [] => "any port".to_owned(),
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        few => few.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{} {} {ports}", direction(subject.direction), subject.protocol)
}

/// Returns a short word for a direction.
pub fn direction(direction: ScopeDirection) -> &'static str {
    match direction {
        ScopeDirection::Inbound => "in",
        ScopeDirection::Outbound => "out",
        ScopeDirection::Internal => "inside",
    }
}

/// Returns the flow and the name of a finding, for headings and rows.
pub fn heading(finding: &Finding) -> String {
    format!("{}, {}", flow(finding), name(finding))
}

/// Returns the verdict of a finding with the counts behind it.
pub fn tally(finding: &Finding) -> String {
    let denials = &finding.denials;
    let verdict = match finding.grade.verdict {
        Verdict::Blocked => "blocked",
        Verdict::Partial => "refused in part",
        Verdict::Recovered => "works again",
        Verdict::ShareUnknown => "refused (allowed flows are not logged)",
        Verdict::Unanswered => "no answer",
        Verdict::Contradicted => "the evidence disagrees",
    };
    let (refused, allowed) = (number(denials.denied_tuples), number(denials.allowed_since_first_denied));
    match (denials.denied_tuples, denials.sent_tuples) {
        (0, 0) => verdict.to_owned(),
        (0, sent) => format!("{verdict} to {} of {}", number(denials.unanswered_tuples), count(sent, "flow")),
        (_, _) if finding.grade.verdict == Verdict::ShareUnknown => format!("{verdict}: {refused} times"),
        (_, _) => format!("{verdict}: {refused} refused, {allowed} allowed since"),
    }
}

/// Returns the id of the entry of a finding, by its place on the page.
pub fn anchor(place: usize) -> String {
    format!("finding-{}", place + 1)
}

/// Returns the id of the fix of a cause, by its place in the list.
pub fn cause_anchor(place: usize) -> String {
    format!("cause-{}", place + 1)
}

/// Returns a short word for the direction of a row of the port table.
pub fn row_direction(row: &Coverage) -> &'static str {
    match row.direction.name() {
        "inbound" => "in",
        "outbound" => "out",
        _ => "inside",
    }
}

/// Returns the verdict on a requirement as readers say it.
pub fn row_verdict(verdict: CoverageVerdict) -> &'static str {
    match verdict {
        CoverageVerdict::Blocked => "blocked",
        CoverageVerdict::Partial => "refused in part",
        CoverageVerdict::Unanswered => "no answer",
        CoverageVerdict::Recovered => "works again",
        CoverageVerdict::Allowed => "seen working",
        CoverageVerdict::Indistinguishable => "cannot be told",
        CoverageVerdict::NoEvidence => "never tried",
    }
}
