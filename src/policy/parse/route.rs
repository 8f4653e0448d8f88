//! Reads route tables, and the effective routes of an interface.

use super::node::Node;
use super::rule::{body, last_part};
use super::template::Names;
use crate::policy::address::Address;
use crate::policy::model::{NextHop, Route, RouteSource};

/// Reads a route table.
pub fn table(node: &Node, file: &str, names: &Names) -> Vec<Route> {
    let id_name = || last_part(&node.text_of("id")?);
    let name = node.text_of("name").or_else(id_name).map(|name| names.resolve(&name)).unwrap_or_default();
    let body = body(node);
    // Terraform has its routes under `route`.
    let routes = ["routes", "route"].iter().flat_map(|key| body.list(key));
    routes.flat_map(|item| route(&item, &name, file, names)).collect()
}

/// Reads one route of a table, or an effective route if `table` is empty. A route without a next hop or destination is
/// none.
pub fn route(node: &Node, table: &str, file: &str, names: &Names) -> Option<Route> {
    let body = body(node);
    let next_hop = NextHop::parse(&names.resolve(&body.text_of("nexthoptype")?));
    let written = body.texts("addressprefix").into_iter().chain(body.texts("addressprefixes"));
    let prefixes: Vec<Address> =
        written.flat_map(|text| names.resolve_list(&text)).map(|text| Address::parse(&text)).collect();
    if prefixes.is_empty() {
        return None;
    }
    let source = match (body.text_of("source").unwrap_or_default().to_ascii_lowercase().as_str(), table) {
        ("user", _) => RouteSource::User,
        ("virtualnetworkgateway", _) => RouteSource::Gateway,
        ("", table) if !table.is_empty() => RouteSource::User,
        _ => RouteSource::System,
    };
    let hops = ["nexthopipaddress", "nexthopinipaddress"];
    Some(Route {
        table: table.to_owned(),
        name: node.text_of("name").map(|name| names.leaf(&names.resolve(&name)).to_owned()).unwrap_or_default(),
        prefixes,
        next_hop,
        next_hop_addresses: hops.iter().flat_map(|key| body.texts(key)).collect(),
        source,
        is_active: !body.text_of("state").is_some_and(|state| state.eq_ignore_ascii_case("invalid")),
        file: file.to_owned(),
        pointer: node.pointer().to_owned(),
    })
}
