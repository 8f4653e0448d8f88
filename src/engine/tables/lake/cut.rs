//! Counts of the blobs that a window cuts, from their rows. The cursors have those of whole blobs only.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{TimestampMillisecondType, UInt8Type, UInt32Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;

use crate::decode::Counts;
use crate::flow::{Decision, LogKind};
use crate::schema::Column;

/// Columns of the rows to count, of [`Text::Coded`].
///
/// [`Text::Coded`]: crate::schema::Text::Coded
pub const COUNTED: [Column; 5] = [Column::Time, Column::Decision, Column::LogKind, Column::LogVersion, Column::Blob];

/// Adds the rows of a plan with the columns [`COUNTED`] to the counts of their blobs. Rows of other blobs do not count.
pub async fn count(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    counts: &mut HashMap<String, Counts>,
) -> Result<()> {
    let mut batches = execute_stream(plan, task)?;
    while let Some(batch) = batches.try_next().await? {
        add(&batch, counts).ok_or_else(|| internal_datafusion_err!("counted columns of other types"))?;
    }
    Ok(())
}

fn add(batch: &RecordBatch, counts: &mut HashMap<String, Counts>) -> Option<()> {
    let [times, decisions, kinds, versions, blobs] = batch.columns() else { return None };
    let (times, versions) = (times.as_primitive_opt::<TimestampMillisecondType>()?, versions.as_primitive_opt()?);
    let versions: &arrow::array::UInt8Array = versions;
    let [decisions, kinds] = [decisions.as_dictionary_opt::<UInt8Type>()?, kinds.as_dictionary_opt::<UInt8Type>()?];
    let blobs = blobs.as_dictionary_opt::<UInt32Type>()?;
    let names = blobs.values().as_string_view_opt()?;
    for row in 0..batch.num_rows() {
        let Some(counts) = counts.get_mut(names.value(*blobs.keys().values().get(row)? as usize)) else { continue };
        let time = times.value(row);
        counts.tuples += 1;
        // The codes of a name are those of its variant.
        counts.denied_tuples += u64::from(decisions.keys().value(row) == Decision::Deny as u8);
        let is_nsg = kinds.keys().value(row) == LogKind::Nsg as u8;
        *match (is_nsg, versions.value(row)) {
            (true, 1) => &mut counts.versions.nsg1,
            (true, _) => &mut counts.versions.nsg2,
            (false, _) => &mut counts.versions.vnet4,
        } += 1;
        let (first, last) = counts.times.unwrap_or((time, time));
        counts.times = Some((first.min(time), last.max(time)));
    }
    Some(())
}
