//! The vocabulary of one flow tuple. Knows numbers and names only: no Arrow, no JSON, no files.

use serde::{Deserialize, Serialize};

/// Direction as the logging interface sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    pub const NAMES: [&str; 2] = ["inbound", "outbound"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns the direction called `name` in SQL, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|d| d.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decision {
    Allow,
    Deny,
}

impl Decision {
    pub const NAMES: [&str; 2] = ["allow", "deny"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns the decision called `name` in SQL, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|d| d.name() == name)
    }
}

/// State of an allowed flow when the tuple was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FlowState {
    Begin,
    Continue,
    End,
}

impl FlowState {
    pub const NAMES: [&str; 3] = ["begin", "continue", "end"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns the state called `name` in SQL, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Begin, Self::Continue, Self::End].into_iter().find(|s| s.name() == name)
    }
}

/// IANA protocol number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);

    /// Returns `TCP`, `UDP`, or the number as text.
    pub fn name(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::TCP => "TCP".into(),
            Self::UDP => "UDP".into(),
            Self(number) => number.to_string().into(),
        }
    }

    /// Returns the protocol that prints as `name`, if there is one: `TCP` does, `6` does not.
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

impl LogKind {
    pub const NAMES: [&str; 2] = ["nsg", "vnet"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
