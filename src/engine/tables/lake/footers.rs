//! Readers of the files of a lake. They read each footer once, and read text as dictionaries.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{DefaultParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::{BoxFuture, FutureExt};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData};
use tokio::sync::OnceCell;

use crate::lake::columns::with_dictionaries;

/// Footers of the files that were read. Scans of one archive share them.
#[derive(Debug, Default)]
pub struct Footers(Mutex<HashMap<Path, Footer>>);

type Footer = Arc<OnceCell<Arc<ParquetMetaData>>>;

impl Footers {
    fn of(&self, path: &Path) -> Footer {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(path.clone()).or_default())
    }
}

/// Makes readers of files.
#[derive(Debug)]
pub struct Readers {
    plain: DefaultParquetFileReaderFactory,
    footers: Arc<Footers>,
}

impl Readers {
    pub fn new(store: Arc<dyn ObjectStore>, footers: Arc<Footers>) -> Self {
        Self { plain: DefaultParquetFileReaderFactory::new(store), footers }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let footer = self.footers.of(&file.object_meta.location);
        let file = self.plain.create_reader(partition, file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { file, footer }))
    }
}

struct Reader {
    file: Box<dyn AsyncFileReader + Send>,
    footer: Footer,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.file.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.file.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let Self { file, footer } = self;
            let read = async || Ok(Arc::new(hinted(&*file.get_metadata(options).await?)?));
            footer.get_or_try_init(read).await.map(Arc::clone)
        }
        .boxed()
    }
}

/// Returns the footer with an Arrow schema that asks the reader for dictionaries.
fn hinted(footer: &ParquetMetaData) -> ParquetResult<ParquetMetaData> {
    let known = footer.file_metadata();
    let schema = with_dictionaries(&parquet_to_arrow_schema(known.schema_descr(), None)?);
    let hint = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema));
    let hinted = FileMetaData::new(
        known.version(),
        known.num_rows(),
        known.created_by().map(str::to_owned),
        Some(vec![hint]),
        known.schema_descr_ptr(),
        known.column_orders().cloned(),
    );
    Ok(ParquetMetaData::new(hinted, footer.row_groups().to_vec()))
}
