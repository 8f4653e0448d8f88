//! Lists a container with few requests, several at a time. It descends by folder to the years of each flow log, then
//! lists only the months, days and hours of the window.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};

use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};
use futures::stream::{FuturesUnordered, StreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use twox_hash::XxHash64;

use crate::source::error::Untaken;
use crate::source::list::selection::{Listing, Selection};
use crate::source::path::{hour_of, year_of};
use crate::source::{Blob, remedy_for};

/// Maximum number of list requests in flight.
const TOGETHER: usize = 16;
/// Maximum number of folders examined. Beyond that, the tree is not one of flow logs and is listed as a whole.
const FOLDERS: usize = 10_000;
/// Maximum depth of folders. No flow log is deeper.
const DEPTH: usize = 16;
/// Number of hours per day up to which hours are listed one by one from the start.
const FEW_HOURS: usize = 2;
/// Window length in days above which whole years are listed.
const LONGEST: i64 = 3 * 366;

/// A list request, and how to continue from its response.
#[derive(Debug, Clone)]
struct Page {
    prefix: String,
    token: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Folders above the years of a flow log.
    Folders { depth: usize },
    /// Everything with the prefix.
    All,
    /// All blobs of a day. If it has several pages and only some hours are selected, hours are listed one by one.
    Day { hours: Vec<u32> },
    /// All blobs of an hour. If it has several pages, selected interfaces are listed one by one.
    Hour,
}

impl Page {
    fn all(prefix: String) -> Self {
        Self { prefix, token: None, kind: Kind::All }
    }

    /// Returns a hash that identifies the page in a list; `None` for a first page.
    fn mark(&self) -> Option<u64> {
        let mut hasher = XxHash64::with_seed(u64::from(matches!(self.kind, Kind::Folders { .. })));
        (&self.prefix, self.token.as_ref()?).hash(&mut hasher);
        Some(hasher.finish())
    }

    fn hour(prefix: String) -> Self {
        Self { prefix, token: None, kind: Kind::Hour }
    }
}

/// Lists everything below `root`, with at most `most` requests in flight. Fails if the first page fails; later
/// failures are recorded in `listing`.
pub async fn list(
    store: &dyn PaginatedListStore,
    most: usize,
    root: &Path,
    selection: &Selection,
    listing: &mut Listing,
    take: &mut impl FnMut(Blob),
) -> object_store::Result<()> {
    let folder = if root.as_ref().is_empty() { String::new() } else { format!("{root}/") };
    let prefix = format!("{folder}{}", selection.prefix);
    // Without a window, or below a year, listing everything takes the fewest requests.
    let is_straight = !selection.has_window() || prefix.split('/').any(is_year);
    listing.is_whole = is_straight;
    let kind = if is_straight { Kind::All } else { Kind::Folders { depth: 0 } };
    let mut waiting = vec![Page { prefix, token: None, kind }];
    let mut under_way = FuturesUnordered::new();
    let (mut is_first, mut folders, mut asked) = (true, 0, HashSet::new());
    loop {
        while under_way.len() < TOGETHER.min(most)
            && let Some(page) = waiting.pop()
        {
            under_way.push(async move { (answer(store, &page).await, page) });
        }
        let Some((answer, page)) = under_way.next().await else { return Ok(()) };
        match answer {
            Ok(answer) => {
                folders += usize::from(matches!(page.kind, Kind::Folders { .. }));
                let further = further(&page, &answer, selection, folders > FOLDERS, &mut listing.is_log);
                // A page requested twice means a loop, and its blobs would be taken twice.
                if !further.iter().filter_map(Page::mark).all(|mark| asked.insert(mark)) {
                    return Err(Untaken::Circle.into());
                }
                // Prefixes listed again from their start will return these blobs again.
                let again: Vec<&str> =
                    further.iter().filter(|page| page.token.is_none()).map(|page| page.prefix.as_str()).collect();
                let objects = answer.result.objects.into_iter();
                objects
                    .filter(|meta| meta.location.as_ref().starts_with(&page.prefix))
                    .filter(|meta| !again.iter().any(|prefix| meta.location.as_ref().starts_with(prefix)))
                    .for_each(|meta| listing.consider(meta, false, selection, take));
                waiting.extend(further);
            }
            Err(error) if is_first => return Err(error),
            Err(error) => {
                let why = remedy_for(&error, &listing.shown.name(&page.prefix));
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

/// Returns the pages to request next. Blobs below a page without a token are not taken from this response, because
/// that page returns them again.
fn further(
    page: &Page,
    answer: &PaginatedListResult,
    selection: &Selection,
    is_deep_enough: bool,
    is_log: &mut bool,
) -> Vec<Page> {
    let next = answer.page_token.clone().map(|token| Page { token: Some(token), ..page.clone() });
    let rest = |next: Page| vec![Page { kind: Kind::All, ..next }];
    match (&page.kind, next) {
        (Kind::All, next) => next.into_iter().collect(),
        (Kind::Day { hours }, Some(next)) => by_hour(page, answer, hours, selection).unwrap_or_else(|| rest(next)),
        (Kind::Hour, Some(next)) => match Interfaces::of(answer, &page.prefix, selection) {
            Some(interfaces) => interfaces.pages(&page.prefix),
            None => rest(next),
        },
        (Kind::Day { .. } | Kind::Hour, None) => Vec::new(),
        (Kind::Folders { depth }, next) => {
            let mut pages: Vec<Page> = next.into_iter().collect();
            for folder in &answer.result.common_prefixes {
                let name = folder.filename().unwrap_or_default();
                let prefix = format!("{folder}/");
                // A folder outside the requested prefix is not a valid response.
                if !prefix.starts_with(&page.prefix) || prefix.len() == page.prefix.len() {
                    continue;
                }
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

/// Returns the pages to request below the folder of a year.
fn of_year(prefix: &str, name: &str, selection: &Selection) -> Vec<Page> {
    let (Some(year), Some((first, last))) = (year_of(name), hours(selection)) else {
        return vec![Page::all(prefix.to_owned())];
    };
    let is_other = first.is_some_and(|first| year < first.year()) || last.is_some_and(|last| year > last.year());
    if is_other {
        return Vec::new();
    }
    let (Some(first), Some(last)) = (first, last) else { return vec![Page::all(prefix.to_owned())] };
    // Folder names in another spelling cannot be predicted.
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
            pages.extend(hours.into_iter().map(|hour| Page::hour(format!("{prefix}h={hour:02}/"))));
        } else {
            pages.push(Page { prefix, token: None, kind: Kind::Day { hours } });
        }
        day = day.succ_opt().unwrap_or(next_month);
    }
    pages
}

/// Returns pages for the selected hours that the first page of a day does not complete. Returns `None` if listing the
/// rest of the day probably takes fewer requests.
fn by_hour(day: &Page, answer: &PaginatedListResult, hours: &[u32], selection: &Selection) -> Option<Vec<Page>> {
    let reached = answer.result.objects.last().and_then(|meta| hour_folder(meta.location.as_ref(), &day.prefix))?;
    let prefix = |hour: u32| format!("{}h={hour:02}/", day.prefix);
    let interfaces = Interfaces::of(answer, &prefix(reached), selection);
    if hours.len() == 24 && interfaces.is_none() {
        return None;
    }
    let wanted = hours.iter().copied().filter(|&hour| hour >= reached);
    let pages: Vec<Page> = match &interfaces {
        Some(interfaces) => wanted.flat_map(|hour| interfaces.pages(&prefix(hour))).collect(),
        None => wanted.map(|hour| Page::hour(prefix(hour))).collect(),
    };
    let likely = (24 / (reached + 1)) as usize;
    (likely >= pages.len()).then_some(pages)
}

/// Folders of the selected interfaces in an hour, spelled as in a page of the same flow log.
struct Interfaces(BTreeSet<String>);

impl Interfaces {
    /// Returns `None` if all interfaces are selected, or if the page mixes spellings, because later names cannot be
    /// predicted then.
    fn of(answer: &PaginatedListResult, hour: &str, selection: &Selection) -> Option<Self> {
        if selection.macs.is_empty() {
            return None;
        }
        let last = answer.result.objects.last()?.location.as_ref().strip_prefix(hour)?;
        let key = last.get(..last.to_ascii_lowercase().find(MAC)? + MAC.len())?;
        let locations = answer.result.objects.iter().map(|meta| meta.location.as_ref());
        let spellings: [fn(&str) -> String; 2] = [str::to_ascii_uppercase, str::to_ascii_lowercase];
        let spell = spellings.into_iter().find(|spell| {
            locations.clone().all(|location| mac_of(location, key).is_some_and(|mac| spell(mac) == mac))
        })?;
        Some(Self(selection.macs.iter().map(|mac| format!("{key}{}", spell(mac))).collect()))
    }

    fn pages(&self, hour: &str) -> Vec<Page> {
        self.0.iter().map(|folder| Page::all(format!("{hour}{folder}"))).collect()
    }
}

/// Start of an interface's folder name, in lower case.
const MAC: &str = "macaddress=";

/// Returns the text after `key`, if it is in the segment below an hour's folder.
fn mac_of<'a>(location: &'a str, key: &str) -> Option<&'a str> {
    let (before, after) = location.split_once(key)?;
    let is_hour = before.ends_with('/') && before.rsplit('/').nth(1)?.starts_with("h=");
    after.split('/').next().filter(|_| is_hour)
}

/// First and last hour in which a selected flow may have been flushed. `None` if the window is outside the range of
/// dates.
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

/// Returns the hour of a blob in the folder `day`.
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
            ["log/y=2026/m=05/d=04/", "log/y=2026/m=05/d=05/h=00/"]
        );
        assert_eq!(
            prefixes("2026-11-30T12:00:00Z", "2027-01-01T00:00:00Z", &[]),
            ["log/y=2026/m=11/d=30/", "log/y=2026/m=12/", "log/y=2027/m=01/d=01/h=00/"]
        );
        assert!(prefixes("2025-05-04T00:00:00Z", "2025-05-05T00:00:00Z", &[]).is_empty());
    }
}
