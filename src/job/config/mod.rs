//! The configuration of a scheduled job, `flowgap.config/1`: TOML that is checked to the last key.

mod load;
pub mod receiver;
pub mod secret;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use load::{ConfigError, load, parse};
use receiver::Receiver;
use secret::Place;

use crate::catalog::InstanceMode;
use crate::findings::{Gate, Severity};
use crate::names::{UnknownName, names};
use crate::net::Prefix;
use crate::options::{ExportOptions, ScopeOptions, SourceOptions, TagFile, Window};
use crate::source::Auth;
use crate::time::typed;

/// An example that the parser accepts, with a comment on each key.
pub const EXAMPLE: &str = include_str!("example.toml");

/// JSON Schema of the configuration.
pub const SCHEMA: &str = include_str!("../../../docs/config.schema.json");

/// Version of the configuration. Reading refuses every other version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSchema {
    /// The first version.
    V1,
}

names!(ConfigSchema { V1 = "flowgap.config/1" });

/// A whole configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of the configuration.
    pub schema: ConfigSchema,
    /// Folder of the state, or the address of a container or a folder in one.
    pub state: Place,
    /// Service-tag file of all instances.
    #[serde(default)]
    pub service_tags: Option<PathBuf>,
    /// Sources by their names.
    pub source: BTreeMap<String, SourceConfig>,
    /// Instances, in the order in which they are analysed.
    pub instance: Vec<InstanceConfig>,
    /// Receivers of what is found.
    #[serde(default)]
    pub deliver: Vec<Receiver>,
}

/// Where logs are, and how to read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Sources, as on the command line.
    pub address: Vec<Place>,
    /// Credential for the storage account.
    #[serde(default)]
    pub auth: Auth,
    /// Start of the names of blobs, below their source.
    #[serde(default)]
    pub prefix: String,
    /// Interfaces to read, as MAC addresses. Empty for all.
    #[serde(default)]
    pub macs: Vec<String>,
    /// Maximum concurrent requests to a container.
    #[serde(default = "concurrency")]
    pub concurrency: u16,
    /// Seconds without progress after which a request is retried.
    #[serde(default = "timeout")]
    pub timeout: u16,
    /// Retries after a transient error.
    #[serde(default = "retries")]
    pub retries: u8,
    /// Lake that the logs are copied into before each run, and from which they are analysed.
    #[serde(default)]
    pub lake: Option<Place>,
    /// Credential for the storage account of the lake; null for that of the source.
    #[serde(default)]
    pub lake_auth: Option<Auth>,
}

/// One API Management instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceConfig {
    /// Name, which is also that of its state.
    pub name: String,
    /// Name of its source.
    pub source: String,
    /// Its subnets. Empty to infer them from the flows.
    #[serde(default)]
    pub subnets: Vec<Prefix>,
    /// Address space of the tag `VirtualNetwork`. Empty for the private address ranges.
    #[serde(default)]
    pub vnet: Vec<Prefix>,
    /// How it is connected; null to infer it.
    #[serde(default)]
    pub vnet_mode: Option<InstanceMode>,
    /// Edition of the port table; null for the newest.
    #[serde(default)]
    pub edition: Option<String>,
    /// A port table of the user.
    #[serde(default)]
    pub requirements: Option<PathBuf>,
    /// Time before the run that it looks at.
    #[serde(default)]
    pub window: WindowText,
    /// Severity from which findings fail the run.
    #[serde(default)]
    pub fail_on: FailOn,
    /// Share of required rows that need evidence.
    #[serde(default = "min_coverage")]
    pub min_coverage: f64,
    /// Whether any malformed tuple or record fails the run.
    #[serde(default)]
    pub strict: bool,
    /// File of accepted findings.
    #[serde(default)]
    pub suppressions: Option<PathBuf>,
    /// Age of the newest flow of an interface from which its silence is an error.
    #[serde(default = "max_lag")]
    pub max_lag: WindowText,
    /// Exported rules and routes: files, folders or addresses of blobs.
    #[serde(default)]
    pub nsg: Vec<Place>,
    /// Network status of the instance: files, folders or addresses of blobs.
    #[serde(default)]
    pub network_status: Vec<Place>,
    /// Recorded changes: files, folders, or addresses of an account, container or prefix.
    #[serde(default)]
    pub activity_log: Vec<Place>,
}

/// A length of time, written like `24h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowText {
    text: String,
    /// Length in ms.
    pub length: i64,
}

/// Severity from which findings fail a run, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailOn(pub Option<Severity>);

impl SourceConfig {
    /// Returns the options of its sources.
    pub fn options(&self) -> SourceOptions {
        SourceOptions {
            prefix: self.prefix.clone(),
            macs: self.macs.clone(),
            auth: self.auth,
            concurrency: self.concurrency,
            timeout: self.timeout,
            retries: self.retries,
        }
    }

    /// Returns the options of its lake as a source.
    pub fn lake_options(&self) -> SourceOptions {
        SourceOptions { auth: self.lake_auth.unwrap_or(self.auth), ..self.options() }
    }
}

impl InstanceConfig {
    /// Returns the options of its scope.
    pub fn scope(&self, service_tags: Option<&PathBuf>) -> ScopeOptions {
        ScopeOptions {
            subnets: self.subnets.clone(),
            vnet: self.vnet.clone(),
            vnet_mode: self.vnet_mode,
            edition: self.edition.clone(),
            requirements: self.requirements.clone(),
            service_tags: service_tags.map(|path| TagFile { path: path.clone(), date: None }),
            names: Vec::new(),
        }
    }

    /// Returns the places of its exports.
    pub fn exports(&self) -> ExportOptions {
        let texts = |places: &[Place]| places.iter().map(|place| place.expose().to_owned()).collect();
        ExportOptions {
            nsg: texts(&self.nsg),
            network_status: texts(&self.network_status),
            activity_log: texts(&self.activity_log),
        }
    }

    /// Returns the conditions of its exit status.
    pub fn gate(&self) -> Gate {
        Gate { fail_on: self.fail_on.0, min_coverage: self.min_coverage, is_strict: self.strict }
    }

    /// Returns the flows to read.
    pub fn window(&self) -> Window {
        Window::Last(self.window.length)
    }
}

impl Default for WindowText {
    fn default() -> Self {
        Self::days_or_hours("24h")
    }
}

impl WindowText {
    fn days_or_hours(text: &str) -> Self {
        Self { text: text.to_owned(), length: typed::duration(text).unwrap_or_default() }
    }
}

impl Serialize for WindowText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for WindowText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let length = typed::duration(&text);
        let length =
            length.ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no time like 7d, 24h or 90m")))?;
        Ok(Self { text, length })
    }
}

impl Default for FailOn {
    fn default() -> Self {
        Self(Gate::default().fail_on)
    }
}

impl Serialize for FailOn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.map_or("never", Severity::name))
    }
}

impl<'de> Deserialize<'de> for FailOn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), Severity::from_name(&text)) {
            ("never", _) => Ok(Self(None)),
            (_, Some(severity)) => Ok(Self(Some(severity))),
            (_, None) => {
                let known: Vec<&str> = Severity::NAMES.into_iter().chain(["never"]).collect();
                Err(serde::de::Error::custom(UnknownName::new(&text, &known)))
            }
        }
    }
}

fn concurrency() -> u16 {
    SourceOptions::default().concurrency
}

fn timeout() -> u16 {
    SourceOptions::TIMEOUT
}

fn retries() -> u8 {
    SourceOptions::RETRIES
}

fn min_coverage() -> f64 {
    Gate::default().min_coverage
}

fn max_lag() -> WindowText {
    WindowText::days_or_hours("3h")
}
