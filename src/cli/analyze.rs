//! `flowgap analyze`: findings from flow logs.

use tracing::info;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, fault, interruptible, listen, named, output, saved, scope, window};
use crate::answer::{self, Interrupt};
use crate::decode::TimeRange;
use crate::engine::{Scope, Session};
use crate::findings::{self, Analysis, Gate, Severity};
use crate::report::fix;
use crate::report::sink::say;

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

    /// Do not keep the analysis for flowgap explain and flowgap fix
    #[arg(long)]
    no_keep: bool,

    /// Exit with 3 if any tuple or record is malformed
    #[arg(long)]
    strict: bool,

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
    let outputs = args.output.resolve()?;
    let read = Read {
        gate: gate(&args),
        window: args.window.resolve()?,
        scope: args.scope.open()?,
        verbosity: Verbosity::of(args.quiet, args.verbose),
        progress: &args.progress,
        options: &args.source.options,
        sources: &args.source.sources,
    };
    let interrupt = listen(answer::Manner::Reports)?;
    let (session, analysis) = read.analyze(&interrupt).await?;
    info!(format = outputs.formats(), findings = analysis.findings.len(), status = analysis.status.exit, "reporting");
    outputs.write(&analysis, interrupt.leftovers())?;
    if !args.no_keep
        && let Err(error) = saved::keep(&analysis, interrupt.leftovers())
        && !args.quiet
    {
        say(format_args!(
            "flowgap: the analysis is not kept for explain and fix: {error}; --no-keep avoids this message"
        ));
    }
    if args.verbose {
        say_read(&session);
    }
    Ok(Status::from_exit(analysis.status.exit))
}

/// Everything that an analysis of sources needs.
pub struct Read<'a> {
    pub gate: Gate,
    pub window: TimeRange,
    pub scope: Scope,
    pub verbosity: Verbosity,
    pub progress: &'a progress::Args,
    pub options: &'a source::Options,
    pub sources: &'a [String],
}

impl Read<'_> {
    /// Analyzes the sources. After a signal, the analysis covers what was read so far.
    pub async fn analyze(self, interrupt: &Interrupt) -> Result<(Session, Analysis), Failure> {
        let Self { gate, verbosity, .. } = self;
        let mut session = self.options.open(self.sources, self.scope, self.window, verbosity, interrupt).await?;
        let stop = session.stop();
        let progress = Progress::start(self.progress, verbosity == Verbosity::Quiet, &session);
        let scan = fault::reported(&stop, findings::analyze(&mut session, &gate));
        let mut analysis = match interruptible(interrupt, &stop, scan).await? {
            Some(analysis) => analysis,
            None => findings::analyze(&mut session, &gate).await.map_err(failure)?,
        };
        drop(progress);
        fix::fill(&mut analysis);
        Ok((session, analysis))
    }
}

fn gate(args: &Args) -> Gate {
    let fail_on = (!args.exit_zero).then_some(args.fail_on);
    Gate { fail_on, min_coverage: args.min_coverage, is_strict: args.strict }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share from 0 to 1, such as 0.5".to_owned())
}
