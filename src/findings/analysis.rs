//! The result of an analysis. Fields are in the order of the JSON (contract section 2.5), and absent ones are null. A
//! saved analysis that is read back gives the same JSON again.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::mode::ModeOrigin;
use super::model::Finding;
use super::notice_code::NoticeCode;
use super::score::Severity;
use crate::catalog::{InstanceMode, Necessity, Role, RowDirection, Tag, role};
use crate::engine::Versions;
use crate::flow::{RuleOrigin, ScopeDirection};
use crate::names::names;
use crate::platform::ConnectivityStatus;
use crate::time::Timestamp;

/// Version of the JSON. Reading refuses every other version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// The first version, `flowgap.analysis/1`.
    V1,
}

names!(Schema { V1 = "flowgap.analysis/1" });

/// Origin of the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Subnets that the caller gave.
    Given,
    /// Addresses inferred from flows that only API Management has.
    Inferred,
    /// Every interface in the logs, because no flow shows API Management.
    Unknown,
}

/// Everything that an analysis reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Analysis {
    /// Version of the JSON.
    pub schema: Schema,
    /// Version of the program that made the analysis.
    pub flowgap_version: String,
    /// Scope that the flows were compared with.
    pub scope: ScopeUsed,
    /// Counts of the input.
    pub input: Input,
    /// Result as a word and an exit status.
    pub status: Status,
    /// Counts of required rows by their verdicts.
    pub needs: Needs,
    /// Local subnets in the logs: at most 20, the busiest first. Empty if the scope was given and holds flows.
    pub subnets_seen: Vec<SubnetSeen>,
    /// Listed blobs.
    pub archive: ArchiveListed,
    /// Causes of the findings, by severity, then by denied tuples.
    pub causes: Vec<Cause>,
    /// Findings by rank, at most [`LISTED_FINDINGS`](super::LISTED_FINDINGS).
    pub findings: Vec<Finding>,
    /// Verdicts on the requirements, by subnet, then in the order of the port table.
    pub coverage: Vec<Coverage>,
    /// Denied flows that no requirement asks for.
    pub unmatched_denied: UnmatchedDenied,
    /// Facts to know before believing the findings, in the order in which they are printed.
    pub notices: Vec<Notice>,
}

/// Scope of an analysis, given or inferred.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScopeUsed {
    /// Subnets in scope, as CIDR.
    pub subnets: Vec<String>,
    /// Whether the subnets were inferred from the flows.
    pub subnets_inferred: bool,
    /// Address space of the tag `VirtualNetwork`, as CIDR.
    pub vnet: Vec<String>,
    /// Mode of the instance; null if unknown.
    pub vnet_mode: Option<InstanceMode>,
    /// Source of `vnet_mode`; null if that is unknown.
    pub vnet_mode_origin: Option<ModeOrigin>,
    /// Id of the edition of the port table.
    pub edition: String,
    /// First time of the window, inclusive; null if open.
    pub from: Option<Timestamp>,
    /// End of the window, exclusive; null if open.
    pub to: Option<Timestamp>,
    /// Loaded service tags; null without them.
    pub service_tags: Option<ServiceTagsUsed>,
}

/// Service-tag file of an analysis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceTagsUsed {
    /// Cloud named in the file; null if it names none.
    pub cloud: Option<String>,
    /// Change number of the file; null if it has none.
    pub change_number: Option<u64>,
    /// Number of tags.
    pub tags: u64,
}

/// Local subnet in the logs: the /24 or /64 around its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSeen {
    /// The block, as CIDR.
    pub cidr: String,
    /// Number of distinct local addresses.
    pub machines: u64,
    /// Tuples of these addresses. After a look at parts of the archive, only tuples that the look read.
    pub flows: i64,
    /// Whether a flow shows API Management on one of the addresses.
    pub looks_like_apim: bool,
    /// Evidence for `looks_like_apim` in words; null without it.
    pub why: Option<String>,
}

/// Blobs of the sources, as listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArchiveListed {
    /// Number of listed blobs.
    pub blobs_listed: u64,
    /// First hour in the names of the listed flow logs; null if no name has one.
    pub first_hour: Option<Timestamp>,
    /// Last hour in the names of the listed flow logs; null if no name has one.
    pub last_hour: Option<Timestamp>,
}

/// Counts of the input. Tuples outside the window do not count.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// Number of blobs read.
    pub blobs: u64,
    /// Size of the blobs, as stored.
    pub bytes: u64,
    /// Number of flow records.
    pub records: u64,
    /// Number of well-formed flow tuples.
    pub tuples: u64,
    /// Number of denied flow tuples.
    pub denied_tuples: u64,
    /// Tuples with an end in scope.
    pub tuples_in_scope: i64,
    /// Denied tuples with an end in scope.
    pub denied_in_scope: i64,
    /// Number of malformed tuples, which were skipped.
    pub malformed_tuples: u64,
    /// Number of blobs that could not be read to the end.
    pub unreadable_blobs: u64,
    /// Time of the first tuple; null without tuples.
    pub first_flow: Option<Timestamp>,
    /// Time of the last tuple; null without tuples.
    pub last_flow: Option<Timestamp>,
    /// Tuples by the version of their record.
    pub versions: Versions,
    /// Number of all problems, listed or not.
    pub problem_count: u64,
    /// The first 1000 problems, by blob and offset.
    pub problems: Vec<Problem>,
}

/// Located bad input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// Name of the blob, as shown.
    pub blob: String,
    /// Byte of the blob where the bad tuple, record or gap starts.
    pub offset: u64,
    /// Number of records of the blob before it.
    pub record: u64,
    /// Description of the fault.
    pub reason: String,
}

/// Result of an analysis as a word and an exit status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Answer in a word.
    pub word: Word,
    /// Exit status: 0, 1, 3 or 130.
    pub exit: u8,
    /// Reasons for an exit status that is not 0, in words.
    pub reasons: Vec<String>,
    /// Whether a part of the input was not read.
    pub partial: bool,
    /// Severity from which findings fail the run; null for none.
    pub fail_on: Option<Severity>,
    /// Share of required rows that need evidence, from 0 to 1.
    pub min_coverage: f64,
}

/// Answer in a word, independent of the exit status. The first variant that applies is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The input or its evidence is insufficient, and no finding is medium or worse.
    CouldNotTell,
    /// A finding of medium or worse blocks a dependency and has not recovered.
    Blocked,
    /// Another finding of medium or worse has not recovered, or a required dependency fell silent.
    Degraded,
    /// A required row has no evidence, or a finding recovered in the last 24 hours of the logs.
    OkSoFar,
    /// Every required row has evidence, and no other variant applies.
    Ok,
}

names!(Word { CouldNotTell = "COULD NOT TELL",
    Blocked = "BLOCKED",
    Degraded = "DEGRADED",
    OkSoFar = "OK SO FAR",
    Ok = "OK" });

/// Counts of required rows. With several subnets, a row counts once per subnet. Rows whose flows may belong to others
/// count in `required` alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Needs {
    /// All required rows.
    pub required: u64,
    /// Rows that are refused, or allowed without an answer.
    pub blocked: u64,
    /// Rows that are refused in part.
    pub degraded: u64,
    /// Rows that are allowed, including recovered ones and ones of which only strangers are refused.
    pub seen: u64,
    /// Rows without any flow.
    pub never_tried: u64,
}

/// A rule, encryption or missing answers, with the findings of one subnet that it explains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cause {
    /// Number from 1 under which the cause is printed. Causes that differ only in subnet
    /// or in digits of the ACL's name share it.
    pub number: u64,
    /// Kind of the cause.
    pub kind: CauseKind,
    /// ACL as the log names it. Null for missing answers, like the three fields after it.
    pub acl: Option<String>,
    /// Last part of `acl`.
    pub acl_name: Option<String>,
    /// Rule as the log names it.
    pub rule: Option<String>,
    /// Rule as the portal names it: `rule` without the log's prefix.
    pub rule_name: Option<String>,
    /// Author of the rule; unknown for missing answers.
    pub rule_origin: RuleOrigin,
    /// Subnet of the findings, as CIDR.
    pub subnet: String,
    /// Functions that stop working, by the worst finding that names any.
    pub effect: Option<String>,
    /// Ids of the findings, by rank.
    pub findings: Vec<String>,
    /// Highest severity of the findings.
    pub max_severity: Severity,
    /// First refusal of the findings; null without refusals.
    pub first_denied: Option<Timestamp>,
    /// Last refusal of the findings; null without refusals.
    pub last_denied: Option<Timestamp>,
    /// Denied tuples of all findings together.
    pub denied_tuples: i64,
}

/// Kind of a cause. Variants are in the order of their names, which also orders equally bad causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseKind {
    /// Virtual network encryption drops the flows.
    Encryption,
    /// A rule allows the flows, and no packet comes back.
    NoAnswer,
    /// A rule refuses the flows.
    Rule,
}

names!(CauseKind { Encryption = "encryption", NoAnswer = "no-answer", Rule = "rule" });

/// Verdict on one requirement in one subnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Coverage {
    /// Id of the requirement.
    pub requirement: String,
    /// Subnet of the scope, as CIDR.
    pub subnet: String,
    /// Direction that the row applies to.
    pub direction: RowDirection,
    /// Protocol, such as `TCP`; several are joined by `+`.
    pub protocol: String,
    /// Ports and ranges, as the port table prints them.
    pub ports: Vec<String>,
    /// Source that the row names.
    pub source: Tag,
    /// Destination that the row names.
    pub destination: Tag,
    /// Whether the row is required, conditional or optional.
    pub necessity: Necessity,
    /// Worst verdict of the findings, or without one the verdict of the flows.
    pub verdict: CoverageVerdict,
    /// Denied tuples of all flows that may belong to the requirement.
    pub denied_tuples: i64,
    /// Allowed tuples of these flows, except ones that the platform itself allows.
    pub allowed_tuples: i64,
    /// Time of the first of these flows; null without one.
    pub first_flow: Option<Timestamp>,
    /// Time of the last of these flows; null without one.
    pub last_flow: Option<Timestamp>,
    /// Last flow of an allowed outbound or management requirement that fell silent before the logs end; null for
    /// others.
    pub silent_since: Option<Timestamp>,
    /// Result of the instance's own last try, if no flow tells. The JSON has the key only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<ConnectivityStatus>,
    /// Whether the row counts if it is required. False for a row of external mode if the logs look like internal mode.
    /// The JSON has the key only if it is false.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub counts: bool,
}

/// Verdict on one requirement. Variants are in order, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoverageVerdict {
    /// Flows are refused, and nothing shows that others get through.
    Blocked,
    /// Some flows are refused.
    Partial,
    /// Flows are allowed and get no answer.
    Unanswered,
    /// Flows were refused, and are allowed again.
    Recovered,
    /// A flow that belongs to no other requirement was allowed.
    Allowed,
    /// All flows may belong to other requirements as well.
    Indistinguishable,
    /// No flow may belong to the requirement.
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
    /// Inbound denied tuples from the Internet, mostly of scanners.
    pub inbound_internet_tuples: i64,
    /// All other denied tuples, and ones from the Internet on a port of the port table.
    pub tuples: i64,
    /// Number of distinct addresses of `tuples`.
    pub peers: i64,
    /// Refusals per rule: at most 20, by tuples, then direction and rule.
    pub by_rule: Vec<UnmatchedRule>,
    /// Busiest refused flows: at most 100, by denied tuples, then direction and remote address.
    pub listed: Vec<Unmatched>,
}

/// Refusals of one rule that no requirement asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnmatchedRule {
    /// Direction as the scope sees it.
    pub direction: ScopeDirection,
    /// Rule as the log names it.
    pub rule: String,
    /// ACL as the log names it.
    pub acl: String,
    /// Number of distinct ports.
    pub ports: i64,
    /// Number of denied tuples.
    pub tuples: i64,
    /// Number of distinct addresses.
    pub peers: i64,
}

/// Denied flows of one peer, port and rule that no requirement asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unmatched {
    /// Direction as the scope sees it.
    pub direction: ScopeDirection,
    /// Address of the peer.
    pub remote: String,
    /// Name of the peer that the user gave; null without one.
    pub name: Option<String>,
    /// Destination port.
    pub port: u16,
    /// Protocol, such as `TCP`.
    pub protocol: String,
    /// Rule as the log names it.
    pub rule: String,
    /// ACL as the log names it.
    pub acl: String,
    /// Number of denied tuples.
    pub denied_tuples: i64,
    /// First refusal.
    pub first_denied: Option<Timestamp>,
    /// Last refusal.
    pub last_denied: Option<Timestamp>,
    /// Last new flow of the same peer, port and protocol that was allowed before the first refusal.
    pub last_allowed_before: Option<Timestamp>,
    /// Guess at the purpose of the flows.
    pub hint: String,
}

/// Fact to know before believing the findings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Notice {
    /// Kind of the notice.
    pub code: NoticeCode,
    /// Text of one or more lines.
    pub message: String,
}

impl Analysis {
    /// Returns whether there is a notice of this kind.
    pub fn has_notice(&self, code: NoticeCode) -> bool {
        self.notices.iter().any(|notice| notice.code == code)
    }

    /// Returns the origin of the scope. Correct only if the notices are complete.
    pub fn basis(&self) -> Basis {
        match self.scope.subnets_inferred {
            true => Basis::Inferred,
            false if self.has_notice(NoticeCode::SubnetUnknown) => Basis::Unknown,
            false => Basis::Given,
        }
    }

    /// Returns whether no flow is in window and scope.
    pub fn is_empty(&self) -> bool {
        self.input.tuples_in_scope == 0
    }

    /// Returns whether the user gave the subnets.
    pub fn is_scope_given(&self) -> bool {
        self.basis() == Basis::Given
    }

    /// Returns whether the evidence is too thin to call anything fine, whatever the findings.
    pub fn has_doubts(&self) -> bool {
        let Needs { required, never_tried, .. } = self.needs;
        let is_thin = ((required - never_tried.min(required)) as f64) < self.status.min_coverage * required as f64;
        let unsure = [NoticeCode::SubnetUnknown, NoticeCode::EditionMismatch];
        self.status.partial
            || self.status.exit == 3
            || self.is_empty()
            || is_thin
            || unsure.into_iter().any(|code| self.has_notice(code))
    }

    /// Makes the severities of the causes those of their findings.
    pub(super) fn update_causes(&mut self) {
        let severities: HashMap<&str, Severity> =
            self.findings.iter().map(|found| (found.identity.id.as_str(), found.grade.severity)).collect();
        for cause in &mut self.causes {
            let worst = cause.findings.iter().filter_map(|id| severities.get(id.as_str()).copied()).max();
            cause.max_severity = worst.map_or(cause.max_severity, |worst| worst.max(cause.max_severity));
        }
    }

    /// Returns whether no required row has any evidence. False if no row is required.
    pub fn lacks_all_evidence(&self) -> bool {
        let mut required = self.coverage.iter().filter(|row| row.is_required()).peekable();
        required.peek().is_some() && required.all(|row| row.verdict == CoverageVerdict::NoEvidence)
    }

    /// Returns the row of name resolution if it is refused, entirely or in part.
    pub fn refused_names(&self) -> Option<&Coverage> {
        let is_refused = |row: &&Coverage| matches!(row.verdict, CoverageVerdict::Blocked | CoverageVerdict::Partial);
        self.coverage.iter().filter(is_refused).find(|row| role(&row.requirement) == Some(Role::Dns))
    }
}

impl Coverage {
    /// Returns whether the row is required and counts.
    pub fn is_required(&self) -> bool {
        self.counts && self.necessity == Necessity::Required
    }
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}
