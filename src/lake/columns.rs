//! Maps the columns of `flows` to the columns of the Delta table, and rows of one to rows of the other.
//!
//! Delta has no unsigned numbers, and its timestamps are in µs. `nsg` is not stored, because readers compute it from
//! `acl`. The partition column `flow_date` is in the paths of the files and not in the files.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use deltalake_core::kernel::{DataType as DeltaType, StructField, StructType};

use crate::schema::{self, Column, Text};

/// Partition column: the day of `time`, in UTC.
pub const PARTITION: &str = "flow_date";

/// Columns in the files, in their order.
pub const STORED: [Column; 23] = {
    let mut stored = [Column::Time; 23];
    let (mut from, mut to) = (0, 0);
    while from < Column::ALL.len() {
        if !matches!(Column::ALL[from], Column::Nsg) {
            stored[to] = Column::ALL[from];
            to += 1;
        }
        from += 1;
    }
    stored
};

/// Returns the index of a column in the files, or `None` for `nsg`.
pub fn index(column: Column) -> Option<usize> {
    STORED.iter().position(|stored| *stored == column)
}

/// Returns the schema of the rows in the files, with text as views.
pub fn stored() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let flows = schema::flows(Text::View);
        let fields = STORED.map(|column| {
            let field = flows.field(column as usize);
            Field::new(field.name(), stored_type(field.data_type()), field.is_nullable())
        });
        Arc::new(Schema::new(fields.to_vec()))
    });
    Arc::clone(&SCHEMA)
}

/// Returns the schema of rows in memory, to write or just read: that of the files, with text in dictionaries.
pub fn held() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(with_dictionaries(&stored())));
    Arc::clone(&SCHEMA)
}

/// Returns a schema with all text in dictionaries. Then each text of a dictionary is looked at once, however many rows
/// have it.
pub fn with_dictionaries(schema: &Schema) -> Schema {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
            Field::new(field.name(), texts, field.is_nullable())
        }
        other => Field::new(field.name(), other.clone(), field.is_nullable()),
    };
    Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
}

/// Returns the type in the files of a type of `flows`.
pub fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        other => other.clone(),
    }
}

/// Returns the schema of the Delta table.
pub fn table() -> Result<StructType, ArrowError> {
    let stored = stored();
    let fields = stored.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Timestamp(..) => DeltaType::TIMESTAMP,
            DataType::Int32 => DeltaType::INTEGER,
            DataType::Int64 => DeltaType::LONG,
            _ => DeltaType::STRING,
        };
        StructField::new(field.name(), data_type, field.is_nullable())
    });
    let partition = StructField::new(PARTITION, DeltaType::DATE, false);
    StructType::try_new(fields.chain([partition])).map_err(|error| ArrowError::SchemaError(error.to_string()))
}

/// Converts rows of `flows` with the columns [`STORED`] and [`Text::Dictionary`] to rows with the schema [`held`].
pub fn to_held(flows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = held();
    let columns = flows.columns().iter().zip(schema.fields()).map(|(column, field)| as_type(column, field.data_type()));
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, columns)
}

fn as_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type { Ok(Arc::clone(column)) } else { cast(column, data_type) }
}
