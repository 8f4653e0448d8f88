//! Times as a reader sees them: in UTC, or in another zone with its offset. Formats for programs stay in UTC.

use std::borrow::Cow;

use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDateTime};

use crate::time::{Timestamp, length};

/// Length of a time in sentences, such as `2026-05-04 06:04 UTC`.
const MINUTE: usize = 20;

/// Zone in which a report shows times, and the time of the run if it is known.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// `None` for UTC.
    zone: Option<Tz>,
    now: Option<Timestamp>,
}

impl Clock {
    /// Shows times in UTC.
    pub const UTC: Self = Self { zone: None, now: None };

    /// Shows times in a zone, with offsets.
    pub const fn of(zone: Tz) -> Self {
        Self { zone: Some(zone), now: None }
    }

    /// Returns the clock of a run at a known time.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now: Some(now), ..self }
    }

    /// Returns how long before the run a time was, such as `2 hours`; `None` if the time of the run is not known.
    pub fn age(self, time: Timestamp) -> Option<String> {
        let age = self.now?.0.checked_sub(time.0)?;
        (age >= 0).then(|| length(age))
    }

    /// Returns whether times are in UTC, and named so.
    pub fn is_utc(self) -> bool {
        self.zone.is_none()
    }

    /// Returns a time for sentences: `2026-05-04 06:04 UTC` or `2026-05-04 08:04 +02:00`.
    pub fn minute(self, time: Timestamp) -> String {
        match self.zone {
            None => time.minute(),
            Some(_) => self.written(time, "%Y-%m-%d %H:%M %:z"),
        }
    }

    /// Returns a time without its year and zone: `4 May 06:04`.
    pub fn brief(self, time: Timestamp) -> String {
        self.written(time, "%-d %b %H:%M")
    }

    /// Returns a time without its zone: `4 May 2026 06:04`.
    pub fn long(self, time: Timestamp) -> String {
        self.written(time, "%-d %b %Y %H:%M")
    }

    /// Returns the zone that follows a time: `UTC` or `+02:00`.
    pub fn zone(self, time: Timestamp) -> String {
        match self.zone {
            None => "UTC".to_owned(),
            Some(_) => self.written(time, "%:z"),
        }
    }

    /// Returns two times: `4 May 2026 00:04 to 5 May 06:00 UTC`.
    pub fn span(self, first: Timestamp, last: Timestamp) -> String {
        let is_one_year = self.written(first, "%Y") == self.written(last, "%Y");
        let end = if is_one_year { self.brief(last) } else { self.long(last) };
        match (self.zone(first), self.zone(last)) {
            (zone, same) if zone == same => format!("{} to {end} {zone}", self.long(first)),
            // Clocks were changed between the two.
            (before, after) => format!("{} {before} to {end} {after}", self.long(first)),
        }
    }

    /// Returns a sentence with its times in UTC replaced.
    pub fn prose(self, text: &str) -> Cow<'_, str> {
        if self.is_utc() || !text.contains(" UTC") {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(end) = rest.find(" UTC").map(|at| at + " UTC".len()) {
            let (before, after) = rest.split_at(end);
            match last_time(before) {
                None => shown.push_str(before),
                Some((before, last)) => {
                    // The zone of a span is only after its end.
                    let span = before.strip_suffix(" to ").map(|before| format!("{before} UTC"));
                    match span.as_deref().and_then(last_time) {
                        Some((before, first)) => shown.extend([before, &self.minute(first), " to "]),
                        None => shown.push_str(before),
                    }
                    shown.push_str(&self.minute(last));
                }
            }
            rest = after;
        }
        Cow::Owned(shown + rest)
    }

    fn written(self, time: Timestamp, form: &str) -> String {
        let in_utc = DateTime::from_timestamp_millis(time.0);
        let text = in_utc.map(|time| match self.zone {
            None => time.format(form).to_string(),
            Some(zone) => time.with_timezone(&zone).format(form).to_string(),
        });
        text.unwrap_or_else(|| time.to_string())
    }
}

/// Splits off a time at the end, in the form of [`Timestamp::minute`].
fn last_time(text: &str) -> Option<(&str, Timestamp)> {
    let (before, time) = text.split_at_checked(text.len().checked_sub(MINUTE)?)?;
    let time = NaiveDateTime::parse_from_str(time.strip_suffix(" UTC")?, "%Y-%m-%d %H:%M").ok()?;
    Some((before, Timestamp(time.and_utc().timestamp_millis())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_zone() {
        let at = |text| Timestamp::parse_rfc3339(text).expect("a time");
        let berlin = Clock::of("Europe/Berlin".parse().expect("a zone"));
        let (spring, autumn) = (at("2026-05-04T22:04:59Z"), at("2026-11-05T23:30:00Z"));
        assert_eq!(berlin.minute(spring), "2026-05-05 00:04 +02:00");
        assert_eq!(berlin.span(spring, at("2026-05-05T06:00:00Z")), "5 May 2026 00:04 to 5 May 08:00 +02:00");
        assert_eq!(berlin.span(spring, autumn), "5 May 2026 00:04 +02:00 to 6 Nov 00:30 +01:00");
        assert_eq!(Clock::UTC.span(spring, autumn), "4 May 2026 22:04 to 5 Nov 23:30 UTC");
        for (text, told) in [
            (
                "until 2026-05-04 22:04 UTC, then 2026-11-05 23:30 UTC.",
                "until 2026-05-05 00:04 +02:00, then 2026-11-06 00:30 +01:00.",
            ),
            ("2026-05-04 20:00 to 2026-05-04 22:00 UTC", "2026-05-04 22:00 +02:00 to 2026-05-05 00:00 +02:00"),
            ("éééééééééé 06:04 UTC", "éééééééééé 06:04 UTC"),
            ("2026-13-04 22:04 UTC", "2026-13-04 22:04 UTC"),
        ] {
            assert_eq!((berlin.prose(text).as_ref(), Clock::UTC.prose(text).as_ref()), (told, text));
        }
    }
}
