//! Writes the findings as a Parquet file, one row each.

use std::io::{self, Write};

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Document, Report};
use crate::findings::tables::findings;

pub struct ParquetReport;

impl Report for ParquetReport {
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let batch = findings(&document.analysis.findings).map_err(io::Error::other)?;
        write_batch(&batch, out)
    }
}

/// Writes a batch as a Parquet file.
pub(super) fn write_batch(batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    // The file is built in memory, because findings are few and `ArrowWriter` needs a `Send` writer.
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    out.write_all(&writer.into_inner()?)
}
