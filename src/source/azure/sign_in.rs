//! Signs in to a service of Azure that is no storage account.

use std::sync::Arc;

use super::auth::Credential;
use super::endpoint::{Cloud, Secret};
use super::http::{Connector, Traffic};
use super::token;
use crate::source::list::odd_names::OddNames;
use crate::source::store::Access;
use crate::source::{SourceError, remedy_for};

/// A token for a service, and what requests to it need.
pub(super) struct SignedIn {
    /// The token.
    pub token: Secret,
    /// Makes clients that wait, retry and count.
    pub connector: Connector,
    /// Origin of the credential, as shown to the user.
    pub origin: String,
}

/// Returns a token for a scope, such as `https://monitor.azure.com/.default`, of a cloud. The text is a secret. `shown`
/// is the name of the service in errors.
pub async fn sign_in(access: &Access, cloud: Cloud, scope: &'static str, shown: &str) -> Result<String, SourceError> {
    signed_in(access, cloud, scope, shown).await.map(|signed_in| signed_in.token.0)
}

/// Signs in as [`sign_in`] does.
pub(super) async fn signed_in(
    access: &Access,
    cloud: Cloud,
    scope: &'static str,
    shown: &str,
) -> Result<SignedIn, SourceError> {
    let credential = Credential::choose_token(access.auth, shown, &access.environment)?;
    let connector = Connector {
        retry: access.retry,
        traffic: Arc::<Traffic>::default(),
        odd_names: Arc::<OddNames>::default(),
        connections: 1,
    };
    let token = token::fetch(&credential, cloud, scope, &access.environment, &connector).await;
    let token = token.map_err(|error| {
        let why = remedy_for(&error, shown);
        SourceError::unread(shown, &format!("signing in failed: {why} (credential: {})", credential.origin))
    })?;
    Ok(SignedIn { token, connector, origin: credential.origin })
}
