//! Prints a static check: one file per format.

mod junit;
mod parquet;
mod redact;
mod sarif;
mod table;
mod text;
pub(super) mod words;

pub use redact::redacted;

use std::io::{self, Write};

use super::{Format, Style, html};
use crate::findings::check::Check;

/// Prints a check in a format.
pub fn write(check: &Check, format: Format, style: Style, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(check, style.is_detailed, out),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, check)?;
            out.write_all(b"\n")
        }
        Format::Ndjson => check.rows.iter().try_for_each(|row| {
            serde_json::to_writer(&mut *out, row)?;
            out.write_all(b"\n")
        }),
        Format::Csv => table::grid(check).write_csv(style.formulas, out),
        Format::Markdown => table::markdown(check, out),
        Format::Html => out.write_all(html::check_page(check).as_bytes()),
        Format::Sarif => sarif::write(check, out),
        Format::Junit => junit::write(check, out),
        Format::Parquet => parquet::write(check, out),
    }
}
