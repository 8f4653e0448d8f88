//! Writes a check as JUnit XML: a suite per group, a test case per row of the port table.

use std::io::{self, Write};

use super::words::answer;
use crate::findings::check::{Check, CheckRow};
use crate::policy::Verdict;
use crate::report::junit::{Case, Outcome, Suite, write_suites};

pub fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let mut suites: Vec<Suite> = Vec::new();
    for row in &check.rows {
        let case = case(row);
        match suites.last_mut().filter(|suite| suite.name == row.group) {
            Some(suite) => suite.cases.push(case),
            None => suites.push(Suite { name: row.group.clone(), cases: vec![case] }),
        }
    }
    write_suites(&suites, "", out)
}

fn case(row: &CheckRow) -> Case {
    let name = format!("{} {} {} {}", row.requirement, row.direction, row.protocol, row.ports.join(","));
    let fix = row.fix.as_ref().map(|fix| format!("\nFix: {}", fix.note)).unwrap_or_default();
    let message = format!("{} is {}", row.requirement, answer(row));
    let text = format!("{}{fix}", row.explanation);
    let outcome = match (row.severity, row.verdict) {
        (Some(_), verdict) => Outcome::Failed { kind: verdict.to_string(), message, text },
        (None, Verdict::Unknown) => Outcome::Error { message, text },
        (None, _) => Outcome::Passed,
    };
    Case { class: format!("flowgap.{}", row.group), name, outcome }
}
