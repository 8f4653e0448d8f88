//! `flowgap diff`: what changed between two saved analyses. Also what `--baseline` and `--suppressions` do.

use std::path::{Path, PathBuf};

use super::{Failure, Status, listen, output, saved, window};
use crate::answer::Manner;
use crate::findings::Analysis;
use crate::findings::history::{Changes, Comparison, Epoch, History, PeersAllowed};
use crate::findings::suppress::{Applied, Suppressions};
use crate::job::state::State;
use crate::report::Document;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Earlier analysis that analyze --format json wrote, or state of flowgap run
    #[arg(value_name = "OLD.json")]
    old: PathBuf,

    /// Later analysis; - for standard input
    #[arg(value_name = "NEW.json")]
    new: PathBuf,

    #[command(flatten)]
    suppressions: SuppressionArgs,

    #[command(flatten)]
    output: output::Args,

    #[command(flatten)]
    zone: window::ZoneArgs,
}

/// Accepted findings, as typed.
#[derive(Debug, clap::Args)]
pub struct SuppressionArgs {
    /// Findings that are accepted, by whom and until when (TOML)
    #[arg(long, value_name = "FILE")]
    suppressions: Option<PathBuf>,

    /// Exit with 2 if an entry of --suppressions matches no finding
    #[arg(long, requires = "suppressions")]
    strict_suppressions: bool,
}

/// Accepted findings, as read.
pub struct Accepted {
    suppressions: Option<Suppressions>,
    is_strict: bool,
}

pub fn run(args: &Args) -> Result<Status, Failure> {
    let outputs = args.output.resolve(args.zone.clock())?;
    let interrupt = listen(Manner::Answers)?;
    let old = history(&args.old)?;
    let suppressions = args.suppressions.open()?;
    let mut new = saved::read(&args.new)?;
    let now = end(&new);
    suppressions.apply(&mut new, now)?;
    let changes = changes(&old, &mut new, now);
    outputs.write(Document { analysis: &new, changes: Some(&changes) }, interrupt.leftovers())?;
    Ok(Status::from_exit(changes.exit(&new)))
}

/// Reads what to compare with: a saved analysis, or the state of a job.
pub fn history(path: &Path) -> Result<History, Failure> {
    let state = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok());
    match state {
        Some(state) => Ok(state.history),
        None => saved::read(path).map(|analysis| History::of(&analysis, end(&analysis))),
    }
}

/// Refuses a baseline that was made before `oldest`.
pub fn refuse_older(baseline: &History, oldest: Timestamp) -> Result<(), Failure> {
    if baseline.last_run >= oldest {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--baseline is of {}, older than --baseline-max-age allows: save a newer analysis with --output FILE.json",
        baseline.last_run.minute()
    )))
}

/// Compares an analysis with an earlier one.
pub fn changes(old: &History, new: &mut Analysis, now: Timestamp) -> Changes {
    let (epoch, fail_on) = (Epoch::of(new), new.status.fail_on);
    let comparison = Comparison { now, epoch, peers_allowed: PeersAllowed::new(), fail_on };
    old.compare(new, &comparison).0
}

/// Returns the time up to which an analysis looks.
fn end(analysis: &Analysis) -> Timestamp {
    let times = [analysis.scope.to, analysis.input.last_flow, analysis.archive.last_hour];
    times.into_iter().flatten().next().unwrap_or(Timestamp(0))
}

impl SuppressionArgs {
    /// Reads the file.
    pub fn open(&self) -> Result<Accepted, Failure> {
        let read = |path: &PathBuf| {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| format!("--suppressions {shown}: {error}"))?;
            Suppressions::parse(&shown, &text).map_err(|error| format!("--suppressions {error}"))
        };
        let suppressions = self.suppressions.as_ref().map(read).transpose().map_err(Failure::usage)?;
        Ok(Accepted { suppressions, is_strict: self.strict_suppressions })
    }
}

impl Accepted {
    /// Marks the findings that are accepted at `now`.
    pub fn apply(&self, analysis: &mut Analysis, now: Timestamp) -> Result<(), Failure> {
        let Some(suppressions) = &self.suppressions else { return Ok(()) };
        match suppressions.apply(analysis, now) {
            Applied { unused: unused @ 1.., .. } if self.is_strict => Err(Failure::usage(format!(
                "--suppressions: {unused} entries match no finding: remove them, or leave out --strict-suppressions"
            ))),
            _ => Ok(()),
        }
    }
}
