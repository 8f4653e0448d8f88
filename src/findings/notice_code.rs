//! Codes of notices. They are printed in this order, except that lacking service tags come after the age of the file.

use crate::names::names;

/// Kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeCode {
    /// The run was interrupted before all was read.
    Interrupted,
    /// The subnet of API Management is unknown, so every interface counts.
    SubnetUnknown,
    /// The subnet was inferred from the flows.
    SubnetInferred,
    /// All input is NSG flow logs, which prove little about API Management.
    NsgFormatOnly,
    /// Some NSGs log almost no returned packets, so their missing answers prove nothing.
    ReturnCountersUnreliable,
    /// The logs hold denied flows only.
    AllowedNotLogged,
    /// The logs hold no beginnings of flows, so every allowed tuple counts as a new flow.
    StatesFilteredAtSource,
    /// The service-tag file is of another cloud than the logs and was ignored.
    ServiceTagsOtherCloud,
    /// No service-tag file is loaded, or it lacks tags of the port table.
    ServiceTagsMissing,
    /// The service tags come from the cache, because no file was given.
    ServiceTagsCached,
    /// The service-tag file is older than the newest flow.
    ServiceTagsOld,
    /// The age of the service-tag file is unknown.
    ServiceTagsUndated,
    /// Findings matter in external mode only, and the mode is unknown or likely internal.
    VnetModeUnknown,
    /// No flow uses a port that only API Management needs.
    EditionMismatch,
    /// Findings may have begun before the first hour that was read.
    WindowEdge,
    /// Required rows have no flow.
    NoEvidence,
    /// Only the first findings are listed.
    FindingsCut,
    /// Addresses of the scope answer on ports that API Management does not use.
    StrangerInSubnet,
    /// NSG and VNet flow logs captured the same interface in the same hours.
    DoubleCaptured,
    /// Records of other logs were skipped.
    ForeignLogs,
    /// Records took the slow path of the decoder.
    SlowPathInput,
    /// No file has the rules of a network security group of the logs.
    ConfigurationMissing,
    /// The network status is older than the logs.
    NetworkStatusOld,
    /// The activity log does not reach back to the beginning of a finding.
    ChangesUncovered,
    /// A part of the activity log could not be read.
    ChangesUnread,
    /// Suppressions ended, and their findings count again.
    SuppressionExpired,
    /// Suppressions end in the next days.
    SuppressionEndsSoon,
    /// Suppressions match no finding.
    SuppressionUnused,
}

names!(NoticeCode {
    Interrupted = "interrupted",
    SubnetUnknown = "subnet-unknown",
    SubnetInferred = "subnet-inferred",
    NsgFormatOnly = "nsg-format-only",
    ReturnCountersUnreliable = "return-counters-unreliable",
    AllowedNotLogged = "allowed-not-logged",
    StatesFilteredAtSource = "states-filtered-at-source",
    ServiceTagsOtherCloud = "service-tags-other-cloud",
    ServiceTagsMissing = "service-tags-missing",
    ServiceTagsCached = "service-tags-cached",
    ServiceTagsOld = "service-tags-old",
    ServiceTagsUndated = "service-tags-undated",
    VnetModeUnknown = "vnet-mode-unknown",
    EditionMismatch = "edition-mismatch",
    WindowEdge = "window-edge",
    NoEvidence = "no-evidence",
    FindingsCut = "findings-cut",
    StrangerInSubnet = "stranger-in-subnet",
    DoubleCaptured = "double-captured",
    ForeignLogs = "foreign-logs",
    SlowPathInput = "slow-path-input",
    ConfigurationMissing = "configuration-missing",
    NetworkStatusOld = "network-status-old",
    ChangesUncovered = "changes-uncovered",
    ChangesUnread = "changes-unread",
    SuppressionExpired = "suppression-expired",
    SuppressionEndsSoon = "suppression-ends-soon",
    SuppressionUnused = "suppression-unused",
});
