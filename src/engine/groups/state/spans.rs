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
    /// All spans, ascending; empty while there is only one.
    all: Vec<Span>,
    /// Index in `all` of the latest span, whose tuples there are not up to date.
    place: usize,
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
            self.leave_latest(new.start);
        }
        if self.latest.tuples == 0 {
            self.latest = new;
            return;
        }
        self.latest.tuples += new.tuples;
        self.latest.first = self.latest.first.min(new.first);
        self.latest.last = self.latest.last.max(new.last);
    }

    /// Makes the span that begins at `start` the latest, and adds it if there is none.
    fn leave_latest(&mut self, start: i64) {
        match self.all.get_mut(self.place) {
            Some(span) => *span = self.latest,
            None => {
                self.all.reserve_exact(2);
                self.all.push(self.latest);
            }
        }
        match self.find(start) {
            Ok(known) => (self.latest, self.place) = (self.all[known], known),
            Err(place) => {
                self.all.insert(place, Span { start, ..Span::default() });
                (self.latest, self.place) = (Span::default(), place);
            }
        }
    }

    /// Returns the index of the span that begins at `start`, or where it would be. Searches from the latest span outwards,
    /// because most rows come in the order of their times, or go back by a few hours.
    fn find(&self, start: i64) -> Result<usize, usize> {
        let (mut near, mut step) = (self.place..self.place + 1, 1);
        while near.start > 0 && self.all[near.start].start > start {
            near.start = near.start.saturating_sub(step);
            step *= 2;
        }
        while near.end < self.all.len() && self.all[near.end - 1].start < start {
            near.end = self.all.len().min(near.end + step);
            step *= 2;
        }
        let found = self.all[near.clone()].binary_search_by_key(&start, |span| span.start);
        found.map(|place| near.start + place).map_err(|place| near.start + place)
    }

    /// Returns all spans in ascending order.
    fn all(&self) -> impl Iterator<Item = &Span> {
        let (before, after) = self.all.split_at(self.place.min(self.all.len()));
        let latest = (self.latest.tuples > 0).then_some(&self.latest);
        before.iter().chain(latest).chain(after.iter().skip(1))
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
        self.all.len().max(usize::from(self.latest.tuples > 0))
    }

    fn size(&self) -> usize {
        self.all.capacity() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn tuples_are_counted_in_any_order() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..500 {
            let (mut spans, mut expected) = (Hours::default(), BTreeMap::<i64, (i64, i64, i64)>::new());
            let mut time = 0;
            for _ in 0..random.usize(0..60) {
                // Mostly onwards, sometimes back, as in a lake.
                time = if random.u8(0..8) == 0 { random.i64(-50..50) * HOUR } else { time + random.i64(0..HOUR) };
                let mut add = |time: i64| {
                    let known = expected.entry(time - time.rem_euclid(HOUR)).or_insert((0, time, time));
                    *known = (known.0 + 1, known.1.min(time), known.2.max(time));
                };
                add(time);
                spans.add_time(time);
                if random.u8(0..6) == 0 {
                    let start = random.i64(-60..60) * HOUR;
                    add(start + 7);
                    spans.add(Span { start, tuples: 1, first: start + 7, last: start + 7 });
                }
            }
            let held = spans.all().map(|span| (span.start, (span.tuples, span.first, span.last)));
            assert!(held.eq(expected.clone()), "{spans:?}");
            assert_eq!(spans.len(), expected.len());
        }
    }
}
