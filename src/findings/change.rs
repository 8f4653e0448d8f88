//! Changes that would open a dependency: their kinds, and their form in JSON.

use serde::{Deserialize, Serialize};

use crate::names::names;
use crate::policy::Verdict;

/// A change, with advice about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Fix {
    /// Change to make.
    pub change: Change,
    /// Advice in words; empty if there is none.
    pub note: String,
}

/// Change that would open a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new rule in the network security group.
    AllowRule(RuleSpec),
    /// A change of a security admin rule, so that these flows pass.
    AdminRule(RuleSpec),
    /// Another run with service tags, to learn which dependency it is.
    LoadServiceTags,
    /// Another setting of virtual network encryption.
    Encryption,
    /// Another route.
    Route,
    /// No change.
    None,
}

/// Flows that a rule should allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Direction of the rule.
    pub direction: RuleDirection,
    /// Source: a tag, a prefix, or addresses separated by commas.
    pub source: String,
    /// Destination: a tag, a prefix, or addresses separated by commas.
    pub destination: String,
    /// Ports and ranges, as the port table prints them.
    pub ports: Vec<String>,
    /// Protocol, such as `TCP`; several are joined by `+`.
    pub protocol: String,
    /// Priority of the new rule; `None` while the configuration of the network is unknown.
    pub priority: Option<u16>,
    /// Existing rule that the change moves to `priority`; `None` if a rule is added.
    pub existing_rule: Option<String>,
    /// Priority of the existing rule; `None` if a rule is added.
    pub existing_priority: Option<u16>,
    /// The change as text to paste. Empty until `report::fix::fill` adds it.
    pub commands: Commands,
    /// Commands of the Azure CLI that revert the change; `None` as long as `commands` are empty.
    pub undo: Option<String>,
    /// What the configured rules do once the change is made; `None` without configuration.
    pub simulated: Option<Simulated>,
}

/// What the configured rules do once a change is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// Verdict on the flows that the change is for.
    pub verdict: Verdict,
    /// Refused flows of the logs that would pass as well: at most 100, by denied tuples.
    pub newly_allowed: Vec<NewlyAllowed>,
    /// Number of all such flows, each of one peer, port and protocol.
    pub newly_allowed_flows: u64,
    /// Denied tuples of all such flows.
    pub newly_allowed_tuples: i64,
    /// Denied tuples of which it is not known whether they would pass, because their ports or peers are not kept.
    pub not_replayed_tuples: i64,
}

/// Refused flows that a change lets pass as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewlyAllowed {
    /// Address of the peer.
    pub remote: String,
    /// Most specific loaded service tag of the peer; null if none lists it.
    pub service_tag: Option<String>,
    /// Destination port.
    pub port: u16,
    /// Protocol, such as `TCP`.
    pub protocol: String,
    /// Number of denied tuples.
    pub denied_tuples: i64,
}

/// Direction of the rule to add, as its ACL sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleDirection {
    /// Into the interfaces that the ACL protects.
    Inbound,
    /// Out of the interfaces that the ACL protects.
    Outbound,
    /// Two rules, one per direction.
    Both,
}

names!(RuleDirection { Inbound = "inbound", Outbound = "outbound", Both = "inbound and outbound" });

/// A change as text to paste; `None` where there is no text of this kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    /// Commands of the Azure CLI.
    pub az: Option<String>,
    /// Bicep.
    pub bicep: Option<String>,
    /// Terraform.
    pub terraform: Option<String>,
    /// Commands of Azure PowerShell.
    pub powershell: Option<String>,
}

impl Fix {
    /// Returns a fix without a change and without advice.
    pub fn none() -> Self {
        Self::new(Change::None, "")
    }

    pub(super) fn new(change: Change, note: &str) -> Self {
        Self { change, note: note.to_owned() }
    }

    /// Returns the flows to allow if the fix is a rule.
    pub fn rule(&self) -> Option<&RuleSpec> {
        match &self.change {
            Change::AllowRule(rule) | Change::AdminRule(rule) => Some(rule),
            _ => None,
        }
    }
}

/// Name of a [`Change`] in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Name of [`Change::AllowRule`].
    AllowRule,
    /// Name of [`Change::AdminRule`].
    AdminRule,
    /// Name of [`Change::LoadServiceTags`].
    LoadServiceTags,
    /// Name of [`Change::Encryption`].
    Encryption,
    /// Name of [`Change::Route`].
    Route,
    /// Name of [`Change::None`].
    None,
}

names!(ChangeKind {
    AllowRule = "allow-rule",
    AdminRule = "admin-rule",
    LoadServiceTags = "load-service-tags",
    Encryption = "encryption",
    Route = "route",
    None = "none",
});

impl Change {
    /// Returns the name of the change in JSON.
    pub fn kind(&self) -> ChangeKind {
        match self {
            Self::AllowRule(_) => ChangeKind::AllowRule,
            Self::AdminRule(_) => ChangeKind::AdminRule,
            Self::LoadServiceTags => ChangeKind::LoadServiceTags,
            Self::Encryption => ChangeKind::Encryption,
            Self::Route => ChangeKind::Route,
            Self::None => ChangeKind::None,
        }
    }
}

/// Form of a fix in JSON. Every key is present, and those of a rule are null or empty for other changes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: ChangeKind,
    direction: Option<RuleDirection>,
    source: Option<String>,
    destination: Option<String>,
    ports: Vec<String>,
    protocol: Option<String>,
    note: String,
    priority: Option<u16>,
    existing_rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    existing_priority: Option<u16>,
    commands: Commands,
    undo: Option<String>,
    simulated: Option<Simulated>,
}

impl From<Fix> for Written {
    fn from(fix: Fix) -> Self {
        let kind = fix.change.kind();
        let rule = match fix.change {
            Change::AllowRule(rule) | Change::AdminRule(rule) => Some(rule),
            _ => None,
        };
        let (direction, source) = rule.as_ref().map(|rule| (rule.direction, rule.source.clone())).unzip();
        let (destination, protocol) =
            rule.as_ref().map(|rule| (rule.destination.clone(), rule.protocol.clone())).unzip();
        let (priority, existing_priority) =
            rule.as_ref().map_or((None, None), |rule| (rule.priority, rule.existing_priority));
        let (existing_rule, undo, simulated) = match &rule {
            Some(rule) => (rule.existing_rule.clone(), rule.undo.clone(), rule.simulated.clone()),
            None => (None, None, None),
        };
        let (ports, commands) = rule.map(|rule| (rule.ports, rule.commands)).unwrap_or_default();
        let note = fix.note;
        Self {
            kind,
            direction,
            source,
            destination,
            ports,
            protocol,
            note,
            priority,
            existing_rule,
            existing_priority,
            commands,
            undo,
            simulated,
        }
    }
}

impl TryFrom<Written> for Fix {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (kind, note) = (written.kind, written.note.clone());
        let change = match kind {
            ChangeKind::AllowRule => Change::AllowRule(written.rule()?),
            ChangeKind::AdminRule => Change::AdminRule(written.rule()?),
            ChangeKind::LoadServiceTags => Change::LoadServiceTags,
            ChangeKind::Encryption => Change::Encryption,
            ChangeKind::Route => Change::Route,
            ChangeKind::None => Change::None,
        };
        Ok(Self { change, note })
    }
}

impl Written {
    fn rule(self) -> Result<RuleSpec, String> {
        let lacks = |key: &str| format!("a fix of kind {} needs '{key}'", self.kind);
        Ok(RuleSpec {
            direction: self.direction.ok_or_else(|| lacks("direction"))?,
            source: self.source.clone().ok_or_else(|| lacks("source"))?,
            destination: self.destination.clone().ok_or_else(|| lacks("destination"))?,
            protocol: self.protocol.clone().ok_or_else(|| lacks("protocol"))?,
            ports: self.ports,
            priority: self.priority,
            existing_rule: self.existing_rule,
            existing_priority: self.existing_priority,
            commands: self.commands,
            undo: self.undo,
            simulated: self.simulated,
        })
    }
}
