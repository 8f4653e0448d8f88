//! The network status of API Management: what an instance reached when it last tried, as its own API tells.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::elements;
use crate::names::names;
use crate::policy::{ExportError, Node, Reason, document};
use crate::time::Timestamp;

const NO_STATUS: Reason = Reason::Form(
    "this JSON holds no connectivityStatus: export the network status with az rest --method get --url \
     .../service/NAME/networkstatus?api-version=2022-08-01",
);
const RESOURCE_TYPES: &str = include_str!("resource_types.csv");

/// Network status of one region of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkStatus {
    /// Region as displayed; empty if the file does not say.
    pub location: String,
    /// Name servers that the instance uses.
    pub dns_servers: Vec<String>,
    /// What it reached.
    pub checks: Vec<Connectivity>,
    /// File that holds it.
    pub file: String,
}

/// One check of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connectivity {
    /// Host, URL or word that names what was tried.
    pub name: String,
    /// Kind of what was tried, as Azure spells it.
    pub resource_type: String,
    /// Requirement of the port table that it belongs to; null if none is known.
    pub requirement: Option<String>,
    /// Result.
    pub status: ConnectivityStatus,
    /// Error in words; null without one.
    pub error: Option<String>,
    /// Time of the last try; null if unknown.
    pub last_updated: Option<Timestamp>,
    /// Time at which the result last changed; null if unknown.
    pub last_status_change: Option<Timestamp>,
    /// Whether the instance works without it.
    pub is_optional: bool,
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectivityStatus {
    /// It was reached.
    Success,
    /// It was not reached.
    Failure,
    /// It was not tried yet.
    Initializing,
    /// Any other word.
    Other,
}

names!(ConnectivityStatus {
    Success = "success",
    Failure = "failure",
    Initializing = "initializing",
    Other = "other",
});

#[derive(Deserialize)]
struct Row {
    resource_type: String,
    requirement: String,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let rows = csv::Reader::from_reader(RESOURCE_TYPES.as_bytes()).into_deserialize();
    rows.map(|row: csv::Result<Row>| row.expect("a test reads every row")).collect()
});

/// Returns the requirement that a kind of check belongs to.
pub fn requirement_of(resource_type: &str) -> Option<&'static str> {
    ROWS.iter().find(|row| row.resource_type.eq_ignore_ascii_case(resource_type)).map(|row| row.requirement.as_str())
}

/// Reads the status of all regions, or of one.
pub fn read(file: &str, text: &str) -> Result<Vec<NetworkStatus>, ExportError> {
    let refused = |reason| ExportError::new(file, reason);
    let value = document(text).map_err(refused)?;
    let found: Vec<NetworkStatus> =
        elements(&Node::root(&value)).iter().filter_map(|node| region(node, file)).collect();
    if found.is_empty() { Err(refused(NO_STATUS)) } else { Ok(found) }
}

fn region(node: &Node, file: &str) -> Option<NetworkStatus> {
    let inner = node.get("networkstatus").unwrap_or_else(|| node.clone());
    if !inner.has("connectivitystatus") {
        return None;
    }
    Some(NetworkStatus {
        location: node.text_of("location").unwrap_or_default(),
        dns_servers: inner.texts("dnsservers"),
        checks: inner.list("connectivitystatus").iter().map(check).collect(),
        file: file.to_owned(),
    })
}

fn check(node: &Node) -> Connectivity {
    let time = |key: &str| super::time(&node.text_of(key)?);
    let status = node.text_of("status").unwrap_or_default().to_ascii_lowercase();
    let resource_type = node.text_of("resourcetype").unwrap_or_default();
    Connectivity {
        name: node.text_of("name").unwrap_or_default(),
        requirement: requirement_of(&resource_type).map(str::to_owned),
        resource_type,
        status: ConnectivityStatus::from_name(&status).unwrap_or(ConnectivityStatus::Other),
        error: node.text_of("error"),
        last_updated: time("lastupdated"),
        last_status_change: time("laststatuschange"),
        is_optional: node.flag("isoptional"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_requirement_of_the_port_table() {
        let catalog = crate::catalog::Catalog::built_in().unwrap_or_else(|e| panic!("{e}"));
        for row in ROWS.iter() {
            assert!(catalog.rows().iter().any(|known| known.id == row.requirement), "{}", row.requirement);
        }
        assert_eq!(requirement_of("sqldatabase"), Some("APIM-OUT-SQL"));
        assert_eq!(requirement_of("Scm"), None);
    }
}
