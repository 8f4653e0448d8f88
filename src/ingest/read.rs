//! Reads the units of a plan on all cores. Rows come as they are decoded, so that no blob is held as a whole.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::Options;
use super::plan::Plan;
use super::work::Work;
use crate::decode::{self, Projection};
use crate::engine::{Control, Receipt, Scanned, read_unit};
use crate::lake::Totals;
use crate::lake::columns::{STORED, index, to_held};
use crate::schema::{Column, Text};
use crate::time::DAY;

/// What comes of a unit.
pub enum Read {
    /// Rows, as the lake stores them. Those of several units come mixed.
    Rows(RecordBatch),
    /// End of a blob, or of the part of it that is new. Its rows came before.
    End(Box<Ended>),
}

/// A blob whose reading ended.
pub struct Ended {
    /// What the decoder counted.
    pub receipt: Receipt,
    /// Sums over its rows.
    pub totals: Totals,
}

/// Starts to read.
pub fn start(
    work: &Work,
    plan: &Plan,
    options: &Options,
    control: &Control,
    kept_from: Option<i32>,
) -> mpsc::Receiver<Result<Read, ArrowError>> {
    let (sender, receiver) = mpsc::channel(1);
    let units = Arc::new(Mutex::new(plan.units.clone().into_iter()));
    let readers = std::thread::available_parallelism().map_or(1, usize::from);
    let ahead = if work.is_local { 0 } else { options.access.concurrency.div_ceil(readers) };
    for _ in 0..readers {
        let (sender, units) = (sender.clone(), Arc::clone(&units));
        let (store, control) = (Arc::clone(&work.store), control.clone());
        tokio::spawn(async move {
            while let Some(unit) = { units.lock().unwrap_or_else(PoisonError::into_inner).next() } {
                let (projection, text) = (Projection(STORED.to_vec()), Text::Dictionary);
                let options = decode::Options { projection, text, ..decode::Options::default() };
                let mut scan = read_unit(Arc::clone(&store), unit, options, ahead, control.clone());
                let mut totals = Totals::default();
                while let Some(scanned) = scan.next().await {
                    let read = match scanned {
                        Scanned::Batch(batch) => kept(&batch, kept_from).and_then(|batch| {
                            totals.add_all(&batch)?;
                            Ok(Read::Rows(batch))
                        }),
                        Scanned::Receipt(receipt) => {
                            let totals = std::mem::take(&mut totals);
                            Ok(Read::End(Box::new(Ended { receipt: *receipt, totals })))
                        }
                    };
                    // The receiver is gone after an error.
                    if sender.send(read).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    receiver
}

/// Converts rows, without those of days that were deleted.
fn kept(batch: &RecordBatch, kept_from: Option<i32>) -> Result<RecordBatch, ArrowError> {
    let batch = to_held(batch)?;
    let times = index(Column::Time).and_then(|at| batch.column(at).as_primitive_opt::<TimestampMicrosecondType>());
    match (kept_from, times) {
        (Some(day), Some(times)) => {
            let first = i64::from(day) * DAY * 1000;
            let is_kept: BooleanArray = times.values().iter().map(|time| Some(*time >= first)).collect();
            filter_record_batch(&batch, &is_kept)
        }
        _ => Ok(batch),
    }
}
