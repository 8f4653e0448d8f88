//! Sums over rows of a lake, by which a table and its cursors are compared.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use crate::schema::Column;
use crate::source::hash;

/// Sums over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Number of rows.
    pub rows: u64,
    /// Number of rows with the decision `deny`.
    pub denied: u64,
    /// Sum of the hashes of all rows, modulo 2^64. It does not depend on their order.
    pub hash: u64,
}

impl Totals {
    /// Adds other rows.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.denied += other.denied;
        self.hash = self.hash.wrapping_add(other.hash);
    }

    /// Takes away rows that were added.
    pub fn subtract(&mut self, other: &Self) {
        self.rows = self.rows.saturating_sub(other.rows);
        self.denied = self.denied.saturating_sub(other.denied);
        self.hash = self.hash.wrapping_sub(other.hash);
    }

    /// Adds all rows of a batch with the columns of [`super::columns::stored`].
    pub fn add_all(&mut self, batch: &RecordBatch) {
        each(batch, |_, row| self.add(&row));
    }
}

/// Adds the rows of a batch with the columns of [`super::columns::stored`] by the names of their blobs.
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
    let decisions = batch.column_by_name(Column::Decision.name()).and_then(|column| column.as_string_view_opt());
    for (row, hash) in hashes(batch).into_iter().enumerate() {
        let denied = decisions.is_some_and(|decisions| decisions.value(row) == "deny");
        each(row, Totals { rows: 1, denied: denied.into(), hash });
    }
}

/// Returns a hash of each row: of every column in order, so that a value which moves to another column changes it.
/// Cursor files store sums of these hashes, so the function must not change.
fn hashes(batch: &RecordBatch) -> Vec<u64> {
    let mut hashes = vec![0; batch.num_rows()];
    for column in batch.columns() {
        match column.data_type() {
            DataType::Utf8View => add_texts(&mut hashes, column.as_string_view()),
            DataType::Int32 => {
                add_numbers(&mut hashes, column.as_primitive::<Int32Type>().iter().map(|n| n.map(i64::from)));
            }
            DataType::Int64 => add_numbers(&mut hashes, column.as_primitive::<Int64Type>().iter()),
            _ => {
                let times = column.as_primitive_opt::<TimestampMicrosecondType>();
                times.into_iter().for_each(|times| add_numbers(&mut hashes, times.iter()));
            }
        }
    }
    hashes
}

fn add_numbers(hashes: &mut [u64], numbers: impl Iterator<Item = Option<i64>>) {
    for (row, number) in hashes.iter_mut().zip(numbers) {
        *row = number.map_or(mixed(*row, NULL), |number| mixed(*row, number.cast_unsigned()));
    }
}

fn add_texts(hashes: &mut [u64], texts: &StringViewArray) {
    // Texts repeat, and equal views of one array are equal texts.
    let (mut last, mut of_last) = (0, hash(b""));
    for (at, (row, view)) in hashes.iter_mut().zip(texts.views()).enumerate() {
        if texts.is_null(at) {
            *row = mixed(*row, NULL);
            continue;
        }
        if *view != last {
            (last, of_last) = (*view, hash(texts.value(at).as_bytes()));
        }
        *row = mixed(*row, of_last);
    }
}

/// Stands for a value that is null.
const NULL: u64 = 0x6a09_e667_f3bc_c909;

/// Adds a value to the hash of those before it.
fn mixed(before: u64, value: u64) -> u64 {
    let mixed = (before.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
