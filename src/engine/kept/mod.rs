//! What a group of flows keeps, small however many flows it has: its hours, and its addresses.

mod addresses;
mod sample;
mod spans;

pub use addresses::{
    Addresses, Callers, EXACT_ADDRESSES, Peers, address_bytes, address_texts, distinct, hour_lists, numbers,
};
pub use sample::{Sample, Spread, spread};
pub use spans::{Hours, Steps};

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// What one group keeps, and the list that it travels as.
pub trait Kept: Default + Debug + Send + Sync + 'static {
    /// Fields of the list's elements.
    fn fields() -> Fields;
    /// Takes in what another group kept.
    fn merge(&mut self, elements: &StructArray);
    fn append(&self, columns: &mut Self::Columns);
    type Columns: Default;
    fn finish(columns: Self::Columns) -> Vec<ArrayRef>;
    /// Elements of the list.
    fn len(&self) -> usize;
    /// Bytes beyond its own.
    fn size(&self) -> usize;
}

/// The type of a list of what `K` keeps.
pub fn list_type<K: Kept>() -> DataType {
    DataType::List(element::<K>())
}

fn element<K: Kept>() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(K::fields()), false))
}

/// Returns the list of each group.
pub fn lists<'a, K: Kept>(groups: impl Iterator<Item = &'a K> + Clone) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(groups.clone().map(K::len));
    let mut columns = K::Columns::default();
    groups.for_each(|group| group.append(&mut columns));
    let elements = StructArray::new(K::fields(), K::finish(columns), None);
    Arc::new(ListArray::new(element::<K>(), offsets, Arc::new(elements), None))
}
