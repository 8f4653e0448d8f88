//! `flowgap tags`: fetches Microsoft's service tags into the cache, and shows the tags of addresses.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tokio::select;

use super::fault::source_failure;
use super::source::RetryArgs;
use super::{Failure, Status, listen, named};
use crate::answer::{Interrupt, Manner, print, write_private, write_to};
use crate::catalog::{DateOrigin, ServiceTags, TagList, date_in_name, file_name};
use crate::net::parse_ip;
use crate::options::{CachedChoice, SourceOptions, cache_folder, cached_choice, outdated};
use crate::report::grid::{Format, Grid};
use crate::report::sink::{Formulas, say, visible};
use crate::source::{Auth, Cloud, Environment, TagListRequest};
use crate::time::{DAY, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Fetch the service tags of a cloud from Azure's management API, for analyze, sql and query to use
    Fetch(FetchArgs),
    /// Show the service tags of addresses, the most specific first
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct FetchArgs {
    /// Id of a subscription that you may read
    #[arg(long, value_name = "ID", env = "AZURE_SUBSCRIPTION_ID", hide_env_values = true, value_parser = subscription)]
    subscription: String,

    /// Region such as westeurope; every region lists the tags of the whole cloud
    #[arg(long, value_name = "REGION", value_parser = location)]
    location: String,

    /// Cloud of the subscription [default: by the region]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = cloud())]
    cloud: Option<Cloud>,

    /// Write to a file instead of the cache folder
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Credential for the management API [auto: the first available of service principal, workload identity, managed
    /// identity and Azure CLI]
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::MANAGEMENT_NAMES))]
    auth: Auth,

    #[command(flatten)]
    retry: RetryArgs,

    /// Print only errors on stderr
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Address, IPv4 or IPv6
    #[arg(required = true, value_name = "IP", value_parser = address)]
    addresses: Vec<IpAddr>,

    /// Microsoft's ServiceTags_*.json [default: the file of flowgap tags fetch]
    #[arg(long, value_name = "FILE", env = "FLOWGAP_SERVICE_TAGS", hide_env_values = true)]
    service_tags: Option<PathBuf>,

    /// Cloud of the cached file, if there are several [default: the only one]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = cloud(), conflicts_with = "service_tags")]
    cloud: Option<Cloud>,

    /// Output format
    #[arg(long, default_value = "text", value_parser = named::<Format>(Format::NAMES))]
    format: Format,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    match args.verb {
        Verb::Fetch(args) => fetch(&args).await,
        Verb::Show(args) => show(&args),
    }
}

async fn fetch(args: &FetchArgs) -> Result<Status, Failure> {
    let cloud = args.cloud.unwrap_or_else(|| Cloud::of_region(&args.location));
    let today = Timestamp(Utc::now().timestamp_millis());
    // Without a place to write to, nothing is requested.
    let path = match &args.output {
        Some(path) => path.clone(),
        None => cache()?.join(file_name(cloud.name(), today)),
    };
    let interrupt = listen(Manner::Answers)?;
    let (content, tags) = download(args, cloud, &interrupt).await?;
    if args.output.is_some() {
        write_to(Some(&path), interrupt.leftovers(), |out| out.write_all(&content))?;
    } else {
        write_private(&path, interrupt.leftovers(), |out| out.write_all(&content))?;
        path.parent().into_iter().for_each(|folder| remove_outdated(folder, cloud));
    }
    if args.quiet {
        return Ok(Status::Clean);
    }
    let today = day(today.0);
    say(format_args!("flowgap: {}, fetched on {today}: {}", summary(&tags), visible(&path.to_string_lossy())));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if tags.published.is_none() && date_in_name(&name).is_none() {
        say(format_args!(
            "flowgap: neither the name of this file nor its change number gives its date: add --service-tags-date {today} when you use it"
        ));
    }
    Ok(Status::Clean)
}

/// Fetches the list and returns it as a file. Every failure says how to get the file by hand.
async fn download(args: &FetchArgs, cloud: Cloud, interrupt: &Interrupt) -> Result<(Vec<u8>, ServiceTags), Failure> {
    let (title, page) = download_page(cloud);
    let by_hand = |why: String| Failure {
        status: Status::Source,
        message: format!(
            "{why}; or download the file by hand from Microsoft's page \"{title}\" ({page}), and give it with --service-tags FILE"
        ),
    };
    let options = SourceOptions {
        auth: args.auth,
        timeout: args.retry.timeout,
        retries: args.retry.retries,
        ..SourceOptions::default()
    };
    let access = options.access(Environment::of_process());
    let request = TagListRequest { cloud, subscription: args.subscription.clone(), location: args.location.clone() };
    let pages = select! {
        biased;
        () = interrupt.any() => {
            return Err(Failure { status: Status::Interrupted, message: "interrupted, and nothing was written".to_owned() });
        }
        pages = request.fetch(&access) => pages.map_err(|error| by_hand(source_failure(error).message))?,
    };
    let wrong = |error| by_hand(format!("the answer of the management API cannot be used: {error}"));
    let list = TagList::of_pages(&pages).map_err(wrong)?;
    if let Some(other) = list.cloud().filter(|name| Cloud::of_name(name) != Some(cloud)) {
        let other = visible(other).chars().take(60).collect::<String>();
        return Err(by_hand(format!(
            "the answer has the service tags of the cloud {other}, not of {cloud}: check --cloud and --location"
        )));
    }
    list.into_file(cloud.name()).map_err(wrong)
}

/// Removes old files of the cache. One that cannot be removed is reported, because it takes space.
fn remove_outdated(folder: &Path, cloud: Cloud) {
    let removed = outdated(folder, cloud.name()).and_then(|paths| paths.iter().try_for_each(std::fs::remove_file));
    match removed {
        // Another run removed it at the same time.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            say(format_args!(
                "flowgap: old files in {} cannot be removed: {error}",
                visible(&folder.to_string_lossy())
            ));
        }
        _ => {}
    }
}

/// Returns the title and address of Microsoft's page with the file of a cloud.
fn download_page(cloud: Cloud) -> (&'static str, &'static str) {
    match cloud {
        Cloud::Public => (
            "Azure IP Ranges and Service Tags - Public Cloud",
            "https://www.microsoft.com/download/details.aspx?id=56519",
        ),
        Cloud::Government => (
            "Azure IP Ranges and Service Tags - US Government Cloud",
            "https://www.microsoft.com/download/details.aspx?id=57063",
        ),
        Cloud::China => (
            "Azure IP Ranges and Service Tags - China Cloud",
            "https://www.microsoft.com/download/details.aspx?id=57062",
        ),
    }
}

fn show(args: &ShowArgs) -> Result<Status, Failure> {
    let path = match &args.service_tags {
        Some(path) => path.clone(),
        None => cached(args.cloud)?,
    };
    let shown = visible(&path.to_string_lossy()).into_owned();
    let tags = ServiceTags::open(&path, None);
    let tags = tags.map_err(|error| Failure::usage(format!("the service-tag file {shown}: {error}")))?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_text = args.format == Format::Text;
    let mut columns = vec!["address", "tag", "prefix", "region"];
    let mut ends = Vec::new();
    if !is_text {
        columns.extend(["file", "file_date"]);
        ends.extend([file, published(&tags)]);
    }
    let mut rows = Vec::new();
    for ip in &args.addresses {
        let matches = tags.matches(*ip);
        let none = if is_text { "(none)" } else { "" };
        let row = |tag: &str, prefix: String, region: &str| {
            [&[ip.to_string(), tag.to_owned(), prefix, region.to_owned()][..], &ends].concat()
        };
        if matches.is_empty() {
            rows.push(row(none, String::new(), ""));
        }
        rows.extend(matches.iter().map(|found| row(found.tag, found.prefix.to_string(), found.region)));
    }
    let grid = Grid { columns, rows };
    print(|out| {
        grid.write(args.format, Formulas::Guarded, out)?;
        if is_text {
            writeln!(out, "\n{}: {}", summary(&tags), age(&tags))?;
            writeln!(out, "{shown}")?;
        }
        Ok(())
    })?;
    Ok(Status::Clean)
}

/// Returns the path of the cached file of a cloud, or of the only cloud.
fn cached(cloud: Option<Cloud>) -> Result<PathBuf, Failure> {
    let folder = cache()?;
    let unread = |error| Failure::usage(format!("cannot read the cache folder {}: {error}", folder.display()));
    let clouds = cloud.map(Cloud::name).into_iter().collect();
    match cached_choice(&folder, &clouds).map_err(unread)? {
        CachedChoice::File(path) => Ok(path),
        CachedChoice::Several(clouds) => Err(Failure::usage(format!(
            "the cache has service tags of {}: choose one with --cloud",
            clouds.join(" and ")
        ))),
        CachedChoice::Nothing => {
            let of = cloud.map(|cloud| format!(" of {cloud}")).unwrap_or_default();
            Err(Failure::usage(format!(
                "the cache has no service tags{of}: run flowgap tags fetch, or add --service-tags FILE"
            )))
        }
    }
}

fn cache() -> Result<PathBuf, Failure> {
    cache_folder(|name| std::env::var_os(name)).ok_or_else(|| {
        Failure::usage(
            "there is no cache folder: set XDG_CACHE_HOME or HOME to an absolute path, or name a file instead",
        )
    })
}

/// Returns cloud, change number and size of a list.
fn summary(tags: &ServiceTags) -> String {
    let cloud = tags.cloud.as_deref().map(|cloud| format!(" of {}", visible(cloud))).unwrap_or_default();
    let number = tags.change_number.map(|number| format!(", change number {number}")).unwrap_or_default();
    let prefixes = tags.rows().count();
    format!("service tags{cloud}{number}, {} tags, {prefixes} prefixes", tags.len())
}

/// Returns the date of a file as far as it is known: `2026-05-04`, or `before 2026-05-04`; else an empty text.
fn published(tags: &ServiceTags) -> String {
    let Some(published) = tags.published else { return String::new() };
    let before = if published.origin == DateOrigin::OlderThan { "before " } else { "" };
    format!("{before}{}", day(published.time))
}

/// Returns the date of a file, and its age today.
fn age(tags: &ServiceTags) -> String {
    let Some(time) = tags.published.map(|published| published.time) else { return "of unknown date".to_owned() };
    let days = (Utc::now().timestamp_millis() - time).div_euclid(DAY);
    match days {
        ..1 => format!("of {}", published(tags)),
        1 => format!("of {}, 1 day old", published(tags)),
        _ => format!("of {}, {days} days old", published(tags)),
    }
}

fn day(time: i64) -> String {
    Timestamp(time).to_string().chars().take(10).collect()
}

fn cloud() -> impl TypedValueParser<Value = Cloud> {
    let values = Cloud::ALL.map(|cloud| PossibleValue::new(cloud.name()).alias(cloud.name_in_cli()));
    PossibleValuesParser::new(values).try_map(|name| Cloud::of_name(&name).ok_or("not a cloud"))
}

fn subscription(text: &str) -> Result<String, String> {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let is_id = parts == [8, 4, 4, 4, 12] && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if is_id {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("write an id such as 00000000-0000-0000-0000-000000000000; az account list shows yours".to_owned())
    }
}

/// Parses the name of a region, `westeurope` or `West Europe`.
fn location(text: &str) -> Result<String, String> {
    let name: String = text.chars().filter(|c| *c != ' ').collect::<String>().to_ascii_lowercase();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
    if is_name {
        Ok(name)
    } else {
        Err("write a region such as westeurope; az account list-locations shows all".to_owned())
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    parse_ip(text).ok_or_else(|| "write an address such as 192.0.2.1 or 2001:db8::1".to_owned())
}
