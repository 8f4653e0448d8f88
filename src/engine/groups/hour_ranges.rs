//! Sets of hours, held as ranges. There are few ranges, because most logs have no gaps.

use crate::time::HOUR;

/// Returns the hour that contains a time, in hours since 1970.
pub fn hour_of(time: i64) -> i64 {
    time.div_euclid(HOUR)
}

/// Ranges of hours since 1970, each as its first and its last hour. They ascend, and neither touch nor overlap.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HourRanges(Vec<(i64, i64)>);

impl HourRanges {
    pub fn all(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// Adds the hours `first..=last`.
    pub fn add(&mut self, first: i64, last: i64) {
        // Ranges that touch or overlap the new one are joined with it.
        let from = self.0.partition_point(|&(_, end)| end < first - 1);
        let to = self.0.partition_point(|&(start, _)| start <= last + 1);
        let touched = &self.0[from..to];
        let joined = (
            touched.first().map_or(first, |&(start, _)| start.min(first)),
            touched.last().map_or(last, |&(_, end)| end.max(last)),
        );
        if *touched != [joined] {
            self.0.splice(from..to, [joined]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn holds_the_hours_that_were_added_and_no_others() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..500 {
            let (mut ranges, mut hours) = (HourRanges::default(), BTreeSet::new());
            for _ in 0..random.usize(..20) {
                let first = random.i64(-30..30);
                let last = first + random.i64(0..6);
                ranges.add(first, last);
                hours.extend(first..=last);
            }
            let held: Vec<i64> = ranges.all().iter().flat_map(|&(first, last)| first..=last).collect();
            assert_eq!(held, hours.into_iter().collect::<Vec<_>>());
            assert!(ranges.all().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{ranges:?}");
        }
        assert_eq!(hour_of(-1), -1);
    }
}
