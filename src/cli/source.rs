//! SOURCE arguments and source options as typed, and the session they open.

use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::select;

use super::fault::{failure, source_failure};
use super::{Failure, Status, named};
use crate::answer::{Interrupt, print};
use crate::decode::TimeRange;
use crate::engine::{Listed, Reading, Scope, Session, SessionOptions, Storage, Workers};
use crate::options::SourceOptions;
use crate::report::layout::number;
use crate::report::sink::{say, visible};
use crate::source::{Access, Auth, Environment, Source, SourceError, redacted};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder, file, glob pattern, lake, - for standard input, https://ACCOUNT.blob.core.windows.net[/CONTAINER[/PREFIX]],
    /// az://CONTAINER[/PREFIX] or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net[/PREFIX]
    #[arg(required = true, value_name = "SOURCE", help_heading = "Arguments")]
    pub sources: Vec<String>,

    /// List the blobs and print how many there are to read, their bytes and the requests that takes, but read nothing
    #[arg(long, help_heading = "Source options")]
    pub dry_run: bool,

    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Source options")]
pub struct Options {
    /// Read only blobs whose names below the source start with this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,

    /// Read only flows of this network interface, such as 00-0D-3A-12-BA-87; repeatable. Blobs are selected by their path
    /// where it names an interface, else by their records
    #[arg(long, value_name = "MAC", value_parser = mac, value_delimiter = ',')]
    mac: Vec<String>,

    /// Credential for the storage account [auto: the first available of SAS, account key, service principal, workload
    /// identity, managed identity and Azure CLI]
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::NAMES))]
    auth: Auth,

    /// Maximum number of concurrent requests to a container
    #[arg(long, value_name = "N", default_value_t = Access::CONCURRENCY as u16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    #[command(flatten)]
    retry: RetryArgs,
}

/// Timeout and retries of requests, as typed.
#[derive(Debug, clap::Args)]
pub struct RetryArgs {
    /// Seconds without progress after which a request is retried
    #[arg(long, value_name = "SECONDS", default_value_t = SourceOptions::TIMEOUT, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub timeout: u16,

    /// Number of retries after a transient error
    #[arg(long, value_name = "N", default_value_t = SourceOptions::RETRIES, value_parser = clap::value_parser!(u8).range(0..=20))]
    pub retries: u8,
}

/// How much is printed on stderr besides errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    Quiet,
    Usual,
    Verbose,
}

impl Verbosity {
    /// Returns the verbosity that `--quiet` and `--verbose` ask for. clap refuses both together.
    pub fn of(is_quiet: bool, is_verbose: bool) -> Self {
        match (is_quiet, is_verbose) {
            (true, _) => Self::Quiet,
            (_, true) => Self::Verbose,
            _ => Self::Usual,
        }
    }
}

impl Args {
    /// Returns whether standard input is a flow log.
    pub fn reads_stdin(&self) -> bool {
        self.sources.iter().any(|source| source == "-")
    }

    /// Returns whether an address holds something that [`Self::words`] leaves out.
    pub fn has_secrets(&self) -> bool {
        self.sources.iter().any(|source| redacted(source) != *source)
    }

    /// Returns the sources without secrets, and the options that select blobs and the credential, as words of a command.
    pub fn words(&self) -> impl Iterator<Item = String> {
        let option = |option: &str, value: &str| [option.to_owned(), value.to_owned()];
        let Options { prefix, auth, mac, .. } = &self.options;
        let prefix = (!prefix.is_empty()).then(|| option("--prefix", prefix));
        let auth = (*auth != Auth::default()).then(|| option("--auth", auth.name()));
        let macs = mac.iter().map(move |mac| option("--mac", mac));
        let sources = self.sources.iter().map(|source| redacted(source));
        sources.chain(prefix.into_iter().chain(macs).chain(auth).flatten())
    }

    /// Returns what a run would read. `None` if this is a run that reads.
    pub fn planned(&self, session: &Session) -> Option<Result<Status, Failure>> {
        self.dry_run.then(|| {
            let Reading { blobs, bytes, requests } = session.reading();
            let requests = match requests {
                0 => "no requests, as everything is on this machine".to_owned(),
                requests => format!("about {} requests after the lists", number(requests)),
            };
            let text = format!("{} blobs, {} bytes, {requests}\n", number(blobs), number(bytes));
            print(|out| out.write_all(text.as_bytes()))?;
            Ok(Status::Clean)
        })
    }

    /// Lists the sources.
    pub async fn open(
        &self,
        scope: Scope,
        window: TimeRange,
        verbosity: Verbosity,
        interrupt: &Interrupt,
    ) -> Result<Session, Failure> {
        self.open_on(None, scope, window, verbosity, interrupt).await
    }

    /// Lists the sources, for queries that run on these workers.
    pub async fn open_on(
        &self,
        workers: Option<Arc<dyn Workers>>,
        scope: Scope,
        window: TimeRange,
        verbosity: Verbosity,
        interrupt: &Interrupt,
    ) -> Result<Session, Failure> {
        self.options.open(&self.sources, workers, scope, window, verbosity, interrupt).await
    }
}

impl Options {
    /// Returns how requests are authorised and retried.
    pub fn access(&self) -> Access {
        self.resolve().access(Environment::of_process())
    }

    /// Returns the options as plain values.
    pub fn resolve(&self) -> SourceOptions {
        SourceOptions {
            prefix: self.prefix.clone(),
            macs: self.mac.clone(),
            auth: self.auth,
            concurrency: self.concurrency,
            timeout: self.retry.timeout,
            retries: self.retry.retries,
        }
    }

    /// Lists the sources. Reports the containers found in an account and, if verbose, the credential used.
    pub async fn open(
        &self,
        sources: &[String],
        workers: Option<Arc<dyn Workers>>,
        scope: Scope,
        window: TimeRange,
        verbosity: Verbosity,
        interrupt: &Interrupt,
    ) -> Result<Session, Failure> {
        if workers.is_some() && sources.iter().any(|source| source == "-") {
            return Err(Failure::usage(
                "executors cannot read the standard input (-) of this process: write it to a file",
            ));
        }
        let environment = Environment::of_process();
        let sources = opened(sources, &environment, interrupt).await?;
        let options = SessionOptions { workers, ..self.resolve().session(window, environment) };
        let session = select! {
            biased;
            () = interrupt.any() => return Err(interrupted()),
            session = Session::open(&sources, scope, options) => session.map_err(failure)?,
        };
        if verbosity != Verbosity::Quiet {
            for found in session.listed().iter().filter(|listed| listed.from_account) {
                say(format_args!("flowgap: found {} ({} blobs)", visible(&found.shown), found.taken));
            }
            session.skipped().iter().for_each(|skipped| say(format_args!("flowgap: {}", visible(&skipped.why))));
        }
        if verbosity != Verbosity::Quiet {
            session.others().unopened().iter().for_each(|sentence| say(format_args!("flowgap: {}", visible(sentence))));
        }
        if verbosity == Verbosity::Verbose {
            session.listed().iter().filter(|listed| listed.others.files > 0).for_each(say_others);
            for (account, credential) in session.credentials() {
                say(format_args!("credential for {account}: {credential}"));
            }
        }
        Ok(session)
    }
}

/// Prints how many files were skipped because of their names, and the first of them.
fn say_others(listed: &Listed) {
    let (files, names) = (listed.others.files, listed.others.names());
    let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    let (word, more) = (if files == 1 { "file" } else { "files" }, if files > 3 { ", ..." } else { "" });
    say(format_args!(
        "{}: skipped {files} {word} with other names: {}{more}",
        visible(&listed.shown),
        visible(&shown.join(", "))
    ));
}

/// Prints what was read, and the statistics of remote stores, in a line each.
pub fn say_read(session: &Session) {
    let input = session.input();
    let (blobs, bytes, counts) = (input.blobs, input.bytes, &input.counts);
    let [blobs, bytes, records, tuples] = [blobs, bytes, counts.records, counts.tuples].map(number);
    say(format_args!("read {blobs} blobs, {bytes} bytes, {records} records, {tuples} tuples"));
    if let Some(Storage { list_calls, blobs_listed, blobs_skipped, blobs_read, requests, retries, bytes }) =
        session.storage()
    {
        say(format_args!(
            "storage: {list_calls} list calls, {blobs_listed} blobs listed, {blobs_skipped} skipped, {blobs_read} to read; {requests} requests, {retries} retries, {bytes} bytes"
        ));
    }
}

fn mac(text: &str) -> Result<String, String> {
    crate::source::mac(text).ok_or_else(|| "write twelve hex digits, such as 00-0D-3A-12-BA-87".to_owned())
}

pub fn interrupted() -> Failure {
    Failure { status: Status::Interrupted, message: "interrupted before anything was read".to_owned() }
}

/// Resolves the arguments to sources. Reads standard input to the end for `-`.
pub async fn opened(
    texts: &[String],
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<Vec<Source>, Failure> {
    if texts.iter().filter(|text| *text == "-").count() > 1 {
        return Err(Failure::usage("standard input (-) can be read only once"));
    }
    let mut sources = Vec::new();
    for text in texts {
        match text.as_str() {
            "-" => sources.push(piped(interrupt).await?),
            text => sources.extend(Source::matching(text, environment).map_err(source_failure)?),
        }
    }
    Ok(sources)
}

async fn piped(interrupt: &Interrupt) -> Result<Source, Failure> {
    let kept = |error| source_failure(SourceError::Pipe(error));
    let file = NamedTempFile::new().map_err(kept)?;
    interrupt.leftovers().add(file.path());
    let mut writer = file.reopen().map_err(kept)?;
    // The read may block forever. The file is deleted when this future is dropped.
    let reading = tokio::task::spawn_blocking(move || std::io::copy(&mut std::io::stdin().lock(), &mut writer));
    select! {
        () = interrupt.any() => Err(interrupted()),
        read = reading => match read {
            Ok(copied) => copied.map_err(kept).and_then(|_| Source::of_pipe(file).map_err(source_failure)),
            Err(error) => Err(Failure { status: Status::Internal, message: error.to_string() }),
        }
    }
}
