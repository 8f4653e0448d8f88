//! Findings, shaped as contract section 2.5 has them: fields in the order of the JSON, absent ones null.

use serde::Serialize;

use super::score::{Activity, Confidence, Reach, Score, Severity};
use crate::names::names;
use crate::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BlockedDependency,
    AmbiguousDependency,
    SourceRestricted,
    UnansweredDependency,
    ForcedTunnellingSuspected,
    /// Refusals that no requirement asks for.
    UnlistedBlocked,
}

names!(Kind { BlockedDependency = "blocked-dependency",
    AmbiguousDependency = "ambiguous-dependency",
    SourceRestricted = "source-restricted",
    UnansweredDependency = "unanswered-dependency",
    ForcedTunnellingSuspected = "forced-tunnelling-suspected",
    UnlistedBlocked = "unlisted-blocked" });

impl Kind {
    /// A rule refuses flows; else they are let through and lost.
    pub fn is_denial(self) -> bool {
        !matches!(self, Self::UnansweredDependency | Self::ForcedTunnellingSuspected)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Blocked,
    Partial,
    Recovered,
    ShareUnknown,
    Unanswered,
}

names!(Verdict { Blocked = "blocked",
    Partial = "partial",
    Recovered = "recovered",
    ShareUnknown = "share-unknown",
    Unanswered = "unanswered" });

#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub rank: u64,
    pub id: String,
    pub fingerprint: String,
    pub kind: Kind,
    pub severity: Severity,
    pub score: Score,
    pub impact: f64,
    pub confidence: Confidence,
    pub verdict: Verdict,
    pub state: Activity,
    pub reach: Reach,
    /// Null while it may be one of several.
    pub requirement: Option<String>,
    /// Sorted.
    pub candidates: Vec<String>,
    pub purpose: String,
    pub direction: String,
    pub vantage: String,
    pub subnet: String,
    pub protocol: String,
    /// Ascending.
    pub ports: Vec<i64>,
    /// Null where no rule is to blame, as the three after it.
    pub acl: Option<String>,
    pub acl_name: Option<String>,
    pub rule: Option<String>,
    pub rule_name: Option<String>,
    pub rule_origin: String,
    pub denied_tuples: i64,
    pub denied_tuples_24h: i64,
    pub allowed_24h: i64,
    /// New allowed flows of the hours from the first denial on.
    pub allowed_since_first_denied: i64,
    /// Allowed tuples that sent something, where unanswered ones are the finding.
    pub sent_tuples: i64,
    /// Of these, the ones without an answer.
    pub unanswered_tuples: i64,
    /// Null where too many peers were let through to tell.
    pub worked_before: Option<bool>,
    /// What a refused flow that no requirement asks for may be.
    pub hint: Option<String>,
    /// What stops working.
    pub effect: Option<String>,
    /// It began after name resolution was refused, and nothing confirms its addresses.
    pub follows_dns: bool,
    pub first_denied: Option<Timestamp>,
    pub last_denied: Option<Timestamp>,
    pub last_allowed_before: Option<Timestamp>,
    pub first_allowed_after: Option<Timestamp>,
    /// By denied tuples, then as text.
    pub local_addresses: Vec<LocalAddress>,
    /// By denied tuples, then by number.
    pub remote_addresses: Vec<RemoteAddress>,
    pub local_address_count: u64,
    pub remote_address_count: u64,
    /// Else the count is an estimate.
    pub remote_address_count_exact: bool,
    /// Ascending.
    pub hours: Vec<HourCount>,
    pub outside_loaded_tags: i64,
    pub explanation: String,
    pub fix: Fix,
    /// Of connections that a rule allowed.
    #[serde(skip)]
    pub unanswered: Option<Unanswered>,
}

/// Allowed connections that sent and got nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// Tuples that tell whether there was an answer.
    pub connections: i64,
    /// Of these, the ones without.
    pub unanswered: i64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub last_answered_before: Option<Timestamp>,
    pub first_answered_after: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize)]
pub struct LocalAddress {
    pub ip: String,
    pub denied_tuples: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct RemoteAddress {
    pub ip: String,
    pub service_tag: Option<String>,
    pub denied_tuples: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct HourCount {
    pub hour: Timestamp,
    pub denied_tuples: i64,
}

/// What would open it.
#[derive(Debug, Clone, Serialize)]
pub struct Fix {
    /// `allow-rule`, `admin-rule`, `load-service-tags`, `encryption`, `route`, or `none`.
    pub kind: &'static str,
    pub direction: Option<String>,
    pub source: Option<String>,
    pub destination: Option<String>,
    /// Ports and ranges, as the port table prints them.
    pub ports: Vec<String>,
    pub protocol: Option<String>,
    pub note: String,
    /// Not known without the configuration, as the five after it.
    pub priority: Option<u16>,
    pub existing_rule: Option<String>,
    pub commands: Commands,
    pub undo: Option<String>,
    pub simulated: Option<String>,
}

/// The fix as text to paste.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Commands {
    pub az: Option<String>,
    pub bicep: Option<String>,
    pub terraform: Option<String>,
    pub powershell: Option<String>,
}

impl Finding {
    /// Refusals that nothing is known to need: no requirement asks for them, and they never worked.
    pub fn is_unneeded(&self) -> bool {
        self.kind == Kind::UnlistedBlocked && self.worked_before != Some(true)
    }

    /// It works no more, and is severe enough to be read first.
    pub fn is_open(&self) -> bool {
        self.severity >= Severity::Medium && self.verdict != Verdict::Recovered && self.state != Activity::Recovered
    }
}
