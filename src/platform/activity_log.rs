//! Reads events of the activity log in its three dialects: of the REST API, az and the portal; of storage and event hubs;
//! and of Log Analytics. Several events are one operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::change::{ChangeSource, Recorded, Target, shown};
use crate::policy::{Node, Rule, document, read_rules};
use crate::time::Timestamp;

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    pub time: Timestamp,
    operation: String,
    status: Status,
    actor: Option<String>,
    resource: String,
    correlation_id: Option<String>,
    rules: Vec<Rule>,
}

/// An event, and the file that holds it.
pub type Located = (Event, Arc<str>);

/// How far an operation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Started,
    /// Accepted or done.
    Effective,
    Failed,
}

/// Reads an event; `None` if the object is none.
pub fn event(node: &Node) -> Option<Event> {
    let first = |keys: &[&str]| keys.iter().find_map(|key| node.text_of(key));
    let time = super::time(&first(&["eventtimestamp", "time", "timegenerated"])?)?;
    let inner = |key: &str| node.get(key).and_then(|value| value.text().or_else(|| value.text_of("value")));
    let operation = first(&["operationnamevalue"]).or_else(|| inner("operationname"))?;
    let status = first(&["activitystatusvalue", "resulttype"]).or_else(|| inner("status")).unwrap_or_default();
    let resource =
        first(&["resourceid"]).or_else(|| node.path(&["authorization", "scope"])?.text()).unwrap_or_default();
    let operation = operation.to_ascii_lowercase();
    let matters = Target::of_operation(&operation).is_some();
    Some(Event {
        time,
        operation,
        status: status_of(&status),
        actor: first(&["caller"]).or_else(|| claimed(node)),
        resource: resource.to_ascii_lowercase(),
        correlation_id: first(&["operationid", "correlationid"]).map(|id| id.to_ascii_lowercase()),
        rules: if matters { bodies(node) } else { Vec::new() },
    })
}

impl Event {
    /// Returns the kind of the resource that it changes; `None` if its changes do not matter.
    pub fn target(&self) -> Option<Target> {
        Target::of_operation(&self.operation)
    }
}

fn status_of(text: &str) -> Status {
    match text.to_ascii_lowercase().as_str() {
        "failed" | "failure" | "canceled" => Status::Failed,
        "started" | "start" | "" => Status::Started,
        _ => Status::Effective,
    }
}

/// Returns who the claims of a token name.
fn claimed(node: &Node) -> Option<String> {
    let claims = node.path(&["identity", "claims"]).or_else(|| node.get("claims"))?;
    let keys = claims.object()?;
    let ending = |end: &str| {
        let found = keys.iter().find(|(key, _)| key.to_ascii_lowercase().rsplit('/').next() == Some(end));
        found.and_then(|(_, value)| value.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    ["upn", "emailaddress", "name", "appid"].iter().find_map(|end| ending(end))
}

/// Reads the rules of the bodies of an event: what Azure answered, else what was asked for.
fn bodies(node: &Node) -> Vec<Rule> {
    let properties = node.get("properties").or_else(|| node.get("propertiesd"));
    let text = properties.as_ref().and_then(Node::text);
    let parsed: Option<Value> = text.and_then(|text| document(&text).ok());
    let properties = parsed.as_ref().map(Node::root).or(properties);
    let Some(properties) = properties else { return Vec::new() };
    let holders = [properties.get("eventproperties").unwrap_or_else(|| properties.clone()), properties.clone()];
    for holder in &holders {
        for key in ["responsebody", "requestbody"] {
            let rules = holder.get(key).map(|body| body_rules(&body)).unwrap_or_default();
            if !rules.is_empty() {
                return rules;
            }
        }
    }
    Vec::new()
}

fn body_rules(body: &Node) -> Vec<Rule> {
    match body.text() {
        Some(text) => document(&text).map(|value| read_rules(&Node::root(&value))).unwrap_or_default(),
        None => read_rules(body),
    }
}

/// Joins the events of each operation. Returns the operations that matter and took effect, and how many failed.
pub fn operations(events: Vec<Located>) -> (Vec<Recorded>, u64) {
    let mut groups: BTreeMap<(String, String, String), Vec<Located>> = BTreeMap::new();
    for (event, file) in events {
        let id = event.correlation_id.clone().unwrap_or_else(|| event.time.to_string());
        groups.entry((id, event.operation.clone(), event.resource.clone())).or_default().push((event, file));
    }
    let mut failed = 0;
    let mut changes = Vec::new();
    for ((_, operation, resource), mut events) in groups {
        let Some(target) = Target::of_operation(&operation) else { continue };
        events.sort_by_key(|(event, _)| event.time);
        if events.iter().any(|(event, _)| event.status == Status::Failed) {
            failed += 1;
            continue;
        }
        let effective = events.iter().find(|(event, _)| event.status == Status::Effective);
        let Some((first, file)) = effective.or(events.last()) else { continue };
        let mut bodies = events.iter().rev().map(|(event, _)| &event.rules);
        let rules = bodies.find(|rules| !rules.is_empty()).cloned().unwrap_or_default();
        changes.push(Recorded {
            time: first.time,
            actor: events.iter().find_map(|(event, _)| event.actor.clone()),
            target,
            correlation_id: first.correlation_id.clone(),
            source: ChangeSource::ActivityLog,
            before: None,
            after: rules.first().filter(|_| target == Target::Rule).map(shown),
            rules,
            operation,
            resource,
            file: file.to_string(),
        });
    }
    (changes, failed)
}
