//! Parquet and Arrow files, for other engines.

use std::io;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Out, RowWriter, Wants, io_error};

/// Rows of a group, and bytes that it may take in memory.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 64 << 20;

pub struct ParquetRows {
    writer: Option<ArrowWriter<Out>>,
}

impl ParquetRows {
    pub fn new(schema: &SchemaRef, out: Out) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        Ok(Self { writer: Some(ArrowWriter::try_new(out, SchemaRef::clone(schema), Some(properties))?) })
    }
}

impl RowWriter for ParquetRows {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch)?;
            if writer.memory_size() > GROUP_BYTES {
                writer.flush()?;
            }
        }
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        match self.writer.take() {
            Some(writer) => Ok(writer.into_inner()?.flush()?),
            None => Ok(()),
        }
    }
}

/// The file form of Arrow IPC, also known as Feather.
pub struct ArrowRows {
    writer: FileWriter<Out>,
}

impl ArrowRows {
    pub fn new(schema: &SchemaRef, out: Out) -> io::Result<Self> {
        Ok(Self { writer: FileWriter::try_new(out, schema).map_err(io_error)? })
    }
}

impl RowWriter for ArrowRows {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        self.writer.write(batch).map_err(io_error)?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer.finish().map_err(io_error)?;
        self.writer.flush().map_err(io_error)
    }
}
