//! The codes of notices, in the order in which they are printed.

use crate::names::names;

/// Identifies a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeCode {
    Interrupted,
    SubnetUnknown,
    SubnetInferred,
    NsgFormatOnly,
    ReturnCountersUnreliable,
    AllowedNotLogged,
    StatesFilteredAtSource,
    ServiceTagsOtherCloud,
    ServiceTagsMissing,
    ServiceTagsOld,
    ServiceTagsUndated,
    VnetModeUnknown,
    EditionMismatch,
    WindowEdge,
    NoEvidence,
    FindingsCut,
    StrangerInSubnet,
    DoubleCaptured,
    ForeignLogs,
    SlowPathInput,
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
});
