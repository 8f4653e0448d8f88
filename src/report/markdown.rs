//! The screen of the text report as Markdown, for tickets and pull requests: every cause, with its findings in a table.

use std::io::{self, Write};

use super::fix::{az_broken, plan};
use super::grid::Grid;
use super::layout::WIDTH;
use super::lines::plain;
use super::overview::{Note, Overview, PrintedCause, Row};
use super::sentences::accepted;
use super::{Document, Report, Style};
use crate::remedy::Remedy;

pub struct MarkdownReport {
    pub style: Style,
}

impl Report for MarkdownReport {
    fn write(&self, &Document { analysis, changes }: &Document, out: &mut dyn Write) -> io::Result<()> {
        let overview = Overview::of(analysis, changes, self.style.clock);
        writeln!(out, "# {}: {}\n", overview.word, plain(&overview.headline))?;
        writeln!(out, "{}\n", plain(&overview.span))?;
        overview.news.iter().take(1).try_for_each(|line| writeln!(out, "**{}**\n", plain(line)))?;
        overview.news.iter().skip(1).try_for_each(|line| writeln!(out, "- {}", plain(line)))?;
        if overview.news.len() > 1 {
            writeln!(out)?;
        }
        overview.asks.iter().try_for_each(|ask| writeln!(out, "**{}**\n", plain(ask)))?;
        let mut room = self.style.top;
        for cause in &overview.causes {
            write_cause(cause, room, out)?;
            room = room.saturating_sub(cause.rows.len());
        }
        let rows: usize = overview.causes.iter().map(|cause| cause.rows.len()).sum();
        if let hidden @ 1.. = rows.saturating_sub(self.style.top) {
            writeln!(out, "{hidden} more: {} {rows} shows all.\n", Remedy::Top)?;
        }
        if !overview.notes.is_empty() {
            writeln!(out, "## Notes\n")?;
            let row = |note: &Note| vec![note.label.to_owned(), note.text.clone()];
            let grid = Grid { columns: vec!["", "note"], rows: overview.notes.iter().map(row).collect() };
            grid.write_markdown(out)?;
            writeln!(out)?;
        }
        if self.style.shows_suppressed {
            accepted(analysis).iter().try_for_each(|line| writeln!(out, "- ~~{}~~", plain(line)))?;
            writeln!(out)?;
        }
        writeln!(out, "More: `{}`. Exit status {}.", overview.more, overview.exit)
    }
}

/// Writes a cause with its first `room` findings. Without room, only its title and command are left.
fn write_cause(cause: &PrintedCause, room: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## {}. {}\n", cause.number, plain(&cause.title))?;
    let row = |row: &Row| {
        let ids: Vec<&str> = row.findings.iter().take(3).map(|finding| finding.identity.id.as_str()).collect();
        let more = if row.findings.len() > ids.len() { ", ..." } else { "" };
        vec![row.mark(), row.flow.clone(), row.name.clone(), row.counts.clone(), format!("{}{more}", ids.join(", "))]
    };
    let rows: Vec<Vec<String>> = cause.rows.iter().take(room).map(row).collect();
    if rows.is_empty() {
        return writeln!(out, "Fix: `{}`\n", cause.fix_command());
    }
    Grid { columns: vec!["severity", "flow", "needed by", "counts", "finding"], rows }.write_markdown(out)?;
    writeln!(out)?;
    for (label, text) in [("Effect", &cause.effect), ("Also", &cause.follow)] {
        text.iter().try_for_each(|text| writeln!(out, "{label}: {}\n", plain(text)))?;
    }
    let commands = cause.to_fix().map(|finding| az_broken(finding, WIDTH)).unwrap_or_default();
    if commands.is_empty() {
        return writeln!(out, "Fix: {}\n", plain(&cause.advice()));
    }
    let fence = fence(&commands);
    writeln!(out, "Fix, for bash:\n\n{fence}bash\n{}\n{fence}\n", commands.join("\n"))?;
    let rules: usize = plan(cause.findings()).groups.iter().map(|group| group.rules.len()).sum();
    match rules.saturating_sub(commands.len()) {
        0 => Ok(()),
        1 => writeln!(out, "1 more rule: `{}`\n", cause.fix_command()),
        more => writeln!(out, "{more} more rules: `{}`\n", cause.fix_command()),
    }
}

/// Returns a fence that is longer than every run of backticks in the commands.
fn fence(commands: &[String]) -> String {
    let runs = commands.iter().flat_map(|command| command.split(|letter| letter != '`').map(str::len));
    "`".repeat(runs.max().unwrap_or_default().max(2) + 1)
}
