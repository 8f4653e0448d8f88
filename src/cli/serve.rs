//! `flowgap serve`: the tables over PostgreSQL's protocol.

use std::io::{self, BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

use super::source::{self, Verbosity};
use super::{Failure, Status, fault, listen, memory, scope, window};
use crate::answer::{Interrupt, Leftovers, Manner, write_private};
use crate::engine::{QueryMemory, Session};
use crate::job::{ScanError, open_instance};

use crate::report::sink::{say, visible};
use crate::server::{Open, ServeError, ServeOptions, Server, check_name, with_user};
use crate::source::Environment;
use crate::time::{Timestamp, typed};

/// Options that a configuration has keys for.
const OF_CONFIG: [&str; 18] = [
    "sources",
    "subnet",
    "vnet",
    "vnet_mode",
    "edition",
    "requirements",
    "service_tags",
    "no_service_tags",
    "service_tags_date",
    "files",
    "from",
    "to",
    "last",
    "prefix",
    "mac",
    "auth",
    "concurrency",
    "retries",
];

#[derive(Debug, clap::Args)]
#[command(mut_arg("sources", |sources| sources.required(false).required_unless_present_any(["add_user", "config"])))]
pub struct Args {
    /// Take the sources and the scope from this configuration of flowgap run
    #[arg(long, value_name = "FILE", requires = "instance", conflicts_with_all = OF_CONFIG)]
    config: Option<PathBuf>,

    /// Instance of the configuration
    #[arg(long, value_name = "NAME", requires = "config")]
    instance: Option<String>,

    #[command(flatten)]
    scope: scope::Args,

    #[command(flatten)]
    window: window::Args,

    /// Address and port to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5432")]
    listen: SocketAddr,

    /// Users that may log in, each with a password; --add-user adds one
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// Certificate of the server and its chain, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Time between lists of the sources, such as 30s, 5m or 1h
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    refresh: Duration,

    /// Memory that all queries together may use before they spill to disk, such as 512MB or 4GB [default: a quarter of
    /// the machine's memory]
    #[arg(long, value_name = "SIZE", value_parser = memory::size)]
    memory: Option<usize>,

    /// Maximum number of clients at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    max_connections: u16,

    /// Maximum time of a statement, its rows included
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    statement_timeout: Duration,

    /// Address and port of /metrics and /healthz, which need no password
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,

    /// Add a user to the file of --users, or change the user's password, and do nothing else. The password is asked for,
    /// or read from standard input
    #[arg(long, value_name = "NAME", requires = "users", conflicts_with = "sources")]
    add_user: Option<String>,

    /// Print only errors on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    source: source::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    if let (Some(name), Some(users)) = (&args.add_user, &args.users) {
        return add_user(users, name, args.quiet);
    }
    let options = ServeOptions {
        listen: args.listen,
        users: args.users.clone(),
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        refresh: args.refresh,
        max_connections: args.max_connections.into(),
        statement_timeout: args.statement_timeout,
        metrics: args.metrics_listen,
    };
    let (server, interrupt) = (Server::new(options).map_err(failure)?, Arc::new(listen(Manner::Serves)?));
    let verbosity = if args.quiet { Verbosity::Quiet } else { Verbosity::Usual };
    let session = opened(&args, verbosity, &interrupt).await?;
    let bytes = args.memory.unwrap_or_else(|| memory::machine_memory() / 4);
    let mut memory = QueryMemory::new(bytes, args.max_connections.into()).map_err(fault::failure)?;
    memory.watch_process();
    interrupt.leftovers().add(memory.spill_folder());
    if !args.quiet {
        say(format_args!("flowgap: listening at {}", server.address()));
        if let Some(address) = server.metrics_address() {
            say(format_args!("flowgap: metrics at http://{address}/metrics"));
        }
    }
    let stop = Arc::clone(&interrupt);
    let args = Arc::new(args);
    let open: Open = Arc::new(move || {
        let (args, interrupt) = (Arc::clone(&args), Arc::clone(&interrupt));
        Box::pin(async move { opened(&args, Verbosity::Quiet, &interrupt).await.map_err(|failure| failure.message) })
    });
    server.run(session, open, memory, async move { stop.any().await }).await.map_err(failure)?;
    Ok(Status::Clean)
}

/// Lists the sources, with the window and the tags of now.
async fn opened(args: &Args, verbosity: Verbosity, interrupt: &Interrupt) -> Result<Session, Failure> {
    if let (Some(path), Some(name)) = (&args.config, &args.instance) {
        return of_config(path, name, args.window.now(), interrupt).await;
    }
    let (scope, window) = (args.scope.open()?, args.window.resolve()?);
    let mut session = args.source.open(scope, window, verbosity, interrupt).await?;
    args.scope.use_cached_tags(&mut session, verbosity)?;
    Ok(session)
}

/// Lists the source of an instance of the job.
async fn of_config(path: &Path, name: &str, now: i64, interrupt: &Interrupt) -> Result<Session, Failure> {
    let config = super::run::load(path)?;
    let instance = config.instance.iter().find(|instance| instance.name == name).ok_or_else(|| {
        let known: Vec<&str> = config.instance.iter().map(|instance| instance.name.as_str()).collect();
        Failure::usage(format!("--instance {}: the configuration has {}", visible(name), known.join(", ")))
    })?;
    let environment = Environment::of_process();
    let opened = open_instance(&config, instance, &environment, interrupt, Timestamp(now)).await;
    opened.map_err(|error| match error {
        ScanError::Session(error) => fault::failure(error),
        ScanError::Ingest(error) => Failure { status: Status::Source, message: error.to_string() },
        ScanError::Scope(_) | ScanError::Window => Failure::usage(error),
    })
}

fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Open(_) => Failure::usage(format!("{error}: add --users, --tls-cert and --tls-key")),
        ServeError::Users(error) => Failure::usage(format!("--users {error}")),
        ServeError::Tls(error) => Failure::usage(format!("--tls-cert, --tls-key: {error}")),
        ServeError::Listen { .. } => Failure::usage(error),
        ServeError::Session(error) => fault::failure(error),
    }
}

fn add_user(users: &Path, name: &str, is_quiet: bool) -> Result<Status, Failure> {
    check_name(name).map_err(|what| Failure::usage(format!("--add-user {}: {what}", visible(name))))?;
    let unread = |error: io::Error| Failure::usage(format!("cannot read the password: {error}"));
    let password = password(name).map_err(unread)?;
    if password.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    let text = with_user(users, name, &password).map_err(|error| Failure::usage(format!("--users {error}")))?;
    write_private(users, &Leftovers::default(), |out| out.write_all(text.as_bytes()))?;
    if !is_quiet {
        say(format_args!("flowgap: {} may log in", visible(name)));
    }
    Ok(Status::Clean)
}

/// Asks for a password twice, or reads a line if standard input is no terminal.
fn password(name: &str) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    say(format_args!("password for {}:", visible(name)));
    let first = typed()?;
    say("the same again:");
    if typed()? != first {
        return Err(io::Error::other("the two differ"));
    }
    Ok(first)
}

/// Reads a line from the terminal without showing it.
fn typed() -> io::Result<String> {
    enable_raw_mode()?;
    let line = || {
        let mut line = String::new();
        loop {
            let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = read()? else { continue };
            match code {
                KeyCode::Enter => return Ok(line),
                KeyCode::Backspace => _ = line.pop(),
                KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                KeyCode::Char(letter) => line.push(letter),
                _ => {}
            }
        }
    };
    let line = line();
    disable_raw_mode()?;
    line
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<u32>().ok()).map(u64::from);
    let ms = typed::duration(text).and_then(|ms| u64::try_from(ms).ok());
    let time = seconds.map(Duration::from_secs).or(ms.map(Duration::from_millis));
    time.filter(|time| !time.is_zero()).ok_or_else(|| "write a duration like 30s, 5m or 1h".to_owned())
}
