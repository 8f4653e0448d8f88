//! Options of the sources: the blobs to read, and access to storage accounts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::SessionOptions;
use crate::source::{Access, Auth, Environment, RetryPolicy};
use crate::time::TimeRange;

/// Blobs of the sources to read, and access to a storage account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOptions {
    /// Start of the names of blobs, below their source. Empty for all.
    pub prefix: String,
    /// Interfaces to read, each as twelve upper-case hex digits. Empty for all.
    pub macs: Vec<String>,
    /// Credential for the storage account.
    pub auth: Auth,
    /// Maximum concurrent requests to a container, from 1 to 1024.
    pub concurrency: u16,
    /// Seconds without progress after which a request is retried, from 1 to 3600.
    pub timeout: u16,
    /// Retries after a transient error, at most 20.
    pub retries: u8,
}

impl SourceOptions {
    /// Default of [`Self::timeout`].
    pub const TIMEOUT: u16 = RetryPolicy::STALL_SECONDS as u16;
    /// Default of [`Self::retries`].
    pub const RETRIES: u8 = RetryPolicy::RETRIES as u8;

    /// Returns the options of a session that reads the flows of `window`.
    pub fn session(self, window: TimeRange, environment: Environment) -> SessionOptions {
        let access = self.access(environment);
        SessionOptions { window, prefix: self.prefix, macs: self.macs, access, ..SessionOptions::default() }
    }

    /// Returns how requests are authorised and retried.
    pub fn access(&self, environment: Environment) -> Access {
        Access {
            auth: self.auth,
            environment,
            retry: RetryPolicy { stall: Duration::from_secs(self.timeout.into()), retries: self.retries.into() },
            concurrency: self.concurrency.into(),
        }
    }
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            macs: Vec::new(),
            auth: Auth::default(),
            concurrency: Access::CONCURRENCY as u16,
            timeout: Self::TIMEOUT,
            retries: Self::RETRIES,
        }
    }
}
