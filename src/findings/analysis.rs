//! The result around the findings, shaped as contract section 2.5 has it: fields in the order of the JSON, absent ones null.

use serde::Serialize;

use super::finding::Finding;
use super::score::Severity;
use crate::catalog::{Role, role};
use crate::engine::Versions;
use crate::names::names;
use crate::time::Timestamp;

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
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
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
    pub first_hour: Option<Timestamp>,
    pub last_hour: Option<Timestamp>,
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
    pub first_flow: Option<Timestamp>,
    pub last_flow: Option<Timestamp>,
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

/// What an analysis comes to.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub word: Word,
    /// The exit status: 0, 1, 3 or 130.
    pub exit: u8,
    /// Why the exit status is not 0; one sentence each.
    pub reasons: Vec<String>,
    /// Not everything was read.
    pub partial: bool,
    pub fail_on: Option<Severity>,
    pub min_coverage: f64,
}

/// The answer in a word, whatever a run fails for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    CouldNotTell,
    Blocked,
    Degraded,
    OkSoFar,
    Ok,
}

names!(Word { CouldNotTell = "COULD NOT TELL",
    Blocked = "BLOCKED",
    Degraded = "DEGRADED",
    OkSoFar = "OK SO FAR",
    Ok = "OK" });

/// How many required rows stand how; with several subnets, a row counts in each.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Needs {
    pub required: u64,
    /// Refused, or let through without an answer.
    pub blocked: u64,
    /// Refused in part.
    pub degraded: u64,
    /// Let through; recovered ones included, and those where only strangers are turned away.
    pub seen: u64,
    /// Without any flow.
    pub never_tried: u64,
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
    pub first_denied: Option<Timestamp>,
    pub last_denied: Option<Timestamp>,
    pub denied_tuples: i64,
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
    pub first_flow: Option<Timestamp>,
    pub last_flow: Option<Timestamp>,
    /// The last flow of an allowed outbound or management requirement that fell silent before the logs end.
    pub silent_since: Option<Timestamp>,
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

names!(CoverageVerdict { Blocked = "blocked",
    Partial = "partial",
    Unanswered = "unanswered",
    Recovered = "recovered",
    Allowed = "allowed",
    Indistinguishable = "indistinguishable",
    NoEvidence = "no-evidence" });

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
    pub first_denied: Option<Timestamp>,
    pub last_denied: Option<Timestamp>,
    pub last_allowed_before: Option<Timestamp>,
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
}

impl Coverage {
    /// A required row that counts.
    pub fn is_required(&self) -> bool {
        self.counts && self.necessity == "required"
    }
}
