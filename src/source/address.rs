//! Addresses of inputs: what a SOURCE argument names, and which store it lies in. Secrets in an address stay in
//! here and never print.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};
use url::{Host, Url};

use super::SourceError;
use super::azure::auth::Environment;
use super::list::pattern::{Found, Pattern};

/// Where Azure writes flow logs, unless someone moved them.
pub const CONTAINERS: [&str; 2] = ["insights-logs-flowlogflowevent", "insights-logs-networksecuritygroupflowevent"];

/// One SOURCE argument, or one of the files or containers that it stands for.
#[derive(Debug, Clone)]
pub struct Source {
    pub store: StoreKey,
    /// Where in the store to look; a path of the file system for local sources.
    pub prefix: String,
    /// What stands before a blob's name below `prefix` when it is shown. Holds no secret.
    pub shown: String,
    /// The account that was named where no container was: any of its sources may be missing, but not all.
    pub account: Option<String>,
    /// Shared access signature from the address. A secret.
    pub(super) sas: Option<Secret>,
    /// The pattern of file names that it is.
    pattern: Option<Arc<Pattern>>,
    /// The file that holds what came through a pipe: removed with the last source that needs it.
    _kept: Option<Arc<TempPath>>,
}

/// Text that never prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What tells stores apart: the local file system, or account and container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(Url);

impl FromStr for Source {
    type Err = SourceError;

    /// A single place; an address that leaves the account to the environment, or the container open, is an error.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let mut sources = match text.contains("://") {
            // An address of any kind, well written or not, may hold a secret: only its harmless part is ever shown.
            true => Self::remote(text, &Environment::default())?,
            false => vec![Self::local(&PathBuf::from(text), text)?],
        };
        match sources.len() {
            1 => Ok(sources.remove(0)),
            _ => Err(SourceError::NotBlobStorage { shown: harmless(text) }),
        }
    }
}

impl Source {
    /// What a SOURCE argument names: one place, every file and folder that fits a pattern, or the containers of an account
    /// that flow logs are written to.
    pub fn matching(text: &str, environment: &Environment) -> Result<Vec<Self>, SourceError> {
        if text.contains("://") {
            return Self::remote(text, environment);
        }
        // A name is a name first.
        if !Pattern::is_one(text) || Path::new(text).exists() {
            return Ok(vec![text.parse()?]);
        }
        Ok(vec![Self::pattern(text)?])
    }

    fn pattern(text: &str) -> Result<Self, SourceError> {
        let failed = |reason| SourceError::Pattern { pattern: text.to_owned(), reason };
        let pattern = Pattern::new(text).map_err(failed)?;
        let base = &pattern.base;
        match Self::local(Path::new(if base.is_empty() { "." } else { base }), base) {
            Err(SourceError::Missing(_)) => Err(SourceError::NoMatch(harmless(text))),
            source => Ok(Self { shown: harmless(text), pattern: Some(Arc::new(pattern)), ..source? }),
        }
    }

    /// What fits the pattern, where the source is one. Nothing at all is an error.
    pub(super) async fn find(&self) -> Result<Option<Found>, SourceError> {
        let Some(pattern) = self.pattern.clone() else { return Ok(None) };
        let place = PathBuf::from(&self.prefix);
        match tokio::task::spawn_blocking(move || pattern.find(&place)).await {
            Ok(found) if found.is_empty() => Err(SourceError::NoMatch(self.shown.clone())),
            Ok(found) => Ok(Some(found)),
            Err(error) => Err(SourceError::unread(&self.shown, &error.to_string())),
        }
    }

    /// What stands before the name of a blob below `prefix` when it is shown.
    pub(super) fn base(&self) -> &str {
        match &self.pattern {
            Some(pattern) if pattern.base.len() > 1 => pattern.base.trim_end_matches('/'),
            Some(pattern) => &pattern.base,
            None => &self.shown,
        }
    }

    /// Whether one file is named, and no pattern.
    pub(super) fn is_file(&self) -> bool {
        self.pattern.is_none() && Path::new(&self.prefix).is_file()
    }

    /// What came through a pipe into a temporary file, so that it can be read in pieces and again, like any other.
    /// The file is removed with the last clone of the source.
    pub fn of_pipe(file: NamedTempFile) -> Result<Self, SourceError> {
        let path = file.into_temp_path();
        let source = Self::local(&path, "-")?;
        Ok(Self { _kept: Some(Arc::new(path)), ..source })
    }

    fn local(path: &Path, text: &str) -> Result<Self, SourceError> {
        let path = path.canonicalize().map_err(|reason| match reason.kind() {
            std::io::ErrorKind::NotFound => SourceError::Missing(harmless(text)),
            _ => SourceError::Local { source_text: harmless(text), reason },
        })?;
        let store = StoreKey::from_url("file:///").expect("a constant of this file");
        let shown = text.trim_end_matches('/').to_owned();
        Ok(Self {
            store,
            prefix: path.to_string_lossy().into_owned(),
            shown,
            account: None,
            sas: None,
            pattern: None,
            _kept: None,
        })
    }

    pub fn is_local(&self) -> bool {
        self.store.0.scheme() == "file"
    }

    /// The cloud that the address tells of, as service-tag files name it.
    pub fn cloud(&self) -> Option<&'static str> {
        Cloud::of_host(self.store.0.host_str()?).map(|cloud| cloud.name)
    }

    fn remote(text: &str, environment: &Environment) -> Result<Vec<Self>, SourceError> {
        let shown = harmless(text).trim_end_matches('/').to_owned();
        let not_blob_storage = || SourceError::NotBlobStorage { shown: shown.clone() };
        let url = Url::parse(text).map_err(|_| not_blob_storage())?;
        let sas = url.query().filter(|query| query.contains("sig=")).map(|query| Secret(query.to_owned()));
        let mut parts = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
        let (endpoint, container) = match url.scheme() {
            // az://CONTAINER/PREFIX, the account said elsewhere
            "az" => {
                let endpoint =
                    environment.endpoint()?.ok_or_else(|| SourceError::NoAccount { shown: shown.clone() })?;
                (endpoint, url.host_str().map(str::to_owned))
            }
            // abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX
            "abfss" | "abfs" => {
                let host = url.host_str().ok_or_else(not_blob_storage)?;
                let container = Some(url.username()).filter(|name| !name.is_empty());
                (Endpoint::of_host(host, url.port()).ok_or_else(not_blob_storage)?, container.map(str::to_owned))
            }
            "https" | "http" => {
                let (scheme, host) = (url.scheme(), url.host_str().ok_or_else(not_blob_storage)?);
                let endpoint = match Endpoint::of_host(host, url.port()) {
                    Some(_) if scheme == "http" => return Err(SourceError::PlainHttp { shown }),
                    Some(endpoint) => endpoint,
                    // An emulator has the account in the path.
                    None if is_emulator_host(&url) => {
                        let account = parts.next().ok_or_else(not_blob_storage)?;
                        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                        Endpoint::emulated(scheme, account, &format!("{host}{port}"))
                    }
                    None => return Err(not_blob_storage()),
                };
                (endpoint, parts.next().map(str::to_owned))
            }
            _ => return Err(not_blob_storage()),
        };
        let prefix = parts.collect::<Vec<_>>().join("/");
        let source = |container: &str, shown: String, account: Option<String>| {
            let store = endpoint.store(container).ok_or_else(not_blob_storage)?;
            Ok(Self { store, prefix: prefix.clone(), shown, account, sas: sas.clone(), pattern: None, _kept: None })
        };
        match container {
            Some(container) => Ok(vec![source(&container, shown.clone(), None)?]),
            None if url.scheme().starts_with("ab") => Err(SourceError::NoContainer { shown: shown.clone() }),
            None => CONTAINERS.into_iter().map(|c| source(c, format!("{shown}/{c}"), Some(shown.clone()))).collect(),
        }
    }
}

/// Where an account answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    scheme: String,
    account: String,
    /// With the port, where one was named.
    host: String,
}

impl Endpoint {
    /// The Blob service of a host that names its account first: `ACCOUNT.blob.core.windows.net`, or `dfs` in the place of
    /// `blob`, of any cloud.
    pub(super) fn of_host(host: &str, port: Option<u16>) -> Option<Self> {
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

    pub(super) fn emulated(scheme: &str, account: &str, host: &str) -> Self {
        Self { scheme: scheme.to_owned(), account: account.to_owned(), host: host.to_owned() }
    }

    /// Of an address without a container, such as a connection string has.
    pub(super) fn of_url(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        Self::of_host(host, url.port()).or_else(|| {
            let account = url.path_segments()?.find(|part| !part.is_empty())?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            is_emulator_host(&url).then(|| Self::emulated(url.scheme(), account, &format!("{host}{port}")))
        })
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    fn store(&self, container: &str) -> Option<StoreKey> {
        StoreKey::from_url(&format!("{}://{}:{container}@{}/", self.scheme, self.account, self.host))
    }
}

/// Emulators run at an IP address, or under a name without a domain, as in a Docker network.
fn is_emulator_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => !name.trim_end_matches(".localhost").contains('.'),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// One of Microsoft's clouds.
pub(super) struct Cloud {
    /// How the hosts of its services end.
    suffix: &'static str,
    /// As service-tag files name it.
    name: &'static str,
    /// Where its tokens come from.
    pub(super) authority: &'static str,
}

impl Cloud {
    pub(super) const PUBLIC: Self =
        Self { suffix: "core.windows.net", name: "Public", authority: "https://login.microsoftonline.com" };
    const ALL: [Self; 3] = [
        Self::PUBLIC,
        Self { suffix: "usgovcloudapi.net", name: "AzureGovernment", authority: "https://login.microsoftonline.us" },
        Self { suffix: "chinacloudapi.cn", name: "China", authority: "https://login.chinacloudapi.cn" },
    ];

    pub(super) fn of_host(host: &str) -> Option<&'static Self> {
        const ALL: &[Cloud; 3] = &Cloud::ALL;
        ALL.iter().find(|cloud| host.ends_with(cloud.suffix))
    }
}

/// An address without its query, which may hold a signature, and without user and password; an `abfss` address keeps
/// its container, which stands where others have a user.
fn harmless(text: &str) -> String {
    let is_signed = text.contains("://") || text.to_ascii_lowercase().contains("sig=");
    let text = if is_signed { text.split(['?', '#']).next().unwrap_or_default() } else { text };
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let is_container = scheme.starts_with("abfs") && !host.contains(':');
            let host = if is_container { host } else { host.rsplit('@').next().unwrap_or_default() };
            format!("{scheme}://{host}{path}")
        }
        None => text.to_owned(),
    }
}

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

    fn from_url(url: &str) -> Option<Self> {
        Url::parse(url).ok().as_ref().map(Self::of)
    }

    pub fn is_local(&self) -> bool {
        self.0.scheme() == "file"
    }

    /// Account and container, for a remote store.
    pub(super) fn account(&self) -> Option<(&str, &str)> {
        Some((self.0.username(), self.0.password()?))
    }

    /// Whether the account stands in the path, as emulators have it.
    pub(super) fn is_emulated(&self) -> bool {
        is_emulator_host(&self.0)
    }

    /// Whether requests leave this machine as anybody on the way can read them.
    pub(super) fn is_readable_by_others(&self) -> bool {
        let is_loopback = match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => true,
        };
        self.0.scheme() == "http" && !is_loopback
    }

    /// Where the account answers, without a container.
    pub(super) fn endpoint(&self) -> String {
        let host = &self.0[url::Position::BeforeHost..url::Position::AfterPort];
        match self.is_emulated() {
            true => format!("{}://{host}/{}", self.0.scheme(), self.0.username()),
            false => format!("{}://{host}", self.0.scheme()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn reads_addresses_of_blob_storage() {
        let named = environment(&[("AZURE_STORAGE_ACCOUNT_NAME", "acct")]);
        let check = |text: &str, key: &str, prefix: &str, shown: &str| {
            let sources = Source::matching(text, &named).unwrap_or_else(|e| panic!("{text}: {e}"));
            let found: Vec<_> = sources.iter().map(|s| (s.store.0.as_str(), &*s.prefix, &*s.shown)).collect();
            assert_eq!(found, [(key, prefix, shown)], "{text}");
        };
        let acct = "https://acct:logs@acct.blob.core.windows.net/";
        check(
            "https://acct.blob.core.windows.net/logs/a/b/?sv=1&sig=SECRET",
            acct,
            "a/b",
            "https://acct.blob.core.windows.net/logs/a/b",
        );
        check("https://acct.dfs.core.windows.net/logs", acct, "", "https://acct.dfs.core.windows.net/logs");
        check("az://logs/a", acct, "a", "az://logs/a");
        check("abfss://logs@acct.dfs.core.windows.net/a", acct, "a", "abfss://logs@acct.dfs.core.windows.net/a");
        check(
            "https://acct-secondary.blob.core.windows.net/logs",
            "https://acct:logs@acct-secondary.blob.core.windows.net/",
            "",
            "https://acct-secondary.blob.core.windows.net/logs",
        );
        check(
            "https://acct.z01.blob.storage.azure.net/logs",
            "https://acct:logs@acct.z01.blob.storage.azure.net/",
            "",
            "https://acct.z01.blob.storage.azure.net/logs",
        );
        for host in ["acct.blob.core.usgovcloudapi.net", "acct.blob.core.chinacloudapi.cn"] {
            check(
                &format!("https://{host}/logs"),
                &format!("https://acct:logs@{host}/"),
                "",
                &format!("https://{host}/logs"),
            );
        }
        check(
            "http://127.0.0.1:10000/devstoreaccount1/logs/x",
            "http://devstoreaccount1:logs@127.0.0.1:10000/",
            "x",
            "http://127.0.0.1:10000/devstoreaccount1/logs/x",
        );
    }

    #[test]
    fn an_account_stands_for_both_containers() {
        for account in ["https://acct.blob.core.windows.net", "http://127.0.0.1:10000/devstoreaccount1"] {
            let sources = Source::matching(&format!("{account}/?sig=SECRET"), &Environment::default()).expect("valid");
            let shown: Vec<_> = sources.iter().map(|source| source.shown.clone()).collect();
            assert_eq!(shown, CONTAINERS.map(|container| format!("{account}/{container}")));
            assert!(sources.iter().all(|source| source.account.as_deref() == Some(account) && source.sas.is_some()));
        }
    }

    #[test]
    fn az_takes_the_account_from_the_environment() {
        let key = |variables: &[(&str, &str)]| {
            let sources = Source::matching("az://logs", &environment(variables));
            sources.map(|sources| sources[0].store.0.to_string()).map_err(|error| error.to_string())
        };
        let connection = |text| [("AZURE_STORAGE_CONNECTION_STRING", text)];
        assert_eq!(
            key(&connection("UseDevelopmentStorage=true")).as_deref(),
            Ok("http://devstoreaccount1:logs@127.0.0.1:10000/")
        );
        assert_eq!(
            key(&connection("AccountName=a;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn")).as_deref(),
            Ok("https://a:logs@a.blob.core.chinacloudapi.cn/")
        );
        assert_eq!(
            key(&connection("BlobEndpoint=https://a.z1.blob.storage.azure.net/;SharedAccessSignature=sig=SECRET"))
                .as_deref(),
            Ok("https://a:logs@a.z1.blob.storage.azure.net/")
        );
        for wrong in ["AccountName", "nonsense=1", "AccountKey=SECRET=="] {
            let said = key(&connection(wrong)).expect_err("wrong");
            assert!(said.contains("AZURE_STORAGE_CONNECTION_STRING") && !said.contains("SECRET"), "{said}");
        }
        assert!(key(&[]).is_err_and(|said| said.contains("AZURE_STORAGE_ACCOUNT_NAME")));
    }

    #[test]
    fn refuses_other_addresses_and_prints_no_secret() {
        for text in [
            "https://example.com/logs?sig=SECRET",
            "http://acct.blob.core.windows.net/logs?sig=SECRET",
            "http://127.0.0.1:1?sig=SECRET",
            "abfss://acct.dfs.core.windows.net/x?sig=SECRET",
            "ftp://user:SECRET@acct.blob.core.windows.net/logs",
            "az://logs?sig=SECRET",
        ] {
            let error = Source::matching(text, &Environment::default()).map_err(|e| format!("{e} {e:?}"));
            assert!(error.as_ref().is_err_and(|e| !e.contains("SECRET")), "{text}: {error:?}");
        }
        let source: Source = "https://acct.blob.core.windows.net/logs?sig=SECRET".parse().expect("valid");
        assert!(!format!("{source:?}").contains("SECRET"));
    }
}
