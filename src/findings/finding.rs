//! The result, shaped as contract section 2.5 has it: fields in the order of the JSON, absent ones null.

use std::fmt;

use serde::{Serialize, Serializer};

use super::score::{Activity, Confidence, Reach, Score, Severity, named};
use crate::engine::Versions;

/// ms since 1970; prints as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.pad(&time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BlockedDependency,
    AmbiguousDependency,
    SourceRestricted,
    UnansweredDependency,
    ForcedTunnellingSuspected,
}

named!(
    Kind,
    BlockedDependency = "blocked-dependency",
    AmbiguousDependency = "ambiguous-dependency",
    SourceRestricted = "source-restricted",
    UnansweredDependency = "unanswered-dependency",
    ForcedTunnellingSuspected = "forced-tunnelling-suspected"
);

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

named!(
    Verdict,
    Blocked = "blocked",
    Partial = "partial",
    Recovered = "recovered",
    ShareUnknown = "share-unknown",
    Unanswered = "unanswered"
);

impl Verdict {
    pub(super) fn from_name(name: &str) -> Self {
        let others = [Self::Partial, Self::Recovered, Self::ShareUnknown];
        others.into_iter().find(|v| v.name() == name).unwrap_or(Self::Blocked)
    }
}

/// How the scope was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    Given,
    /// From flows that only API Management has.
    Inferred,
    /// Every interface in the logs, for none showed itself.
    Unknown,
}

#[derive(Debug, Clone, Serialize)]
pub struct Analysis {
    pub schema: &'static str,
    pub flowgap_version: &'static str,
    pub scope: ScopeUsed,
    pub input: Input,
    /// By severity, then denied tuples.
    pub causes: Vec<Cause>,
    /// By rank.
    pub findings: Vec<Finding>,
    /// By subnet, then in the order of the port table.
    pub coverage: Vec<Coverage>,
    pub unmatched_denied: UnmatchedDenied,
    pub notices: Vec<Notice>,
    /// Local subnets in the logs, the largest first. Empty where the scope was given and holds flows.
    #[serde(skip)]
    pub subnets_seen: Vec<SubnetSeen>,
    #[serde(skip)]
    pub basis: Basis,
    /// A scan was ended before all was read.
    #[serde(skip)]
    pub is_interrupted: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct ScopeUsed {
    pub subnets: Vec<String>,
    pub subnets_inferred: bool,
    pub vnet: Vec<String>,
    pub vnet_mode: Option<String>,
    pub edition: String,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub service_tags: Option<ServiceTagsUsed>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ServiceTagsUsed {
    pub cloud: String,
    pub change_number: u64,
    pub tags: u64,
}

/// What was read inside the window.
#[derive(Debug, Clone, Serialize)]
pub struct Input {
    pub blobs: u64,
    pub bytes: u64,
    pub records: u64,
    pub tuples: u64,
    pub denied_tuples: u64,
    pub tuples_in_scope: i64,
    pub denied_in_scope: i64,
    pub malformed_tuples: u64,
    pub unreadable_blobs: u64,
    pub first_flow: Option<Time>,
    pub last_flow: Option<Time>,
    pub versions: Versions,
    pub problem_count: u64,
    /// By blob and offset.
    pub problems: Vec<Problem>,
    /// Records that could not be read; each is a problem.
    #[serde(skip)]
    pub bad_records: u64,
    #[serde(skip)]
    pub slow_records: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub blob: String,
    pub offset: u64,
    pub record: u64,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Cause {
    pub acl: String,
    pub rule: String,
    pub rule_origin: String,
    pub subnet: String,
    /// Ids, by rank.
    pub findings: Vec<String>,
    pub max_severity: Severity,
    pub first_denied: Option<Time>,
    pub last_denied: Option<Time>,
    pub denied_tuples: i64,
}

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
    /// Null where no rule is to blame.
    pub acl: Option<String>,
    pub rule: Option<String>,
    pub rule_origin: String,
    pub denied_tuples: i64,
    pub denied_tuples_24h: i64,
    pub allowed_24h: i64,
    pub first_denied: Option<Time>,
    pub last_denied: Option<Time>,
    pub last_allowed_before: Option<Time>,
    pub first_allowed_after: Option<Time>,
    /// By denied tuples, then as text.
    pub local_addresses: Vec<LocalAddress>,
    /// By denied tuples, then by number.
    pub remote_addresses: Vec<RemoteAddress>,
    pub remote_address_count: u64,
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
    pub first: Option<Time>,
    pub last: Option<Time>,
    pub last_answered_before: Option<Time>,
    pub first_answered_after: Option<Time>,
}

/// What the logs say of one requirement in one subnet.
#[derive(Debug, Clone, Serialize)]
pub struct Coverage {
    pub requirement: String,
    pub subnet: String,
    pub direction: String,
    pub protocol: String,
    /// Ports and ranges, as the port table prints them.
    pub ports: Vec<String>,
    pub source: String,
    pub destination: String,
    pub necessity: String,
    pub verdict: CoverageVerdict,
    /// Of all flows that may be this requirement's.
    pub denied_tuples: i64,
    pub allowed_tuples: i64,
    pub first_flow: Option<Time>,
    pub last_flow: Option<Time>,
}

/// The worse comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoverageVerdict {
    Blocked,
    Partial,
    Unanswered,
    Recovered,
    Allowed,
    Indistinguishable,
    NoEvidence,
}

named!(
    CoverageVerdict,
    Blocked = "blocked",
    Partial = "partial",
    Unanswered = "unanswered",
    Recovered = "recovered",
    Allowed = "allowed",
    Indistinguishable = "indistinguishable",
    NoEvidence = "no-evidence"
);

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
    pub hour: Time,
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
}

#[derive(Debug, Clone, Serialize)]
pub struct UnmatchedDenied {
    pub inbound_internet_tuples: i64,
    /// By denied tuples, then direction and remote address.
    pub listed: Vec<Unmatched>,
}

/// A denied flow that no requirement waits for.
#[derive(Debug, Clone, Serialize)]
pub struct Unmatched {
    pub direction: String,
    pub remote: String,
    pub port: i64,
    pub protocol: String,
    pub rule: String,
    pub acl: String,
    pub denied_tuples: i64,
    /// What it may be.
    pub hint: String,
}

/// A local subnet in the logs, by the /24 or /64 around its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubnetSeen {
    pub cidr: String,
    pub machines: u64,
    /// Tuples. After a look, of those that it read.
    pub flows: i64,
    pub looks_like_apim: bool,
    pub why: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    pub code: &'static str,
    pub message: String,
}

impl Analysis {
    /// A blob or record could not be read.
    pub fn is_incomplete(&self) -> bool {
        self.input.unreadable_blobs > 0 || self.input.bad_records > 0
    }

    /// Nothing can be told: no flow in window and scope, or none of any requirement that must be met.
    pub fn is_blind(&self) -> bool {
        self.is_empty() || self.lacks_all_evidence()
    }

    /// There was no flow in window and scope.
    pub fn is_empty(&self) -> bool {
        self.input.tuples_in_scope == 0
    }

    fn lacks_all_evidence(&self) -> bool {
        let mut required = self.coverage.iter().filter(|row| row.is_required()).peekable();
        required.peek().is_some() && required.all(|row| row.verdict == CoverageVerdict::NoEvidence)
    }

    /// The worst severity of what a run may fail for: of nothing while the scope is unknown.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter(|_| self.basis != Basis::Unknown).map(|f| f.severity).max()
    }
}

impl Coverage {
    pub fn is_required(&self) -> bool {
        self.necessity == "required"
    }
}
