//! `flowgap generate`: realistic archives with planted faults, and the planted truth.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;

use super::{Failure, Status, named, open_edition};
use crate::catalog::ServiceTags;
use crate::generate::{Fault, Kind, Plan, TRUTH_FILE, Variety, Written, write};
use crate::report::sink::{one_line, say};
use crate::time::{HOUR, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write into; it must be empty, or not there yet
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Format of the logs
    #[arg(long, default_value = "vnet4", value_parser = named::<Kind>(Kind::NAMES))]
    kind: Kind,

    /// How many hours of flows
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = up_to(Plan::MOST_HOURS))]
    hours: u32,

    /// How many interfaces the instance has, from 10.20.1.4 on
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = up_to(Plan::MOST_INTERFACES))]
    interfaces: u32,

    /// Flow tuples of each interface and minute, besides planted ones
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = up_to(Plan::MOST_TUPLES_PER_MINUTE))]
    tuples_per_minute: u32,

    /// How many addresses the interfaces have together [default: one each]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_LOCAL_ADDRESSES))]
    local_addresses: Option<u32>,

    /// How many rules decide about usual flows [default: a dozen]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_RULES))]
    rules: Option<u32>,

    /// How many network security groups the interfaces have [default: 1]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_INTERFACES))]
    acls: Option<u32>,

    /// How many addresses of the Internet call and are called, besides services [default: no bound]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_REMOTE_ADDRESSES))]
    remote_addresses: Option<u32>,

    /// How many ports denied flows ask for [default: about 150]
    #[arg(long, value_name = "N", value_parser = up_to(Plan::MOST_PORTS))]
    ports: Option<u32>,

    /// Percent of the tuples that are denied, besides planted ones [default: 12]
    #[arg(long, value_name = "N", value_parser = up_to(99))]
    denied: Option<u32>,

    /// Another seed gives other flows; the same options give the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// First hour (RFC 3339)
    #[arg(long, value_name = "TIME", default_value = "2026-05-04T00:00:00Z", value_parser = start)]
    start: u64,

    /// What goes wrong: a JSON array of faults
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,

    /// Microsoft's ServiceTags_*.json, to take the addresses of services from
    #[arg(long, value_name = "FILE", env = "FLOWGAP_SERVICE_TAGS", hide_env_values = true)]
    service_tags: Option<PathBuf>,

    /// How many blobs are written at a time [default: as the machine has cores]
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

/// Nothing that is there already is mixed with what is written.
fn check_folder(dir: &Path) -> Result<(), Failure> {
    if !dir.exists() {
        return Ok(());
    }
    let mut entries =
        fs::read_dir(dir).map_err(|error| Failure::usage(format!("cannot write to {}: {error}", dir.display())))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!("{} is not empty: name a folder that is, or a new one", dir.display()))),
    }
}

fn summary(args: &Args, plan: &Plan, written: Written) -> String {
    let Written { blobs, bytes, tuples, planted } = written;
    let dir = args.dir.display();
    let truth = args.dir.join(TRUTH_FILE);
    let subnets: String = plan.subnets().iter().map(|subnet| format!(" --subnet {subnet}")).collect();
    let tags = args.service_tags.as_ref().map(|path| format!(" --service-tags {}", path.display())).unwrap_or_default();
    format!(
        "wrote {blobs} blobs, {bytes} bytes, {tuples} tuples, of which {planted} are planted and counted in {}; \
         next: flowgap analyze {dir}{subnets}{tags}",
        truth.display()
    )
}

/// A number from 1 on.
fn up_to(most: u32) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(most))
}

fn start(text: &str) -> Result<u64, String> {
    let Timestamp(ms) = Timestamp::parse_rfc3339(text).ok_or("write a time like 2026-05-04T06:00:00Z")?;
    if ms % HOUR != 0 {
        return Err("an archive begins with a whole hour, such as 2026-05-04T06:00:00Z".to_owned());
    }
    if !(FIRST_START_MS..=LAST_START_MS).contains(&ms) {
        return Err("write a time from 2016 to 2090".to_owned());
    }
    u64::try_from(ms).map_err(|error| error.to_string())
}
