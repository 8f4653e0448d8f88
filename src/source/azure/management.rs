//! Reads lists of the management API (Azure Resource Manager), page by page. Does not know what they list.

use std::collections::HashSet;

use bytes::Bytes;
use http::Request;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpRequestBody};
use serde::Deserialize;
use url::Url;

use super::auth::MANAGEMENT;
use super::endpoint::{Cloud, Secret, StoreKey};
use super::sign_in::{SignedIn, signed_in};
use super::token::{body, unanswered};
use crate::source::error::{Refusal, SourceError, remedy_for};
use crate::source::store::Access;

/// Maximum number of pages of a list, and of their bytes together.
const MOST_PAGES: usize = 1_000;
const MOST_BYTES: usize = 64 << 20;

/// The management API of a cloud, signed in.
#[derive(Debug)]
pub(super) struct Management {
    client: HttpClient,
    endpoint: Url,
    token: Secret,
    /// Origin of the credential, as shown to the user.
    origin: String,
}

/// Reason why a list was not read.
#[derive(Debug)]
pub(super) enum Unlisted {
    /// The service refused with a status and the code of an error, which is empty if it gave none.
    Refused {
        /// Status of the response.
        status: u16,
        /// Code of the error: letters, digits and dots.
        code: String,
    },
    /// The request failed, or the response is no page.
    Failed(SourceError),
}

/// The parts of a page that lead to the next one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    next_link: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorCode,
}

#[derive(Deserialize)]
struct ErrorCode {
    code: String,
}

impl Management {
    /// Fetches a token for the management API of a cloud.
    pub(super) async fn sign_in(cloud: Cloud, access: &Access) -> Result<Self, SourceError> {
        let shown = access.environment.management(cloud).trim_end_matches('/');
        let endpoint = Url::parse(shown).ok().filter(is_plain).ok_or_else(|| {
            // A wrong address may hold a secret, so it is not shown.
            SourceError::unread(MANAGEMENT, "this is not the address of a management API: write https://HOST")
        })?;
        let refused = |reason: &str| SourceError::unread(shown, reason);
        if StoreKey::of(&endpoint).is_readable_by_others() {
            return Err(SourceError::PlainHttp { shown: shown.to_owned() });
        }
        let SignedIn { token, connector, origin } = signed_in(access, cloud, cloud.management_scope(), shown).await?;
        let client = connector.connect(&ClientOptions::new()).map_err(|error| refused(&remedy_for(&error, shown)))?;
        Ok(Self { client, endpoint, token, origin })
    }

    /// Returns the pages of the list at a path and query.
    pub(super) async fn pages(&self, path: &str) -> Result<Vec<Bytes>, Unlisted> {
        let mut next = Some(format!("{}/{path}", self.endpoint.as_str().trim_end_matches('/')));
        let (mut pages, mut asked, mut bytes) = (Vec::new(), HashSet::new(), 0);
        while let Some(address) = next {
            let url = Url::parse(&address).ok().filter(|url| url.origin() == self.endpoint.origin());
            // The token must not reach another host.
            let url = url.ok_or_else(|| {
                self.failed("its list continues at another host, which is not followed: a proxy may have changed it")
            })?;
            if !asked.insert(url.clone()) {
                return Err(self.failed("the pages of its list form a loop: a proxy may have changed them"));
            }
            let page = self.page(&url).await?;
            bytes += page.len();
            if bytes > MOST_BYTES || asked.len() > MOST_PAGES {
                return Err(self.failed("its list is longer than 1,000 pages or 64 MiB: a proxy may have changed it"));
            }
            let Ok(Page { next_link }) = serde_json::from_slice(&page) else {
                return Err(self.failed(
                    "the answer is not JSON, or ends too early: a proxy or login page may answer in place of the management API",
                ));
            };
            next = next_link.filter(|link| !link.is_empty());
            pages.push(page);
        }
        Ok(pages)
    }

    async fn page(&self, url: &Url) -> Result<Bytes, Unlisted> {
        let request = Request::get(url.as_str()).header("accept", "application/json");
        let request = request.header("authorization", format!("Bearer {}", self.token.0));
        let request = request.body(HttpRequestBody::empty());
        let request =
            request.map_err(|_| self.failed("the token or the address has characters that cannot be sent"))?;
        let answer = self.client.execute(request).await.map_err(|error| self.lost(&unanswered(error)))?;
        let status = answer.status();
        let body = body(answer).await.map_err(|error| self.lost(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        let code = serde_json::from_slice::<ErrorBody>(&body).map(|body| body.error.code).unwrap_or_default();
        // Other text of a response is never shown.
        let is_code = code.len() <= 100 && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        Err(Unlisted::Refused { status: status.as_u16(), code: if is_code { code } else { String::new() } })
    }

    /// Returns the error for the management API with this reason.
    pub(super) fn failed(&self, reason: &str) -> Unlisted {
        Unlisted::Failed(SourceError::unread(&self.shown(), reason))
    }

    /// Returns the error for a request that the service refused because of the credential or what was asked.
    pub(super) fn refused(&self, reason: &str, is_forbidden: bool) -> SourceError {
        let refusal = if is_forbidden { Refusal::Forbidden } else { Refusal::Other };
        let reason = format!("{reason} (credential: {})", self.origin);
        SourceError::Store { shown: self.shown(), reason, refusal }
    }

    fn lost(&self, error: &object_store::Error) -> Unlisted {
        self.failed(&remedy_for(error, &self.shown()))
    }

    fn shown(&self) -> String {
        self.endpoint.as_str().trim_end_matches('/').to_owned()
    }
}

/// Returns whether an address is one of HTTP without a user, a query and a fragment.
fn is_plain(url: &Url) -> bool {
    let has_more = !url.username().is_empty() || url.password().is_some();
    matches!(url.scheme(), "http" | "https") && !has_more && url.query().or(url.fragment()).is_none()
}
