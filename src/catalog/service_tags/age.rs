//! The publication date of a service-tag file, and whether it is too old for the logs.
//!
//! `known_change_numbers.csv` beside this file lists change numbers with a known publication date.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::time::DAY;

/// Maximum age in ms relative to the logs. An older file probably misses changes.
const MOST_BEHIND: i64 = 60 * DAY;
const YEARS: std::ops::Range<i32> = 2015..2100;

/// Time of publication, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Ms since 1970; with [`DateOrigin::OlderThan`] the file was published before it.
    pub time: i64,
    /// Source of the date.
    pub origin: DateOrigin,
}

/// Source of the publication date, the most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateOrigin {
    /// The file name given by Microsoft.
    Name,
    /// The user gave it.
    Given,
    /// The change number, if the date of that number is known.
    ChangeNumber,
    /// The change number, if it is smaller than one with a known date.
    OlderThan,
}

/// Age of a service-tag file, measured at the last flow of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagAge {
    /// At most 60 days older than the last flow.
    Fresh,
    /// More than 60 days older than the last flow; `days` is the minimum age.
    Stale {
        /// Minimum age in days.
        days: i64,
    },
    /// Perhaps more than 60 days older, because no known date rules it out.
    Undated,
}

impl Published {
    pub(super) fn age_at(self, last_flow: Option<i64>) -> TagAge {
        let behind = last_flow.map_or(0, |last| last.saturating_sub(self.time));
        match self.origin {
            _ if behind > MOST_BEHIND => TagAge::Stale { days: behind / DAY },
            DateOrigin::OlderThan => TagAge::Undated,
            _ => TagAge::Fresh,
        }
    }
}

#[derive(Deserialize)]
struct Known {
    cloud: String,
    change_number: u64,
    date: NaiveDate,
}

/// Returns the date of a change number, if it is at most one with a known date.
pub(super) fn by_change_number(cloud: &str, change_number: u64) -> Option<Published> {
    let known = known().filter(|known| known.cloud.eq_ignore_ascii_case(cloud));
    let next = known.filter(|known| known.change_number >= change_number).min_by_key(|known| known.change_number)?;
    let is_it = next.change_number == change_number;
    let origin = if is_it { DateOrigin::ChangeNumber } else { DateOrigin::OlderThan };
    Some(Published { time: midnight(next.date), origin })
}

fn known() -> impl Iterator<Item = Known> {
    let rows = csv::Reader::from_reader(include_str!("known_change_numbers.csv").as_bytes()).into_deserialize();
    // A test reads every row.
    rows.filter_map(Result::ok)
}

/// Returns the date in the name of a file, such as `ServiceTags_Public_20251110 (1).json`. Of several it is the earliest,
/// because a file is downloaded and copied after it was published.
pub fn in_name(name: &str) -> Option<Published> {
    let numbers: Vec<&str> = name.split(|c: char| !c.is_ascii_digit()).collect();
    let whole = numbers.iter().filter(|digits| digits.len() == 8).filter_map(|d| date(&d[..4], &d[4..6], &d[6..]));
    let parted = numbers.windows(3).filter_map(|parts| match parts {
        [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2) => date(year, month, day),
        _ => None,
    });
    let time = midnight(whole.chain(parted).min()?);
    Some(Published { time, origin: DateOrigin::Name })
}

fn date(year: &str, month: &str, day: &str) -> Option<NaiveDate> {
    let year: i32 = year.parse().ok().filter(|year| YEARS.contains(year))?;
    NaiveDate::from_ymd_opt(year, month.parse().ok()?, day.parse().ok()?)
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> i64 {
        midnight(NaiveDate::from_ymd_opt(year, month, day).expect("a date"))
    }

    #[test]
    fn every_known_change_number_is_read() {
        assert_eq!(known().count(), include_str!("known_change_numbers.csv").lines().count() - 1);
        assert!(known().all(|known| YEARS.contains(&chrono::Datelike::year(&known.date))));
    }

    #[test]
    fn a_change_number_dates_or_bounds_a_file() {
        let published = |time, origin| Some(Published { time, origin });
        let november = day(2025, 11, 17);
        assert_eq!(by_change_number("public", 376), published(november, DateOrigin::ChangeNumber));
        assert_eq!(by_change_number("Public", 300), published(november, DateOrigin::OlderThan));
        assert_eq!(by_change_number("Public", 377), None);
        assert_eq!(by_change_number("China", 377), published(day(2026, 7, 20), DateOrigin::OlderThan));
        assert_eq!(by_change_number("Elsewhere", 1), None);
    }

    #[test]
    fn a_date_is_found_anywhere_in_a_name() {
        for (name, time) in [
            ("ServiceTags_Public_20251110.json", Some(day(2025, 11, 10))),
            ("ServiceTags_Public_20251110 (1).json", Some(day(2025, 11, 10))),
            ("20260101-ServiceTags_Public_20251110.json", Some(day(2025, 11, 10))),
            ("tags-2026-05-04.json", Some(day(2026, 5, 4))),
            ("ServiceTags_Public.json", None),
            ("ServiceTags_Public_20251310.json", None),
            ("ServiceTags_Public_202511101.json", None),
            ("ServiceTags_Public_10203040.json", None),
            ("tags-٢٠٢٥-11-10.json", None),
        ] {
            assert_eq!(in_name(name).map(|published| published.time), time, "{name}");
        }
    }

    #[test]
    fn age_is_measured_at_the_last_flow() {
        let (may, july) = (day(2026, 5, 4), day(2026, 7, 3));
        let age = |origin, last| Published { time: may, origin }.age_at(last);
        for origin in [DateOrigin::Name, DateOrigin::Given, DateOrigin::ChangeNumber] {
            assert_eq!(age(origin, Some(july)), TagAge::Fresh);
            assert_eq!(age(origin, Some(july + 1)), TagAge::Stale { days: 60 });
            assert_eq!(age(origin, Some(0)), TagAge::Fresh);
            assert_eq!(age(origin, None), TagAge::Fresh);
        }
        assert_eq!(age(DateOrigin::OlderThan, Some(july + 2 * DAY)), TagAge::Stale { days: 62 });
        for last in [Some(july), Some(0), None] {
            assert_eq!(age(DateOrigin::OlderThan, last), TagAge::Undated);
        }
    }
}
