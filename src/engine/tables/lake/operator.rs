//! The operator above the files of a lake: filters their rows and converts them to rows of `flows`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics};
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties, StatisticsArgs,
};
use futures::stream::StreamExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::filter::RowFilter;
use super::rows::Rows;
use crate::decode::{Options, Projection};
use crate::engine::scan::control::Control;
use crate::engine::scan::receipt::LeafReceipts;
use crate::schema::Column;

/// Bytes per row, for estimates only.
const TUPLE: u64 = 60;

/// How to read the rows of a lake.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Columns of the input.
    pub stored: Vec<Column>,
    /// Columns, conditions and encoding of the rows, as for the decoder.
    pub options: Options,
    /// Whether the paths of blobs decide too which rows a time condition keeps.
    pub by_path: bool,
    /// The only blobs whose rows are read; `None` for all.
    pub only: Option<Arc<HashSet<String>>>,
}

impl Reading {
    /// Returns the conditions on rows.
    pub fn filter(&self) -> RowFilter {
        RowFilter::new(&self.options, self.by_path, self.only.as_ref())
    }
}

/// Size of what a scan reads.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rows of the files, before conditions.
    pub rows: u64,
    /// Bytes of progress per 1,000 rows. The progress of a scan is measured in bytes of blobs.
    pub weight: u64,
}

/// Description of the operator, without its files.
#[derive(Debug, Serialize, Deserialize)]
pub struct LakeScan {
    stored: Projection,
    options: Options,
    by_path: bool,
    only: Option<HashSet<String>>,
    rows: u64,
    weight: u64,
}

impl LakeScan {
    /// Returns the operator over a scan of files.
    pub fn over(self, input: Arc<dyn ExecutionPlan>, control: Control) -> Result<LakeExec> {
        let Self { stored, options, by_path, only, rows, weight } = self;
        let reading = Reading { stored: stored.0, options, by_path, only: only.map(Arc::new) };
        LakeExec::new(input, reading, control, Size { rows, weight })
    }
}

/// The operator.
#[derive(Debug, Clone)]
pub struct LakeExec {
    input: Arc<dyn ExecutionPlan>,
    reading: Arc<Reading>,
    control: Control,
    size: Size,
    receipts: LeafReceipts,
    properties: Arc<PlanProperties>,
}

impl LakeExec {
    /// Creates the operator over a scan of files, without receipts.
    pub fn new(input: Arc<dyn ExecutionPlan>, reading: Reading, control: Control, size: Size) -> Result<Self> {
        let schema = Arc::clone(Rows::new(reading.stored.clone(), &reading.options)?.schema());
        let properties = Arc::new(properties(&input, schema));
        Ok(Self { input, reading: Arc::new(reading), control, size, receipts: LeafReceipts::default(), properties })
    }

    /// Returns the operator with the receipts of the blobs whose rows it reads.
    pub fn with_receipts(self, receipts: LeafReceipts) -> Self {
        Self { receipts, ..self }
    }

    /// Returns the receipts of the blobs whose rows it reads.
    pub fn receipts(&self) -> &LeafReceipts {
        &self.receipts
    }

    /// Returns its description, for another process.
    pub fn sent(&self) -> LakeScan {
        let Reading { stored, options, by_path, only } = (*self.reading).clone();
        let only = only.map(|only| only.iter().cloned().collect());
        LakeScan { stored: Projection(stored), options, by_path, only, rows: self.size.rows, weight: self.size.weight }
    }
}

fn properties(input: &Arc<dyn ExecutionPlan>, schema: SchemaRef) -> PlanProperties {
    let partitions = input.output_partitioning().partition_count();
    PlanProperties::new(
        EquivalenceProperties::new(schema),
        datafusion::physical_plan::Partitioning::UnknownPartitioning(partitions),
        input.pipeline_behavior(),
        input.boundedness(),
    )
}

impl DisplayAs for LakeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "LakeExec: pushed=[{}]", self.reading.options.predicate)
    }
}

impl ExecutionPlan for LakeExec {
    fn name(&self) -> &str {
        "LakeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        let properties = Arc::new(properties(&input, self.schema()));
        Ok(Arc::new(Self { input, properties, ..(*self).clone() }))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (stored, mut filter) = (self.reading.stored.clone(), self.reading.filter());
        let mut rows = Rows::new(stored.clone(), &self.reading.options)?;
        let (control, weight) = (self.control.clone(), self.size.weight);
        let stop = control.stop.clone();
        let batches = self.input.execute(partition, task)?;
        let batches = batches.take_while(move |_| std::future::ready(!stop.is_asked())).map(move |batch| {
            let batch = batch?;
            control.progress.advance(batch.num_rows() as u64 * weight / 1000);
            Ok(rows.convert(&filter.apply(batch, &stored)?)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    /// Returns an estimate, because without row counts joins would buffer the flows instead of the small table.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let parts = args.partition().map_or(1, |_| self.properties.partitioning.partition_count().max(1));
        let rows = usize::try_from(self.size.rows).unwrap_or(usize::MAX) / parts;
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Inexact(rows);
        statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(TUPLE as usize));
        Ok(Arc::new(statistics))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }
}

/// Returns, for each scan of a lake in a plan, the conditions that it evaluates and the number of files that they leave.
pub fn reads_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<(String, usize)>> {
    let mut reads: Vec<(String, HashSet<Path>)> = Vec::new();
    plan.apply(|node| {
        let files = node.downcast_ref::<DataSourceExec>();
        let files = files.and_then(|files| files.downcast_to_file_source::<ParquetSource>());
        match (node.downcast_ref::<LakeExec>(), files, reads.last_mut()) {
            (Some(scan), ..) => reads.push((scan.reading.options.predicate.to_string(), HashSet::new())),
            (None, Some((config, _)), Some((_, files))) => {
                let pieces = config.file_groups.iter().flat_map(|group| group.iter());
                files.extend(pieces.map(|piece| piece.object_meta.location.clone()));
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads.into_iter().map(|(pushed, files)| (pushed, files.len())).collect())
}

/// Returns the receipts of all scans of a lake in a plan.
pub fn receipts_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<LeafReceipts>> {
    let mut leaves = Vec::new();
    plan.apply(|node| {
        leaves.extend(node.downcast_ref::<LakeExec>().map(|scan| Arc::clone(&scan.receipts)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(leaves)
}
