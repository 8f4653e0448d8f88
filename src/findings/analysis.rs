//! The result around the findings, shaped as contract section 2.5 has it: fields in the order of the JSON, absent ones null.
//! A saved analysis reads back equal.

use serde::{Deserialize, Serialize};

use super::mode::ModeOrigin;
use super::model::Finding;
use super::notice_code::NoticeCode;
use super::score::Severity;
use crate::catalog::{InstanceMode, Necessity, Role, RowDirection, Tag, role};
use crate::engine::Versions;
use crate::flow::{RuleOrigin, ScopeDirection};
use crate::names::names;
use crate::time::Timestamp;

/// Version of the JSON. Other versions are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    V1,
}

names!(Schema { V1 = "flowgap.analysis/1" });

/// How the scope was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    Given,
    /// Found by flows that only API Management has.
    Inferred,
    /// Every interface in the logs, because none showed itself.
    Unknown,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Analysis {
    pub schema: Schema,
    pub flowgap_version: String,
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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScopeUsed {
    pub subnets: Vec<String>,
    pub subnets_inferred: bool,
    pub vnet: Vec<String>,
    /// Null while unknown.
    pub vnet_mode: Option<InstanceMode>,
    pub vnet_mode_origin: Option<ModeOrigin>,
    pub edition: String,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub service_tags: Option<ServiceTagsUsed>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceTagsUsed {
    pub cloud: Option<String>,
    pub change_number: Option<u64>,
    pub tags: u64,
}

/// A local subnet in the logs, by the /24 or /64 around its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSeen {
    pub cidr: String,
    /// Local addresses.
    pub machines: u64,
    /// Tuples; after a look, those that it read.
    pub flows: i64,
    pub looks_like_apim: bool,
    /// Evidence for it, as a sentence.
    pub why: Option<String>,
}

/// Blobs of the sources, by their names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArchiveListed {
    pub blobs_listed: u64,
    pub first_hour: Option<Timestamp>,
    pub last_hour: Option<Timestamp>,
}

/// Counts of the input inside the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    pub blob: String,
    pub offset: u64,
    pub record: u64,
    pub reason: String,
}

/// Result of an analysis in a word and an exit status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub word: Word,
    /// The exit status: 0, 1, 3 or 130.
    pub exit: u8,
    /// Reasons for an exit status that is not 0; one sentence each.
    pub reasons: Vec<String>,
    /// Whether something was not read.
    pub partial: bool,
    pub fail_on: Option<Severity>,
    pub min_coverage: f64,
}

/// The answer in a word, independent of the exit status.
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

/// Counts of required rows; with several subnets, a row counts in each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Needs {
    pub required: u64,
    /// Refused, or let through without an answer.
    pub blocked: u64,
    /// Refused in part.
    pub degraded: u64,
    /// Let through, including recovered rows and rows where only strangers are turned away.
    pub seen: u64,
    /// Without any flow.
    pub never_tried: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cause {
    /// From 1, in their order.
    pub number: u64,
    pub kind: CauseKind,
    /// Null where no rule is to blame, as the three fields after it.
    pub acl: Option<String>,
    /// The last part of the ACL's resource id.
    pub acl_name: Option<String>,
    pub rule: Option<String>,
    /// Name in the portal: without the log's prefix.
    pub rule_name: Option<String>,
    pub rule_origin: RuleOrigin,
    pub subnet: String,
    /// Functions that stop working, by the worst finding.
    pub effect: Option<String>,
    /// Ids, by rank.
    pub findings: Vec<String>,
    pub max_severity: Severity,
    pub first_denied: Option<Timestamp>,
    pub last_denied: Option<Timestamp>,
    pub denied_tuples: i64,
}

/// Kinds in the order of their names, which is that of equally bad causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseKind {
    Encryption,
    /// A rule lets the flows through, and no packet comes back.
    NoAnswer,
    Rule,
}

names!(CauseKind { Encryption = "encryption", NoAnswer = "no-answer", Rule = "rule" });

/// Verdict on one requirement in one subnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Coverage {
    pub requirement: String,
    pub subnet: String,
    pub direction: RowDirection,
    pub protocol: String,
    /// Ports and ranges, as the port table prints them.
    pub ports: Vec<String>,
    pub source: Tag,
    pub destination: Tag,
    pub necessity: Necessity,
    pub verdict: CoverageVerdict,
    /// Tuples of all flows that may be this requirement's.
    pub denied_tuples: i64,
    pub allowed_tuples: i64,
    pub first_flow: Option<Timestamp>,
    pub last_flow: Option<Timestamp>,
    /// The last flow of an allowed outbound or management requirement that fell silent before the logs end.
    pub silent_since: Option<Timestamp>,
    /// Whether a required row counts: not one of external mode while the logs look like internal mode.
    /// The JSON does not hold it, so that every row read back counts.
    #[serde(skip, default = "yes")]
    pub counts: bool,
}

/// Verdicts, the worse first.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnmatchedDenied {
    /// Tuples from the Internet, mostly of scanners.
    pub inbound_internet_tuples: i64,
    /// All other tuples, and those of the Internet on a port of the table.
    pub tuples: i64,
    /// Number of distinct addresses of `tuples`.
    pub peers: i64,
    /// By tuples, then direction and rule.
    pub by_rule: Vec<UnmatchedRule>,
    /// By denied tuples, then direction and remote address.
    pub listed: Vec<Unmatched>,
}

/// Refusals of one rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnmatchedRule {
    pub direction: ScopeDirection,
    pub rule: String,
    pub acl: String,
    /// Number of distinct ports.
    pub ports: i64,
    pub tuples: i64,
    /// Number of distinct addresses.
    pub peers: i64,
}

/// A denied flow that no requirement asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unmatched {
    pub direction: ScopeDirection,
    pub remote: String,
    pub port: u16,
    pub protocol: String,
    pub rule: String,
    pub acl: String,
    pub denied_tuples: i64,
    pub first_denied: Option<Timestamp>,
    pub last_denied: Option<Timestamp>,
    pub last_allowed_before: Option<Timestamp>,
    /// Guess at the flow.
    pub hint: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Notice {
    pub code: NoticeCode,
    pub message: String,
}

impl Analysis {
    pub fn has_notice(&self, code: NoticeCode) -> bool {
        self.notices.iter().any(|notice| notice.code == code)
    }

    /// Returns how the scope was found. Right only once the notices are complete.
    pub fn basis(&self) -> Basis {
        match self.scope.subnets_inferred {
            true => Basis::Inferred,
            false if self.has_notice(NoticeCode::SubnetUnknown) => Basis::Unknown,
            false => Basis::Given,
        }
    }

    /// Whether there was no flow in window and scope.
    pub fn is_empty(&self) -> bool {
        self.input.tuples_in_scope == 0
    }

    /// Whether no required row has any evidence.
    pub fn lacks_all_evidence(&self) -> bool {
        let mut required = self.coverage.iter().filter(|row| row.is_required()).peekable();
        required.peek().is_some() && required.all(|row| row.verdict == CoverageVerdict::NoEvidence)
    }

    /// Returns the row of name resolution, where it is refused.
    pub fn refused_names(&self) -> Option<&Coverage> {
        let is_refused = |row: &&Coverage| matches!(row.verdict, CoverageVerdict::Blocked | CoverageVerdict::Partial);
        self.coverage.iter().filter(is_refused).find(|row| role(&row.requirement) == Some(Role::Dns))
    }
}

impl Coverage {
    /// Whether it is a required row that counts.
    pub fn is_required(&self) -> bool {
        self.counts && self.necessity == Necessity::Required
    }
}

fn yes() -> bool {
    true
}
