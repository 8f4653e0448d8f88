//! Prints a check as text of 80 columns: what is refused with its fix, then what is unknown, then the rest in short.

use std::io::{self, Write};

use super::words::{answer, compared, flow, headline};
use crate::catalog::Necessity;
use crate::findings::Severity;
use crate::findings::check::{Check, CheckRow};
use crate::policy::Verdict;
use crate::remedy::Remedy;
use crate::report::fix::az_broken;
use crate::report::layout::{WIDTH, joined, wrapped};
use crate::report::sink::{padded, visible};

/// Width of the first column.
const LABEL: usize = 10;
/// Names per line of a list.
const NAMED: usize = 40;

pub fn write(check: &Check, is_detailed: bool, out: &mut dyn Write) -> io::Result<()> {
    let word = check.status.word;
    wrapped(out, &format!("{word}  "), &" ".repeat(word.name().len() + 2), &headline(check))?;
    wrapped(out, "", "", &compared(check))?;
    let groups: Vec<&str> = check.rows.iter().map(|row| row.group.as_str()).collect();
    let has_several = groups.windows(2).any(|pair| pair[0] != pair[1]);
    let mut refused: Vec<&CheckRow> = check.rows.iter().filter(|row| row.severity.is_some()).collect();
    refused.sort_by_key(|row| std::cmp::Reverse(row.severity));
    for row in &refused {
        write_row(row, has_several, out)?;
    }
    for row in check.rows.iter().filter(|row| row.verdict == Verdict::Unknown) {
        write_row(row, has_several, out)?;
    }
    writeln!(out)?;
    let quiet = |row: &&CheckRow| row.verdict == Verdict::Allow && row.severity.is_none();
    if is_detailed {
        for row in check.rows.iter().filter(quiet) {
            write_row(row, has_several, out)?;
        }
        writeln!(out)?;
    }
    let mut allowed: Vec<String> = check.rows.iter().filter(quiet).map(|row| row.requirement.clone()).collect();
    allowed.sort_unstable();
    allowed.dedup();
    if !allowed.is_empty() {
        note("allowed", &joined(&allowed, ", ", NAMED), out)?;
    }
    for rule in &check.shadowed {
        let access = |access: Option<crate::policy::Access>| access.map(|access| access.name()).unwrap_or_default();
        let number = |priority: Option<u32>| priority.map(|priority| priority.to_string()).unwrap_or_default();
        let text = format!(
            "{} ({} {}, {}) never decides: {} ({} {}) stands before it",
            rule.rule,
            access(rule.access),
            number(rule.priority),
            rule.direction,
            rule.by,
            access(rule.by_access),
            number(rule.by_priority)
        );
        note("shadowed", &text, out)?;
    }
    for notice in &check.notices {
        note("note", &notice.message, out)?;
    }
    let more = format!("more  flowgap check {}, {} json", Remedy::Details, Remedy::Format);
    writeln!(out, "{}exit {}", padded(&more, WIDTH - 6), check.status.exit)
}

fn note(label: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    wrapped(out, &padded(label, LABEL), &" ".repeat(LABEL), text)
}

fn write_row(row: &CheckRow, has_several: bool, out: &mut dyn Write) -> io::Result<()> {
    let severity = row.severity.map(|severity| severity.name().to_uppercase());
    let label = severity
        .unwrap_or_else(|| if row.verdict == Verdict::Unknown { "UNKNOWN".to_owned() } else { "OK".to_owned() });
    let optional = if row.necessity == Necessity::Required { String::new() } else { format!(", {}", row.necessity) };
    let group = if has_several { format!(" in {}", visible(&row.group)) } else { String::new() };
    writeln!(out)?;
    note(&label, &format!("{}: {} ({}{optional}){group}", flow(row), answer(row), row.requirement), out)?;
    note("", &row.explanation, out)?;
    if let (Some(effect), true) = (&row.effect, row.verdict >= Verdict::Partly) {
        note("", &format!("Effect: {effect}."), out)?;
    }
    let Some(fix) = &row.fix else { return Ok(()) };
    if row.verdict < Verdict::Partly {
        return Ok(());
    }
    if !fix.note.is_empty() {
        note("", &format!("Fix: {}", fix.note), out)?;
    }
    let commands = row
        .finding
        .as_ref()
        .filter(|_| row.severity >= Some(Severity::Medium))
        .map(|finding| az_broken(finding, WIDTH - LABEL));
    for command in commands.unwrap_or_default() {
        command.lines().try_for_each(|line| writeln!(out, "{}{line}", " ".repeat(LABEL)))?;
    }
    Ok(())
}
