//! `flowgap analyze`: findings from flow logs.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use tracing::info;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, fault, interruptible, listen, named, scope, window};
use crate::answer::{self, write_to};
use crate::findings::{self, Gate, Severity};
use crate::options::When;
use crate::report::sink::Formulas;
use crate::report::{self, Format, Style};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    scope: scope::Args,

    #[command(flatten)]
    window: window::Args,

    /// Output format [default: by the file extension of --output, else text]
    #[arg(long, value_parser = named::<Format>(Format::NAMES))]
    format: Option<Format>,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Exit with 1 when a finding is at least this severe
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = named::<Severity>(Severity::NAMES))]
    fail_on: Severity,

    /// Never exit with 1
    #[arg(long, conflicts_with = "fail_on")]
    exit_zero: bool,

    /// Share of required dependencies that need evidence for exit status 0, from 0 to 1
    #[arg(long, value_name = "N", default_value = "0.5", value_parser = share)]
    min_coverage: f64,

    /// Exit with 3 if any tuple or record is malformed
    #[arg(long)]
    strict: bool,

    /// Number of findings that text and markdown show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// In CSV, do not escape text that a spreadsheet would run as a formula
    #[arg(long)]
    no_formula_guard: bool,

    /// Print only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Show how each score is computed, and report on stderr what was read
    #[arg(short, long)]
    verbose: bool,

    /// Colours in the text report [auto: on a terminal, unless NO_COLOR is set]
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = named::<When>(When::NAMES))]
    color: When,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    source: source::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let format = format(&args)?;
    let gate = gate(&args);
    let window = args.window.resolve()?;
    let scope = args.scope.open()?;
    let verbosity = Verbosity::of(args.quiet, args.verbose);
    let interrupt = listen(answer::Manner::Reports)?;
    let mut session = args.source.open(scope, window, verbosity, &interrupt).await?;
    let stop = session.stop();
    let progress = Progress::start(&args.progress, args.quiet, &session);
    let scan = fault::reported(&stop, findings::analyze(&mut session, &gate));
    let analysis = match interruptible(&interrupt, &stop, scan).await? {
        Some(analysis) => analysis,
        None => findings::analyze(&mut session, &gate).await.map_err(failure)?,
    };
    drop(progress);
    let style = Style {
        top: args.top,
        has_color: has_color(&args),
        has_factors: args.verbose,
        formulas: if args.no_formula_guard { Formulas::AsLogged } else { Formulas::Guarded },
    };
    let report = report::report(format, style);
    info!(format = %format, findings = analysis.findings.len(), status = analysis.status.exit, "reporting");
    write_to(args.output.as_deref(), interrupt.leftovers(), |out| report.write(&analysis, out))?;
    if args.verbose {
        say_read(&session);
    }
    Ok(Status::from_exit(analysis.status.exit))
}

fn gate(args: &Args) -> Gate {
    let fail_on = (!args.exit_zero).then_some(args.fail_on);
    Gate { fail_on, min_coverage: args.min_coverage, is_strict: args.strict }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share from 0 to 1, such as 0.5".to_owned())
}

fn has_color(args: &Args) -> bool {
    match args.color {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            args.output.is_none() && io::stdout().is_terminal() && is_wanted
        }
    }
}

fn format(args: &Args) -> Result<Format, Failure> {
    let inferred = args.output.as_deref().and_then(Format::of_file);
    if let (None, None, Some(path)) =
        (args.format, inferred, args.output.as_deref().filter(|path| path.extension().is_some()))
    {
        let names = Format::NAMES.join(", ");
        return Err(Failure::usage(format!(
            "the file extension of {} is not a known format: add --format, one of {names}",
            path.display()
        )));
    }
    let format = args.format.or(inferred).unwrap_or(Format::Text);
    if args.output.is_none() && format.is_binary() && io::stdout().is_terminal() {
        return Err(Failure::usage("this format is binary and cannot go to a terminal: add --output FILE"));
    }
    Ok(format)
}
