//! A table of strings in every text format: aligned, CSV, JSON, Markdown.

use std::io::{self, Write};

use super::sink::{Formulas, WIDEST, padded, visible};

/// Column names, and rows with one cell per column.
pub struct Grid {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl Grid {
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
        let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        csv.write_record(&self.columns)?;
        for row in &self.rows {
            for cell in row {
                csv.write_field(formulas.cell(cell).as_bytes())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush()
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

    pub fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "| {} |", self.columns.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
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
