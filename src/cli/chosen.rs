//! The analysis that `explain` and `fix` are about, and the cause or finding in it.

use std::path::Path;

use super::analyze::Read;
use super::source::{self, Verbosity};
use super::{Failure, Status, listen, policy, progress, saved, scope, window};
use crate::answer::Manner;
use crate::findings::{Analysis, Finding, Gate};
use crate::report::Clock;
use crate::report::sink::visible;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of a cause or id of a finding [default: cause 1], and what it is in: a saved analysis (- for standard
    /// input), or a SOURCE as for analyze [default: the last analysis that flowgap analyze kept]
    #[arg(value_name = "N|F-...|ANALYSIS.json|SOURCE")]
    words: Vec<String>,

    #[command(flatten)]
    scope: scope::Args,

    #[command(flatten)]
    policy: policy::Args,

    #[command(flatten)]
    window: window::Args,

    /// Print only errors on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    source: source::Options,
}

/// An analysis, and what to show of it.
pub struct Chosen {
    pub analysis: Analysis,
    /// Time at which the analysis was kept, if it is the kept one.
    pub kept: Option<Timestamp>,
    /// Cause or finding, if one is named.
    pub which: Option<Which>,
    pub clock: Clock,
}

/// Cause or finding of an analysis.
pub enum Which {
    /// Causes with this number.
    Cause(u64),
    /// Finding with this id.
    Finding(String),
}

impl Which {
    fn parse(word: &str) -> Option<Self> {
        match word.parse() {
            Ok(number) => Some(Self::Cause(number)),
            Err(_) => word.starts_with("F-").then(|| Self::Finding(word.to_owned())),
        }
    }
}

impl Args {
    /// Reads or makes the analysis.
    pub async fn open(&self) -> Result<Chosen, Failure> {
        let is_which = |word: &&String| Which::parse(word).is_some() && !Path::new(word).exists();
        let (which, sources): (Vec<&String>, Vec<&String>) = self.words.iter().partition(is_which);
        if let [first, second, ..] = which.as_slice() {
            return Err(Failure::usage(format!("'{first}' and '{second}' are given: name one cause or finding")));
        }
        let which = which.first().and_then(|word| Which::parse(word));
        let is_saved = |word: &&&String| **word == "-" || saved::is_analysis(Path::new(word));
        let (analysis, kept) = match (sources.iter().find(is_saved), sources.as_slice()) {
            (_, []) => {
                let (analysis, time) = saved::last()?;
                (analysis, Some(time))
            }
            (Some(path), [_]) => (saved::read(Path::new(path))?, None),
            (Some(path), words) => {
                let other = words.iter().find(|word| *word != path).map(|word| word.as_str()).unwrap_or_default();
                return Err(Failure::usage(format!(
                    "'{other}' is neither the number of a cause nor the id of a finding: write a number such as 1, or F-..."
                )));
            }
            (None, _) => (self.analyze(&sources).await?, None),
        };
        Ok(Chosen { analysis, kept, which, clock: self.window.clock() })
    }

    async fn analyze(&self, sources: &[&String]) -> Result<Analysis, Failure> {
        let sources: Vec<String> = sources.iter().map(|source| (*source).clone()).collect();
        let (window, scope) = (self.window.resolve()?, self.scope.open()?);
        let interrupt = listen(Manner::Reports)?;
        let read = Read {
            gate: Gate::default(),
            window,
            scope,
            tags: &self.scope,
            configuration: self.policy.open(self.source.access(), window, &interrupt).await?,
            verbosity: Verbosity::of(self.quiet, false),
            progress: &self.progress,
            workers: None,
            options: &self.source,
            sources: &sources,
        };
        let (_, analysis) = read.analyze(&interrupt).await?;
        if analysis.input.blobs > 0 && analysis.input.records == 0 {
            let names: Vec<_> = sources.iter().map(|source| visible(source)).collect();
            let message = format!("{} is neither a saved analysis nor a flow log", names.join(", "));
            return Err(Failure { status: Status::Source, message });
        }
        Ok(analysis)
    }
}

impl Chosen {
    /// Returns the numbers of the causes.
    fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.analysis.causes.iter().map(|cause| cause.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Returns the number of the chosen cause; the first one by default, `None` without any cause.
    pub fn cause(&self) -> Result<Option<u64>, Failure> {
        let numbers = self.numbers();
        let number = match self.which {
            Some(Which::Cause(number)) => number,
            _ => return Ok(numbers.first().copied()),
        };
        if numbers.contains(&number) {
            return Ok(Some(number));
        }
        Err(Failure::usage(match numbers.as_slice() {
            [] => format!("the analysis has no cause {number}: it has none"),
            [only] => format!("the analysis has no cause {number}: it has only cause {only}"),
            [first, .., last] => format!("the analysis has no cause {number}: it has causes {first} to {last}"),
        }))
    }

    /// Returns the finding that was named by its id; `None` if none was.
    pub fn finding(&self) -> Result<Option<&Finding>, Failure> {
        let Some(Which::Finding(id)) = &self.which else { return Ok(None) };
        let findings = &self.analysis.findings;
        let found = findings.iter().find(|finding| finding.identity.id == *id);
        found.map(Some).ok_or_else(|| {
            Failure::usage(format!(
                "the analysis has no finding '{id}': its {} findings have other ids",
                findings.len()
            ))
        })
    }

    /// Returns the exit status of a verb that only shows an analysis.
    pub fn status(&self) -> Status {
        match Status::from_exit(self.analysis.status.exit) {
            Status::Interrupted => Status::Interrupted,
            _ => Status::Clean,
        }
    }
}
