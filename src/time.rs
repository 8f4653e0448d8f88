//! Points in time and spans of them, in ms since 1970 UTC. Knows numbers and text only.

pub mod typed;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One minute, in ms.
pub const MINUTE: i64 = 60_000;
/// One hour, in ms.
pub const HOUR: i64 = 60 * MINUTE;
/// One day, in ms.
pub const DAY: i64 = 24 * HOUR;

/// Point in time, in ms since 1970 UTC. Prints as RFC 3339 with milliseconds, or outside the calendar as the number of
/// ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the start of the hour.
    pub fn hour(self) -> Self {
        Self(self.0.div_euclid(HOUR).saturating_mul(HOUR))
    }

    /// Returns the time for sentences: `2026-05-04 06:04 UTC`.
    pub fn minute(self) -> String {
        let text = self.to_string();
        text.get(..16).map(|t| format!("{} UTC", t.replace('T', " "))).unwrap_or(text)
    }

    /// Parses RFC 3339; `None` for any other text.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|time| Self(time.timestamp_millis()))
    }

    /// Parses RFC 3339, or a day such as `2026-05-04` as its first instant in UTC. `None` for any other text.
    pub fn parse_day_or_time(text: &str) -> Option<Self> {
        let midnight = |day: NaiveDate| Self(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(midnight).or_else(|| Self::parse_rfc3339(text))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.pad(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Returns a length of time in ms in its largest unit, such as `3 days`.
pub fn length(ms: i64) -> String {
    let (count, unit) = match ms {
        ms if ms >= 2 * DAY => (ms / DAY, "days"),
        ms if ms >= 2 * HOUR => (ms / HOUR, "hours"),
        ms if ms / MINUTE == 1 => (1, "minute"),
        ms => (ms / MINUTE, "minutes"),
    };
    format!("{count} {unit}")
}

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no time like 2026-05-04T06:00:00Z")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Parses everything that `Display` writes.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        // RFC 3339 ends with the year 9999. chrono continues with a sign before the year.
        let far = || text.parse::<DateTime<Utc>>().ok().map(|time| Self(time.timestamp_millis()));
        let number = || text.strip_suffix(" ms").and_then(|number| number.parse().ok()).map(Self);
        Self::parse_rfc3339(text).or_else(far).or_else(number).ok_or_else(|| TimestampError(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Times from `from` on and before `to`, in ms since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    /// First time, inclusive; `None` if open.
    pub from: Option<i64>,
    /// End, exclusive; `None` if open.
    pub to: Option<i64>,
}

impl TimeRange {
    /// Returns whether the range contains `time`.
    pub fn contains(&self, time: i64) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// Returns the times that are in both ranges.
    pub fn intersection(&self, other: &Self) -> Self {
        let to = [self.to, other.to].into_iter().flatten().min();
        Self { from: self.from.max(other.from), to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_reads_back_as_it_prints() {
        let year = 366 * DAY;
        for ms in [0, -1, 1_777_874_645_678, -3000 * year, 9000 * year, 20_000 * year, i64::MIN, i64::MAX] {
            let text = Timestamp(ms).to_string();
            assert_eq!(text.parse(), Ok(Timestamp(ms)), "{text}");
            let json = serde_json::to_string(&Timestamp(ms)).expect("JSON");
            assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("a time"), Timestamp(ms));
        }
        assert!("soon".parse::<Timestamp>().is_err());
    }

    #[test]
    fn sentences_and_hours_are_those_of_utc() {
        let time = Timestamp::parse_rfc3339("2026-05-04T08:04:05.678+02:00").expect("a time");
        assert_eq!(time.to_string(), "2026-05-04T06:04:05.678Z");
        assert_eq!(
            (time.minute().as_str(), time.hour().minute().as_str()),
            ("2026-05-04 06:04 UTC", "2026-05-04 06:00 UTC")
        );
        assert_eq!(Timestamp::parse_day_or_time("2026-05-04"), Timestamp::parse_rfc3339("2026-05-04T00:00:00Z"));
        assert_eq!(Timestamp(-1).hour(), Timestamp(-HOUR));
    }
}
