//! The time window, as typed.

use chrono::Utc;

use super::Failure;
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
    pub fn resolve(&self) -> Result<TimeRange, Failure> {
        let window = match self.last {
            Some(length) => {
                let now = self.now.unwrap_or_else(|| Utc::now().timestamp_millis());
                TimeRange { from: Some(now - length), to: Some(now) }
            }
            None => TimeRange { from: self.from, to: self.to },
        };
        match (window.from, window.to) {
            (Some(from), Some(to)) if from >= to => Err(Failure::usage("--from must be before --to")),
            _ => Ok(window),
        }
    }
}

fn time(text: &str) -> Result<i64, String> {
    Timestamp::parse_rfc3339(text).map(|time| time.0).ok_or_else(|| "write a time like 2026-05-04T06:00:00Z".to_owned())
}

/// Parses a duration into ms.
fn duration(text: &str) -> Result<i64, String> {
    let error = || "write a duration like 7d, 36h or 90m".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(error)?;
    let minutes = match unit {
        "d" => 24 * 60,
        "h" => 60,
        "m" => 1,
        _ => return Err(error()),
    };
    let number: u32 = number.parse().map_err(|_| error())?;
    if number == 0 { Err(error()) } else { Ok(i64::from(number) * minutes * MINUTE) }
}
