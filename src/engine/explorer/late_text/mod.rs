//! An optimizer rule: addresses are grouped, counted and joined as numbers, and their text is made at the end.
//!
//! A scan of `flows` can give `src_ip` and `dst_ip` as numbers. Each number has one text and each text one number, so groups,
//! distinct counts and equality are the same over both. The rule has a scan give numbers where an operator above it gains
//! by them, and puts `ip_text` above the last such operator. Order, patterns and functions are of the text: a column that
//! an expression needs as text before rows are grouped stays text from the scan on.

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

/// Makes the text of addresses late. Runs after the rules of the engine, which push conditions to the scans.
#[derive(Debug)]
pub struct LateText;

impl OptimizerRule for LateText {
    fn name(&self) -> &str {
        "late_text"
    }

    /// Tries all addresses as numbers first, then those that gained, until all of them do.
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
