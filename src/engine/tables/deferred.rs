//! Deferred tables: their rows are made when a running query first polls them, so planning costs nothing.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use crate::engine::archive::Archive;
use crate::engine::error::SessionError;
use crate::engine::fragment::Unfinished;
use crate::engine::scan::unit::ScanUnit;
use crate::engine::scope::Scope;
use crate::engine::session::Session;
use crate::engine::tables::lake::LakeFlows;
use crate::schema::timestamp;
use crate::source::{Blob, BlobPath};

/// Future of the rows of a deferred table.
pub type DeferredRows = BoxFuture<'static, Result<Vec<RecordBatch>, SessionError>>;

pub fn late(
    schema: SchemaRef,
    rows: impl Fn() -> DeferredRows + Send + Sync + 'static,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    one_stream(Arc::new(Late { schema, rows: Arc::new(rows) }))
}

/// `blobs`: the blobs selected for reading, as listed.
pub fn blobs(archive: &Arc<Archive>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    one_stream(Arc::new(Blobs::new(archive)))
}

/// `problems`: the problems of the input. They are complete only after everything was read, so the table first scans
/// all flows once.
pub fn problems(archive: &Arc<Archive>, scope: &Arc<Scope>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let (archive, scope) = (Arc::clone(archive), Arc::clone(scope));
    let is_read = Arc::new(OnceCell::new());
    late(problems_schema(), move || {
        let (archive, scope, is_read) = (Arc::clone(&archive), Arc::clone(&scope), Arc::clone(&is_read));
        Box::pin(async move {
            let read_all = async || {
                let session = Session::over(Arc::clone(&archive), scope)?;
                session.sql("SELECT count(*) FROM flows").await?;
                Ok::<_, SessionError>(())
            };
            is_read.get_or_try_init(read_all).await?;
            Ok(vec![problems_so_far(&archive)?])
        })
    })
}

/// Converts a session error to an error of DataFusion.
fn outer(error: SessionError) -> DataFusionError {
    match error {
        SessionError::Engine(error) => error,
        SessionError::Source(error) => DataFusionError::External(Box::new(error)),
        SessionError::Lake(error) => DataFusionError::External(Box::new(error)),
        SessionError::Unfinished(why) => DataFusionError::External(Box::new(Unfinished(why))),
        SessionError::Unavailable(why) => DataFusionError::Execution(why),
    }
}

fn one_stream(stream: Arc<dyn PartitionStream>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    Ok(Arc::new(StreamingTable::try_new(Arc::clone(stream.schema()), vec![stream])?))
}

struct Late {
    schema: SchemaRef,
    rows: Arc<dyn Fn() -> DeferredRows + Send + Sync>,
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late")
    }
}

impl PartitionStream for Late {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows =
            stream::once((self.rows)()).map_err(outer).map_ok(|batches| stream::iter(batches).map(Ok)).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

struct Blobs {
    schema: SchemaRef,
    archive: Arc<Archive>,
}

impl Blobs {
    fn new(archive: &Arc<Archive>) -> Self {
        let schema = Schema::new(vec![
            Field::new("blob", DataType::Utf8View, false),
            Field::new("bytes", DataType::Int64, false),
            Field::new("hour", timestamp(), true),
            Field::new("mac", DataType::Utf8View, true),
        ]);
        Self { schema: Arc::new(schema), archive: Arc::clone(archive) }
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blobs")
    }
}

impl PartitionStream for Blobs {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let units: Vec<_> = self.archive.stores.iter().flat_map(|(_, units)| units).cloned().collect();
        let of_unit = |unit: Arc<ScanUnit>| unit.blobs().map(|b| (unit.shown.name(&b.location), b)).collect();
        let of_lake = |lake: Arc<LakeFlows>| lake.entries.blobs().map(|b| (b.location.clone(), b)).collect();
        let parts = units.into_iter().map(of_unit).chain(self.archive.lake.clone().into_iter().map(of_lake));
        let schema = Arc::clone(&self.schema);
        let batches = parts.map(move |blobs: Vec<(String, Blob)>| batch_of_blobs(&schema, &blobs));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches)))
    }
}

/// Returns rows of `blobs`, from blobs with their names.
fn batch_of_blobs(schema: &SchemaRef, blobs: &[(String, Blob)]) -> Result<RecordBatch, DataFusionError> {
    let paths = || blobs.iter().map(|(_, blob)| BlobPath::parse(&blob.location));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(blobs.iter().map(|(name, _)| name))),
        Arc::new(Int64Array::from_iter_values(blobs.iter().map(|(_, blob)| blob.size as i64))),
        Arc::new(TimestampMillisecondArray::from_iter(paths().map(|p| Some(p?.hour))).with_timezone("UTC")),
        Arc::new(StringViewArray::from_iter(paths().map(|path| path?.mac))),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn problems_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("blob", DataType::Utf8View, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("record", DataType::Int64, false),
        Field::new("reason", DataType::Utf8View, false),
    ]))
}

fn problems_so_far(archive: &Archive) -> Result<RecordBatch, ArrowError> {
    let problems = archive.input().problems;
    RecordBatch::try_new(
        problems_schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(problems.iter().map(|p| &p.blob))),
            Arc::new(Int64Array::from_iter_values(problems.iter().map(|p| p.offset as i64))),
            Arc::new(Int64Array::from_iter_values(problems.iter().map(|p| p.record as i64))),
            Arc::new(StringViewArray::from_iter_values(problems.iter().map(|p| &p.reason))),
        ],
    )
}
