//! Sums over rows of a lake, by which a table and its cursors are compared.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::text::TextColumn;
use crate::flow::Decision;
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

    /// Adds all rows of a batch with the schema [`super::columns::held`].
    pub fn add_all(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        rows(batch)?.for_each(|row| self.add(&row));
        Ok(())
    }
}

/// Adds the rows of a batch with the schema [`super::columns::held`] by the names of their blobs.
pub fn add_by_blob(batch: &RecordBatch, totals: &mut HashMap<String, Totals>) -> Result<(), ArrowError> {
    let blobs = TextColumn::named(batch, Column::Blob)?;
    let mut of_blobs = vec![Totals::default(); blobs.texts().len()];
    for (row, blob) in rows(batch)?.zip(blobs.keys().values()) {
        if let Some(of_blob) = of_blobs.get_mut(*blob as usize) {
            of_blob.add(&row);
        }
    }
    // The dictionary may have blobs of other batches too.
    for (blob, of_blob) in blobs.map(|blob| blob).into_iter().zip(of_blobs).filter(|(_, of_blob)| of_blob.rows > 0) {
        match totals.get_mut(blob) {
            Some(known) => known.add(&of_blob),
            None => _ = totals.insert(blob.to_owned(), of_blob),
        }
    }
    Ok(())
}

/// Iterates over the sums of each row.
fn rows(batch: &RecordBatch) -> Result<impl Iterator<Item = Totals>, ArrowError> {
    let decisions = TextColumn::named(batch, Column::Decision)?;
    let denied: Vec<u64> =
        decisions.gather(&decisions.map(|decision| u64::from(decision == Decision::Deny.name()))).collect();
    Ok(hashes(batch)?.into_iter().zip(denied).map(|(hash, denied)| Totals { rows: 1, denied, hash }))
}

/// Returns a hash of each row: of every column in order, so that a value which moves to another column changes it.
/// Cursor files store sums of these hashes, so the function must not change.
fn hashes(batch: &RecordBatch) -> Result<Vec<u64>, ArrowError> {
    let mut hashes = vec![0; batch.num_rows()];
    for column in batch.columns() {
        match column.data_type() {
            DataType::Int32 => add_numbers(&mut hashes, column.as_primitive::<Int32Type>(), i64::from),
            DataType::Int64 => add_numbers(&mut hashes, column.as_primitive::<Int64Type>(), |number| number),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                add_numbers(&mut hashes, column.as_primitive::<TimestampMicrosecondType>(), |number| number);
            }
            _ => add_texts(&mut hashes, &TextColumn::of(column)?),
        }
    }
    Ok(hashes)
}

fn add_numbers<T: ArrowPrimitiveType>(
    hashes: &mut [u64],
    column: &PrimitiveArray<T>,
    number: impl Fn(T::Native) -> i64,
) {
    let value = |value: T::Native| number(value).cast_unsigned();
    let rows = hashes.iter_mut().zip(column.values());
    match column.nulls() {
        None => rows.for_each(|(row, of_row)| *row = mixed(*row, value(*of_row))),
        Some(nulls) => rows.zip(nulls).for_each(|((row, of_row), is_valid)| {
            *row = mixed(*row, if is_valid { value(*of_row) } else { NULL });
        }),
    }
}

fn add_texts(hashes: &mut [u64], column: &TextColumn) {
    let of_text = |text: &str| hash(text.as_bytes());
    let keys = column.keys();
    if keys.null_count() == 0 && column.texts().len() <= hashes.len() {
        let of_texts = column.map(of_text);
        hashes.iter_mut().zip(column.gather(&of_texts)).for_each(|(row, of_text)| *row = mixed(*row, of_text));
        return;
    }
    // A dictionary may have many more texts than the batch has rows.
    let mut known: Vec<Option<u64>> = vec![None; column.texts().len()];
    for (row, key) in hashes.iter_mut().zip(keys) {
        let of_text =
            key.map(|key| *known[key as usize].get_or_insert_with(|| of_text(column.texts().value(key as usize))));
        *row = mixed(*row, of_text.unwrap_or(NULL));
    }
}

/// Stands for a value that is null.
const NULL: u64 = 0x6a09_e667_f3bc_c909;

/// Adds a value to the hash of those before it.
fn mixed(before: u64, value: u64) -> u64 {
    let mixed = (before.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
