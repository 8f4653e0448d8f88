//! `flowgap analyze`: findings from flow logs.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::info;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{
    Failure, Status, cluster, diff, fault, interruptible, listen, named, narrow, output, policy, saved, scope, window,
};
use crate::answer::{self, Interrupt};
use crate::decode::TimeRange;
use crate::engine::{Scope, Session, Workers};
use crate::findings::configured::Configuration;
use crate::findings::{self, Analysis, Gate, Severity};
use crate::names::names;
use crate::report::sink::say;
use crate::report::{Document, fix};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    scope: scope::Args,

    #[command(flatten)]
    policy: policy::Args,

    #[command(flatten)]
    window: window::Args,

    #[command(flatten)]
    output: output::Args,

    /// Exit with 1 when a finding is at least this severe; never: do not
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = named::<FailOn>(FailOn::NAMES))]
    fail_on: FailOn,

    /// Never exit with 1, the same as --fail-on never
    #[arg(long)]
    exit_zero: bool,

    #[command(flatten)]
    narrow: narrow::Args,

    /// Share of required dependencies that need evidence for exit status 0, from 0 to 1
    #[arg(long, value_name = "N", default_value = "0.5", value_parser = share)]
    min_coverage: f64,

    /// Report what is new since this analysis or state of flowgap run; only that makes the exit status 1
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Exit with 2 if --baseline is older than this
    #[arg(long, value_name = "DURATION", value_parser = window::duration, requires = "baseline")]
    baseline_max_age: Option<i64>,

    #[command(flatten)]
    suppressions: diff::SuppressionArgs,

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
    cluster: cluster::Args,

    #[command(flatten)]
    source: source::Args,
}

/// Least severity of a finding that fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailOn {
    Info,
    Low,
    Medium,
    High,
    Critical,
    Never,
}

names!(FailOn {
    Info = "info",
    Low = "low",
    Medium = "medium",
    High = "high",
    Critical = "critical",
    Never = "never",
});

pub async fn run(args: Args) -> Result<Status, Failure> {
    let outputs = args.output.resolve(args.window.clock())?;
    let (window, scope) = (args.window.resolve()?, args.scope.open()?);
    let interrupt = listen(answer::Manner::Reports)?;
    let read = Read {
        gate: gate(&args),
        window,
        scope,
        tags: &args.scope,
        configuration: args.policy.open(args.source.options.access(), window, &interrupt).await?,
        verbosity: Verbosity::of(args.quiet, args.verbose),
        progress: &args.progress,
        workers: args.cluster.workers(args.quiet)?,
        options: &args.source.options,
        sources: &args.source.sources,
    };
    if args.source.dry_run {
        let session = args.source.open(read.scope, read.window, read.verbosity, &interrupt).await?;
        return args.source.planned(&session).unwrap_or(Ok(Status::Clean));
    }
    // Read before the long work, so that a wrong file is refused at once.
    let old = args.baseline.as_deref().map(diff::history).transpose()?;
    if let (Some(old), Some(most)) = (&old, args.baseline_max_age) {
        diff::refuse_older(old, Timestamp(args.window.now().saturating_sub(most)))?;
    }
    let suppressions = args.suppressions.open()?;
    let (session, mut analysis) = read.analyze(&interrupt).await?;
    let now = Timestamp(args.window.now());
    suppressions.apply(&mut analysis, now)?;
    let changes = old.map(|old| diff::changes(&old, &mut analysis, now));
    info!(format = outputs.formats(), findings = analysis.findings.len(), status = analysis.status.exit, "reporting");
    let whole = (!args.no_keep).then(|| analysis.clone());
    args.narrow.apply(&mut analysis, args.quiet)?;
    outputs.write(Document { analysis: &analysis, changes: changes.as_ref() }, interrupt.leftovers())?;
    if let Some(analysis) = &whole
        && let Err(error) = saved::keep(analysis, interrupt.leftovers())
        && !args.quiet
    {
        say(format_args!(
            "flowgap: the analysis is not kept for explain and fix: {error}; --no-keep avoids this message"
        ));
    }
    if args.verbose {
        say_read(&session);
    }
    Ok(Status::from_exit(changes.map_or(analysis.status.exit, |changes| changes.exit(&analysis))))
}

/// Everything that an analysis of sources needs.
pub struct Read<'a> {
    pub gate: Gate,
    pub window: TimeRange,
    pub scope: Scope,
    /// Options of the scope, for tags from the cache once the cloud of the logs is known.
    pub tags: &'a scope::Args,
    /// What is known beside the flows.
    pub configuration: Configuration,
    pub verbosity: Verbosity,
    pub progress: &'a progress::Args,
    /// Other processes that read the flows; `None` to read them here.
    pub workers: Option<Arc<dyn Workers>>,
    pub options: &'a source::Options,
    pub sources: &'a [String],
}

impl Read<'_> {
    /// Analyzes the sources. After a signal, the analysis covers what was read so far.
    pub async fn analyze(self, interrupt: &Interrupt) -> Result<(Session, Analysis), Failure> {
        let Self { gate, verbosity, configuration, .. } = self;
        let mut session =
            self.options.open(self.sources, self.workers, self.scope, self.window, verbosity, interrupt).await?;
        self.tags.use_cached_tags(&mut session, verbosity)?;
        let stop = session.stop();
        let progress = Progress::start(self.progress, verbosity == Verbosity::Quiet, &session);
        let scan = fault::reported(&stop, findings::analyze(&mut session, &gate));
        let mut analysis = match interruptible(interrupt, &stop, scan).await? {
            Some(analysis) => analysis,
            None => findings::analyze(&mut session, &gate).await.map_err(failure)?,
        };
        drop(progress);
        configuration.apply(&mut analysis, &session).await.map_err(failure)?;
        fix::fill(&mut analysis);
        Ok((session, analysis))
    }
}

fn gate(args: &Args) -> Gate {
    let least = Severity::from_name(args.fail_on.name());
    let fail_on = least.filter(|_| !args.exit_zero);
    Gate { fail_on, min_coverage: args.min_coverage, is_strict: args.strict }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share from 0 to 1, such as 0.5".to_owned())
}
