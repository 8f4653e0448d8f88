//! The vocabulary of one flow tuple. Knows numbers and names, but no Arrow, JSON or files.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// Direction as the logging interface sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the interface.
    Inbound,
    /// From the interface.
    Outbound,
}

names!(Direction { Inbound = "inbound", Outbound = "outbound" });

/// Decision of the rule that a flow matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The flow was allowed.
    Allow,
    /// The flow was denied.
    Deny,
}

names!(Decision { Allow = "allow", Deny = "deny" });

/// State of an allowed flow when the tuple was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// First tuple of the flow.
    Begin,
    /// Intermediate tuple of a flow in progress.
    Continue,
    /// Last tuple of the flow.
    End,
}

names!(FlowState { Begin = "begin", Continue = "continue", End = "end" });

/// Direction as the scope sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeDirection {
    /// From a peer into the scope.
    Inbound,
    /// From the scope to a peer.
    Outbound,
    /// Both ends are in scope.
    Internal,
}

names!(ScopeDirection { Inbound = "inbound", Outbound = "outbound", Internal = "internal" });

/// End of the connection that logged a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vantage {
    /// The end in scope.
    Near,
    /// The peer.
    Far,
}

names!(Vantage { Near = "near", Far = "far" });

/// Author of a rule, by the prefix of its name in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleOrigin {
    /// A rule that the user created.
    User,
    /// A default rule of a network security group.
    Default,
    /// A security admin rule of Azure Virtual Network Manager.
    Admin,
    /// A rule of the Azure platform.
    Platform,
    /// Virtual network encryption, which names no rule.
    Encryption,
    /// Any other name.
    Unknown,
}

names!(RuleOrigin {
    User = "user",
    Default = "default",
    Admin = "admin",
    Platform = "platform",
    Encryption = "encryption",
    Unknown = "unknown",
});

/// IANA protocol number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Number of TCP.
    pub const TCP: Self = Self(6);
    /// Number of UDP.
    pub const UDP: Self = Self(17);

    /// Returns `TCP`, `UDP`, or the number as text.
    pub fn name(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::TCP => "TCP".into(),
            Self::UDP => "UDP".into(),
            Self(number) => number.to_string().into(),
        }
    }

    /// Returns the protocol that prints as `name`, if there is one. `TCP` is accepted, `6` is not.
    pub fn from_name(name: &str) -> Option<Self> {
        (0..=u8::MAX).map(Self).find(|p| p.name() == name)
    }
}

/// Kind of flow log that a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// Network security group flow log.
    Nsg,
    /// Virtual network flow log.
    Vnet,
}

names!(LogKind { Nsg = "nsg", Vnet = "vnet" });
