//! Opens stores with their credentials, each once per account and container.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
use object_store::limit::LimitStore;
use object_store::list::PaginatedListStore;
use object_store::{ClientOptions, CredentialProvider, ObjectStore, RetryConfig};

use super::azure::auth::{Auth, Credential, Environment, lacks_permission, weakness};
use super::azure::containers::Account;
use super::azure::endpoint::{Cloud, Secret};
use super::azure::http::{Connector, RetryPolicy, Traffic, TrafficSummary};
use super::azure::likely::Used;
use super::error::{in_full, is_absent};
use super::list::odd_names::OddNames;
use super::local::LocalFiles;
use super::{Source, SourceError, StoreKey};

/// Settings for requests to remote stores.
#[derive(Debug, Clone)]
pub struct Access {
    /// Kind of credential.
    pub auth: Auth,
    /// Environment that credentials are taken from.
    pub environment: Environment,
    /// Timeouts and retries.
    pub retry: RetryPolicy,
    /// Maximum number of requests in flight per container.
    pub concurrency: usize,
}

impl Access {
    /// Default of `concurrency`.
    pub const CONCURRENCY: usize = 64;
}

impl Default for Access {
    fn default() -> Self {
        Self {
            auth: Auth::Auto,
            environment: Environment::default(),
            retry: RetryPolicy::default(),
            concurrency: Self::CONCURRENCY,
        }
    }
}

/// An open store with its credential.
#[derive(Clone)]
pub struct Opened {
    /// The store for reading blobs.
    pub objects: Arc<dyn ObjectStore>,
    /// Paged listing, for remote stores only.
    pub(super) pages: Option<Pages>,
    /// Origin of the credential, as shown to the user.
    origin: Option<String>,
    /// `sas` is the signature in the address, `signature` the one that requests carry.
    sas: Option<Secret>,
    signature: Option<Secret>,
    used: Option<Used>,
    /// Account of a remote store.
    account: Option<Account>,
    /// Maximum number of list requests in flight.
    pub(super) concurrency: usize,
}

/// A store that lists page by page.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) store: Arc<dyn PaginatedListStore>,
    /// Names in its pages that cannot be requested.
    pub(super) odd_names: Arc<OddNames>,
}

impl Opened {
    fn local() -> Self {
        let objects = Arc::new(LocalFiles::default());
        Self {
            objects,
            pages: None,
            origin: None,
            sas: None,
            signature: None,
            used: None,
            account: None,
            concurrency: 1,
        }
    }

    /// Converts an error about the place `shown`, taking the credential into account.
    pub fn error(&self, error: &object_store::Error, shown: &str) -> SourceError {
        let weakness = self.signature.as_ref().and_then(|signature| weakness(signature, Utc::now()));
        let cause = || self.used?.cause(&in_full(error)).map(str::to_owned);
        SourceError::of(error, shown, self.origin.as_deref(), weakness.or_else(cause))
    }

    /// Converts an error about the list of a source. Names the containers of the account if this one does not exist.
    pub(super) async fn unlisted(&self, error: &object_store::Error, source: &Source) -> SourceError {
        match (&self.account, source.store.account()) {
            (Some(account), Some((_, container))) if source.account.is_none() && is_absent(error) => {
                SourceError::absent(&source.shown, account.without(container).await)
            }
            _ => self.error(error, &source.shown),
        }
    }

    /// Converts an error about blobs that were listed.
    pub(super) fn unread(&self, error: &object_store::Error, shown: &str) -> SourceError {
        match self.error(error, shown) {
            SourceError::Store { shown, reason, refusal } => SourceError::Store {
                shown,
                reason: format!("the blobs can be listed, but not read: {reason}"),
                refusal,
            },
            other => other,
        }
    }
}

type Tokens = Arc<dyn CredentialProvider<Credential = AzureCredential>>;

/// Open stores of a session. Thread-safe.
#[derive(Default)]
pub struct Stores {
    access: Access,
    traffic: Arc<Traffic>,
    open: Mutex<HashMap<StoreKey, Opened>>,
    /// Token providers by origin. Stores share them, so that a token is used until it expires.
    tokens: Mutex<HashMap<String, Tokens>>,
}

impl Stores {
    /// Creates an empty set of stores.
    pub fn new(access: Access) -> Self {
        Self { access, ..Self::default() }
    }

    /// Maximum number of requests in flight per container.
    pub fn concurrency(&self) -> usize {
        self.access.concurrency
    }

    /// Opens the store of a source, with the credential in its address if there is one. Fails if the store is open
    /// with another signature.
    pub fn open(&self, source: &Source) -> Result<Opened, SourceError> {
        let opened = self.get_or_build(&source.store, source.sas.as_ref())?;
        let needs_another = source.sas.is_some() && source.sas != opened.sas;
        match needs_another && matches!(self.access.auth, Auth::Auto | Auth::Sas) {
            true => Err(SourceError::TwoSignatures { shown: source.shown.clone() }),
            false => Ok(opened),
        }
    }

    /// Returns the store for a key. Unless it is open already, credentials come from the environment.
    pub fn get(&self, key: &StoreKey) -> Result<Arc<dyn ObjectStore>, SourceError> {
        Ok(self.get_or_build(key, None)?.objects)
    }

    /// Replaces the store that `key` opens, and returns the one before. Meant for wrappers and tests.
    pub fn put(&self, key: &StoreKey, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = open.entry(key.clone()).or_insert_with(Opened::local);
        Some(std::mem::replace(&mut opened.objects, store))
    }

    /// Returns the traffic of all remote stores so far.
    pub fn traffic(&self) -> TrafficSummary {
        self.traffic.summary()
    }

    /// Returns account and origin of each credential in use, sorted, as shown to the user.
    pub fn credentials(&self) -> Vec<(String, String)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut credentials: Vec<_> =
            open.iter().filter_map(|(key, opened)| Some((key.endpoint(), opened.origin.clone()?))).collect();
        credentials.sort_unstable();
        credentials.dedup();
        credentials
    }

    fn get_or_build(&self, key: &StoreKey, sas: Option<&Secret>) -> Result<Opened, SourceError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = open.get(key) {
            return Ok(opened.clone());
        }
        let opened = match key.account() {
            Some((account, container)) => self.build(key, account, container, sas)?,
            None => Opened::local(),
        };
        open.insert(key.clone(), opened.clone());
        Ok(opened)
    }

    fn build(
        &self,
        key: &StoreKey,
        account: &str,
        container: &str,
        sas: Option<&Secret>,
    ) -> Result<Opened, SourceError> {
        let Access { auth, environment, retry, concurrency } = &self.access;
        let credential = Credential::choose(*auth, key, sas, environment)?;
        let (origin, signature) = (credential.origin.clone(), credential.signature().cloned());
        let used = Some(credential.used());
        if let Some(lack) = signature.as_ref().and_then(lacks_permission) {
            return Err(SourceError::weak(&key.endpoint(), &lack, &origin));
        }
        let options = ClientOptions::new()
            .with_allow_http(true)
            // Our own HTTP client sets the timeouts: see `azure::http`.
            .with_timeout_disabled();
        let odd_names = Arc::new(OddNames::default());
        let connector = Connector {
            retry: *retry,
            traffic: Arc::clone(&self.traffic),
            odd_names: Arc::clone(&odd_names),
            connections: *concurrency,
        };
        let builder = MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_container_name(container)
            .with_endpoint(key.endpoint())
            .with_client_options(options)
            .with_http_connector(connector.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        let cloud = key.url().host_str().and_then(Cloud::of_host).map_or("", Cloud::authority);
        let shared = credential.is_token().then(|| format!("{cloud} {origin}"));
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let builder = match shared.as_ref().and_then(|shared| tokens.get(shared)) {
            Some(tokens) => builder.with_credentials(Arc::clone(tokens)),
            None => credential.apply(builder, key, environment, retry.stall),
        };
        let store = builder.build().map_err(|error| SourceError::of(&error, &key.endpoint(), Some(&origin), None))?;
        if let Some(shared) = shared {
            tokens.entry(shared).or_insert_with(|| Arc::clone(store.credentials()));
        }
        let credentials = (used != Some(Used::Nothing)).then(|| Arc::clone(store.credentials()));
        let account = Some(Account { name: account.to_owned(), endpoint: key.endpoint(), connector, credentials });
        let store = Arc::new(store);
        let concurrency = (*concurrency).max(1);
        let objects = Arc::new(LimitStore::new(Arc::clone(&store), concurrency));
        let pages = Some(Pages { store, odd_names });
        Ok(Opened { objects, pages, origin: Some(origin), sas: sas.cloned(), signature, used, account, concurrency })
    }
}
