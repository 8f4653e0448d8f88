//! What the logs are held against, as typed.

use std::path::{Path, PathBuf};

use super::{Failure, named, open_edition};
use crate::catalog::{InstanceMode, ServiceTags};
use crate::engine::Scope;
use crate::net::Prefix;
use crate::report::sink::visible;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Subnet of the API Management instance, such as 10.20.1.0/24; repeatable [default: found in the flows]
    #[arg(long, value_name = "CIDR", value_parser = prefix)]
    subnet: Vec<Prefix>,

    /// Address space that the tag VirtualNetwork stands for; repeatable [default: RFC 1918, 100.64.0.0/10, fc00::/7]
    #[arg(long, value_name = "CIDR", value_parser = vnet)]
    vnet: Vec<Prefix>,

    /// How the instance is joined to its virtual network
    #[arg(long, value_parser = named::<InstanceMode>(InstanceMode::NAMES))]
    vnet_mode: Option<InstanceMode>,

    /// Edition of the port table; flowgap requirements --list-editions lists them [default: the newest]
    #[arg(long, value_name = "ID")]
    edition: Option<String>,

    /// Own port table: CSV with at least id, direction, source, destination, destination_ports, protocol
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,

    /// Microsoft's ServiceTags_*.json, as downloaded, or as az network list-service-tags prints it
    #[arg(long, value_name = "FILE", env = "FLOWGAP_SERVICE_TAGS", hide_env_values = true)]
    service_tags: Option<PathBuf>,

    /// Day on which the service-tag file was written, such as 2026-05-04, where its name has none
    #[arg(long, value_name = "DATE", value_parser = date, requires = "service_tags")]
    service_tags_date: Option<i64>,
}

impl Args {
    pub fn resolve(&self) -> Result<Scope, Failure> {
        let edition = open_edition(self.requirements.as_deref(), self.edition.as_deref())?;
        let open = |path| service_tags(path, self.service_tags_date);
        let service_tags = self.service_tags.as_deref().map(open).transpose()?;
        let mut subnets = self.subnet.clone();
        subnets.sort_unstable();
        subnets.dedup();
        let scope =
            Scope::new(edition).with_subnets(subnets).with_vnet_mode(self.vnet_mode).with_service_tags(service_tags);
        Ok(if self.vnet.is_empty() { scope } else { scope.with_vnet(self.vnet.clone()) })
    }

    /// Whether a service-tag file is loaded.
    pub fn has_service_tags(&self) -> bool {
        self.service_tags.is_some()
    }
}

fn service_tags(path: &Path, date: Option<i64>) -> Result<ServiceTags, Failure> {
    ServiceTags::open(path, date).map_err(|e| Failure::usage(format!("--service-tags {}: {e}", path.display())))
}

/// A day, or RFC 3339, in ms since 1970.
fn date(text: &str) -> Result<i64, String> {
    let time = Timestamp::parse_day_or_time(text).map(|time| time.0);
    time.ok_or_else(|| "write a day like 2026-05-04, or a time like 2026-05-04T06:00:00Z".to_owned())
}

fn prefix(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|e: crate::net::PrefixError| visible(&e.to_string()).into_owned())
}

fn vnet(text: &str) -> Result<Prefix, String> {
    let prefix = prefix(text)?;
    if prefix.length() == 0 {
        return Err("a virtual network is never everything: name its address space".to_owned());
    }
    Ok(prefix)
}
