//! Where an account of Blob Storage answers: its endpoint, its cloud, and the key of a store in it.

use std::fmt;

use url::{Host, Url};

/// Text that never prints.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::source) struct Secret(pub(in crate::source) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What tells stores apart: the local file system, or account and container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(Url);

impl StoreKey {
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The key of the store that `url` lies in.
    pub fn of(url: &Url) -> Self {
        let mut url = url.clone();
        url.set_path("/");
        url.set_query(None);
        Self(url)
    }

    pub(in crate::source) fn from_url(url: &str) -> Option<Self> {
        Url::parse(url).ok().as_ref().map(Self::of)
    }

    pub fn is_local(&self) -> bool {
        self.0.scheme() == "file"
    }

    /// Account and container, for a remote store.
    pub(in crate::source) fn account(&self) -> Option<(&str, &str)> {
        Some((self.0.username(), self.0.password()?))
    }

    /// Whether the account stands in the path, as emulators have it.
    pub(in crate::source) fn is_emulated(&self) -> bool {
        is_emulator_host(&self.0)
    }

    /// Whether requests leave this machine as anybody on the way can read them.
    pub(in crate::source) fn is_readable_by_others(&self) -> bool {
        let is_loopback = match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => true,
        };
        self.0.scheme() == "http" && !is_loopback
    }

    /// Where the account answers, without a container.
    pub(in crate::source) fn endpoint(&self) -> String {
        let host = &self.0[url::Position::BeforeHost..url::Position::AfterPort];
        match self.is_emulated() {
            true => format!("{}://{host}/{}", self.0.scheme(), self.0.username()),
            false => format!("{}://{host}", self.0.scheme()),
        }
    }
}

/// Where an account answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Endpoint {
    scheme: String,
    account: String,
    /// With the port, where one was named.
    host: String,
}

impl Endpoint {
    /// The Blob service of a host that names its account first: `ACCOUNT.blob.core.windows.net`, or `dfs` in the place of
    /// `blob`, of any cloud.
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
            // The read-only copy in the other region is the same account.
            account: labels[0].trim_end_matches("-secondary").to_owned(),
            host: format!("{}{port}", blob.join(".")),
        })
    }

    pub(in crate::source) fn emulated(scheme: &str, account: &str, host: &str) -> Self {
        Self { scheme: scheme.to_owned(), account: account.to_owned(), host: host.to_owned() }
    }

    /// Of an address without a container, such as a connection string has.
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

/// Emulators run at an IP address, or under a name without a domain, as in a Docker network.
pub(in crate::source) fn is_emulator_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => !name.trim_end_matches(".localhost").contains('.'),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// One of Microsoft's clouds.
pub(in crate::source) struct Cloud {
    /// How the hosts of its services end.
    suffix: &'static str,
    /// As service-tag files name it.
    pub(in crate::source) name: &'static str,
    /// Where its tokens come from.
    pub(in crate::source) authority: &'static str,
}

impl Cloud {
    pub(in crate::source) const PUBLIC: Self =
        Self { suffix: "core.windows.net", name: "Public", authority: "https://login.microsoftonline.com" };
    const ALL: [Self; 3] = [
        Self::PUBLIC,
        Self { suffix: "usgovcloudapi.net", name: "AzureGovernment", authority: "https://login.microsoftonline.us" },
        Self { suffix: "chinacloudapi.cn", name: "China", authority: "https://login.chinacloudapi.cn" },
    ];

    pub(in crate::source) fn of_host(host: &str) -> Option<&'static Self> {
        const ALL: &[Cloud; 3] = &Cloud::ALL;
        ALL.iter().find(|cloud| host.ends_with(cloud.suffix))
    }
}
