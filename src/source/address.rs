//! Parses SOURCE arguments and finds the store they belong to. Secrets in an address stay in this module and never
//! print.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};
use url::Url;

use super::SourceError;
use super::azure::auth::Environment;
use super::azure::endpoint::{Cloud, Endpoint, Secret, StoreKey, is_emulator_host};
use super::list::DisplayPath;
use super::list::pattern::{Found, Pattern};
use super::path::CONTAINERS;

/// A SOURCE argument, or one container of the account that it names.
#[derive(Debug, Clone)]
pub struct Source {
    /// Store that contains the source.
    pub store: StoreKey,
    /// Prefix in the store, or an absolute path for a local source.
    pub prefix: String,
    /// Text shown in front of a blob's name below `prefix`. Holds no secret.
    pub shown: String,
    /// Account, if SOURCE names no container. Any source of the account may be missing, but not all of them.
    pub account: Option<String>,
    /// Shared access signature from the address. Secret.
    pub(super) sas: Option<Secret>,
    /// File pattern, if the source is one.
    pattern: Option<Arc<Pattern>>,
    /// Temporary file with the content of a pipe. It is removed with the last clone of the source.
    _kept: Option<Arc<TempPath>>,
}

impl FromStr for Source {
    type Err = SourceError;

    /// Parses an address that names a single place. Fails if it relies on the environment or leaves the container
    /// open.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let sources = match text.contains("://") {
            // Any address may hold a secret, even a malformed one, so only its redacted part is shown.
            true => Self::remote(text, &Environment::default(), &[])?,
            false => vec![Self::local(&PathBuf::from(text), text)?],
        };
        sources.into_iter().next().ok_or_else(|| SourceError::NotBlobStorage { shown: redacted(text) })
    }
}

impl Source {
    /// Parses a SOURCE argument: a single place, a file pattern, or an account. An account becomes one source per
    /// container that flow logs are written to.
    pub fn matching(text: &str, environment: &Environment) -> Result<Vec<Self>, SourceError> {
        Self::matching_in(text, environment, &CONTAINERS)
    }

    /// Parses like [`Self::matching`], where an account stands for these containers. Without any, it is refused.
    pub fn matching_in(text: &str, environment: &Environment, containers: &[&str]) -> Result<Vec<Self>, SourceError> {
        if text.contains("://") {
            return Self::remote(text, environment, containers);
        }
        // A file whose name contains wildcards is not a pattern.
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
            Err(SourceError::Missing(_)) => Err(SourceError::NoMatch(redacted(text))),
            source => Ok(Self { shown: redacted(text), pattern: Some(Arc::new(pattern)), ..source? }),
        }
    }

    /// Finds the files and folders that match the pattern. Returns `None` without a pattern, and fails without a
    /// match.
    pub(super) async fn find(&self) -> Result<Option<Found>, SourceError> {
        let Some(pattern) = self.pattern.clone() else { return Ok(None) };
        let place = PathBuf::from(&self.prefix);
        match tokio::task::spawn_blocking(move || pattern.find(&place)).await {
            Ok(found) if found.is_empty() => Err(SourceError::NoMatch(self.shown.clone())),
            Ok(found) => Ok(Some(found)),
            Err(error) => Err(SourceError::unread(&self.shown, &error.to_string())),
        }
    }

    /// Returns the text shown in front of a blob's name below `prefix`.
    pub(super) fn base(&self) -> &str {
        match &self.pattern {
            Some(pattern) if pattern.base.len() > 1 => pattern.base.trim_end_matches('/'),
            Some(pattern) => &pattern.base,
            None => &self.shown,
        }
    }

    /// Returns a rule that shows each location under one name, however the source was written: the path of a local file,
    /// or the address of a blob in the primary endpoint of its account.
    pub fn canonical(&self) -> DisplayPath {
        let put = match self.store.account() {
            None => "/".to_owned(),
            Some((account, container)) => {
                let endpoint =
                    self.store.endpoint().replacen(&format!("{account}-secondary."), &format!("{account}."), 1);
                format!("{endpoint}/{container}")
            }
        };
        DisplayPath { cut: String::new(), put }
    }

    /// Returns whether the source is the content of a pipe.
    pub fn is_pipe(&self) -> bool {
        self._kept.is_some()
    }

    /// Returns whether the source is a file pattern.
    pub fn is_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// Returns whether the source names one file, without a pattern.
    pub(super) fn is_file(&self) -> bool {
        self.pattern.is_none() && Path::new(&self.prefix).is_file()
    }

    /// Creates a source from a temporary file that holds the content of a pipe. It can then be read in pieces and
    /// repeatedly, like other sources. The file is removed with the last clone.
    pub fn of_pipe(file: NamedTempFile) -> Result<Self, SourceError> {
        let path = file.into_temp_path();
        let source = Self::local(&path, "-")?;
        Ok(Self { _kept: Some(Arc::new(path)), ..source })
    }

    fn local(path: &Path, text: &str) -> Result<Self, SourceError> {
        let path = path.canonicalize().map_err(|reason| match reason.kind() {
            std::io::ErrorKind::NotFound => SourceError::Missing(redacted(text)),
            _ => SourceError::Local { source_text: redacted(text), reason },
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

    /// Returns whether the source is in the local file system.
    pub fn is_local(&self) -> bool {
        self.store.url().scheme() == "file"
    }

    /// Returns the cloud of the address, with its name in service-tag files.
    pub fn cloud(&self) -> Option<&'static str> {
        Cloud::of_host(self.store.url().host_str()?).map(Cloud::name)
    }

    fn remote(text: &str, environment: &Environment, containers: &[&str]) -> Result<Vec<Self>, SourceError> {
        let shown = redacted(text).trim_end_matches('/').to_owned();
        let not_blob_storage = || SourceError::NotBlobStorage { shown: shown.clone() };
        let url = Url::parse(text).map_err(|_| not_blob_storage())?;
        let sas = url.query().filter(|query| query.contains("sig=")).map(|query| Secret(query.to_owned()));
        let mut parts = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
        let (endpoint, container) = match url.scheme() {
            // az://CONTAINER/PREFIX; the environment names the account
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
            None if containers.is_empty() => Err(not_blob_storage()),
            None => containers.iter().map(|c| source(c, format!("{shown}/{c}"), Some(shown.clone()))).collect(),
        }
    }
}

/// Returns an address without query, fragment, user and password, which may hold secrets. An `abfss` address keeps its
/// container, which is in the place of the user.
pub fn redacted(text: &str) -> String {
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
            let found: Vec<_> = sources.iter().map(|s| (s.store.url().as_str(), &*s.prefix, &*s.shown)).collect();
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
            sources.map(|sources| sources[0].store.url().to_string()).map_err(|error| error.to_string())
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
