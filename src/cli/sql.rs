//! `flowgap sql`: user queries from the command line, a file, a pipe, or the shell.

use std::io::{self, Read};
use std::path::PathBuf;

use super::explore::{self, is_terminal};
use super::{Failure, Status};
use crate::answer::Manner;
use crate::engine::ParamValues;
use crate::report::rows::Overflow;
use crate::shell::{self, Fault};

#[derive(Debug, clap::Args)]
#[command(mut_arg("sources", |sources| sources.required(false)))]
pub struct Args {
    /// Query to run; repeatable
    #[arg(short, long, value_name = "QUERY", conflicts_with = "file")]
    command: Vec<String>,

    /// File with queries to run, separated by ; or - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Folder with your own queries (*.sql) for .run in the shell
    #[arg(long, value_name = "DIR")]
    queries: Option<PathBuf>,

    #[command(flatten)]
    explore: explore::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let Some(texts) = texts(&args)? else {
        if args.explore.writes_file() {
            return Err(Failure::usage("--output needs a query: give it with -c or -f"));
        }
        let queries = super::query::known(args.queries.as_deref())?;
        let explore = args.explore.open(Manner::Shell).await?;
        if let Some(planned) = explore.planned() {
            return planned;
        }
        let start = args.explore.start(queries, explore.format, true);
        let ended = shell::run(&explore.explorer, start, &explore.interrupt, &|| explore.progress()).await;
        return match ended {
            _ if explore.interrupt.is_ended() || !is_terminal() => Ok(Status::Interrupted),
            Err(error) => Err(Failure { status: Status::Internal, message: format!("the terminal failed: {error}") }),
            Ok(()) => Ok(explore.status()),
        };
    };
    if !args.explore.has_sources() && texts.iter().all(|text| text.trim().is_empty()) {
        return Err(Failure::usage("name a SOURCE, or give a query with -c that needs none"));
    }
    let explore = args.explore.open(Manner::Answers).await?;
    explore.warn_no_tags(&texts);
    if let Some(planned) = explore.planned() {
        return planned;
    }
    if !texts.iter().any(|text| shell::has_commands(text)) {
        return explore.answer(&texts, &ParamValues::new(), Overflow::Lines).await;
    }
    if args.explore.writes_file() {
        return Err(Failure::usage("--output takes the result of one query: with commands, write .once FILE"));
    }
    let start = args.explore.start(super::query::known(args.queries.as_deref())?, explore.format, false);
    match shell::script(&explore.explorer, start, &texts, &explore.interrupt, &|| explore.progress()).await {
        Ok(None) => Ok(explore.status()),
        Ok(Some(Fault::Wrong)) => Ok(Status::Usage),
        Ok(Some(Fault::Internal)) => Ok(Status::Internal),
        Ok(Some(Fault::Interrupted)) => Err(explore::interrupted()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Status::Clean),
        Err(error) => Err(Failure::usage(error)),
    }
}

/// Returns the texts of the queries, or `None` to open the shell.
fn texts(args: &Args) -> Result<Option<Vec<String>>, Failure> {
    if !args.command.is_empty() {
        return Ok(Some(args.command.clone()));
    }
    match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Failure::usage(format!("--file {}: {error}", path.display())))?;
            Ok(Some(vec![text]))
        }
        None if is_terminal() && !args.explore.reads_stdin() => Ok(None),
        _ if args.explore.reads_stdin() => {
            Err(Failure::usage("standard input is the flow log: give the query with -c or -f"))
        }
        _ => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::usage(format!("cannot read the queries from standard input: {error}")))?;
            Ok(Some(vec![text]))
        }
    }
}
