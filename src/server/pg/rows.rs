//! Rows of an answer, as messages for the client.

use std::fmt::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Offset};
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::arrow_pg::row_encoder::RowEncoder;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{FieldFormat, FieldInfo};
use datafusion_postgres::pgwire::messages::data::{DataRow, RowDescription};
use futures::{FutureExt, StreamExt, stream};

use super::error::fault;
use crate::engine::Rows;
use crate::server::error::{Fault, code};

/// Columns of an answer, with the format of each.
pub type Columns = Arc<Vec<FieldInfo>>;

/// An answer whose rows arrive.
pub struct Answer {
    /// Columns.
    pub columns: Columns,
    /// Word that begins the tag.
    pub tag: &'static str,
    /// Whether the tag has the number of rows.
    pub counts: bool,
    rows: Rows,
    zone: Tz,
    encoder: Option<RowEncoder>,
}

/// Returns the columns of a schema. `formats` is empty for text, one for all columns, or one each.
pub fn columns(schema: &Schema, formats: &[i16]) -> Result<Columns, Fault> {
    let count = schema.fields().len();
    if formats.len() > 1 && formats.len() != count {
        let message = format!("there are {} formats for {count} columns", formats.len());
        return Err(Fault::new(code::PROTOCOL_VIOLATION, message));
    }
    let format = match formats {
        [] => Format::UnifiedText,
        [one] => Format::from(*one),
        each => Format::Individual(each.to_vec()),
    };
    let unsupported = |_| Fault::new(code::FEATURE_NOT_SUPPORTED, "a column has a type that clients cannot read");
    Ok(Arc::new(arrow_schema_to_pg_fields(schema, &format, None).map_err(unsupported)?))
}

/// Returns the message that describes columns.
pub fn described(columns: &Columns) -> RowDescription {
    RowDescription::new(columns.iter().map(Into::into).collect())
}

impl Answer {
    /// Returns the answer of a query. Times are shown in `zone`.
    pub fn new(columns: Columns, tag: &'static str, rows: Rows, zone: &str) -> Self {
        let zone = zone.parse().or_else(|_| "UTC".parse());
        let zone = zone.unwrap_or_else(|_| unreachable!("UTC is a time zone"));
        Self { columns, tag, counts: tag == "SELECT", rows, zone, encoder: None }
    }

    /// Returns an answer of a few texts.
    pub fn of_texts(names: &[&str], rows: &[Vec<String>], tag: &'static str) -> Result<Self, Fault> {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
        let schema = Arc::new(Schema::new(fields));
        let column = |at: usize| Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row[at]))) as ArrayRef;
        let batch = RecordBatch::try_new(Arc::clone(&schema), (0..names.len()).map(column).collect());
        let batch = batch.map_err(|error| Fault::new(code::INTERNAL, error.to_string()))?;
        Ok(Self::new(columns(&schema, &[])?, tag, stream::iter([Ok(batch)]).boxed(), "UTC"))
    }

    /// Returns the next row. A caller that stops waiting loses no row.
    pub async fn next(&mut self) -> Option<Result<DataRow, Fault>> {
        loop {
            if let Some(row) = self.encoder.as_mut().and_then(RowEncoder::next_row) {
                return Some(row.map_err(Fault::from));
            }
            self.encoder = None;
            // A panic of the engine ends the statement, and not the connection.
            let Ok(batch) = AssertUnwindSafe(self.rows.next()).catch_unwind().await else {
                self.rows = stream::empty().boxed();
                let message = "internal error: the query ended by a bug, and the server printed where";
                return Some(Err(Fault::new(code::INTERNAL, message)));
            };
            match batch? {
                Ok(batch) => match self.encoder(batch) {
                    Ok(encoder) => self.encoder = Some(encoder),
                    Err(error) => return Some(Err(error)),
                },
                Err(error) => return Some(Err(fault(&error, None))),
            }
        }
    }

    fn encoder(&self, batch: RecordBatch) -> Result<RowEncoder, Fault> {
        let internal = |message: String| Fault::new(code::INTERNAL, message);
        if batch.num_columns() != self.columns.len() {
            return Err(internal("an answer has other columns than announced".to_owned()));
        }
        let schema = batch.schema();
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for ((array, field), column) in batch.columns().iter().zip(schema.fields()).zip(&*self.columns) {
            let shown = self.shown(array, column).map_err(|error| internal(error.to_string()))?;
            let field = Field::clone(field).with_data_type(shown.data_type().clone());
            fields.push(field);
            arrays.push(shown);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        Ok(RowEncoder::new(batch.map_err(|error| internal(error.to_string()))?, Arc::clone(&self.columns)))
    }

    /// Returns a column in a form that can be encoded: times as PostgreSQL writes them.
    fn shown(&self, array: &ArrayRef, column: &FieldInfo) -> Result<ArrayRef, arrow::error::ArrowError> {
        let is_text = column.format() == FieldFormat::Text;
        match array.data_type() {
            DataType::Timestamp(_, zone) if is_text => {
                let zone = zone.is_some().then_some(self.zone);
                let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
                let micros = cast(&cast(array, &without_zone(array.data_type()))?, &kind)?;
                Ok(Arc::new(times(&micros, zone)))
            }
            // The binary form counts µs; others would be read as null.
            DataType::Timestamp(_, zone) => cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
            DataType::Decimal256(..) => cast(array, &DataType::Float64),
            _ => Ok(Arc::clone(array)),
        }
    }
}

/// Returns a type of times as that of the same numbers without a zone, so that a cast keeps the numbers.
fn without_zone(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        kind => kind.clone(),
    }
}

fn times(micros: &ArrayRef, zone: Option<Tz>) -> StringArray {
    use arrow::array::AsArray;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    let mut texts = StringBuilder::with_capacity(micros.len(), micros.len() * 26);
    for value in micros {
        let Some(time) = value.and_then(DateTime::from_timestamp_micros) else {
            texts.append_null();
            continue;
        };
        // Writing to a builder of texts does not fail.
        _ = match zone {
            None => write!(texts, "{}", time.format("%Y-%m-%d %H:%M:%S")),
            Some(zone) => write!(texts, "{}", time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S")),
        };
        let fraction = time.timestamp_subsec_micros();
        if fraction > 0 {
            _ = write!(texts, ".{}", format!("{fraction:06}").trim_end_matches('0'));
        }
        if let Some(zone) = zone {
            let offset = time.with_timezone(&zone).offset().fix().local_minus_utc();
            let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            _ = write!(texts, "{sign}{:02}", offset / 3600);
            if offset % 3600 > 0 {
                _ = write!(texts, ":{:02}", offset % 3600 / 60);
            }
        }
        texts.append_value("");
    }
    texts.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;

    #[test]
    fn times_are_written_as_postgresql_writes_them() {
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(1_767_268_800_500_000), None]));
        let text =
            |zone: Option<&str>| times(&micros, zone.map(|zone| zone.parse().expect("a zone"))).value(0).to_owned();
        assert_eq!(text(None), "2026-01-01 12:00:00.5");
        assert_eq!(text(Some("UTC")), "2026-01-01 12:00:00.5+00");
        assert_eq!(text(Some("Europe/Berlin")), "2026-01-01 13:00:00.5+01");
        assert_eq!(text(Some("+05:30")), "2026-01-01 17:30:00.5+05:30");
    }
}
