//! The normal form of rules and of the lists that hold them, whatever file they come from.

use std::fmt;

use serde::{Serialize, Serializer};

use super::address::Address;
use crate::flow::Direction;
use crate::names::names;
use crate::net::{IpSet, PortSet};

/// One rule, as far as it is readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Name without the prefix that logs and effective rules add.
    pub name: String,
    /// Author of the rule.
    pub origin: Origin,
    /// Priority; the smallest number decides first. `None` if it is not readable.
    pub priority: Option<u32>,
    /// Direction; `None` if it is not readable.
    pub direction: Option<Direction>,
    /// Decision; `None` if it is not readable.
    pub access: Option<Access>,
    /// Protocol; `None` if it is not readable.
    pub protocol: Option<RuleProtocol>,
    /// Sources; empty only if they are not readable.
    pub source: Vec<Address>,
    /// Destinations; empty only if they are not readable.
    pub destination: Vec<Address>,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination ports.
    pub destination_ports: PortSet,
    /// Addresses that the source stood for at one interface; only effective rules have them.
    #[serde(skip)]
    pub expanded_source: Option<IpSet>,
    /// Addresses that the destination stood for at one interface; only effective rules have them.
    #[serde(skip)]
    pub expanded_destination: Option<IpSet>,
    /// Description that its author gave; may be empty.
    pub description: String,
    /// Whether all of it is known.
    #[serde(flatten)]
    pub state: RuleState,
    /// JSON pointer of the rule in its file; empty if no file holds it.
    pub pointer: String,
}

/// Whether all of a rule is known. A rule that is not decides nothing for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum RuleState {
    /// Every value is known.
    Ok,
    /// A value is not known yet, such as one that Terraform computes when it applies a plan. Holds the reason.
    Unknown(String),
    /// A value is missing or malformed. Holds the reason.
    Unreadable(String),
}

impl RuleState {
    /// Returns the name of the state in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown(_) => "unknown",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Returns why the rule is not known; `None` if it is.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::Unknown(reason) | Self::Unreadable(reason) => Some(reason),
        }
    }
}

/// Author of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The owner of the network security group.
    User,
    /// Azure; the file holds the rule.
    Default,
    /// Azure; the file leaves the rule out, and every network security group has it.
    Synthesised,
    /// The owner of a network manager.
    Admin,
}

names!(Origin { User = "user", Default = "default", Synthesised = "synthesised", Admin = "admin" });

impl Origin {
    /// Returns whether Azure wrote the rule.
    pub fn is_default(self) -> bool {
        matches!(self, Self::Default | Self::Synthesised)
    }
}

/// Decision of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// The flow passes this list of rules. An admin rule leaves the decision to the network security groups.
    Allow,
    /// The flow is refused.
    Deny,
    /// An admin rule lets the flow pass, and no network security group is asked.
    AlwaysAllow,
}

names!(Access { Allow = "allow", Deny = "deny", AlwaysAllow = "always-allow" });

/// Protocol of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleProtocol {
    /// Every protocol.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// ESP.
    Esp,
    /// AH.
    Ah,
}

names!(RuleProtocol { Any = "any", Tcp = "tcp", Udp = "udp", Icmp = "icmp", Esp = "esp", Ah = "ah" });

impl Rule {
    /// Returns the rule as a flow log prints it.
    pub fn log_name(&self) -> String {
        match self.origin {
            Origin::User => format!("UserRule_{}", self.name),
            Origin::Default | Origin::Synthesised => format!("DefaultRule_{}", self.name),
            Origin::Admin => self.name.clone(),
        }
    }

    /// Returns whether the rule may decide in this direction.
    pub fn is_for(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|own| own == direction)
    }

    /// Returns the address lists of the two ends as the interface sees them: its own, then the peer's.
    pub fn ends(&self, direction: Direction) -> [Side<'_>; 2] {
        let source = Side { addresses: &self.source, expanded: self.expanded_source.as_ref() };
        let destination = Side { addresses: &self.destination, expanded: self.expanded_destination.as_ref() };
        match direction {
            Direction::Inbound => [destination, source],
            Direction::Outbound => [source, destination],
        }
    }
}

/// The addresses of one end of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Addresses as written.
    pub addresses: &'a [Address],
    /// Addresses that they stood for at one interface.
    pub expanded: Option<&'a IpSet>,
}

/// A list of rules that decides together: a network security group, or the admin rules of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acl {
    /// Resource id in lower case; `None` if the file has none.
    pub id: Option<String>,
    /// Name; empty if the file has none.
    pub name: String,
    /// Place at which it decides.
    pub layer: Layer,
    /// Rules, by direction and priority.
    pub rules: Vec<Rule>,
    /// Subnets and interfaces that it is attached to; `None` if the file does not say.
    pub attached: Option<Vec<String>>,
    /// Whether a change of rules also ends connections that are open.
    pub flushes: bool,
    /// Reasons why the file is not whole; empty if it is.
    pub gaps: Vec<String>,
    /// Whether rules of this list may be missing, so that it decides nothing for certain.
    pub lacks_rules: bool,
    /// Form of the file.
    pub shape: Shape,
    /// File that holds it.
    pub file: String,
    /// Whether Terraform holds the rules as blocks of the group itself.
    pub has_inline_blocks: bool,
}

impl Acl {
    /// Returns whether it is attached to nothing, so that it decides nothing.
    pub fn is_unattached(&self) -> bool {
        self.attached.as_ref().is_some_and(Vec::is_empty)
    }

    /// Returns the rules that may decide in a direction, in the order in which they do. A rule without a readable
    /// priority comes first, because it may precede every other one.
    pub fn rules_of(&self, direction: Direction) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.is_for(direction))
    }

    /// Returns the name for sentences.
    pub fn shown(&self) -> &str {
        match (self.name.as_str(), &self.id) {
            ("", Some(id)) => id,
            ("", None) => "a network security group without a name",
            (name, _) => name,
        }
    }

    /// Returns the rule that a flow log names, without its prefix. Logs may cut long names.
    pub fn rule(&self, logged: &str) -> Option<&Rule> {
        let is = |rule: &&Rule| rule.name.eq_ignore_ascii_case(logged) || rule.log_name().eq_ignore_ascii_case(logged);
        if let Some(rule) = self.rules.iter().find(is) {
            return Some(rule);
        }
        let begins = |rule: &&Rule| {
            let name = rule.log_name();
            [name.as_str(), rule.name.as_str()].iter().any(|name| {
                logged.len() >= CUT && name.get(..logged.len()).is_some_and(|start| start.eq_ignore_ascii_case(logged))
            })
        };
        let mut cut = self.rules.iter().filter(begins);
        match (cut.next(), cut.next()) {
            (only, None) => only,
            _ => None,
        }
    }
}

/// Length from which a name in a log may be cut.
const CUT: usize = 60;

/// Place at which a list of rules decides. Variants are in the order in which inbound flows pass them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Before every network security group.
    Admin,
    /// At the subnet.
    Subnet,
    /// At the network interface.
    Nic,
}

names!(Layer { Admin = "admin", Subnet = "subnet", Nic = "nic" });

/// Form of a file with rules or routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A resource of the management API, or a list of them.
    Arm,
    /// A resource as az prints it.
    Az,
    /// A list of rules without their group.
    RuleList,
    /// A template of Azure Resource Manager, such as compiled Bicep.
    Template,
    /// Effective rules or routes of an interface.
    Effective,
    /// JSON that Azure PowerShell wrote.
    PowerShell,
    /// Rows of Azure Resource Graph.
    ResourceGraph,
    /// State or plan of Terraform.
    Terraform,
    /// Security group view of Network Watcher.
    SecurityGroupView,
    /// Admin rules of a network manager.
    NetworkManager,
}

names!(Shape {
    Arm = "arm",
    Az = "az",
    RuleList = "rule-list",
    Template = "template",
    Effective = "effective",
    PowerShell = "powershell",
    ResourceGraph = "resource-graph",
    Terraform = "terraform",
    SecurityGroupView = "security-group-view",
    NetworkManager = "network-manager",
});

/// A route of a table, or an effective route of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Route table; empty for an effective route.
    pub table: String,
    /// Name; may be empty.
    pub name: String,
    /// Destinations; never empty.
    pub prefixes: Vec<Address>,
    /// Next hop.
    #[serde(flatten)]
    pub next_hop: NextHop,
    /// Addresses of the appliance; empty for other next hops.
    pub next_hop_addresses: Vec<String>,
    /// Author of the route.
    pub source: RouteSource,
    /// Whether it is in use.
    pub is_active: bool,
    /// File that holds it.
    pub file: String,
    /// JSON pointer of the route in its file.
    pub pointer: String,
}

/// Next hop of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// The Internet, or Azure's own network for its services.
    Internet,
    /// The virtual network itself, a peer, a service endpoint or a private endpoint. Holds the type as written.
    Direct(String),
    /// A firewall or appliance.
    Appliance,
    /// A gateway to another network, such as the company's.
    Gateway,
    /// Nowhere: the packets are dropped.
    None,
    /// Any other type, as written.
    Other(String),
}

impl NextHop {
    /// Parses a type as any tool writes it.
    pub fn parse(text: &str) -> Self {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        match plain.as_str() {
            "internet" => Self::Internet,
            "virtualappliance" => Self::Appliance,
            "virtualnetworkgateway" => Self::Gateway,
            "none" => Self::None,
            "vnetlocal"
            | "virtualnetwork"
            | "vnetpeering"
            | "vnetglobalpeering"
            | "connectedgroup"
            | "virtualnetworkserviceendpoint"
            | "interfaceendpoint" => Self::Direct(text.to_owned()),
            _ => Self::Other(text.to_owned()),
        }
    }

    /// Returns the name of the type.
    pub fn name(&self) -> &str {
        match self {
            Self::Internet => "Internet",
            Self::Direct(text) | Self::Other(text) => text,
            Self::Appliance => "VirtualAppliance",
            Self::Gateway => "VirtualNetworkGateway",
            Self::None => "None",
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for NextHop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("next_hop", self.name())?;
        map.end()
    }
}

/// Author of a route. A later variant wins over an earlier one if the prefixes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteSource {
    /// Azure.
    System,
    /// A gateway that learned it by BGP.
    Gateway,
    /// The owner of a route table.
    User,
}

names!(RouteSource { System = "system", Gateway = "gateway", User = "user" });
