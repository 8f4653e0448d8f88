//! `flowgap inspect`: shows what logs contain, without analysing them.

use std::path::PathBuf;

use super::fault::failure;
use super::output::write_to;
use super::progress::{self, Progress};
use super::source::{self, Manner};
use super::{Failure, Status, fault, interruptible, listen, window};
use crate::catalog::Edition;
use crate::engine::Scope;
use crate::inspection;
use crate::report::inspection::{write_json, write_text};
use crate::shell;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    window: window::Args,

    /// Output format [default: json if --output ends in .json, else text]
    #[arg(long, value_parser = ["text", "json"])]
    format: Option<String>,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Number of interfaces and rules that text shows
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Print only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Report on stderr which credential was used
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    source: source::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let window = args.window.resolve()?;
    let manner = match (args.quiet, args.verbose) {
        (true, _) => Manner::Quiet,
        (_, true) => Manner::Verbose,
        _ => Manner::Usual,
    };
    let scope = nothing()?;
    let signals = listen(shell::Manner::Reports)?;
    let session = args.source.open(scope, window, manner, &signals).await?;
    let stop = session.stop();
    let progress = Progress::start(&args.progress, args.quiet, &session);
    let scan = fault::reported(&stop, inspection::inspect(&session));
    let inspection = match interruptible(&signals, &stop, scan).await? {
        Some(inspection) => inspection,
        None => inspection::inspect(&session).await.map_err(failure)?,
    };
    drop(progress);
    let is_json = match args.format.as_deref() {
        Some(format) => format == "json",
        None => args.output.as_ref().is_some_and(|path| path.extension().is_some_and(|e| e == "json")),
    };
    write_to(args.output.as_deref(), signals.leftovers(), |out| match is_json {
        true => write_json(&inspection, out),
        false => write_text(&inspection, args.top, out),
    })?;
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
