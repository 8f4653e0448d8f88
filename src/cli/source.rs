//! SOURCE arguments and how they are reached, as typed, to an open session.

use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::select;

use super::{Failure, Status, analyze::failure, named};
use crate::decode::TimeRange;
use crate::engine::{Listed, Scope, Session, SessionOptions, Storage};
use crate::report::sink::{say, visible};
use crate::shell::Signals;
use crate::source::{Access, Auth, Environment, Patience, Source, SourceError};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of sources")]
pub struct Args {
    /// Folders, files or patterns of them, - for a pipe, https://ACCOUNT.blob.core.windows.net[/CONTAINER[/PREFIX]],
    /// az://CONTAINER[/PREFIX] or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net[/PREFIX]
    #[arg(required = true, value_name = "SOURCE", help_heading = "Arguments")]
    sources: Vec<String>,

    /// Only blobs whose names start with this, below the source
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,

    /// Only flows of this network interface, such as 00-0D-3A-12-BA-87, by the path of a blob or else by its records;
    /// repeatable
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Vec<String>,

    /// Who to be to a storage account [auto: a SAS, a key, a service principal, a workload identity, a managed identity
    /// or the Azure CLI, whichever there is first]
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::NAMES))]
    auth: Auth,

    /// Requests to a container under way at a time
    #[arg(long, value_name = "N", default_value_t = Access::CONCURRENCY as u16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// Seconds that a request may stand still before it is made again
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout: u16,

    /// How often a request is made again after trouble that may pass
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=20))]
    retries: u8,
}

/// What is said on stderr besides errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Quiet,
    Usual,
    Verbose,
}

impl Args {
    /// Whether a flow log comes through the pipe.
    pub fn reads_stdin(&self) -> bool {
        self.sources.iter().any(|source| source == "-")
    }

    /// Lists the sources. Says what an account was found to have, and, asked to, which credential served.
    pub async fn open(
        &self,
        scope: Scope,
        window: TimeRange,
        manner: Manner,
        signals: &Signals,
    ) -> Result<Session, Failure> {
        let environment = Environment::of_process();
        let sources = sources(&self.sources, &environment, signals).await?;
        let access = Access {
            auth: self.auth,
            environment,
            patience: Patience { stall: Duration::from_secs(self.timeout.into()), retries: self.retries.into() },
            concurrency: self.concurrency.into(),
        };
        let (prefix, macs) = (self.prefix.clone(), self.mac.clone());
        let options = SessionOptions { window, prefix, macs, access, ..SessionOptions::default() };
        let session = select! {
            biased;
            () = signals.any() => return Err(interrupted()),
            session = Session::open(&sources, scope, options) => session.map_err(failure)?,
        };
        if manner != Manner::Quiet {
            for found in session.listed().iter().filter(|listed| listed.is_found) {
                say(format_args!("flowgap: found {} ({} blobs)", visible(&found.shown), found.taken));
            }
            session.passed().iter().for_each(|passed| say(format_args!("flowgap: {}", visible(&passed.why))));
        }
        if manner != Manner::Quiet {
            session.others().unopened().iter().for_each(|sentence| say(format_args!("flowgap: {}", visible(sentence))));
        }
        if manner == Manner::Verbose {
            session.listed().iter().filter(|listed| listed.others.files > 0).for_each(say_others);
            for (account, credential) in session.credentials() {
                say(format_args!("credential for {account}: {credential}"));
            }
        }
        Ok(session)
    }
}

/// How many files were passed over for their names, and some of them.
fn say_others(listed: &Listed) {
    let (files, names) = (listed.others.files, listed.others.names());
    let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    let (word, more) = (if files == 1 { "file" } else { "files" }, if files > 3 { ", ..." } else { "" });
    say(format_args!(
        "{}: {files} {word} of other names passed over: {}{more}",
        visible(&listed.shown),
        visible(&shown.join(", "))
    ));
}

/// What was asked of remote stores, in a line.
pub fn say_storage(storage: &Storage) {
    let Storage { list_calls, blobs_listed, blobs_skipped, blobs_read, requests, retries, bytes } = storage;
    say(format_args!(
        "storage: {list_calls} list calls, {blobs_listed} blobs listed, {blobs_skipped} skipped, {blobs_read} to read; {requests} requests, {retries} retries, {bytes} bytes"
    ));
}

fn mac(text: &str) -> Result<String, String> {
    crate::source::mac(text).ok_or_else(|| "write twelve hex digits, such as 00-0D-3A-12-BA-87".to_owned())
}

fn interrupted() -> Failure {
    Failure { status: Status::Interrupted, message: "interrupted before anything was read".to_owned() }
}

/// Every source that the arguments name. Reads a pipe to its end for `-`.
async fn sources(texts: &[String], environment: &Environment, signals: &Signals) -> Result<Vec<Source>, Failure> {
    if texts.iter().filter(|text| *text == "-").count() > 1 {
        return Err(Failure::usage("standard input (-) can be read once only"));
    }
    let mut sources = Vec::new();
    for text in texts {
        match text.as_str() {
            "-" => sources.push(piped(signals).await?),
            text => sources.extend(Source::matching(text, environment).map_err(unopened)?),
        }
    }
    Ok(sources)
}

async fn piped(signals: &Signals) -> Result<Source, Failure> {
    let kept = |error| unopened(SourceError::Pipe(error));
    let file = NamedTempFile::new().map_err(kept)?;
    signals.leftovers().add(file.path());
    let mut writer = file.reopen().map_err(kept)?;
    // It may wait for ever. The file goes away when nobody waits any more.
    let reading = tokio::task::spawn_blocking(move || std::io::copy(&mut std::io::stdin().lock(), &mut writer));
    select! {
        () = signals.any() => Err(interrupted()),
        read = reading => match read {
            Ok(copied) => copied.map_err(kept).and_then(|_| Source::of_pipe(file).map_err(unopened)),
            Err(error) => Err(Failure { status: Status::Internal, message: error.to_string() }),
        }
    }
}

pub fn unopened(error: SourceError) -> Failure {
    Failure { status: Status::Source, message: error.to_string() }
}
