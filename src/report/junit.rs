//! Writes JUnit XML in the form that CI services read: a suite per subnet, a test case per requirement. Refusals that no
//! requirement names, and whether all input was read, are test cases of their own.

use std::io::{self, Write};

use super::escape::escaped;
use super::sentences::{fix_in_words, name, needed};
use super::sink::shortened;
use super::{Document, Report};
use crate::findings::{Analysis, Coverage, CoverageVerdict, Finding, Kind};

pub struct JunitReport;

/// Maximum length of names and messages in characters. Azure DevOps cuts names at 512.
const LONGEST: usize = 500;
/// Maximum length of the text of a failure in characters.
const LONGEST_TEXT: usize = 20_000;

/// Test cases of one subnet, or of the input.
pub(super) struct Suite {
    pub name: String,
    pub cases: Vec<Case>,
}

/// A test case.
pub(super) struct Case {
    pub class: String,
    pub name: String,
    pub outcome: Outcome,
}

/// Outcome of a test case.
pub(super) enum Outcome {
    Passed,
    Failed { kind: String, message: String, text: String },
    Error { message: String, text: String },
    Skipped(&'static str),
}

impl Report for JunitReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let analysis = document.analysis;
        let suites = suites(analysis);
        let time = analysis.input.last_flow.map(|time| time.to_string());
        // JUnit has times without a zone.
        let time = time.and_then(|time| Some(format!(" timestamp=\"{}\"", time.get(..19)?))).unwrap_or_default();
        write_suites(&suites, &time, out)
    }
}

/// Writes suites with their cases. `time` is an attribute, or empty.
pub(super) fn write_suites(suites: &[Suite], time: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<testsuites name="flowgap"{}>"#, counts(suites.iter().flat_map(|suite| &suite.cases)))?;
    for Suite { name, cases } in suites {
        let counts = counts(cases.iter());
        writeln!(out, r#"  <testsuite name="{}" hostname="localhost"{time}{counts}>"#, attribute(name))?;
        cases.iter().try_for_each(|case| case.write(out))?;
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case> + Clone) -> String {
    let count = |is: fn(&Outcome) -> bool| cases.clone().filter(|case| is(&case.outcome)).count();
    format!(
        r#" tests="{}" failures="{}" errors="{}" skipped="{}" time="0""#,
        count(|_| true),
        count(|outcome| matches!(outcome, Outcome::Failed { .. })),
        count(|outcome| matches!(outcome, Outcome::Error { .. })),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    )
}

fn suites(analysis: &Analysis) -> Vec<Suite> {
    let needed = needed(analysis);
    let input =
        Case { class: "flowgap.input".to_owned(), name: "all input was read".to_owned(), outcome: input(analysis) };
    let mut suites = vec![Suite { name: "input".to_owned(), cases: vec![input] }];
    let rows = analysis.coverage.iter().map(|row| (row.subnet.as_str(), of_row(row, &needed)));
    let others = needed.iter().filter(|f| f.subject.requirement.is_none());
    let others = others.map(|finding| (finding.subject.subnet.as_str(), of_finding(finding)));
    for (subnet, case) in rows.chain(others) {
        match suites.iter_mut().skip(1).find(|suite| suite.name == subnet) {
            Some(suite) => suite.cases.push(case),
            None => suites.push(Suite { name: subnet.to_owned(), cases: vec![case] }),
        }
    }
    suites
}

/// Fails as an error if the result cannot be believed.
fn input(analysis: &Analysis) -> Outcome {
    let status = &analysis.status;
    if !status.partial && status.exit != 3 {
        return Outcome::Passed;
    }
    let problems = analysis.input.problems.iter().take(20);
    let problems = problems.map(|p| format!("{} byte {}, record {}: {}", p.blob, p.offset, p.record, p.reason));
    Outcome::Error { message: status.reasons.join("; "), text: problems.collect::<Vec<_>>().join("\n") }
}

/// Message of a case whose findings are all suppressed.
const ACCEPTED: &str = "accepted: every finding of it is suppressed";

fn of_row(row: &Coverage, needed: &[&Finding]) -> Case {
    let own: Vec<&&Finding> = (needed.iter())
        .filter(|f| f.subject.requirement.as_ref() == Some(&row.requirement) && f.subject.subnet == row.subnet)
        .collect();
    let name = format!("{} {} {} {}", row.requirement, row.direction, row.protocol, row.ports.join(","));
    // Refusing only strangers is usually policy, and never counts as broken.
    let is_policy = !own.is_empty() && own.iter().all(|f| f.identity.kind == Kind::SourceRestricted);
    let outcome = match row.verdict {
        CoverageVerdict::Partial if is_policy => Outcome::Passed,
        CoverageVerdict::Blocked | CoverageVerdict::Partial | CoverageVerdict::Unanswered
            if !own.is_empty() && own.iter().all(|f| f.suppressed.is_some()) =>
        {
            Outcome::Skipped(ACCEPTED)
        }
        CoverageVerdict::Blocked | CoverageVerdict::Partial | CoverageVerdict::Unanswered => Outcome::Failed {
            kind: own.first().map_or(row.verdict.name(), |f| f.identity.kind.name()).to_owned(),
            message: format!("{} is {}", row.requirement, row.verdict),
            text: own.iter().map(|f| words(f)).collect::<Vec<_>>().join("\n"),
        },
        CoverageVerdict::NoEvidence => Outcome::Skipped("no evidence: neither denied nor seen working"),
        CoverageVerdict::Indistinguishable => Outcome::Skipped("its flows may belong to other dependencies"),
        CoverageVerdict::Recovered | CoverageVerdict::Allowed => Outcome::Passed,
    };
    Case { class: class(&row.subnet), name, outcome }
}

fn of_finding(finding: &Finding) -> Case {
    let subject = &finding.subject;
    let outcome = Outcome::Failed {
        kind: finding.identity.kind.to_string(),
        message: format!("{}: {}", name(finding), finding.grade.verdict),
        text: words(finding),
    };
    let ports: Vec<String> = subject.ports.iter().map(ToString::to_string).collect();
    let id = &finding.identity.id;
    let name = format!("{} {id} {} {} {}", finding.identity.kind, subject.direction, subject.protocol, ports.join(","));
    let outcome = match finding.suppressed {
        Some(_) => Outcome::Skipped(ACCEPTED),
        None if finding.is_open() => outcome,
        None => Outcome::Passed,
    };
    Case { class: class(&subject.subnet), name, outcome }
}

fn class(subnet: &str) -> String {
    format!("flowgap.{subnet}")
}

fn words(finding: &Finding) -> String {
    format!("{}\nFix: {}", finding.explanation, fix_in_words(&finding.fix))
}

impl Case {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (class, name) = (attribute(&self.class), attribute(self.name.trim()));
        write!(out, r#"    <testcase classname="{class}" name="{name}" time="0""#)?;
        match &self.outcome {
            Outcome::Passed => return writeln!(out, "/>"),
            Outcome::Skipped(message) => writeln!(out, ">\n      <skipped message=\"{}\"/>", attribute(message))?,
            Outcome::Error { message, text } => {
                let message = attribute(message);
                writeln!(out, ">\n      <error message=\"{message}\" type=\"input\">{}</error>", content(text))?;
            }
            Outcome::Failed { kind, message, text } => {
                let (kind, message) = (attribute(kind), attribute(message));
                writeln!(out, ">\n      <failure message=\"{message}\" type=\"{kind}\">{}</failure>", content(text))?;
            }
        }
        writeln!(out, "    </testcase>")
    }
}

/// Returns text for an attribute in double quotes.
fn attribute(text: &str) -> String {
    escaped(&shortened(text, LONGEST)).replace('\n', "&#10;")
}

/// Returns text between tags.
fn content(text: &str) -> String {
    escaped(&shortened(text, LONGEST_TEXT))
}
