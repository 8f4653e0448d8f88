//! Fits a table into the width of a terminal. Numbers, times and addresses are never shortened.

use std::net::IpAddr;

use arrow::datatypes::DataType;

use super::Overflow;
use super::cells::is_number;

/// Minimum width of a shortened text column.
const NARROW: usize = 16;
/// Minimum width of a shortened resource id, and of a text before columns are left out.
const NARROWEST: usize = 12;

/// Layout of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub width: usize,
    kind: Kind,
    /// Whether all measured cells are null.
    is_null: bool,
    pub is_hidden: bool,
    /// Whether longer cells are shortened.
    pub is_shortened: bool,
    /// Whether times are shown without a fraction of a second.
    pub is_brief: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Time,
    /// Only addresses, or only bars of a chart.
    Whole,
    /// Only resource ids, which are long and differ at their ends.
    Id,
    Text,
}

impl Column {
    /// Measures a column. `cells` are `None` where they are null, which is shown as wide as `null`.
    pub fn new<'a>(
        name: &str,
        data_type: &DataType,
        null: usize,
        cells: impl Iterator<Item = Option<&'a str>> + Clone,
    ) -> Self {
        let known = || cells.clone().flatten();
        let is_null = known().next().is_none() && cells.clone().next().is_some();
        let kind = match data_type {
            data_type if is_number(data_type) => Kind::Number,
            data_type if data_type.is_temporal() => Kind::Time,
            _ if is_null || known().next().is_none() => Kind::Text,
            _ if known().all(|cell| cell.parse::<IpAddr>().is_ok() || is_bar(cell)) => Kind::Whole,
            _ if known().all(|cell| cell.starts_with('/')) => Kind::Id,
            _ => Kind::Text,
        };
        let length = |text: &str| text.chars().count();
        let width = cells.clone().map(|cell| cell.map_or(null, length)).chain([length(name)]).max().unwrap_or_default();
        Self { width, kind, is_null, is_hidden: false, is_shortened: false, is_brief: false }
    }

    pub fn is_number(&self) -> bool {
        self.kind == Kind::Number
    }
}

fn is_bar(cell: &str) -> bool {
    cell.chars().all(|letter| letter == '█')
}

/// Fits columns into `width`. Returns whether they fit; if not, rows are to be shown as lines.
pub fn fit(columns: &mut [Column], names: &[String], width: usize, overflow: Overflow) -> bool {
    for column in columns.iter_mut().filter(|column| matches!(column.kind, Kind::Id | Kind::Text)) {
        if column.width > width {
            column.width = width.max(NARROW);
            column.is_shortened = true;
        }
    }
    shorten(columns, names, width, Kind::Id, NARROWEST);
    if total(columns) > width {
        for (column, name) in columns.iter_mut().zip(names).filter(|(column, _)| column.kind == Kind::Time) {
            column.is_brief = true;
            column.width = column.width.saturating_sub(FRACTION).max(name.chars().count());
        }
    }
    if total(columns) > width {
        columns.iter_mut().filter(|column| column.is_null).for_each(|column| column.is_hidden = true);
    }
    let least = if overflow == Overflow::Hide { NARROWEST } else { NARROW };
    shorten(columns, names, width, Kind::Text, least);
    if total(columns) <= width {
        return true;
    }
    if overflow == Overflow::Lines {
        return false;
    }
    let (ids, others): (Vec<usize>, Vec<usize>) = (0..columns.len()).partition(|nr| columns[*nr].kind == Kind::Id);
    for nr in ids.into_iter().rev().chain(others.into_iter().rev()) {
        if total(columns) <= width || columns.iter().filter(|column| !column.is_hidden).count() == 1 {
            break;
        }
        columns[nr].is_hidden = true;
    }
    true
}

/// Length of a fraction such as `.095`.
const FRACTION: usize = 4;

/// Returns a time without its fraction of three digits.
pub fn brief(time: &str) -> String {
    match time.split_once('.') {
        Some((before, after)) if after.len() >= 3 && after.as_bytes()[..3].iter().all(u8::is_ascii_digit) => {
            format!("{before}{}", &after[3..])
        }
        _ => time.to_owned(),
    }
}

fn total(columns: &[Column]) -> usize {
    let shown = || columns.iter().filter(|column| !column.is_hidden);
    shown().map(|column| column.width).sum::<usize>() + 2 * shown().count().saturating_sub(1)
}

/// Narrows the widest columns of a kind until all fit, or all of them are narrow.
fn shorten(columns: &mut [Column], names: &[String], width: usize, kind: Kind, least: usize) {
    while total(columns) > width {
        let wide = columns.iter_mut().zip(names).filter(|(column, name)| {
            column.kind == kind && !column.is_hidden && column.width > least.max(name.chars().count().min(NARROW))
        });
        let Some((widest, _)) = wide.max_by_key(|(column, _)| column.width) else { return };
        widest.width -= 1;
        widest.is_shortened = true;
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn column(name: &str, data_type: &DataType, cells: &[Option<&str>]) -> Column {
        Column::new(name, data_type, 4, cells.iter().copied())
    }

    #[test]
    fn bars_and_addresses_are_whole() {
        let names = ["ip", "bar"].map(str::to_owned);
        let (ip, bar) = ("2001:db8:0:1:1:1:1:1", "█".repeat(20));
        let mut columns =
            [("ip", ip), ("bar", bar.as_str())].map(|(name, cell)| column(name, &DataType::Utf8, &[Some(cell)]));
        assert!(!fit(&mut columns, &names, 30, Overflow::Lines));
        assert_eq!(columns.map(|column| column.width), [20, 20]);
    }

    #[test]
    fn ids_give_way_before_texts_and_times_lose_only_their_fraction() {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let names = ["time", "rule", "acl", "state", "n"].map(str::to_owned);
        let id = format!("/subscriptions/{}", "x".repeat(80));
        let columns = || {
            [
                column("time", &time, &[Some("2026-05-04T06:04:26.095Z")]),
                column("rule", &DataType::Utf8, &[Some("UserRule_deny-all-outbound")]),
                column("acl", &DataType::Utf8, &[Some(&id)]),
                column("state", &DataType::Utf8, &[None]),
                column("n", &DataType::Int64, &[Some("1234567890")]),
            ]
        };
        let fitted = |width: usize, overflow: Overflow| {
            let mut columns = columns();
            let fits = fit(&mut columns, &names, width, overflow);
            (fits, columns.map(|column| if column.is_hidden { 0 } else { column.width }))
        };
        assert_eq!(fitted(200, Overflow::Lines), (true, [24, 26, 95, 5, 10]));
        assert_eq!(fitted(100, Overflow::Lines), (true, [24, 26, 27, 5, 10]));
        assert_eq!(fitted(80, Overflow::Lines), (true, [20, 26, 12, 0, 10]));
        assert_eq!(fitted(64, Overflow::Lines), (true, [20, 16, 12, 0, 10]));
        assert!(!fitted(60, Overflow::Lines).0);
        assert_eq!(fitted(60, Overflow::Hide), (true, [20, 12, 12, 0, 10]));
        assert_eq!(fitted(50, Overflow::Hide), (true, [20, 12, 0, 0, 10]));
        assert_eq!(fitted(10, Overflow::Hide), (true, [20, 0, 0, 0, 0]));
        assert_eq!(brief("2026-05-04T06:04:26.095+02:00"), "2026-05-04T06:04:26+02:00");
        assert_eq!(brief("4 May 2026"), "4 May 2026");
    }
}
