//! Writes the rows of a query as they arrive, in little memory. One file per family of formats.

mod cells;
mod columnar;
mod delimited;
mod json;
mod markdown;
mod table;

use std::io::{self, Write};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::sink::Formulas;
use crate::display::Display;
use crate::names::names;

/// Destination of rows.
pub type Out = Box<dyn Write + Send>;

/// Whether the writer needs more rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    More,
    /// No more rows are shown, so the query can stop.
    Nothing,
}

pub trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants>;
    /// Called after the last batch.
    fn finish(&mut self) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    Table,
    /// One line per value.
    Lines,
    Csv,
    Tsv,
    Json,
    Ndjson,
    Markdown,
    Parquet,
    Arrow,
}

use RowFormat::*;

names!(RowFormat {
    Table = "table",
    Lines = "lines",
    Csv = "csv",
    Tsv = "tsv",
    Json = "json",
    Ndjson = "ndjson",
    Markdown = "markdown",
    Parquet = "parquet",
    Arrow = "arrow",
});

impl RowFormat {
    /// Returns the format for the extension of a file.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Table),
            "md" => Some(Markdown),
            "jsonl" => Some(Ndjson),
            "feather" | "ipc" => Some(Arrow),
            ending => Self::from_name(ending).filter(|format| !matches!(format, Table | Lines)),
        }
    }

    /// Returns whether the format can only be written to a file.
    pub fn is_binary(self) -> bool {
        matches!(self, Parquet | Arrow)
    }
}

/// How rows are laid out.
#[derive(Debug, Clone)]
pub struct Layout {
    pub format: RowFormat,
    /// Maximum rows that a table shows; 0 for all.
    pub max_rows: usize,
    /// Width of the terminal. A wider table is shown as lines. `None` for no limit.
    pub width: Option<usize>,
    pub display: Display,
    /// Used for CSV and TSV.
    pub formulas: Formulas,
    /// Cells are query plans with several lines.
    pub is_explain: bool,
    pub hints: Hints,
}

/// Options or commands that show more, for hints.
#[derive(Debug, Clone, Copy)]
pub struct Hints {
    pub max_rows: &'static str,
    pub lines: &'static str,
}

pub fn writer(layout: Layout, schema: &SchemaRef, out: Out) -> io::Result<Box<dyn RowWriter + Send>> {
    Ok(match layout.format {
        Table | Lines => Box::new(table::TableWriter::new(layout, schema, out)),
        Markdown => Box::new(markdown::MarkdownWriter::new(layout, schema, out)?),
        Csv => Box::new(delimited::CsvWriter::new(layout, schema, out)?),
        Tsv => Box::new(delimited::TsvWriter::new(layout, schema, out)?),
        Json => Box::new(json::JsonWriter::array(schema, out)),
        Ndjson => Box::new(json::JsonWriter::lines(schema, out)),
        Parquet => Box::new(columnar::ParquetRows::new(schema, out)?),
        Arrow => Box::new(columnar::ArrowRows::new(schema, out)?),
    })
}

fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
