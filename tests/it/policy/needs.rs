use std::collections::BTreeSet;

use flowgap::catalog::{Edition, ServiceTags, Tag};
use flowgap::net::{IpSet, Prefix};
use flowgap::policy::{End, Need, Path, Policy, Room, Space, Verdict, shadowed, stations};
use serde_json::{Value, json};

use super::shapes::{az, load, rule};

fn tcp(name: &str, priority: u32, direction: &str, access: &str, source: &str, destination: &str, port: &str) -> Value {
    rule(name, priority, direction, access, "Tcp", json!(source), json!(destination), json!(port))
}

/// The network 10.20.0.0/16 with the instance in 10.20.1.0/24.
struct World {
    policy: Policy,
    space: Space,
    edition: Edition,
    subnets: End,
}

impl World {
    fn of(rules: &[Value]) -> Self {
        Self::with(load(&az(rules).to_string()), None)
    }

    fn with(policy: Policy, tags: Option<&str>) -> Self {
        let edition = Edition::newest().expect("the port table");
        let block = |text: &str| text.parse::<Prefix>().expect("a block");
        let tags = tags.map(|json| ServiceTags::from_json(json.as_bytes()).expect("tags"));
        let named: Vec<Tag> = edition.rows().iter().map(|row| row.peer_tag().clone()).collect();
        let space = policy.space(&[block("10.20.0.0/16")], &[block("10.20.1.0/24")], tags.as_ref(), &named);
        let subnets = End::of_addresses([block("10.20.1.0/24")].into_iter().collect::<IpSet>());
        Self { policy, space, edition, subnets }
    }

    fn need(&self, id: &str) -> Need {
        let row = self.edition.rows().iter().find(|row| row.id == id).unwrap_or_else(|| panic!("{id}"));
        let stations = stations(&self.policy.acls);
        self.space.need(&stations[0], row, &self.subnets, &self.policy.routes)
    }

    fn verdict(&self, id: &str) -> Verdict {
        self.need(id).verdict
    }

    fn room(&self, id: &str) -> Room {
        let need = self.need(id);
        self.space.room(&self.policy.acls[0], &[&need.answers[0].0], &BTreeSet::new())
    }

    fn near(&self, id: &str) -> Vec<String> {
        let need = self.need(id);
        let near = self.space.near_misses(&self.policy.acls[0], &need.answers[0].0);
        near.iter().map(|near| format!("{}: {}", near.rule, near.words)).collect()
    }
}

const DENY_OUT: [&str; 3] = ["Outbound", "*", "*"];

fn deny_out(priority: u32) -> Value {
    let [direction, source, destination] = DENY_OUT;
    rule("deny-the-rest", priority, direction, "Deny", "*", json!(source), json!(destination), json!("*"))
}

#[test]
fn default_rules_let_everything_out_and_little_in() {
    let world = World::of(&[]);
    for (id, verdict) in [
        ("APIM-OUT-SQL", Verdict::Allow),
        ("APIM-OUT-STORAGE", Verdict::Allow),
        ("APIM-OUT-DNS", Verdict::Allow),
        ("APIM-IN-PROBE", Verdict::Allow),
        ("APIM-IN-CLIENT-VNET", Verdict::Allow),
        ("APIM-VNET-RATELIMIT", Verdict::Allow),
        ("APIM-IN-CLIENT", Verdict::Deny),
        ("APIM-IN-MANAGEMENT", Verdict::Deny),
    ] {
        assert_eq!(world.verdict(id), verdict, "{id}");
    }
}

#[test]
fn a_deny_for_the_rest_refuses_what_no_rule_names() {
    let world = World::of(&[
        tcp("allow-storage", 100, "Outbound", "Allow", "VirtualNetwork", "Storage", "443"),
        tcp("allow-sql-region", 110, "Outbound", "Allow", "VirtualNetwork", "Sql.WestEurope", "1433"),
        tcp("allow-some", 120, "Outbound", "Allow", "10.20.1.0/25", "AzureKeyVault", "443"),
        deny_out(4000),
    ]);
    for (id, verdict) in [
        ("APIM-OUT-STORAGE", Verdict::Allow),
        ("APIM-OUT-SQL", Verdict::Unknown),
        ("APIM-OUT-KEYVAULT", Verdict::Partly),
        ("APIM-OUT-MONITOR", Verdict::Deny),
        ("APIM-OUT-CERTIFICATES", Verdict::Deny),
        ("APIM-OUT-DNS", Verdict::Partly),
        ("APIM-VNET-RATELIMIT", Verdict::Partly),
    ] {
        assert_eq!(world.verdict(id), verdict, "{id}");
    }
    assert!(world.need("APIM-OUT-DNS").has_own_names);
    // The tags of the allow rules cover a part of the Internet, whatever part.
    let world = World::of(&[tcp("allow-storage", 100, "Outbound", "Allow", "*", "Storage", "*"), deny_out(4000)]);
    assert_eq!(world.verdict("APIM-OUT-CERTIFICATES"), Verdict::Partly);
    let world = World::of(&[tcp("deny-names", 100, "Outbound", "Deny", "*", "AzurePlatformDNS", "53"), deny_out(4000)]);
    assert_eq!(world.verdict("APIM-OUT-DNS"), Verdict::Deny);
}

#[test]
fn a_tag_file_turns_unknown_into_partly() {
    let tags = r#"{"cloud": "Public", "values": [
        {"name": "Sql", "properties": {"region": "", "addressPrefixes": ["192.0.2.0/26"]}},
        {"name": "Sql.WestEurope", "properties": {"region": "westeurope", "addressPrefixes": ["192.0.2.0/28"]}}]}"#;
    let rules =
        [tcp("allow-sql-region", 110, "Outbound", "Allow", "VirtualNetwork", "Sql.WestEurope", "1433"), deny_out(4000)];
    let world = World::with(load(&az(&rules).to_string()), Some(tags));
    assert_eq!(world.verdict("APIM-OUT-SQL"), Verdict::Partly);
    assert_eq!(world.verdict("APIM-OUT-STORAGE"), Verdict::Deny);
}

#[test]
fn one_unreadable_rule_makes_its_verdict_unknown() {
    let mut rules = vec![tcp("allow-sql", 110, "Outbound", "Allow", "VirtualNetwork", "Sql", "1433")];
    rules.push(tcp("broken", 100, "Outbound", "Deny", "*", "", "1433"));
    assert_eq!(World::of(&rules).verdict("APIM-OUT-SQL"), Verdict::Unknown);
    rules[1]["priority"] = json!(120);
    assert_eq!(World::of(&rules).verdict("APIM-OUT-SQL"), Verdict::Allow);
    rules[1] = tcp("broken", 100, "Outbound", "Allow", "*", "", "1433");
    rules[0] = deny_out(4000);
    assert_eq!(World::of(&rules).verdict("APIM-OUT-SQL"), Verdict::Unknown);
}

#[test]
fn admin_rules_come_first() {
    let admin = |access: &str| {
        json!([{ "access": access, "direction": "Outbound", "priority": 5, "protocol": "Tcp", "displayName": "admin",
            "sources": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
            "destinations": [{ "addressPrefix": "Sql", "addressPrefixType": "ServiceTag" }],
            "sourcePortRanges": ["*"], "destinationPortRanges": ["1433"] }])
    };
    for (access, nsg, verdict) in [
        ("Deny", vec![], Verdict::Deny),
        ("AlwaysAllow", vec![deny_out(100)], Verdict::Allow),
        ("Allow", vec![deny_out(100)], Verdict::Deny),
        ("Allow", vec![], Verdict::Allow),
    ] {
        let policy =
            load(&az(&nsg).to_string()).add_text("admin.json", &admin(access).to_string()).expect("admin rules");
        assert_eq!(World::with(policy, None).verdict("APIM-OUT-SQL"), verdict, "{access}");
    }
}

#[test]
fn a_wide_virtual_network_is_taken_from_effective_rules() {
    let rule = |name: &str, access: &str, destination: &str, expanded: Value, priority: u32| {
        json!({ "name": format!("securityRules/{name}"), "access": access, "direction": "Outbound", "priority": priority, "protocol": "All",
            "sourcePortRange": "0-65535", "destinationPortRange": "0-65535", "sourceAddressPrefix": "0.0.0.0/0",
            "destinationAddressPrefix": destination, "expandedDestinationAddressPrefix": expanded })
    };
    let effective = |vnet: Value| {
        json!({ "value": [{ "networkSecurityGroup": { "id": "/nsg-apim" }, "association": { "subnet": { "id": "/s" } }, "effectiveSecurityRules": [
            rule("deny-internet", "Deny", "Internet", json!(["1.0.0.0/8"]), 200), rule("vnet", "Allow", "VirtualNetwork", vnet, 300), rule("rest", "Deny", "0.0.0.0/0", json!([]), 400)] }] })
    };
    let verdict = |vnet: Value| World::with(load(&effective(vnet).to_string()), None).verdict("APIM-OUT-SQL");
    assert_eq!(verdict(json!(["10.20.0.0/16", "168.63.129.16/32"])), Verdict::Deny);
    // A route for 0.0.0.0/0 makes everything the virtual network, and nothing the Internet.
    assert_eq!(verdict(json!(["0.0.0.0/0"])), Verdict::Allow);
}

#[test]
fn slips_are_found() {
    let world = World::of(&[
        tcp("allow-storage", 100, "Outbound", "Allow", "VirtualNetwork", "Storage", "433"),
        tcp("allow-monitor", 110, "Inbound", "Allow", "VirtualNetwork", "AzureMonitor", "*"),
        rule(
            "allow-keyvault",
            120,
            "Outbound",
            "Allow",
            "Udp",
            json!("VirtualNetwork"),
            json!("AzureKeyVault"),
            json!("443"),
        ),
        tcp("allow-probe", 130, "Inbound", "Allow", "*", "AzureLoadBalancer", "6390"),
        tcp("allow-sql-region", 140, "Outbound", "Allow", "VirtualNetwork", "Sql.WestEurope", "1433"),
        tcp("deny-in", 3000, "Inbound", "Deny", "*", "*", "*"),
        deny_out(4000),
    ]);
    for (id, near) in [
        ("APIM-OUT-STORAGE", "allow-storage: it has port 433, and 443 is needed"),
        ("APIM-OUT-MONITOR", "allow-monitor: it is inbound, and outbound is needed"),
        ("APIM-OUT-KEYVAULT", "allow-keyvault: it is for udp, and tcp is needed"),
        ("APIM-IN-PROBE", "allow-probe: it goes from * to AzureLoadBalancer: the ends are swapped"),
        ("APIM-OUT-SQL", "allow-sql-region: it allows Sql.WestEurope, which is a part of Sql"),
    ] {
        assert_eq!(world.near(id), [near], "{id}");
    }
}

#[test]
fn a_priority_comes_before_every_blocker_and_is_free() {
    let deny_sql = |priority: u32| tcp("deny-sql", priority, "Outbound", "Deny", "*", "Sql", "1433");
    let taken = |priority: u32| tcp(&format!("t{priority}"), priority, "Outbound", "Allow", "*", "192.0.2.1", "9");
    for (rules, room) in [
        (vec![deny_out(4000)], Room::Free(3990)),
        (vec![deny_out(4000), taken(3990), taken(3980)], Room::Free(3970)),
        (vec![deny_out(4000), deny_sql(200)], Room::Free(190)),
        (vec![deny_sql(105)], Room::Free(100)),
        (vec![deny_sql(105), taken(100)], Room::Free(104)),
        // The same number in the other direction is free.
        (vec![deny_sql(101), tcp("in", 100, "Inbound", "Allow", "*", "*", "1")], Room::Free(100)),
        (vec![deny_sql(100)], Room::Full { blocker: "deny-sql".to_owned(), priority: 100, move_to: Some(101) }),
        (
            vec![deny_sql(100), tcp("next", 101, "Outbound", "Allow", "*", "*", "1433")],
            Room::Full { blocker: "deny-sql".to_owned(), priority: 100, move_to: None },
        ),
    ] {
        assert_eq!(World::of(&rules).room("APIM-OUT-SQL"), room, "{rules:?}");
    }
    // Only a default rule stands in the way.
    assert_eq!(World::of(&[]).room("APIM-IN-MANAGEMENT"), Room::Free(4000));
}

#[test]
fn rules_that_never_decide_are_found() {
    let allow = tcp("allow-sql", 200, "Outbound", "Allow", "VirtualNetwork", "Sql", "1433");
    let world = World::of(&[
        tcp("deny-internet", 100, "Outbound", "Deny", "*", "Internet", "*"),
        allow,
        tcp("allow-block", 300, "Outbound", "Allow", "*", "10.0.0.0/8", "*"),
        tcp("part", 310, "Outbound", "Deny", "10.20.1.0/24", "10.1.0.0/16", "80"),
        tcp("other-port", 100, "Inbound", "Allow", "*", "*", "80"),
    ]);
    let found = shadowed(&world.policy.acls[0]);
    let pairs: Vec<(&str, &str)> = found.iter().map(|found| (found.rule.as_str(), found.by.as_str())).collect();
    assert_eq!(pairs, [("allow-sql", "deny-internet"), ("part", "allow-block")]);
    let need = world.need("APIM-OUT-SQL");
    let [(_, answer)] = need.answers.as_slice() else { panic!("{need:?}") };
    let behind: Vec<&str> =
        answer.shadowed_allows.iter().map(|by| world.policy.acls[0].rules[by.rule].name.as_str()).collect();
    assert_eq!((need.verdict, behind), (Verdict::Deny, vec!["allow-sql"]));
}

#[test]
fn routes_lead_through_a_firewall_or_nowhere() {
    let table = |routes: Value| json!({ "name": "rt", "routes": routes });
    let route = |prefix: &str, hop: &str| json!({ "name": "r", "addressPrefix": prefix, "nextHopType": hop });
    let default = |hop: &str| route("0.0.0.0/0", hop);
    for (routes, path) in [
        (json!([default("VirtualAppliance")]), Path::Tunnelled),
        (json!([default("VirtualNetworkGateway")]), Path::Tunnelled),
        (json!([default("None")]), Path::Dropped),
        (json!([default("Internet")]), Path::Direct),
        (json!([default("VirtualAppliance"), route("Sql", "Internet")]), Path::Direct),
        (json!([route("0.0.0.0/1", "VirtualAppliance"), route("128.0.0.0/1", "VirtualAppliance")]), Path::Tunnelled),
        (json!([route("10.0.0.0/8", "VirtualAppliance")]), Path::Direct),
    ] {
        let policy =
            load(&az(&[]).to_string()).add_text("rt.json", &table(routes.clone()).to_string()).expect("routes");
        let routing = World::with(policy, None).need("APIM-OUT-SQL").routing.expect("a path");
        assert_eq!(routing.path, path, "{routes}");
    }
}
