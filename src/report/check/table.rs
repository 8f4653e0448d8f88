//! Prints a check as rows: CSV, and Markdown with what to know before them.

use std::io::{self, Write};

use super::words::{answer, compared, flow, headline};
use crate::findings::check::{Check, CheckRow, CheckRule};
use crate::report::fix::az_lines;
use crate::report::grid::Grid;
use crate::report::lines::plain;

/// Columns of CSV and Parquet.
pub const COLUMNS: [&str; 20] = [
    "id",
    "requirement",
    "group",
    "direction",
    "protocol",
    "ports",
    "source",
    "destination",
    "necessity",
    "verdict",
    "severity",
    "denied_by",
    "allowed_by",
    "unsure_because",
    "behind",
    "near_misses",
    "path",
    "priority",
    "explanation",
    "fix",
];

/// Returns one row per answer, with the columns of [`COLUMNS`].
pub fn grid(check: &Check) -> Grid {
    Grid { columns: COLUMNS.to_vec(), rows: check.rows.iter().map(cells).collect() }
}

fn cells(row: &CheckRow) -> Vec<String> {
    let names = |rules: &[CheckRule]| rules.iter().map(|rule| rule.rule.as_str()).collect::<Vec<_>>().join(";");
    let near: Vec<String> = row.near_misses.iter().map(|near| format!("{}: {}", near.rule, near.words)).collect();
    let priority = row.fix.as_ref().and_then(|fix| fix.rule()?.priority);
    vec![
        row.id.clone(),
        row.requirement.clone(),
        row.group.clone(),
        row.direction.to_string(),
        row.protocol.clone(),
        row.ports.join(";"),
        row.source.name().to_owned(),
        row.destination.name().to_owned(),
        row.necessity.to_string(),
        row.verdict.to_string(),
        row.severity.map(|severity| severity.to_string()).unwrap_or_default(),
        names(&row.denied_by),
        names(&row.allowed_by),
        names(&row.unsure_because),
        row.behind.join(";"),
        near.join(";"),
        row.path.map(|path| path.to_string()).unwrap_or_default(),
        priority.map(|priority| priority.to_string()).unwrap_or_default(),
        row.explanation.clone(),
        row.fix.as_ref().map(|fix| fix.note.clone()).unwrap_or_default(),
    ]
}

/// Writes a check as Markdown.
pub fn markdown(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {}: {}\n", check.status.word, plain(&headline(check)))?;
    writeln!(out, "{}\n", plain(&compared(check)))?;
    let row = |row: &CheckRow| {
        vec![
            row.severity.map(|severity| severity.to_string()).unwrap_or_default(),
            flow(row),
            row.requirement.clone(),
            row.group.clone(),
            answer(row),
            row.explanation.clone(),
        ]
    };
    let columns = vec!["severity", "flow", "needed by", "group", "answer", "why"];
    Grid { columns, rows: check.rows.iter().map(row).collect() }.write_markdown(out)?;
    for row in check.rows.iter().filter(|row| row.severity.is_some()) {
        let commands = row.finding.as_ref().map(az_lines).unwrap_or_default();
        let Some(fix) = row.fix.as_ref() else { continue };
        writeln!(out, "\n## Fix of {}\n\n{}", row.requirement, plain(&fix.note))?;
        if !commands.is_empty() {
            // A command never holds a backtick: names are checked, and other words are quoted.
            writeln!(out, "\n~~~~bash\n{}\n~~~~", commands.join("\n"))?;
        }
    }
    if !check.shadowed.is_empty() {
        writeln!(out, "\n## Rules that never decide\n")?;
        let row = |rule: &crate::policy::Shadowed| {
            vec![rule.rule.clone(), rule.acl.clone(), rule.direction.to_string(), rule.by.clone()]
        };
        Grid {
            columns: vec!["rule", "group", "direction", "stands behind"],
            rows: check.shadowed.iter().map(row).collect(),
        }
        .write_markdown(out)?;
    }
    if !check.notices.is_empty() {
        writeln!(out, "\n## Notes\n")?;
        check.notices.iter().try_for_each(|notice| writeln!(out, "- {}", plain(&notice.message)))?;
    }
    writeln!(out, "\nExit status {}.", check.status.exit)
}
