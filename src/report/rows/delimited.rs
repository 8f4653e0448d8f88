//! CSV (RFC 4180) and TSV, for machines: values as they are, null as nothing unless a setting says otherwise.

use std::borrow::Cow;
use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::for_each_row;
use super::{Out, RowWriter, Wants};
use crate::display::Display;

pub struct CsvWriter {
    display: Display,
    out: csv::Writer<Out>,
}

impl CsvWriter {
    pub fn new(display: Display, schema: &SchemaRef, out: Out) -> io::Result<Self> {
        let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        out.write_record(schema.fields().iter().map(|field| field.name())).map_err(io_error)?;
        Ok(Self { display, out })
    }
}

impl RowWriter for CsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let null = self.display.null.as_deref().unwrap_or_default();
        for_each_row(batch, &self.display, |cells| {
            self.out.write_record(cells.iter().map(|cell| cell.unwrap_or(null))).map_err(io_error)
        })?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Of the same kind: a closed pipe is one.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Tabs and line ends within a value are written as `\t`, `\n` and `\r`, a backslash as two.
pub struct TsvWriter {
    display: Display,
    out: Out,
}

impl TsvWriter {
    pub fn new(display: Display, schema: &SchemaRef, mut out: Out) -> io::Result<Self> {
        let names: Vec<Cow<str>> = schema.fields().iter().map(|field| escaped(field.name())).collect();
        writeln!(out, "{}", names.join("\t"))?;
        Ok(Self { display, out })
    }
}

impl RowWriter for TsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let null = self.display.null.as_deref().unwrap_or_default();
        for_each_row(batch, &self.display, |cells| {
            for (nr, cell) in cells.iter().enumerate() {
                let tab = if nr > 0 { "\t" } else { "" };
                write!(self.out, "{tab}{}", cell.map_or(Cow::Borrowed(null), escaped))?;
            }
            writeln!(self.out)
        })?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '\t', '\n', '\r']) {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    Cow::Owned(escaped)
}
