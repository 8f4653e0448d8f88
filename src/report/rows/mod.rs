//! Rows of any query as something to read, one file per family of formats: written as they come, in little memory.

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

/// Where rows go.
pub type Out = Box<dyn Write + Send>;

/// Whether more rows are of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    More,
    /// No more are shown: whoever makes them can stop.
    Nothing,
}

pub trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants>;
    /// After the last batch.
    fn finish(&mut self) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    Table,
    /// A line for each value.
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
    /// What the ending of a file's name asks for.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Table),
            "md" => Some(Markdown),
            "jsonl" => Some(Ndjson),
            "feather" | "ipc" => Some(Arrow),
            ending => Self::from_name(ending).filter(|format| !matches!(format, Table | Lines)),
        }
    }

    /// Goes to a file only.
    pub fn is_binary(self) -> bool {
        matches!(self, Parquet | Arrow)
    }
}

/// How rows are laid out.
#[derive(Debug, Clone)]
pub struct Layout {
    pub format: RowFormat,
    /// Rows that a table shows; 0 for all.
    pub max_rows: usize,
    /// Columns of the terminal; a table that is wider is shown as lines. `None` where nobody minds.
    pub width: Option<usize>,
    pub display: Display,
    /// In CSV and TSV.
    pub formulas: Formulas,
    /// Cells are plans of several lines, of our own making.
    pub is_explain: bool,
    pub hints: Hints,
}

/// What a person writes to see more.
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
