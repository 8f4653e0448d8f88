//! Writes the rows of a query as they arrive, in little memory. One file per family of formats.

mod cells;
mod columnar;
mod delimited;
mod fit;
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
    /// More rows can be shown.
    More,
    /// No more rows are shown, so the query can stop.
    Nothing,
}

/// Writes the rows of one query.
pub trait RowWriter {
    /// Writes the rows of a batch, and returns whether more rows are needed.
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants>;
    /// Writes the rest. Called once, after the last batch.
    fn finish(&mut self) -> io::Result<()>;
}

/// Format of the rows of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// Aligned columns, or lines if a table would be too wide.
    Table,
    /// One line per value.
    Lines,
    /// CSV (RFC 4180).
    Csv,
    /// Tab-separated values with `\t`, `\n`, `\r` and `\\` as escapes.
    Tsv,
    /// An array of objects, with one row per line.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// A Markdown table.
    Markdown,
    /// Parquet file.
    Parquet,
    /// Arrow IPC file, also known as Feather.
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

/// Layout of rows.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Format of the rows.
    pub format: RowFormat,
    /// Maximum rows that a table shows; 0 for all.
    pub max_rows: usize,
    /// Width of the terminal. A wider table is treated as `overflow` says. `None` for no limit.
    pub width: Option<usize>,
    /// Treatment of tables that do not fit.
    pub overflow: Overflow,
    /// Formats of values.
    pub display: Display,
    /// Rule for cells of CSV and TSV that a spreadsheet would run as formulas.
    pub formulas: Formulas,
    /// Whether cells are query plans with several lines.
    pub is_explain: bool,
    /// Options or commands to name in hints.
    pub hints: Hints,
}

/// Treatment of a table that is too wide even after its texts were shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Its rows become lines.
    Lines,
    /// Its last columns are left out.
    Hide,
}

/// Options or commands that show more, for hints.
#[derive(Debug, Clone, Copy)]
pub struct Hints {
    /// Shows more rows than `max_rows`, such as `--maxrows N`.
    pub max_rows: &'static str,
    /// Shows every value in full, such as `--format lines`.
    pub lines: &'static str,
}

/// Returns the writer of a format, and writes the header of formats that have one.
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
