//! Rows of a query by column name, whatever the engine made of their types.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;

use super::groups::state::numbers;

pub struct Table {
    batch: Option<RecordBatch>,
}

impl Table {
    pub(super) fn new(batches: Vec<RecordBatch>) -> Result<Self, DataFusionError> {
        let Some(first) = batches.first() else { return Ok(Self { batch: None }) };
        let batch = concat_batches(&first.schema(), &batches)?;
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        let names = batch.schema_ref().fields().iter().map(|field| field.name());
        Ok(Self { batch: Some(RecordBatch::try_from_iter(names.zip(columns))?) })
    }

    /// Numbers of all rows.
    pub fn rows(&self) -> Range<usize> {
        0..self.batch.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// Empty where null.
    pub fn text(&self, name: &str, row: usize) -> String {
        let text = |column: &ArrayRef| Some(column.as_string_opt::<i32>()?.value(row).to_owned());
        self.column(name, row).and_then(text).unwrap_or_default()
    }

    /// Numbers, and times in ms.
    pub fn int(&self, name: &str, row: usize) -> Option<i64> {
        Some(self.column(name, row)?.as_primitive_opt::<Int64Type>()?.value(row))
    }

    /// False where null.
    pub fn flag(&self, name: &str, row: usize) -> bool {
        let flag = |column: &ArrayRef| Some(column.as_boolean_opt()?.value(row));
        self.column(name, row).and_then(flag).unwrap_or_default()
    }

    pub fn ints(&self, name: &str, row: usize) -> Vec<i64> {
        let Some(list) = self.column(name, row) else { return Vec::new() };
        let Some(values) = cast(&list.as_list::<i32>().value(row), &DataType::Int64).ok() else { return Vec::new() };
        values.as_primitive::<Int64Type>().iter().flatten().collect()
    }

    pub fn texts(&self, name: &str, row: usize) -> Vec<String> {
        let Some(list) = self.column(name, row) else { return Vec::new() };
        let Some(values) = cast(&list.as_list::<i32>().value(row), &DataType::Utf8).ok() else { return Vec::new() };
        values.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    /// What the aggregate `addresses` lists: addresses by their numbers, and their tuples.
    pub fn addresses(&self, name: &str, row: usize) -> Vec<(u128, i64)> {
        let Some(list) = self.column(name, row) else { return Vec::new() };
        let elements = list.as_list::<i32>().value(row);
        let elements = elements.as_struct();
        let tuples = elements.column(1).as_primitive::<Int64Type>();
        numbers(elements.column(0)).zip(tuples.values().iter().copied()).collect()
    }

    /// The column, unless the row's value is null.
    fn column(&self, name: &str, row: usize) -> Option<&ArrayRef> {
        let column = self.batch.as_ref()?.column_by_name(name)?;
        (row < column.len() && column.is_valid(row)).then_some(column)
    }
}

/// Texts as plain strings, numbers and times as integers: once for the column, for a cast of a view array costs its buffers.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => cast(column, &DataType::Utf8),
        DataType::Timestamp(..) => cast(column, &DataType::Int64),
        of_numbers if of_numbers.is_numeric() => cast(column, &DataType::Int64),
        _ => Ok(Arc::clone(column)),
    }
}
