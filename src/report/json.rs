//! Writes JSON in the schema `flowgap.analysis/1`: every key is always present, in a fixed order. The key `changes` follows
//! if there was a comparison.

use std::io::{self, Write};

use serde::Serialize;

use super::{Document, Report};
use crate::findings::Analysis;
use crate::findings::history::Changes;

pub struct JsonReport;

#[derive(Serialize)]
struct Compared<'a> {
    #[serde(flatten)]
    analysis: &'a Analysis,
    changes: &'a Changes,
}

impl Report for JsonReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        match document.changes {
            None => serde_json::to_writer_pretty(&mut *out, document.analysis)?,
            Some(changes) => {
                serde_json::to_writer_pretty(&mut *out, &Compared { analysis: document.analysis, changes })?;
            }
        }
        out.write_all(b"\n")
    }
}
