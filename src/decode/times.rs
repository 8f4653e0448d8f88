//! Range of plausible times for the tuples of a record. A tuple with any other time is malformed.

use super::problem::OffTime;
use crate::time::{DAY, TimeRange};

/// 2015-01-01T00:00:00Z. Azure had no flow logs before.
const EARLIEST: i64 = 1_420_070_400_000;
/// 2100-01-01T00:00:00Z.
const LATEST: i64 = 4_102_444_800_000;
/// 90 days.
const FARTHEST: i64 = 90 * DAY;

/// Plausible times of a record's tuples, and the part of them inside the window. All values are ms since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// First time that is plausible and inside the window.
    low: i64,
    /// First time after that range; at most `low` if the range is empty.
    high: i64,
    near: Option<Near>,
}

/// Time that the tuples of a record must be near, and the fault if they are not.
#[derive(Debug, Clone, Copy)]
struct Near {
    time: i64,
    fault: OffTime,
}

impl Times {
    /// Creates the range. `record` is the record's time if it precedes the tuples, `hour` that of the blob's path.
    pub fn new(record: Option<i64>, hour: Option<i64>, window: TimeRange) -> Self {
        let near = match (record, hour) {
            (Some(time), _) => Some(Near { time, fault: OffTime::FarFromRecord }),
            (None, Some(time)) => Some(Near { time, fault: OffTime::FarFromPath }),
            (None, None) => None,
        };
        let (mut low, mut high) = (EARLIEST, LATEST + 1);
        if let Some(Near { time, .. }) = near {
            low = low.max(time.saturating_sub(FARTHEST));
            high = high.min(time.saturating_add(FARTHEST + 1));
        }
        low = low.max(window.from.unwrap_or(low));
        high = high.min(window.to.unwrap_or(high));
        Self { low, high, near }
    }

    /// Returns whether a tuple with this time is well formed and inside the window.
    #[inline(always)]
    pub fn are_wanted(&self, time: i64) -> bool {
        self.low <= time && time < self.high
    }

    /// Returns the fault of a time that is not wanted; `None` if the time is only outside the window.
    pub fn fault(&self, time: i64) -> Option<OffTime> {
        match self.near {
            Some(Near { time: near, fault }) if time.abs_diff(near) > FARTHEST as u64 => Some(fault),
            _ if !(EARLIEST..=LATEST).contains(&time) => Some(OffTime::Years),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAY: i64 = 1_777_878_000_000;

    #[test]
    fn both_bounds_of_each_rule_are_plausible() {
        let check = |record, hour, time, fault| {
            let times = Times::new(record, hour, TimeRange::default());
            assert_eq!(times.fault(time), fault, "{record:?} {hour:?} {time}");
            assert_eq!(times.are_wanted(time), fault.is_none(), "{record:?} {hour:?} {time}");
        };
        check(None, None, EARLIEST, None);
        check(None, None, LATEST, None);
        check(None, None, EARLIEST - 1, Some(OffTime::Years));
        check(None, None, LATEST + 1, Some(OffTime::Years));
        for (record, hour, fault) in
            [(Some(MAY), Some(0), OffTime::FarFromRecord), (None, Some(MAY), OffTime::FarFromPath)]
        {
            check(record, hour, MAY - 90 * DAY, None);
            check(record, hour, MAY + 90 * DAY, None);
            check(record, hour, MAY - 90 * DAY - 1, Some(fault));
            check(record, hour, MAY + 90 * DAY + 1, Some(fault));
            check(record, hour, LATEST * 2, Some(fault));
        }
        check(Some(EARLIEST + DAY), None, EARLIEST - 1, Some(OffTime::Years));
        check(Some(0), None, MAY, Some(OffTime::FarFromRecord));
        check(Some(i64::MIN), None, MAY, Some(OffTime::FarFromRecord));
        check(Some(i64::MAX), None, MAY, Some(OffTime::FarFromRecord));
    }

    #[test]
    fn a_window_leaves_out_without_fault() {
        let window = TimeRange { from: Some(MAY), to: Some(MAY + DAY) };
        let times = Times::new(Some(MAY), None, window);
        assert_eq!([MAY - 1, MAY, MAY + DAY - 1, MAY + DAY].map(|t| times.are_wanted(t)), [false, true, true, false]);
        assert_eq!([MAY - 1, MAY + DAY].map(|t| times.fault(t)), [None, None]);
        let empty = TimeRange { from: Some(MAY + DAY), to: Some(MAY) };
        assert!(!Times::new(None, None, empty).are_wanted(MAY));
    }
}
