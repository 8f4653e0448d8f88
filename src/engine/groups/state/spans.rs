//! Times of a group's flows, per hour or per ten minutes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimestampMillisecondType};

use super::GroupState;
use crate::schema::timestamp;
use crate::time::HOUR;

/// Tuples per hour: their number, first time and last time.
pub type Hours = Spans<HOUR>;
/// The same per ten minutes, so no gap between flows of one step is longer.
pub type Steps = Spans<600_000>;

/// Number of tuples, first time and last time per span of `MS` milliseconds, in ascending order.
#[derive(Debug, Default)]
pub struct Spans<const MS: i64> {
    /// Span of the last tuple, which most likely also contains the next one.
    latest: Span,
    /// All other spans, ascending.
    others: Vec<Span>,
}

/// Tuples of one span. A span with 0 tuples is empty, and its times are meaningless.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: i64,
    tuples: i64,
    first: i64,
    last: i64,
}

impl<const MS: i64> Spans<MS> {
    /// Adds one tuple at a time in ms since 1970.
    #[inline(always)]
    pub fn add_time(&mut self, time: i64) {
        let latest = &mut self.latest;
        if latest.tuples > 0 && (time.wrapping_sub(latest.start) as u64) < MS as u64 {
            latest.tuples += 1;
            latest.first = latest.first.min(time);
            latest.last = latest.last.max(time);
        } else {
            self.add(Span { start: time - time.rem_euclid(MS), tuples: 1, first: time, last: time });
        }
    }

    /// Adds a span, which becomes the latest.
    #[inline(never)]
    fn add(&mut self, new: Span) {
        if self.latest.tuples > 0 && self.latest.start != new.start {
            let place = self.others.partition_point(|s| s.start < self.latest.start);
            if self.others.is_empty() {
                self.others.reserve_exact(1);
            }
            self.others.insert(place, self.latest);
            self.latest = match self.others.binary_search_by_key(&new.start, |s| s.start) {
                Ok(known) => self.others.remove(known),
                Err(_) => Span::default(),
            };
        }
        if self.latest.tuples == 0 {
            self.latest = new;
            return;
        }
        self.latest.tuples += new.tuples;
        self.latest.first = self.latest.first.min(new.first);
        self.latest.last = self.latest.last.max(new.last);
    }

    /// Returns all spans in ascending order.
    fn all(&self) -> impl Iterator<Item = &Span> {
        let place = self.others.partition_point(|s| s.start < self.latest.start);
        let (before, after) = self.others.split_at(place);
        let latest = (self.latest.tuples > 0).then_some(&self.latest);
        before.iter().chain(latest).chain(after)
    }
}

impl<const MS: i64> GroupState for Spans<MS> {
    type Columns = [Vec<i64>; 4];

    fn fields() -> Fields {
        Fields::from(vec![
            Field::new("hour", timestamp(), false),
            Field::new("tuples", DataType::Int64, false),
            Field::new("first", timestamp(), false),
            Field::new("last", timestamp(), false),
        ])
    }

    type Parts<'a> = [&'a [i64]; 4];

    fn parts(elements: &StructArray) -> Self::Parts<'_> {
        let times = |i: usize| &**elements.column(i).as_primitive::<TimestampMillisecondType>().values();
        [times(0), elements.column(1).as_primitive::<Int64Type>().values(), times(2), times(3)]
    }

    fn merge(&mut self, [starts, tuples, firsts, lasts]: &Self::Parts<'_>, elements: Range<usize>) {
        for i in elements {
            self.add(Span { start: starts[i], tuples: tuples[i], first: firsts[i], last: lasts[i] });
        }
    }

    fn append(&self, [starts, tuples, firsts, lasts]: &mut Self::Columns) {
        for span in self.all() {
            starts.push(span.start);
            tuples.push(span.tuples);
            firsts.push(span.first);
            lasts.push(span.last);
        }
    }

    fn finish([starts, tuples, firsts, lasts]: Self::Columns) -> Vec<ArrayRef> {
        let times = |times| Arc::new(TimestampMillisecondArray::new(times, None).with_timezone("UTC"));
        vec![times(starts.into()), Arc::new(Int64Array::from(tuples)), times(firsts.into()), times(lasts.into())]
    }

    fn len(&self) -> usize {
        self.others.len() + usize::from(self.latest.tuples > 0)
    }

    fn size(&self) -> usize {
        self.others.capacity() * size_of::<Span>()
    }
}
