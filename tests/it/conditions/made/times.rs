//! Times, their casts, and constants of them.

use chrono::DateTime;

use super::{Maker, Part, both, only, quoted, same};

impl Maker {
    /// Where the session's zone is not UTC, a time without a zone means another instant beside one with a zone.
    pub(super) fn time_side(&mut self, column: &'static str) -> Part {
        let side = self.time_side_in_utc(column);
        if self.is_utc || !side.ours.contains('(') || side.ours.starts_with("date_") { side } else { only(side.ours) }
    }

    fn time_side_in_utc(&mut self, column: &'static str) -> Part {
        match self.random.u32(..14) {
            0..5 => same(column),
            5 => {
                let digits = self.one(&["0", "3", "6", "9"]);
                let duck = if digits == "0" { seconds(column) } else { column.to_owned() };
                both(format!("CAST({column} AS TIMESTAMP({digits}))"), duck)
            }
            6 => {
                let unit = self.one(&["Second", "Millisecond", "Microsecond", "Nanosecond"]);
                let zone = self.one(&["None", "Some(\"UTC\")", "Some(\"Europe/Berlin\")", "Some(\"+05:30\")"]);
                let ours = format!("arrow_cast({column}, 'Timestamp({unit}, {zone})')");
                // Which zone a constant without one then means is the engine's choice.
                if zone == "None" || zone.contains("UTC") {
                    both(ours, if unit == "Second" { seconds(column) } else { column.to_owned() })
                } else {
                    only(ours)
                }
            }
            7..9 => {
                let unit = self.one(&["second", "minute", "hour", "day", "month"]);
                same(format!("date_trunc('{unit}', {column})"))
            }
            9 => same(format!("{column} + INTERVAL '{} minutes'", self.random.i32(-90..90))),
            10 => both(format!("TRY_CAST({column} AS TIMESTAMP(0))"), seconds(column)),
            11 => both(format!("CAST({column} AS TIMESTAMP WITH TIME ZONE)"), column),
            12 => only(format!("{column} AT TIME ZONE 'Europe/Berlin'")),
            _ => {
                let bin = self.one(&["1 second", "15 minutes", "1 hour"]);
                both(
                    format!("date_bin(INTERVAL '{bin}', {column})"),
                    format!("time_bucket(INTERVAL '{bin}', {column})"),
                )
            }
        }
    }

    /// Milliseconds, and nanoseconds after them.
    pub(super) fn instant(&mut self, column: &str) -> (i64, i64) {
        let ms: i64 = self.value(column).parse().unwrap_or(0) + self.one(&[0, 0, 0, 0, 1, -1, 1000, -3_600_000]);
        let ms = if self.chance(30) { ms.div_euclid(1000) * 1000 } else { ms };
        (ms, self.one(&[0, 0, 0, 500_000, 1_000]))
    }

    pub(super) fn time_constant(&mut self, column: &'static str) -> Part {
        let constant = self.time_constant_in_utc(column);
        if self.is_utc || !constant.ours.starts_with("to_timestamp") { constant } else { only(constant.ours) }
    }

    fn time_constant_in_utc(&mut self, column: &'static str) -> Part {
        let (ms, nanos) = self.instant(column);
        let us = ms * 1000 + nanos / 1000;
        let exact = |us: i64| format!("TIMESTAMPTZ '{}+00'", naive_us(us));
        match self.random.u32(..16) {
            0..3 => same(format!("TIMESTAMP '{}'", naive_us(us))),
            3..5 => same(quoted(&format!("{}Z", naive_us(us).replace(' ', "T")))),
            5 => same(quoted(&naive(ms, 3))),
            6 => {
                let (zone, minutes) = self.one(&[("+02:00", 120), ("-05:30", -330), ("+00:00", 0)]);
                same(quoted(&format!("{}{zone}", naive_us(us + minutes * 60_000_000))))
            }
            7 => same(format!("DATE '{}'", &naive(ms, 0)[..10])),
            8 => both(format!("to_timestamp_millis({ms})"), exact(ms * 1000)),
            9 => both(format!("to_timestamp_seconds({})", ms.div_euclid(1000)), exact(ms.div_euclid(1000) * 1_000_000)),
            10 => both(format!("to_timestamp_micros({us})"), exact(us)),
            11 => both(format!("CAST('{}' AS TIMESTAMP(0))", naive(ms, 0)), exact(ms.div_euclid(1000) * 1_000_000)),
            12 => {
                let unit = self.one(&["Second", "Millisecond", "Microsecond", "Nanosecond"]);
                let zone = self.one(&["None", "Some(\"UTC\")"]);
                let text = naive(ms, 0);
                both(
                    format!("arrow_cast('{text}', 'Timestamp({unit}, {zone})')"),
                    exact(ms.div_euclid(1000) * 1_000_000),
                )
            }
            13 => same(format!("TIMESTAMP '{}' + INTERVAL '1 hour'", naive_us(us))),
            14 => only(format!("TIMESTAMP '{}{}'", naive(ms, 3), self.one(&["0001", "999999", "4567"]))),
            _ => same("NULL"),
        }
    }
}

fn seconds(column: &str) -> String {
    format!("date_trunc('second', {column})")
}

/// A time as SQL writes it, with this many digits after the seconds: 0 or 3.
pub(super) fn naive(ms: i64, digits: usize) -> String {
    let time = DateTime::from_timestamp_millis(ms).expect("a time");
    let text = time.format("%Y-%m-%d %H:%M:%S%.3f").to_string();
    if digits == 0 { text[..19].to_owned() } else { text }
}

fn naive_us(us: i64) -> String {
    DateTime::from_timestamp_micros(us).expect("a time").format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
