//! The time axis that all charts share: the hours of the logs, in at most 57 steps.

use crate::findings::{Analysis, HourCount};
use crate::time::{DAY, HOUR, Timestamp};

/// Maximum number of whole steps.
const STEPS: i64 = 56;
/// Lengths of a step in hours that divide a day or are a day.
const LENGTHS: [i64; 9] = [1, 2, 3, 4, 6, 8, 12, 24, 48];

/// Steps of equal length from the first flow to the last.
pub struct Axis {
    start: i64,
    step: i64,
    count: usize,
}

impl Axis {
    /// Returns the axis of the logs that were read.
    pub fn of(analysis: &Analysis) -> Self {
        let (first, last) = (analysis.input.first_flow, analysis.input.last_flow);
        let first = first.or(last).map_or(0, |time| time.0);
        let last = last.map_or(first, |time| time.0).max(first);
        let hours = (last.saturating_sub(first) / HOUR).saturating_add(1);
        let days = hours / (STEPS * 24) + 1;
        let length = LENGTHS.into_iter().find(|length| hours / length < STEPS).unwrap_or(days.saturating_mul(24));
        let step = length.saturating_mul(HOUR);
        let start = first.div_euclid(step).saturating_mul(step);
        let count = usize::try_from(last.saturating_sub(start) / step + 1).unwrap_or(1);
        Self { start, step, count }
    }

    /// Returns the number of steps, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the step that contains `time`; the first or last one if it lies outside.
    pub fn place(&self, time: Timestamp) -> usize {
        let place = time.0.saturating_sub(self.start).div_euclid(self.step);
        usize::try_from(place).unwrap_or(0).min(self.count - 1)
    }

    /// Returns the position of `time` in steps, from 0 to the number of steps.
    pub fn position(&self, time: Timestamp) -> f64 {
        let steps = time.0.saturating_sub(self.start) as f64 / self.step as f64;
        steps.clamp(0.0, self.count as f64)
    }

    /// Returns the start of a step.
    pub fn start_of(&self, place: usize) -> Timestamp {
        Timestamp(self.start.saturating_add(self.step.saturating_mul(place as i64)))
    }

    /// Returns the end of the last step.
    pub fn end(&self) -> Timestamp {
        self.start_of(self.count)
    }

    /// Returns the length of a step in words.
    pub fn step(&self) -> String {
        match (self.step / HOUR, self.step / DAY) {
            (1, _) => "hour".to_owned(),
            (24, _) => "day".to_owned(),
            (hours, _) if hours % 24 != 0 => format!("{hours} hours"),
            (_, days) => format!("{days} days"),
        }
    }

    /// Returns whether a step is shorter than a day.
    pub fn is_within_days(&self) -> bool {
        self.step < DAY
    }

    /// Returns the number of steps of a day, or of a week if a step is a day or longer.
    pub fn steps_per_row(&self) -> usize {
        let span = if self.is_within_days() { DAY } else { self.step.saturating_mul(7) };
        usize::try_from(span / self.step).unwrap_or(1)
    }

    /// Adds refusals per hour into the steps.
    pub fn add(&self, hours: &[HourCount], steps: &mut [i64]) {
        for hour in hours {
            if let Some(sum) = steps.get_mut(self.place(hour.hour)) {
                *sum = sum.saturating_add(hour.denied_tuples.max(0));
            }
        }
    }
}
