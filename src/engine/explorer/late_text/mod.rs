//! An optimizer rule: addresses are grouped, counted and joined as numbers, and converted to text at the end.
//!
//! A scan of `flows` can return `src_ip` and `dst_ip` as numbers. Numbers and texts correspond one to one, so groups,
//! distinct counts and equality are the same over both. The rule makes a scan return numbers if an operator above it
//! gains by them. It puts `ip_text` above the last such operator. Order, patterns and other functions need the text. A
//! column that an expression needs as text before rows are grouped stays text from the scan on.

mod expressions;
mod numbers;
mod operators;

use std::collections::BTreeSet;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use numbers::Origin;
use operators::Pull;

/// Defers the conversion of addresses to text. Runs after DataFusion's rules, which push filters to the scans.
#[derive(Debug)]
pub struct LateText;

impl OptimizerRule for LateText {
    fn name(&self) -> &str {
        "late_text"
    }

    /// Rewrites with all addresses as numbers first, then only with those that gained, until all of them gain.
    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut allowed = None;
        loop {
            let mut pull = Pull::new(allowed);
            let rewritten = pull.in_text(plan.clone())?;
            let gained: BTreeSet<Origin> = pull.gained();
            if gained.is_empty() {
                return Ok(Transformed::no(plan));
            }
            if pull.allowed() == Some(&gained) {
                return Ok(Transformed::yes(rewritten));
            }
            allowed = Some(gained);
        }
    }
}
