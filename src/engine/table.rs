//! Rows of a query by column name, whatever the engine made of their types.

use std::net::IpAddr;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;

use crate::net::parse_ip;

pub struct Table {
    batch: Option<RecordBatch>,
}

impl Table {
    pub(super) fn new(batches: Vec<RecordBatch>) -> Result<Self, DataFusionError> {
        let batch = match batches.first() {
            Some(first) => Some(concat_batches(&first.schema(), &batches)?),
            None => None,
        };
        Ok(Self { batch })
    }

    /// Numbers of all rows.
    pub fn rows(&self) -> Range<usize> {
        0..self.batch.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// Empty where null.
    pub fn text(&self, name: &str, row: usize) -> String {
        let value = self.value(name, row, &DataType::Utf8);
        value.map(|value| value.as_string::<i32>().value(0).to_owned()).unwrap_or_default()
    }

    /// Numbers, and times in ms.
    pub fn int(&self, name: &str, row: usize) -> Option<i64> {
        Some(self.value(name, row, &DataType::Int64)?.as_primitive::<Int64Type>().value(0))
    }

    /// False where null.
    pub fn flag(&self, name: &str, row: usize) -> bool {
        self.value(name, row, &DataType::Boolean).is_some_and(|value| value.as_boolean().value(0))
    }

    pub fn ints(&self, name: &str, row: usize) -> Vec<i64> {
        let Some(list) = self.column(name, row) else { return Vec::new() };
        let Some(values) = cast(&list.as_list::<i32>().value(0), &DataType::Int64).ok() else { return Vec::new() };
        values.as_primitive::<Int64Type>().iter().flatten().collect()
    }

    pub fn texts(&self, name: &str, row: usize) -> Vec<String> {
        let Some(list) = self.column(name, row) else { return Vec::new() };
        let Some(values) = cast(&list.as_list::<i32>().value(0), &DataType::Utf8).ok() else { return Vec::new() };
        values.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    /// What the aggregate `addresses` lists.
    pub fn addresses(&self, name: &str, row: usize) -> Vec<(IpAddr, i64)> {
        let Some(list) = self.column(name, row) else { return Vec::new() };
        let elements = list.as_list::<i32>().value(0);
        let elements = elements.as_struct();
        let ips = elements.column(0).as_string_view();
        let tuples = elements.column(1).as_primitive::<Int64Type>();
        ips.iter().zip(tuples.values()).filter_map(|(ip, &tuples)| Some((parse_ip(ip?)?, tuples))).collect()
    }

    /// One value, unless null.
    fn column(&self, name: &str, row: usize) -> Option<ArrayRef> {
        let column = self.batch.as_ref()?.column_by_name(name)?;
        (row < column.len() && column.is_valid(row)).then(|| column.slice(row, 1))
    }

    fn value(&self, name: &str, row: usize, as_type: &DataType) -> Option<ArrayRef> {
        cast(&self.column(name, row)?, as_type).ok()
    }
}
