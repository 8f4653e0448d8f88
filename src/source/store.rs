//! Addresses of inputs, and the stores behind them. Stores are keyed by account and container; credentials
//! stay in here and never print.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use tempfile::{NamedTempFile, TempPath};
use url::Url;

use super::local::LocalFiles;

/// One SOURCE argument, or one of the files that it matches.
#[derive(Debug, Clone)]
pub struct Source {
    pub store: StoreKey,
    /// Where in the store to look; a path of the file system for local sources.
    pub prefix: String,
    /// What stands before a blob's name below `prefix` when it is shown. Holds no secret.
    pub shown: String,
    /// Shared access signature from the address. A secret.
    sas: Option<Secret>,
    /// The file that holds what came through a pipe: removed with the last source that needs it.
    _kept: Option<Arc<TempPath>>,
}

/// Text that never prints.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What tells stores apart: the local file system, or account and container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(Url);

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("'{0}' does not exist")]
    Missing(String),
    #[error("no file or folder matches '{0}'")]
    NoMatch(String),
    #[error("'{pattern}' is no pattern of file names: {reason}")]
    Pattern { pattern: String, reason: &'static str },
    #[error("standard input cannot be kept in the temporary folder, which TMPDIR names: {0}")]
    Pipe(std::io::Error),
    #[error("'{source_text}' cannot be opened: {reason}")]
    Local { source_text: String, reason: std::io::Error },
    #[error("'{shown}' names no container: write https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]")]
    NoContainer { shown: String },
    #[error(
        "'{shown}' is no address of Blob Storage, which looks like https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]"
    )]
    NotBlobStorage { shown: String },
    #[error("'{shown}': {way_out}")]
    Store { shown: String, way_out: String },
    #[error("there is no flow log blob (*.json) in {shown}; name a folder or prefix that has PT1H.json files below it")]
    Empty { shown: String },
}

/// Key of the account that Azurite and the older emulator start with; published, not a secret.
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        // An address of any kind, well written or not, may hold a secret: only its harmless part is ever shown.
        if text.contains("://") {
            return Self::remote(text);
        }
        Self::local(&PathBuf::from(text), text)
    }
}

impl Source {
    /// What a SOURCE argument names: one place, or every file and folder that fits a pattern, in order.
    pub fn matching(text: &str) -> Result<Vec<Self>, SourceError> {
        let is_pattern = text.contains(['*', '?', '[']) && !text.contains("://") && !Path::new(text).exists();
        if !is_pattern {
            return Ok(vec![text.parse()?]);
        }
        let pattern = |error: glob::PatternError| SourceError::Pattern { pattern: text.to_owned(), reason: error.msg };
        let mut found = Vec::new();
        for path in glob::glob(text).map_err(pattern)? {
            let path = path.map_err(|error| SourceError::Local {
                source_text: error.path().display().to_string(),
                reason: error.into(),
            })?;
            found.push(Self::local(&path, &path.to_string_lossy())?);
        }
        if found.is_empty() { Err(SourceError::NoMatch(harmless(text))) } else { Ok(found) }
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
        let prefix = path.to_string_lossy().into_owned();
        Ok(Self { store, prefix, shown: text.trim_end_matches('/').to_owned(), sas: None, _kept: None })
    }

    pub fn is_local(&self) -> bool {
        self.store.0.scheme() == "file"
    }

    /// The cloud that the address tells of, as service-tag files name it.
    pub fn cloud(&self) -> Option<&'static str> {
        let clouds =
            [("core.windows.net", "Public"), ("usgovcloudapi.net", "AzureGovernment"), ("chinacloudapi.cn", "China")];
        let host = self.store.0.host_str()?;
        clouds.into_iter().find(|(suffix, _)| host.ends_with(suffix)).map(|(_, cloud)| cloud)
    }

    fn remote(text: &str) -> Result<Self, SourceError> {
        let shown = harmless(text).trim_end_matches('/').to_owned();
        let not_blob_storage = || SourceError::NotBlobStorage { shown: shown.clone() };
        let url = Url::parse(text).map_err(|_| not_blob_storage())?;
        let host = url.host_str().ok_or_else(not_blob_storage)?;
        let mut parts = url.path_segments().ok_or_else(not_blob_storage)?.filter(|part| !part.is_empty());
        let account = match host.split_once(".blob.") {
            Some((account, _)) if url.scheme() == "https" => account.to_owned(),
            _ if url.scheme() == "http" => parts.next().ok_or_else(not_blob_storage)?.to_owned(),
            _ => return Err(not_blob_storage()),
        };
        let container = parts.next().ok_or_else(|| SourceError::NoContainer { shown: shown.clone() })?;
        let prefix = parts.collect::<Vec<_>>().join("/");
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let key = format!("{}://{account}:{container}@{host}{port}/", url.scheme());
        let store = StoreKey::from_url(&key).ok_or_else(not_blob_storage)?;
        let sas = url.query().filter(|query| query.contains("sig=")).map(|query| Secret(query.to_owned()));
        Ok(Self { store, prefix, shown, sas, _kept: None })
    }
}

/// An address without its query, which may hold a signature, and without user and password.
fn harmless(text: &str) -> String {
    let is_signed = text.contains("://") || text.to_ascii_lowercase().contains("sig=");
    let text = if is_signed { text.split(['?', '#']).next().unwrap_or_default() } else { text };
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
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

    /// Account and container, for a remote store.
    fn account(&self) -> Option<(&str, &str)> {
        Some((self.0.username(), self.0.password()?))
    }

    fn build(&self, sas: Option<&Secret>) -> object_store::Result<Arc<dyn ObjectStore>> {
        let Some((account, container)) = self.account() else {
            return Ok(Arc::new(LocalFiles::default()));
        };
        let emulated = self.0.scheme() == "http";
        let host = &self.0[url::Position::BeforeHost..url::Position::AfterPort];
        let endpoint = match emulated {
            true => format!("http://{host}/{account}"),
            false => format!("https://{host}"),
        };
        let retry = RetryConfig { max_retries: 5, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() };
        // A signature in the address goes before whatever the environment holds.
        let builder = if sas.is_some() { MicrosoftAzureBuilder::new() } else { MicrosoftAzureBuilder::from_env() };
        let mut builder = builder
            .with_use_emulator(false)
            .with_account(account)
            .with_container_name(container)
            .with_endpoint(endpoint)
            .with_client_options(ClientOptions::new().with_allow_http(emulated).with_timeout(Duration::from_secs(120)))
            .with_retry(retry);
        if let Some(Secret(query)) = sas {
            builder = builder.with_config(AzureConfigKey::SasKey, query);
        } else if account == EMULATOR_ACCOUNT {
            builder = builder.with_access_key(EMULATOR_KEY);
        }
        Ok(Arc::new(builder.build()?))
    }
}

/// The stores of a session, built once each.
#[derive(Debug, Default)]
pub struct Stores {
    open: Mutex<HashMap<StoreKey, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// The store of a source, with the credential of its address.
    pub fn open(&self, source: &Source) -> object_store::Result<Arc<dyn ObjectStore>> {
        self.get_or_build(&source.store, source.sas.as_ref())
    }

    /// The store behind a key, with credentials from the environment unless it is open already.
    pub fn get(&self, key: &StoreKey) -> object_store::Result<Arc<dyn ObjectStore>> {
        self.get_or_build(key, None)
    }

    /// Puts `store` in the place of whatever `key` would open.
    pub fn put(&self, key: &StoreKey, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), store)
    }

    fn get_or_build(&self, key: &StoreKey, sas: Option<&Secret>) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(key) {
            return Ok(Arc::clone(store));
        }
        let store = key.build(sas)?;
        open.insert(key.clone(), Arc::clone(&store));
        Ok(store)
    }
}

/// What went wrong with a store, in words that say what to do. Never prints an address's query.
pub fn way_out(error: &object_store::Error, shown: &str) -> String {
    use object_store::Error::*;
    let text = error.to_string();
    // Listing does not sort its errors: they all come as generic ones that name the status.
    let is_status = |status: &str| text.contains(&format!("status code: {status}"));
    match error {
        NotFound { .. } => "there is no such container or path: check its name".to_owned(),
        _ if is_status("404") => "there is no such container or path: check its name".to_owned(),
        Unauthenticated { .. } => unauthenticated(shown),
        _ if is_status("401") => unauthenticated(shown),
        PermissionDenied { .. } => permission_denied(shown),
        _ if is_status("403") => permission_denied(shown),
        Precondition { .. } => "it changed while it was read: run again".to_owned(),
        _ if text.contains("Permission denied") => "you may not read it: change its permissions".to_owned(),
        _ => first_line(text.strip_prefix("Generic LocalFileSystem error: ").unwrap_or(&text)),
    }
}

fn unauthenticated(shown: &str) -> String {
    format!(
        "the storage account does not accept the credential: set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN for {shown}"
    )
}

fn permission_denied(shown: &str) -> String {
    format!(
        "reading is not allowed: it takes the role Storage Blob Data Reader on {shown}, or a valid SAS with read and list"
    )
}

/// Shortened to one line, cut where a query string starts.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(' ').map(|word| word.split('?').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_of_blob_storage() {
        let check = |text: &str, key: &str, prefix: &str, shown: &str| {
            let source: Source = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((source.store.0.as_str(), &*source.prefix, &*source.shown), (key, prefix, shown), "{text}");
        };
        check(
            "https://acct.blob.core.windows.net/logs/a/b/?sv=1&sig=SECRET",
            "https://acct:logs@acct.blob.core.windows.net/",
            "a/b",
            "https://acct.blob.core.windows.net/logs/a/b",
        );
        check(
            "https://acct.blob.core.usgovcloudapi.net/logs",
            "https://acct:logs@acct.blob.core.usgovcloudapi.net/",
            "",
            "https://acct.blob.core.usgovcloudapi.net/logs",
        );
        check(
            "http://127.0.0.1:10000/devstoreaccount1/logs/x",
            "http://devstoreaccount1:logs@127.0.0.1:10000/",
            "x",
            "http://127.0.0.1:10000/devstoreaccount1/logs/x",
        );
    }

    #[test]
    fn refuses_other_addresses_and_prints_no_secret() {
        for text in [
            "https://example.com/logs?sig=SECRET",
            "https://acct.blob.core.windows.net?sig=SECRET",
            "http://127.0.0.1:1?sig=SECRET",
        ] {
            let error = text.parse::<Source>().map(|s| s.shown).map_err(|e| format!("{e} {e:?}"));
            assert!(error.as_ref().is_err_and(|e| !e.contains("SECRET")), "{error:?}");
        }
        let source: Source = "https://acct.blob.core.windows.net/logs?sig=SECRET".parse().expect("valid");
        assert!(!format!("{source:?}").contains("SECRET"));
        assert_eq!(first_line("Get https://x/y?sig=SECRET failed\nmore"), "Get https://x/y failed");
    }
}
