//! Writes the answers of a check as a Parquet file, with the columns of its CSV.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::table::grid;
use crate::findings::check::Check;
use crate::report::parquet::write_batch;

pub fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let grid = grid(check);
    let column = |place: usize| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(grid.rows.iter().map(|row| row.get(place).map_or("", String::as_str))))
    };
    let columns = grid.columns.iter().enumerate().map(|(place, name)| (*name, column(place)));
    write_batch(&RecordBatch::try_from_iter(columns).map_err(io::Error::other)?, out)
}
