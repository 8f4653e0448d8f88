//! Reads the rows of a query by column name. A missing column, an unexpected null or a value of another type is an
//! internal error that names the query and the column.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;

use super::error::SessionError;
use super::groups::state::numbers;
use crate::names::UnknownName;
use crate::time::Timestamp;

/// All rows of one query.
pub struct ResultRows {
    /// Id of the query, for errors.
    query: String,
    /// Rows of the query; `None` if it gave no batch, and so no row.
    batch: Option<RecordBatch>,
}

/// One row of a [`ResultRows`].
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a ResultRows,
    index: usize,
}

impl ResultRows {
    pub(super) fn new(query: &str, batches: Vec<RecordBatch>) -> Result<Self, DataFusionError> {
        let query = query.to_owned();
        let Some(first) = batches.first() else { return Ok(Self { query, batch: None }) };
        let batch = concat_batches(&first.schema(), &batches)?;
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        let names = batch.schema_ref().fields().iter().map(|field| field.name());
        Ok(Self { query, batch: Some(RecordBatch::try_from_iter(names.zip(columns))?) })
    }

    /// Creates the rows of a user query, which errors name by `query`.
    pub fn of(query: &str, batches: Vec<RecordBatch>) -> Result<Self, SessionError> {
        Ok(Self::new(query, batches)?)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.batch.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the rows in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|index| Row { table: self, index })
    }

    /// Returns the only row. Any other number of rows is an internal error.
    pub fn only(&self) -> Result<Row<'_>, SessionError> {
        match self.len() {
            1 => Ok(Row { table: self, index: 0 }),
            rows => Err(self.fault(format!("it gave {rows} rows, not one"))),
        }
    }

    fn fault(&self, reason: String) -> SessionError {
        SessionError::Engine(DataFusionError::Execution(format!("query '{}': {reason}", self.query)))
    }
}

/// Readers of one column each. Methods that end with `_or_null` return `None` for null; for all others null is an
/// error.
impl<'a> Row<'a> {
    /// Reads a text.
    pub fn text(self, column: &str) -> Result<String, SessionError> {
        self.filled(column, self.text_or_null(column)?)
    }

    /// Reads a text that may be null.
    pub fn text_or_null(self, column: &str) -> Result<Option<String>, SessionError> {
        self.read(column, "text", |values, index| Some(values.as_string_opt::<i32>()?.value(index).to_owned()))
    }

    /// Reads a text that names a variant of `T`. An unknown name is an error.
    pub fn named<T: FromStr<Err = UnknownName>>(self, column: &str) -> Result<T, SessionError> {
        let name = self.text(column)?;
        name.parse().map_err(|error: UnknownName| self.fault(column, error.to_string()))
    }

    /// Reads an integer. A value out of the range of `N` is an error.
    pub fn int<N: TryFrom<i64>>(self, column: &str) -> Result<N, SessionError> {
        self.filled(column, self.int_or_null(column)?)
    }

    /// Reads an integer that may be null. A value out of the range of `N` is an error.
    pub fn int_or_null<N: TryFrom<i64>>(self, column: &str) -> Result<Option<N>, SessionError> {
        let int = self.read(column, "a whole number", |values, index| {
            Some(values.as_primitive_opt::<Int64Type>()?.value(index))
        })?;
        int.map(|int| N::try_from(int).map_err(|_| self.fault(column, format!("{int} is out of range")))).transpose()
    }

    /// Reads a time that may be null, in ms since 1970.
    pub fn time_or_null(self, column: &str) -> Result<Option<Timestamp>, SessionError> {
        Ok(self.int_or_null(column)?.map(Timestamp))
    }

    /// Reads a Boolean.
    pub fn flag(self, column: &str) -> Result<bool, SessionError> {
        self.filled(column, self.flag_or_null(column)?)
    }

    /// Reads a Boolean that may be null.
    pub fn flag_or_null(self, column: &str) -> Result<Option<bool>, SessionError> {
        self.read(column, "a truth value", |values, index| Some(values.as_boolean_opt()?.value(index)))
    }

    /// Reads a list of port numbers that may be null.
    pub fn ports_or_null(self, column: &str) -> Result<Option<Vec<u16>>, SessionError> {
        let ports = self.read(column, "a list of ports", |values, index| {
            let values = cast(&values.as_list_opt::<i32>()?.value(index), &DataType::Int64).ok()?;
            let ports = values.as_primitive_opt::<Int64Type>()?.iter();
            ports.map(|port| u16::try_from(port?).ok()).collect::<Option<Vec<u16>>>()
        })?;
        Ok(ports)
    }

    /// Reads a list of texts that may be null. A null element is an error.
    pub fn texts_or_null(self, column: &str) -> Result<Option<Vec<String>>, SessionError> {
        self.read(column, "a list of texts", |values, index| {
            let values = cast(&values.as_list_opt::<i32>()?.value(index), &DataType::Utf8).ok()?;
            values.as_string_opt::<i32>()?.iter().map(|text| text.map(str::to_owned)).collect()
        })
    }

    /// Reads a result of the aggregate `addresses`: addresses as numbers, each with its count of tuples.
    pub fn addresses(self, column: &str) -> Result<Vec<(u128, i64)>, SessionError> {
        let addresses = self.read(column, "a list of addresses", |values, index| {
            let elements = values.as_list_opt::<i32>()?.value(index);
            let elements = elements.as_struct_opt()?;
            let tuples = elements.columns().get(1)?.as_primitive_opt::<Int64Type>()?;
            let ips = elements.columns().first().filter(|ips| *ips.data_type() == DataType::FixedSizeBinary(16))?;
            Some(numbers(ips).zip(tuples.values().iter().copied()).collect())
        })?;
        self.filled(column, addresses)
    }

    /// Reads a value with `value`, which returns `None` for a column of another type. Returns `None` for null.
    fn read<T>(
        self,
        column: &str,
        kind: &str,
        value: impl FnOnce(&ArrayRef, usize) -> Option<T>,
    ) -> Result<Option<T>, SessionError> {
        let values = self.table.batch.as_ref().and_then(|batch| batch.column_by_name(column));
        let values = values.ok_or_else(|| self.table.fault(format!("it has no column '{column}'")))?;
        // A column that holds only nulls may have the type `Null`.
        if values.is_null(self.index) || *values.data_type() == DataType::Null {
            return Ok(None);
        }
        let other = || self.fault(column, format!("a value of type {} is not {kind}", values.data_type()));
        value(values, self.index).map(Some).ok_or_else(other)
    }

    fn filled<T>(self, column: &str, value: Option<T>) -> Result<T, SessionError> {
        value.ok_or_else(|| self.fault(column, "it is null".to_owned()))
    }

    /// Returns the internal error for a value that the query must not give.
    pub fn fault(self, column: &str, reason: String) -> SessionError {
        self.table.fault(format!("column '{column}': {reason}"))
    }
}

/// Returns texts as plain strings, and integers and times as `Int64`. Converts whole columns, because the cast of a
/// view array costs its buffers.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => cast(column, &DataType::Utf8),
        DataType::Timestamp(..) => cast(column, &DataType::Int64),
        number if number.is_integer() => cast(column, &DataType::Int64),
        _ => Ok(Arc::clone(column)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringViewArray, UInt16Array};

    use super::*;
    use crate::flow::Vantage;

    fn table() -> ResultRows {
        let columns: [(&str, ArrayRef); 3] = [
            ("vantage", Arc::new(StringViewArray::from(vec![Some("near"), None, Some("middle")]))),
            ("port", Arc::new(UInt16Array::from(vec![Some(443), None, Some(53)]))),
            ("share", Arc::new(Float64Array::from(vec![0.5, 0.5, 0.5]))),
        ];
        ResultRows::new("shown", vec![RecordBatch::try_from_iter(columns).expect("a batch")]).expect("a table")
    }

    fn check<T: std::fmt::Debug + PartialEq>(
        read: impl Fn(Row) -> Result<T, SessionError>,
        expected: [Result<T, &str>; 3],
    ) {
        let table = table();
        for (row, expected) in table.rows().zip(expected) {
            let read = read(row).map_err(|error| error.to_string());
            match (&read, &expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
                _ => panic!("{read:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_value_that_is_not_as_promised_is_an_error() {
        let null = "query 'shown': column 'port': it is null";
        check(|row| row.int::<u16>("port"), [Ok(443), Err(null), Ok(53)]);
        check(|row| row.int_or_null::<u8>("port"), [Err("443 is out of range"), Ok(None), Ok(Some(53))]);
        let unknown = "query 'shown': column 'vantage': 'middle' is not one of near, far";
        check(|row| row.named("vantage"), [Ok(Vantage::Near), Err("it is null"), Err(unknown)]);
        let absent = || Err("query 'shown': it has no column 'ports'");
        check(|row| row.int_or_null::<i64>("ports"), [absent(), absent(), absent()]);
        let other = || Err("column 'share': a value of type Float64 is not a whole number");
        check(|row| row.int::<i64>("share"), [other(), other(), other()]);
        let text = "column 'port': a value of type Int64 is not text";
        check(|row| row.text_or_null("port"), [Err(text), Ok(None), Err(text)]);
        assert!(table().only().is_err_and(|error| error.to_string().contains("it gave 3 rows, not one")));
    }
}
