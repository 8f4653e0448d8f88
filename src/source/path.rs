//! Parses blob paths. Segments are read by position, because the key `m=` occurs twice (month, minute).

use super::azure::endpoint::Cloud;
use crate::time::{HOUR, Timestamp};

/// Default containers of flow logs.
pub const CONTAINERS: [&str; 2] = ["insights-logs-flowlogflowevent", "insights-logs-networksecuritygroupflowevent"];

/// A blob path in Azure's layout: `.../y=2026/m=05/d=04/h=07/m=00/macAddress=000D3A.../PT1H.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPath<'a> {
    /// Start of the hour in which the blob was flushed, ms since 1970.
    pub hour: i64,
    /// MAC address of the interface. The layout of 2017 has none.
    pub mac: Option<&'a str>,
}

/// Segment separators. `!` separates an archive from a member's name.
const BETWEEN: [char; 2] = ['/', '!'];

impl<'a> BlobPath<'a> {
    /// Parses a path. Returns `None` for any other layout.
    pub fn parse(path: &'a str) -> Option<Self> {
        let mut parts = path.split(BETWEEN).skip_while(|part| year_of(part).is_none());
        let mut number = |key: &str| value(parts.next()?, key)?.parse::<u32>().ok();
        let (year, month, day, hour, _minute) = (number("y")?, number("m")?, number("d")?, number("h")?, number("m")?);
        let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        let hour = date.and_hms_opt(hour, 0, 0)?.and_utc().timestamp_millis();
        let mac = parts.find_map(|part| value(part, "macAddress"));
        Some(Self { hour, mac })
    }

    /// Returns whether the blob may contain flows of `[from, to)`. Flows of an hour may be flushed in the next one.
    pub fn may_hold(&self, from: Option<i64>, to: Option<i64>) -> bool {
        from.is_none_or(|from| self.hour >= hour_of(from)) && to.is_none_or(|to| self.hour <= hour_of(to - 1) + HOUR)
    }
}

/// Returns the value of `key=`, ignoring the case of the key.
fn value<'a>(part: &'a str, key: &str) -> Option<&'a str> {
    let (start, value) = part.split_once('=')?;
    start.eq_ignore_ascii_case(key).then_some(value)
}

/// Returns the year of a segment such as `y=2026`.
pub(super) fn year_of(part: &str) -> Option<i32> {
    value(part, "y").filter(|year| year.len() == 4)?.parse().ok()
}

/// Returns the cloud of a path by the region of its network watcher, with its name in service-tag files.
pub fn cloud_of_path(path: &str) -> Option<&'static str> {
    const WATCHER: &str = "NETWORKWATCHER_";
    let mut parts = path.split(BETWEEN);
    let region = parts
        .find_map(|part| part.get(..WATCHER.len())?.eq_ignore_ascii_case(WATCHER).then(|| &part[WATCHER.len()..]))?;
    Some(Cloud::of_region(region).name())
}

/// Returns the start of the hour that holds `time`.
pub fn hour_of(time: i64) -> i64 {
    Timestamp(time).hour().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_and_minute_are_told_apart() {
        let path =
            "flowLogResourceID=/A_NETWORKWATCHERRG/B/y=2026/m=05/d=04/h=07/m=00/macAddress=000D3A12BA87/PT1H.json";
        let parsed = BlobPath { hour: 1_777_878_000_000, mac: Some("000D3A12BA87") };
        assert_eq!(BlobPath::parse(path), Some(parsed));
        assert_eq!(BlobPath::parse("resourceId=/X/y=2017/m=12/d=31/h=23/m=00/PT1H.json").map(|p| p.mac), Some(None));
        let loud =
            "FLOWLOGRESOURCEID=/A_NETWORKWATCHERRG/B/Y=2026/M=05/D=04/H=07/M=00/MACADDRESS=000D3A12BA87/PT1H.JSON";
        assert_eq!(BlobPath::parse(loud), Some(parsed));
        for other in
            ["flows.json", "y=2026/m=05/PT1H.json", "y=2026/m=13/d=01/h=00/m=00/PT1H.json", "y=x/m=1/d=1/h=0/m=0"]
        {
            assert_eq!(BlobPath::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_network_watcher_tells_the_cloud() {
        let cloud = |region: &str| {
            cloud_of_path(&format!(
                "flowLogResourceID=/5E_NETWORKWATCHERRG/NETWORKWATCHER_{region}_FL/y=2026/PT1H.json"
            ))
        };
        assert_eq!(cloud("WESTEUROPE"), Some("Public"));
        assert_eq!(cloud("usgovvirginia"), Some("AzureGovernment"));
        assert_eq!(cloud("CHINAEAST2"), Some("China"));
        assert_eq!(cloud_of_path("flows/PT1H.json"), None);
    }

    #[test]
    fn a_window_needs_the_following_hour_too() {
        let hour = 1_777_878_000_000;
        let path = BlobPath { hour, mac: None };
        let check = |from: i64, to: i64, kept| {
            assert_eq!(path.may_hold(Some(hour + from), Some(hour + to)), kept, "{from} {to}")
        };
        check(-HOUR, 0, true);
        check(-HOUR, 1 - HOUR, true);
        check(-HOUR, -HOUR, false);
        check(0, 1, true);
        check(HOUR - 1, HOUR, true);
        check(HOUR, 2 * HOUR, false);
        assert!(path.may_hold(None, None));
    }
}
