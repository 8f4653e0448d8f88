//! Writes JSON: an array of objects with one row per line, or one document per line. Every key is present, missing
//! values are null, and times are RFC 3339 in UTC with milliseconds.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::writer::{JsonFormat, LineDelimited, Writer, WriterBuilder};
use arrow::record_batch::RecordBatch;

use super::{Out, RowWriter, Wants, io_error};

pub struct JsonWriter<F: JsonFormat> {
    schema: SchemaRef,
    writer: Writer<Out, F>,
}

/// An array with one row per line.
#[derive(Debug, Default)]
pub struct RowsOfArray;

impl JsonFormat for RowsOfArray {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), arrow::error::ArrowError> {
        Ok(writer.write_all(b"[\n")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), arrow::error::ArrowError> {
        Ok(writer.write_all(if is_first_row { b"" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), arrow::error::ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

impl JsonWriter<RowsOfArray> {
    pub fn array(schema: &SchemaRef, out: Out) -> Self {
        Self::new(schema, out)
    }
}

impl JsonWriter<LineDelimited> {
    pub fn lines(schema: &SchemaRef, out: Out) -> Self {
        Self::new(schema, out)
    }
}

impl<F: JsonFormat> JsonWriter<F> {
    fn new(schema: &SchemaRef, out: Out) -> Self {
        let builder = WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.3f".to_owned())
            .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.3fZ".to_owned());
        let fields: Vec<Field> =
            schema.fields().iter().map(|f| f.as_ref().clone().with_data_type(utc(f.data_type()))).collect();
        Self { schema: Arc::new(Schema::new(fields)), writer: builder.build(out) }
    }
}

fn utc(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        other => other.clone(),
    }
}

impl<F: JsonFormat> RowWriter for JsonWriter<F> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<Wants> {
        let columns = batch.columns().iter().map(|column| cast(column, &utc(column.data_type())));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(io_error)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(io_error)?;
        self.writer.write(&batch).map_err(io_error)?;
        Ok(Wants::More)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer.finish().map_err(io_error)?;
        self.writer.get_mut().flush()
    }
}
