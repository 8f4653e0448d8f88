//! Sorts rows by day, decision, interface, direction and time, denied flows first. A query for denied flows or for an hour
//! then needs few pages of a row group, and values that are alike are next to each other, which makes files smaller.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::lake::columns::index;
use crate::schema::Column;

/// Rows per batch that is written.
const BATCH: usize = 8192;
/// One day, in µs.
const DAY: i64 = 86_400_000_000;

/// Rows of several batches in order.
pub struct Sorted {
    batches: Vec<RecordBatch>,
    rows: Vec<Row>,
}

/// A row and its place in the order. Rows of one key stay in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    day: i32,
    is_allowed: bool,
    /// Number of the interface and direction.
    group: u32,
    /// Time in the day, in µs.
    time: i64,
    batch: u32,
    row: u32,
}

impl Sorted {
    /// Sorts the rows.
    pub fn new(batches: Vec<RecordBatch>) -> Result<Self, ArrowError> {
        let lacks = || ArrowError::SchemaError("a column of a lake is missing".to_owned());
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        let mut interfaces = Interfaces::default();
        for (nr, batch) in batches.iter().enumerate() {
            let column = |column| index(column).and_then(|at| batch.columns().get(at)).ok_or_else(lacks);
            let times =
                column(Column::Time)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(lacks)?.values();
            let text = |of| column(of)?.as_string_view_opt().ok_or_else(lacks);
            let (decisions, macs, directions) = (text(Column::Decision)?, text(Column::Mac)?, text(Column::Direction)?);
            rows.extend(times.iter().enumerate().map(|(row, &time)| Row {
                day: time.div_euclid(DAY) as i32,
                is_allowed: decisions.value(row) != "deny",
                group: interfaces.number(macs.is_valid(row).then(|| macs.value(row))) * 2
                    + u32::from(directions.value(row) == "outbound"),
                time: time.rem_euclid(DAY),
                batch: nr as u32,
                row: row as u32,
            }));
        }
        rows.sort_unstable();
        Ok(Self { batches, rows })
    }

    /// Returns the days, in days since 1970, each with the range of its rows.
    pub fn days(&self) -> impl Iterator<Item = (i32, Range<usize>)> {
        let mut start = 0;
        self.rows.chunk_by(|a, b| a.day == b.day).map(move |rows| {
            let range = start..start + rows.len();
            start = range.end;
            (rows[0].day, range)
        })
    }

    /// Returns the rows of a range in order.
    pub fn batches(&self, range: Range<usize>) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        self.rows[range].chunks(BATCH).map(move |rows| {
            let places: Vec<(usize, usize)> = rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
            interleave_record_batch(&batches, &places)
        })
    }
}

/// Numbers of interfaces, in the order in which they occur.
#[derive(Default)]
struct Interfaces {
    numbers: HashMap<Option<String>, u32>,
    last: Option<(Option<String>, u32)>,
}

impl Interfaces {
    fn number(&mut self, mac: Option<&str>) -> u32 {
        match &self.last {
            Some((last, number)) if last.as_deref() == mac => *number,
            _ => {
                let mac = mac.map(str::to_owned);
                let next = self.numbers.len() as u32;
                let number = *self.numbers.entry(mac.clone()).or_insert(next);
                self.last = Some((mac, number));
                number
            }
        }
    }
}

/// Joins batches into one that holds no memory but that of its rows.
pub fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let joined = concat_batches(schema, batches)?;
    let columns = joined.columns().iter().map(|column| match column.as_string_view_opt() {
        Some(text) => Arc::new(text.gc()) as ArrayRef,
        None => Arc::clone(column),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect())
}
