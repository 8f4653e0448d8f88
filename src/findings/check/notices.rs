//! Collects what to know before believing the answers of a check.

use super::model::{CheckNotice, CheckNoticeCode, CheckRow};
use super::{CheckInput, has_group, is_external_only};
use crate::catalog::{Role, Tag, role};
use crate::policy::{Acl, Path, Space, Station, Verdict};
use crate::remedy::Remedy;

/// Rules that are named per list in a notice.
const NAMED: usize = 5;

/// Returns the notices, in the order of their codes.
pub fn notices(input: CheckInput, space: &Space, stations: &[Station], rows: &[CheckRow]) -> Vec<CheckNotice> {
    use CheckNoticeCode as Code;
    let CheckInput { policy, scope, .. } = input;
    let mut notices = Vec::new();
    let mut add = |code, message: String| notices.push(CheckNotice { code, message });
    for acl in policy.acls.iter().filter(|acl| acl.is_unattached()) {
        add(
            Code::UnattachedGroup,
            format!(
                "{} ({}) is attached to no subnet and no interface, so it decides nothing and was not checked",
                acl.shown(),
                acl.file
            ),
        );
    }
    let groups: Vec<&str> = stations.iter().map(|station| station.name.as_str()).collect();
    if groups.len() > 1 {
        let shown: Vec<&str> = groups.iter().take(NAMED).copied().collect();
        add(
            Code::SeveralGroups,
            format!(
                "{} groups were checked, each as if it were that of the instance's subnet: name the right one with {} NAME ({}{})",
                groups.len(),
                Remedy::Group,
                shown.join(", "),
                if groups.len() > NAMED { ", ..." } else { "" }
            ),
        );
    }
    let lists = || stations.iter().flat_map(|station| station.acls.iter().copied());
    for acl in lists() {
        for gap in &acl.gaps {
            add(Code::IncompleteExport, format!("{}: {gap}: export it whole", acl.file));
        }
    }
    for acl in lists() {
        if let Some(message) = unreadable(acl) {
            add(Code::UnreadableRule, message);
        }
    }
    if !has_group(stations) {
        add(Code::NoGroup, "no network security group is given: the load balancer of API Management refuses calls from the Internet without one".to_owned());
    }
    let unsure = || rows.iter().filter(|row| row.verdict == Verdict::Unknown);
    if scope.subnets().is_empty() && unsure().next().is_some() {
        add(
            Code::SubnetUnknown,
            format!(
                "rules name addresses, and the subnet of the instance is not known: give it with {} CIDR",
                Remedy::Subnet
            ),
        );
    }
    let is_wide =
        !rows.is_empty() && space.end(&Tag::Internet, &crate::policy::End::unknown_subnet()).addresses.is_none();
    if is_wide {
        add(Code::EverythingIsVnet, "VirtualNetwork contains every address here, because of a route for 0.0.0.0/0: rules for Internet match nothing, and rules for VirtualNetwork match everything".to_owned());
    }
    if !input.is_vnet_given && policy.expanded_vnet().is_none() {
        add(
            Code::VnetAssumed,
            format!(
                "VirtualNetwork is taken to be the private address ranges: give the address space with {} CIDR, or effective rules of an interface",
                Remedy::Vnet
            ),
        );
    }
    if scope.service_tags().is_none() && unsure().next().is_some() {
        add(
            Code::ServiceTagsMissing,
            format!(
                "answers depend on addresses of service tags, and no file is loaded: run flowgap tags fetch, or give {} FILE",
                Remedy::ServiceTags
            ),
        );
    }
    let is_refused =
        |row: &&CheckRow| row.severity.is_some() && scope.requirement(&row.requirement).is_some_and(is_external_only);
    if scope.vnet_mode().is_none() && rows.iter().any(|row| is_refused(&row)) {
        add(
            Code::VnetModeUnknown,
            format!(
                "calls from the Internet are refused, which is right in internal mode: give {} external or internal",
                Remedy::VnetMode
            ),
        );
    }
    for (path, words) in [(Path::Tunnelled, "through"), (Path::Dropped, "nowhere, to")] {
        let led: Vec<&CheckRow> = rows.iter().filter(|row| row.path == Some(path)).collect();
        if let Some(first) = led.first() {
            let hop = first.route.as_ref().map(|route| route.next_hop.as_str()).unwrap_or_default();
            let mut ids: Vec<&str> = led.iter().map(|row| row.requirement.as_str()).collect();
            ids.dedup();
            add(
                Code::ForcedTunnelling,
                format!(
                    "routes lead {} {words} {hop}: no NSG rule helps if that drops them. Route the service tags to next hop Internet, turn on service endpoints, or open the firewall",
                    ids.join(", ")
                ),
            );
        }
    }
    if is_return_tunnelled(input, space) {
        add(Code::ReturnPath, "replies of the management endpoint leave through the default route, and not the way the calls came: add a route for the tag ApiManagement to next hop Internet".to_owned());
    }
    let is_dns = |row: &&CheckRow| role(&row.requirement) == Some(Role::Dns);
    if rows.iter().filter(is_dns).any(|row| row.verdict == Verdict::Partly) {
        add(Code::OtherNameServers, "some name servers are refused: right if the network uses Azure's own (168.63.129.16), an outage if it uses others".to_owned());
    }
    notices
}

/// Returns whether replies to the management service take a firewall or gateway.
fn is_return_tunnelled(input: CheckInput, space: &Space) -> bool {
    let rows = input.scope.requirements().iter().filter(|row| role(&row.id) == Some(Role::Management));
    let mut peers = rows.map(|row| space.end(row.peer_tag(), &crate::policy::End::unknown_subnet()));
    peers.any(|peer| space.routing(&input.policy.routes, &peer).path >= Path::Tunnelled)
}

fn unreadable(acl: &Acl) -> Option<String> {
    let bad: Vec<_> = acl.rules.iter().filter(|rule| rule.state.reason().is_some()).collect();
    let first = bad.first()?;
    let shown: Vec<String> = bad
        .iter()
        .take(NAMED)
        .map(|rule| format!("'{}' at {}: {}", rule.name, rule.pointer, rule.state.reason().unwrap_or_default()))
        .collect();
    let more = if bad.len() > NAMED { format!("; and {} more", bad.len() - NAMED) } else { String::new() };
    let way = if first.state.name() == "unknown" {
        "export it after the change was applied"
    } else {
        "export it again, or mend the rule"
    };
    Some(format!("{}: {}{more}: what it decides is unknown until then: {way}", acl.file, shown.join("; ")))
}
