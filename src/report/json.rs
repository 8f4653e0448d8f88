//! Writes JSON in the schema `flowgap.analysis/1`: every key is always present, in a fixed order.

use std::io::{self, Write};

use super::{Document, Report};

pub struct JsonReport;

impl Report for JsonReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, document.analysis)?;
        out.write_all(b"\n")
    }
}
