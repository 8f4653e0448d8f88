//! What a group of flows keeps, small however many flows it has: its hours, and its addresses.

mod addresses;
mod sample;
mod spans;

pub use addresses::{
    Addresses, Call, Callers, EXACT_ADDRESSES, LISTED, Peers, address_bytes, address_texts, distinct, hour_lists,
    nullable_address_texts, numbers,
};
pub use sample::{Sample, Spread, Spreading, spread};
pub use spans::{Hours, Steps};

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// What one group keeps, and the list that it travels as.
pub trait Kept: Default + Debug + Send + Sync + 'static {
    /// Fields of the list's elements.
    fn fields() -> Fields;
    /// The columns of the elements.
    type Parts<'a>;
    /// `elements` has the fields above.
    fn parts(elements: &StructArray) -> Self::Parts<'_>;
    /// Takes in what another group kept: some of the elements.
    fn merge(&mut self, parts: &Self::Parts<'_>, elements: Range<usize>);
    fn append(&self, columns: &mut Self::Columns);
    type Columns: Default;
    fn finish(columns: Self::Columns) -> Vec<ArrayRef>;
    /// Elements of the list.
    fn len(&self) -> usize;
    /// Bytes beyond its own.
    fn size(&self) -> usize;
}

/// Lists of what `K` keeps. A row is not made an array of its own, which costs more than most rows hold.
pub struct Lists<'a, K: Kept> {
    offsets: &'a [i32],
    parts: K::Parts<'a>,
}

impl<'a, K: Kept> Lists<'a, K> {
    /// `None` where it is a column of another kind.
    pub fn of(column: &'a dyn Array) -> Option<Self> {
        let lists = column.as_list_opt::<i32>()?;
        Some(Self { offsets: lists.value_offsets(), parts: K::parts(lists.values().as_struct_opt()?) })
    }

    pub fn is_empty(&self, row: usize) -> bool {
        self.offsets[row] == self.offsets[row + 1]
    }

    /// Adds a row to what a group keeps.
    pub fn merge(&self, row: usize, kept: &mut K) {
        kept.merge(&self.parts, self.offsets[row] as usize..self.offsets[row + 1] as usize);
    }
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
