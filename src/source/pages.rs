//! Lists of a container, with few requests: down to each flow log's years folder by folder, then only the months, days
//! and hours of the window, many requests at a time.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};
use futures::stream::{FuturesUnordered, StreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;

use super::list::{Listing, Selection};
use super::path::{hour_of, year_of};
use super::{Blob, way_out};

/// Requests under way at a time.
const TOGETHER: usize = 16;
/// Folders that are looked into before it is taken that this is no tree of flow logs.
const FOLDERS: usize = 10_000;
/// No flow log lies deeper.
const DEPTH: usize = 16;
/// Up to so many hours of a day are listed one by one at once.
const FEW_HOURS: usize = 2;
/// Most windows are shorter. Longer ones are listed by year.
const LONGEST: i64 = 3 * 366;

/// One request, and what to do with its answer.
#[derive(Debug, Clone)]
struct Page {
    prefix: String,
    token: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Folders, on the way to the years of a flow log.
    Folders { depth: usize },
    /// All that starts with the prefix.
    All,
    /// All of a day, whose hours are listed one by one if it has more than a page and not all of it is wanted.
    Day { hours: Vec<u32> },
}

impl Page {
    fn all(prefix: String) -> Self {
        Self { prefix, token: None, kind: Kind::All }
    }
}

/// Lists what lies below `root`. A page that cannot be listed is noted, unless it is the first.
pub async fn list(
    store: &dyn PaginatedListStore,
    root: &Path,
    selection: &Selection,
    listing: &mut Listing,
    take: &mut impl FnMut(Blob),
) -> object_store::Result<()> {
    let folder = if root.as_ref().is_empty() { String::new() } else { format!("{root}/") };
    let prefix = format!("{folder}{}", selection.prefix);
    // Where nothing is left out by time, or the address is below a year, the shortest way is straight on.
    let is_straight = selection.from.is_none() && selection.to.is_none() || prefix.split('/').any(is_year);
    let kind = if is_straight { Kind::All } else { Kind::Folders { depth: 0 } };
    let mut waiting = vec![Page { prefix, token: None, kind }];
    let mut under_way = FuturesUnordered::new();
    let (mut is_first, mut folders) = (true, 0);
    loop {
        while under_way.len() < TOGETHER
            && let Some(page) = waiting.pop()
        {
            under_way.push(async move { (answer(store, &page).await, page) });
        }
        let Some((answer, page)) = under_way.next().await else { return Ok(()) };
        match answer {
            Ok(answer) => {
                folders += usize::from(matches!(page.kind, Kind::Folders { .. }));
                waiting.extend(further(&page, &answer, selection, folders > FOLDERS, &mut listing.is_log));
                answer.result.objects.into_iter().for_each(|meta| listing.consider(meta, false, selection, take));
            }
            Err(error) if is_first => return Err(error),
            Err(error) => {
                let why = way_out(&error, &listing.shown.name(&page.prefix));
                listing.unlisted.push((page.prefix, why));
            }
        }
        is_first = false;
    }
}

async fn answer(store: &dyn PaginatedListStore, page: &Page) -> object_store::Result<PaginatedListResult> {
    let delimiter = matches!(page.kind, Kind::Folders { .. }).then_some(Cow::Borrowed("/"));
    let options = PaginatedListOptions { delimiter, page_token: page.token.clone(), ..PaginatedListOptions::default() };
    store.list_paginated(Some(&page.prefix).filter(|prefix| !prefix.is_empty()).map(String::as_str), options).await
}

/// The pages that an answer leads to.
fn further(
    page: &Page,
    answer: &PaginatedListResult,
    selection: &Selection,
    is_deep_enough: bool,
    is_log: &mut bool,
) -> Vec<Page> {
    let next = answer.page_token.clone().map(|token| Page { token: Some(token), ..page.clone() });
    match &page.kind {
        Kind::All => next.into_iter().collect(),
        // The rest of a day: only its wanted hours, if that takes fewer requests than all of it is likely to.
        Kind::Day { hours } if next.is_some() && (hours.len() < 24 || !selection.macs.is_empty()) => {
            let last = answer.result.objects.last().and_then(|meta| hour_folder(meta.location.as_ref(), &page.prefix));
            let reached = last.unwrap_or(0);
            let all = 24 / (reached + 1);
            let by_hour: Vec<u32> = hours.iter().copied().filter(|&hour| hour >= reached).collect();
            let each = selection.macs.len().max(1);
            if (all as usize) < by_hour.len() * each {
                return next.map(|next| Page { kind: Kind::All, ..next }).into_iter().collect();
            }
            by_hour.into_iter().flat_map(|hour| of_hour(&page.prefix, hour, selection)).collect()
        }
        Kind::Day { .. } => next.map(|next| Page { kind: Kind::All, ..next }).into_iter().collect(),
        Kind::Folders { depth } => {
            let mut pages: Vec<Page> = next.into_iter().collect();
            for folder in &answer.result.common_prefixes {
                let name = folder.filename().unwrap_or_default();
                let prefix = format!("{folder}/");
                if is_year(name) {
                    *is_log = true;
                    pages.extend(of_year(&prefix, name, selection));
                } else if *depth >= DEPTH || is_deep_enough {
                    pages.push(Page::all(prefix));
                } else {
                    pages.push(Page { prefix, token: None, kind: Kind::Folders { depth: depth + 1 } });
                }
            }
            pages
        }
    }
}

fn is_year(name: &str) -> bool {
    year_of(name).is_some()
}

/// What to list below the folder of a year.
fn of_year(prefix: &str, name: &str, selection: &Selection) -> Vec<Page> {
    let (Some(year), Some((first, last))) = (year_of(name), hours(selection)) else {
        return vec![Page::all(prefix.to_owned())];
    };
    let is_other = first.is_some_and(|first| year < first.year()) || last.is_some_and(|last| year > last.year());
    if is_other {
        return Vec::new();
    }
    let (Some(first), Some(last)) = (first, last) else { return vec![Page::all(prefix.to_owned())] };
    // Other spellings of the folders below cannot be guessed.
    if !name.starts_with("y=") || (last - first).num_days() > LONGEST {
        return vec![Page::all(prefix.to_owned())];
    }
    let mut pages = Vec::new();
    let mut day = first.date_naive().max(NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default());
    while day <= last.date_naive() && day.year() == year {
        let month = format!("{prefix}m={:02}/", day.month());
        let next_month = first_of_next_month(day);
        let (starts, ends) = (at(day, 0), at(next_month, 0) - Duration::hours(1));
        if day.day() == 1 && first <= starts && ends <= last {
            pages.push(Page::all(month));
            day = next_month;
            continue;
        }
        let hours: Vec<u32> = (0..24).filter(|&hour| first <= at(day, hour) && at(day, hour) <= last).collect();
        let prefix = format!("{month}d={:02}/", day.day());
        if hours.len() <= FEW_HOURS {
            pages.extend(hours.into_iter().flat_map(|hour| of_hour(&prefix, hour, selection)));
        } else {
            pages.push(Page { prefix, token: None, kind: Kind::Day { hours } });
        }
        day = day.succ_opt().unwrap_or(next_month);
    }
    pages
}

/// The pages of an hour: of each chosen interface, or of all. The minute is always 00.
fn of_hour(day: &str, hour: u32, selection: &Selection) -> Vec<Page> {
    let hour = format!("{day}h={hour:02}/");
    // Interfaces are written in capitals, but one never knows; the list is cut short all the same.
    let macs: BTreeSet<&str> = selection.macs.iter().map(String::as_str).collect();
    match macs.len() {
        0 => vec![Page::all(hour)],
        _ => macs.into_iter().map(|mac| Page::all(format!("{hour}m=00/macAddress={mac}"))).collect(),
    }
}

/// The first and last hour in which a wanted flow may have been flushed. `None` where the window is not one of our era.
type Hours = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);
fn hours(selection: &Selection) -> Option<Hours> {
    let time = |ms: i64| DateTime::from_timestamp_millis(hour_of(ms));
    let first = selection.from.map(|from| time(from).ok_or(())).transpose().ok()?;
    let last = selection.to.map(|to| time(to - 1).ok_or(())).transpose().ok()?;
    Some((first, last.map(|last| last + Duration::hours(1))))
}

fn at(day: NaiveDate, hour: u32) -> DateTime<Utc> {
    day.and_hms_opt(hour, 0, 0).unwrap_or_default().and_utc()
}

fn first_of_next_month(day: NaiveDate) -> NaiveDate {
    let (year, month) = if day.month() == 12 { (day.year() + 1, 1) } else { (day.year(), day.month() + 1) };
    NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(NaiveDate::MAX)
}

/// The hour of a blob in the folder of its day.
fn hour_folder(location: &str, day: &str) -> Option<u32> {
    location.strip_prefix(day)?.strip_prefix("h=")?.get(..2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<i64> {
        Some(DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis())
    }

    fn prefixes(from: &str, to: &str, macs: &[&str]) -> Vec<String> {
        let macs = macs.iter().map(|mac| (*mac).to_owned()).collect();
        let selection = Selection { from: time(from), to: time(to), macs, ..Selection::default() };
        let mut pages = of_year("log/y=2026/", "y=2026", &selection);
        pages.extend(of_year("log/y=2027/", "y=2027", &selection));
        pages.into_iter().map(|page| page.prefix).collect()
    }

    #[test]
    fn a_window_is_listed_by_month_day_and_hour() {
        assert_eq!(
            prefixes("2026-05-04T06:00:00Z", "2026-05-04T07:00:00Z", &[]),
            ["log/y=2026/m=05/d=04/h=06/", "log/y=2026/m=05/d=04/h=07/"]
        );
        assert_eq!(
            prefixes("2026-05-04T00:00:00Z", "2026-05-05T00:00:00Z", &["A", "B"]),
            [
                "log/y=2026/m=05/d=04/",
                "log/y=2026/m=05/d=05/h=00/m=00/macAddress=A",
                "log/y=2026/m=05/d=05/h=00/m=00/macAddress=B"
            ]
        );
        assert_eq!(
            prefixes("2026-11-30T12:00:00Z", "2027-01-01T00:00:00Z", &[]),
            ["log/y=2026/m=11/d=30/", "log/y=2026/m=12/", "log/y=2027/m=01/d=01/h=00/"]
        );
        assert!(prefixes("2025-05-04T00:00:00Z", "2025-05-05T00:00:00Z", &[]).is_empty());
    }
}
