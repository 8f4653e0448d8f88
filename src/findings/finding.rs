//! The result, shaped as contract section 2.5 has it: fields in the order of the JSON, absent ones null.

use std::fmt;

use serde::{Serialize, Serializer};

use super::score::{Activity, Confidence, Reach, Score, Severity, named};
use super::status::{Needs, Status};
use crate::catalog::{Role, role};
use crate::engine::{SessionError, Versions};

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
    /// Refusals that no requirement asks for.
    UnlistedBlocked,
}

named!(
    Kind,
    BlockedDependency = "blocked-dependency",
    AmbiguousDependency = "ambiguous-dependency",
    SourceRestricted = "source-restricted",
    UnansweredDependency = "unanswered-dependency",
    ForcedTunnellingSuspected = "forced-tunnelling-suspected",
    UnlistedBlocked = "unlisted-blocked"
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
    /// Returns the verdict that the queries call so; an error is a fault of ours.
    pub(super) fn from_name(name: &str) -> Result<Self, SessionError> {
        let known = [Self::Blocked, Self::Partial, Self::Recovered, Self::ShareUnknown];
        known.into_iter().find(|v| v.name() == name).ok_or_else(|| SessionError::unknown_name("verdict", name))
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
    pub status: Status,
    pub needs: Needs,
    /// Local subnets in the logs, the largest first. Empty where the scope was given and holds flows.
    pub subnets_seen: Vec<SubnetSeen>,
    pub archive: ArchiveListed,
    /// By severity, then denied tuples.
    pub causes: Vec<Cause>,
    /// By rank.
    pub findings: Vec<Finding>,
    /// By subnet, then in the order of the port table.
    pub coverage: Vec<Coverage>,
    pub unmatched_denied: UnmatchedDenied,
    pub notices: Vec<Notice>,
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
    /// `given`, `proven` by answered calls from the Internet, `likely`, or null.
    pub vnet_mode_origin: Option<&'static str>,
    pub edition: String,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub service_tags: Option<ServiceTagsUsed>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ServiceTagsUsed {
    pub cloud: Option<String>,
    pub change_number: Option<u64>,
    pub tags: u64,
}

/// A local subnet in the logs, by the /24 or /64 around its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubnetSeen {
    pub cidr: String,
    /// Local addresses.
    pub machines: u64,
    /// Tuples. After a look, of those that it read.
    pub flows: i64,
    pub looks_like_apim: bool,
    /// What makes it look so.
    pub why: Option<String>,
}

/// What the sources list, by the names of their blobs.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveListed {
    pub blobs_listed: u64,
    pub first_hour: Option<Time>,
    pub last_hour: Option<Time>,
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
    /// Records of other logs by kind, the most first.
    #[serde(skip)]
    pub foreign: Vec<(String, u64)>,
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
    /// From 1, in their order.
    pub number: u64,
    /// `rule`, `no-answer` (a rule lets it through, and no packet comes back), or `encryption`.
    pub kind: &'static str,
    /// Null where no rule is to blame, as the three after it.
    pub acl: Option<String>,
    /// The last part of the ACL's resource id.
    pub acl_name: Option<String>,
    pub rule: Option<String>,
    /// As the portal shows it: without the log's prefix.
    pub rule_name: Option<String>,
    pub rule_origin: String,
    pub subnet: String,
    /// What stops working, by its worst finding.
    pub effect: Option<String>,
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
    pub first_denied: Option<Time>,
    pub last_denied: Option<Time>,
    pub last_allowed_before: Option<Time>,
    pub first_allowed_after: Option<Time>,
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
    /// The last flow of an allowed outbound or management requirement that fell silent before the logs end.
    pub silent_since: Option<Time>,
    /// Whether a required row counts: not one of external mode while the logs look like internal mode.
    #[serde(skip)]
    pub counts: bool,
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

/// Denied flows that no requirement asks for.
#[derive(Debug, Clone, Serialize)]
pub struct UnmatchedDenied {
    /// From the Internet, scanners mostly.
    pub inbound_internet_tuples: i64,
    /// All others, and those of the Internet on a port of the table.
    pub tuples: i64,
    /// Distinct addresses of `tuples`.
    pub peers: i64,
    /// By tuples, then direction and rule.
    pub by_rule: Vec<UnmatchedRule>,
    /// By denied tuples, then direction and remote address.
    pub listed: Vec<Unmatched>,
}

/// What one rule refused of them.
#[derive(Debug, Clone, Serialize)]
pub struct UnmatchedRule {
    pub direction: String,
    pub rule: String,
    pub acl: String,
    /// How many distinct ports.
    pub ports: i64,
    pub tuples: i64,
    /// How many distinct addresses.
    pub peers: i64,
}

/// A denied flow that no requirement asks for.
#[derive(Debug, Clone, Serialize)]
pub struct Unmatched {
    pub direction: String,
    pub remote: String,
    pub port: i64,
    pub protocol: String,
    pub rule: String,
    pub acl: String,
    pub denied_tuples: i64,
    pub first_denied: Option<Time>,
    pub last_denied: Option<Time>,
    pub last_allowed_before: Option<Time>,
    /// What it may be.
    pub hint: String,
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

    /// There was no flow in window and scope.
    pub fn is_empty(&self) -> bool {
        self.input.tuples_in_scope == 0
    }

    /// No required row has any evidence.
    pub fn lacks_all_evidence(&self) -> bool {
        let mut required = self.coverage.iter().filter(|row| row.is_required()).peekable();
        required.peek().is_some() && required.all(|row| row.verdict == CoverageVerdict::NoEvidence)
    }

    /// Name resolution, where it is refused.
    pub fn refused_names(&self) -> Option<&Coverage> {
        let is_refused = |row: &&Coverage| matches!(row.verdict, CoverageVerdict::Blocked | CoverageVerdict::Partial);
        self.coverage.iter().filter(is_refused).find(|row| role(&row.requirement) == Some(Role::Dns))
    }

    /// The worst severity of what a run may fail for: of nothing while the scope is unknown.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter(|_| self.basis != Basis::Unknown).map(|f| f.severity).max()
    }
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

impl Coverage {
    /// A required row that counts.
    pub fn is_required(&self) -> bool {
        self.counts && self.necessity == "required"
    }
}
