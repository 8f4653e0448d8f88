//! Writes one JSON object per finding and line, with the keys that findings have in `flowgap.analysis/1`.

use std::io::{self, Write};

use super::{Document, Report};

pub struct NdjsonReport;

impl Report for NdjsonReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        for finding in &document.analysis.findings {
            serde_json::to_writer(&mut *out, finding)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
