//! Writes Parquet and Arrow files. Text is written as plain strings, because not all engines support string views.

use std::io;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Out, RowWriter, Wants, io_error};

/// Maximum rows of a row group, and bytes that it may take in memory.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 16 << 20;

pub struct ParquetRows {
    schema: SchemaRef,
    writer: Option<ArrowWriter<Out>>,
}

impl ParquetRows {
    pub fn new(schema: &SchemaRef, out: Out) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let schema = plain(schema);
        Ok(Self { writer: Some(ArrowWriter::try_new(out, SchemaRef::clone(&schema), Some(properties))?), schema })
    }
}

impl RowWriter for ParquetRows {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        if let Some(writer) = &mut self.writer {
            writer.write(&as_plain(batch, &self.schema)?)?;
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

/// The file format of Arrow IPC, also known as Feather.
pub struct ArrowRows {
    schema: SchemaRef,
    writer: FileWriter<Out>,
}

impl ArrowRows {
    pub fn new(schema: &SchemaRef, out: Out) -> io::Result<Self> {
        let schema = plain(schema);
        Ok(Self { writer: FileWriter::try_new(out, &schema).map_err(io_error)?, schema })
    }
}

impl RowWriter for ArrowRows {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        self.writer.write(&as_plain(batch, &self.schema)?).map_err(io_error)?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer.finish().map_err(io_error)?;
        self.writer.flush().map_err(io_error)
    }
}

fn plain(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>()))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(element) => DataType::List(plain_field(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn as_plain(batch: &RecordBatch, schema: &SchemaRef) -> io::Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(io_error)?;
    let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &count).map_err(io_error)
}
