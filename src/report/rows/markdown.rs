//! Writes a Markdown table.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::{for_each_row, is_number};
use super::{Layout, Out, RowWriter, Wants};
use crate::report::grid::plain;

pub struct MarkdownWriter {
    layout: Layout,
    out: Out,
}

impl MarkdownWriter {
    pub fn new(layout: Layout, schema: &SchemaRef, mut out: Out) -> io::Result<Self> {
        let names: Vec<String> = schema.fields().iter().map(|field| plain(field.name())).collect();
        let rule = |is_number: bool| if is_number { "---:|" } else { "---|" };
        let rules: String = schema.fields().iter().map(|field| rule(is_number(field.data_type()))).collect();
        writeln!(out, "| {} |\n|{rules}", names.join(" | "))?;
        Ok(Self { layout, out })
    }
}

impl RowWriter for MarkdownWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let null = self.layout.display.null.as_deref().unwrap_or_default();
        for_each_row(batch, &self.layout.display, |cells| {
            let cells: Vec<String> = cells.iter().map(|cell| plain(cell.unwrap_or(null))).collect();
            writeln!(self.out, "| {} |", cells.join(" | "))
        })?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
