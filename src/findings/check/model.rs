//! The types of a static check: what the rules do with every row of the port table. Fields are in the order of the JSON.

use serde::Serialize;

use crate::catalog::{InstanceMode, Necessity, RowDirection, Tag};
use crate::findings::{Finding, ServiceTagsUsed, Severity, Word};
use crate::names::names;
use crate::policy::{Access, Layer, NearMiss, Origin, Path, Route, RouteUse, Shadowed, Shape, Verdict};

/// Version of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckSchema {
    /// The first version.
    V1,
}

names!(CheckSchema { V1 = "flowgap.check/1" });

/// Result of a static check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Version of the JSON.
    pub schema: CheckSchema,
    /// Version of the program.
    pub flowgap_version: String,
    /// Network and port table that the rules are compared with.
    pub scope: CheckScope,
    /// Result as a word and an exit status.
    pub status: CheckStatus,
    /// Lists of rules, in the order of the files.
    pub groups: Vec<CheckedGroup>,
    /// Answers, by group and in the order of the port table.
    pub rows: Vec<CheckRow>,
    /// Rules that never decide.
    pub shadowed: Vec<Shadowed>,
    /// Routes, in the order of the files.
    pub routes: Vec<Route>,
    /// Facts to know before believing the answers.
    pub notices: Vec<CheckNotice>,
}

/// Network and port table of a check.
#[derive(Debug, Clone, Serialize)]
pub struct CheckScope {
    /// Subnets of the instance; empty if they are not given.
    pub subnets: Vec<String>,
    /// Address space of the tag `VirtualNetwork`.
    pub vnet: Vec<String>,
    /// Source of the address space.
    pub vnet_origin: VnetOrigin,
    /// Mode of the instance; null if it is not given.
    pub vnet_mode: Option<InstanceMode>,
    /// Edition of the port table.
    pub edition: String,
    /// Loaded service tags; null without them.
    pub service_tags: Option<ServiceTagsUsed>,
}

/// Source of the address space of the tag `VirtualNetwork`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VnetOrigin {
    /// The private ranges, because nothing else is known.
    Default,
    /// The user gave it.
    Given,
    /// Effective rules of an interface.
    Effective,
}

names!(VnetOrigin { Default = "default", Given = "given", Effective = "effective" });

/// Result of a check as a word and an exit status.
#[derive(Debug, Clone, Serialize)]
pub struct CheckStatus {
    /// Answer in a word.
    pub word: Word,
    /// Exit status: 0, 1 or 3.
    pub exit: u8,
    /// Reasons for an exit status that is not 0.
    pub reasons: Vec<String>,
    /// Severity from which rows fail the check; null for none.
    pub fail_on: Option<Severity>,
}

/// A list of rules.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedGroup {
    /// Name; may be empty.
    pub name: String,
    /// Resource id in lower case; null if the file has none.
    pub id: Option<String>,
    /// Place at which it decides.
    pub layer: Layer,
    /// Form of the file.
    pub shape: Shape,
    /// File that holds it.
    pub file: String,
    /// Number of its rules.
    pub rules: usize,
    /// Subnets and interfaces that it is attached to; null if the file does not say.
    pub attached: Option<Vec<String>>,
    /// Whether it was checked. A group that is attached to nothing, or that was not asked for, was not.
    pub checked: bool,
    /// Reasons why the file is not whole.
    pub gaps: Vec<String>,
}

/// Answer about one row of the port table in one group.
#[derive(Debug, Clone, Serialize)]
pub struct CheckRow {
    /// Short id, equal in every check of the same rules.
    pub id: String,
    /// 16 lower-case hex digits.
    pub fingerprint: String,
    /// Id of the requirement.
    pub requirement: String,
    /// Network security groups that decide, joined by ` + `.
    pub group: String,
    /// Direction of the row.
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
    /// Purpose as published.
    pub purpose: String,
    /// What the rules do with its flows.
    pub verdict: Verdict,
    /// Severity; null if the rules let all of it pass, or do not tell.
    pub severity: Option<Severity>,
    /// Rules that refuse flows of it.
    pub denied_by: Vec<CheckRule>,
    /// Rules that let flows of it pass.
    pub allowed_by: Vec<CheckRule>,
    /// Rules of which it is not known whether they decide.
    pub unsure_because: Vec<CheckRule>,
    /// Allow rules that stand behind a rule that refuses the flows.
    pub behind: Vec<String>,
    /// Rules that miss the row by one value.
    pub near_misses: Vec<NearMiss>,
    /// Where routes lead its flows; null for rows that are not outbound, and without routes.
    pub path: Option<Path>,
    /// Route that decides; null if it is one of Azure's own.
    pub route: Option<RouteUse>,
    /// Functions that stop working without it; null if unknown.
    pub effect: Option<String>,
    /// The answer in sentences.
    pub explanation: String,
    /// Change that would open it; null if nothing is refused.
    pub fix: Option<crate::findings::Fix>,
    /// The same as a finding, for the writers of fixes.
    #[serde(skip)]
    pub finding: Option<Finding>,
}

/// A rule that decides on a row, or may.
#[derive(Debug, Clone, Serialize)]
pub struct CheckRule {
    /// List that holds it.
    pub group: String,
    /// Place of the list.
    pub layer: Layer,
    /// Name.
    pub rule: String,
    /// Author.
    pub origin: Origin,
    /// Priority; null if it is not readable.
    pub priority: Option<u32>,
    /// Decision; null if it is not readable.
    pub access: Option<Access>,
    /// Ports of the row that it decides on.
    pub ports: String,
    /// The first 10 blocks of peers that it decides on; empty if their addresses are not known.
    pub peers: Vec<String>,
    /// Number of these blocks.
    pub peer_blocks: usize,
    /// Reason why it is not known whether it decides; null if it is known.
    pub reason: Option<String>,
    /// JSON pointer in the file of the list; empty if Azure adds the rule.
    pub pointer: String,
}

/// Fact to know before believing the answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckNotice {
    /// Kind of the notice.
    pub code: CheckNoticeCode,
    /// Text of one line.
    pub message: String,
}

/// Kind of a notice of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckNoticeCode {
    /// A group is attached to nothing.
    UnattachedGroup,
    /// Several groups were checked, each by itself.
    SeveralGroups,
    /// A file is one page of several, or lacks values.
    IncompleteExport,
    /// A rule cannot be read.
    UnreadableRule,
    /// No network security group was given.
    NoGroup,
    /// The subnet was not given, and a rule names addresses of the network.
    SubnetUnknown,
    /// The address space of the network is a guess.
    VnetAssumed,
    /// No service tags are loaded, and an answer depends on them.
    ServiceTagsMissing,
    /// The mode is not given, and rows of external mode are refused.
    VnetModeUnknown,
    /// Routes lead flows through a firewall or gateway.
    ForcedTunnelling,
    /// Replies of the management endpoint take another way than the calls.
    ReturnPath,
    /// Other name servers than Azure's own are refused.
    OtherNameServers,
    /// The network of effective rules contains every address.
    EverythingIsVnet,
}

names!(CheckNoticeCode {
    UnattachedGroup = "unattached-group",
    SeveralGroups = "several-groups",
    IncompleteExport = "incomplete-export",
    UnreadableRule = "unreadable-rule",
    NoGroup = "no-group",
    SubnetUnknown = "subnet-unknown",
    VnetAssumed = "vnet-assumed",
    ServiceTagsMissing = "service-tags-missing",
    VnetModeUnknown = "vnet-mode-unknown",
    ForcedTunnelling = "forced-tunnelling",
    ReturnPath = "return-path",
    OtherNameServers = "other-name-servers",
    EverythingIsVnet = "everything-is-vnet",
});
