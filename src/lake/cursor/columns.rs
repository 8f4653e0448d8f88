//! Entries as rows of a cursor file, and the head of a file.

use std::hash::Hasher;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use twox_hash::XxHash64;

use super::{Entry, HEAD, Head};
use crate::lake::totals::Totals;

/// Columns that [`versions`] reads.
pub const VERSION: [&str; 3] = ["blob", "e_tag", "size"];

/// Returns the schema of a cursor file. Counts and problems are JSON. Unsigned numbers are stored as signed ones of the
/// same bits.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |name: &str, data_type: DataType, is_nullable| Field::new(name, data_type, is_nullable);
        Arc::new(Schema::new(vec![
            field("blob", DataType::Utf8, false),
            field("e_tag", DataType::Utf8, true),
            field("size", DataType::Int64, false),
            field("unpacked", DataType::Int64, true),
            field("end", DataType::Int64, false),
            field("head_hash", DataType::Int64, false),
            field("tail_hash", DataType::Int64, false),
            field("can_grow", DataType::Boolean, false),
            field("rows", DataType::Int64, false),
            field("denied", DataType::Int64, false),
            field("row_hash", DataType::Int64, false),
            field("counts", DataType::Utf8, false),
            field("problems", DataType::Utf8, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Converts entries to a batch.
pub fn batch(entries: &[Entry]) -> Result<RecordBatch, ArrowError> {
    let number = |of: fn(&Entry) -> u64| -> ArrayRef {
        Arc::new(entries.iter().map(|entry| Some(of(entry) as i64)).collect::<Int64Array>())
    };
    let json = |text: serde_json::Result<String>| text.map_err(|error| ArrowError::JsonError(error.to_string()));
    let counts = entries.iter().map(|entry| json(serde_json::to_string(&entry.counts)).map(Some));
    let problems = entries.iter().map(|entry| json(serde_json::to_string(&entry.problems)).map(Some));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(entries.iter().map(|entry| Some(entry.blob.as_str())).collect::<StringArray>()),
        Arc::new(entries.iter().map(|entry| entry.e_tag.as_deref()).collect::<StringArray>()),
        number(|entry| entry.size),
        Arc::new(entries.iter().map(|entry| entry.unpacked.map(|bytes| bytes as i64)).collect::<Int64Array>()),
        number(|entry| entry.end),
        number(|entry| entry.hashes[0]),
        number(|entry| entry.hashes[1]),
        Arc::new(entries.iter().map(|entry| Some(entry.can_grow)).collect::<BooleanArray>()),
        number(|entry| entry.totals.rows),
        number(|entry| entry.totals.denied),
        number(|entry| entry.totals.hash),
        Arc::new(counts.collect::<Result<StringArray, ArrowError>>()?),
        Arc::new(problems.collect::<Result<StringArray, ArrowError>>()?),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// Converts a batch with all columns to entries.
pub fn entries(batch: &RecordBatch) -> Result<Vec<Entry>, ArrowError> {
    let number = |name: &str| numbers(batch, name);
    let (blob, e_tag) = (text(batch, "blob")?, text(batch, "e_tag")?);
    let (counts, problems) = (text(batch, "counts")?, text(batch, "problems")?);
    let (size, unpacked, end) = (number("size")?, number("unpacked")?, number("end")?);
    let (head, tail) = (number("head_hash")?, number("tail_hash")?);
    let (rows, denied, row_hash) = (number("rows")?, number("denied")?, number("row_hash")?);
    let can_grow = batch.column_by_name("can_grow").and_then(|column| column.as_boolean_opt());
    let can_grow = can_grow.ok_or_else(|| lacks("can_grow"))?;
    let json = |error: serde_json::Error| ArrowError::JsonError(error.to_string());
    let entry = |row: usize| {
        Ok(Entry {
            blob: blob.value(row).to_owned(),
            e_tag: e_tag.is_valid(row).then(|| e_tag.value(row).to_owned()),
            size: size.value(row) as u64,
            unpacked: unpacked.is_valid(row).then(|| unpacked.value(row) as u64),
            end: end.value(row) as u64,
            hashes: [head.value(row) as u64, tail.value(row) as u64],
            can_grow: can_grow.value(row),
            totals: Totals {
                rows: rows.value(row) as u64,
                denied: denied.value(row) as u64,
                hash: row_hash.value(row) as u64,
            },
            counts: serde_json::from_str(counts.value(row)).map_err(json)?,
            problems: serde_json::from_str(problems.value(row)).map_err(json)?,
        })
    };
    (0..batch.num_rows()).map(entry).collect()
}

/// Calls `each` with name and version of each blob of a batch with the columns [`VERSION`].
pub fn versions(batch: &RecordBatch, mut each: impl FnMut(&str, u64)) -> Result<(), ArrowError> {
    let (blob, e_tag, size) = (text(batch, "blob")?, text(batch, "e_tag")?, numbers(batch, "size")?);
    for row in 0..batch.num_rows() {
        let e_tag = e_tag.is_valid(row).then(|| e_tag.value(row));
        each(blob.value(row), version(e_tag, size.value(row) as u64));
    }
    Ok(())
}

/// Returns a hash of ETag and size.
pub fn version(e_tag: Option<&str>, size: u64) -> u64 {
    let mut hasher = XxHash64::with_seed(size);
    hasher.write(e_tag.unwrap_or_default().as_bytes());
    hasher.finish()
}

/// Reads the head of a file, and checks its columns.
pub fn head(metadata: &ArrowReaderMetadata) -> Result<Head, String> {
    let known = metadata.metadata().file_metadata().key_value_metadata();
    let text = known.and_then(|pairs| pairs.iter().find(|pair| pair.key == HEAD)?.value.as_deref());
    let head = serde_json::from_str(text.ok_or("it is not a cursor file")?).map_err(|error| error.to_string())?;
    for field in schema().fields() {
        let found = metadata.schema().field_with_name(field.name()).map_err(|error| error.to_string())?;
        if found.data_type() != field.data_type() {
            return Err(format!("its column {} is of another type", field.name()));
        }
    }
    Ok(head)
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, ArrowError> {
    batch.column_by_name(name).and_then(|column| column.as_string_opt()).ok_or_else(|| lacks(name))
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, ArrowError> {
    batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(|| lacks(name))
}

fn lacks(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("there is no column {name}"))
}
