//! An analysis as something to read: one file per format behind one trait. Knows no sessions, stores or SQL.

mod json;
mod parquet;
mod text;

use std::io::{self, Write};

use crate::findings::Analysis;

/// Prints a whole analysis.
pub trait Report {
    fn write(&self, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    Parquet,
}

impl Format {
    pub const NAMES: [&str; 3] = ["text", "json", "parquet"];

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Json, Self::Parquet].into_iter().zip(Self::NAMES).find(|(_, n)| *n == name).map(|(f, _)| f)
    }

    /// What the ending of a file's name asks for.
    pub fn of_file(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            ending => Self::from_name(ending),
        }
    }

    /// Made for machines: not for a terminal.
    pub fn is_binary(self) -> bool {
        self == Self::Parquet
    }
}

/// The report in a format; `top` is how many findings a report for people shows.
pub fn report(format: Format, top: usize) -> Box<dyn Report> {
    match format {
        Format::Text => Box::new(text::TextReport { top }),
        Format::Json => Box::new(json::JsonReport),
        Format::Parquet => Box::new(parquet::ParquetReport),
    }
}
