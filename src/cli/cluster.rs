//! `flowgap scheduler`, `flowgap executor`, and `--cluster` of the verbs that read flows.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::select;

use super::{Failure, Status, listen, memory, named, source};
use crate::answer::Manner;
use crate::cluster::{Cluster, Executor, Place, Scheduler};
use crate::engine::{Faults, TaskRunner, Workers};
use crate::options::SourceOptions;
use crate::report::sink::say;
use crate::source::{Access, Auth, Environment};

/// Options of a verb that reads flows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster options")]
pub struct Args {
    /// Let the executors of this flowgap scheduler read the flows, such as http://127.0.0.1:50050
    #[arg(long, value_name = "URL", value_parser = place)]
    cluster: Option<Place>,

    /// Allow a scheduler on another machine, although the connection has no TLS
    #[arg(long, requires = "cluster")]
    insecure: bool,
}

#[derive(Debug, clap::Args)]
pub struct SchedulerArgs {
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050", value_parser = place)]
    bind: Place,

    /// Seconds without a sign of an executor after which its tasks run elsewhere
    #[arg(long, value_name = "SECONDS", default_value_t = Scheduler::LOST, value_parser = clap::value_parser!(u64).range(10..=3600))]
    lost_after: u64,

    /// Allow an address that other machines reach, although there is neither TLS nor a password
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, clap::Args)]
pub struct ExecutorArgs {
    /// Scheduler to work for
    #[arg(long, value_name = "URL", value_parser = place)]
    scheduler: Place,

    /// Address to hand out answers on; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50051", value_parser = place)]
    bind: Place,

    /// Host name or address by which the others reach this machine [default: that of --bind]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// Folder for answers until they are fetched [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,

    /// Number of tasks that run at a time [default: the cores of this machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    cores: Option<u16>,

    /// Memory of all tasks together, such as 512MB or 4GB [default: half of the machine's memory]
    #[arg(long, value_name = "SIZE", value_parser = memory::size)]
    memory: Option<usize>,

    /// Seconds without progress after which a task fails
    #[arg(long, value_name = "SECONDS", default_value_t = TaskRunner::STALL.as_secs(), value_parser = clap::value_parser!(u64).range(1..=86400))]
    stall: u64,

    /// Allow addresses of other machines, although the connections have neither TLS nor a password
    #[arg(long)]
    insecure: bool,

    /// Credential for storage accounts [auto: the first available]
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::NAMES))]
    auth: Auth,

    /// Maximum number of concurrent requests to a container
    #[arg(long, value_name = "N", default_value_t = Access::CONCURRENCY as u16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    #[command(flatten)]
    retry: source::RetryArgs,
}

impl Args {
    /// Returns whether executors read the flows.
    pub fn is_used(&self) -> bool {
        self.cluster.is_some()
    }

    /// Returns the cluster to use; `None` to read everything here.
    pub fn workers(&self, is_quiet: bool) -> Result<Option<Arc<dyn Workers>>, Failure> {
        let Some(scheduler) = &self.cluster else { return Ok(None) };
        checked("--cluster", scheduler, self.insecure)?;
        Ok(Some(Arc::new(Cluster::new(scheduler.clone(), is_quiet))))
    }
}

/// Runs a scheduler until a signal ends it.
pub async fn scheduler(args: SchedulerArgs) -> Result<Status, Failure> {
    checked("--bind", &args.bind, args.insecure)?;
    let interrupt = listen(Manner::Answers)?;
    let scheduler = Scheduler::bind(&args.bind, args.lost_after).await.map_err(Failure::usage)?;
    say(format_args!("flowgap: scheduler on {}", scheduler.place.url()));
    select! {
        biased;
        () = interrupt.any() => Ok(Status::Clean),
        served = scheduler.serve() => served.map(|()| Status::Clean).map_err(failed),
    }
}

/// Runs an executor until a signal ends it.
pub async fn executor(args: ExecutorArgs) -> Result<Status, Failure> {
    checked("--scheduler", &args.scheduler, args.insecure)?;
    checked("--bind", &args.bind, args.insecure)?;
    let interrupt = listen(Manner::Answers)?;
    let bind = Place { port: free_port(&args.bind).map_err(Failure::usage)?, ..args.bind };
    let cores = args.cores.map(usize::from).or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    let options = SourceOptions {
        auth: args.auth,
        concurrency: args.concurrency,
        timeout: args.retry.timeout,
        retries: args.retry.retries,
        ..SourceOptions::default()
    };
    let executor = Executor {
        scheduler: args.scheduler,
        bind,
        host: args.host,
        folder: args.work_dir,
        cores: cores.unwrap_or(1),
        memory: args.memory.unwrap_or_else(|| memory::machine_memory() / 2),
        access: options.access(Environment::of_process()),
        stall: args.stall,
        faults: faults()?,
    };
    say(format_args!(
        "flowgap: executor on {} with {} cores, for the scheduler {}",
        executor.bind,
        executor.cores,
        executor.scheduler.url()
    ));
    select! {
        biased;
        () = interrupt.any() => Ok(Status::Clean),
        ran = executor.run() => ran.map(|()| Status::Clean).map_err(failed),
    }
}

/// Fails if a place is on another machine and that is not allowed. Says it aloud if it is allowed.
fn checked(option: &str, place: &Place, is_allowed: bool) -> Result<(), Failure> {
    place.check(is_allowed).map_err(|error| {
        Failure::usage(format!("{option} {error}: allow this on a private network with --insecure"))
    })?;
    if !place.is_loopback() {
        say(format_args!(
            "flowgap: warning: {option} {place} has neither TLS nor a password: whoever reaches the network can read flows and run queries"
        ));
    }
    Ok(())
}

/// Returns the port of a place, or a free one if it is 0.
fn free_port(place: &Place) -> Result<u16, String> {
    let bound = TcpListener::bind((place.host.as_str(), place.port)).and_then(|bound| bound.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("cannot listen on {place}: {error}"))
}

/// Returns the faults that a test injects with a variable of the environment, such as `panic=3`.
fn faults() -> Result<Faults, Failure> {
    let Ok(text) = std::env::var("FLOWGAP_FAULT") else { return Ok(Faults::default()) };
    let number = |value: &str| value.parse().map_err(|_| Failure::usage("FLOWGAP_FAULT: write a number"));
    match text.split_once('=') {
        Some(("panic", value)) => Ok(Faults { panic_in: Some(number(value)?), ..Faults::default() }),
        Some(("hang", value)) => Ok(Faults { hang_in: Some(number(value)?), ..Faults::default() }),
        Some(("version", value)) => Ok(Faults { version: Some(value.to_owned()), ..Faults::default() }),
        _ => Err(Failure::usage("FLOWGAP_FAULT: write panic=N, hang=N or version=TEXT")),
    }
}

fn failed(error: crate::cluster::ClusterError) -> Failure {
    Failure { status: Status::Internal, message: error.to_string() }
}

fn place(text: &str) -> Result<Place, String> {
    text.parse().map_err(|error: crate::cluster::PlaceError| error.to_string())
}
