//! The command line: one file per verb, with its arguments and its run function.

mod analyze;
mod check;
mod chosen;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(not(feature = "cluster"))]
#[path = "no_cluster.rs"]
mod cluster;
mod complete;
mod diff;
mod doctor;
mod explain;
mod explore;
mod fault;
mod fix;
mod generate;
mod help;
mod ingest;
mod inspect;
mod lake;
mod log;
mod memory;
mod names;
mod narrow;
mod output;
mod pages;
mod policy;
mod progress;
mod query;
mod report;
mod requirements;
mod run;
mod saved;
mod schema;
mod scope;
#[cfg(feature = "serve")]
mod serve;
#[cfg(not(feature = "serve"))]
#[path = "no_serve.rs"]
mod serve;
mod source;
mod sql;
mod tags;
mod was;
mod window;

use std::ffi::OsString;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{FromArgMatches, Parser, Subcommand};
use tokio::select;

use crate::answer::{Interrupt, Manner, Unwritten};
use crate::engine::Stop;
use crate::names::UnknownName;
use crate::report::sink::{one_line, say, visible};

pub use fault::{checked, say_panics};
pub use help::leave;

/// Exit statuses, documented in `README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The verb succeeded, and every result is complete.
    Clean = 0,
    /// A finding is severe enough to fail the run.
    Findings = 1,
    /// An argument, a file that it names, or the output is wrong.
    Usage = 2,
    /// The input is too little or incomplete to prove the result.
    CouldNotTell = 3,
    /// A source cannot be opened or has no blob.
    Source = 4,
    /// The program, the engine or the terminal failed.
    Internal = 5,
    /// A signal ended the run.
    Interrupted = 130,
}

/// Finds blocked network dependencies in Azure flow logs: which one, by which rule, since when, and what fixes it.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find blocked dependencies of an API Management instance in flow logs
    Analyze(Box<analyze::Args>),
    /// Check exported rules and routes against the port table, without any flow
    Check(Box<check::Args>),
    /// Explain one cause or finding at length, with commands and SQL to check it
    Explain(Box<explain::Args>),
    /// Print the change that opens a blocked dependency: az, Bicep, Terraform, PowerShell or portal
    Fix(Box<fix::Args>),
    /// Run SQL on flow logs: with -c, -f, from a pipe, or in an interactive shell
    Sql(Box<sql::Args>),
    /// Run a ready-made query by name; --list shows them
    Query(Box<query::Args>),
    /// Serve the tables of sql over the PostgreSQL protocol
    Serve(Box<serve::Args>),
    /// Hand the work of --cluster to executors
    Scheduler(cluster::SchedulerArgs),
    /// Read flow logs for --cluster on this machine
    Executor(Box<cluster::ExecutorArgs>),
    /// Answer whether flows like "10.20.1.4 -> 10.30.0.5:1433" were tried, let through or refused, when, and by which rule
    Was(Box<was::Args>),
    /// Check access, clock, service tags, and whether the logs are complete and fresh
    Doctor(Box<doctor::Args>),
    /// Show what flow logs contain without analysing them: versions, interfaces, rules, gaps, problems
    Inspect(inspect::Args),
    /// Copy what is new in flow logs into a lake, a Delta table that every verb and other tools read
    Ingest(Box<ingest::Args>),
    /// Look after a lake: status, compact, vacuum, verify, delete
    Lake(lake::Args),
    /// Print a saved analysis in any format, as analyze would have
    Report(report::Args),
    /// Fetch Microsoft's service tags, or show the tags of an address
    Tags(tags::Args),
    /// Compare two saved analyses: what is new, worse, back, over or out of sight
    Diff(diff::Args),
    /// Run the scheduled job once: analyze every instance, compare with the last run, deliver what changed
    Run(run::Args),
    /// Check a configuration of flowgap run, or print an example or its schema
    Config(run::ConfigArgs),
    /// Print the JSON Schema of an analysis or a configuration
    Schema(schema::Args),
    /// Print the port table: what API Management needs, in any edition
    Requirements(requirements::Args),
    /// Write a realistic archive with planted faults
    Generate(generate::Args),
    /// Print a completion script for a shell
    Completions(complete::CompletionArgs),
    /// Print a manual page: flowgap man | man -l -
    Man(complete::ManArgs),
}

impl Cli {
    /// Runs the verb. Errors are already printed on stderr.
    pub async fn run(self) -> Status {
        let result = async {
            log::start()?;
            match self.verb {
                Verb::Analyze(args) => analyze::run(*args).await,
                Verb::Check(args) => check::run(&args).await,
                Verb::Explain(args) => explain::run(&args).await,
                Verb::Fix(args) => fix::run(&args).await,
                Verb::Sql(args) => sql::run(*args).await,
                Verb::Query(args) => query::run(*args).await,
                Verb::Serve(args) => serve::run(*args).await,
                Verb::Scheduler(args) => cluster::scheduler(args).await,
                Verb::Executor(args) => cluster::executor(*args).await,
                Verb::Was(args) => was::run(&args).await,
                Verb::Doctor(args) => doctor::run(&args).await,
                Verb::Inspect(args) => inspect::run(args).await,
                Verb::Ingest(args) => ingest::run(*args).await,
                Verb::Lake(args) => lake::run(args).await,
                Verb::Report(args) => report::run(&args),
                Verb::Tags(args) => tags::run(args).await,
                Verb::Diff(args) => diff::run(&args),
                Verb::Run(args) => run::run(&args).await,
                Verb::Config(args) => run::config(&args),
                Verb::Schema(args) => schema::run(&args),
                Verb::Requirements(args) => requirements::run(&args),
                Verb::Generate(args) => generate::run(&args),
                Verb::Completions(args) => complete::completions(&args),
                Verb::Man(args) => complete::man(&args),
            }
        };
        result.await.unwrap_or_else(|failure| {
            say(format_args!("flowgap: {}", one_line(&failure.message)));
            failure.status
        })
    }

    /// Parses the command line. An error holds help or a message, in which control characters of echoed arguments are
    /// replaced.
    pub fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.collect();
        let matched = help::command(&arguments).try_get_matches_from(&arguments);
        matched.and_then(|matches| Self::from_arg_matches(&matches)).map_err(|mut error| {
            let harmless = |value: &ContextValue| match value {
                ContextValue::String(text) => Some(ContextValue::String(visible(text).into_owned())),
                ContextValue::Strings(texts) => {
                    Some(ContextValue::Strings(texts.iter().map(|text| visible(text).into_owned()).collect()))
                }
                _ => None,
            };
            let echoed: Vec<(ContextKind, ContextValue)> =
                error.context().filter_map(|(kind, value)| Some((kind, harmless(value)?))).collect();
            let mut is_changed = false;
            for (kind, value) in echoed {
                let text = value.to_string();
                is_changed |= error.insert(kind, value).is_some_and(|before| before.to_string() != text);
            }
            // Suggestions would repeat the original text.
            if is_changed {
                error.insert(ContextKind::Suggested, ContextValue::None);
            }
            error
        })
    }
}

impl Status {
    /// Converts the exit status of an analysis.
    fn from_exit(exit: u8) -> Self {
        let all = [Self::Clean, Self::Findings, Self::CouldNotTell, Self::Interrupted];
        all.into_iter().find(|status| *status as u8 == exit).unwrap_or(Self::Internal)
    }
}

/// Reason why a verb ended without a result.
#[derive(Debug)]
struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    fn usage(message: impl std::fmt::Display) -> Self {
        Self { status: Status::Usage, message: message.to_string() }
    }
}

impl From<Unwritten> for Failure {
    fn from(error: Unwritten) -> Self {
        Self::usage(error)
    }
}

/// Runs `scan` to its end. After a signal, reading stops and the scan ends with what it has.
async fn interruptible<T>(interrupt: &Interrupt, stop: &Stop, scan: impl Future<Output = T>) -> T {
    tokio::pin!(scan);
    select! {
        biased;
        () = interrupt.any() => {
            stop.ask();
            scan.await
        }
        done = &mut scan => done,
    }
}

/// Parses an option into the variant that it names. `names` are the ones to list in help.
fn named<T>(names: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = UnknownName> + Clone + Send + Sync + 'static,
{
    names.into().try_map(|name| name.parse::<T>().or_else(|_| name.to_lowercase().parse::<T>()))
}

fn listen(manner: Manner) -> Result<Interrupt, Failure> {
    Interrupt::listen(manner).map_err(|error| Failure {
        status: Status::Internal,
        message: format!("cannot install the signal handler: {error}"),
    })
}
