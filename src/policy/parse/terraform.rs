//! Reads what Terraform writes: `terraform show -json`, a plan as JSON, and a state file.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Reason;
use super::acl::{Builder, Head};
use super::node::Node;
use super::route;
use super::rule;
use super::template::Names;
use crate::policy::model::{Origin, Route, RuleState, Shape};

const UNKNOWN: &str = "Terraform knows a value only after the plan is applied";
/// Keys whose values do not change what a rule decides.
const HARMLESS: [&str; 6] = ["id", "description", "name", "resourcegroupname", "networksecuritygroupname", "timeouts"];
/// Maximum number of modules inside each other.
const DEEPEST: usize = 32;

/// Returns whether an object is the root of a file of Terraform.
pub fn is_terraform(node: &Node) -> bool {
    let has_module = |key: &str| node.path(&[key, "rootmodule"]).is_some();
    has_module("values") || has_module("plannedvalues") || has_module("priorstate") || node.has("terraformversion")
}

/// Reads the network security groups, rules and routes of a state or plan.
pub fn read(root: &Node, file: &str, builder: &mut Builder, routes: &mut Vec<Route>) -> Result<(), Reason> {
    let mut unknown: BTreeMap<String, Node> = BTreeMap::new();
    for change in root.list("resourcechanges") {
        if let (Some(address), Some(after)) = (change.text_of("address"), change.path(&["change", "afterunknown"])) {
            unknown.insert(address, after);
        }
    }
    let mut resources = Vec::new();
    let module = root.path(&["plannedvalues", "rootmodule"]).or_else(|| root.path(&["values", "rootmodule"]));
    let module = module.or_else(|| root.path(&["priorstate", "values", "rootmodule"]));
    match module {
        Some(module) => collect(&module, 0, &mut resources),
        // A state file has the instances of each resource.
        None => {
            for resource in root.list("resources") {
                let kind = resource.text_of("type").unwrap_or_default();
                for instance in resource.list("instances") {
                    if let Some(values) = instance.get("attributes") {
                        resources.push((kind.clone(), String::new(), values));
                    }
                }
            }
        }
    }
    let of = |kinds: &'static [&'static str]| resources.iter().filter(move |(kind, ..)| kinds.contains(&kind.as_str()));
    for (_, address, values) in of(&["azurerm_network_security_group"]) {
        group(values, unknown.get(address), builder);
    }
    for (_, address, values) in of(&["azurerm_network_security_rule"]) {
        let name = values.text_of("networksecuritygroupname").unwrap_or_default();
        builder.begin(Head { name, shape: Shape::Terraform, ..Head::default() });
        builder.add(known(values, unknown.get(address)));
    }
    for (_, _, values) in of(&["azurerm_subnet_network_security_group_association"]) {
        if let (Some(id), Some(subnet)) = (values.text_of("networksecuritygroupid"), values.text_of("subnetid")) {
            builder.attach(&id, subnet);
        }
    }
    let names = Names::default();
    for (_, _, values) in of(&["azurerm_route_table"]) {
        routes.extend(route::table(values, file, &names));
    }
    for (_, _, values) in of(&["azurerm_route"]) {
        let table = values.text_of("routetablename").unwrap_or_default();
        routes.extend(route::route(values, &table, file, &names));
    }
    for (_, _, values) in of(&["azapi_resource"]) {
        azapi(values, builder);
    }
    Ok(())
}

/// Collects the resources of a module and of the modules in it: type, address and values.
fn collect<'a>(module: &Node<'a>, depth: usize, found: &mut Vec<(String, String, Node<'a>)>) {
    for resource in module.list("resources") {
        let text = |key: &str| resource.text_of(key).unwrap_or_default();
        if let Some(values) = resource.get("values") {
            found.push((text("type"), text("address"), values));
        }
    }
    if depth < DEEPEST {
        module.list("childmodules").iter().for_each(|child| collect(child, depth + 1, found));
    }
}

fn group(values: &Node, unknown: Option<&Node>, builder: &mut Builder) {
    let blocks = values.list("securityrule");
    builder.begin(Head {
        id: values.text_of("id"),
        name: values.text_of("name").unwrap_or_default(),
        shape: Shape::Terraform,
        has_inline_blocks: !blocks.is_empty(),
        ..Head::default()
    });
    let unknown = unknown.and_then(|after| after.get("securityrule"));
    let of_block = unknown.as_ref().map(Node::items).unwrap_or_default();
    if unknown.is_some_and(|rules| *rules.value() == Value::Bool(true)) {
        builder.gap(UNKNOWN);
    }
    for (nr, block) in blocks.iter().enumerate() {
        builder.add(known(block, of_block.get(nr)));
    }
}

/// Reads a rule. Values that Terraform does not know yet make it unknown.
fn known(values: &Node, unknown: Option<&Node>) -> crate::policy::model::Rule {
    let mut rule = rule::read(values, Origin::User, &Names::default());
    if unknown.is_some_and(is_unknown) {
        rule.state = RuleState::Unknown(UNKNOWN.to_owned());
    }
    rule
}

fn is_unknown(after: &Node) -> bool {
    let is_harmless = |name: &str| HARMLESS.contains(&name.replace('_', "").to_ascii_lowercase().as_str());
    let mut keys = after.object().into_iter().flatten();
    keys.any(|(name, value)| !is_harmless(name) && has_true(value)) || *after.value() == Value::Bool(true)
}

fn has_true(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        Value::Array(items) => items.iter().any(has_true),
        Value::Object(keys) => keys.values().any(has_true),
        _ => false,
    }
}

/// Reads a resource of the provider azapi, whose body is that of the management API: an object, or text in old versions.
fn azapi(values: &Node, builder: &mut Builder) {
    let kind = values.text_of("type").unwrap_or_default().to_ascii_lowercase();
    if !kind.starts_with("microsoft.network/networksecuritygroups@") {
        return;
    }
    builder.begin(Head {
        id: values.text_of("id"),
        name: values.text_of("name").unwrap_or_default(),
        shape: Shape::Terraform,
        has_inline_blocks: true,
        ..Head::default()
    });
    let Some(body) = values.get("body") else { return };
    let parsed = body.text().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let body = parsed.as_ref().map_or_else(|| body.clone(), |value| Node::at(value, body.pointer().to_owned()));
    for rule in body.path(&["properties", "securityrules"]).map(|list| list.items()).unwrap_or_default() {
        builder.add(rule::read(&rule, Origin::User, &Names::default()));
    }
}
