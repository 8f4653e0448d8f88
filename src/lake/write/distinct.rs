//! The distinct texts of the rows of a column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, StringArray, UInt32Array};

use crate::lake::text::TextColumn;

/// A column of text: its distinct texts in ascending order, and for each row the index of its text.
pub struct Distinct<'a> {
    /// The texts.
    pub texts: Vec<&'a str>,
    /// Indices of the texts of the rows that have one.
    pub indices: Vec<u32>,
    /// For each row, whether it has a text. Empty if all have.
    pub is_valid: Vec<bool>,
}

/// The texts of rows, in the order in which they first occur, and for each row the number of its text.
pub struct Found<'a> {
    texts: Vec<&'a str>,
    rows: Vec<u32>,
}

/// Stands for no text.
const NONE: u32 = u32::MAX;

impl<'a> Found<'a> {
    /// Finds the texts of rows, which are given by the index of their column and their place in it.
    pub fn of(columns: &[TextColumn<'a>], rows: impl Iterator<Item = (usize, usize)>) -> Self {
        // For each text of each dictionary, its number. Batches of one blob share their dictionaries.
        let mut numbers_of = Vec::new();
        let mut columns_of = Vec::with_capacity(columns.len());
        for (nr, column) in columns.iter().enumerate() {
            if nr == 0 || !Arc::ptr_eq(column.values(), columns[nr - 1].values()) {
                numbers_of.resize(numbers_of.len() + column.texts().len(), NONE);
            }
            let start = numbers_of.len() - column.texts().len();
            columns_of.push((column.keys().values().as_ref(), column.nulls(), start));
        }
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut texts = Vec::new();
        let rows = rows.map(|(nr, row)| {
            let (keys, nulls, start) = columns_of[nr];
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return NONE;
            }
            let key = keys[row] as usize;
            let number = &mut numbers_of[start + key];
            if *number == NONE {
                let text = columns[nr].texts().value(key);
                *number = *numbers.entry(text).or_insert_with(|| {
                    texts.push(text);
                    texts.len() as u32 - 1
                });
            }
            *number
        });
        let rows = rows.collect();
        Self { texts, rows }
    }

    /// Returns the rows as a text column.
    pub fn column(self) -> ArrayRef {
        let keys: UInt32Array = self.rows.iter().map(|number| (*number != NONE).then_some(*number)).collect();
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from_iter_values(self.texts))))
    }

    /// Orders the texts.
    pub fn in_order(self) -> Distinct<'a> {
        let Self { texts, mut rows } = self;
        // The first 16 bytes decide nearly always, and are fast to compare.
        let start = |text: &str| {
            let mut start = [0; 16];
            let length = text.len().min(16);
            start[..length].copy_from_slice(&text.as_bytes()[..length]);
            u128::from_be_bytes(start)
        };
        let mut order: Vec<(u128, &str, u32)> =
            texts.iter().zip(0..).map(|(text, number)| (start(text), *text, number)).collect();
        order.sort_unstable();
        let mut index_of = vec![0; texts.len()];
        for ((_, _, number), index) in order.iter().zip(0..) {
            index_of[*number as usize] = index;
        }
        let mut is_valid = Vec::new();
        if rows.contains(&NONE) {
            is_valid = rows.iter().map(|number| *number != NONE).collect();
            rows.retain(|number| *number != NONE);
        }
        rows.iter_mut().for_each(|number| *number = index_of[*number as usize]);
        Distinct { texts: order.into_iter().map(|(_, text, _)| text).collect(), indices: rows, is_valid }
    }
}
