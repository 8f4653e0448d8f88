//! Sums over rows of a lake, by which a table and its cursors are compared.

use std::collections::HashMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use crate::schema::Column;

/// Columns that the sums need.
pub const SUMMED: [Column; 6] = [
    Column::Blob,
    Column::Decision,
    Column::PacketsSent,
    Column::BytesSent,
    Column::PacketsReceived,
    Column::BytesReceived,
];

/// Sums over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Number of rows.
    pub rows: u64,
    /// Number of rows with the decision `deny`.
    pub denied: u64,
    /// Sum of all packet and byte counters, modulo 2^64.
    pub sum: u64,
}

impl Totals {
    /// Adds other rows.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.denied += other.denied;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Takes away rows that were added.
    pub fn subtract(&mut self, other: &Self) {
        self.rows = self.rows.saturating_sub(other.rows);
        self.denied = self.denied.saturating_sub(other.denied);
        self.sum = self.sum.wrapping_sub(other.sum);
    }

    /// Adds all rows of a batch, which may lack columns that are not summed.
    pub fn add_all(&mut self, batch: &RecordBatch) {
        each(batch, |_, row| self.add(&row));
    }
}

/// Adds the rows of a batch by the names of their blobs.
pub fn add_by_blob(batch: &RecordBatch, totals: &mut HashMap<String, Totals>) {
    let Some(blobs) = batch.column_by_name(Column::Blob.name()).and_then(|column| column.as_string_view_opt()) else {
        return;
    };
    each(batch, |row, sums| match totals.get_mut(blobs.value(row)) {
        Some(known) => known.add(&sums),
        None => _ = totals.insert(blobs.value(row).to_owned(), sums),
    });
}

/// Calls `each` with the number and the sums of each row.
fn each(batch: &RecordBatch, mut each: impl FnMut(usize, Totals)) {
    let column = |column: Column| batch.column_by_name(column.name());
    let decisions = column(Column::Decision).and_then(|column| column.as_string_view_opt());
    let counters: Vec<_> = SUMMED
        .into_iter()
        .filter_map(|counter| column(counter).and_then(|column| column.as_primitive_opt::<Int64Type>()))
        .collect();
    for row in 0..batch.num_rows() {
        let denied = decisions.is_some_and(|decisions| decisions.value(row) == "deny");
        let counted = counters.iter().filter(|counter| counter.is_valid(row)).map(|counter| counter.value(row) as u64);
        let sum = counted.fold(0, u64::wrapping_add);
        each(row, Totals { rows: 1, denied: denied.into(), sum });
    }
}
