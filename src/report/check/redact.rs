//! Replaces what identifies a network in a check by placeholders. Every field is taken apart by name, so that a new one
//! is not forgotten.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::findings::check::{Check, CheckNotice, CheckRow, CheckRule, CheckScope, CheckStatus, CheckedGroup};
use crate::policy::{Address, NearMiss, Route, RouteUse, Shadowed};
use crate::report::redact::{Placeholders, is_odd};

/// Returns the check with placeholders for addresses, resource ids, names of groups and route tables, and files.
pub fn redacted(check: &Check) -> serde_json::Result<Check> {
    let mut hidden = Hidden::of(check);
    let Check { schema, flowgap_version, scope, status, groups, rows, shadowed, routes, notices } = check.clone();
    let CheckScope { subnets, vnet, vnet_origin, vnet_mode, edition, service_tags } = scope;
    let (subnets, vnet) = (hidden.texts(subnets), hidden.texts(vnet));
    let CheckStatus { word, exit, reasons, fail_on } = status;
    Ok(Check {
        schema,
        flowgap_version,
        scope: CheckScope { subnets, vnet, vnet_origin, vnet_mode, edition, service_tags },
        status: CheckStatus { word, exit, reasons: hidden.texts(reasons), fail_on },
        groups: groups.into_iter().map(|group| hidden.group(group)).collect(),
        rows: rows.into_iter().map(|row| hidden.row(row)).collect::<Result<_, _>>()?,
        shadowed: shadowed.into_iter().map(|rule| hidden.shadowed(rule)).collect(),
        routes: routes.into_iter().map(|route| hidden.route(route)).collect(),
        notices: notices.into_iter().map(|notice| hidden.notice(notice)).collect(),
    })
}

/// The placeholders, and exact texts to replace.
struct Hidden {
    known: Placeholders,
    exact: Vec<(String, String)>,
}

impl Hidden {
    /// Learns the names of groups, files and route tables, so that they are found in sentences.
    fn of(check: &Check) -> Self {
        let mut known = Placeholders::default();
        let mut exact = Vec::new();
        for group in &check.groups {
            let names = group.id.iter().chain([&group.name]);
            exact.extend(names.map(|name| (name.clone(), known.resource(name))));
            exact.push((group.file.clone(), known.of("file", &group.file)));
        }
        for route in &check.routes {
            exact.push((route.table.clone(), known.of("route-table", &route.table)));
            exact.push((route.file.clone(), known.of("file", &route.file)));
        }
        // A plain name is found as a word; any other text must be replaced as it is. Of texts that begin alike, the longer
        // one comes first.
        exact.retain(|(text, _)| text.contains(is_odd));
        exact.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.cmp(other)));
        exact.dedup();
        Self { known, exact }
    }

    fn text(&mut self, text: String) -> String {
        self.known.sentence(&text, &self.exact)
    }

    fn texts(&mut self, texts: Vec<String>) -> Vec<String> {
        texts.into_iter().map(|text| self.text(text)).collect()
    }

    /// Hides a value by its JSON.
    fn value<T: Serialize + DeserializeOwned>(&mut self, key: &str, value: &T) -> serde_json::Result<T> {
        let mut json = serde_json::to_value(value)?;
        self.known.hide(key, &mut json, &self.exact);
        serde_json::from_value(json)
    }

    fn group(&mut self, group: CheckedGroup) -> CheckedGroup {
        let CheckedGroup { name, id, layer, shape, file, rules, attached, checked, gaps } = group;
        CheckedGroup {
            name: self.known.resource(&name),
            id: id.map(|id| self.known.resource(&id)),
            layer,
            shape,
            file: self.known.of("file", &file),
            rules,
            attached: attached.map(|ids| ids.iter().map(|id| self.known.resource(id)).collect()),
            checked,
            gaps: self.texts(gaps),
        }
    }

    fn row(&mut self, row: CheckRow) -> serde_json::Result<CheckRow> {
        let CheckRow {
            id,
            fingerprint,
            requirement,
            group,
            direction,
            protocol,
            ports,
            source,
            destination,
            necessity,
            purpose,
            verdict,
            severity,
            denied_by,
            allowed_by,
            unsure_because,
            behind,
            near_misses,
            path,
            route,
            effect,
            explanation,
            fix,
            finding,
        } = row;
        Ok(CheckRow {
            id,
            fingerprint,
            requirement,
            group: self.text(group),
            direction,
            protocol,
            ports,
            source,
            destination,
            necessity,
            purpose,
            verdict,
            severity,
            denied_by: self.rules(denied_by),
            allowed_by: self.rules(allowed_by),
            unsure_because: self.rules(unsure_because),
            behind: self.texts(behind),
            near_misses: near_misses.into_iter().map(|near| self.near_miss(near)).collect(),
            path,
            route: route.map(|route| self.route_use(route)),
            effect,
            explanation: self.text(explanation),
            fix: fix.map(|fix| self.value("fix", &fix)).transpose()?,
            finding: finding.map(|finding| self.value("finding", &finding)).transpose()?,
        })
    }

    fn rules(&mut self, rules: Vec<CheckRule>) -> Vec<CheckRule> {
        let hide = |rule| {
            let CheckRule { group, layer, rule, origin, priority, access, ports, peers, peer_blocks, reason, pointer } =
                rule;
            CheckRule {
                group: self.text(group),
                layer,
                rule: self.text(rule),
                origin,
                priority,
                access,
                ports,
                peers: self.texts(peers),
                peer_blocks,
                reason: reason.map(|reason| self.text(reason)),
                pointer,
            }
        };
        rules.into_iter().map(hide).collect()
    }

    fn near_miss(&mut self, near: NearMiss) -> NearMiss {
        let NearMiss { rule, miss, words, pointer } = near;
        NearMiss { rule: self.text(rule), miss, words: self.text(words), pointer }
    }

    fn shadowed(&mut self, shadowed: Shadowed) -> Shadowed {
        let Shadowed { acl, direction, rule, priority, access, by, by_priority, by_access, pointer } = shadowed;
        let (acl, rule, by) = (self.text(acl), self.text(rule), self.text(by));
        Shadowed { acl, direction, rule, priority, access, by, by_priority, by_access, pointer }
    }

    fn route(&mut self, route: Route) -> Route {
        let Route { table, name, prefixes, next_hop, next_hop_addresses, source, is_active, file, pointer } = route;
        Route {
            table: self.table(&table),
            name: self.text(name),
            prefixes: self.addresses(prefixes),
            next_hop,
            next_hop_addresses: self.texts(next_hop_addresses),
            source,
            is_active,
            file: self.known.of("file", &file),
            pointer,
        }
    }

    fn route_use(&mut self, route: RouteUse) -> RouteUse {
        let RouteUse { table, name, prefixes, next_hop } = route;
        RouteUse {
            table: self.table(&table),
            name: self.text(name),
            prefixes: self.addresses(prefixes),
            next_hop: self.text(next_hop),
        }
    }

    fn table(&mut self, table: &str) -> String {
        if table.is_empty() { String::new() } else { self.known.of("route-table", table) }
    }

    /// Hides blocks. A placeholder is no block, so it takes the place of a tag.
    fn addresses(&mut self, addresses: Vec<Address>) -> Vec<Address> {
        let hide = |address: Address| match address {
            Address::Any | Address::Tag(_) => address,
            other => Address::Tag(self.text(other.to_string())),
        };
        addresses.into_iter().map(hide).collect()
    }

    fn notice(&mut self, notice: CheckNotice) -> CheckNotice {
        let CheckNotice { code, message } = notice;
        CheckNotice { code, message: self.text(message) }
    }
}
