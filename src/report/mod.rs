//! Prints an analysis: one file per format, behind one trait. Knows no sessions, stores or SQL.

mod csv;
pub mod grid;
pub mod inspection;
mod json;
mod lines;
mod markdown;
mod parquet;
pub mod rows;
pub mod sink;
mod text;
mod words;

use std::io::{self, Write};

use self::sink::Formulas;
use crate::findings::Analysis;
use crate::names::names;

/// Prints a whole analysis.
pub trait Report {
    fn write(&self, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    Csv,
    Markdown,
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
    pub has_color: bool,
    /// Whether to show the factors of each score.
    pub has_factors: bool,
    /// Used for CSV.
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
