//! Prints an analysis: one file per format, all with the same trait. Knows no sessions, stores or SQL.

mod changes;
pub mod check;
mod clock;
mod csv;
mod details;
mod escape;
pub mod explanation;
pub mod fix;
pub mod grid;
mod html;
pub mod inspection;
mod json;
mod junit;
pub mod layout;
mod lines;
mod markdown;
mod ndjson;
mod overview;
mod parquet;
pub mod redact;
mod rewritten;
pub mod rows;
mod sarif;
mod sentences;
pub mod sink;
mod text;
mod told;

use std::io::{self, Write};

pub use self::clock::Clock;
pub use self::sentences::{fix_in_words, name_of};
use self::sink::Formulas;
use crate::findings::Analysis;
use crate::findings::history::Changes;
use crate::names::names;

/// Everything that a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The analysis to print.
    pub analysis: &'a Analysis,
    /// What differs from an earlier run; `None` if there is none to compare with.
    pub changes: Option<&'a Changes>,
}

impl<'a> Document<'a> {
    /// Returns the document of one analysis.
    pub fn new(analysis: &'a Analysis) -> Self {
        Self { analysis, changes: None }
    }
}

/// Prints a whole document.
pub trait Report {
    /// Writes `document` to `out`. Fails if `out` or the encoding fails.
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()>;
}

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text of one screen, or the long form.
    Text,
    /// The whole analysis as one JSON object.
    Json,
    /// One JSON object per finding and line.
    Ndjson,
    /// CSV (RFC 4180), one row per finding.
    Csv,
    /// Markdown for tickets and wikis.
    Markdown,
    /// One self-contained web page.
    Html,
    /// SARIF 2.1.0 for code scanning, one result per finding.
    Sarif,
    /// JUnit XML, one test case per requirement and subnet.
    Junit,
    /// Parquet file, one row per finding.
    Parquet,
}

names!(Format {
    Text = "text",
    Json = "json",
    Ndjson = "ndjson",
    Csv = "csv",
    Markdown = "markdown",
    Html = "html",
    Sarif = "sarif",
    Junit = "junit",
    Parquet = "parquet",
});

impl Format {
    /// Returns the format for the extension of a file.
    pub fn of_file(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            "md" => Some(Self::Markdown),
            "xml" => Some(Self::Junit),
            "jsonl" => Some(Self::Ndjson),
            "htm" => Some(Self::Html),
            ending => Self::from_name(ending).filter(|format| *format != Self::Text),
        }
    }

    /// Returns whether the format is binary and unfit for a terminal.
    pub fn is_binary(self) -> bool {
        self == Self::Parquet
    }
}

/// Layout options of a report.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Number of findings to show.
    pub top: usize,
    /// Whether text has its long form.
    pub is_detailed: bool,
    /// Width of text in columns. Text uses from 80 to 100.
    pub width: usize,
    /// Whether the text report uses ANSI colours.
    pub has_color: bool,
    /// Whether text, Markdown and SARIF list the findings that are suppressed.
    pub shows_suppressed: bool,
    /// Rule for cells of CSV that a spreadsheet would run as formulas.
    pub formulas: Formulas,
    /// Zone of the times in text, Markdown and HTML.
    pub clock: Clock,
}

impl Style {
    /// Layout of a file: 20 findings, 80 columns, no colours, times in UTC.
    pub const PLAIN: Self = Self {
        top: 20,
        is_detailed: false,
        width: layout::WIDTH,
        has_color: false,
        shows_suppressed: false,
        formulas: Formulas::Guarded,
        clock: Clock::UTC,
    };
}

/// Returns the writer of a format.
pub fn report(format: Format, style: Style) -> Box<dyn Report> {
    let report = in_utc(format, style);
    match format {
        Format::Text | Format::Markdown | Format::Html if !style.clock.is_utc() => {
            Box::new(told::Told { report, clock: style.clock })
        }
        _ => report,
    }
}

/// Returns the writer of a format that leaves the times in sentences as they are.
fn in_utc(format: Format, style: Style) -> Box<dyn Report> {
    match format {
        Format::Text if style.is_detailed => Box::new(details::DetailsReport { style }),
        Format::Text => Box::new(text::TextReport { style }),
        Format::Json => Box::new(json::JsonReport),
        Format::Ndjson => Box::new(ndjson::NdjsonReport),
        Format::Csv => Box::new(csv::CsvReport { formulas: style.formulas }),
        Format::Markdown => Box::new(markdown::MarkdownReport { style }),
        Format::Html => Box::new(html::HtmlReport { clock: style.clock }),
        Format::Sarif => Box::new(sarif::SarifReport { shows_suppressed: style.shows_suppressed }),
        Format::Junit => Box::new(junit::JunitReport),
        Format::Parquet => Box::new(parquet::ParquetReport),
    }
}
