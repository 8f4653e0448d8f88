//! `flowgap ingest`: copies what is new in flow logs into a lake.

use std::io::{self, Write};

use chrono::Utc;

use super::fault::source_failure;
use super::memory::size;
use super::progress::{self, Progress};
use super::source::{self, opened};
use super::window::{duration, moment, resolve};
use super::{Failure, Status, cluster, interruptible, listen, named};
use crate::answer::{Manner, print};
use crate::engine::Control;
use crate::findings::counted;
use crate::ingest::{IngestError, Options, Summary, ingest};
use crate::lake::{Lake, LakeError};
use crate::options::{SourceOptions, WindowError};
use crate::report::sink::{byte_count, say, visible};
use crate::source::{Auth, Environment};
use crate::time::{Timestamp, length};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: LakeArgs,

    /// Commit at least after this much input, such as 64MB. A run that is killed loses at most this much work
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "256MB")]
    commit_every: usize,

    /// Read every selected blob again, and replace its rows
    #[arg(long)]
    reread: bool,

    /// Read only blobs that may have flows at or after this time, such as 2026-05-04 or yesterday, in UTC. A blob is always read to its end
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    from: Option<i64>,

    /// Read only blobs that may have flows before this time
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    until: Option<i64>,

    /// Read only blobs that may have flows of the last days or hours, such as 7d or 36h
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["from", "until"])]
    last: Option<i64>,

    /// The time that --last counts from
    #[arg(long, hide = true, value_parser = moment, allow_hyphen_values = true)]
    now: Option<i64>,

    /// Print only errors on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    cluster: cluster::Args,

    #[command(flatten)]
    source: source::Args,
}

/// The lake that is written, as typed.
#[derive(Debug, clap::Args)]
struct LakeArgs {
    /// Folder of the lake, on this machine or in a container of Blob Storage. It is made if it does not exist
    #[arg(long, value_name = "LAKE")]
    to: String,

    /// Credential for the storage account of the lake [auto: as for the sources]
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::NAMES))]
    lake_auth: Auth,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let now = args.now.unwrap_or_else(|| Utc::now().timestamp_millis());
    let window = resolve(args.from, args.until, args.last, now)
        .map_err(|WindowError| Failure::usage("--from must be before --until"))?;
    if args.from.is_some() && moment(&args.place.to).is_ok() {
        return Err(Failure::usage(format!(
            "--to {} is a time, and --to names the lake: write --until for the end of the window, or ./{0} for the lake",
            args.place.to
        )));
    }
    let environment = Environment::of_process();
    let resolved = args.source.options.resolve();
    let of_lake = SourceOptions { auth: args.place.lake_auth, ..resolved.clone() }.access(environment.clone());
    let lake = Lake::open(&args.place.to, of_lake).map_err(lake_failure)?;
    let interrupt = listen(Manner::Reports)?;
    let sources = opened(&args.source.sources, &environment, &interrupt).await?;
    let options = Options {
        window,
        prefix: resolved.prefix.clone(),
        macs: resolved.macs.clone(),
        access: resolved.access(environment),
        commit_every: args.commit_every as u64,
        reread: args.reread,
        workers: args.cluster.workers(args.quiet)?,
    };
    let control = Control::default();
    let mut bar = None;
    let listed = |size| bar = Progress::of(&args.progress, args.quiet, control.progress.clone(), size);
    let done = interruptible(&interrupt, &control.stop, ingest(&sources, &lake, &options, &control, listed)).await;
    drop(bar);
    let summary = done.map_err(failure)?;
    if !args.quiet {
        summary.skipped.iter().for_each(|why| say(format_args!("flowgap: {}", visible(why))));
    }
    for (blob, why) in &summary.unread {
        say(format_args!("flowgap: {}: {}", visible(blob), visible(why)));
    }
    if let Some(why) = &summary.not_compacted {
        say(format_args!("flowgap: {}", visible(why)));
    }
    print(|out| write(&summary, &lake, now, out))?;
    Ok(if summary.is_interrupted {
        Status::Interrupted
    } else if summary.is_incomplete() || summary.last.is_none() {
        Status::CouldNotTell
    } else {
        Status::Clean
    })
}

fn write(summary: &Summary, lake: &Lake, now: i64, out: &mut dyn Write) -> io::Result<()> {
    let Summary { new, grown, rewritten, unchanged, bytes, rows_added, rows_removed, version, .. } = summary;
    writeln!(out, "lake       {}, version {version}", visible(lake.shown()))?;
    writeln!(out, "blobs      {new} new, {grown} grown, {rewritten} rewritten, {unchanged} unchanged")?;
    writeln!(out, "read       {}", byte_count(*bytes))?;
    writeln!(out, "rows       {rows_added} added, {rows_removed} removed")?;
    if let Some(last) = summary.last {
        writeln!(out, "last flow  {}, {} ago", Timestamp(last).minute(), length((now - last).max(0)))?;
    }
    if summary.problems > 0 {
        let (problems, bad) = (summary.problems, summary.bad_records);
        writeln!(out, "problems   {problems}, of which {} cannot be read", count(bad, "record"))?;
    }
    match summary.unread.len() {
        0 => Ok(()),
        unread => writeln!(out, "not read   {}: the next run tries again", count(unread as u64, "blob")),
    }
}

/// Returns a count with its noun.
pub fn count(count: u64, noun: &str) -> String {
    counted(count.cast_signed(), noun)
}

/// Returns the failure of an ingest.
pub fn failure(error: IngestError) -> Failure {
    match error {
        IngestError::Source(error) => source_failure(error),
        IngestError::Pipe => Failure::usage(error),
        IngestError::Lake(error) => lake_failure(error),
        IngestError::Unfinished(message) => Failure { status: Status::Internal, message },
    }
}

/// Returns the failure of a lake.
pub fn lake_failure(error: LakeError) -> Failure {
    Failure { status: Status::Source, message: error.to_string() }
}
