//! The table `flows`, over scan units or over a lake.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;

use super::ScanContext;
use super::opener::FlowSource;
use super::pushdown;
use super::unit::ScanUnit;
use crate::decode::{Options, Predicate, Projection};
use crate::engine::tables::lake;
use crate::engine::tables::lake::LakeFlows;
use crate::schema;
use crate::schema::{Column, Text};
use crate::source::StoreKey;

/// Scan units by store.
pub type StoreUnits = Vec<(StoreKey, Vec<Arc<ScanUnit>>)>;

/// The table `flows` of an archive.
#[derive(Debug, Clone)]
pub struct FlowTable {
    origin: Origin,
    /// Window, interfaces and text encoding. The query adds projection and predicate.
    options: Options,
    context: ScanContext,
}

/// Where the flows come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Units to scan, by store.
    Units(Arc<StoreUnits>),
    /// A lake.
    Lake(Arc<LakeFlows>),
    /// Some blobs of a lake, for a look.
    Looked(Arc<LakeFlows>, Arc<HashSet<String>>),
}

/// Average bytes per tuple, for estimates only.
const TUPLE: u64 = 60;

impl FlowTable {
    pub fn new(origin: Origin, options: Options, context: ScanContext) -> Self {
        Self { origin, options, context }
    }

    /// Returns the encoding of its text columns.
    pub fn text(&self) -> Text {
        self.options.text
    }

    /// Returns whether source and destination addresses are numbers, independent of the text encoding.
    pub fn numbers(&self) -> [bool; 2] {
        self.options.numbers
    }

    /// Returns the same flows with the addresses of the flagged ends as numbers.
    pub fn with_numbers(&self, numbers: [bool; 2]) -> Self {
        Self { options: Options { numbers, ..self.options.clone() }, ..self.clone() }
    }

    fn scan_store(
        &self,
        store: &StoreKey,
        units: &[Arc<ScanUnit>],
        options: &Options,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let bytes: u64 = units.iter().map(|unit| unit.size()).sum();
        let mut statistics = Statistics::new_unknown(&self.schema());
        // An estimate, because without row counts joins would buffer the flows instead of the small table.
        statistics.num_rows = Precision::Inexact((bytes / TUPLE) as usize);
        statistics.total_byte_size = Precision::Inexact(bytes as usize);
        let files = units.iter().map(|unit| {
            let mut file = PartitionedFile::new(unit.location(), unit.size());
            file.extensions.insert(Arc::clone(unit));
            file
        });
        let ahead = if store.is_local() { 0 } else { self.context.concurrency };
        let source = Arc::new(FlowSource::new(options.clone(), ahead, self.context.clone()));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(store.url())?, source)
            .with_file_groups(FileGroup::new(files.collect()).split_files(partitions))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[async_trait]
impl TableProvider for FlowTable {
    fn schema(&self) -> SchemaRef {
        schema::flows_with_numbers(self.options.text, self.options.numbers)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let is_lake = !matches!(self.origin, Origin::Units(_));
        let support = |filter: &&Expr| match pushdown::term(filter) {
            _ if !self.context.pushdown => TableProviderFilterPushDown::Unsupported,
            Some(_) => TableProviderFilterPushDown::Exact,
            None if is_lake && lake::one_of(filter).is_some() => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut predicate = Predicate::default();
        for term in filters.iter().filter_map(pushdown::term) {
            predicate.narrow(term);
        }
        let options = Options { predicate, ..self.options.clone() };
        let (lake, only) = match &self.origin {
            Origin::Units(stores) => return self.scan_units(stores, state, projection, &options, limit),
            Origin::Lake(lake) => (lake, None),
            Origin::Looked(lake, blobs) => (lake, Some(Arc::clone(blobs))),
        };
        let columns = projection.map(|indices| indices.iter().map(|&index| Column::ALL[index]).collect());
        let options = Options { projection: columns.map_or_else(Projection::all, Projection), ..options };
        let others = filters.iter().filter(|filter| pushdown::term(filter).is_none());
        lake.scan(state, options, others.filter_map(lake::one_of).collect(), only, limit).await
    }
}

impl FlowTable {
    fn scan_units(
        &self,
        stores: &StoreUnits,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        options: &Options,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = state.config().target_partitions();
        let scans: Vec<Arc<dyn ExecutionPlan>> = stores
            .iter()
            .filter(|(_, units)| !units.is_empty())
            .map(|(store, units)| self.scan_store(store, units, options, projection, limit, partitions))
            .collect::<Result<_>>()?;
        match scans.len() {
            0 => {
                let schema = self.schema();
                let schema = projection.map_or(Ok(Arc::clone(&schema)), |p| schema.project(p).map(Arc::new))?;
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(Arc::clone(&scans[0])),
            _ => UnionExec::try_new(scans),
        }
    }
}
