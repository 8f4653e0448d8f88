//! Reads the rows of data files, of flowgap and of programs that rewrote them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::columns::{held, with_dictionaries};
use super::error::{LakeError, Result};
use super::place::Lake;
use super::snapshot::DataFile;
use crate::remedy::Advice;
use crate::schema::Column;

/// Rows per batch.
const BATCH: usize = 8192;

/// Streams the rows of a file, with some columns of [`held`] in its order.
pub async fn rows(lake: &Lake, file: &DataFile, columns: &[Column]) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let place = format!("{}/{}", lake.shown(), file.path);
    let check = Advice::Verify(lake.shown()).to_string();
    let failed = move |error: &dyn std::fmt::Display| {
        LakeError::failed(&place, format_args!("cannot be read: {error}: {check} checks the whole lake"))
    };
    let mut reader = FileReader { store: Arc::clone(lake.objects()), path: file.path.clone(), size: file.size };
    let metadata = dictionaries_of(&mut reader).await.map_err(|error| failed(&error))?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let schema = held();
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

/// Reads the metadata of a file, so that text is read as dictionaries.
async fn dictionaries_of(reader: &mut FileReader) -> ParquetResult<ArrowReaderMetadata> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load_async(reader, options.clone()).await?;
    let schema = Arc::new(with_dictionaries(metadata.schema()));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options.with_schema(schema))
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

/// Reads ranges of one data file.
struct FileReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.store.get_range(&self.path, range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.size;
        async move {
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
