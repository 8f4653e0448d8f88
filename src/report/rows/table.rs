//! Writes aligned columns, or one line per value if a table would be too wide.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cells::for_each_row;
use super::fit::{Column, brief, fit};
use super::{Layout, Out, RowFormat, RowWriter, Wants};
use crate::report::layout::broken;
use crate::report::sink::{WIDEST, padded, padded_left, shortened, visible, visible_lines};

/// Number of rows that column widths are computed from; later rows may stick out.
const MEASURED: usize = 1000;

pub struct TableWriter {
    layout: Layout,
    out: Out,
    names: Vec<String>,
    types: Vec<DataType>,
    /// Rows that are kept until the widths are known; `None` is null.
    waiting: Vec<Vec<Option<String>>>,
    columns: Option<Arc<[Column]>>,
    is_lines: bool,
    rows: usize,
    is_cut: bool,
}

impl TableWriter {
    pub fn new(layout: Layout, schema: &SchemaRef, out: Out) -> Self {
        Self {
            is_lines: layout.format == RowFormat::Lines,
            layout,
            out,
            names: schema.fields().iter().map(|field| visible(field.name()).into_owned()).collect(),
            types: schema.fields().iter().map(|field| field.data_type().clone()).collect(),
            waiting: Vec::new(),
            columns: None,
            rows: 0,
            is_cut: false,
        }
    }

    fn null(&self) -> &str {
        self.layout.display.null.as_deref().unwrap_or("NULL")
    }

    /// Writes the header and the kept rows, once.
    fn begin(&mut self) -> io::Result<()> {
        if self.columns.is_some() {
            return Ok(());
        }
        let null = self.null().chars().count();
        let measured = |(nr, (name, data_type)): (usize, (&String, &DataType))| {
            Column::new(name, data_type, null, self.waiting.iter().map(move |row| row[nr].as_deref()))
        };
        let mut columns: Vec<Column> = self.names.iter().zip(&self.types).enumerate().map(measured).collect();
        match self.layout.width {
            Some(width) if !self.is_lines => {
                self.is_lines = !fit(&mut columns, &self.names, width, self.layout.overflow);
            }
            _ => columns.iter_mut().for_each(|column| column.width = column.width.min(WIDEST)),
        }
        if !self.is_lines {
            let names = self.names.iter().map(|name| Some(name.clone())).collect::<Vec<_>>();
            let rule: Vec<_> = columns.iter().map(|column| Some("-".repeat(column.width))).collect();
            self.line(&columns, &names)?;
            self.line(&columns, &rule)?;
        }
        for (nr, row) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            self.row(&columns, nr + 1, &row)?;
        }
        self.columns = Some(columns.into());
        Ok(())
    }

    fn row(&mut self, columns: &[Column], nr: usize, cells: &[Option<String>]) -> io::Result<()> {
        if !self.is_lines {
            return self.line(columns, cells);
        }
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(WIDEST);
        writeln!(self.out, "-- row {nr}")?;
        for (name, cell) in self.names.iter().zip(cells) {
            let cell = cell.as_deref().unwrap_or(self.layout.display.null.as_deref().unwrap_or("NULL"));
            writeln!(self.out, "{}", format!("{}  {cell}", padded(name, width)).trim_end())?;
        }
        Ok(())
    }

    fn line(&mut self, columns: &[Column], cells: &[Option<String>]) -> io::Result<()> {
        let shown = columns.iter().zip(cells).filter(|(column, _)| !column.is_hidden);
        let aligned = shown.map(|(column, cell)| {
            let cell = Cow::Borrowed(cell.as_deref().unwrap_or(self.null()));
            let cell = if column.is_brief { Cow::Owned(brief(&cell)) } else { cell };
            let cell = if column.is_shortened { Cow::Owned(shortened(&cell, column.width).into_owned()) } else { cell };
            if column.is_number() { padded_left(&cell, column.width) } else { padded(&cell, column.width) }
        });
        let cells: Vec<String> = aligned.collect();
        writeln!(self.out, "{}", cells.join("  ").trim_end())
    }
}

impl RowWriter for TableWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let left = match self.layout.max_rows {
            0 => usize::MAX,
            max => max - self.rows,
        };
        self.is_cut = batch.num_rows() > left;
        let batch = batch.slice(0, batch.num_rows().min(left));
        let display = self.layout.display.clone();
        if self.layout.is_explain {
            self.columns = Some(Arc::new([]));
            for_each_row(&batch, &display, |cells| {
                self.rows += 1;
                let lines: Vec<String> =
                    cells.iter().flatten().filter(|cell| !cell.is_empty()).map(visible_lines).collect();
                writeln!(self.out, "{}", lines.join("\n").trim_end())
            })?;
            return Ok(Wants::More);
        }
        for_each_row(&batch, &display, |cells| {
            let cells: Vec<_> = cells.iter().map(|cell| cell.map(|cell| visible(cell).into_owned())).collect();
            self.rows += 1;
            if let Some(columns) = self.columns.clone() {
                return self.row(&columns, self.rows, &cells);
            }
            self.waiting.push(cells);
            if self.waiting.len() == MEASURED { self.begin() } else { Ok(()) }
        })?;
        Ok(if self.is_cut { Wants::Nothing } else { Wants::More })
    }

    fn finish(&mut self) -> io::Result<()> {
        self.begin()?;
        if self.is_cut {
            writeln!(self.out, "(the first {} rows; {} or LIMIT shows more)", self.rows, self.layout.hints.max_rows)?;
        } else if self.rows == 0 {
            writeln!(self.out, "(no rows)")?;
        }
        let columns = self.columns.as_deref().unwrap_or_default();
        if self.is_lines || columns.is_empty() {
            return self.out.flush();
        }
        let hidden: Vec<&str> = (columns.iter().zip(&self.names))
            .filter_map(|(column, name)| column.is_hidden.then_some(name.as_str()))
            .collect();
        let lines = self.layout.hints.lines;
        if !hidden.is_empty() {
            let note = format!("(not shown, to fit: {}; {lines} shows all)", hidden.join(", "));
            let width = self.layout.width.unwrap_or(usize::MAX);
            broken("", " ", &note, width).iter().try_for_each(|line| writeln!(self.out, "{line}"))?;
        } else if columns.iter().any(|column| column.is_shortened) {
            writeln!(self.out, "(shortened at … to fit; {lines} shows all)")?;
        }
        self.out.flush()
    }
}
