//! The time window and the time zone, as typed.

use chrono::Utc;

use super::Failure;
use crate::options::{Window, WindowError, Zone};
use crate::report::Clock;
use crate::time::{MINUTE, TimeRange, Timestamp, typed};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read only flows at or after this time, such as 2026-05-04, '2026-05-04 06:00', yesterday or -2h
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    from: Option<Time>,

    /// Read only flows before this time
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    to: Option<Time>,

    /// Read only flows of the last hours, days or weeks, such as 36h, 7d or 2w
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["from", "to"])]
    last: Option<i64>,

    /// The time to count as now, for --last and for relative times, to repeat an earlier run
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Time>,

    #[command(flatten)]
    zone: ZoneArgs,
}

/// The time zone, as typed.
#[derive(Debug, clap::Args)]
pub struct ZoneArgs {
    /// Time zone in which times are shown and times without an offset are read, such as Europe/Berlin or +02:00 [default:
    /// TZ, else UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<Zone>,
}

impl ZoneArgs {
    /// Returns the time zone of the run: the given one, that of `TZ`, or UTC.
    fn zone(&self) -> Zone {
        let variable = || Zone::of_variable(&std::env::var("TZ").ok()?);
        self.tz.clone().or_else(variable).unwrap_or_default()
    }

    /// Returns the clock of reports. It knows the time of the run only if that was given, so that equal commands print
    /// the same.
    pub fn clock(&self) -> Clock {
        let zone = self.zone();
        if zone.is_utc() { Clock::UTC } else { Clock::of(zone.rules) }
    }
}

/// A time as typed. It depends on the time of the run and on the time zone.
#[derive(Debug, Clone)]
struct Time(String);

impl Args {
    /// Returns the options as words of a command.
    pub fn words(&self) -> impl Iterator<Item = String> {
        let time = |option: &str, time: Option<&Time>| {
            let ms = time.and_then(|time| self.resolved(time));
            ms.map(|ms| [option.to_owned(), Timestamp(ms).to_string()])
        };
        let last = self.last.map(|ms| ["--last".to_owned(), format!("{}m", ms / MINUTE)]);
        let now = self.now.as_ref().map(|_| ["--now".to_owned(), Timestamp(self.now()).to_string()]);
        let times = [time("--from", self.from.as_ref()), time("--to", self.to.as_ref()), last, now];
        times.into_iter().flatten().flatten()
    }

    /// Returns the time of the run, in ms since 1970.
    pub fn now(&self) -> i64 {
        let clock = Utc::now().timestamp_millis();
        let typed = |time: &Time| typed::time(&time.0, clock, &self.zone().rules);
        self.now.as_ref().and_then(typed).map_or(clock, |time| time.0)
    }

    /// Returns the time zone of the run: the given one, that of `TZ`, or UTC.
    pub fn zone(&self) -> Zone {
        self.zone.zone()
    }

    /// Returns the clock of reports. It knows the time of the run only if that was given, so that equal commands print
    /// the same.
    pub fn clock(&self) -> Clock {
        let clock = self.zone.clock();
        if self.now.is_some() { clock.at(Timestamp(self.now())) } else { clock }
    }

    /// Returns the times to read.
    pub fn resolve(&self) -> Result<TimeRange, Failure> {
        let time = |option: &str, time: &Option<Time>| {
            let Some(time) = time else { return Ok(None) };
            let gap = || Failure::usage(format!("{option} {}: clocks skip this time in {}", time.0, self.zone().name));
            self.resolved(time).map(Some).ok_or_else(gap)
        };
        let (from, to) = (time("--from", &self.from)?, time("--to", &self.to)?);
        resolve(from, to, self.last, self.now()).map_err(|WindowError| Failure::usage("--from must be before --to"))
    }

    fn resolved(&self, time: &Time) -> Option<i64> {
        typed::time(&time.0, self.now(), &self.zone().rules).map(|time| time.0)
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

/// Parses a time in UTC, which may be relative to the clock.
pub fn moment(text: &str) -> Result<i64, String> {
    let time = typed::time(text, Utc::now().timestamp_millis(), &Utc);
    time.map(|time| time.0).ok_or_else(|| format!("write a time like {}", typed::TIMES))
}

fn time(text: &str) -> Result<Time, String> {
    match typed::time(text, Utc::now().timestamp_millis(), &Utc) {
        Some(_) => Ok(Time(text.to_owned())),
        None => Err(format!("write a time like {}", typed::TIMES)),
    }
}

pub fn duration(text: &str) -> Result<i64, String> {
    typed::duration(text).ok_or_else(|| format!("write a duration like {}", typed::DURATIONS))
}
