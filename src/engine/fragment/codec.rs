//! The codec of fragments: scans of flow logs and of lakes, without what they read, and functions. DataFusion encodes the
//! rest of a plan.

use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err, not_impl_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::physical_expr::expressions::Column as PlanColumn;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use super::frame::external;
use super::functions;
use super::task::Load;
use crate::decode::Options;
use crate::engine::scan::ScanContext;
use crate::engine::scan::opener::FlowSource;
use crate::engine::scan::receipt::LeafReceipts;
use crate::engine::tables::lake::{self, LakeExec, LakeScan};
use crate::schema::Column;

const UNITS: u8 = b'u';
const LAKE: u8 = b'l';

/// A scan of units, without the units.
#[derive(Debug, Serialize, Deserialize)]
struct UnitScan {
    store: String,
    options: Options,
    ahead: usize,
    limit: Option<usize>,
}

/// Encodes fragments, and notes whether their functions need a scope.
#[derive(Debug, Default)]
pub struct Encoder {
    needs_scope: Mutex<bool>,
}

/// Decodes fragments over the input of one task.
pub struct Decoder {
    /// Input of the task.
    pub load: Load,
    /// What scans share.
    pub context: ScanContext,
    /// Receipts of the scan.
    pub receipts: LeafReceipts,
    /// Functions and stores.
    pub known: Arc<TaskContext>,
}

/// Prepares a plan for the codec: its scan reads nothing, and computes nothing beside the columns that it reads.
pub fn prepared(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let prepare = |node: Arc<dyn ExecutionPlan>| {
        let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
        if let Some((config, source)) = scan.downcast_to_file_source::<FlowSource>() {
            return Ok(Transformed::yes(split(config, source)?));
        }
        if let Some((config, _)) = scan.downcast_to_file_source::<ParquetSource>() {
            let none = vec![FileGroup::new(Vec::new())];
            let config = FileScanConfigBuilder::from(config.clone()).with_file_groups(none).build();
            return Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>));
        }
        Ok(Transformed::no(node))
    };
    Ok(plan.transform_up(prepare)?.data)
}

/// Splits a scan into one of columns, and a projection above it.
fn split(config: &FileScanConfig, source: &FlowSource) -> Result<Arc<dyn ExecutionPlan>> {
    let options = source.decoder_options();
    let read: Vec<Column> = options.projection.0.clone();
    let whole = FlowSource::new(options, source.ahead(), source.context().clone());
    let scan = FileScanConfigBuilder::new(config.object_store_url.clone(), Arc::new(whole))
        .with_file_groups(vec![FileGroup::new(Vec::new())])
        .with_projection_indices(Some(read.iter().map(|column| *column as usize).collect()))?
        .with_limit(config.limit)
        .build();
    let place = |expr: Arc<dyn PhysicalExpr>| match expr.downcast_ref::<PlanColumn>() {
        Some(column) => match read.iter().position(|read| *read as usize == column.index()) {
            Some(at) => Ok(Transformed::yes(Arc::new(PlanColumn::new(column.name(), at)) as Arc<dyn PhysicalExpr>)),
            None => internal_err!("a scan computes with a column that it does not read"),
        },
        None => Ok(Transformed::no(expr)),
    };
    let placed = |projected: &ProjectionExpr| {
        let expr = Arc::clone(&projected.expr).transform_up(place)?.data;
        Ok(ProjectionExpr::new(expr, projected.alias.clone()))
    };
    let placed = source.projected().iter().map(placed).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(placed, DataSourceExec::from_data_source(scan))?))
}

impl Encoder {
    /// Returns whether a function that was encoded depends on the scope.
    pub fn needs_scope(&self) -> bool {
        self.needs_scope.lock().map_or(true, |needs| *needs)
    }

    fn note(&self, name: &str) {
        if functions::needs_scope(name)
            && let Ok(mut needs) = self.needs_scope.lock()
        {
            *needs = true;
        }
    }
}

impl PhysicalExtensionCodec for Encoder {
    fn try_decode(
        &self,
        _: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("an encoder decodes nothing")
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let scan = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.downcast_to_file_source::<FlowSource>());
        if let Some((config, source)) = scan {
            let store = config.object_store_url.as_str().to_owned();
            let options = source.decoder_options();
            let scan = UnitScan { store, options, ahead: source.ahead(), limit: config.limit };
            bytes.push(UNITS);
            return serde_json::to_writer(bytes, &scan).map_err(external);
        }
        if let Some(scan) = node.downcast_ref::<LakeExec>() {
            bytes.push(LAKE);
            return serde_json::to_writer(bytes, &scan.sent()).map_err(external);
        }
        not_impl_err!("the operator {} cannot run on another machine", node.name())
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.note(function.name());
        functions::encode(function, bytes);
        Ok(())
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, _: &mut Vec<u8>) -> Result<()> {
        self.note(function.name());
        Ok(())
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

impl PhysicalExtensionCodec for Decoder {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        known: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes.split_first(), inputs) {
            (Some((&UNITS, message)), []) => {
                let UnitScan { store, options, ahead, limit } = serde_json::from_slice(message).map_err(external)?;
                let columns = options.projection.0.iter().map(|column| *column as usize).collect();
                let source = FlowSource::new(options, ahead, self.context.clone());
                let source = source.with_receipts(Arc::clone(&self.receipts));
                let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(store)?, Arc::new(source))
                    .with_file_groups(vec![self.load.files()?])
                    .with_projection_indices(Some(columns))?
                    .with_limit(limit)
                    .build();
                Ok(DataSourceExec::from_data_source(config))
            }
            (Some((&LAKE, message)), [files]) => {
                let sent: LakeScan = serde_json::from_slice(message).map_err(external)?;
                let files = files.downcast_ref::<DataSourceExec>();
                let files = files.and_then(|files| files.downcast_to_file_source::<ParquetSource>());
                let (config, source) = files.ok_or_else(|| exec_datafusion_err!("a lake without its files"))?;
                let store = known.runtime_env().object_store(&config.object_store_url)?;
                let config = FileScanConfigBuilder::from(config.clone())
                    .with_source(Arc::new(lake::with_readers(source.clone(), store, &Arc::default())))
                    .with_file_groups(vec![self.load.files()?])
                    .build();
                let files = DataSourceExec::from_data_source(config);
                Ok(Arc::new(sent.over(files, self.context.control.clone())?))
            }
            _ => exec_err!("a scan of another form"),
        }
    }

    fn try_encode(
        &self,
        _: Arc<dyn ExecutionPlan>,
        _: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        internal_err!("a decoder encodes nothing")
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        functions::decode(name, bytes, &self.known)
    }
}
