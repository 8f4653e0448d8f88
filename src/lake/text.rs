//! Text columns in memory.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::columns::index;
use crate::schema::Column;

/// A text column of a batch: a dictionary of plain strings.
#[derive(Clone, Copy)]
pub struct TextColumn<'a> {
    keys: &'a PrimitiveArray<UInt32Type>,
    values: &'a ArrayRef,
    texts: &'a StringArray,
}

impl<'a> TextColumn<'a> {
    /// Returns the column, or an error if it has another type.
    pub fn of(column: &'a ArrayRef) -> Result<Self, ArrowError> {
        let dictionary = column.as_dictionary_opt::<UInt32Type>();
        dictionary
            .and_then(|column| {
                let texts = column.values().as_string_opt::<i32>()?;
                Some(Self { keys: column.keys(), values: column.values(), texts })
            })
            .ok_or_else(|| ArrowError::SchemaError(format!("a text column of type {}", column.data_type())))
    }

    /// Returns a column of rows with the schema [`super::columns::held`].
    pub fn named(batch: &'a RecordBatch, column: Column) -> Result<Self, ArrowError> {
        let found = index(column).and_then(|at| batch.columns().get(at));
        Self::of(found.ok_or_else(|| ArrowError::SchemaError(format!("no column {}", column.name())))?)
    }

    /// Returns the index in the dictionary of each row's text.
    pub fn keys(&self) -> &'a PrimitiveArray<UInt32Type> {
        self.keys
    }

    /// Returns the dictionary as an array that others may share.
    pub fn values(&self) -> &'a ArrayRef {
        self.values
    }

    /// Returns the dictionary.
    pub fn texts(&self) -> &'a StringArray {
        self.texts
    }

    /// Returns which rows have a text.
    pub fn nulls(&self) -> Option<&'a NullBuffer> {
        self.keys.nulls()
    }

    /// Returns one value per text of the dictionary.
    pub fn map<T>(&self, value: impl FnMut(&'a str) -> T) -> Vec<T> {
        self.texts.iter().map(Option::unwrap_or_default).map(value).collect()
    }

    /// Iterates over the rows with the value of each row's text in `values`, which has one value per text of the
    /// dictionary. Rows without text get the default.
    pub fn gather<T: Copy + Default>(&self, values: &[T]) -> impl ExactSizeIterator<Item = T> {
        self.keys.values().iter().map(|&key| values.get(key as usize).copied().unwrap_or_default())
    }
}
