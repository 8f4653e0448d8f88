//! Times and durations as people type them. Knows numbers and text only.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};

use super::{DAY, HOUR, MINUTE, Timestamp};

/// Examples of times, for messages.
pub const TIMES: &str = "2026-05-04, '2026-05-04 06:00', 2026-05-04T06:00:00Z, yesterday or -2h";
/// Examples of durations, for messages.
pub const DURATIONS: &str = "7d, 36h, 90m, 2w or '1 day'";

/// Parses a time: RFC 3339, a day, or a day with a time of day. Also `now`, `today` and `yesterday`, which may have a
/// time of day, and `-2h` or `2h ago`. A time without an offset is in `zone`. `None` for any other text.
pub fn time(text: &str, now: i64, zone: &impl TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(time);
    }
    let lower = text.to_ascii_lowercase();
    if lower == "now" {
        return Some(Timestamp(now));
    }
    let ago = lower.strip_prefix('-').or_else(|| lower.strip_suffix("ago"));
    if let Some(length) = ago.and_then(duration) {
        return Some(Timestamp(now.checked_sub(length)?));
    }
    let (text, offset) = split_offset(&lower);
    let local = |naive: NaiveDateTime| match offset {
        Some(offset) => Some(Timestamp(naive.and_utc().timestamp_millis().checked_sub(offset)?)),
        // The first of two equal times, when clocks are set back.
        None => zone.from_local_datetime(&naive).earliest().map(|time| Timestamp(time.timestamp_millis())),
    };
    let (day, rest) = match text.find([' ', 't']) {
        // The `t` of `today`.
        Some(0) => (text, ""),
        Some(at) if text.as_bytes()[..at].iter().all(|byte| !byte.is_ascii_alphabetic()) => {
            (&text[..at], text[at + 1..].trim())
        }
        _ => text.split_once(' ').unwrap_or((text, "")),
    };
    let (day, rest) = if rest.is_empty() { day.split_once(' ').unwrap_or((day, rest)) } else { (day, rest) };
    let today = || DateTime::from_timestamp_millis(now).map(|now| now.with_timezone(zone).date_naive());
    let day = match day {
        "today" => today()?,
        "yesterday" => today()?.checked_sub_days(Days::new(1))?,
        day => NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?,
    };
    local(day.and_time(time_of_day(rest)?))
}

/// Parses a time of day with or without seconds. An empty text is midnight.
fn time_of_day(text: &str) -> Option<NaiveTime> {
    if text.is_empty() {
        return Some(NaiveTime::MIN);
    }
    let forms = ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f"];
    forms.iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())
}

/// Splits `z`, `utc` or an offset such as `+02:00` off the end. Returns the offset in ms.
fn split_offset(text: &str) -> (&str, Option<i64>) {
    if let Some(rest) = text.strip_suffix("utc").or_else(|| text.strip_suffix('z')) {
        return (rest.trim_end(), Some(0));
    }
    // A sign before the last colon of a time of day begins an offset; one in a day does not.
    let sign = text.rfind(['+', '-']).filter(|at| text[..*at].contains(':'));
    let Some(at) = sign else { return (text, None) };
    let digits: String = text[at + 1..].chars().filter(|letter| *letter != ':').collect();
    let minutes = match (digits.len(), digits.parse::<i64>()) {
        (2, Ok(hours)) => hours * 60,
        (4, Ok(number)) => number / 100 * 60 + number % 100,
        _ => return (text, None),
    };
    let signed = if text[at..].starts_with('-') { -minutes } else { minutes };
    (text[..at].trim_end(), Some(signed * MINUTE))
}

/// Parses a duration such as `7d`, `36h`, `90 minutes` or `2w` into ms. `None` for any other text, and for 0.
pub fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        "w" | "week" | "weeks" => 7 * DAY,
        _ => return None,
    };
    let number = number.parse::<u32>().ok().filter(|number| *number > 0)?;
    Some(i64::from(number) * unit)
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, Utc};

    use super::*;

    const NOW: &str = "2026-05-05T07:30:00Z";

    fn read(text: &str, zone: &impl TimeZone) -> Option<String> {
        time(text, Timestamp::parse_rfc3339(NOW)?.0, zone).map(|time| time.to_string())
    }

    #[test]
    fn times_are_read_as_people_type_them() {
        for (text, is) in [
            ("2026-05-04", "2026-05-04T00:00:00.000Z"),
            ("2026-05-04 06:00", "2026-05-04T06:00:00.000Z"),
            ("2026-05-04T06:00", "2026-05-04T06:00:00.000Z"),
            ("2026-05-04T06:00:30.5Z", "2026-05-04T06:00:30.500Z"),
            ("2026-05-04 06:00 UTC", "2026-05-04T06:00:00.000Z"),
            ("2026-05-04 06:00+02:00", "2026-05-04T04:00:00.000Z"),
            ("2026-05-04T06:00-0130", "2026-05-04T07:30:00.000Z"),
            ("now", "2026-05-05T07:30:00.000Z"),
            ("today", "2026-05-05T00:00:00.000Z"),
            ("Yesterday", "2026-05-04T00:00:00.000Z"),
            ("today 06:15", "2026-05-05T06:15:00.000Z"),
            ("yesterday 22:00", "2026-05-04T22:00:00.000Z"),
            ("-2h", "2026-05-05T05:30:00.000Z"),
            ("2 hours ago", "2026-05-05T05:30:00.000Z"),
        ] {
            assert_eq!(read(text, &Utc).as_deref(), Some(is), "{text}");
        }
        for text in ["", "soon", "2026-13-01", "06:00", "2026-05-04 25:00", "2026-05-04 06:00 CET", "-2", "h", "t", "é"]
        {
            assert_eq!(read(text, &Utc), None, "{text}");
        }
    }

    #[test]
    fn a_time_without_offset_is_in_the_zone() {
        let east = FixedOffset::east_opt(2 * 3600).expect("an offset");
        assert_eq!(read("2026-05-04 06:00", &east).as_deref(), Some("2026-05-04T04:00:00.000Z"));
        assert_eq!(read("today", &east).as_deref(), Some("2026-05-04T22:00:00.000Z"));
        assert_eq!(read("2026-05-04T06:00Z", &east).as_deref(), Some("2026-05-04T06:00:00.000Z"));
    }

    #[test]
    fn durations_have_units() {
        for (text, is) in [("90m", 90 * MINUTE), ("36 h", 36 * HOUR), ("1 day", DAY), ("2w", 14 * DAY)] {
            assert_eq!(duration(text), Some(is), "{text}");
        }
        for text in ["", "7", "d", "0d", "1.5h", "-2h", "7x", "99999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
