//! The content of a short report, before it is laid out: headline, causes with their worst findings, notes. Shared by
//! text and Markdown, so that both say the same.

mod causes;
mod doubt;
mod flows;
mod head;
mod notes;

pub use causes::{PrintedCause, Row, in_a_line, printed};
pub use flows::{flow, short_direction};

use crate::findings::history::Changes;
use crate::findings::{Analysis, Word};
use crate::remedy::Remedy;
use crate::report::Clock;

/// Maximum number of changes that are listed.
const NEWS: usize = 20;

/// Content of a short report.
pub struct Overview<'a> {
    /// Answer in a word, after `PARTIAL` if a part of the input was not read.
    pub word: String,
    /// Sentence after the word.
    pub headline: String,
    /// Span of the flows, and whether all was read.
    pub span: String,
    /// What differs from an earlier run: counts, then the changes.
    pub news: Vec<String>,
    /// Sentences to read before everything else.
    pub asks: Vec<String>,
    /// Causes that are still open, the worst first.
    pub causes: Vec<PrintedCause<'a>>,
    /// Everything else, the most important first.
    pub notes: Vec<Note>,
    /// Commands that show more.
    pub more: String,
    /// Exit status.
    pub exit: u8,
}

/// Line of a report with a label before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// One or two words; empty for a line that continues the one before.
    pub label: &'static str,
    /// The line.
    pub text: String,
}

impl Note {
    fn new(label: &'static str, text: impl Into<String>) -> Self {
        Self { label, text: text.into() }
    }
}

impl<'a> Overview<'a> {
    /// Returns the content for an analysis and what changed, with times by `clock`.
    pub fn of(analysis: &'a Analysis, changes: Option<&Changes>, clock: Clock) -> Self {
        let causes: Vec<PrintedCause> = printed(analysis, clock).into_iter().filter(PrintedCause::is_open).collect();
        let partial = if analysis.status.partial { "PARTIAL " } else { "" };
        let (headline, notes) = match analysis.status.word {
            Word::CouldNotTell => doubt::doubt(analysis, &causes, clock),
            _ => (head::headline(analysis), notes::notes(analysis, &causes, clock)),
        };
        Self {
            word: format!("{partial}{}", analysis.status.word),
            headline,
            span: head::span(analysis, clock),
            news: changes.map(|changes| super::changes::lines(changes, NEWS, clock)).unwrap_or_default(),
            asks: super::sentences::first_lines(analysis),
            more: more(&causes),
            causes,
            notes,
            exit: analysis.status.exit,
        }
    }
}

fn more(causes: &[PrintedCause]) -> String {
    let details = format!("flowgap analyze SOURCE {}", Remedy::Details);
    match causes.first() {
        Some(first) => format!("flowgap explain {} | fix {} | analyze {}", first.number, Remedy::All, Remedy::Details),
        None => details,
    }
}
