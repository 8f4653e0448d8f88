//! An analysis as something to read: one file per format behind one trait. Knows no sessions, stores or SQL.

mod csv;
pub mod grid;
pub mod inspection;
mod json;
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
    /// What the ending of a file's name asks for.
    pub fn of_file(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            "md" => Some(Self::Markdown),
            ending => Self::from_name(ending).filter(|format| *format != Self::Text),
        }
    }

    /// Made for machines: not for a terminal.
    pub fn is_binary(self) -> bool {
        self == Self::Parquet
    }
}

/// How a report for people looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// How many findings it shows.
    pub top: usize,
    pub has_color: bool,
    /// With what each score is made of.
    pub has_factors: bool,
    /// In CSV.
    pub formulas: Formulas,
}

/// The report in a format.
pub fn report(format: Format, style: Style) -> Box<dyn Report> {
    match format {
        Format::Text => Box::new(text::TextReport { style }),
        Format::Json => Box::new(json::JsonReport),
        Format::Csv => Box::new(csv::CsvReport { formulas: style.formulas }),
        Format::Markdown => Box::new(markdown::MarkdownReport { top: style.top }),
        Format::Parquet => Box::new(parquet::ParquetReport),
    }
}
