//! The command line: one file per verb, each with its arguments and what it runs.

mod analyze;

use clap::{Parser, Subcommand};

/// Exit statuses, as the contract has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Clean = 0,
    Findings = 1,
    Usage = 2,
    CouldNotTell = 3,
    Source = 4,
    Internal = 5,
}

/// Tells from Azure flow logs which network dependency is blocked, by which rule, since when, and what fixes it.
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
}

impl Cli {
    /// Runs the verb; what went wrong is on stderr already.
    pub async fn run(self) -> Status {
        let result = match self.verb {
            Verb::Analyze(args) => analyze::run(*args).await,
        };
        result.unwrap_or_else(|failure| {
            eprintln!("flowgap: {}", failure.message);
            failure.status
        })
    }
}

/// Why a verb ended without a result.
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
