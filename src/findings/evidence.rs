//! Evidence beside the flows: a recorded change, and what the instance itself says.

use serde::{Deserialize, Serialize};

use crate::names::names;
use crate::platform::ConnectivityStatus;
use crate::time::Timestamp;

/// A recorded change that may have begun the refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeFound {
    /// Time at which it took effect.
    pub time: Timestamp,
    /// Who made it; null if the record does not say.
    pub actor: Option<String>,
    /// Operation in lower case.
    pub operation: String,
    /// Resource id in lower case.
    pub resource: String,
    /// Id that all events of the operation share; null if the record has none.
    pub correlation_id: Option<String>,
    /// Rule as it was; null if unknown.
    pub before: Option<String>,
    /// Rule as it became; null if unknown.
    pub after: Option<String>,
    /// How surely it began the refusals.
    pub certainty: Certainty,
    /// Number of changes that may have.
    pub candidates: u64,
}

/// How surely a change began the refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It wrote the refusing rule, or deleted a rule of the same group, between the last allowed and the first refused
    /// flow, and no other change did.
    Caused,
    /// It is the only change in this time, or the likeliest of several.
    Probable,
    /// It is one of several, or the time is not known well.
    Possible,
}

names!(Certainty { Caused = "caused", Probable = "probable", Possible = "possible" });

/// What the instance itself says of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformSays {
    /// Result of its last try.
    pub status: ConnectivityStatus,
    /// What it tried.
    pub name: String,
    /// Region; empty if the file does not say.
    pub location: String,
    /// Time at which the result last changed; null if unknown.
    pub last_status_change: Option<Timestamp>,
    /// What follows from both together.
    pub conclusion: String,
}
