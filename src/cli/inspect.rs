//! `flowgap inspect`: shows what logs contain, without analysing them.

use std::path::PathBuf;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, fault, interruptible, listen, named, window};
use crate::answer::{self, write_to};
use crate::catalog::Edition;
use crate::engine::Scope;
use crate::inspection;
use crate::report::inspection::{Format, write_json, write_text};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    window: window::Args,

    /// Output format [default: json if --output ends in .json, else text]
    #[arg(long, value_parser = named::<Format>(Format::NAMES))]
    format: Option<Format>,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Number of interfaces and rules that text shows
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Print only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Report on stderr which credential was used and what was read
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    source: source::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let window = args.window.resolve()?;
    let verbosity = Verbosity::of(args.quiet, args.verbose);
    let scope = nothing()?;
    let interrupt = listen(answer::Manner::Reports)?;
    let session = args.source.open(scope, window, verbosity, &interrupt).await?;
    let stop = session.stop();
    let progress = Progress::start(&args.progress, args.quiet, &session);
    let scan = fault::reported(&stop, inspection::inspect(&session));
    let inspection = match interruptible(&interrupt, &stop, scan).await? {
        Some(inspection) => inspection,
        None => inspection::inspect(&session).await.map_err(failure)?,
    };
    drop(progress);
    let format = args.format.or(args.output.as_deref().and_then(Format::of_file)).unwrap_or(Format::Text);
    write_to(args.output.as_deref(), interrupt.leftovers(), |out| match format {
        Format::Json => write_json(&inspection, out),
        Format::Text => write_text(&inspection, args.top, out),
    })?;
    if args.verbose {
        say_read(&session);
    }
    Ok(if inspection.is_interrupted {
        Status::Interrupted
    } else if inspection.is_incomplete() || inspection.input.tuples == 0 {
        Status::CouldNotTell
    } else {
        Status::Clean
    })
}

/// Returns an empty scope, because an inspection needs no dependencies.
fn nothing() -> Result<Scope, Failure> {
    Ok(Scope::new(Edition::newest().map_err(Failure::usage)?))
}
