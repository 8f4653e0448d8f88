//! Sorts rows by day, decision, direction, interface, rule, state and time, denied flows first. A query for denied flows
//! then needs few pages of a row group, and values that are alike are next to each other, which makes files smaller.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::concat;
use arrow::datatypes::{ArrowPrimitiveType, DataType, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::distinct::{Distinct, Found};
use crate::flow::{Decision, Direction};
use crate::lake::columns::index;
use crate::lake::text::TextColumn;
use crate::schema::Column;
use crate::time::DAY;

/// Rows of several batches in order.
pub struct Sorted {
    batches: Vec<RecordBatch>,
    rows: Vec<Row>,
}

/// A row and its place in the order. Rows of one key stay in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    day: i32,
    /// What rows next to each other have in common, most important first: allowed or denied, outbound or inbound, and
    /// the numbers of interface, rule and state, of 16 bits each.
    kind: u64,
    /// Time, in µs since 1970.
    time: i64,
    batch: u32,
    row: u32,
}

impl Sorted {
    /// Sorts rows with the schema [`crate::lake::columns::held`].
    pub fn new(batches: Vec<RecordBatch>) -> Result<Self, ArrowError> {
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        let (mut interfaces, mut rules, mut states) = (Numbers::default(), Numbers::default(), Numbers::default());
        for (nr, batch) in batches.iter().enumerate() {
            let column = |column| TextColumn::named(batch, column);
            let (decisions, directions) = (column(Column::Decision)?, column(Column::Direction)?);
            let allowed = decisions.map(|decision| decision != Decision::Deny.name());
            let outbound = directions.map(|direction| direction == Direction::Outbound.name());
            let interfaces = interfaces.of(&column(Column::Mac)?);
            let (rules, states) = (rules.of(&column(Column::Rule)?), states.of(&column(Column::State)?));
            let flags = decisions.gather(&allowed).zip(directions.gather(&outbound));
            let kinds = flags.zip(interfaces).zip(rules).zip(states);
            let kinds = kinds.map(|((((is_allowed, is_outbound), interface), rule), state)| {
                let flags = u64::from(is_allowed) << 1 | u64::from(is_outbound);
                flags << 48 | u64::from(interface) << 32 | u64::from(rule) << 16 | u64::from(state)
            });
            let times = numbers::<TimestampMicrosecondType>(batch, index(Column::Time).unwrap_or_default())?.values();
            rows.extend(times.iter().zip(kinds).zip(0..).map(|((&time, kind), row)| Row {
                day: time.div_euclid(DAY * 1000) as i32,
                kind,
                time,
                batch: nr as u32,
                row,
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

    /// Returns the distinct texts of a column in a range of rows.
    pub fn texts(&self, column: usize, range: Range<usize>) -> Result<Distinct<'_>, ArrowError> {
        let columns = self.batches.iter().map(|batch| TextColumn::of(batch.column(column)));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let places = self.rows[range].iter().map(|row| (row.batch as usize, row.row as usize));
        Ok(Found::of(&columns, places).in_order())
    }

    /// Returns the values of a column of numbers in a range of rows, in order and without nulls, and for each row
    /// whether it has one. The latter is empty if the column has no nulls.
    pub fn numbers<T: ArrowPrimitiveType>(
        &self,
        column: usize,
        range: Range<usize>,
    ) -> Result<(Vec<T::Native>, Vec<bool>), ArrowError> {
        let columns = self.batches.iter().map(|batch| numbers::<T>(batch, column)).collect::<Result<Vec<_>, _>>()?;
        let rows = &self.rows[range];
        let value = |row: &Row| columns[row.batch as usize].values()[row.row as usize];
        if columns.iter().all(|column| column.null_count() == 0) {
            return Ok((rows.iter().map(value).collect(), Vec::new()));
        }
        let is_valid =
            rows.iter().map(|row| columns[row.batch as usize].is_valid(row.row as usize)).collect::<Vec<_>>();
        let valid = rows.iter().zip(&is_valid).filter(|(_, is_valid)| **is_valid);
        Ok((valid.map(|(row, _)| value(row)).collect(), is_valid))
    }
}

/// Numbers of texts. All texts after the first 65,535 share one number.
#[derive(Default)]
struct Numbers(HashMap<Option<String>, u16>);

impl Numbers {
    /// Returns the number of each row's text.
    fn of(&mut self, column: &TextColumn) -> Vec<u16> {
        let mut number = |text: Option<&str>| {
            let next = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
            *self.0.entry(text.map(str::to_owned)).or_insert(next)
        };
        // The dictionary may have texts of other columns too. The last number is that of rows without text.
        let without = column.texts().len();
        let mut known: Vec<Option<u16>> = vec![None; without + 1];
        let rows = column.keys().iter().map(|key| {
            let key = key.map_or(without, |key| key as usize);
            *known[key].get_or_insert_with(|| number((key < without).then(|| column.texts().value(key))))
        });
        rows.collect()
    }
}

fn numbers<T: ArrowPrimitiveType>(batch: &RecordBatch, column: usize) -> Result<&PrimitiveArray<T>, ArrowError> {
    let found = batch.columns().get(column).and_then(|column| column.as_primitive_opt::<T>());
    found.ok_or_else(|| ArrowError::SchemaError(format!("column {column} is not of type {}", T::DATA_TYPE)))
}

/// Joins batches with the schema [`crate::lake::columns::held`] into one that holds no memory but that of its rows.
pub fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let columns = (0..schema.fields().len()).map(|nr| {
        let columns: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(nr)).collect();
        if !matches!(schema.field(nr).data_type(), DataType::Dictionary(..)) {
            return concat(&columns.into_iter().map(|column| &**column).collect::<Vec<_>>());
        }
        let columns = columns.into_iter().map(TextColumn::of).collect::<Result<Vec<_>, _>>()?;
        let rows = |(nr, column): (usize, &TextColumn)| (0..column.keys().len()).map(move |row| (nr, row));
        Ok(Found::of(&columns, columns.iter().enumerate().flat_map(rows)).column())
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}
