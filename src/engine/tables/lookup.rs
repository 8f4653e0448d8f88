//! Small tables that the user brings along: a CSV or Parquet file, read as a whole.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::engine::error::SessionError;

/// Maximum bytes of a file, and of its rows in memory.
const MOST: u64 = 64 << 20;

/// Reason why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// A table of flowgap, or another file, has the name.
    #[error("there is a table {0}: choose another name")]
    Taken(String),
    /// The file is neither CSV nor Parquet by its name.
    #[error("the name of the file must end with .csv or .parquet")]
    Form,
    /// The file, or its rows, are too large.
    #[error("it is larger than {} MiB: bring a smaller table, or use its rows in another engine", MOST >> 20)]
    TooLarge,
    /// The file cannot be read.
    #[error("{0}")]
    Read(String),
    /// The engine refuses the table.
    #[error(transparent)]
    Session(SessionError),
}

impl LookupError {
    fn read(error: impl std::fmt::Display) -> Self {
        Self::Read(error.to_string())
    }
}

/// Reads a file as a table.
pub fn open(path: &Path) -> Result<Arc<dyn TableProvider>, LookupError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    let file = File::open(path).map_err(LookupError::read)?;
    if file.metadata().map_err(LookupError::read)?.len() > MOST {
        return Err(LookupError::TooLarge);
    }
    let batches = match extension.as_str() {
        "csv" => vec![rows_of_csv(file)?],
        "parquet" => rows_of_parquet(file)?,
        _ => return Err(LookupError::Form),
    };
    let schema = batches.first().map(RecordBatch::schema).ok_or_else(|| LookupError::read("it has no rows"))?;
    let fault = |error: DataFusionError| LookupError::Session(error.into());
    Ok(Arc::new(MemTable::try_new(schema, vec![batches]).map_err(fault)?))
}

fn rows_of_parquet(file: File) -> Result<Vec<RecordBatch>, LookupError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(LookupError::read)?.build();
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for batch in reader.map_err(LookupError::read)? {
        let batch = batch.map_err(LookupError::read)?;
        bytes += batch.get_array_memory_size() as u64;
        if bytes > MOST {
            return Err(LookupError::TooLarge);
        }
        batches.push(batch);
    }
    Ok(batches)
}

/// Reads CSV with a header. A column is of integers if each of its cells is one as written, else of text. An empty cell
/// is null.
fn rows_of_csv(file: File) -> Result<RecordBatch, LookupError> {
    let mut reader = csv::Reader::from_reader(file);
    let names: Vec<String> = reader.headers().map_err(LookupError::read)?.iter().map(column_name).collect();
    if let Some(twice) = names.iter().enumerate().find(|(nr, name)| names[..*nr].contains(name)) {
        return Err(LookupError::Read(format!("the header names {} twice", twice.1)));
    }
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in columns.iter_mut().zip(&record.map_err(LookupError::read)?) {
            column.push((!cell.is_empty()).then(|| cell.to_owned()));
        }
    }
    let arrays = names.iter().map(String::as_str).zip(columns.iter().map(|column| array(column)));
    RecordBatch::try_from_iter_with_nullable(arrays.map(|(name, array)| (name, array, true))).map_err(LookupError::read)
}

/// Returns the name of a column: without blanks around it and without a byte order mark.
fn column_name(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().to_owned()
}

fn array(cells: &[Option<String>]) -> ArrayRef {
    let integer = |cell: &String| cell.parse::<i64>().ok().filter(|number| number.to_string() == *cell);
    let integers: Option<Vec<Option<i64>>> =
        cells.iter().map(|cell| cell.as_ref().map_or(Some(None), |cell| integer(cell).map(Some))).collect();
    match integers {
        Some(integers) if integers.iter().any(Option::is_some) => Arc::new(Int64Array::from(integers)),
        _ => Arc::new(StringViewArray::from_iter(cells.iter().map(Option::as_deref))),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn only_plain_integers_are_numbers() {
        for (cells, is) in [
            (["1", "-20"], DataType::Int64),
            (["1", "x"], DataType::Utf8View),
            (["00005E005304", "1"], DataType::Utf8View),
            (["007", "1"], DataType::Utf8View),
        ] {
            assert_eq!(*array(&cells.map(|cell| Some(cell.to_owned()))).data_type(), is, "{cells:?}");
        }
        assert_eq!(*array(&[None]).data_type(), DataType::Utf8View);
    }
}
