//! A table of strings in every text format: aligned, CSV, JSON, Markdown.

use std::io::{self, Write};

use super::lines::{CsvLines, write_markdown_row};
use super::sink::{Formulas, WIDEST, padded, visible};
use crate::names::names;

/// Formats of a table of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns.
    Text,
    /// CSV (RFC 4180).
    Csv,
    /// An array of objects.
    Json,
    /// A Markdown table.
    Markdown,
}

names!(Format { Text = "text", Csv = "csv", Json = "json", Markdown = "markdown" });

/// Column names, and rows with one cell per column.
pub struct Grid {
    /// Names of the columns, from left to right.
    pub columns: Vec<&'static str>,
    /// Rows, each with as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// Writes the table in a format. `formulas` is for CSV.
    pub fn write(&self, format: Format, formulas: Formulas, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => self.write_text(out),
            Format::Csv => self.write_csv(formulas, out),
            Format::Json => self.write_json(out),
            Format::Markdown => self.write_markdown(out),
        }
    }

    /// Writes aligned columns as wide as their widest cell, up to [`WIDEST`].
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let head: Vec<String> = self.columns.iter().map(|c| (*c).to_owned()).collect();
        let lines = || std::iter::once(&head).chain(&self.rows);
        let width = |i: usize| lines().map(|row| row[i].chars().count()).max().unwrap_or_default().min(WIDEST);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for row in lines() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| padded(&visible(cell), *width)).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }

    /// Writes CSV (RFC 4180).
    pub fn write_csv(&self, formulas: Formulas, out: &mut dyn Write) -> io::Result<()> {
        let mut lines = CsvLines::new(out);
        lines.write(self.columns.iter().map(|name| (*name, Formulas::AsLogged)))?;
        for row in &self.rows {
            lines.write(row.iter().map(|cell| (cell.as_str(), formulas)))?;
        }
        lines.flush()
    }

    /// Writes an array of objects with keys in column order.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "[")?;
        for (nr, row) in self.rows.iter().enumerate() {
            let pairs: Vec<String> = self
                .columns
                .iter()
                .zip(row)
                .map(|(name, cell)| Ok(format!("{}: {}", serde_json::to_string(name)?, serde_json::to_string(cell)?)))
                .collect::<serde_json::Result<_>>()?;
            let comma = if nr + 1 < self.rows.len() { "," } else { "" };
            writeln!(out, "  {{ {} }}{comma}", pairs.join(", "))?;
        }
        writeln!(out, "]")
    }

    /// Writes a Markdown table.
    pub fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "| {} |", self.columns.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(self.columns.len()))?;
        self.rows.iter().try_for_each(|row| write_markdown_row(out, row.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_a_table() {
        let grid = Grid {
            columns: vec!["rule"],
            rows: vec![vec!["=1+1".into()], vec!["a|b\n\"c\"".into()], vec!["\u{1b}[2Jx".into()]],
        };
        let write = |to: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
            let mut bytes = Vec::new();
            to(&mut bytes).expect("memory takes all");
            String::from_utf8(bytes).expect("UTF-8")
        };
        assert_eq!(
            write(&|out| grid.write_csv(Formulas::Guarded, out)),
            "rule\r\n'=1+1\r\n\"a|b\u{fffd}\"\"c\"\"\"\r\n\u{fffd}[2Jx\r\n"
        );
        assert_eq!(
            write(&|out| grid.write_markdown(out)),
            "| rule |\n|---|\n| =1+1 |\n| a\\|b \"c\" |\n| \u{fffd}\\[2Jx |\n"
        );
        assert_eq!(
            write(&|out| grid.write_json(out)),
            "[\n  { \"rule\": \"=1+1\" },\n  { \"rule\": \"a|b\\n\\\"c\\\"\" },\n  { \"rule\": \"\\u001b[2Jx\" }\n]\n"
        );
    }
}
