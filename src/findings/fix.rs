//! Changes that would open a blocked dependency, as data.

use serde::{Deserialize, Serialize};

use super::model::{Finding, Kind, Verdict};
use crate::catalog::Requirement;
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::names::names;

/// A change with a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Fix {
    pub change: Change,
    pub note: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A rule in the network security group.
    AllowRule(RuleSpec),
    /// A change of a security admin rule, so that these flows pass.
    AdminRule(RuleSpec),
    /// Another run with service tags, to learn which dependency it is.
    LoadServiceTags,
    /// Another setting of virtual network encryption.
    Encryption,
    /// Another route.
    Route,
    None,
}

/// Flows to allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    pub direction: RuleDirection,
    pub source: String,
    pub destination: String,
    /// Ports and ranges, as the port table prints them.
    pub ports: Vec<String>,
    pub protocol: String,
    /// `None` while the configuration is unknown, as the fields after it.
    pub priority: Option<u16>,
    pub existing_rule: Option<String>,
    pub commands: Commands,
    pub undo: Option<String>,
    pub simulated: Option<String>,
}

/// Directions of the rule to add, as its ACL sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleDirection {
    Inbound,
    Outbound,
    /// Two rules, one of each direction.
    Both,
}

names!(RuleDirection { Inbound = "inbound", Outbound = "outbound", Both = "inbound and outbound" });

/// The fix as text to paste.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    pub az: Option<String>,
    pub bicep: Option<String>,
    pub terraform: Option<String>,
    pub powershell: Option<String>,
}

const ROUTE: &str = "No NSG rule will help: the rule lets it through. Look at the effective routes of the subnet for 0.0.0.0/0 to a \
    firewall, an appliance or ExpressRoute, and let that pass it, or send the service's tag to next hop Internet, or turn on \
    its service endpoint.";
const RESTRICTED: &str = "Nothing to open if turning these clients away is wanted.";
const LOAD_TAGS: &str =
    "Run again with --service-tags and the newest ServiceTags_*.json of your cloud to learn which dependency it is.";
const PLATFORM: &str = "The platform itself handles this traffic; no rule of yours changes it.";
const ENCRYPTION: &str =
    "Virtual network encryption dropped it; no NSG rule will help. Check the encryption setting of the network.";
const UNSURE: &str = "Find out which of these are needed before a rule is opened for them.";

impl Fix {
    pub fn none() -> Self {
        Self::new(Change::None, "")
    }

    fn new(change: Change, note: &str) -> Self {
        Self { change, note: note.to_owned() }
    }

    /// Returns the flows to allow, where the fix is a rule.
    pub fn rule(&self) -> Option<&RuleSpec> {
        match &self.change {
            Change::AllowRule(rule) | Change::AdminRule(rule) => Some(rule),
            _ => None,
        }
    }
}

impl RuleSpec {
    fn new(
        direction: RuleDirection,
        source: String,
        destination: String,
        ports: Vec<String>,
        protocol: String,
    ) -> Self {
        Self {
            direction,
            source,
            destination,
            ports,
            protocol,
            priority: None,
            existing_rule: None,
            commands: Commands::default(),
            undo: None,
            simulated: None,
        }
    }
}

pub fn fix(finding: &Finding, requirement: Option<&Requirement>, needs_correction: bool) -> Fix {
    match (finding.identity.kind, finding.blame.rule_origin) {
        (Kind::UnansweredDependency | Kind::ForcedTunnellingSuspected, _) => Fix::new(Change::Route, ROUTE),
        (Kind::SourceRestricted, _) => Fix::new(Change::None, RESTRICTED),
        (Kind::AmbiguousDependency, _) => Fix::new(Change::LoadServiceTags, LOAD_TAGS),
        (_, RuleOrigin::Platform) => Fix::new(Change::None, PLATFORM),
        (_, RuleOrigin::Encryption) => Fix::new(Change::Encryption, ENCRYPTION),
        (Kind::UnlistedBlocked, _) => unlisted(finding),
        (Kind::BlockedDependency, _) => {
            requirement.map_or_else(Fix::none, |requirement| listed(finding, requirement, needs_correction))
        }
    }
}

/// Opens what the requirement asks for.
fn listed(finding: &Finding, requirement: &Requirement, needs_correction: bool) -> Fix {
    // Where the row is misprinted, the refused protocol counts.
    let protocol = if needs_correction { finding.subject.protocol.clone() } else { requirement.protocol_text() };
    let (source, destination) = (requirement.source.name(), requirement.destination.name());
    let rule = RuleSpec::new(
        rule_direction(finding),
        source.to_owned(),
        destination.to_owned(),
        requirement.printed_ports(),
        protocol,
    );
    let Fix { change, note } = of_rule(finding, rule);
    match finding.grade.verdict {
        Verdict::Recovered => {
            Fix { change, note: format!("It works again, so there is nothing to do unless it returns; then: {note}") }
        }
        _ => Fix { change, note },
    }
}

/// Opens flows that no requirement describes for the addresses that were refused.
fn unlisted(finding: &Finding) -> Fix {
    let (subject, addresses) = (&finding.subject, &finding.addresses);
    let is_whole = addresses.remote_address_count as usize == addresses.remote_addresses.len();
    let peers: Vec<&str> = addresses.remote_addresses.iter().map(|address| address.ip.as_str()).collect();
    if subject.ports.is_empty() || !is_whole {
        return Fix::new(Change::None, UNSURE);
    }
    let (peers, subnet) = (peers.join(", "), subject.subnet.clone());
    let (source, destination) =
        if subject.direction == ScopeDirection::Inbound { (peers, subnet) } else { (subnet, peers) };
    let ports = subject.ports.iter().map(ToString::to_string).collect();
    let rule = RuleSpec::new(rule_direction(finding), source, destination, ports, subject.protocol.clone());
    let Fix { change, note } = of_rule(finding, rule);
    Fix { change, note: format!("If these are needed: {note}") }
}

/// Returns the fix by a rule, where the refusing rule can be overridden or must be changed.
fn of_rule(finding: &Finding, rule: RuleSpec) -> Fix {
    let (name, acl) = (finding.blame.rule_text(), finding.blame.acl_text());
    match finding.blame.rule_origin {
        RuleOrigin::Admin => {
            let note = format!(
                "{name} is a security admin rule of Virtual Network Manager: no NSG rule can override it. Change it there."
            );
            Fix { change: Change::AdminRule(rule), note }
        }
        _ => {
            let note = format!("Add an allow rule with a smaller priority number than {name} to {acl}.");
            Fix { change: Change::AllowRule(rule), note }
        }
    }
}

/// Returns the direction of the rule at the end where the flow was refused: at the other end it is the opposite. Inside the
/// subnet the flow may have been refused when it left or when it arrived.
fn rule_direction(finding: &Finding) -> RuleDirection {
    match (finding.subject.direction, finding.subject.vantage) {
        (ScopeDirection::Outbound, Vantage::Near) | (ScopeDirection::Inbound, Vantage::Far) => RuleDirection::Outbound,
        (ScopeDirection::Inbound, Vantage::Near) | (ScopeDirection::Outbound, Vantage::Far) => RuleDirection::Inbound,
        (ScopeDirection::Internal, _) => RuleDirection::Both,
    }
}

/// Name of a [`Change`] in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    AllowRule,
    AdminRule,
    LoadServiceTags,
    Encryption,
    Route,
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

/// The fix in JSON: every key, null where the change is no rule.
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
    commands: Commands,
    undo: Option<String>,
    simulated: Option<String>,
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
        let (priority, existing_rule, undo, simulated) = match &rule {
            Some(rule) => (rule.priority, rule.existing_rule.clone(), rule.undo.clone(), rule.simulated.clone()),
            None => (None, None, None, None),
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
            commands: self.commands,
            undo: self.undo,
            simulated: self.simulated,
        })
    }
}
