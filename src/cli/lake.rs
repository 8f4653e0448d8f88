//! `flowgap lake`: looks after a lake.

use std::io::{self, Write};

use chrono::{NaiveDate, Utc};
use tokio::select;

use super::ingest::{count, failure, lake_failure};
use super::source::{self, opened};
use super::window::duration;
use super::{Failure, Status, listen, named};
use crate::answer::{Interrupt, Manner, print};
use crate::engine::Control;
use crate::ingest::{Compared, Options, compare, rebuild};
use crate::lake::{
    Compaction, Deleted, Lake, Snapshot, compact, deletable, delete_before, now, status, unneeded, vacuum, verify,
};
use crate::options::SourceOptions;
use crate::report::sink::{byte_count, say, visible};
use crate::source::{Auth, Environment};
use crate::time::{DAY, HOUR, TimeRange, Timestamp, length};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show what a lake holds: version, files, rows, times, gaps, problems
    Status {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Join the small files of each day
    Compact {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Delete files that no version needs
    Vacuum {
        #[command(flatten)]
        place: PlaceArgs,

        /// Delete only files that were last needed, or written, at least this long ago
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "7d")]
        older_than: i64,

        /// Allow less than 24 hours. A run that is writing now may lose its files
        #[arg(long)]
        force: bool,

        /// Print what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check that rows and cursors agree, and with a SOURCE, that the lake has what its blobs hold
    Verify(Box<VerifyArgs>),
    /// Delete the flows of old days
    Delete {
        #[command(flatten)]
        place: PlaceArgs,

        /// First day that is kept, such as 2026-02-01, in UTC
        #[arg(long, value_name = "DATE", value_parser = day)]
        before: i32,

        /// Print what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Sources of the lake, whose blobs are read again
    #[arg(value_name = "SOURCE", help_heading = "Arguments")]
    sources: Vec<String>,

    /// Make the cursors again from the table and SOURCE. Blobs whose rows differ are read again by the next ingest
    #[arg(long, requires = "sources")]
    rebuild_cursors: bool,

    #[command(flatten)]
    source: source::Options,
}

/// A lake, as typed.
#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// Folder of the lake
    #[arg(value_name = "LAKE", help_heading = "Arguments")]
    lake: String,

    /// Credential for the storage account of the lake
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::NAMES))]
    lake_auth: Auth,
}

impl PlaceArgs {
    fn open(&self) -> Result<Lake, Failure> {
        let options = SourceOptions { auth: self.lake_auth, ..SourceOptions::default() };
        Lake::open(&self.lake, options.access(Environment::of_process())).map_err(lake_failure)
    }

    async fn snapshot(&self) -> Result<Snapshot, Failure> {
        Snapshot::load(&self.open()?).await.map_err(lake_failure)
    }
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    match args.verb {
        Verb::Status { place } => {
            let snapshot = place.snapshot().await?;
            let cursors = snapshot.cursors().await.map_err(lake_failure)?;
            let status = status(&snapshot, &cursors).map_err(lake_failure)?;
            print(|out| write(&status, snapshot.lake(), Utc::now().timestamp_millis(), out))?;
        }
        Verb::Compact { place } => {
            let (_, compacted) = compact(place.snapshot().await?, Compaction::All).await.map_err(lake_failure)?;
            let (before, after, bytes) = (compacted.before, compacted.after, byte_count(compacted.bytes));
            print(|out| writeln!(out, "{} became {after} of {bytes}", count(before, "file")))?;
        }
        Verb::Vacuum { place, older_than, force, dry_run } => {
            if older_than < DAY && !force {
                return Err(Failure::usage(
                    "--older-than below 24h may delete files of a run that is writing now: add --force",
                ));
            }
            let snapshot = place.snapshot().await?;
            let lake = snapshot.lake();
            // A dry run writes nothing, so it uses the clock of this machine.
            let now = if dry_run { Ok(Utc::now().timestamp_millis()) } else { now(lake).await };
            let vacuumed = unneeded(lake, now.map_err(lake_failure)? - older_than).await.map_err(lake_failure)?;
            if !dry_run {
                vacuum(lake, &vacuumed).await.map_err(lake_failure)?;
            }
            let (files, bytes) = (count(vacuumed.files.len() as u64, "file"), byte_count(vacuumed.bytes));
            print(|out| {
                if dry_run {
                    vacuumed.files.iter().try_for_each(|path| writeln!(out, "{}", visible(path.as_ref())))?;
                }
                writeln!(out, "{files} of {bytes} {}", if dry_run { "would be deleted" } else { "deleted" })
            })?;
        }
        Verb::Verify(args) => {
            let interrupt = listen(Manner::Answers)?;
            return select! {
                biased;
                // A check that is dropped has committed nothing.
                () = interrupt.any() => Ok(Status::Interrupted),
                checked = check(&args, &interrupt) => checked,
            };
        }
        Verb::Delete { place, before, dry_run } => {
            let snapshot = place.snapshot().await?;
            let deleted = match dry_run {
                true => deletable(&snapshot, before),
                false => delete_before(snapshot, before).await.map_err(lake_failure)?,
            };
            let Deleted { days, files, rows, bytes } = deleted;
            let [rows, days, files] = [(rows, "row"), (days, "day"), (files, "file")].map(|(n, noun)| count(n, noun));
            let (bytes, verb) = (byte_count(bytes), if dry_run { "would be deleted" } else { "deleted" });
            print(|out| writeln!(out, "{rows} of {days} {verb}, in {files} of {bytes}"))?;
        }
    }
    Ok(Status::Clean)
}

async fn check(args: &VerifyArgs, interrupt: &Interrupt) -> Result<Status, Failure> {
    let lake = args.place.open()?;
    let environment = Environment::of_process();
    let resolved = args.source.resolve();
    let options = Options {
        window: TimeRange::default(),
        prefix: resolved.prefix.clone(),
        macs: resolved.macs.clone(),
        access: resolved.access(environment.clone()),
        commit_every: Options::COMMIT_EVERY,
        reread: true,
        workers: None,
    };
    let control = Control::default();
    let sources = opened(&args.sources, &environment, interrupt).await?;
    if args.rebuild_cursors {
        let (blobs, again) = rebuild(&sources, &lake, &options, &control).await.map_err(failure)?;
        let blobs = count(blobs, "blob");
        print(|out| writeln!(out, "cursors of {blobs} made again; the next ingest reads {again} of them again"))?;
        return Ok(Status::Clean);
    }
    let snapshot = Snapshot::load(&lake).await.map_err(lake_failure)?;
    let cursors = snapshot.cursors().await.map_err(lake_failure)?;
    let mismatches = verify(&snapshot, &cursors).await.map_err(lake_failure)?;
    for mismatch in &mismatches {
        let (blob, found, expected) = (visible(&mismatch.blob), mismatch.found.rows, mismatch.expected.rows);
        say(format_args!("flowgap: {blob}: it has {}, and not the {expected} of its cursor", count(found, "row")));
    }
    let compared = match sources.is_empty() {
        true => None,
        false => Some(compare(&sources, &snapshot, &options, &control).await.map_err(failure)?),
    };
    let differences = compared.as_ref().map_or(&[][..], |compared| &compared.differences[..]);
    for difference in differences {
        say(format_args!("flowgap: {}: {}", visible(&difference.blob), visible(&difference.what)));
    }
    print(|out| {
        let (rows, blobs) = (count(snapshot.rows(), "row"), count(cursors.blobs, "blob"));
        writeln!(out, "table   {rows} of {blobs}, {} from the cursors", count(mismatches.len() as u64, "difference"))?;
        compared.iter().try_for_each(|compared| write_compared(compared, out))
    })?;
    Ok(if mismatches.is_empty() && differences.is_empty() { Status::Clean } else { Status::CouldNotTell })
}

fn write_compared(compared: &Compared, out: &mut dyn Write) -> io::Result<()> {
    let Compared { blobs, differences, absent, absent_names } = compared;
    let differences = count(differences.len() as u64, "difference");
    writeln!(out, "source  {}, {differences} from the lake", count(*blobs, "blob"))?;
    if *absent == 0 {
        return Ok(());
    }
    let names: Vec<_> = absent_names.iter().map(|name| visible(name)).collect();
    let more = absent - absent_names.len() as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    writeln!(out, "absent  {} of the lake: {}{more}", count(*absent, "blob"), names.join(", "))
}

fn write(status: &crate::lake::Status, lake: &Lake, now: i64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "lake      {}, version {}", visible(lake.shown()), status.version)?;
    writeln!(
        out,
        "table     {}, {}, {}, {}",
        count(status.rows, "row"),
        count(status.files, "file"),
        byte_count(status.bytes),
        count(status.days, "day")
    )?;
    writeln!(out, "blobs     {}, {}", status.blobs, byte_count(status.blob_bytes))?;
    if let Some((first, last)) = status.times {
        let ago = length((now - last).max(0));
        writeln!(out, "flows     {} to {}, {ago} ago", Timestamp(first).minute(), Timestamp(last).minute())?;
    }
    if let Some(day) = status.kept_from {
        let day = Timestamp(i64::from(day) * DAY).to_string();
        writeln!(out, "kept      from {} on", day.get(..10).unwrap_or_default())?;
    }
    let hours: u64 = status.gaps.iter().map(|(_, hours)| hours).sum();
    if hours > 0 {
        writeln!(out, "gaps      {} without a blob:", count(hours, "hour"))?;
        for (start, hours) in status.gaps.iter().take(10) {
            let end = start + i64::try_from(*hours).unwrap_or_default() * HOUR;
            writeln!(out, "          {} to {}", Timestamp(*start).minute(), Timestamp(end).minute())?;
        }
        if let Some(more) = status.gaps.len().checked_sub(10).filter(|more| *more > 0) {
            writeln!(out, "          and {more} more")?;
        }
    }
    let bad = count(status.bad_records, "record");
    writeln!(out, "problems  {}, of which {bad} cannot be read", status.problems)
}

fn day(text: &str) -> Result<i32, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "write a day like 2026-02-01".to_owned())?;
    Ok(day.to_epoch_days())
}
