//! Changes of the configuration, whoever recorded them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::{PlatformError, Reason};
use super::{activity_log, elements, parse, resource_changes};
use crate::names::names;
use crate::policy::{Node, Rule};
use crate::time::Timestamp;

const NO_CHANGES: Reason = Reason::Form(
    "this JSON holds no events: export the activity log with az monitor activity-log list --offset 90d --max-events 5000, \
     or rows of the table resourcechanges",
);

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

/// Changes of all files, by time.
#[derive(Debug, Clone, Default)]
pub struct Recordings {
    /// The changes.
    pub changes: Vec<Recorded>,
    /// Operations that failed, which changed nothing.
    pub failed: u64,
    /// First time of any event, whether it matters or not; `None` without events.
    pub first: Option<Timestamp>,
    /// Last time of any event.
    pub last: Option<Timestamp>,
}

impl Recordings {
    /// Adds the events of a file. `file` names it in errors and results.
    pub fn add_text(&mut self, file: &str, text: &str) -> Result<(), PlatformError> {
        let refused = |reason| PlatformError::new(file, reason);
        let value = parse(text).map_err(refused)?;
        let elements = elements(&Node::root(&value));
        let rows: Vec<Recorded> = elements.iter().filter_map(|node| resource_changes::read(node, file)).collect();
        let events: Vec<activity_log::Event> = elements.iter().filter_map(activity_log::event).collect();
        if rows.is_empty() && events.is_empty() && !elements.is_empty() {
            return Err(refused(NO_CHANGES));
        }
        let times = rows.iter().map(|row| row.time).chain(events.iter().map(|event| event.time));
        for time in times {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        let (changes, failed) = activity_log::operations(events, file);
        self.failed += failed;
        self.changes.extend(rows.into_iter().chain(changes));
        Ok(())
    }

    /// Returns the changes by time, each once.
    pub fn sorted(mut self) -> Self {
        let mut seen = BTreeMap::new();
        self.changes.retain(|change| {
            let key = (change.time, change.resource.clone(), change.operation.clone(), change.source.name());
            seen.insert(key, ()).is_none()
        });
        self.changes.sort_by(|one, other| (one.time, &one.resource).cmp(&(other.time, &other.resource)));
        self
    }
}

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
