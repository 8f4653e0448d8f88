//! Text columns of a lake, which are read as dictionaries, and values that are made once per dictionary.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, StringArray, StringViewArray, StringViewBuilder};
use arrow::compute::take;
use arrow::datatypes::{ArrowDictionaryKeyType, UInt32Type};
use arrow::error::ArrowError;

use crate::lake::TextColumn;

/// Maximum bytes of a dictionary whose text rows may share. Rows that share a larger one would keep all of it alive.
const SHARED: usize = 64 << 10;
/// Number of texts above which [`Texts`] starts again.
const KNOWN: usize = 1 << 16;

impl TextColumn<'_> {
    /// Returns a dictionary column with the code in `codes` of each row's text.
    pub fn coded<K: ArrowDictionaryKeyType>(&self, codes: &[K::Native], texts: ArrayRef) -> ArrayRef {
        let keys = self.gather(codes).collect();
        Arc::new(DictionaryArray::<K>::new(PrimitiveArray::new(keys, self.nulls().cloned()), texts))
    }

    /// Returns the column as views.
    pub fn views(&self, shared: &mut OfDictionary<Option<ArrayRef>>) -> Result<ArrayRef, ArrowError> {
        let as_views = |texts: &StringArray| {
            let is_small = texts.value_data().len() <= SHARED;
            is_small.then(|| -> ArrayRef { Arc::new(StringViewArray::from(texts)) })
        };
        if let Some(views) = shared.get(self, as_views) {
            return take(views, self.keys(), None);
        }
        let mut views = StringViewBuilder::with_capacity(self.keys().len());
        self.keys().iter().for_each(|key| views.append_option(key.map(|key| self.texts().value(key as usize))));
        Ok(Arc::new(views.finish()))
    }

    /// Returns the column as plain strings.
    pub fn plain(&self) -> Result<ArrayRef, ArrowError> {
        take(self.texts(), self.keys(), None)
    }
}

/// Something made of a dictionary. Batches that share the dictionary share it.
#[derive(Debug, Default)]
pub struct OfDictionary<T> {
    /// The dictionary. It is kept, so that no other one gets its address.
    of: Option<ArrayRef>,
    made: T,
}

impl<T> OfDictionary<T> {
    /// Returns what `make` makes of the column's dictionary. Calls it only if the last call had another dictionary.
    pub fn get(&mut self, column: &TextColumn, make: impl FnOnce(&StringArray) -> T) -> &T {
        let is_same =
            |of: &ArrayRef| Arc::ptr_eq(of, column.values()) || of.to_data().ptr_eq(&column.values().to_data());
        if !self.of.as_ref().is_some_and(is_same) {
            self.made = make(column.texts());
            self.of = Some(Arc::clone(column.values()));
        }
        &self.made
    }
}

/// The texts of all dictionaries of a column so far, numbered. So the dictionaries that it gives out change seldom, and
/// readers can keep what they know about a number.
#[derive(Debug, Default)]
pub struct Texts {
    numbers: HashMap<Box<str>, u32>,
    all: Option<ArrayRef>,
    codes: OfDictionary<Vec<u32>>,
}

impl Texts {
    /// Returns the column as a dictionary of views. `text_of` is applied to each text of the dictionary.
    pub fn coded(&mut self, column: &TextColumn, text_of: fn(&str) -> &str) -> ArrayRef {
        let Self { numbers, all, codes } = self;
        let number_all = |texts: &StringArray| {
            if numbers.len() > KNOWN {
                numbers.clear();
                *all = None;
            }
            let mut number = |text: &str| match numbers.get(text) {
                Some(number) => *number,
                None => {
                    let number = numbers.len() as u32;
                    numbers.insert(text.into(), number);
                    *all = None;
                    number
                }
            };
            texts.iter().map(|text| number(text_of(text.unwrap_or_default()))).collect()
        };
        let codes = codes.get(column, number_all);
        let all = all.get_or_insert_with(|| {
            let mut ordered: Vec<(&str, u32)> = numbers.iter().map(|(text, number)| (&**text, *number)).collect();
            ordered.sort_unstable_by_key(|(_, number)| *number);
            Arc::new(StringViewArray::from_iter_values(ordered.into_iter().map(|(text, _)| text)))
        });
        column.coded::<UInt32Type>(codes, Arc::clone(all))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn column(texts: &[Option<&str>]) -> ArrayRef {
        Arc::new(texts.iter().copied().collect::<DictionaryArray<UInt32Type>>())
    }

    #[test]
    fn texts_keep_their_numbers_from_dictionary_to_dictionary() {
        let mut texts = Texts::default();
        let mut coded = |rows: &[Option<&str>]| {
            let column = column(rows);
            let coded = texts.coded(&TextColumn::of(&column).expect("a text column"), |text| text);
            let coded = coded.as_dictionary::<UInt32Type>();
            (coded.keys().iter().collect::<Vec<_>>(), Arc::clone(coded.values()))
        };
        let (first, some) = coded(&[Some("a"), Some("b"), None]);
        assert_eq!(first, [Some(0), Some(1), None]);
        let (second, same) = coded(&[Some("b"), Some("a")]);
        assert_eq!(second, [Some(1), Some(0)]);
        assert!(Arc::ptr_eq(&some, &same), "no text was added");
        let (third, more) = coded(&[Some("c"), Some("a"), None]);
        assert_eq!((third, more.len()), (vec![Some(2), Some(0), None], 3));
    }

    #[test]
    fn a_column_without_any_text_stays_null() {
        let nulls = column(&[None, None]);
        let nulls = TextColumn::of(&nulls).expect("a text column");
        assert_eq!(Texts::default().coded(&nulls, |text| text).null_count(), 2);
        assert_eq!(nulls.views(&mut OfDictionary::default()).expect("views").null_count(), 2);
        assert_eq!(nulls.plain().expect("strings").null_count(), 2);
    }

    #[test]
    fn a_value_is_made_once_per_dictionary() {
        let (one, other) = (column(&[Some("a"), Some("b")]), column(&[Some("c")]));
        let mut made = 0;
        let mut lengths = OfDictionary::default();
        for column in [&one, &one.slice(1, 1), &other, &one] {
            lengths.get(&TextColumn::of(column).expect("a text column"), |_| made += 1);
        }
        assert_eq!(made, 3);
    }
}
