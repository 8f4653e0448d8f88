//! The tables `[[deliver]]`: who gets the result of a run, when, and where it goes. Values are resolved already.

use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::{Place, SecretUrl, SigningKey, is_loopback};
use crate::names::names;
use crate::report::Format;
use crate::source::Auth;

/// Someone or something that gets the results of runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Receiver {
    /// Name, unique among the receivers. Without one it is the kind.
    pub name: String,
    /// Occasions on which it gets a message; any of them suffices.
    pub on: Vec<Occasion>,
    /// Instances whose results it gets; all of them if empty.
    pub instances: Vec<String>,
    /// Address of the whole report, named in messages. May hold `{instance}`, `{date}` and `{time}`.
    pub link: Option<String>,
    /// Where messages go.
    pub target: Target,
}

/// Where messages go, and what that needs.
#[derive(Debug, Clone)]
pub enum Target {
    /// A report in a file or blob.
    File {
        /// Path or address, which may hold `{instance}`, `{date}` and `{time}`. Its ending names the format.
        path: Place,
    },
    /// A web service that takes JSON, signed as Standard Webhooks has it.
    Webhook {
        /// Address of the service.
        url: SecretUrl,
        /// Keys that sign; several while keys are changed. Messages are not signed without one.
        secrets: Vec<SigningKey>,
    },
    /// An incoming webhook of Slack.
    Slack {
        /// Address of the webhook.
        url: SecretUrl,
    },
    /// A workflow of Teams that posts cards.
    Teams {
        /// Address of the workflow.
        url: SecretUrl,
    },
    /// A file for the textfile collector of Prometheus.
    Metrics {
        /// Path, which may hold `{instance}`. Ends in `.prom`.
        path: String,
    },
    /// A table of Log Analytics, by the Logs Ingestion API.
    LogAnalytics {
        /// Address of the data collection rule or endpoint.
        endpoint: Url,
        /// Immutable id of the data collection rule.
        dcr: String,
        /// Stream of the rule.
        stream: String,
        /// Credential to use.
        auth: Auth,
    },
}

/// Kind of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// A report in a file or blob.
    File,
    /// A web service that takes JSON.
    Webhook,
    /// Slack.
    Slack,
    /// Microsoft Teams.
    Teams,
    /// Prometheus.
    Metrics,
    /// Azure Monitor.
    LogAnalytics,
}

names!(ReceiverKind {
    File = "file",
    Webhook = "webhook",
    Slack = "slack",
    Teams = "teams",
    Metrics = "metrics",
    LogAnalytics = "log-analytics",
});

/// Occasion on which a receiver gets a message. Accepted findings never are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Every run.
    Always,
    /// A finding is not what it was at the last run.
    Change,
    /// The exit status is not 0.
    Fail,
    /// A finding is new, is back, or is no longer accepted.
    New,
    /// A finding is more severe than before.
    Worsened,
    /// A dependency works again.
    Resolved,
    /// Something goes wrong that did not at the last run.
    Error,
}

names!(Occasion {
    Always = "always",
    Change = "change",
    Fail = "fail",
    New = "new",
    Worsened = "worsened",
    Resolved = "resolved",
    Error = "error",
});

/// Occasions of a receiver that people read.
const ALERTS: [Occasion; 4] = [Occasion::New, Occasion::Worsened, Occasion::Resolved, Occasion::Error];
/// Longest name of a receiver, in characters.
const LONGEST_NAME: usize = 64;
/// Parts of a path or link that a run fills in.
pub const PLACEHOLDERS: [&str; 3] = ["instance", "date", "time"];

/// A table as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: ReceiverKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<Vec<Occasion>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    instances: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<SecretUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<SigningKey>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dcr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
}

impl Table {
    fn of(kind: ReceiverKind) -> Self {
        Self {
            kind,
            name: None,
            on: None,
            instances: Vec::new(),
            link: None,
            path: None,
            url: None,
            secrets: None,
            endpoint: None,
            dcr: None,
            stream: None,
            auth: None,
        }
    }

    /// Returns the first key that its kind does not have.
    fn surplus(&self) -> Option<&'static str> {
        use ReceiverKind::{File, LogAnalytics, Metrics, Slack, Teams, Webhook};
        let keys: [(&'static str, bool, &[ReceiverKind]); 7] = [
            ("path", self.path.is_some(), &[File, Metrics]),
            ("url", self.url.is_some(), &[Webhook, Slack, Teams]),
            ("secrets", self.secrets.is_some(), &[Webhook]),
            ("endpoint", self.endpoint.is_some(), &[LogAnalytics]),
            ("dcr", self.dcr.is_some(), &[LogAnalytics]),
            ("stream", self.stream.is_some(), &[LogAnalytics]),
            ("auth", self.auth.is_some(), &[LogAnalytics]),
        ];
        let mut surplus = keys.into_iter().filter(|(_, is_given, kinds)| *is_given && !kinds.contains(&self.kind));
        surplus.next().map(|(key, ..)| key)
    }
}

impl TryFrom<Table> for Receiver {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let kind = table.kind;
        if let Some(key) = table.surplus() {
            return Err(format!("a receiver of kind '{kind}' has no key '{key}'"));
        }
        let needs = |key: &str| format!("a receiver of kind '{kind}' needs the key '{key}'");
        let url = |url: Option<SecretUrl>| url.ok_or_else(|| needs("url"));
        let target = match kind {
            ReceiverKind::File => Target::File { path: report_path(table.path.ok_or_else(|| needs("path"))?)? },
            ReceiverKind::Webhook => {
                Target::Webhook { url: url(table.url)?, secrets: table.secrets.unwrap_or_default() }
            }
            ReceiverKind::Slack => Target::Slack { url: url(table.url)? },
            ReceiverKind::Teams => Target::Teams { url: url(table.url)? },
            ReceiverKind::Metrics => Target::Metrics { path: metrics_path(&table.path.ok_or_else(|| needs("path"))?)? },
            ReceiverKind::LogAnalytics => Target::LogAnalytics {
                endpoint: endpoint(&table.endpoint.ok_or_else(|| needs("endpoint"))?)?,
                dcr: path_segment("dcr", table.dcr.ok_or_else(|| needs("dcr"))?)?,
                stream: path_segment("stream", table.stream.ok_or_else(|| needs("stream"))?)?,
                auth: table.auth.unwrap_or_default(),
            },
        };
        let name = table.name.unwrap_or_else(|| kind.name().to_owned());
        if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(format!("the name of a receiver has 1 to {LONGEST_NAME} characters"));
        }
        let on = table.on.unwrap_or_else(|| match kind {
            ReceiverKind::Webhook | ReceiverKind::Slack | ReceiverKind::Teams => ALERTS.to_vec(),
            _ => vec![Occasion::Always],
        });
        if on.is_empty() {
            return Err(format!(
                "'on' is empty, so '{name}' would never get a message: leave it out, or name one of {}",
                Occasion::NAMES.join(", ")
            ));
        }
        if let Some(link) = &table.link {
            check_placeholders("link", link)?;
        }
        Ok(Self { name, on, instances: table.instances, link: table.link, target })
    }
}

impl From<Receiver> for Table {
    fn from(receiver: Receiver) -> Self {
        let Receiver { name, on, instances, link, target } = receiver;
        let own = Self { name: Some(name), on: Some(on), instances, link, ..Self::of(target.kind()) };
        match target {
            Target::File { path } => Self { path: Some(path), ..own },
            Target::Webhook { url, secrets } => {
                Self { url: Some(url), secrets: Some(secrets).filter(|secrets| !secrets.is_empty()), ..own }
            }
            Target::Slack { url } | Target::Teams { url } => Self { url: Some(url), ..own },
            Target::Metrics { path } => Self { path: Some(Place::new(path)), ..own },
            Target::LogAnalytics { endpoint, dcr, stream, auth } => Self {
                endpoint: Some(endpoint.to_string()),
                dcr: Some(dcr),
                stream: Some(stream),
                auth: Some(auth),
                ..own
            },
        }
    }
}

impl Receiver {
    /// Returns whether it gets the results of an instance.
    pub fn is_for(&self, instance: &str) -> bool {
        self.instances.is_empty() || self.instances.iter().any(|name| name == instance)
    }

    /// Returns whether the files of some of these instances would replace each other.
    pub fn overwrites<'a>(&self, instances: impl IntoIterator<Item = &'a str>) -> bool {
        let path = match &self.target {
            Target::File { path } => path.without_query(),
            Target::Metrics { path } => path,
            _ => return false,
        };
        !path.contains("{instance}") && instances.into_iter().filter(|name| self.is_for(name)).count() > 1
    }
}

impl Target {
    /// Returns the kind.
    pub fn kind(&self) -> ReceiverKind {
        match self {
            Self::File { .. } => ReceiverKind::File,
            Self::Webhook { .. } => ReceiverKind::Webhook,
            Self::Slack { .. } => ReceiverKind::Slack,
            Self::Teams { .. } => ReceiverKind::Teams,
            Self::Metrics { .. } => ReceiverKind::Metrics,
            Self::LogAnalytics { .. } => ReceiverKind::LogAnalytics,
        }
    }
}

fn report_path(path: Place) -> Result<Place, String> {
    let text = path.without_query();
    check_placeholders("path", text)?;
    match Format::of_file(std::path::Path::new(text)) {
        Some(_) => Ok(path),
        None => Err("the ending of 'path' names no format of a report, such as .json or .md".to_owned()),
    }
}

fn metrics_path(path: &Place) -> Result<String, String> {
    let text = path.without_query();
    check_placeholders("path", text)?;
    match !path.is_address() && text.ends_with(".prom") {
        true => Ok(text.to_owned()),
        false => Err("'path' of metrics is a local file that ends in .prom".to_owned()),
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).ok().filter(Url::has_host);
    let is_plain = |url: &Url| url.query().is_none() && url.username().is_empty() && url.password().is_none();
    let is_safe = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
    url.filter(|url| is_plain(url) && is_safe(url)).ok_or_else(|| {
        "'endpoint' is the address of logsIngestion of the data collection rule, such as \
         https://NAME.REGION-1.ingest.monitor.azure.com"
            .to_owned()
    })
}

/// Checks a text that becomes one segment of an address.
fn path_segment(key: &str, text: String) -> Result<String, String> {
    let is_usable = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    match !text.is_empty() && text.chars().all(is_usable) {
        true => Ok(text),
        false => Err(format!("'{key}' has letters, digits, - and _ only")),
    }
}

/// Checks that a text in braces is known.
fn check_placeholders(key: &str, text: &str) -> Result<(), String> {
    let named = text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
    match named.into_iter().find(|name| !PLACEHOLDERS.contains(name)) {
        Some(_) => Err(format!("in braces, '{key}' may have {{instance}}, {{date}} and {{time}} only")),
        None => Ok(()),
    }
}
