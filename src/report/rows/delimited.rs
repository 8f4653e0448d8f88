//! Writes CSV (RFC 4180) and TSV. Null is empty unless a setting changes that, and control characters are replaced.

use std::io::{self, Write};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cells::for_each_row;
use super::{Layout, Out, RowWriter, Wants};
use crate::display::Display;
use crate::report::lines::CsvLines;
use crate::report::sink::{Formulas, visible};

pub struct CsvWriter {
    display: Display,
    formulas: Vec<Formulas>,
    lines: CsvLines<Out>,
}

/// Returns the rule per column. Only text is guarded, because a negative number is not a formula.
fn rules(schema: &SchemaRef, formulas: Formulas) -> Vec<Formulas> {
    let is_text = |data_type: &DataType| {
        !(data_type.is_numeric() || data_type.is_temporal() || matches!(data_type, DataType::Boolean | DataType::Null))
    };
    let fields = schema.fields().iter();
    fields.map(|field| if is_text(field.data_type()) { formulas } else { Formulas::AsLogged }).collect()
}

impl CsvWriter {
    pub fn new(layout: Layout, schema: &SchemaRef, out: Out) -> io::Result<Self> {
        let mut lines = CsvLines::new(out);
        lines.write(schema.fields().iter().map(|field| (field.name().as_str(), layout.formulas)))?;
        Ok(Self { display: layout.display, formulas: rules(schema, layout.formulas), lines })
    }
}

impl RowWriter for CsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let null = self.display.null.as_deref().unwrap_or_default();
        for_each_row(batch, &self.display, |cells| {
            self.lines.write(cells.iter().zip(&self.formulas).map(|(cell, formulas)| match cell {
                Some(cell) => (cell, *formulas),
                None => (null, Formulas::AsLogged),
            }))
        })?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

/// Writes tabs and line ends in values as `\t`, `\n` and `\r`, and a backslash as two.
pub struct TsvWriter {
    display: Display,
    formulas: Vec<Formulas>,
    out: Out,
}

impl TsvWriter {
    pub fn new(layout: Layout, schema: &SchemaRef, mut out: Out) -> io::Result<Self> {
        let names: Vec<String> = schema.fields().iter().map(|field| escaped(field.name(), layout.formulas)).collect();
        writeln!(out, "{}", names.join("\t"))?;
        Ok(Self { display: layout.display, formulas: rules(schema, layout.formulas), out })
    }
}

impl RowWriter for TsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let null = self.display.null.as_deref().unwrap_or_default();
        for_each_row(batch, &self.display, |cells| {
            for (nr, (cell, formulas)) in cells.iter().zip(&self.formulas).enumerate() {
                let tab = if nr > 0 { "\t" } else { "" };
                write!(self.out, "{tab}{}", cell.map_or_else(|| null.to_owned(), |cell| escaped(cell, *formulas)))?;
            }
            writeln!(self.out)
        })?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn escaped(text: &str, formulas: Formulas) -> String {
    let guard = formulas.guard(text);
    if !text.contains(['\\', '\t', '\n', '\r']) {
        return format!("{guard}{}", visible(text));
    }
    let escaped = text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    format!("{guard}{}", visible(&escaped))
}
