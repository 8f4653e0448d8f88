//! `flowgap doctor`: what keeps access or logs from working, without reading flows.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use super::source::{self, Verbosity};
use super::window;
use super::{Failure, Status, listen};
use crate::answer::{Manner, print};
use crate::catalog::Edition;
use crate::engine::{Scope, Session};
use crate::options::{cache_folder, cached_tags};
use crate::report::Clock;
use crate::report::sink::visible;
use crate::source::BlobPath;
use crate::time::{DAY, HOUR, MINUTE, Timestamp, length};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    window: window::Args,

    /// Print only errors on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    source: source::Args,
}

/// Age of the newest blob from which logs are stale. Azure writes the blob of an hour within minutes.
const STALE: i64 = 2 * HOUR;
/// Age of service tags from which they are to be renewed. Microsoft publishes them weekly.
const OLD_TAGS: i64 = 30 * DAY;
/// Difference between the clocks of this machine and of the service that is worth a word.
const SKEWED: i64 = 5 * MINUTE;
/// Maximum number of interfaces that are listed.
const LISTED: usize = 10;

/// Outcome of one check.
struct Check {
    is_fine: bool,
    what: String,
    words: String,
}

impl Check {
    fn new(is_fine: bool, what: &str, words: String) -> Self {
        Self { is_fine, what: what.to_owned(), words }
    }
}

pub async fn run(args: &Args) -> Result<Status, Failure> {
    let interrupt = listen(Manner::Answers)?;
    let scope = Scope::new(Edition::newest().map_err(Failure::usage)?);
    let (window, now, clock) = (args.window.resolve()?, args.window.now(), args.window.clock());
    let verbosity = Verbosity::of(args.quiet, false);
    let session = match args.source.open(scope, window, verbosity, &interrupt).await {
        Ok(session) => session,
        Err(Failure { status: Status::Source, message }) => {
            show(&[Check::new(false, "access", message)])?;
            return Ok(Status::Source);
        }
        Err(failure) => return Err(failure),
    };
    let hours = hours(&session);
    let mut checks = access(&session);
    checks.extend(session.clock_ahead().map(service_clock));
    checks.extend(freshness(&hours, now, clock));
    checks.push(tags(&session, now));
    checks.extend(interfaces(&hours, clock));
    show(&checks)?;
    Ok(if checks.iter().all(|check| check.is_fine) { Status::Clean } else { Status::CouldNotTell })
}

fn show(checks: &[Check]) -> Result<(), Failure> {
    let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or_default();
    let line = |check: &Check| {
        let word = if check.is_fine { "ok   " } else { "CHECK" };
        let blanks = " ".repeat(width - check.what.chars().count());
        format!("{word}  {}{blanks}  {}\n", visible(&check.what), visible(&check.words))
    };
    let text: String = checks.iter().map(line).collect();
    print(|out| out.write_all(text.as_bytes()))?;
    Ok(())
}

/// Checks which credential opened each account, and what was listed.
fn access(session: &Session) -> Vec<Check> {
    let credentials = session.credentials();
    let mut checks: Vec<Check> = credentials
        .iter()
        .map(|(account, credential)| Check::new(true, "access", format!("{account} by {credential}")))
        .collect();
    if !credentials.is_empty() {
        // The first and the last blob of a list are read as well.
        let words = "blobs can be listed and read, as with the role Storage Blob Data Reader";
        checks.push(Check::new(true, "role", words.to_owned()));
    }
    for listed in session.listed() {
        let others = match listed.others.files {
            0 => String::new(),
            files => format!("; {files} files with other names are not read"),
        };
        let words = format!("{}: {} blobs to read of {} listed{others}", listed.shown, listed.taken, listed.listed);
        checks.push(Check::new(listed.taken > 0, "logs", words));
    }
    checks.extend(
        session.skipped().iter().map(|skipped| Check::new(!skipped.is_unreadable, "logs", skipped.why.clone())),
    );
    checks
}

/// Hours in the paths of the blobs, in ms since 1970, by interface.
type Hours = BTreeMap<String, BTreeSet<i64>>;

fn hours(session: &Session) -> Hours {
    let mut hours = Hours::new();
    for location in session.locations() {
        if let Some(path) = BlobPath::parse(&location) {
            hours.entry(path.mac.unwrap_or("all interfaces").to_owned()).or_default().insert(path.hour);
        }
    }
    hours
}

/// Checks the clock of this machine against that of the service.
fn service_clock(ahead: i64) -> Check {
    let (is_fine, side) = (ahead.abs() < SKEWED, if ahead > 0 { "behind" } else { "ahead of" });
    let words = match is_fine {
        true => format!("within {} of the time of the service", length(SKEWED)),
        false => format!(
            "{} {side} the time of the service, which refuses requests from 15 minutes on: set the clock",
            length(ahead.abs())
        ),
    };
    Check::new(is_fine, "clock", words)
}

/// Checks the clock of this machine and the age of the newest blob.
fn freshness(hours: &Hours, now: i64, clock: Clock) -> Vec<Check> {
    let minute = |ms: i64| clock.minute(Timestamp(ms));
    let Some(newest) = hours.values().filter_map(BTreeSet::last).max().copied() else {
        let words = "the paths of the blobs name no hours, so their age is not known".to_owned();
        return vec![Check::new(true, "fresh", words)];
    };
    let time = match newest - now {
        ahead if ahead > HOUR => Check::new(
            false,
            "clock",
            format!("it is {} here, before the newest blob of {}: set the clock", minute(now), minute(newest)),
        ),
        _ => Check::new(true, "clock", format!("it is {} here; no blob is from the future", minute(now))),
    };
    let age = now - newest;
    let words = format!("the newest blob is of {}, {} ago", minute(newest), length(age.max(0)));
    let fresh = match age {
        age if age > STALE => {
            format!(
                "{words}: is the flow log on, and does it write here? az network watcher flow-log list --location REGION"
            )
        }
        _ => words,
    };
    vec![time, Check::new(age <= STALE, "fresh", fresh)]
}

/// Checks the age of the service tags that an analysis would use.
fn tags(session: &Session, now: i64) -> Check {
    let folder = cache_folder(|name| env::var_os(name));
    let cached = folder.map_or(Ok(None), |folder| cached_tags(&folder, session.clouds()));
    match cached {
        Err(why) => Check::new(false, "tags", format!("cached service tags are not used: {why}")),
        Ok(None) => {
            let way = "none are cached, so services cannot be told by their addresses: run flowgap tags fetch";
            Check::new(false, "tags", way.to_owned())
        }
        Ok(Some((_, tags))) => match tags.published.map(|published| now - published.time) {
            Some(age) if age > OLD_TAGS => {
                Check::new(false, "tags", format!("service tags are {} old: run flowgap tags fetch", length(age)))
            }
            Some(age) => Check::new(true, "tags", format!("service tags are {} old", length(age.max(0)))),
            None => Check::new(true, "tags", "service tags without a known date".to_owned()),
        },
    }
}

/// Checks each interface for hours without a blob between others. An idle interface has such hours too.
fn interfaces(hours: &Hours, clock: Clock) -> Vec<Check> {
    let newest = hours.values().filter_map(BTreeSet::last).max().copied().unwrap_or_default();
    let mut checks: Vec<Check> = hours.iter().filter_map(|(mac, hours)| interface(mac, hours, newest, clock)).collect();
    // Interfaces with gaps first, because the list is cut.
    checks.sort_by_key(|check| check.is_fine);
    let more = checks.len().saturating_sub(LISTED);
    checks.truncate(LISTED);
    if more > 0 {
        checks.push(Check::new(true, "more", format!("{more} other interfaces: flowgap inspect lists all")));
    }
    checks
}

fn interface(mac: &str, hours: &BTreeSet<i64>, newest: i64, clock: Clock) -> Option<Check> {
    let minute = |ms: i64| clock.minute(Timestamp(ms));
    let (first, last) = (*hours.first()?, *hours.last()?);
    let gaps: Vec<(i64, i64)> = (hours.iter().zip(hours.iter().skip(1)))
        .filter(|(one, other)| *other - *one > HOUR)
        .map(|(one, other)| (one + HOUR, *other))
        .collect();
    let span = format!("hours {} to {}", minute(first), minute(last));
    let missing: i64 = gaps.iter().map(|(from, to)| (to - from) / HOUR).sum();
    let words = match (gaps.first(), last < newest - HOUR) {
        (Some((from, to)), _) => format!(
            "{span}, {missing} without a blob, the first {} to {}: idle, or not logged; flowgap query capture_gaps tells",
            minute(*from),
            minute(*to)
        ),
        (None, true) => format!("{span}, and nothing since, while others go on: is the machine gone?"),
        (None, false) => format!("{span}, none without a blob"),
    };
    Some(Check::new(gaps.is_empty() && last >= newest - HOUR, mac, words))
}
