//! Asks the management API for Microsoft's list of service tags.

use bytes::Bytes;

use super::endpoint::Cloud;
use super::management::{Management, Unlisted};
use crate::remedy::Remedy;
use crate::source::SourceError;
use crate::source::store::Access;

/// Versions of the API, the newest first. Clouds other than the public one get new versions later.
const VERSIONS: [&str; 2] = ["2025-05-01", "2023-11-01"];
/// Codes of errors for a location or a version that the service does not have.
const NO_LOCATION: [&str; 4] = [
    "NoRegisteredProviderFound",
    "LocationNotAvailableForResourceType",
    "InvalidLocation",
    "InvalidApiVersionParameter",
];

/// Place of the list of service tags. Every location of a cloud has the list of the whole cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagListRequest {
    /// Cloud whose tags are listed.
    pub cloud: Cloud,
    /// Id of a subscription in that cloud that the identity may read.
    pub subscription: String,
    /// Name of a region of that cloud, such as `westeurope`.
    pub location: String,
}

impl TagListRequest {
    /// Fetches the pages of the list, as the service sends them. Errors name the place and a remedy, and hold no
    /// secret.
    pub async fn fetch(&self, access: &Access) -> Result<Vec<Bytes>, SourceError> {
        let management = Management::sign_in(self.cloud, access).await?;
        let mut versions = VERSIONS.iter().peekable();
        while let Some(version) = versions.next() {
            let Self { subscription, location, .. } = self;
            let path = format!(
                "subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags?api-version={version}"
            );
            match management.pages(&path).await {
                Ok(pages) => return Ok(pages),
                Err(Unlisted::Failed(error)) => return Err(error),
                Err(Unlisted::Refused { code, .. })
                    if versions.peek().is_some() && NO_LOCATION.contains(&code.as_str()) => {}
                Err(Unlisted::Refused { status, code }) => {
                    let reason = Remedy::spell(&self.reason(status, &code));
                    return Err(management.refused(&reason, matches!(status, 401 | 403)));
                }
            }
        }
        Err(management.refused("no version of the API is known", false))
    }

    /// Returns the reason and a remedy for a refusal.
    fn reason(&self, status: u16, code: &str) -> String {
        let Self { cloud, subscription, location } = self;
        match (status, code) {
            (401, "InvalidAuthenticationTokenTenant") => {
                "the subscription belongs to another tenant: run az login with that tenant, or set AZURE_TENANT_ID"
                    .to_owned()
            }
            (401, _) => format!(
                "the token is not accepted: sign in again, and check that the identity is of the cloud {cloud} ({{cloud}})"
            ),
            (403, _) => format!(
                "no permission: the identity needs the action Microsoft.Network/locations/serviceTags/read on the subscription {subscription}, which the role Reader has"
            ),
            (_, "SubscriptionNotFound" | "InvalidSubscriptionId") => format!(
                "there is no subscription {subscription} that the identity may see in the cloud {cloud}: check its id and {{cloud}}"
            ),
            (_, "MissingSubscriptionRegistration" | "SubscriptionNotRegistered") => {
                "the subscription is not registered for Microsoft.Network: register that resource provider".to_owned()
            }
            (_, code) if NO_LOCATION.contains(&code) => format!(
                "there is no location {location} with service tags in the cloud {cloud}: check {{location}} and {{cloud}}; az account list-locations shows all"
            ),
            (429, _) => "too many requests: try again in some minutes".to_owned(),
            (408 | 500.., _) => format!("the service kept failing with status {status}: try again later"),
            (_, "") => format!("the service refused the request with status {status}"),
            _ => format!("the service refused the request with status {status}, {code}"),
        }
    }
}
