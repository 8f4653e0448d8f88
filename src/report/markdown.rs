//! Writes the text report as Markdown, for tickets and wikis.

use std::io::{self, Write};

use super::grid::Grid;
use super::lines::plain;
use super::sentences::{blamed, coverage_line, first_lines, headline, needed, read_line};
use super::{Document, Report};
use crate::findings::{Analysis, Cause, CauseKind, Finding};
use crate::remedy::Remedy;
use crate::time::Timestamp;

pub struct MarkdownReport {
    /// Number of findings to show.
    pub top: usize,
}

impl Report for MarkdownReport {
    fn write(&self, &Document { analysis }: &Document, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "# Blocked dependencies of API Management\n")?;
        for line in first_lines(analysis) {
            writeln!(out, "**{}**\n", plain(&line))?;
        }
        writeln!(out, "{}\n", plain(&headline(analysis)))?;
        if !analysis.causes.is_empty() {
            writeln!(out, "## To blame\n")?;
            causes(analysis).write_markdown(out)?;
            writeln!(out)?;
        }
        let needed = needed(analysis);
        let shown = &needed[..needed.len().min(self.top)];
        if !shown.is_empty() {
            writeln!(out, "## Findings\n")?;
            findings(shown).write_markdown(out)?;
            for finding in shown {
                let name = super::sentences::name(finding);
                writeln!(
                    out,
                    "\n### {}. {} ({}, {})\n",
                    finding.rank,
                    plain(&name),
                    finding.grade.severity,
                    finding.identity.id
                )?;
                writeln!(out, "{}\n", plain(&finding.explanation))?;
                writeln!(out, "Fix: {}", plain(&super::sentences::fix_in_words(&finding.fix)))?;
            }
            writeln!(out)?;
        }
        if let hidden @ 1.. = needed.len() - shown.len() {
            writeln!(out, "{hidden} more: {} {} shows all.\n", Remedy::Top, needed.len())?;
        }
        writeln!(out, "## What was read\n")?;
        writeln!(out, "{}\n\n{}", plain(&read_line(analysis)), plain(&coverage_line(analysis)))?;
        if !analysis.notices.is_empty() {
            writeln!(out, "\n## Please note\n")?;
            for notice in &analysis.notices {
                writeln!(out, "- {}", plain(&notice.message))?;
            }
        }
        Ok(())
    }
}

fn causes(analysis: &Analysis) -> Grid {
    let row = |cause: &Cause| {
        vec![
            if cause.kind == CauseKind::Rule { cause.rule.clone().unwrap_or_default() } else { blamed(cause) },
            cause.acl_name.clone().unwrap_or_default(),
            cause.subnet.clone(),
            cause.max_severity.to_string(),
            cause.findings.join(", "),
            cause.denied_tuples.to_string(),
            cause.first_denied.map(Timestamp::minute).unwrap_or_default(),
        ]
    };
    let columns = vec!["rule", "in", "for", "severity", "findings", "denied tuples", "since"];
    Grid { columns, rows: analysis.causes.iter().map(row).collect() }
}

fn findings(findings: &[&Finding]) -> Grid {
    let row = |f: &&Finding| {
        let ports: Vec<String> = f.subject.ports.iter().map(ToString::to_string).collect();
        vec![
            f.rank.to_string(),
            f.grade.severity.to_string(),
            f.grade.score.to_string(),
            super::sentences::name(f),
            format!("{} {} {}", f.subject.direction, f.subject.protocol, ports.join(", ")),
            f.subject.subnet.clone(),
            f.grade.verdict.to_string(),
            f.grade.state.to_string(),
            f.denials.denied_tuples.to_string(),
        ]
    };
    let columns = vec!["#", "severity", "score", "dependency", "flow", "subnet", "verdict", "state", "denied tuples"];
    Grid { columns, rows: findings.iter().map(row).collect() }
}
