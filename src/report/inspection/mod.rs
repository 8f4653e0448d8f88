//! Prints an inspection: one file per format.

mod csv;
mod markdown;
mod text;

use std::io::{self, Write};
use std::path::Path;

use super::Clock;
use super::sentences::addressed;
use super::sink::Formulas;
use crate::inspection::{Inspection, Interface, NamedSubnet};
use crate::names::names;

/// Formats of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text of 80 columns.
    Text,
    /// Everything, as one JSON object.
    Json,
    /// CSV (RFC 4180), one row per subnet, interface and rule.
    Csv,
    /// Markdown for tickets and wikis.
    Markdown,
}

names!(Format { Text = "text", Json = "json", Csv = "csv", Markdown = "markdown" });

impl Format {
    /// Returns the format for the extension of a file.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            "md" => Some(Self::Markdown),
            ending => Self::from_name(ending).filter(|format| *format != Self::Text),
        }
    }
}

/// Prints an inspection. Text and Markdown show the first `top` subnets, interfaces and rules. `formulas` is for CSV.
/// Text and Markdown show times by `clock`.
pub fn write(
    inspection: &Inspection,
    format: Format,
    top: usize,
    formulas: Formulas,
    clock: Clock,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Text => text::write(inspection, top, clock, out),
        Format::Json => write_json(inspection, out),
        Format::Csv => csv::write(inspection, formulas, out),
        Format::Markdown => markdown::write(inspection, top, clock, out),
    }
}

fn write_json(inspection: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, inspection)?;
    out.write_all(b"\n")
}

/// Returns the cells of a subnet. `count` writes a number.
fn subnet(NamedSubnet { seen, name }: &NamedSubnet, count: fn(i128) -> String) -> Vec<String> {
    vec![
        addressed(&seen.cidr, name.as_deref()),
        count(seen.machines.into()),
        count(seen.flows.into()),
        if seen.looks_like_apim { "yes" } else { "no" }.to_owned(),
    ]
}

/// Returns the first `shown` addresses of an interface with their names, and the number of the others.
fn addresses(interface: &Interface, shown: usize) -> String {
    let locals = interface.local_addresses.iter().take(shown);
    let mut shown: Vec<String> = locals.map(|local| addressed(&local.ip, local.name.as_deref())).collect();
    match (interface.local_address_count.saturating_sub(shown.len() as u64), interface.local_address_count_exact) {
        (0, _) => {}
        (more, true) => shown.push(format!("{more} more")),
        (more, false) => shown.push(format!("{more} or more others")),
    }
    shown.join(", ")
}
