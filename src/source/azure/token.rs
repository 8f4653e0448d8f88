//! Fetches a token of an identity, for any service of Azure. The store of a container fetches its own.

use bytes::Bytes;
use futures::TryStreamExt;
use http::Request;
use object_store::azure::AzureCredential;
use object_store::client::{ClientConfigKey, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::{ClientOptions, CredentialProvider};
use serde::Deserialize;
use url::form_urlencoded;

use super::auth::{Credential, Environment, Kind};
use super::cli_token::AzureCli;
use super::endpoint::{Cloud, Secret};
use super::http::Connector;

/// Address of the identity service on a virtual machine, and the version of its API.
const IDENTITY_SERVICE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const IDENTITY_VERSION: &str = "2019-08-01";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Response of the services that issue tokens.
#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// Fetches a token for a scope, such as `https://storage.azure.com/.default`, of a cloud. Fails for credentials that are no identity.
pub(super) async fn fetch(
    credential: &Credential,
    cloud: Cloud,
    scope: &'static str,
    environment: &Environment,
    connector: &Connector,
) -> object_store::Result<Secret> {
    let authority = environment.authority(cloud);
    let of_tenant = |tenant: &str, fields: &[(&str, &str)]| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).extend_pairs([("scope", scope), ("grant_type", "client_credentials")]);
        let request = Request::post(format!("{authority}/{tenant}/oauth2/v2.0/token"));
        let request = request.header("accept", "application/json").header("content-type", FORM);
        request.body(HttpRequestBody::from(form.finish())).map_err(|error| failed(&error.to_string()))
    };
    let (request, options) = match &credential.kind {
        Kind::Secret { tenant, client, secret } => {
            let fields = [("client_id", client.as_str()), ("client_secret", secret.0.as_str())];
            (of_tenant(tenant, &fields)?, ClientOptions::new())
        }
        Kind::Workload { tenant, client, token_file } => {
            let assertion = std::fs::read_to_string(token_file);
            let assertion = assertion.map_err(|_| failed("Error reading federated token file"))?;
            let fields = [
                ("client_id", client.as_str()),
                ("client_assertion_type", ASSERTION),
                ("client_assertion", assertion.as_str()),
            ];
            (of_tenant(tenant, &fields)?, ClientOptions::new())
        }
        Kind::Managed { client, endpoint } => {
            let request = of_machine(client.as_deref(), endpoint.as_deref(), scope, environment)?;
            // The client for a service near this machine: see `Connector`.
            (request, ClientOptions::new().with_config(ClientConfigKey::ConnectTimeout, "1 second"))
        }
        Kind::Cli => {
            let token = AzureCli::new(connector.retry.stall, scope).get_credential().await?;
            return match &*token {
                AzureCredential::BearerToken(token) => Ok(Secret(token.clone())),
                _ => Err(failed("no token")),
            };
        }
        Kind::Sas(_) | Kind::Key(_) | Kind::Anonymous => return Err(failed("no identity")),
    };
    let response = connector.connect(&options)?.execute(request).await.map_err(unanswered)?;
    let status = response.status();
    let body = body(response).await?;
    match serde_json::from_slice::<Token>(&body) {
        Ok(token) if status.is_success() => Ok(Secret(token.access_token)),
        // Only known phrases of this text are shown.
        _ => Err(failed(&format!("{status} {}", String::from_utf8_lossy(&body)))),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the request to the identity service of this machine.
fn of_machine(
    client: Option<&str>,
    endpoint: Option<&str>,
    scope: &str,
    environment: &Environment,
) -> object_store::Result<HttpRequest> {
    let resource = scope.trim_end_matches("/.default");
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([("api-version", IDENTITY_VERSION), ("resource", resource)]);
    query.extend_pairs(client.map(|client| ("client_id", client)));
    let mut request = Request::get(format!("{}?{}", endpoint.unwrap_or(IDENTITY_SERVICE), query.finish()));
    request = request.header("metadata", "true");
    if let Some(header) = environment.identity_header() {
        request = request.header("x-identity-header", header);
    }
    request.body(HttpRequestBody::empty()).map_err(|error| failed(&error.to_string()))
}

/// Returns the whole body of a response.
pub(super) async fn body(response: HttpResponse) -> object_store::Result<Bytes> {
    let parts: Result<Vec<Bytes>, _> = response.into_body().bytes_stream().try_collect().await;
    Ok(Bytes::from(parts.map_err(unanswered)?.concat()))
}

/// Returns the error of a request that got no response.
pub(super) fn unanswered(error: HttpError) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP client", source: error.into() }
}

fn failed(why: &str) -> object_store::Error {
    object_store::Error::Generic { store: "MicrosoftAzure", source: format!("token request: {why}").into() }
}
