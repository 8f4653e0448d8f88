//! Draws what is new: the findings by when they began and whether they are over.

use super::{Bar, bars};
use crate::findings::{Analysis, Finding, State, Verdict};
use crate::report::html::markup::Page;
use crate::time::DAY;

/// Writes how many findings are new, continue, are quiet or are over, by the last 24 hours of the logs.
pub fn strip(page: &mut Page, analysis: &Analysis, shown: &[&Finding]) {
    if shown.is_empty() {
        return;
    }
    let courses = [
        ("new in the last 24 hours of the logs", Course::New, "denied"),
        ("continue from before", Course::Continues, "denied"),
        ("quiet: not seen for 24 hours", Course::Quiet, "unknown"),
        ("over: works again", Course::Over, "allowed"),
    ];
    let bar = |(label, course, class): (&str, Course, &'static str)| {
        let value = shown.iter().filter(|finding| Course::of(finding, analysis) == course).count() as i64;
        Bar { label: label.to_owned(), value, class }
    };
    bars(page, "What is new?", &courses.map(bar));
}

#[derive(PartialEq, Eq)]
enum Course {
    New,
    Continues,
    Quiet,
    Over,
}

impl Course {
    fn of(finding: &Finding, analysis: &Analysis) -> Self {
        let is_new = || {
            let (first, last) = analysis.input.first_flow.zip(analysis.input.last_flow)?;
            let began = finding.times.first_denied?;
            // Refusals of the first hour may have begun before the logs.
            Some(began.0 >= last.0.saturating_sub(DAY) && began.hour() > first.hour())
        };
        match (finding.grade.state, finding.grade.verdict) {
            (State::Recovered, _) | (_, Verdict::Recovered) => Self::Over,
            (State::Quiet, _) => Self::Quiet,
            (State::Ongoing, _) if is_new() == Some(true) => Self::New,
            (State::Ongoing, _) => Self::Continues,
        }
    }
}
