//! Finds the fragments of a plan. A fragment is a scan, with the operators above it that treat each partition apart:
//! filters, projections, and aggregates that make partial results. Sorts and limits that drop rows run in it too, and again
//! above it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};
use tracing::debug;

use super::Spreading;
use super::spread::SpreadExec;
use super::task::Load;
use crate::engine::scan::opener::FlowSource;
use crate::engine::scan::unit::UnitContents;
use crate::engine::tables::lake::LakeExec;

/// Returns the plan with its fragments on the workers.
pub fn spread(plan: Arc<dyn ExecutionPlan>, spreading: &Arc<Spreading>) -> Result<Arc<dyn ExecutionPlan>> {
    visited(plan, spreading)?.closed(spreading)
}

/// A part of a plan.
enum Visited {
    /// Fragments that the operator above may join. Their rows together are those of the part.
    Open(Vec<Arc<dyn ExecutionPlan>>),
    /// A part whose fragments are on the workers.
    Closed(Arc<dyn ExecutionPlan>),
}

impl Visited {
    fn closed(self, spreading: &Arc<Spreading>) -> Result<Arc<dyn ExecutionPlan>> {
        match self {
            Self::Closed(plan) => Ok(plan),
            Self::Open(fragments) => {
                let mut plans =
                    fragments.into_iter().map(|fragment| close(fragment, spreading)).collect::<Result<Vec<_>>>()?;
                if plans.len() == 1 { Ok(plans.swap_remove(0)) } else { UnionExec::try_new(plans) }
            }
        }
    }
}

fn visited(node: Arc<dyn ExecutionPlan>, spreading: &Arc<Spreading>) -> Result<Visited> {
    if is_scan(&node) {
        return Ok(Visited::Open(vec![node]));
    }
    let children = node.children().into_iter().cloned();
    let mut parts = children.map(|child| visited(child, spreading)).collect::<Result<Vec<_>>>()?;
    if node.is::<UnionExec>() && parts.iter().all(|part| matches!(part, Visited::Open(_))) {
        let fragments = parts.into_iter().flat_map(|part| match part {
            Visited::Open(fragments) => fragments,
            Visited::Closed(plan) => vec![plan],
        });
        return Ok(Visited::Open(fragments.collect()));
    }
    let joined = |fragments: Vec<Arc<dyn ExecutionPlan>>| {
        let over = |fragment| replace_children_if_necessary(Arc::clone(&node), vec![fragment]);
        fragments.into_iter().map(over).collect::<Result<Vec<_>>>()
    };
    if let [Visited::Open(fragments)] = parts.as_mut_slice() {
        if moves(&node) {
            return Ok(Visited::Open(joined(std::mem::take(fragments))?));
        }
        if repeats(&node) {
            let copies = std::mem::take(fragments).into_iter().map(|fragment| copy(&node, fragment));
            let below = Visited::Open(copies.collect::<Result<_>>()?).closed(spreading)?;
            return Ok(Visited::Closed(replace_children_if_necessary(Arc::clone(&node), vec![below])?));
        }
    }
    let closed = parts.into_iter().map(|part| part.closed(spreading)).collect::<Result<Vec<_>>>()?;
    Ok(Visited::Closed(replace_children_if_necessary(node, closed)?))
}

/// Returns whether a node is a scan that can be cut into tasks. A look at the starts of blobs reads little, and stays here.
fn is_scan(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(lake) = node.downcast_ref::<LakeExec>() {
        return lake.children().iter().all(|files| files.is::<DataSourceExec>());
    }
    let scan = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.downcast_to_file_source::<FlowSource>());
    let Some((config, _)) = scan else { return false };
    let loads = Load::cut(config);
    let is_look = |load: &Load| match load {
        Load::Units(units) => units.iter().any(|unit| matches!(unit.reading, UnitContents::Start { .. })),
        Load::Files(_) => true,
    };
    !loads.iter().any(is_look)
}

/// Returns whether an operator runs in a fragment alone.
fn moves(node: &Arc<dyn ExecutionPlan>) -> bool {
    let is_partial = |node: &AggregateExec| *node.mode() == AggregateMode::Partial;
    node.is::<FilterExec>()
        || node.is::<ProjectionExec>()
        || node.is::<CooperativeExec>()
        || node.downcast_ref::<AggregateExec>().is_some_and(is_partial)
}

/// Returns whether an operator runs in a fragment, where it drops rows, and again above it.
fn repeats(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<LocalLimitExec>() || node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_some())
}

/// Returns a copy of an operator over a fragment. A sort gets a filter of its own: with that of the original, it would drop
/// rows that the original still needs.
fn copy(node: &Arc<dyn ExecutionPlan>, fragment: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match node.downcast_ref::<SortExec>() {
        Some(sort) => Ok(Arc::new(
            SortExec::new(sort.expr().clone(), fragment)
                .with_preserve_partitioning(sort.preserve_partitioning())
                .with_fetch(sort.fetch()),
        )),
        None => replace_children_if_necessary(Arc::clone(node), vec![fragment]),
    }
}

/// Puts a fragment on the workers. An operator that cannot travel stays here.
fn close(fragment: Arc<dyn ExecutionPlan>, spreading: &Arc<Spreading>) -> Result<Arc<dyn ExecutionPlan>> {
    match SpreadExec::try_new(Arc::clone(&fragment), spreading) {
        Ok(spread) => Ok(Arc::new(spread)),
        Err(error) => {
            debug!(operator = fragment.name(), %error, "an operator does not travel");
            if is_scan(&fragment) {
                return Ok(fragment);
            }
            let [below] = fragment.children()[..] else { return Ok(fragment) };
            let below = close(Arc::clone(below), spreading)?;
            replace_children_if_necessary(fragment, vec![below])
        }
    }
}
