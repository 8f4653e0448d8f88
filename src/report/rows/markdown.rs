//! Writes a Markdown table.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::{for_each_row, is_number};
use super::{Layout, Out, RowWriter, Wants};
use crate::report::lines::write_markdown_row;

pub struct MarkdownWriter {
    layout: Layout,
    out: Out,
}

impl MarkdownWriter {
    pub fn new(layout: Layout, schema: &SchemaRef, mut out: Out) -> io::Result<Self> {
        let rule = |is_number: bool| if is_number { "---:|" } else { "---|" };
        let rules: String = schema.fields().iter().map(|field| rule(is_number(field.data_type()))).collect();
        write_markdown_row(&mut out, schema.fields().iter().map(|field| field.name().as_str()))?;
        writeln!(out, "|{rules}")?;
        Ok(Self { layout, out })
    }
}

impl RowWriter for MarkdownWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let null = self.layout.display.null.as_deref().unwrap_or_default();
        for_each_row(batch, &self.layout.display, |cells| {
            write_markdown_row(&mut self.out, cells.iter().map(|cell| cell.unwrap_or(null)))
        })?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
