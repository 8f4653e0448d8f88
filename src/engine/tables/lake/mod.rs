//! The flows of a lake: one version of it, as rows and receipts of `flows`. The files are read by DataFusion's Parquet
//! source, without a listing. In reading order:
//!
//! - `entries`: what the cursors say of the blobs; `cut`: counts that they do not have.
//! - `prune`: which files and row groups a query needs.
//! - `footers`: the readers of files; `operator`: from their rows to rows of `flows`, by `filter` and `rows`.
//! - `dictionary`: text columns.

mod cut;
mod dictionary;
mod entries;
mod filter;
mod footers;
mod operator;
mod prune;
mod rows;

pub use operator::{LakeExec, LakeScan, reads_of, receipts_of};
pub use prune::one_of;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use chrono::DateTime;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use tokio::sync::OnceCell;

use crate::decode::{Counts, Options, Predicate, Projection, TimeRange};
use crate::engine::scan::ScanContext;
use crate::lake::{DataFile, Lake, LakeError, Snapshot, columns, source_root};
use crate::schema::{Column, Text};
use crate::source::{Source, StoreKey};
use cut::COUNTED;
use entries::Entries;
use footers::{Footers, Readers};
use operator::{Reading, Size};
use prune::OneOf;
use rows::stored_column;

/// Bytes of a file that one task reads. Row groups are smaller.
const PIECE: u64 = 8 << 20;
/// Bytes at the end of a file that the first request reads. They hold the footer of most files.
const FOOTER: usize = 64 << 10;

/// One version of a lake, with a window and interfaces.
#[derive(Debug)]
pub struct LakeFlows {
    /// Version of the table and number of its last transaction of ours, which no two states of lakes share.
    pub state: (u64, i64),
    store: StoreKey,
    /// Folder of the lake in its store.
    root: Path,
    schema: SchemaRef,
    files: Vec<DataFile>,
    /// Blobs of the lake.
    pub entries: Entries,
    /// Counts of the blobs that the window cuts, once they are known.
    cut: OnceCell<HashMap<String, Counts>>,
    footers: Arc<Footers>,
    context: ScanContext,
}

/// Returns the source of files that reads them from `store` with our readers.
pub fn with_readers(source: ParquetSource, store: Arc<dyn ObjectStore>, footers: &Arc<Footers>) -> ParquetSource {
    let readers = Readers::new(store, Arc::clone(footers));
    source.with_parquet_file_reader_factory(Arc::new(readers)).with_metadata_size_hint(FOOTER)
}

impl LakeFlows {
    /// Opens the newest version of the lake at `source`.
    pub async fn open(
        source: &Source,
        store: &Arc<dyn ObjectStore>,
        window: TimeRange,
        macs: &[String],
        context: ScanContext,
    ) -> Result<Self, LakeError> {
        let lake = Lake::of_source(source, store)?;
        let snapshot = Snapshot::load(&lake).await?;
        let entries = Entries::read(lake.shown(), &snapshot.cursors().await?, window, macs)?;
        let root = source_root(source).map_err(|error| LakeError::of_store(lake.shown(), &error))?;
        Ok(Self {
            state: (snapshot.version, snapshot.t),
            store: source.store.clone(),
            root,
            schema: columns::held(),
            files: snapshot.files,
            entries,
            cut: OnceCell::new(),
            footers: Arc::default(),
            context,
        })
    }

    /// Plans a scan. `options` has the columns and conditions of the rows; An operator above checks `others`
    /// too. With `only`, the scan reads these blobs and gives no receipts.
    pub async fn scan(
        &self,
        state: &dyn Session,
        options: Options,
        others: Vec<OneOf>,
        only: Option<Arc<HashSet<String>>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if only.is_some() {
            return Ok(Arc::new(self.exec(state, options, &others, only, limit)?));
        }
        let cut = self.cut.get_or_try_init(|| self.counts_of_cut(state)).await?;
        let receipts = self.entries.receipts(options.predicate.times, cut);
        let exec = self.exec(state, options, &others, None, limit)?;
        Ok(Arc::new(exec.with_receipts(Arc::new(Mutex::new(receipts)))))
    }

    fn exec(
        &self,
        state: &dyn Session,
        options: Options,
        others: &[OneOf],
        only: Option<Arc<HashSet<String>>>,
        limit: Option<usize>,
    ) -> Result<LakeExec> {
        let by_path = !self.entries.is_regular;
        let reading = Reading { stored: Vec::new(), options, by_path, only };
        let filter = reading.filter();
        let is_filtered = filter.columns().next().is_some();
        let mut stored: Vec<Column> =
            reading.options.projection.0.iter().map(|column| stored_column(*column)).chain(filter.columns()).collect();
        stored.sort_unstable();
        stored.dedup();
        let Options { window, predicate, .. } = &reading.options;
        let times = self.times_of(&reading).unwrap_or_else(|| vec![TimeRange::default()]);
        let times =
            times.iter().map(|near| near.intersection(window).intersection(&predicate.times)).collect::<Vec<_>>();
        let condition = prune::condition(&self.schema, &times, predicate, others)?;
        let files = prune::kept(&self.files, &self.schema, condition.as_ref().filter(|_| self.context.pushdown))?;
        let (bytes, count) = files.iter().fold((0, 0), |(bytes, rows), file| (bytes + file.size, rows + file.rows));
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(count as usize);
        statistics.total_byte_size = Precision::Inexact(bytes as usize);
        let pieces: Vec<PartitionedFile> = files.into_iter().flat_map(|file| self.pieces(file)).collect();
        let indices: Vec<usize> = stored.iter().filter_map(|column| columns::index(*column)).collect();
        let input: Arc<dyn ExecutionPlan> = if pieces.is_empty() {
            Arc::new(EmptyExec::new(Arc::new(self.schema.project(&indices)?)))
        } else {
            let url = ObjectStoreUrl::parse(self.store.url())?;
            let source = ParquetSource::new(TableSchema::from(Arc::clone(&self.schema)));
            let source = with_readers(source, state.runtime_env().object_store(&url)?, &self.footers);
            let source = match condition {
                Some(condition) if self.context.pushdown => source.with_predicate(condition),
                _ => source,
            };
            let config = FileScanConfigBuilder::new(url, Arc::new(source))
                .with_file_groups(FileGroup::new(pieces).split_files(state.config().target_partitions()))
                .with_statistics(statistics)
                .with_projection_indices(Some(indices))?
                .with_limit(limit.filter(|_| !is_filtered))
                .build();
            DataSourceExec::from_data_source(config)
        };
        let reading = Reading { stored, ..reading };
        let rows = self.entries.selected.iter().map(|entry| entry.totals.rows).sum::<u64>().max(1);
        let size = Size { rows: count, weight: self.entries.size().saturating_mul(1000) / rows };
        LakeExec::new(input, reading, self.context.control.clone(), size)
    }

    /// Returns the times of the flows of the only blobs that are read; `None` if all are read.
    fn times_of(&self, reading: &Reading) -> Option<Vec<TimeRange>> {
        let only = reading.only.as_ref()?;
        let chosen = self.entries.selected.iter().filter(|entry| only.contains(&entry.blob));
        let times = chosen.filter_map(|entry| entry.counts.times);
        let mut times: Vec<TimeRange> =
            times.map(|(first, last)| TimeRange { from: Some(first), to: Some(last + 1) }).collect();
        times.sort_unstable_by_key(|near| near.from);
        times.dedup_by(|next, near| {
            let is_near = next.from <= near.to;
            near.to = if is_near { near.to.max(next.to) } else { near.to };
            is_near
        });
        Some(times)
    }

    /// Returns the store of the lake.
    pub fn store(&self) -> &StoreKey {
        &self.store
    }

    /// Returns the file, in pieces of whole row groups.
    fn pieces(&self, file: &DataFile) -> impl Iterator<Item = PartitionedFile> {
        let whole = PartitionedFile::from(ObjectMeta {
            location: Path::from_iter(self.root.parts().chain(file.path.parts())),
            last_modified: DateTime::UNIX_EPOCH,
            size: file.size,
            e_tag: None,
            version: None,
        });
        let (size, count) = (file.size, file.size.div_ceil(PIECE).max(1));
        let edge = move |nr: u64| i64::try_from(size / count * nr).unwrap_or(i64::MAX);
        (0..count).map(move |nr| match count {
            1 => whole.clone(),
            _ => {
                let end = if nr + 1 == count { i64::try_from(size).unwrap_or(i64::MAX) } else { edge(nr + 1) };
                whole.clone().with_range(edge(nr), end)
            }
        })
    }

    /// Counts the rows inside the window of the blobs that it cuts. These are the blobs at its ends, so little is read.
    async fn counts_of_cut(&self, state: &dyn Session) -> Result<HashMap<String, Counts>> {
        let mut counts = HashMap::new();
        for group in self.entries.cut() {
            let times = || group.iter().filter_map(|entry| entry.counts.times);
            let ends = times().map(|(first, _)| first).min().zip(times().map(|(_, last)| last).max());
            let Some((first, last)) = ends else { continue };
            let near = TimeRange { from: Some(first), to: Some(last + 1) };
            let options = Options {
                projection: Projection(COUNTED.to_vec()),
                predicate: Predicate { times: near, ..Predicate::default() },
                window: self.entries.times,
                text: Text::Coded,
                ..Options::default()
            };
            let plan = Arc::new(self.exec(state, options, &[], None, None)?);
            let mut of_group = group.iter().map(|entry| (entry.blob.clone(), Counts::default())).collect();
            cut::count(plan, state.task_ctx(), &mut of_group).await?;
            counts.extend(of_group);
        }
        Ok(counts)
    }
}
