//! `flowgap run` and `flowgap config`: the scheduled job, once, and its configuration.

use std::path::PathBuf;

use chrono::Utc;
use tokio::select;

use super::{Failure, Status, listen, window};
use crate::answer::{Interrupt, Manner, print};
use crate::job::config::{self, Config, EXAMPLE, SCHEMA};
use crate::job::deliver::{Receipt, Sent};
use crate::job::{Ended, RunError, RunOptions, run as run_job, test_delivery};
use crate::report::sink::{one_line, say, visible};
use crate::source::Environment;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration; flowgap config example prints one
    #[arg(long, value_name = "FILE", env = "FLOWGAP_CONFIG")]
    config: PathBuf,

    /// Run only this instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,

    /// Analyze and compare, but deliver nothing and save no state
    #[arg(long)]
    dry_run: bool,

    /// Send a test message to every receiver, and do nothing else
    #[arg(long, conflicts_with_all = ["dry_run", "print_config", "instance"])]
    test_delivery: bool,

    /// Print the configuration as it is understood, with *** for secrets, and do nothing else
    #[arg(long, conflicts_with = "dry_run")]
    print_config: bool,

    /// Print only errors on stderr
    #[arg(short, long)]
    quiet: bool,

    /// Time of the run, instead of the current time
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,

    #[command(flatten)]
    zone: window::ZoneArgs,
}

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigVerb {
    /// Check a configuration without reading any logs
    Check {
        /// Configuration
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print an example with a comment on each key
    Example,
    /// Print the JSON Schema of configurations
    Schema,
}

pub async fn run(args: &Args) -> Result<Status, Failure> {
    let config = load(&args.config)?;
    if args.print_config {
        let text = toml::to_string(&config).map_err(|error| Failure::usage(error.to_string()))?;
        print(|out| out.write_all(text.as_bytes()))?;
        return Ok(Status::Clean);
    }
    let interrupt = listen(Manner::Reports)?;
    let environment = Environment::of_process();
    let now = args.now.unwrap_or_else(|| Timestamp(Utc::now().timestamp_millis()));
    if args.test_delivery {
        return test(&config, now, &environment, &interrupt, args.quiet).await;
    }
    let options = RunOptions { instance: args.instance.clone(), is_dry: args.dry_run, now, clock: args.zone.clock() };
    let tell = |ended: &Ended| {
        if !args.quiet || ended.exit >= Status::Usage as u8 {
            say(format_args!("flowgap: {}: {}", ended.instance, one_line(&ended.sentence)));
        }
    };
    let exit = run_job(&config, &options, &environment, &interrupt, &tell).await.map_err(failure)?;
    Ok(match exit {
        exit if exit == Status::Usage as u8 => Status::Usage,
        exit if exit == Status::Source as u8 => Status::Source,
        exit => Status::from_exit(exit),
    })
}

/// Sends a test message to every receiver, and prints a line about each.
async fn test(
    config: &Config,
    now: Timestamp,
    environment: &Environment,
    interrupt: &Interrupt,
    is_quiet: bool,
) -> Result<Status, Failure> {
    let sent = select! {
        sent = test_delivery(config, now, environment, interrupt) => sent.map_err(failure)?,
        () = interrupt.any() => return Ok(Status::Interrupted),
    };
    if sent.is_empty() && !is_quiet {
        say(format_args!("flowgap: there is no receiver: add a table [[deliver]]"));
    }
    for Sent { receiver, result, .. } in &sent {
        match result {
            Ok(Receipt { words, .. }) if !is_quiet => {
                say(format_args!("flowgap: receiver {}: {}", one_line(receiver), one_line(words)));
            }
            Ok(_) => {}
            Err(error) => {
                say(format_args!("flowgap: receiver {}: {}", one_line(receiver), one_line(&error.to_string())))
            }
        }
    }
    Ok(if sent.iter().any(|sent| sent.result.is_err()) { Status::Source } else { Status::Clean })
}

fn failure(error: RunError) -> Failure {
    let status = match error {
        RunError::NoInstance(..) => Status::Usage,
        RunError::Store(_) | RunError::Client(_) => Status::Source,
    };
    Failure { status, message: error.to_string() }
}

pub fn config(args: &ConfigArgs) -> Result<Status, Failure> {
    match &args.verb {
        ConfigVerb::Check { file } => {
            let config = load(file)?;
            let (instances, receivers) = (config.instance.len(), config.deliver.len());
            say(format_args!("{}: {instances} instances, {receivers} receivers", visible(&file.to_string_lossy())));
        }
        ConfigVerb::Example => print(|out| out.write_all(EXAMPLE.as_bytes()))?,
        ConfigVerb::Schema => print(|out| out.write_all(SCHEMA.as_bytes()))?,
    }
    Ok(Status::Clean)
}

/// Reads a configuration.
pub fn load(path: &std::path::Path) -> Result<Config, Failure> {
    config::load(path, &|name| std::env::var(name).ok()).map_err(Failure::usage)
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "write a time like 2026-05-04T06:00:00Z".to_owned())
}
