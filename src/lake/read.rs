//! Reads the rows of data files, of flowgap and of programs that rewrote them.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::stream::{BoxStream, StreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};

use super::columns::stored;
use super::error::{LakeError, Result};
use super::place::Lake;
use super::snapshot::DataFile;
use crate::schema::Column;

/// Rows per batch.
const BATCH: usize = 8192;

/// Streams the rows of a file, with some columns of [`stored`] in its order.
pub async fn rows(lake: &Lake, file: &DataFile, columns: &[Column]) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let place = format!("{}/{}", lake.shown(), file.path);
    let failed = move |error: &dyn std::fmt::Display| {
        LakeError::failed(&place, format_args!("cannot be read: {error}: flowgap lake verify checks the whole lake"))
    };
    let reader = ParquetObjectReader::new(Arc::clone(lake.objects()), file.path.clone()).with_file_size(file.size);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, options).await.map_err(|e| failed(&e))?;
    let schema = stored();
    let wanted: Vec<usize> = (0..schema.fields().len())
        .filter(|at| columns.iter().any(|column| column.name() == schema.field(*at).name()))
        .collect();
    let schema = Arc::new(schema.project(&wanted).map_err(|error| failed(&error))?);
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let batches = builder.with_projection(mask).with_batch_size(BATCH).build().map_err(|error| failed(&error))?;
    let conformed = batches.map(move |batch| {
        let batch = batch.map_err(|error| failed(&error))?;
        let columns = schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name());
            let lacks = || ArrowError::SchemaError(format!("it has no column {}", field.name()));
            conform(column.ok_or_else(lacks)?, field.data_type())
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| failed(&error))
    });
    Ok(conformed.boxed())
}

/// Converts a column that another program may have written in another type of the same values.
fn conform(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    match (column.data_type(), data_type) {
        (found, wanted) if found == wanted => Ok(Arc::clone(column)),
        // Without a zone, a time is UTC.
        (DataType::Timestamp(..), DataType::Timestamp(..)) => {
            cast(&cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?, data_type)
        }
        _ => cast(column, data_type),
    }
}
