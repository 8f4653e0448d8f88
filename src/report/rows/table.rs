//! Writes aligned columns, or one line per value if a table would be too wide.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::{for_each_row, is_number};
use super::{Layout, Out, RowFormat, RowWriter, Wants};
use crate::report::sink::{WIDEST, padded, padded_left, shortened, visible, visible_lines};

/// Minimum width of a shortened text column.
const NARROW: usize = 16;
/// Number of rows that column widths are computed from; later rows may stick out.
const MEASURED: usize = 1000;

pub struct TableWriter {
    layout: Layout,
    out: Out,
    names: Vec<String>,
    /// Columns of numbers are aligned to the right.
    is_number: Vec<bool>,
    /// Rows that are kept until the widths are known.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    is_lines: bool,
    is_shortened: bool,
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
            is_number: schema.fields().iter().map(|field| is_number(field.data_type())).collect(),
            waiting: Vec::new(),
            widths: None,
            is_shortened: false,
            rows: 0,
            is_cut: false,
        }
    }

    /// Writes the header and the kept rows, once.
    fn begin(&mut self) -> io::Result<()> {
        if self.widths.is_some() {
            return Ok(());
        }
        let length = |text: &String| text.chars().count();
        let mut widths: Vec<usize> = (0..self.names.len())
            .map(|i| self.waiting.iter().map(|row| length(&row[i])).chain([length(&self.names[i])]).max().unwrap_or(0))
            .collect();
        match self.layout.width {
            Some(width) if !self.is_lines => self.fit(&mut widths, width),
            _ => widths.iter_mut().for_each(|width| *width = (*width).min(WIDEST)),
        }
        self.widths = Some(widths);
        if !self.is_lines {
            let names = std::mem::take(&mut self.names);
            self.line(&names)?;
            let rule: Vec<String> = self.widths.iter().flatten().map(|&width| "-".repeat(width)).collect();
            self.line(&rule)?;
            self.names = names;
        }
        for (nr, row) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            self.row(nr + 1, &row)?;
        }
        Ok(())
    }

    /// Narrows the widest columns until all fit. If that is not enough, rows become lines.
    fn fit(&mut self, widths: &mut [usize], width: usize) {
        let gaps = 2 * widths.len().saturating_sub(1);
        for (cell, _) in
            widths.iter_mut().zip(&self.is_number).filter(|(cell, is_number)| !**is_number && **cell > width)
        {
            *cell = width.max(NARROW);
            self.is_shortened = true;
        }
        while widths.iter().sum::<usize>() + gaps > width {
            let texts = widths.iter_mut().zip(&self.is_number).filter(|(_, is_number)| !**is_number);
            match texts.map(|(width, _)| width).max().filter(|widest| **widest > NARROW) {
                Some(widest) => *widest -= 1,
                None => {
                    self.is_lines = true;
                    return;
                }
            }
            self.is_shortened = true;
        }
    }

    fn row(&mut self, nr: usize, cells: &[String]) -> io::Result<()> {
        if !self.is_lines {
            return self.line(cells);
        }
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(WIDEST);
        writeln!(self.out, "-- row {nr}")?;
        for (name, cell) in self.names.iter().zip(cells) {
            writeln!(self.out, "{}", format!("{}  {cell}", padded(name, width)).trim_end())?;
        }
        Ok(())
    }

    fn line(&mut self, cells: &[String]) -> io::Result<()> {
        let widths = self.widths.as_deref().unwrap_or_default();
        let aligned = |((cell, &width), &is_number): ((&String, &usize), &bool)| {
            let cell =
                if self.layout.width.is_some() && width >= NARROW { shortened(cell, width) } else { cell.into() };
            if is_number { padded_left(&cell, width) } else { padded(&cell, width) }
        };
        let cells: Vec<String> = cells.iter().zip(widths).zip(&self.is_number).map(aligned).collect();
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
            self.widths = Some(Vec::new());
            for_each_row(&batch, &display, |cells| {
                self.rows += 1;
                let lines: Vec<String> = cells.iter().flatten().map(visible_lines).collect();
                writeln!(self.out, "{}", lines.join("\n").trim_end())
            })?;
            return Ok(Wants::More);
        }
        let null = display.null.as_deref().unwrap_or("NULL");
        for_each_row(&batch, &display, |cells| {
            let cells: Vec<String> = cells.iter().map(|cell| visible(cell.unwrap_or(null)).into_owned()).collect();
            self.rows += 1;
            if self.widths.is_some() {
                return self.row(self.rows, &cells);
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
        if self.is_shortened && !self.is_lines {
            writeln!(self.out, "(shortened at … to fit; {} shows all)", self.layout.hints.lines)?;
        }
        self.out.flush()
    }
}
