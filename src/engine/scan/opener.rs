//! The leaf of every plan: opens scan units and decodes them into batches when polled.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::DynamicFilterTracking;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, PhysicalExpr};
use futures::future::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;
use tokio::select;

use super::ScanContext;
use super::control::Control;
use super::edges::Edges;
use super::pushdown::terms_by_now;
use super::receipt::{LeafReceipts, Receipt};
use super::unit::{LOOK, ScanUnit, UnitContents, extent, part};
use crate::decode::{Decoder, Options, Projection};
use crate::engine::explorer::guard::has_large_constants;
use crate::schema::Column;
use crate::source::read::ReadError;
use crate::source::read::ranges;
use crate::source::read::ranges::{Prefetch, ReadState, Reader};
use crate::source::{At, Blob, BlobPath, Member, MemberReader, Place};

/// The file source of `flows`. It holds how to scan; a scan unit holds what to read.
#[derive(Clone)]
pub struct FlowSource {
    schema: TableSchema,
    /// Decoder options without the projection, which is in `projection`.
    options: Options,
    projection: SplitProjection,
    /// Maximum number of prefetch requests; 0 for local stores, where a request saves no time.
    ahead: usize,
    /// Filters that operators derive while the query runs. The operator that derives a filter also checks it.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    context: ScanContext,
    /// Receipts of the units that this leaf has read.
    receipts: LeafReceipts,
    metrics: ExecutionPlanMetricsSet,
}

impl FlowSource {
    pub fn new(options: Options, ahead: usize, context: ScanContext) -> Self {
        let schema = TableSchema::from(crate::schema::flows_with_numbers(options.text, options.numbers));
        let projection = SplitProjection::unprojected(&schema);
        let (receipts, metrics) = (LeafReceipts::default(), ExecutionPlanMetricsSet::new());
        Self { schema, options, projection, ahead, dynamic: Vec::new(), context, receipts, metrics }
    }

    /// Returns the source with other receipts.
    pub fn with_receipts(self, receipts: LeafReceipts) -> Self {
        Self { receipts, ..self }
    }

    /// Returns the options of the decoder, with the columns to read and the conditions that operators have derived so far.
    pub fn decoder_options(&self) -> Options {
        let columns = self.projection.file_indices.iter().map(|&i| Column::ALL[i]).collect();
        let mut options = Options { projection: Projection(columns), ..self.options.clone() };
        self.dynamic.iter().flat_map(terms_by_now).for_each(|term| options.predicate.narrow(term));
        options
    }

    /// Returns the expressions that are computed from the columns to read, over all columns of the table.
    pub fn projected(&self) -> &ProjectionExprs {
        &self.projection.source
    }

    /// Returns the maximum number of prefetch requests.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// Returns what its scans share.
    pub fn context(&self) -> &ScanContext {
        &self.context
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
        let (ahead, control, receipts) = (self.ahead, self.context.control.clone(), Arc::clone(&self.receipts));
        let opener = Arc::new(FlowOpener { store, options, ahead, dynamic, control, receipts });
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
        // Large constants stay above the scan, where batches can be cut.
        if has_large_constants(merged.iter().map(|projected| &projected.expr))? {
            return Ok(None);
        }
        let projection = SplitProjection::new(self.schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    /// Accepts dynamic filters, which operators derive at run time. Filters written in the query are translated before
    /// the physical plan exists.
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
        if new.is_empty() || !self.context.pushdown {
            return Ok(answers);
        }
        let dynamic = [self.dynamic.clone(), new].concat();
        Ok(answers.with_updated_node(Arc::new(Self { dynamic, ..self.clone() })))
    }

    /// Returns false, because units are cut before the plan is made.
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
    ahead: usize,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    control: Control,
    receipts: LeafReceipts,
}

impl FileOpener for FlowOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let unit = file
            .extensions
            .get::<Arc<ScanUnit>>()
            .ok_or_else(|| internal_datafusion_err!("a file without its unit"))?;
        let mut options = self.options.clone();
        self.dynamic.iter().flat_map(terms_by_now).for_each(|term| options.predicate.narrow(term));
        let unit = Arc::clone(unit).within(options.predicate.times);
        let mut reader = UnitReader::new(Arc::clone(&self.store), unit, options, self.ahead, self.control.clone());
        let receipts = Arc::clone(&self.receipts);
        reader.left_open = Some(Arc::clone(&receipts));
        let scanned = reader.scan();
        let batches = scanned.filter_map(move |scanned| {
            std::future::ready(match scanned {
                Scanned::Batch(batch) => Some(Ok(batch)),
                Scanned::Receipt(receipt) => {
                    add(&receipts, *receipt);
                    None
                }
            })
        });
        Ok(async move { Ok(batches.boxed()) }.boxed())
    }
}

fn add(receipts: &LeafReceipts, receipt: Receipt) {
    receipts.lock().unwrap_or_else(PoisonError::into_inner).add(receipt);
}

/// Returns, for each scan of a plan, the conditions that it evaluates and the number of blobs that their times leave.
pub fn reads_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<(String, usize)>> {
    let mut reads = Vec::new();
    plan.apply(|node| {
        let scan = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.downcast_to_file_source::<FlowSource>());
        if let Some((config, source)) = scan {
            let predicate = &source.options.predicate;
            let files = config.file_groups.iter().flat_map(|group| group.iter());
            let units = files.filter_map(|file| file.extensions.get::<Arc<ScanUnit>>());
            let left = |unit: &Arc<ScanUnit>| Arc::clone(unit).within(predicate.times).blobs().count();
            reads.push((predicate.to_string(), units.map(left).sum()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads)
}

/// Returns the receipts of all leaves of a plan.
pub fn receipts_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<LeafReceipts>> {
    let mut leaves = Vec::new();
    plan.apply(|node| {
        let scan = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.downcast_to_file_source::<FlowSource>());
        leaves.extend(scan.map(|(_, source)| Arc::clone(&source.receipts)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(leaves)
}

/// An item of the stream of a scan.
#[derive(Debug)]
pub enum Scanned {
    /// Rows that belong to the next receipt.
    Batch(RecordBatch),
    /// Receipt that ends a blob or a piece of one.
    Receipt(Box<Receipt>),
}

/// Reads one unit with up to `ahead` prefetch requests. Every blob ends with a receipt, even one that cannot be read;
/// the other blobs are still read. A look (a sample before the scan, see
/// `look`) gives no receipts, because the scan counts the same bytes.
pub fn read_unit(
    store: Arc<dyn ObjectStore>,
    unit: Arc<ScanUnit>,
    options: Options,
    ahead: usize,
    control: Control,
) -> BoxStream<'static, Scanned> {
    UnitReader::new(store, unit, options, ahead, control).scan()
}

struct UnitReader {
    store: Arc<dyn ObjectStore>,
    unit: Arc<ScanUnit>,
    options: Options,
    control: Control,
    /// Cursor in a unit of whole blobs.
    place: Place,
    /// Cursor in a unit of archive members.
    at: At,
    /// Reader of the archive, opened with the first member.
    members: Option<MemberReader>,
    /// Whether the only piece of a piece unit was started.
    piece_read: bool,
    ahead: Option<Arc<Prefetch>>,
    /// Blobs after the open one that are being prefetched.
    coming: VecDeque<(Blob, Reader)>,
    open: Option<OpenPart>,
    /// Takes the receipt of a part that is dropped before its end, such as by a LIMIT.
    left_open: Option<LeafReceipts>,
}

/// A blob, or a piece of one, that is being decoded.
struct OpenPart {
    name: String,
    blob: Blob,
    as_read: Arc<ReadState>,
    decoder: Decoder,
    chunks: BoxStream<'static, Result<Bytes, ReadError>>,
    edges: Edges,
    /// Offset in the unpacked blob up to which the decoder has received bytes.
    pushed: u64,
    /// Limit on `pushed`, after which no chunk is read.
    most: u64,
    ended: bool,
    failure: Option<(u64, String)>,
}

impl UnitReader {
    fn new(store: Arc<dyn ObjectStore>, unit: Arc<ScanUnit>, options: Options, ahead: usize, control: Control) -> Self {
        Self {
            store,
            unit,
            options,
            control,
            place: Place::default(),
            at: At::default(),
            members: None,
            piece_read: false,
            ahead: (ahead > 0).then(|| Prefetch::new(ahead)),
            coming: VecDeque::new(),
            open: None,
            left_open: None,
        }
    }

    fn scan(self) -> BoxStream<'static, Scanned> {
        stream::unfold(self, |mut reader| async {
            loop {
                match AssertUnwindSafe(reader.next()).catch_unwind().await {
                    Ok(scanned) => return scanned.map(|scanned| (scanned, reader)),
                    // The panic hook reports the panic. The rows and receipts of other blobs are kept.
                    Err(_) if reader.open.is_some() => {
                        if let Some(receipt) = reader.abandon() {
                            return Some((receipt, reader));
                        }
                    }
                    Err(_) => return None,
                }
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Scanned> {
        loop {
            match &mut self.open {
                None if self.control.stop.is_asked() => return None,
                None => self.open = Some(self.open_next()?),
                Some(open) => {
                    if open.as_read.is_asked_for.load(Ordering::Relaxed) {
                        self.prefetch();
                    }
                    let Some(open) = &mut self.open else { continue };
                    let next = select! {
                        biased;
                        () = self.control.stop.asked() => None,
                        next = open.next() => next,
                    };
                    if let Some(scanned) = next.map(Scanned::Batch).or_else(|| self.close()) {
                        return Some(scanned);
                    }
                }
            }
        }
    }

    /// Prefetches blobs after the open one while there is room.
    fn prefetch(&mut self) {
        while self.ahead.as_ref().is_some_and(|ahead| ahead.has_room())
            && let Some((blob, mut reader)) = self.next_reader()
        {
            reader.prefetch();
            self.coming.push_back((blob, reader));
        }
    }

    fn next_reader(&mut self) -> Option<(Blob, Reader)> {
        let blob = match &self.unit.reading {
            UnitContents::Whole(blobs) | UnitContents::Start { blobs, .. } => blobs.next(&mut self.place)?,
            UnitContents::Piece { .. } if self.piece_read => return None,
            UnitContents::Piece { blob, .. } => blob.clone(),
            UnitContents::Members(_) => return None,
        };
        self.piece_read = true;
        let reader = Reader::new(Arc::clone(&self.store), &blob, extent(&self.unit.reading), self.ahead.clone());
        Some((blob, reader))
    }

    fn open_next(&mut self) -> Option<OpenPart> {
        if let Some(member) = self.next_member() {
            let (chunks, as_read) = self.member_reader()?.contents(&member);
            return Some(self.decoding(member.blob, chunks, as_read, 0));
        }
        let (blob, reader) = self.coming.pop_front().or_else(|| self.next_reader())?;
        let (count, as_read) = (self.counting(), reader.as_read());
        let (chunks, start) = match &self.unit.reading {
            UnitContents::Piece { start, .. } => (ranges::chunks(reader, count), *start),
            _ => (ranges::contents(reader, count), 0),
        };
        Some(self.decoding(blob, chunks, as_read, start))
    }

    fn is_look(&self) -> bool {
        matches!(self.unit.reading, UnitContents::Start { .. })
    }

    fn next_member(&mut self) -> Option<Member> {
        match &self.unit.reading {
            UnitContents::Members(members) => members.next(&mut self.at),
            _ => None,
        }
    }

    fn member_reader(&mut self) -> Option<&MemberReader> {
        let UnitContents::Members(members) = &self.unit.reading else { return None };
        let (store, ahead, count) = (Arc::clone(&self.store), self.ahead.clone(), self.counting());
        Some(self.members.get_or_insert_with(|| MemberReader::new(store, members, ahead, count)))
    }

    /// Returns the byte counter of the progress, or a no-op for a look.
    fn counting(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let (progress, is_counted) = (self.control.progress.clone(), !self.is_look());
        move |bytes| {
            if is_counted {
                progress.advance(bytes);
            }
        }
    }

    fn decoding(
        &self,
        blob: Blob,
        chunks: BoxStream<'static, Result<Bytes, ReadError>>,
        as_read: Arc<ReadState>,
        start: u64,
    ) -> OpenPart {
        let name = self.unit.shown.name(&blob.location);
        let path = BlobPath::parse(&blob.location);
        // A path that names its interface was filtered when it was listed.
        let macs = if path.is_some_and(|path| path.mac.is_some()) { Vec::new() } else { self.options.macs.clone() };
        let options = Options { hour: path.map(|path| path.hour), macs, ..self.options.clone() };
        OpenPart {
            decoder: Decoder::new(&name, part(&self.unit.reading), options),
            chunks,
            name,
            blob,
            as_read,
            edges: Edges::new(start),
            pushed: start,
            most: if self.is_look() { LOOK } else { u64::MAX },
            ended: false,
            failure: None,
        }
    }

    /// Closes the open blob after a panic in its decoder.
    fn abandon(&mut self) -> Option<Scanned> {
        if let Some(open) = &mut self.open {
            open.failure =
                Some((open.pushed, "not read to the end: flowgap failed on it, please report this".to_owned()));
        }
        self.close()
    }

    fn close(&mut self) -> Option<Scanned> {
        let mut open = self.open.take()?;
        let (start, bytes, is_piece) = match &self.unit.reading {
            // The scan after the look counts these bytes.
            UnitContents::Start { .. } => return None,
            UnitContents::Whole(_) | UnitContents::Members(_) => (0, open.blob.size, false),
            UnitContents::Piece { start, .. } => (*start, self.unit.size(), true),
        };
        let bytes = bytes + open.as_read.grown.load(Ordering::Relaxed);
        let end = open.decoder.end().unwrap_or(start);
        Some(Scanned::Receipt(Box::new(Receipt {
            blob: open.name,
            e_tag: open.blob.e_tag,
            start,
            end,
            bytes,
            unpacked: open.as_read.is_packed.load(Ordering::Relaxed).then_some(open.pushed),
            is_piece,
            is_whole: open.ended && open.failure.is_none(),
            counts: open.decoder.counts().clone(),
            problems: open.decoder.take_problems(),
            failure: open.failure,
            hashes: open.edges.hashes(start, end),
        })))
    }
}

impl Drop for UnitReader {
    fn drop(&mut self) {
        if let Some(Scanned::Receipt(receipt)) = self.close()
            && let Some(receipts) = &self.left_open
        {
            add(receipts, *receipt);
        }
    }
}

impl OpenPart {
    async fn next(&mut self) -> Option<RecordBatch> {
        loop {
            if let Some(batch) = self.decoder.flush() {
                return Some(batch);
            }
            if self.ended {
                return None;
            }
            let is_done = self.decoder.is_done() || self.pushed >= self.most;
            match if is_done { None } else { self.chunks.next().await } {
                Some(Ok(chunk)) => {
                    self.edges.push(&chunk, self.decoder.end());
                    self.pushed += chunk.len() as u64;
                    self.decoder.push(&chunk);
                }
                Some(Err(error)) => {
                    let words = format!("not read to the end: {}", error.remedy_for(&self.name));
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
