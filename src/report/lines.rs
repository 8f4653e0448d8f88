//! Lines of CSV and Markdown, escaped in one place for findings, tables and the rows of queries.

use std::io::{self, Write};

use super::sink::{Formulas, visible};

/// Writes CSV (RFC 4180) line by line.
pub struct CsvLines<W: Write>(csv::Writer<W>);

impl<W: Write> CsvLines<W> {
    /// Writes to `out`, which is buffered here.
    pub fn new(out: W) -> Self {
        Self(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out))
    }

    /// Writes a line. Each cell brings its rule for text that a spreadsheet would run as a formula.
    pub fn write<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, Formulas)>) -> io::Result<()> {
        for (cell, formulas) in cells {
            self.0.write_field(formulas.cell(cell).as_bytes()).map_err(io_error)?;
        }
        self.0.write_record(None::<&[u8]>).map_err(io_error)
    }

    /// Writes everything that is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Keeps the kind of the error, so that a closed pipe is recognised.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Writes a row of a Markdown table.
pub fn write_markdown_row<'a>(out: &mut dyn Write, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    write!(out, "|")?;
    for cell in cells {
        write!(out, " {} |", plain(cell))?;
    }
    writeln!(out)
}

/// Escapes text so that Markdown shows it literally.
pub fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\r' | '\n' => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => escaped.extend(['\\', letter]),
            _ => escaped.push_str(&visible(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    escaped
}
