//! Prints an analysis: one file per format, all with the same trait. Knows no sessions, stores or SQL.

mod csv;
pub mod grid;
pub mod inspection;
mod json;
mod lines;
mod markdown;
mod parquet;
pub mod rows;
mod sentences;
pub mod sink;
mod text;

use std::io::{self, Write};

use self::sink::Formulas;
use crate::findings::Analysis;
use crate::names::names;

/// Prints a whole analysis.
pub trait Report {
    /// Writes `analysis` to `out`. Fails if `out` or the encoding fails.
    fn write(&self, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()>;
}

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text of 80 columns.
    Text,
    /// The whole analysis as one JSON object.
    Json,
    /// CSV (RFC 4180), one row per finding.
    Csv,
    /// Markdown for tickets and wikis.
    Markdown,
    /// Parquet file, one row per finding.
    Parquet,
}

names!(Format {
    Text = "text",
    Json = "json",
    Csv = "csv",
    Markdown = "markdown",
    Parquet = "parquet",
});

impl Format {
    /// Returns the format for the extension of a file.
    pub fn of_file(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            "md" => Some(Self::Markdown),
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
    /// Whether the text report uses ANSI colours.
    pub has_color: bool,
    /// Whether to show the factors of scores.
    pub has_factors: bool,
    /// Rule for cells of CSV that a spreadsheet would run as formulas.
    pub formulas: Formulas,
}

/// Returns the writer of a format.
pub fn report(format: Format, style: Style) -> Box<dyn Report> {
    match format {
        Format::Text => Box::new(text::TextReport { style }),
        Format::Json => Box::new(json::JsonReport),
        Format::Csv => Box::new(csv::CsvReport { formulas: style.formulas }),
        Format::Markdown => Box::new(markdown::MarkdownReport { top: style.top }),
        Format::Parquet => Box::new(parquet::ParquetReport),
    }
}
