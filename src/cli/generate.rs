//! `flowgap generate`: realistic archives with planted faults, and the planted truth.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;

use super::{Failure, Status, named};
use crate::catalog::ServiceTags;
use crate::generate::{Fault, Kind, Plan, TRUTH_FILE, Variety, Written, write};
use crate::options::open_edition;
use crate::report::sink::{one_line, say};
use crate::time::{HOUR, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write to; it must be empty or not exist yet
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Kind of flow log to write
    #[arg(long, default_value = "vnet4", value_parser = named::<Kind>(Kind::NAMES))]
    kind: Kind,

    /// Number of hours to write
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = up_to(Plan::MOST_HOURS))]
    hours: u32,

    /// Number of network interfaces of the instance; their addresses start at 10.20.1.4
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = up_to(Plan::MOST_INTERFACES))]
    interfaces: u32,

    /// Flow tuples per interface and minute, not counting planted ones
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = up_to(Plan::MOST_TUPLES_PER_MINUTE))]
    tuples_per_minute: u32,

    /// Number of addresses of all interfaces together [default: one each]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_LOCAL_ADDRESSES))]
    local_addresses: Option<u32>,

    /// Number of rules that match ordinary flows [default: a dozen]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_RULES))]
    rules: Option<u32>,

    /// Number of network security groups of the interfaces [default: 1]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_INTERFACES))]
    acls: Option<u32>,

    /// Number of Internet addresses that call or are called, not counting Azure services [default: unlimited]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_REMOTE_ADDRESSES))]
    remote_addresses: Option<u32>,

    /// Number of destination ports of denied flows [default: about 150]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_PORTS))]
    ports: Option<u32>,

    /// Percentage of tuples that are denied, not counting planted ones [default: 12]
    #[arg(long, value_name = "N", value_parser = up_to(99))]
    denied: Option<u32>,

    /// Seed of the random generator: the same seed and options give the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// First hour (RFC 3339)
    #[arg(long, value_name = "TIME", default_value = "2026-05-04T00:00:00Z", value_parser = start)]
    start: u64,

    /// Faults to plant: a JSON file with an array of faults
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,

    /// Microsoft's ServiceTags_*.json, from which the addresses of services are taken
    #[arg(long, value_name = "FILE", env = "FLOWGAP_SERVICE_TAGS", hide_env_values = true)]
    service_tags: Option<PathBuf>,

    /// Number of blobs written in parallel [default: the number of cores]
    #[arg(long, value_name = "N", hide = true, value_parser = up_to(256))]
    threads: Option<u32>,
}

/// 2016-01-01. Flow times before 2015 are malformed.
const FIRST_START_MS: i64 = 1_451_606_400_000;
/// 2090-01-01. Flow times after 2100-01-01 are malformed.
const LAST_START_MS: i64 = 3_786_912_000_000;

pub fn run(args: &Args) -> Result<Status, Failure> {
    let plan = plan(args)?;
    check_folder(&args.dir)?;
    let written = write(&args.dir, &plan)
        .map_err(|error| Failure::usage(format!("cannot write to {}: {error}", args.dir.display())))?;
    say(one_line(&summary(args, &plan, written)));
    Ok(Status::Clean)
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let edition = open_edition(None, None)?;
    let requirements = edition.rows().to_vec();
    let named = |error: &dyn std::fmt::Display| {
        let file = args.faults.as_deref().unwrap_or(Path::new(""));
        Failure::usage(format!("--faults {}: {error}", file.display()))
    };
    let faults = match &args.faults {
        None => Vec::new(),
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| named(&e))?;
            Fault::parse_file(&text, &edition).map_err(|e| named(&e))?
        }
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        kind: args.kind,
        start_ms: args.start,
        hours: args.hours,
        interfaces: args.interfaces,
        tuples_per_minute: args.tuples_per_minute,
        variety: Variety {
            local_addresses: args.local_addresses,
            rules: args.rules,
            acls: args.acls,
            remote_addresses: args.remote_addresses,
            ports: args.ports,
            denied_percent: args.denied,
        },
        seed: args.seed,
        threads: args.threads.map_or_else(cores, |threads| threads as usize),
        requirements,
        service_tags: args.service_tags.as_deref().map(service_tags).transpose()?,
        faults,
    };
    plan.check().map_err(|e| named(&e))?;
    Ok(plan)
}

fn service_tags(path: &Path) -> Result<ServiceTags, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::usage(format!("--service-tags {}: {error}", path.display()));
    ServiceTags::open(path, None).map_err(|e| named(&e))
}

/// Fails unless the folder is empty or does not exist, so that no old files mix with new ones.
fn check_folder(dir: &Path) -> Result<(), Failure> {
    if !dir.exists() {
        return Ok(());
    }
    let mut entries =
        fs::read_dir(dir).map_err(|error| Failure::usage(format!("cannot write to {}: {error}", dir.display())))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!("{} is not empty: name an empty folder or a new one", dir.display()))),
    }
}

fn summary(args: &Args, plan: &Plan, written: Written) -> String {
    let Written { blobs, bytes, tuples, planted } = written;
    let dir = args.dir.display();
    let truth = args.dir.join(TRUTH_FILE);
    let subnets: String = plan.subnets().iter().map(|subnet| format!(" --subnet {subnet}")).collect();
    let tags = args.service_tags.as_ref().map(|path| format!(" --service-tags {}", path.display())).unwrap_or_default();
    format!(
        "wrote {blobs} blobs, {bytes} bytes, {tuples} tuples; {planted} of them are planted and described in {}; \
         next: flowgap analyze {dir}{subnets}{tags}",
        truth.display()
    )
}

/// Parses a number from 1 to `most`.
fn up_to(most: u32) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(most))
}

fn start(text: &str) -> Result<u64, String> {
    let Timestamp(ms) = Timestamp::parse_rfc3339(text).ok_or("write a time like 2026-05-04T06:00:00Z")?;
    if ms % HOUR != 0 {
        return Err("an archive starts at a full hour, such as 2026-05-04T06:00:00Z".to_owned());
    }
    if !(FIRST_START_MS..=LAST_START_MS).contains(&ms) {
        return Err("write a time from 2016 to 2090".to_owned());
    }
    u64::try_from(ms).map_err(|error| error.to_string())
}
