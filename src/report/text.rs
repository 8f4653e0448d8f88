//! The text report: one screen, at most 24 lines, whatever was found. Lays out an [`Overview`] and counts what has no
//! room.

use std::io::{self, Write};

use super::fix::{az_broken, plan};
use super::layout::{WIDTH, broken, wrapped};
use super::overview::{Note, Overview, PrintedCause, Row, in_a_line};
use super::sentences::accepted;
use super::sink::{padded, visible};
use super::{Document, Report, Style};
use crate::findings::Severity;

/// Lines of a screen.
const LINES: usize = 24;
/// Maximum width in columns.
const WIDEST: usize = 100;
/// Maximum number of causes after the first.
const FURTHER: usize = 5;
/// Maximum number of findings of the first cause.
const ROWS: usize = 2;
/// Maximum number of lines about an earlier run.
const NEWS: usize = 5;
/// Width of the labels of notes.
const LABEL: usize = 13;

pub struct TextReport {
    pub style: Style,
}

/// A line, and the part of it that is coloured.
struct Line {
    text: String,
    mark: Option<Mark>,
}

struct Mark {
    word: String,
    /// ANSI code.
    code: &'static str,
}

impl Line {
    fn plain(text: String) -> Self {
        Self { text, mark: None }
    }

    fn painted(&self) -> String {
        match self.mark.as_ref().and_then(|mark| Some((mark, self.text.find(&mark.word)?))) {
            Some((Mark { word, code }, at)) => {
                let (before, rest) = self.text.split_at(at);
                format!("{before}\x1b[{code}m{word}\x1b[0m{}", &rest[word.len()..])
            }
            None => self.text.clone(),
        }
    }
}

impl Report for TextReport {
    fn write(&self, &Document { analysis, changes }: &Document, out: &mut dyn Write) -> io::Result<()> {
        let overview = Overview::of(analysis, changes, self.style.clock);
        let width = self.style.width.clamp(WIDTH, WIDEST);
        for line in lines(&overview, width) {
            writeln!(out, "{}", if self.style.has_color { line.painted() } else { line.text })?;
        }
        let accepted = if self.style.shows_suppressed { accepted(analysis) } else { Vec::new() };
        accepted.iter().try_for_each(|line| wrapped(out, "", "  ", line))
    }
}

/// Returns at most [`LINES`] lines. Causes get their room first, then notes.
fn lines(overview: &Overview, width: usize) -> Vec<Line> {
    let head = head(overview, width);
    // One line is for the commands at the end.
    let mut room = LINES.saturating_sub(head.len() + 1);
    let further = overview.causes.iter().skip(1);
    let reserved = further.clone().take(FURTHER).count().min(room / 4);
    let first = overview.causes.first().map(|cause| first_cause(cause, width, room - reserved)).unwrap_or_default();
    room = room.saturating_sub(first.len());
    let mut causes = first;
    let (mut shown, mut hidden) = (0, 0);
    for cause in further {
        let lines = further_cause(cause, width);
        // The line that counts what is left out needs room as well.
        let needed = lines.len() + usize::from(shown + 2 < overview.causes.len());
        if hidden == 0 && shown < FURTHER && needed <= room {
            room -= lines.len();
            causes.extend(lines);
            shown += 1;
        } else {
            hidden += 1;
        }
    }
    if hidden > 0 && room > 0 {
        let word = if hidden == 1 { "cause" } else { "causes" };
        causes.push(Line::plain(format!("and {hidden} more {word}")));
        room -= 1;
        hidden = 0;
    }
    let mut notes = Vec::new();
    for note in notes_of(overview, width) {
        if hidden == 0 && note.len() <= room {
            room -= note.len();
            notes.extend(note);
        } else {
            hidden += 1;
        }
    }
    let last = last(overview, hidden, width);
    room = (room + 1).saturating_sub(last.len());
    let mut all = head;
    for block in [causes, notes] {
        if !block.is_empty() && room > 0 {
            all.push(Line::plain(String::new()));
            room -= 1;
        }
        all.extend(block);
    }
    all.extend(last);
    all
}

fn head(overview: &Overview, width: usize) -> Vec<Line> {
    let code = match overview.word.as_str() {
        word if word.ends_with("BLOCKED") => "1;31",
        word if word.ends_with("OK") || word.ends_with("OK SO FAR") => "1;32",
        _ => "1;33",
    };
    let mark = Mark { word: overview.word.clone(), code };
    let mut lines = broken(&format!("{}  ", overview.word), "  ", &overview.headline, width);
    lines.extend(broken("", "  ", &overview.span, width));
    lines.extend(overview.news.iter().take(NEWS).flat_map(|line| broken("", "  ", line, width)));
    lines.extend(overview.asks.iter().flat_map(|ask| broken("", "  ", ask, width)));
    let mut lines: Vec<Line> = lines.into_iter().map(Line::plain).collect();
    if let Some(first) = lines.first_mut() {
        first.mark = Some(mark);
    }
    lines
}

fn severity_mark(word: String, severity: Severity) -> Option<Mark> {
    Some(Mark { word, code: severity_code(severity) })
}

/// Returns the ANSI code of a severity.
pub fn severity_code(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "1;31",
        Severity::High => "31",
        Severity::Medium => "33",
        Severity::Low => "36",
        Severity::Info => "2",
    }
}

/// Returns the first cause with its worst findings, its effect, and its fix as commands. Uses shorter fixes until they
/// fit into `room`.
fn first_cause(cause: &PrintedCause, width: usize, room: usize) -> Vec<Line> {
    let number = format!("{} ", cause.number);
    let mut lines: Vec<Line> = broken(&number, "  ", &cause.title, width).into_iter().map(Line::plain).collect();
    lines.extend(rows(cause, width));
    let labelled = |label: &str, text: &Option<String>| {
        let text = text.as_ref().map(|text| broken(&format!("  {label:<8}"), "          ", text, width));
        text.into_iter().flatten().map(Line::plain).collect::<Vec<_>>()
    };
    lines.extend(labelled("Effect:", &cause.effect));
    lines.extend(labelled("Also:", &cause.follow));
    let fix = fixes(cause, width).into_iter().find(|fix| lines.len() + fix.len() <= room);
    let short = || broken("  Fix:    ", "          ", &cause.fix_command(), width);
    lines.extend(fix.unwrap_or_else(short).into_iter().map(Line::plain));
    lines.truncate(room.max(1));
    lines
}

/// Returns the findings of a cause in columns. The names are left out if they do not fit.
fn rows(cause: &PrintedCause, width: usize) -> Vec<Line> {
    let shown = || cause.rows.iter().take(ROWS);
    let flow = shown().map(|row| row.flow.chars().count()).max().unwrap_or_default();
    let name = shown().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let with = |has_name: bool| -> Vec<(String, Option<Mark>)> {
        let line = |row: &Row| {
            let name = if has_name { format!("{}  ", padded(&row.name, name)) } else { String::new() };
            let text = format!("  {:<8} {}  {name}{}", row.mark(), padded(&row.flow, flow), row.counts);
            (text, severity_mark(row.mark(), row.severity()))
        };
        shown().map(line).collect()
    };
    let fits = |lines: &[(String, Option<Mark>)]| lines.iter().all(|(text, _)| text.chars().count() <= width);
    let lines = [with(true), with(false)].into_iter().find(|lines| fits(lines)).unwrap_or_else(|| with(false));
    let mut all = Vec::new();
    for (text, mark) in lines {
        if text.chars().count() <= width {
            all.push(Line { text: visible(&text).into_owned(), mark });
            continue;
        }
        let mut parts = broken("  ", "           ", &text, width).into_iter().map(Line::plain);
        all.extend(parts.next().map(|first| Line { mark, ..first }));
        all.extend(parts);
    }
    if let more @ 1.. = cause.rows.len().saturating_sub(ROWS) {
        let word = if more == 1 { "finding" } else { "findings" };
        all.push(Line::plain(format!("  and {more} more {word}: flowgap explain {}", cause.number)));
    }
    all
}

/// Returns the fix of the first cause in three lengths, the longest first.
fn fixes(cause: &PrintedCause, width: usize) -> Vec<Vec<String>> {
    let commands = cause.to_fix().map(|finding| az_broken(finding, width - 2)).unwrap_or_default();
    let rules: usize = plan(cause.findings()).groups.iter().map(|group| group.rules.len()).sum();
    let with = |shown: usize| {
        let more = match rules.saturating_sub(shown) {
            0 => String::new(),
            1 => format!(", and 1 more rule by {}", cause.fix_command()),
            more => format!(", and {more} more rules by {}", cause.fix_command()),
        };
        let head = format!("  Fix, for bash{more}:");
        [head]
            .into_iter()
            .chain(commands.iter().take(shown).flat_map(|c| c.lines()).map(|line| format!("  {line}")))
            .collect()
    };
    match commands.len() {
        0 => vec![broken("  Fix:    ", "          ", &cause.advice(), width)],
        1 => vec![with(1)],
        all => vec![with(all), with(1)],
    }
}

/// Returns a cause after the first in one line, or more if it does not fit.
fn further_cause(cause: &PrintedCause, width: usize) -> Vec<Line> {
    let number = format!("{} ", cause.number);
    let texts = [true, false].map(|has_place| in_a_line(cause, has_place));
    let fits = |text: &&String| number.len() + text.chars().count() <= width;
    let text = texts.iter().find(fits).unwrap_or(&texts[1]);
    let mut lines: Vec<Line> = broken(&number, "  ", text, width).into_iter().map(Line::plain).collect();
    if let (Some(row), Some(line)) = (cause.rows.first(), lines.iter_mut().find(|line| line.text.contains(": "))) {
        line.mark = severity_mark(row.mark(), row.severity());
    }
    lines.extend(cause.follow.iter().flat_map(|text| broken("  ", "  ", text, width)).map(Line::plain));
    lines
}

fn notes_of(overview: &Overview, width: usize) -> Vec<Vec<Line>> {
    let mut before = "";
    let note = |note: &Note| {
        let label = if note.label == before { "" } else { note.label };
        before = note.label;
        let lines = broken(&padded(label, LABEL), &padded("", LABEL), &note.text, width);
        lines.into_iter().map(Line::plain).collect()
    };
    overview.notes.iter().map(note).collect()
}

/// Returns the commands that show more, with the number of lines left out, and the exit status at the right.
fn last(overview: &Overview, hidden: usize, width: usize) -> Vec<Line> {
    let label = if hidden > 0 { format!("{hidden} more") } else { "more".to_owned() };
    let (exit, start) = (format!("exit {}", overview.exit), padded(&label, LABEL));
    let line = format!("{start}{}", overview.more);
    let space = width.saturating_sub(line.chars().count() + exit.len());
    vec![Line::plain(format!("{line}{}{exit}", " ".repeat(space.max(2))))]
}
