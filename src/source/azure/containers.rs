//! Lists the containers of an account, for the message about one that does not exist.

use http::Request;
use object_store::ClientOptions;
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::{HttpConnector, HttpRequestBody};

use super::http::Connector;
use super::token::body;

/// Number of containers that are named.
const SHOWN: usize = 4;

/// An account with the credential that opened one of its containers.
#[derive(Clone)]
pub(in crate::source) struct Account {
    pub(in crate::source) name: String,
    /// Address without a container.
    pub(in crate::source) endpoint: String,
    pub(in crate::source) connector: Connector,
    /// `None` for anonymous access, which cannot list containers.
    pub(in crate::source) credentials: Option<AzureCredentialProvider>,
}

impl Account {
    /// Returns the reason why a container cannot be opened that does not exist, with the containers nearest to its name.
    pub(in crate::source) async fn without(&self, container: &str) -> String {
        match self.containers().await {
            None => "there is no such container: check its name, or name the account alone to find the containers with flow logs; the credential may not list containers".to_owned(),
            Some(names) => instead(names, container),
        }
    }

    /// Returns the names of the first containers; `None` if they cannot be listed.
    async fn containers(&self) -> Option<Vec<String>> {
        let credential = self.credentials.as_ref()?.get_credential().await.ok()?;
        let client = self.connector.connect(&ClientOptions::new()).ok()?;
        let address = url::Url::parse(&format!("{}?comp=list", self.endpoint)).ok()?;
        let mut request = Request::get(address.as_str()).body(HttpRequestBody::empty()).ok()?;
        AzureAuthorizer::new(&credential, &self.name).authorize(&mut request);
        let answer = client.execute(request).await.ok().filter(|answer| answer.status().is_success())?;
        Some(names(&String::from_utf8_lossy(&body(answer).await.ok()?)))
    }
}

/// Returns the names in a page, of which each is one that a container can have.
fn names(page: &str) -> Vec<String> {
    let names = page.split("<Name>").skip(1).filter_map(|rest| Some(rest.split_once("</Name>")?.0));
    let is_name = |name: &&str| {
        name.len() <= 63 && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-$".contains(letter))
    };
    names.filter(is_name).map(str::to_owned).collect()
}

fn instead(mut names: Vec<String>, wanted: &str) -> String {
    names.sort_by_key(|name| std::cmp::Reverse(nearness(name, wanted)));
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => "there is no such container, and the account has no other: check its name".to_owned(),
        0 => format!("there is no such container: the account has {shown}"),
        more => format!("there is no such container: the account has {shown} and {more} more"),
    }
}

/// Returns the number of letters that two names share at their start and at their end.
fn nearness(one: &str, other: &str) -> usize {
    let start = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    start + one.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_containers_are_named() {
        let page = "<Containers><Container><Name>a</Name></Container><Container><Name>x<y</Name></Container>\
                    <Container><Name>insights-logs-flowlogflowevent</Name></Container><Container><Name>logs</Name>";
        let instead = |wanted| instead(names(page), wanted);
        assert_eq!(
            instead("insights-logs-flowlogevent"),
            "there is no such container: the account has insights-logs-flowlogflowevent, a, logs"
        );
        assert!(instead("log").contains("has logs, "));
        assert!(super::instead(Vec::new(), "logs").contains("has no other"));
    }
}
