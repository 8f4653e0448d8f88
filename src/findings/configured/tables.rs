//! Provides the tables `nsg_rules`, `routes`, `network_status` and `changes`. They are empty without files.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::Configuration;
use crate::engine::{Explorer, SessionError};
use crate::findings::tables::{count_or_null, text, time};
use crate::platform::{Connectivity, NetworkStatus, Recorded};
use crate::policy::{Acl, Address, Policy, Route, Rule, listed, shadowed};

/// Adds the tables to an explorer.
pub fn provide(explorer: &mut Explorer, configuration: &Configuration) -> Result<(), SessionError> {
    let none = Policy::default();
    let policy = configuration.policy.as_ref().unwrap_or(&none);
    let changes = configuration.changes.as_ref().map(|changes| changes.changes.as_slice()).unwrap_or_default();
    for (name, batch) in [
        ("nsg_rules", rules(&policy.acls)?),
        ("routes", routes(&policy.routes)?),
        ("network_status", status(&configuration.status)?),
        ("changes", recorded(changes)?),
    ] {
        let schema = batch.schema();
        explorer.provide(name, schema, move || {
            let batch = batch.clone();
            Box::pin(async move { Ok(vec![batch]) })
        })?;
    }
    Ok(())
}

/// A rule, its list, and the rule before it that leaves it nothing to decide.
struct RuleRow<'a> {
    acl: &'a Acl,
    rule: &'a Rule,
    shadowed_by: Option<String>,
}

fn rules(acls: &[Acl]) -> Result<RecordBatch, ArrowError> {
    let mut rows: Vec<RuleRow> = Vec::new();
    for acl in acls {
        let hidden = shadowed(acl);
        rows.extend(acl.rules.iter().map(|rule| {
            let by = hidden.iter().find(|hidden| hidden.rule == rule.name && rule.is_for(hidden.direction));
            RuleRow { acl, rule, shadowed_by: by.map(|hidden| hidden.by.clone()) }
        }));
    }
    let rows = rows.as_slice();
    let named = |name: Option<&'static str>| name.map(str::to_owned);
    RecordBatch::try_from_iter_with_nullable([
        ("acl", text(rows, |r| r.acl.id.clone()), true),
        ("acl_name", text(rows, |r| Some(r.acl.name.clone())), false),
        ("layer", text(rows, |r| Some(r.acl.layer.to_string())), false),
        ("origin", text(rows, |r| Some(r.rule.origin.to_string())), false),
        ("rule", text(rows, |r| Some(r.rule.name.clone())), false),
        ("log_rule", text(rows, |r| Some(r.rule.log_name())), false),
        ("priority", count_or_null(rows, |r| r.rule.priority.map(i64::from)), true),
        ("direction", text(rows, |r| named(r.rule.direction.map(|d| d.name()))), true),
        ("access", text(rows, |r| named(r.rule.access.map(|a| a.name()))), true),
        ("protocol", text(rows, |r| named(r.rule.protocol.map(|p| p.name()))), true),
        ("source", text(rows, |r| Some(listed(&r.rule.source))), false),
        ("destination", text(rows, |r| Some(listed(&r.rule.destination))), false),
        ("source_ports", text(rows, |r| Some(r.rule.source_ports.to_string())), false),
        ("destination_ports", text(rows, |r| Some(r.rule.destination_ports.to_string())), false),
        ("description", text(rows, |r| Some(r.rule.description.clone())), false),
        ("state", text(rows, |r| Some(r.rule.state.name().to_owned())), false),
        ("reason", text(rows, |r| r.rule.state.reason().map(str::to_owned)), true),
        ("shadowed_by", text(rows, |r| r.shadowed_by.clone()), true),
        ("file", text(rows, |r| Some(r.acl.file.clone())), false),
        ("pointer", text(rows, |r| Some(r.rule.pointer.clone())), false),
    ])
}

fn routes(routes: &[Route]) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<(&Route, &Address)> =
        routes.iter().flat_map(|route| route.prefixes.iter().map(move |prefix| (route, prefix))).collect();
    let rows = rows.as_slice();
    RecordBatch::try_from_iter_with_nullable([
        ("route_table", text(rows, |(route, _)| Some(route.table.clone())), false),
        ("name", text(rows, |(route, _)| Some(route.name.clone())), false),
        ("prefix", text(rows, |(_, prefix)| Some(prefix.to_string())), false),
        ("next_hop", text(rows, |(route, _)| Some(route.next_hop.to_string())), false),
        ("next_hop_addresses", text(rows, |(route, _)| Some(route.next_hop_addresses.join(", "))), false),
        ("source", text(rows, |(route, _)| Some(route.source.to_string())), false),
        ("is_active", flags(rows, |(route, _)| route.is_active), false),
        ("file", text(rows, |(route, _)| Some(route.file.clone())), false),
        ("pointer", text(rows, |(route, _)| Some(route.pointer.clone())), false),
    ])
}

fn status(status: &[NetworkStatus]) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<(&NetworkStatus, &Connectivity)> =
        status.iter().flat_map(|region| region.checks.iter().map(move |check| (region, check))).collect();
    let rows = rows.as_slice();
    RecordBatch::try_from_iter_with_nullable([
        ("location", text(rows, |(region, _)| Some(region.location.clone())), false),
        ("name", text(rows, |(_, check)| Some(check.name.clone())), false),
        ("resource_type", text(rows, |(_, check)| Some(check.resource_type.clone())), false),
        ("requirement", text(rows, |(_, check)| check.requirement.clone()), true),
        ("status", text(rows, |(_, check)| Some(check.status.to_string())), false),
        ("error", text(rows, |(_, check)| check.error.clone()), true),
        ("last_updated", time(rows, |(_, check)| check.last_updated), true),
        ("last_status_change", time(rows, |(_, check)| check.last_status_change), true),
        ("is_optional", flags(rows, |(_, check)| check.is_optional), false),
        ("dns_servers", text(rows, |(region, _)| Some(region.dns_servers.join(", "))), false),
        ("file", text(rows, |(region, _)| Some(region.file.clone())), false),
    ])
}

fn recorded(rows: &[Recorded]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter_with_nullable([
        ("time", time(rows, |change| Some(change.time)), false),
        ("actor", text(rows, |change| change.actor.clone()), true),
        ("operation", text(rows, |change| Some(change.operation.clone())), false),
        ("target", text(rows, |change| Some(change.target.to_string())), false),
        ("resource", text(rows, |change| Some(change.resource.clone())), false),
        ("correlation_id", text(rows, |change| change.correlation_id.clone()), true),
        ("recorded_by", text(rows, |change| Some(change.source.to_string())), false),
        ("before", text(rows, |change| change.before.clone()), true),
        ("after", text(rows, |change| change.after.clone()), true),
        ("file", text(rows, |change| Some(change.file.clone())), false),
    ])
}

fn flags<R>(rows: &[R], value: impl Fn(&R) -> bool) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(value(row)))))
}
