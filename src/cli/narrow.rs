//! Options that narrow a report to some findings, as typed.

use glob::Pattern;

use super::{Failure, named};
use crate::engine::closest_name;
use crate::findings::{Analysis, Narrowing, Severity};
use crate::report::sink::say;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Report only findings of at least this severity; the others do not count either
    #[arg(long, value_name = "SEVERITY", value_parser = named::<Severity>(Severity::NAMES))]
    severity: Option<Severity>,

    /// Report only findings about this requirement, such as APIM-OUT-SQL; repeatable, or with commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,

    /// Report only findings of rules with such a name, such as 'deny-*'; repeatable
    #[arg(long, value_name = "GLOB", value_parser = pattern)]
    rule: Vec<Pattern>,
}

impl Args {
    /// Narrows an analysis, and reports how many findings that leaves out.
    pub fn apply(&self, analysis: &mut Analysis, is_quiet: bool) -> Result<(), Failure> {
        for id in &self.only {
            let known: Vec<&str> = analysis.coverage.iter().map(|row| row.requirement.as_str()).collect();
            if !known.is_empty() && !known.iter().any(|known| known.eq_ignore_ascii_case(id)) {
                let near = closest_name(id, known).map(|near| format!(": did you mean {near}?"));
                return Err(Failure::usage(format!(
                    "--only {id}: the edition has no such requirement{}",
                    near.unwrap_or_else(|| ": flowgap requirements lists them".to_owned())
                )));
            }
        }
        let requirements = self.only.clone();
        let narrowing = Narrowing { least: self.severity, requirements, rules: self.rule.clone() };
        let all = analysis.findings.len();
        match narrowing.apply(analysis) {
            0 => {}
            _ if is_quiet => {}
            removed => say(format_args!(
                "flowgap: {removed} of {all} findings are left out by --severity, --only or --rule, and do not count"
            )),
        }
        Ok(())
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("write a pattern like 'deny-*': {}", error.msg))
}
