//! Options of the scope that flows are compared with, as typed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::source::Verbosity;
use super::{Failure, fault, named, names};
use crate::catalog::{InstanceMode, ServiceTags};
use crate::engine::{Scope, Session};
use crate::net::Prefix;
use crate::options::{ScopeError, ScopeOptions, TagFile, cache_folder, cached_tags};
use crate::report::sink::{say, visible};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Subnet of the API Management instance, such as 10.20.1.0/24; repeatable, or with commas
    /// [default: inferred from the flows]
    #[arg(long, value_name = "CIDR", value_parser = subnet, value_delimiter = ',')]
    subnet: Vec<Prefix>,

    /// Address space of the service tag VirtualNetwork; repeatable, or with commas [default: RFC 1918, 100.64.0.0/10, fc00::/7]
    #[arg(long, value_name = "CIDR", value_parser = vnet, value_delimiter = ',')]
    vnet: Vec<Prefix>,

    /// Mode in which the instance is connected to its virtual network
    #[arg(long, value_parser = named::<InstanceMode>(InstanceMode::NAMES))]
    vnet_mode: Option<InstanceMode>,

    /// Edition of the port table; flowgap requirements --list-editions lists them [default: the newest]
    #[arg(long, value_name = "ID")]
    edition: Option<String>,

    /// Your own port table: a CSV file with at least the columns id, direction, source, destination, destination_ports,
    /// protocol
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,

    /// Microsoft's ServiceTags_*.json, as downloaded or as printed by az network list-service-tags [default: the file of
    /// flowgap tags fetch]
    #[arg(long, value_name = "FILE", env = "FLOWGAP_SERVICE_TAGS", hide_env_values = true)]
    service_tags: Option<PathBuf>,

    /// Use no service tags, neither of a given file nor of flowgap tags fetch
    #[arg(long)]
    no_service_tags: bool,

    /// Date of the service-tag file, such as 2026-05-04, if its name has none
    #[arg(long, value_name = "DATE", value_parser = date, requires = "service_tags")]
    service_tags_date: Option<Timestamp>,

    #[command(flatten)]
    names: names::Args,
}

impl Args {
    /// Reads the files that the options name.
    pub fn open(&self) -> Result<Scope, Failure> {
        let tags = |path: &PathBuf| TagFile { path: path.clone(), date: self.service_tags_date };
        let options = ScopeOptions {
            subnets: self.subnet.clone(),
            vnet: self.vnet.clone(),
            vnet_mode: self.vnet_mode,
            edition: self.edition.clone().filter(|id| !is_newest(id)),
            requirements: self.requirements.clone(),
            service_tags: self.service_tags.as_ref().filter(|_| !self.no_service_tags).map(tags),
            names: self.names.files.clone(),
        };
        Ok(options.open()?)
    }

    /// Loads the cached service tags of the logs' cloud if no file is given. A file that cannot be used is reported on
    /// stderr, and the run goes on without tags.
    pub fn use_cached_tags(&self, session: &mut Session, verbosity: Verbosity) -> Result<(), Failure> {
        match self.cached_tags_of(session.clouds(), verbosity) {
            Some(tags) => session.set_service_tags(Some(tags)).map_err(fault::failure),
            None => Ok(()),
        }
    }

    /// Returns the cached service tags of one of the clouds, or of any cloud if `clouds` is empty, if no file is given.
    pub fn cached_tags_of(&self, clouds: &BTreeSet<&'static str>, verbosity: Verbosity) -> Option<ServiceTags> {
        if self.no_service_tags || self.service_tags.is_some() {
            return None;
        }
        let folder = cache_folder(|name| std::env::var_os(name))?;
        match cached_tags(&folder, clouds) {
            Ok(found) => {
                let (path, tags) = found?;
                if verbosity == Verbosity::Verbose {
                    say(format_args!("service tags from {}", visible(&path.to_string_lossy())));
                }
                Some(tags)
            }
            Err(why) => {
                say(format_args!("flowgap: cached service tags are not used: {}", visible(&why)));
                None
            }
        }
    }

    /// Returns whether the address space of the network is given.
    pub fn is_vnet_given(&self) -> bool {
        !self.vnet.is_empty()
    }
}

impl From<ScopeError> for Failure {
    fn from(error: ScopeError) -> Self {
        let port_table = |path: &Option<PathBuf>| match path {
            Some(path) => format!("--requirements {}: ", path.display()),
            None => String::new(),
        };
        Self::usage(match &error {
            ScopeError::Requirements { .. } => format!("--requirements {error}"),
            ScopeError::SeveralEditions { path, editions } => format!(
                "{}the port table has several editions: add --edition, one of {}",
                port_table(path),
                editions.join(", ")
            ),
            ScopeError::ServiceTags { .. } => format!("--service-tags {error}"),
            ScopeError::Names { .. } => format!("--names {error}"),
            ScopeError::Catalog(_) => error.to_string(),
        })
    }
}

/// Returns whether a word stands for the newest edition.
fn is_newest(id: &str) -> bool {
    ["latest", "newest"].iter().any(|word| id.eq_ignore_ascii_case(word))
}

fn date(text: &str) -> Result<Timestamp, String> {
    let time = Timestamp::parse_day_or_time(text);
    time.ok_or_else(|| "write a day like 2026-05-04, or a time like 2026-05-04T06:00:00Z".to_owned())
}

fn prefix(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|e: crate::net::PrefixError| visible(&e.to_string()).into_owned())
}

/// Parses a subnet. An address that ends in 0 is no subnet of its own.
fn subnet(text: &str) -> Result<Prefix, String> {
    let prefix = prefix(text)?;
    if !text.contains('/') && text.ends_with(".0") {
        return Err(format!("that is one address: write the length of the subnet, such as {text}/24, or {text}/32"));
    }
    Ok(prefix)
}

fn vnet(text: &str) -> Result<Prefix, String> {
    let prefix = prefix(text)?;
    if prefix.length() == 0 {
        return Err("/0 covers every address: give the address space of the virtual network".to_owned());
    }
    Ok(prefix)
}
