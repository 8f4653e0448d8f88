//! What the logs are held against, as typed.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};

use super::{Failure, open_catalog};
use crate::catalog::{ServiceTags, VnetMode};
use crate::engine::Scope;
use crate::net::Prefix;

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
}

/// What `VirtualNetwork` stands for unless said otherwise.
const DEFAULT_VNET: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

impl Args {
    pub fn resolve(&self) -> Result<Scope, Failure> {
        let (catalog, edition) = open_catalog(self.requirements.as_deref(), self.edition.as_deref())?;
        let default_vnet = || DEFAULT_VNET.iter().filter_map(|p| p.parse().ok()).collect();
        let service_tags = self.service_tags.as_deref().map(service_tags).transpose()?;
        let mut subnets = self.subnet.clone();
        subnets.sort_unstable();
        subnets.dedup();
        Ok(Scope {
            subnets,
            members: Vec::new(),
            vnet: if self.vnet.is_empty() { default_vnet() } else { self.vnet.clone() },
            vnet_mode: self.vnet_mode.as_deref().and_then(|mode| mode.parse::<VnetMode>().ok()),
            catalog,
            edition,
            service_tags,
        })
    }

    /// Whether a service-tag file is loaded.
    pub fn has_service_tags(&self) -> bool {
        self.service_tags.is_some()
    }
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
