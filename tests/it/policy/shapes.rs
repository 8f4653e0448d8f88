use std::collections::BTreeMap;

use flowgap::catalog::text_file;
use flowgap::policy::{Acl, Layer, Origin, Policy, Rule, RuleState, Shape};
use serde_json::{Map, Value, json};

pub const NSG: &str = "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg-apim-example/providers/Microsoft.Network/networkSecurityGroups/nsg-apim-example";
const SUBNET: &str = "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg-apim-example/providers/Microsoft.Network/virtualNetworks/vnet-example/subnets/apim";

/// The rules of the group, flattened, in camel case: a plural port list, a plural address list, a name with dots.
pub fn base() -> Vec<Value> {
    vec![
        rule(
            "allow-management",
            100,
            "Inbound",
            "Allow",
            "Tcp",
            json!("ApiManagement"),
            json!("VirtualNetwork"),
            json!("3443"),
        ),
        rule(
            "allow-probe",
            110,
            "Inbound",
            "Allow",
            "*",
            json!("AzureLoadBalancer"),
            json!("*"),
            json!(["6390", "6391"]),
        ),
        rule(
            "allow-clients",
            120,
            "Inbound",
            "Allow",
            "Tcp",
            json!(["192.0.2.0/24", "198.51.100.7"]),
            json!("*"),
            json!(["443", "8000-8080"]),
        ),
        rule(
            "allow-storage.1",
            100,
            "Outbound",
            "Allow",
            "Tcp",
            json!("VirtualNetwork"),
            json!("Storage"),
            json!("443"),
        ),
        rule("deny-the-rest", 4000, "Outbound", "Deny", "*", json!("*"), json!("*"), json!("*")),
    ]
}

#[expect(clippy::too_many_arguments, reason = "the fields of a rule, in the order of the portal")]
pub fn rule(
    name: &str,
    priority: u32,
    direction: &str,
    access: &str,
    protocol: &str,
    source: Value,
    destination: Value,
    ports: Value,
) -> Value {
    json!({ "name": name, "priority": priority, "direction": direction, "access": access, "protocol": protocol,
        "source": source, "destination": destination, "ports": ports })
}

/// Fields of a rule by the names of the management API. A list goes into the plural field.
pub fn fields(rule: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    for key in ["priority", "direction", "access", "protocol"] {
        fields.insert(key.to_owned(), rule[key].clone());
    }
    fields.insert("sourcePortRange".to_owned(), json!("*"));
    for (key, singular, plural) in [
        ("source", "sourceAddressPrefix", "sourceAddressPrefixes"),
        ("destination", "destinationAddressPrefix", "destinationAddressPrefixes"),
        ("ports", "destinationPortRange", "destinationPortRanges"),
    ] {
        let (one, list) =
            if rule[key].is_array() { (json!(""), rule[key].clone()) } else { (rule[key].clone(), json!([])) };
        fields.insert(singular.to_owned(), one);
        fields.insert(plural.to_owned(), list);
    }
    fields.insert("sourceApplicationSecurityGroups".to_owned(), Value::Null);
    fields
}

fn flat(rule: &Value) -> Value {
    let mut fields = fields(rule);
    fields.insert("name".to_owned(), rule["name"].clone());
    fields.insert("resourceGroup".to_owned(), json!("rg-apim-example"));
    Value::Object(fields)
}

fn nested(rule: &Value) -> Value {
    json!({ "name": rule["name"], "id": format!("{NSG}/securityRules/{}", rule["name"].as_str().expect("a name")), "properties": fields(rule) })
}

/// Renames the keys of objects, at every depth.
fn renamed(value: &Value, rename: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(keys) => {
            keys.iter().map(|(key, value)| (rename(key), renamed(value, rename))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, rename)).collect(),
        other => other.clone(),
    }
}

fn pascal(value: &Value) -> Value {
    renamed(value, &|key| key[..1].to_uppercase() + &key[1..])
}

fn snake(value: &Value) -> Value {
    renamed(value, &|key| {
        key.chars().map(|c| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() }).collect()
    })
}

/// The group with its rules as the management API, az, PowerShell and Terraform have them.
fn arm() -> Value {
    let rules: Vec<Value> = base().iter().map(nested).collect();
    json!({ "name": "nsg-apim-example", "id": NSG, "location": "westeurope", "properties": { "securityRules": rules, "subnets": [{ "id": SUBNET }] } })
}

pub fn az(rules: &[Value]) -> Value {
    let rules: Vec<Value> = rules.iter().map(flat).collect();
    json!({ "name": "nsg-apim-example", "id": NSG, "location": "westeurope", "securityRules": rules, "defaultSecurityRules": [],
        "subnets": [{ "id": SUBNET, "resourceGroup": "rg-apim-example" }], "networkInterfaces": null })
}

fn terraform_rule(rule: &Value) -> Value {
    let mut value = snake(&flat(rule));
    value["source_application_security_group_ids"] = json!([]);
    value
}

/// A PowerShell object: singular names hold lists.
fn power_shell(cut: bool) -> Value {
    let lists = |rule: &Value| {
        let mut rule = flat(rule);
        for key in ["sourcePortRange", "sourceAddressPrefix", "destinationAddressPrefix", "destinationPortRange"] {
            let plural = key.replace("Range", "Ranges").replace("Prefix", "Prefixes");
            let list = rule[&plural].as_array().filter(|list| !list.is_empty()).cloned();
            rule[key] = list.map_or_else(|| json!([rule[key].clone()]), Value::Array);
            rule.as_object_mut().expect("a rule").remove(&plural);
        }
        pascal(&rule)
    };
    let rules: Vec<Value> = base().iter().map(lists).collect();
    let shown = if cut { json!(["Microsoft.Azure.Commands.Network.Models.PSSecurityRule"]) } else { json!(rules) };
    json!({ "Name": "nsg-apim-example", "Id": NSG, "SecurityRules": shown, "DefaultSecurityRules": [],
        "SecurityRulesText": serde_json::to_string(&rules).expect("JSON"), "DefaultSecurityRulesText": "[]" })
}

fn effective() -> Value {
    let rule = |rule: &Value| {
        let fields = fields(rule);
        let range = |text: &str| match text {
            "*" => "0-65535".to_owned(),
            port if port.contains('-') => port.to_owned(),
            port => format!("{port}-{port}"),
        };
        let address = |value: &Value| if *value == json!("*") { json!("0.0.0.0/0") } else { value.clone() };
        let mut rule = json!({
            "name": format!("securityRules/{}", rule["name"].as_str().expect("a name")),
            "priority": fields["priority"], "direction": fields["direction"], "access": fields["access"],
            "protocol": if fields["protocol"] == json!("*") { json!("All") } else { fields["protocol"].clone() },
            "sourcePortRange": "0-65535", "sourcePortRanges": ["0-65535"],
            "sourceAddressPrefix": address(&fields["sourceAddressPrefix"]), "sourceAddressPrefixes": fields["sourceAddressPrefixes"],
            "destinationAddressPrefix": address(&fields["destinationAddressPrefix"]), "destinationAddressPrefixes": fields["destinationAddressPrefixes"],
            "destinationPortRanges": fields["destinationPortRanges"].as_array().expect("a list").iter().map(|p| range(p.as_str().expect("a port"))).collect::<Vec<_>>(),
        });
        if let Some(port) = fields["destinationPortRange"].as_str().filter(|port| !port.is_empty()) {
            rule["destinationPortRange"] = json!(range(port));
        }
        if rule["destinationAddressPrefix"] == json!("VirtualNetwork") {
            rule["expandedDestinationAddressPrefix"] = json!(["10.20.0.0/16", "168.63.129.16/32"]);
        }
        rule
    };
    let rules: Vec<Value> = base().iter().map(rule).collect();
    json!({ "networkSecurityGroup": { "id": NSG }, "association": { "subnet": { "id": SUBNET } }, "effectiveSecurityRules": rules, "tagMap": {} })
}

fn template(is_inline: bool) -> Value {
    let name = "[parameters('networkSecurityGroups_nsg_apim_example_name')]";
    let children = |rule: &Value| {
        json!({ "type": "Microsoft.Network/networkSecurityGroups/securityRules", "apiVersion": "2025-05-01",
            "name": format!("[concat(parameters('networkSecurityGroups_nsg_apim_example_name'), '/{}')]", rule["name"].as_str().expect("a name")),
            "properties": fields(rule) })
    };
    let inline: Vec<Value> = if is_inline {
        base().iter().map(|rule| json!({ "name": rule["name"], "properties": fields(rule) })).collect()
    } else {
        Vec::new()
    };
    let group = json!({ "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2025-05-01", "name": name, "properties": { "securityRules": inline } });
    let resources: Vec<Value> = [group].into_iter().chain(base().iter().map(children)).collect();
    json!({ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
        "parameters": { "networkSecurityGroups_nsg_apim_example_name": { "defaultValue": "nsg-apim-example", "type": "String" } }, "resources": resources })
}

/// Every form, by a name for messages.
pub fn every_shape() -> BTreeMap<&'static str, (Shape, Value)> {
    let rules: Vec<Value> = base().iter().map(nested).collect();
    let flat_rules: Vec<Value> = base()
        .iter()
        .map(|rule| {
            let mut flat = flat(rule);
            flat["id"] = nested(rule)["id"].clone();
            flat
        })
        .collect();
    let blocks: Vec<Value> = base().iter().map(terraform_rule).collect();
    let group = |rules: &[Value]| json!({ "id": NSG, "name": "nsg-apim-example", "resource_group_name": "rg-apim-example", "security_rule": rules });
    let inline = json!({ "address": "azurerm_network_security_group.apim", "mode": "managed", "type": "azurerm_network_security_group", "values": group(&blocks) });
    let alone: Vec<Value> = blocks.iter().map(|block| {
        let mut values = block.clone();
        values["network_security_group_name"] = json!("nsg-apim-example");
        json!({ "address": "azurerm_network_security_rule.r", "mode": "managed", "type": "azurerm_network_security_rule", "values": values })
    }).collect();
    let module = |resources: Value| json!({ "root_module": { "child_modules": [{ "resources": resources }] } });
    let instances = json!([{ "mode": "managed", "type": "azurerm_network_security_group", "name": "apim", "instances": [{ "attributes": group(&blocks) }] }]);
    let azapi = json!([{ "type": "azapi_resource", "values": { "type": "Microsoft.Network/networkSecurityGroups@2025-05-01", "id": NSG, "name": "nsg-apim-example", "body": serde_json::to_string(&arm()).expect("JSON") } }]);
    let row = json!({ "id": NSG.to_lowercase(), "name": "nsg-apim-example", "type": "microsoft.network/networksecuritygroups", "properties": arm()["properties"] });
    let view = json!({ "networkInterfaces": [{ "id": "/nic", "securityRuleAssociations": {
        "subnetAssociation": { "id": SUBNET, "securityRules": rules }, "defaultSecurityRules": [], "effectiveSecurityRules": [] } }] });
    BTreeMap::from([
        ("arm", (Shape::Arm, arm())),
        ("arm list", (Shape::Arm, json!({ "value": [arm()] }))),
        ("az show", (Shape::Az, az(&base()))),
        ("az list", (Shape::Az, json!([az(&base())]))),
        ("az rule list", (Shape::RuleList, json!(flat_rules))),
        ("rule list of the API", (Shape::RuleList, json!({ "value": rules }))),
        ("template, both copies", (Shape::Template, template(true))),
        ("template, children", (Shape::Template, template(false))),
        ("effective", (Shape::Effective, json!({ "value": [effective()] }))),
        ("effective, PowerShell", (Shape::Effective, pascal(&effective()))),
        ("PowerShell", (Shape::PowerShell, power_shell(false))),
        ("PowerShell, cut", (Shape::PowerShell, power_shell(true))),
        (
            "Resource Graph",
            (Shape::ResourceGraph, json!({ "count": 1, "data": [row], "skip_token": null, "total_records": 1 })),
        ),
        ("terraform show", (Shape::Terraform, json!({ "format_version": "1.0", "values": module(json!([inline])) }))),
        ("terraform show, rules alone", (Shape::Terraform, json!({ "values": module(json!(alone)) }))),
        ("terraform plan", (Shape::Terraform, json!({ "planned_values": module(json!([inline])), "prior_state": {} }))),
        (
            "terraform state",
            (Shape::Terraform, json!({ "version": 4, "terraform_version": "1.9.0", "resources": instances })),
        ),
        ("azapi", (Shape::Terraform, json!({ "values": module(azapi) }))),
        ("security group view", (Shape::SecurityGroupView, view)),
    ])
}

pub fn load(text: &str) -> Policy {
    Policy::default().add_text("nsg.json", text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn refused(text: &str) -> String {
    Policy::default().add_text("nsg.json", text).map(|_| ()).expect_err(text).to_string()
}

/// Rules without what only a place or an interface tells.
fn plain(acl: &Acl) -> Vec<Rule> {
    let plain = |rule: &Rule| Rule {
        pointer: String::new(),
        expanded_source: None,
        expanded_destination: None,
        ..rule.clone()
    };
    acl.rules.iter().map(plain).collect()
}

#[test]
fn one_group_has_equal_rules_in_every_form() {
    let expected = load(&arm().to_string());
    let [expected] = expected.acls.as_slice() else { panic!("{expected:?}") };
    assert_eq!(expected.rules.len(), 11);
    assert!(expected.rules.iter().all(|rule| rule.state == RuleState::Ok));
    for (name, (shape, value)) in every_shape() {
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for policy in [load(&text), load(&text_file::decode(&utf16).expect("text"))] {
            let [acl] = policy.acls.as_slice() else { panic!("{name}: {:?}", policy.acls) };
            assert_eq!(plain(acl), plain(expected), "{name}");
            assert_eq!((acl.shape, acl.layer, acl.name.as_str()), (shape, Layer::Subnet, "nsg-apim-example"), "{name}");
            assert!(acl.gaps.is_empty(), "{name}");
            for rule in acl
                .rules
                .iter()
                .filter(|rule| rule.origin == Origin::User && !name.contains("cut") && !name.contains("azapi"))
            {
                assert!(value.pointer(&rule.pointer).is_some(), "{name}: {} leads nowhere", rule.pointer);
            }
        }
    }
}

#[test]
fn two_files_about_one_group_must_agree() {
    let one = az(&base()).to_string();
    let policy = load(&one).add_text("again.json", &arm().to_string()).expect("they agree");
    assert_eq!(policy.acls.len(), 1);
    let mut rules = base();
    rules[3]["ports"] = json!("433");
    let error =
        load(&one).add_text("other.json", &az(&rules).to_string()).map(|_| ()).expect_err("they differ").to_string();
    assert_eq!(
        error,
        "other.json: 'nsg-apim-example' differs from nsg.json, such as in rule 'allow-storage.1': name only the newer one"
    );
}

#[test]
fn a_rule_that_cannot_be_read_says_why() {
    let with = |key: &str, value: Value| {
        let mut group = az(&base());
        group["securityRules"][3][key] = value;
        let policy = load(&group.to_string());
        let rule =
            policy.acls[0].rules.iter().find(|rule| rule.pointer == "/securityRules/3").cloned().expect("the rule");
        rule.state
    };
    for (key, value, says) in [
        ("protocol", Value::Null, "it has no protocol"),
        ("protocol", json!("Sctp"), "its protocol is 'Sctp'"),
        ("access", json!("Maybe"), "its access is 'Maybe'"),
        ("direction", json!(5), "its direction is '5'"),
        ("priority", json!("high"), "its priority is 'high'"),
        ("destinationAddressPrefix", json!(""), "it has no destination address"),
        ("destinationPortRange", json!("443-80"), "its destination ports hold '443-80'"),
        ("destinationPortRange", json!("99999"), "its destination ports hold '99999'"),
        ("destinationPortRange", json!({}), "it has no destination ports"),
    ] {
        assert_eq!(with(key, value), RuleState::Unreadable(says.to_owned()));
    }
    assert_eq!(with("destinationPortRange", json!("80, 443")), RuleState::Ok);
    let mut plan = every_shape().remove("terraform plan").expect("a plan").1;
    plan["resource_changes"] = json!([{ "address": "azurerm_network_security_group.apim", "change": {
        "after_unknown": { "id": true, "security_rule": [{}, { "priority": true }, {}, {}, {}] } } }]);
    let policy = load(&plan.to_string());
    let unknown: Vec<&str> = policy.acls[0]
        .rules
        .iter()
        .filter(|rule| rule.state.name() == "unknown")
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(unknown, ["allow-probe"]);
}

#[test]
fn a_refusal_names_the_file_the_place_and_the_way_out() {
    let cut = json!({ "Name": "x", "SecurityRules": ["PSSecurityRule"] });
    for (text, says) in [
        ("", "nsg.json: the file is empty"),
        ("NAME  PRIORITY", "this is not JSON: az writes it with --output json"),
        ("WARNING: x\n{}", "the JSON begins at line 2"),
        ("{\"securityRules\": [", "the JSON ends too early at line 1, column 19"),
        ("{\"securityRules\": }", "the JSON is damaged at line 1"),
        ("{}", "holds no rules and no routes"),
        ("[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]", "holds no rules and no routes"),
        (&"[".repeat(1000), "the JSON is damaged"),
        (
            r#"{"error": {"code": "AuthorizationFailed", "message": "x"}}"#,
            "an error response from Azure (AuthorizationFailed)",
        ),
        (r#"{"records": [{"flowRecords": {}}]}"#, "this is a flow log"),
        (&cut.to_string(), "/SecurityRules/0: PowerShell cut the rules short"),
    ] {
        let said = refused(text);
        assert!(said.starts_with("nsg.json: ") && said.contains(says), "{text} says: {said}");
    }
    let page = json!({ "value": [arm()], "nextLink": "https://management.azure.com/x" });
    assert_eq!(load(&page.to_string()).acls[0].gaps, ["the file is one page of several"]);
}

/// Any cut and any changed byte of any form is read, or refused with a sentence.
#[test]
fn damage_never_ends_the_process() {
    let mut random = fastrand::Rng::with_seed(26);
    for (_, value) in every_shape().into_values() {
        let text = value.to_string();
        for _ in 0..60 {
            let mut bytes = text.clone().into_bytes();
            match random.u8(..3) {
                0 => bytes.truncate(random.usize(..bytes.len())),
                1 => (0..4).for_each(|_| {
                    let at = random.usize(..bytes.len());
                    bytes[at] = *random.choice(b"{}[]\":,0a").expect("a byte");
                }),
                _ => {
                    let (from, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
                    bytes.drain(from.min(to)..from.max(to));
                }
            }
            if let Ok(text) = String::from_utf8(bytes)
                && let Err(error) = Policy::default().add_text("nsg.json", &text)
            {
                assert!(error.to_string().starts_with("nsg.json: "), "{error}");
            }
        }
    }
}

#[test]
fn admin_rules_and_routes_are_read_in_both_forms() {
    let fields = json!({ "access": "AlwaysAllow", "direction": "Outbound", "priority": 5, "protocol": "Any", "displayName": "always-sql",
        "sources": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }], "destinations": [{ "addressPrefix": "Sql", "addressPrefixType": "ServiceTag" }],
        "sourcePortRanges": ["0-65535"], "destinationPortRanges": ["1433"] });
    let nested = json!({ "value": [{ "id": "/x/rules/always-sql", "kind": "Custom", "properties": fields.clone(), "ruleGroups": [] }], "skipToken": "" });
    let [one, other] = [json!([fields]), nested].map(|value| load(&value.to_string()));
    assert_eq!(plain(&one.acls[0]), plain(&other.acls[0]));
    assert_eq!((one.acls[0].layer, one.acls[0].rules.len()), (Layer::Admin, 1));
    let table = json!({ "name": "rt-apim", "disableBgpRoutePropagation": true, "routes": [
        { "name": "to-firewall", "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.20.255.4" },
        { "name": "management", "addressPrefix": "ApiManagement", "nextHopType": "Internet" }] });
    let effective = json!({ "value": [
        { "source": "User", "state": "Active", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "VirtualAppliance", "nextHopIpAddress": ["10.20.255.4"] },
        { "source": "Default", "state": "Invalid", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet", "nextHopIpAddress": [] }] });
    let (table, effective) = (load(&table.to_string()), load(&effective.to_string()));
    assert_eq!(table.routes.len(), 2);
    assert_eq!(table.routes[0].next_hop, effective.routes[0].next_hop);
    assert!(effective.routes[0].is_active && !effective.routes[1].is_active);
}
