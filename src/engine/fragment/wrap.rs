//! Wraps a fragment into a parcel, and finds its scan.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err, not_impl_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;

use super::Spreading;
use super::codec::Encoder;
use super::parcel::{Parcel, ParcelSession, VERSION};
use crate::engine::scan::opener::FlowSource;
use crate::time::TimeRange;

/// Returns the bytes of a prepared fragment.
pub fn wrapped(prepared: &Arc<dyn ExecutionPlan>, spreading: &Spreading, settings: &ConfigOptions) -> Result<Bytes> {
    if has_subquery(prepared)? {
        return not_impl_err!("a value that a subquery gives");
    }
    let encoder = Encoder::default();
    let node = PhysicalPlanNode::try_from_physical_plan(Arc::clone(prepared), &encoder)?;
    let mut plan = Vec::new();
    node.try_encode(&mut plan)?;
    let scope = encoder.needs_scope().then(|| (*spreading.scope).clone());
    let store = scan_of(prepared)?.config.object_store_url.as_str().to_owned();
    let session = ParcelSession { functions: spreading.functions, scope, settings: changed(settings), store };
    Parcel { session, plan: plan.into() }.encode(VERSION)
}

/// Returns whether an operator computes with the value of a subquery, which its process alone has.
fn has_subquery(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut has_subquery = false;
    plan.apply(|node| {
        node.apply_expressions(&mut |expr| {
            has_subquery |= expr.exists(|expr| Ok(expr.is::<ScalarSubqueryExpr>()))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(has_subquery)
}

/// Returns the settings that differ from the defaults.
fn changed(settings: &ConfigOptions) -> Vec<(String, String)> {
    let defaults = ConfigOptions::default().entries();
    let defaults: BTreeMap<String, Option<String>> =
        defaults.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let changed = settings.entries().into_iter().filter(|entry| defaults.get(&entry.key) != Some(&entry.value));
    changed.filter_map(|entry| Some((entry.key, entry.value?))).collect()
}

/// The scan of a fragment.
pub struct Scan {
    /// Store and files.
    pub config: FileScanConfig,
    /// Times of the flows that it reads, for a scan of units.
    pub times: TimeRange,
    /// Whether it may end before its input.
    pub has_limit: bool,
}

/// Returns the scan of a fragment.
pub fn scan_of(fragment: &Arc<dyn ExecutionPlan>) -> Result<Scan> {
    let (mut found, mut has_limit) = (None, false);
    fragment.apply(|node| {
        has_limit |= node.is::<LocalLimitExec>();
        if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
            if let Some((config, source)) = scan.downcast_to_file_source::<FlowSource>() {
                has_limit |= config.limit.is_some();
                found = Some((config.clone(), source.decoder_options().predicate.times));
            } else if let Some((config, _)) = scan.downcast_to_file_source::<ParquetSource>() {
                found = Some((config.clone(), TimeRange::default()));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some((config, times)) = found else { return internal_err!("a fragment without a scan") };
    Ok(Scan { config, times, has_limit })
}
