//! The time window, as typed.

use chrono::Utc;

use super::Failure;
use crate::options::{Window, WindowError};
use crate::time::{MINUTE, TimeRange, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read only flows at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,

    /// Read only flows before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,

    /// Read only flows of the last days or hours, such as 7d or 36h
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["from", "to"])]
    last: Option<i64>,

    /// The time that --last counts from
    #[arg(long, hide = true, value_parser = time)]
    now: Option<i64>,
}

impl Args {
    /// Returns the options as words of a command.
    pub fn words(&self) -> impl Iterator<Item = String> {
        let time = |option: &str, ms: Option<i64>| ms.map(|ms| [option.to_owned(), Timestamp(ms).to_string()]);
        let last = self.last.map(|ms| ["--last".to_owned(), format!("{}m", ms / MINUTE)]);
        let times = [time("--from", self.from), time("--to", self.to), last, time("--now", self.now)];
        times.into_iter().flatten().flatten()
    }

    /// Returns the time of the run, in ms since 1970.
    pub fn now(&self) -> i64 {
        self.now.unwrap_or_else(|| Utc::now().timestamp_millis())
    }

    /// Returns the times to read.
    pub fn resolve(&self) -> Result<TimeRange, Failure> {
        resolve(self.from, self.to, self.last, self.now())
            .map_err(|WindowError| Failure::usage("--from must be before --to"))
    }
}

/// Returns the times of a window that was typed.
pub fn resolve(from: Option<i64>, to: Option<i64>, last: Option<i64>, now: i64) -> Result<TimeRange, WindowError> {
    let window = match (last, from, to) {
        (Some(length), ..) => Window::Last(length),
        (None, None, None) => Window::All,
        (None, from, to) => Window::Between(from, to),
    };
    window.at(now)
}

pub fn time(text: &str) -> Result<i64, String> {
    Timestamp::parse_rfc3339(text).map(|time| time.0).ok_or_else(|| "write a time like 2026-05-04T06:00:00Z".to_owned())
}

pub fn duration(text: &str) -> Result<i64, String> {
    Window::parse_duration(text).ok_or_else(|| "write a duration like 7d, 36h or 90m".to_owned())
}
