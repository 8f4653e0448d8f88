//! Reads the units of a plan on all cores. Rows come as they are decoded, so that no blob is held as a whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::Options;
use super::plan::Plan;
use super::work::Work;
use crate::decode::{self, Projection};
use crate::engine::{Control, Receipt, Scanned, SpreadScan, read_unit};
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

/// Reading that failed.
#[derive(Debug)]
pub enum ReadError {
    /// Rows cannot be converted.
    Rows(ArrowError),
    /// Other processes did not finish.
    Unfinished(String),
}

impl From<ArrowError> for ReadError {
    fn from(error: ArrowError) -> Self {
        Self::Rows(error)
    }
}

/// Starts to read.
pub fn start(
    work: &Work,
    plan: &Plan,
    options: &Options,
    control: &Control,
    kept_from: Option<i32>,
) -> mpsc::Receiver<Result<Read, ReadError>> {
    let (sender, receiver) = mpsc::channel(1);
    let readers = std::thread::available_parallelism().map_or(1, usize::from);
    let ahead = if work.is_local { 0 } else { options.access.concurrency.div_ceil(readers) };
    let (projection, text) = (Projection(STORED.to_vec()), Text::Dictionary);
    let decoder = decode::Options { projection, text, ..decode::Options::default() };
    if let Some(workers) = options.workers.as_ref().filter(|_| !plan.units.is_empty()) {
        let scan = SpreadScan::start(workers, (&work.key, &work.store), &plan.units, decoder, ahead, control);
        tokio::spawn(async move {
            let ended = match scan {
                Ok(scan) => read_spread(scan, kept_from, &sender).await,
                Err(error) => Err(ReadError::Unfinished(error.to_string())),
            };
            if let Err(error) = ended {
                // The receiver is gone after another error.
                _ = sender.send(Err(error)).await;
            }
        });
        return receiver;
    }
    let units = Arc::new(Mutex::new(plan.units.clone().into_iter()));
    for _ in 0..readers {
        let (sender, units, decoder) = (sender.clone(), Arc::clone(&units), decoder.clone());
        let (store, control) = (Arc::clone(&work.store), control.clone());
        tokio::spawn(async move {
            while let Some(unit) = { units.lock().unwrap_or_else(PoisonError::into_inner).next() } {
                let mut scan = read_unit(Arc::clone(&store), unit, decoder.clone(), ahead, control.clone());
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
                    if sender.send(read.map_err(ReadError::Rows)).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    receiver
}

/// Passes on what other processes read. All rows come before the ends.
async fn read_spread(
    mut scan: SpreadScan,
    kept_from: Option<i32>,
    sender: &mpsc::Sender<Result<Read, ReadError>>,
) -> Result<(), ReadError> {
    let mut totals: HashMap<String, Totals> = HashMap::new();
    while let Some(batch) = scan.batches.next().await {
        let batch = batch.map_err(|error| ReadError::Unfinished(error.to_string()))?;
        let blob = blob_of(&batch)?;
        let batch = kept(&batch, kept_from)?;
        totals.entry(blob).or_default().add_all(&batch)?;
        if sender.send(Ok(Read::Rows(batch))).await.is_err() {
            return Ok(());
        }
    }
    for receipt in scan.take_receipts() {
        let totals = totals.remove(&receipt.blob).unwrap_or_default();
        if sender.send(Ok(Read::End(Box::new(Ended { receipt, totals })))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the blob of all rows of a batch.
fn blob_of(batch: &RecordBatch) -> Result<String, ArrowError> {
    let other = || ArrowError::SchemaError("rows of several blobs in one batch".to_owned());
    let at = STORED.iter().position(|column| *column == Column::Blob).ok_or_else(other)?;
    let blobs = cast(batch.column(at), &DataType::Utf8)?;
    let blobs = blobs.as_string_opt::<i32>().ok_or_else(other)?;
    let first = blobs.iter().next().flatten().ok_or_else(other)?;
    if blobs.iter().all(|blob| blob == Some(first)) { Ok(first.to_owned()) } else { Err(other()) }
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
