//! The vocabulary of one flow tuple. Knows numbers and names only: no Arrow, no JSON, no files.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// Direction as the logging interface sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Inbound,
    Outbound,
}

names!(Direction { Inbound = "inbound", Outbound = "outbound" });

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    Allow,
    Deny,
}

names!(Decision { Allow = "allow", Deny = "deny" });

/// State of an allowed flow when the tuple was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowState {
    Begin,
    Continue,
    End,
}

names!(FlowState { Begin = "begin", Continue = "continue", End = "end" });

/// Direction as the scope sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeDirection {
    Inbound,
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
    User,
    /// A default rule of a network security group.
    Default,
    /// A security admin rule of Azure Virtual Network Manager.
    Admin,
    Platform,
    /// Virtual network encryption, which names no rule.
    Encryption,
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
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);

    /// `TCP`, `UDP`, or the number as text.
    pub fn name(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::TCP => "TCP".into(),
            Self::UDP => "UDP".into(),
            Self(number) => number.to_string().into(),
        }
    }

    /// The protocol that prints as `name`, if there is one: `6` does not, TCP does.
    pub fn from_name(name: &str) -> Option<Self> {
        (0..=u8::MAX).map(Self).find(|p| p.name() == name)
    }
}

/// Kind of flow log that a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    Nsg,
    Vnet,
}

names!(LogKind { Nsg = "nsg", Vnet = "vnet" });
