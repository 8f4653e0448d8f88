//! Endpoints of Blob Storage accounts: address, cloud, and the key of a store.

use std::fmt;

use url::{Host, Url};

use crate::names::names;

/// Text that never prints.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::source) struct Secret(pub(in crate::source) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Key of a store: the local file system, or account and container. The account is the user of its URL, the container
/// the password.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(Url);

impl StoreKey {
    /// The key as a URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Returns the key of the store that contains `url`.
    pub fn of(url: &Url) -> Self {
        let mut url = url.clone();
        url.set_path("/");
        url.set_query(None);
        Self(url)
    }

    pub(in crate::source) fn from_url(url: &str) -> Option<Self> {
        Url::parse(url).ok().as_ref().map(Self::of)
    }

    /// Returns whether this is the local file system.
    pub fn is_local(&self) -> bool {
        self.0.scheme() == "file"
    }

    /// Returns account and container of a remote store.
    pub(in crate::source) fn account(&self) -> Option<(&str, &str)> {
        Some((self.0.username(), self.0.password()?))
    }

    /// Returns whether the account is part of the path, as in an emulator.
    pub(in crate::source) fn is_emulated(&self) -> bool {
        is_emulator_host(&self.0)
    }

    /// Returns whether requests leave this machine unencrypted.
    pub(in crate::source) fn is_readable_by_others(&self) -> bool {
        let is_loopback = match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => true,
        };
        self.0.scheme() == "http" && !is_loopback
    }

    /// Returns the address of the account, without a container.
    pub(in crate::source) fn endpoint(&self) -> String {
        let host = &self.0[url::Position::BeforeHost..url::Position::AfterPort];
        match self.is_emulated() {
            true => format!("{}://{host}/{}", self.0.scheme(), self.0.username()),
            false => format!("{}://{host}", self.0.scheme()),
        }
    }
}

/// Address of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Endpoint {
    scheme: String,
    account: String,
    /// Host name, with the port if the address has one.
    host: String,
}

impl Endpoint {
    /// Returns the Blob endpoint of a host such as `ACCOUNT.blob.core.windows.net`, in any cloud. `dfs` is accepted in
    /// place of `blob`.
    pub(in crate::source) fn of_host(host: &str, port: Option<u16>) -> Option<Self> {
        let labels: Vec<&str> = host.split('.').collect();
        let service = labels.iter().position(|label| matches!(*label, "blob" | "dfs")).filter(|&at| at > 0)?;
        if labels.len() < service + 3 {
            return None;
        }
        let mut blob = labels.clone();
        blob[service] = "blob";
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(Self {
            scheme: "https".to_owned(),
            // The read-only replica in the other region belongs to the same account.
            account: labels[0].trim_end_matches("-secondary").to_owned(),
            host: format!("{}{port}", blob.join(".")),
        })
    }

    pub(in crate::source) fn emulated(scheme: &str, account: &str, host: &str) -> Self {
        Self { scheme: scheme.to_owned(), account: account.to_owned(), host: host.to_owned() }
    }

    /// Parses an address without a container, as in a connection string.
    pub(in crate::source) fn of_url(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        Self::of_host(host, url.port()).or_else(|| {
            let account = url.path_segments()?.find(|part| !part.is_empty())?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            is_emulator_host(&url).then(|| Self::emulated(url.scheme(), account, &format!("{host}{port}")))
        })
    }

    pub(in crate::source) fn account(&self) -> &str {
        &self.account
    }

    pub(in crate::source) fn store(&self, container: &str) -> Option<StoreKey> {
        StoreKey::from_url(&format!("{}://{}:{container}@{}/", self.scheme, self.account, self.host))
    }
}

/// Returns whether a host is an emulator: an IP address, or a name without a domain, as in a Docker network.
pub(in crate::source) fn is_emulator_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => !name.trim_end_matches(".localhost").contains('.'),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// One of Microsoft's clouds. Its name is that of service-tag files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The cloud of most customers.
    Public,
    /// The cloud of the US government.
    Government,
    /// The cloud in China.
    China,
}

names!(Cloud { Public = "Public", Government = "AzureGovernment", China = "China" });

impl Cloud {
    /// Returns the cloud of a service's host.
    pub fn of_host(host: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| host.ends_with(cloud.suffix()))
    }

    /// Returns the cloud of a region, such as `usgovvirginia`.
    pub fn of_region(region: &str) -> Self {
        let starts = |name: &str| region.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if starts("china") {
            Self::China
        } else if starts("usgov") || starts("usdod") {
            Self::Government
        } else {
            Self::Public
        }
    }

    /// Returns the cloud with a name of service-tag files or of the Azure CLI, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(|cloud| is(cloud.name()) || is(cloud.name_in_cli()))
    }

    /// Returns the name of the cloud in the Azure CLI.
    pub const fn name_in_cli(self) -> &'static str {
        match self {
            Self::Public => "AzureCloud",
            Self::Government => "AzureUSGovernment",
            Self::China => "AzureChinaCloud",
        }
    }

    /// Returns the suffix of the hosts of its storage accounts.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Public => "core.windows.net",
            Self::Government => "usgovcloudapi.net",
            Self::China => "chinacloudapi.cn",
        }
    }

    /// Returns the address that issues its tokens.
    pub(in crate::source) const fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::Government => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Returns the address of its management API.
    pub(in crate::source) const fn management(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::Government => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// Returns the scope of the tokens for its management API.
    pub(in crate::source) const fn management_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::Government => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }
}
