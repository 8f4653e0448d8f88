//! `flowgap analyze`: findings from flow logs.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};

use super::progress::{self, Progress};
use super::source::{self, Manner, say_storage, unopened};
use super::{Failure, Status, interruptible, open_catalog, print, window};
use crate::catalog::{ServiceTags, VnetMode};
use crate::engine::{Scope, SessionError};
use crate::findings::{self, Analysis, Severity};
use crate::net::Prefix;
use crate::report::{self, Format, Style};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Subnet of the API Management instance, such as 10.20.1.0/24; repeatable [default: found in the flows]
    #[arg(long, value_name = "CIDR", value_parser = prefix)]
    subnet: Vec<Prefix>,

    /// Address space that the tag VirtualNetwork stands for; repeatable [default: RFC 1918, 100.64.0.0/10, fc00::/7]
    #[arg(long, value_name = "CIDR", value_parser = vnet)]
    vnet: Vec<Prefix>,

    /// How the instance is joined to its virtual network
    #[arg(long, value_parser = ["external", "internal"])]
    vnet_mode: Option<String>,

    /// Edition of the port table; flowgap requirements --list-editions lists them [default: the newest]
    #[arg(long, value_name = "ID")]
    edition: Option<String>,

    /// Own port table: CSV with at least id, direction, source, destination, destination_ports, protocol
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,

    /// Microsoft's ServiceTags_*.json, as downloaded
    #[arg(long, value_name = "FILE", env = "FLOWGAP_SERVICE_TAGS", hide_env_values = true)]
    service_tags: Option<PathBuf>,

    #[command(flatten)]
    window: window::Args,

    /// How to print [default: what the ending of --output says, else text]
    #[arg(long, value_parser = Format::NAMES)]
    format: Option<String>,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Exit with 1 when a finding is at least this severe
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = ["info", "low", "medium", "high", "critical"])]
    fail_on: String,

    /// Never exit with 1
    #[arg(long, conflicts_with = "fail_on")]
    exit_zero: bool,

    /// Any malformed tuple or record makes the exit status 3
    #[arg(long)]
    strict: bool,

    /// How many findings text and markdown show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Print nothing on stderr but errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Show what each score is made of, and say on stderr what was read
    #[arg(short, long)]
    verbose: bool,

    /// Colours in the text report [auto: on a terminal, unless NO_COLOR is set]
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
    color: String,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    source: source::Args,
}

/// What `VirtualNetwork` stands for unless said otherwise.
const DEFAULT_VNET: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

pub async fn run(args: Args) -> Result<Status, Failure> {
    let format = format(&args)?;
    let window = args.window.resolve()?;
    let scope = scope(&args)?;
    let manner = match (args.quiet, args.verbose) {
        (true, _) => Manner::Quiet,
        (_, true) => Manner::Verbose,
        _ => Manner::Usual,
    };
    let mut session = args.source.open(scope, window, manner).await?;
    let log = session.log();
    let progress = Progress::start(&args.progress, args.quiet, &session);
    let analysis = interruptible(&log, findings::analyze(&mut session)).await;
    drop(progress);
    let analysis = analysis.map_err(failure)?;
    let style = Style { top: args.top, has_color: has_color(&args), has_factors: args.verbose };
    print(args.output.as_deref(), |out| report::report(format, style).write(&analysis, out))?;
    if args.verbose {
        let input = &analysis.input;
        eprintln!(
            "read {} blobs, {} bytes, {} records, {} tuples",
            input.blobs, input.bytes, input.records, input.tuples
        );
        session.storage().iter().for_each(say_storage);
    }
    Ok(status(&args, &analysis))
}

fn status(args: &Args, analysis: &Analysis) -> Status {
    let fail_on: Severity = args.fail_on.parse().unwrap_or(Severity::High);
    let is_failing = analysis.worst().is_some_and(|worst| worst >= fail_on) && !args.exit_zero;
    let is_strict_failure = args.strict && (analysis.input.malformed_tuples > 0 || analysis.is_incomplete());
    if analysis.is_interrupted {
        Status::Interrupted
    } else if is_strict_failure {
        Status::CouldNotTell
    } else if is_failing {
        Status::Findings
    } else if analysis.is_incomplete() || analysis.is_blind() {
        Status::CouldNotTell
    } else {
        Status::Clean
    }
}

pub fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Source(error) => unopened(error),
        SessionError::Engine(_) => Failure { status: Status::Internal, message: error.to_string() },
    }
}

fn scope(args: &Args) -> Result<Scope, Failure> {
    let (catalog, edition) = open_catalog(args.requirements.as_deref(), args.edition.as_deref())?;
    let default_vnet = || DEFAULT_VNET.iter().filter_map(|p| p.parse().ok()).collect();
    let service_tags = args.service_tags.as_deref().map(service_tags).transpose()?;
    let mut subnets = args.subnet.clone();
    subnets.sort_unstable();
    subnets.dedup();
    Ok(Scope {
        subnets,
        vnet: if args.vnet.is_empty() { default_vnet() } else { args.vnet.clone() },
        vnet_mode: args.vnet_mode.as_deref().and_then(|mode| mode.parse::<VnetMode>().ok()),
        catalog,
        edition,
        service_tags,
    })
}

fn service_tags(path: &Path) -> Result<ServiceTags, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::usage(format!("--service-tags {}: {error}", path.display()));
    let json = std::fs::read(path).map_err(|e| named(&e))?;
    let as_of = date_in_name(path).or_else(|| modified(path));
    let mut tags = ServiceTags::from_json(&json).map_err(|e| named(&e))?;
    tags.as_of = as_of;
    Ok(tags)
}

/// Microsoft names the file by its date: `ServiceTags_Public_20251110.json`.
fn date_in_name(path: &Path) -> Option<i64> {
    let name = path.file_stem()?.to_str()?;
    let digits = name.rsplit('_').next()?;
    let date = NaiveDate::parse_from_str(digits, "%Y%m%d").ok().filter(|_| digits.len() == 8)?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

fn modified(path: &Path) -> Option<i64> {
    Some(DateTime::<Utc>::from(std::fs::metadata(path).ok()?.modified().ok()?).timestamp_millis())
}

fn has_color(args: &Args) -> bool {
    match args.color.as_str() {
        "always" => true,
        "never" => false,
        _ => {
            let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            args.output.is_none() && io::stdout().is_terminal() && is_wanted
        }
    }
}

fn format(args: &Args) -> Result<Format, Failure> {
    let named = args.format.as_deref().and_then(Format::from_name);
    let inferred = args.output.as_deref().and_then(Format::of_file);
    if let (None, None, Some(path)) =
        (named, inferred, args.output.as_deref().filter(|path| path.extension().is_some()))
    {
        let names = Format::NAMES.join(", ");
        return Err(Failure::usage(format!(
            "the ending of {} names no format: add --format, one of {names}",
            path.display()
        )));
    }
    let format = named.or(inferred).unwrap_or(Format::Text);
    if args.output.is_none() && format.is_binary() && io::stdout().is_terminal() {
        return Err(Failure::usage("this format is not for a terminal: add --output FILE"));
    }
    Ok(format)
}

fn prefix(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|e: crate::net::PrefixError| e.to_string())
}

fn vnet(text: &str) -> Result<Prefix, String> {
    let prefix = prefix(text)?;
    if prefix.length() == 0 {
        return Err("a virtual network is never everything: name its address space".to_owned());
    }
    Ok(prefix)
}
