//! Numbers the distinct texts of a column.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringArray, UInt32Array};

/// Texts, numbered in the order in which they first occur.
pub struct Distinct<'a> {
    texts: Vec<Cow<'a, str>>,
    /// For each hash, the number of a text plus one, or 0. A text whose place is taken has the next free one.
    places: Vec<u32>,
    last: u32,
    hasher: RandomState,
    seed: u64,
}

impl<'a> Distinct<'a> {
    /// Creates an empty dictionary for a column of `rows` rows.
    pub fn new(rows: usize) -> Self {
        let hasher = RandomState::new();
        let seed = hasher.hash_one(0);
        Self { texts: Vec::new(), places: vec![0; (2 * rows).next_power_of_two()], last: 0, hasher, seed }
    }

    /// Returns the number of a text.
    pub fn index(&mut self, text: Cow<'a, str>) -> u32 {
        if self.texts.get(self.last as usize) != Some(&text) {
            let hash = self.hasher.hash_one(&text);
            self.last = self.find(hash, text);
        }
        self.last
    }

    /// Returns the number of a text that stands for a number.
    pub fn index_of_number(&mut self, number: u32, text: &'a str) -> u32 {
        let product = u128::from(u64::from(number) ^ self.seed) * 0x9e37_79b9_7f4a_7c15;
        self.find((product >> 64) as u64 ^ product as u64, Cow::Borrowed(text))
    }

    fn find(&mut self, hash: u64, text: Cow<'a, str>) -> u32 {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.places[place] {
                0 => {
                    self.texts.push(text);
                    self.places[place] = self.texts.len() as u32;
                    return self.places[place] - 1;
                }
                known if self.texts[known as usize - 1] == text => return known - 1,
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Returns the column with the texts at `indices`.
    pub fn column(self, indices: UInt32Array) -> ArrayRef {
        let texts = StringArray::from_iter_values(&self.texts);
        Arc::new(DictionaryArray::new(indices, Arc::new(texts)))
    }
}
