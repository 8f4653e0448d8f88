//! `flowgap analyze`: findings from flow logs.

use tracing::info;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, fault, interruptible, listen, named, output, scope, window};
use crate::answer;
use crate::findings::{self, Gate, Severity};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    scope: scope::Args,

    #[command(flatten)]
    window: window::Args,

    #[command(flatten)]
    output: output::Args,

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

    /// Print only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Show how each score is computed, and report on stderr what was read
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    source: source::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let outputs = args.output.resolve(args.verbose)?;
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
    info!(format = outputs.formats(), findings = analysis.findings.len(), status = analysis.status.exit, "reporting");
    outputs.write(&analysis, interrupt.leftovers())?;
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
