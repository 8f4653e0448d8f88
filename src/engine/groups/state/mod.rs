//! The summary of a group of flows: its hours and its addresses. It stays small, however many flows the group has.

mod addresses;
mod sample;
mod spans;

pub use addresses::{
    Addresses, Call, Callers, EXACT_ADDRESSES, LISTED, Peers, address_bytes, address_texts, distinct, estimate,
    hour_lists, nullable_address_texts, numbers,
};
pub use sample::{AddressHasher, Sample, Spreading, spread};
pub use spans::{Hours, Steps};

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// Part of the summary of a group, which travels as a list.
pub trait GroupState: Default + Debug + Send + Sync + 'static {
    /// Returns the fields of the list's elements.
    fn fields() -> Fields;
    /// Columns of the elements, as slices.
    type Parts<'a>;
    /// Returns the columns of `elements`, which has the fields of [`Self::fields`].
    fn parts(elements: &StructArray) -> Self::Parts<'_>;
    /// Merges some elements of another group's list.
    fn merge(&mut self, parts: &Self::Parts<'_>, elements: Range<usize>);
    /// Appends the elements of the list to `columns`.
    fn append(&self, columns: &mut Self::Columns);
    /// Builders of the columns.
    type Columns: Default;
    /// Returns the finished columns, in the order of the fields.
    fn finish(columns: Self::Columns) -> Vec<ArrayRef>;
    /// Returns the number of elements.
    fn len(&self) -> usize;
    /// Returns the bytes on the heap.
    fn size(&self) -> usize;
}

/// An array of lists of `K`. Merging reads rows in place, because an array per row would cost more than most rows hold.
pub struct Lists<'a, K: GroupState> {
    offsets: &'a [i32],
    parts: K::Parts<'a>,
}

impl<'a, K: GroupState> Lists<'a, K> {
    /// Reads a column. Returns `None` if it holds no lists of structs.
    pub fn of(column: &'a dyn Array) -> Option<Self> {
        let lists = column.as_list_opt::<i32>()?;
        Some(Self { offsets: lists.value_offsets(), parts: K::parts(lists.values().as_struct_opt()?) })
    }

    pub fn is_empty(&self, row: usize) -> bool {
        self.offsets[row] == self.offsets[row + 1]
    }

    /// Merges the list of a row into `kept`.
    pub fn merge(&self, row: usize, kept: &mut K) {
        kept.merge(&self.parts, self.offsets[row] as usize..self.offsets[row + 1] as usize);
    }
}

/// Returns the type of a list of `K`.
pub fn list_type<K: GroupState>() -> DataType {
    DataType::List(element::<K>())
}

fn element<K: GroupState>() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(K::fields()), false))
}

/// Returns a column with the list of each group.
pub fn lists<'a, K: GroupState>(groups: impl Iterator<Item = &'a K> + Clone) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(groups.clone().map(K::len));
    let mut columns = K::Columns::default();
    groups.for_each(|group| group.append(&mut columns));
    let elements = StructArray::new(K::fields(), K::finish(columns), None);
    Arc::new(ListArray::new(element::<K>(), offsets, Arc::new(elements), None))
}
