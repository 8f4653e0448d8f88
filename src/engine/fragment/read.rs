//! Scans units on the workers, without a query. Ingests use this.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;

use super::spread::SpreadExec;
use super::task::file_of;
use super::{Functions, Spreading, Workers};
use crate::catalog::Edition;
use crate::decode::Options;
use crate::engine::archive::Registry;
use crate::engine::error::SessionError;
use crate::engine::scan::ScanContext;
use crate::engine::scan::control::Control;
use crate::engine::scan::opener::FlowSource;
use crate::engine::scan::receipt::{LeafReceipts, Receipt, Receipts};
use crate::engine::scan::unit::ScanUnit;
use crate::engine::scope::Scope;
use crate::source::{StoreKey, Stores};

/// Units that workers scan.
pub struct SpreadScan {
    /// Rows. Each batch has those of one blob.
    pub batches: BoxStream<'static, Result<RecordBatch, SessionError>>,
    receipts: LeafReceipts,
}

impl SpreadScan {
    /// Starts to scan units of a store. This process opens it, too, for what the workers cannot read.
    pub fn start(
        workers: &Arc<dyn Workers>,
        (key, store): (&StoreKey, &Arc<dyn ObjectStore>),
        units: &[Arc<ScanUnit>],
        options: Options,
        ahead: usize,
        control: &Control,
    ) -> Result<Self, SessionError> {
        let stores = Registry::new(Stores::default());
        stores.register_store(key.url(), Arc::clone(store));
        let runtime = RuntimeEnvBuilder::new()
            .with_object_list_cache_limit(0)
            .with_object_store_registry(Arc::new(stores))
            .build_arc()?;
        let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
        let scans = ScanContext { concurrency: ahead, pushdown: true, control: control.clone() };
        let columns = options.projection.0.iter().map(|column| *column as usize).collect();
        let source = FlowSource::new(options, ahead, scans);
        let files = FileGroup::new(units.iter().map(|unit| file_of(Arc::clone(unit))).collect());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(key.url())?, Arc::new(source))
            .with_file_groups(vec![files])
            .with_projection_indices(Some(columns))?
            .build();
        // No function is called, so any scope will do.
        let scope = Edition::newest().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let spreading = Arc::new(Spreading {
            workers: Arc::clone(workers),
            scope: Arc::new(Scope::new(scope)),
            functions: Functions::Analysis,
            control: control.clone(),
        });
        let receipts = Arc::new(Mutex::new(Receipts::recording()));
        let scan = SpreadExec::try_new(DataSourceExec::from_data_source(config), &spreading)?;
        let scan = scan.with_receipts(Arc::clone(&receipts));
        let batches = scan.execute(0, context.task_ctx())?;
        Ok(Self { batches: batches.map(|batch| batch.map_err(SessionError::from)).boxed(), receipts })
    }

    /// Returns the receipts of what was scanned so far.
    pub fn take_receipts(&self) -> Vec<Receipt> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner).take_recorded()
    }
}
