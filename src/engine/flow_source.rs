//! The leaf of every plan: opens scan units and decodes them into batches as they are polled.

use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::DynamicFilterTracking;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr};
use futures::future::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;
use tokio::select;

use super::input::{InputLog, PartRead};
use super::pushdown::terms_by_now;
use super::unit::{Reading, ScanUnit, part};
use crate::decode::{Decoder, Options, Projection};
use crate::schema::Column;
use crate::source::fetch::{self, ReadError};
use crate::source::{Blob, Place};

/// Holds options, not data: what the opener needs travels in the unit.
#[derive(Clone)]
pub struct FlowSource {
    schema: TableSchema,
    /// All but the projection, which `projection` says.
    options: Options,
    projection: SplitProjection,
    /// Conditions that the query finds out while it runs. Whoever asked for them checks them, too.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    log: Arc<InputLog>,
    metrics: ExecutionPlanMetricsSet,
}

impl FlowSource {
    pub fn new(options: Options, log: Arc<InputLog>) -> Self {
        let schema = TableSchema::from(crate::schema::flows(options.text));
        let projection = SplitProjection::unprojected(&schema);
        Self { schema, options, projection, dynamic: Vec::new(), log, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl FileSource for FlowSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        _config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let columns = self.projection.file_indices.iter().map(|&i| Column::ALL[i]).collect();
        let options = Options { projection: Projection(columns), ..self.options.clone() };
        let dynamic = self.dynamic.clone();
        let opener = Arc::new(FlowOpener { store, options, dynamic, log: Arc::clone(&self.log) });
        ProjectionOpener::try_new(self.projection.clone(), opener, self.schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let options = Options { batch_size, ..self.options.clone() };
        Arc::new(Self { options, ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    /// What is written in a query is translated before the plan is made; here come filters that its operators make.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let answers = FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; filters.len()]);
        let new: Vec<_> = filters
            .into_iter()
            .filter(|filter| DynamicFilterTracking::classify(filter).contains_dynamic_filter())
            .collect();
        if new.is_empty() {
            return Ok(answers);
        }
        let dynamic = [self.dynamic.clone(), new].concat();
        Ok(answers.with_updated_node(Arc::new(Self { dynamic, ..self.clone() })))
    }

    /// Units are cut before the plan is made.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "flow_log"
    }

    fn fmt_extra(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, ", pushed=[{}]", self.options.predicate)?;
        self.dynamic.iter().try_for_each(|filter| write!(f, ", dynamic=[{filter}]"))
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let expressions = self.projection.source.iter().map(|projected| &projected.expr).chain(&self.dynamic);
        datafusion::physical_plan::apply_expression_roots(expressions, apply)
    }
}

struct FlowOpener {
    store: Arc<dyn ObjectStore>,
    options: Options,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    log: Arc<InputLog>,
}

impl FileOpener for FlowOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let unit =
            file.extensions.get::<ScanUnit>().ok_or_else(|| internal_datafusion_err!("a file without its unit"))?;
        let mut options = self.options.clone();
        self.dynamic.iter().flat_map(terms_by_now).for_each(|term| options.predicate.narrow(term));
        let batches = read_unit(Arc::clone(&self.store), unit.clone(), options, Some(Arc::clone(&self.log)));
        Ok(async move { Ok(batches.map(Ok).boxed()) }.boxed())
    }
}

/// The batches of one unit. A blob that cannot be read is noted in the log; the others go on.
pub fn read_unit(
    store: Arc<dyn ObjectStore>,
    unit: ScanUnit,
    options: Options,
    log: Option<Arc<InputLog>>,
) -> BoxStream<'static, RecordBatch> {
    let reader = UnitReader { store, unit, options, log, place: Place::default(), piece_read: false, open: None };
    stream::unfold(reader, |mut reader| async { reader.next().await.map(|batch| (batch, reader)) }).boxed()
}

struct UnitReader {
    store: Arc<dyn ObjectStore>,
    unit: ScanUnit,
    options: Options,
    log: Option<Arc<InputLog>>,
    /// The next blob of a unit of whole ones.
    place: Place,
    /// A unit that is a piece has nothing after it.
    piece_read: bool,
    open: Option<OpenPart>,
}

/// A blob, or piece of one, on its way through the decoder.
struct OpenPart {
    name: String,
    blob: Blob,
    decoder: Decoder,
    chunks: BoxStream<'static, Result<Bytes, ReadError>>,
    /// Place in the blob, unpacked, up to which the decoder has it.
    pushed: u64,
    ended: bool,
    failure: Option<(u64, String)>,
}

impl UnitReader {
    async fn next(&mut self) -> Option<RecordBatch> {
        loop {
            match &mut self.open {
                None if self.log.as_ref().is_some_and(|log| log.is_stopped()) => return None,
                None => self.open = Some(self.open_next()?),
                Some(open) => {
                    let next = match &self.log {
                        Some(log) => select! {
                            biased;
                            () = log.stopped() => None,
                            next = open.next() => next,
                        },
                        None => open.next().await,
                    };
                    match next {
                        Some(batch) => return Some(batch),
                        None => self.close(),
                    }
                }
            }
        }
    }

    fn open_next(&mut self) -> Option<OpenPart> {
        let (blob, start, end) = match &self.unit.reading {
            Reading::Whole(blobs) => (blobs.next(&mut self.place)?, 0, None),
            Reading::Piece { .. } if self.piece_read => return None,
            Reading::Piece { blob, start, end, .. } => {
                self.piece_read = true;
                (blob.clone(), *start, *end)
            }
        };
        let name = self.unit.shown.name(&blob.location);
        let log = self.log.clone();
        let count = move |bytes| log.iter().for_each(|log| log.advance(bytes));
        let store = Arc::clone(&self.store);
        let chunks = match &self.unit.reading {
            Reading::Whole(_) => fetch::contents(store, &blob, count),
            Reading::Piece { .. } => fetch::chunks(store, &blob, start, end, count),
        };
        Some(OpenPart {
            decoder: Decoder::new(&name, part(&self.unit.reading), self.options.clone()),
            chunks,
            name,
            blob,
            pushed: start,
            ended: false,
            failure: None,
        })
    }

    fn close(&mut self) {
        let (Some(mut open), Some(log)) = (self.open.take(), &self.log) else { return };
        let (start, bytes, is_piece) = match &self.unit.reading {
            Reading::Whole(_) => (0, open.blob.size, false),
            Reading::Piece { start, .. } => (*start, self.unit.size(), true),
        };
        log.add(PartRead {
            blob: &open.name,
            e_tag: open.blob.e_tag.as_deref(),
            start,
            bytes,
            unpacked: (!is_piece && open.is_packed()).then_some(open.pushed),
            is_piece,
            counts: open.decoder.counts().clone(),
            problems: open.decoder.take_problems(),
            failure: open.failure,
        });
    }
}

impl OpenPart {
    /// Whether more or fewer bytes came out than are stored.
    fn is_packed(&self) -> bool {
        self.pushed > self.blob.size || self.pushed < self.blob.size && self.ended && self.failure.is_none()
    }

    async fn next(&mut self) -> Option<RecordBatch> {
        loop {
            if let Some(batch) = self.decoder.flush() {
                return Some(batch);
            }
            if self.ended {
                return None;
            }
            match if self.decoder.is_done() { None } else { self.chunks.next().await } {
                Some(Ok(chunk)) => {
                    self.pushed += chunk.len() as u64;
                    self.decoder.push(&chunk);
                }
                Some(Err(error)) => {
                    let words = format!("not read to its end: {}", error.way_out(&self.name));
                    self.failure = Some((self.pushed, words));
                    self.ended = true;
                }
                None => {
                    self.decoder.finish();
                    self.ended = true;
                }
            }
        }
    }
}
