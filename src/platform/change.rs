//! A change of the configuration, whoever recorded it.

use serde::Serialize;

use crate::names::names;
use crate::policy::Rule;
use crate::time::Timestamp;

/// Record of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Time at which it took effect.
    pub time: Timestamp,
    /// Who made it: a mail address, a name or the id of an application; null if the record does not say.
    pub actor: Option<String>,
    /// Operation in lower case, such as `microsoft.network/networksecuritygroups/securityrules/write`.
    pub operation: String,
    /// Kind of the resource that was changed.
    pub target: Target,
    /// Resource id in lower case.
    pub resource: String,
    /// Id that all events of one operation share; null if the record has none.
    pub correlation_id: Option<String>,
    /// Who recorded it.
    pub source: ChangeSource,
    /// Rule as it was; null if unknown, or if it is not about one rule.
    pub before: Option<String>,
    /// Rule as it became; null if unknown, or if it is not about one rule.
    pub after: Option<String>,
    /// Rules that the record holds: one rule, or all of a group.
    #[serde(skip)]
    pub rules: Vec<Rule>,
    /// File that holds the record.
    pub file: String,
}

/// Kind of a resource whose changes matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A rule of a network security group.
    Rule,
    /// A network security group.
    Group,
    /// A subnet or a virtual network, which network security groups are attached to.
    Network,
    /// A route or a route table.
    Route,
    /// A network manager or its admin rules.
    Manager,
    /// The instance of API Management.
    Instance,
}

names!(Target {
    Rule = "rule",
    Group = "group",
    Network = "network",
    Route = "route",
    Manager = "manager",
    Instance = "instance",
});

impl Target {
    /// Returns the kind that an operation changes; `None` if its changes do not matter.
    pub fn of_operation(operation: &str) -> Option<Self> {
        let kinds = [
            ("microsoft.network/networksecuritygroups/securityrules/", Self::Rule),
            ("microsoft.network/networksecuritygroups/", Self::Group),
            ("microsoft.network/virtualnetworks/subnets/", Self::Network),
            ("microsoft.network/virtualnetworks/write", Self::Network),
            ("microsoft.network/routetables/", Self::Route),
            ("microsoft.network/networkmanagers/commit/", Self::Manager),
            ("microsoft.network/networkmanagers/securityadminconfigurations/", Self::Manager),
            ("microsoft.apimanagement/service/write", Self::Instance),
            ("microsoft.apimanagement/service/applynetworkconfigurationupdates/", Self::Instance),
        ];
        let is_change = ["/write", "/delete", "/action"].iter().any(|end| operation.ends_with(end));
        kinds.into_iter().find(|(start, _)| is_change && operation.starts_with(start)).map(|(_, kind)| kind)
    }
}

/// Who recorded a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeSource {
    /// The activity log.
    ActivityLog,
    /// The table `resourcechanges` of Resource Graph.
    ResourceGraph,
}

names!(ChangeSource { ActivityLog = "activity-log", ResourceGraph = "resource-graph" });

/// Writes what a rule says, such as `deny outbound * * -> *:* (4000)`.
pub fn shown(rule: &Rule) -> String {
    let word = |name: Option<&str>| name.unwrap_or("?").to_owned();
    format!(
        "{} {} {} {} -> {}:{} ({})",
        word(rule.access.map(|access| access.name())),
        word(rule.direction.map(|direction| direction.name())),
        word(rule.protocol.map(|protocol| protocol.name())),
        crate::policy::listed(&rule.source),
        crate::policy::listed(&rule.destination),
        rule.destination_ports,
        rule.priority.map_or_else(|| "?".to_owned(), |number| number.to_string())
    )
}
