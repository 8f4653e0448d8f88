//! `flowgap inspect`: shows what logs contain, without analysing them.

use std::path::PathBuf;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, fault, interruptible, listen, named, names, output, window};
use crate::answer::{self, write_to};
use crate::catalog::Edition;
use crate::engine::Scope;
use crate::inspection::{self, Inspection};
use crate::report::inspection::{Format, write};
use crate::report::sink::{Formulas, shell_word};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    window: window::Args,

    #[command(flatten)]
    names: names::Args,

    /// Output format [default: by the file extension of --output, else text]
    #[arg(long, value_parser = named::<Format>(Format::NAMES))]
    format: Option<Format>,

    /// Write to a file instead of stdout; repeatable, each in the format of its extension
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// In CSV, do not escape text that a spreadsheet would run as a formula
    #[arg(long)]
    no_formula_guard: bool,

    /// Number of subnets, interfaces and rules that text and markdown show
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
    let formats = output::Formats { text: Format::Text, of_file: Format::of_file, names: &Format::NAMES };
    let targets = formats.targets(args.format, &args.output)?;
    let window = args.window.resolve()?;
    let verbosity = Verbosity::of(args.quiet, args.verbose);
    let scope = Scope::new(Edition::newest().map_err(Failure::usage)?).with_names(args.names.open()?);
    let interrupt = listen(answer::Manner::Reports)?;
    let session = args.source.open(scope, window, verbosity, &interrupt).await?;
    if let Some(planned) = args.source.planned(&session) {
        return planned;
    }
    let stop = session.stop();
    let progress = Progress::start(&args.progress, args.quiet, &session);
    let scan = fault::reported(&stop, inspection::inspect(&session));
    let mut inspection = match interruptible(&interrupt, &stop, scan).await? {
        Some(inspection) => inspection,
        None => inspection::inspect(&session).await.map_err(failure)?,
    };
    drop(progress);
    inspection.next.command = next(&args, &inspection);
    if inspection.next.command.is_some() && args.source.has_secrets() {
        let advice = inspection.next.advice.get_or_insert_default();
        *advice =
            format!("{advice} The command leaves out the signature of an address: add it again.").trim().to_owned();
    }
    let formulas = if args.no_formula_guard { Formulas::AsLogged } else { Formulas::Guarded };
    for (format, path) in &targets {
        write_to(path.as_deref(), interrupt.leftovers(), |out| {
            write(&inspection, *format, args.top, formulas, args.window.clock(), out)
        })?;
    }
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

/// Returns the command that analyses the subnets that look like API Management, over the same flows.
fn next(args: &Args, inspection: &Inspection) -> Option<String> {
    let subnets: Vec<String> = inspection.subnets().flat_map(|cidr| ["--subnet".to_owned(), cidr.to_owned()]).collect();
    if subnets.is_empty() {
        return None;
    }
    let before = ["flowgap", "analyze"].map(str::to_owned).into_iter().chain(args.source.words());
    let words = before.chain(args.window.words()).chain(args.names.words()).chain(subnets);
    Some(words.map(|word| shell_word(&word)).collect::<Vec<_>>().join(" "))
}
