//! Reads one rule, in whatever form a tool writes it. A rule that cannot be read in full is kept and says why.

use super::node::Node;
use super::template::Names;
use crate::flow::Direction;
use crate::net::{IpSet, PortSet};
use crate::policy::address::Address;
use crate::policy::model::{Access, Origin, Rule, RuleProtocol, RuleState};

/// Maximum length of text from a file in a message.
const QUOTED: usize = 60;

/// Collects what a rule lacks.
#[derive(Default)]
struct Faults {
    unknown: Vec<String>,
    unreadable: Vec<String>,
}

/// Returns whether an object looks like a rule.
pub fn is_rule(node: &Node) -> bool {
    let body = body(node);
    body.has("access") && body.has("direction") && (body.has("priority") || body.has("protocol"))
}

/// Returns the object that has the fields of a rule: `properties`, or the node itself.
pub fn body<'a>(node: &Node<'a>) -> Node<'a> {
    node.get("properties").filter(|body| body.object().is_some()).unwrap_or_else(|| node.clone())
}

/// Reads a rule of a network security group, or an effective one. `names` resolves the expressions of a template.
pub fn read(node: &Node, origin: Origin, names: &Names) -> Rule {
    let body = body(node);
    let mut faults = Faults::default();
    let given = node.text_of("name").or_else(|| last_part(&node.text_of("id")?));
    let written = given.map(|name| names.resolve(&name)).unwrap_or_default();
    let (name, prefixed) = bare_name(names.leaf(&written));
    let origin = prefixed.unwrap_or(origin);
    let source = addresses(&body, "source", names, &mut faults);
    let destination = addresses(&body, "destination", names, &mut faults);
    let source_ports = ports(&body, "source", names, &mut faults);
    let destination_ports = ports(&body, "destination", names, &mut faults);
    let mut rule = rule_of(&body, name, origin, names, &mut faults);
    let [expanded_source, expanded_destination] = ["source", "destination"].map(|end| expanded(&body, end));
    (rule.source, rule.destination) = (source, destination);
    (rule.source_ports, rule.destination_ports) = (source_ports, destination_ports);
    (rule.expanded_source, rule.expanded_destination) = (expanded_source, expanded_destination);
    finish(rule, faults, node)
}

/// Reads an admin rule, whose two ends are lists of typed prefixes.
pub fn read_admin(node: &Node) -> Rule {
    let body = body(node);
    let mut faults = Faults::default();
    let names = Names::default();
    let id_name = || last_part(&node.text_of("id")?);
    let name = body.text_of("displayname").or_else(|| node.text_of("name")).or_else(id_name).unwrap_or_default();
    let ends = ["sources", "destinations"].map(|key| {
        let found: Vec<Address> = body.list(key).iter().filter_map(admin_address).collect();
        if found.is_empty() {
            faults.unreadable.push(format!("it has no {key}"));
        }
        found
    });
    let [source_ports, destination_ports] = ["source", "destination"].map(|end| ports(&body, end, &names, &mut faults));
    let mut rule = rule_of(&body, name, Origin::Admin, &names, &mut faults);
    [rule.source, rule.destination] = ends;
    (rule.source_ports, rule.destination_ports) = (source_ports, destination_ports);
    finish(rule, faults, node)
}

/// Returns one end of an admin rule. A type that is not known makes it unknown.
fn admin_address(node: &Node) -> Option<Address> {
    let text = node.text_of("addressprefix").or_else(|| node.text())?;
    let kind = node.text_of("addressprefixtype").unwrap_or_default().to_ascii_lowercase();
    Some(match kind.as_str() {
        "" | "ipprefix" | "servicetag" => Address::parse(&text),
        _ => Address::Unknown(text),
    })
}

/// Returns a rule with the fields that every form has.
fn rule_of(body: &Node, name: String, origin: Origin, names: &Names, faults: &mut Faults) -> Rule {
    let mut field = |key: &str| field(body, key, names, faults);
    let (priority, direction) = (field("priority"), field("direction"));
    let (access, protocol) = (field("access"), field("protocol"));
    let mut known = |key: &str, text: &Option<String>, is_known: bool| {
        if let (Some(text), false) = (text, is_known) {
            faults.unreadable.push(format!("its {key} is '{}'", quoted(text)));
        }
    };
    let number = priority.as_ref().and_then(|text| priority_of(text));
    known("priority", &priority, number.is_some());
    let way = direction.as_ref().and_then(|text| Direction::from_name(&text.to_ascii_lowercase()));
    known("direction", &direction, way.is_some());
    let decision = access.as_ref().and_then(|text| access_of(text));
    known("access", &access, decision.is_some());
    let carried = protocol.as_ref().and_then(|text| protocol_of(text));
    known("protocol", &protocol, carried.is_some());
    Rule {
        name,
        origin,
        priority: number,
        direction: way,
        access: decision,
        protocol: carried,
        source: Vec::new(),
        destination: Vec::new(),
        source_ports: PortSet::all(),
        destination_ports: PortSet::all(),
        expanded_source: None,
        expanded_destination: None,
        description: body.text_of("description").unwrap_or_default(),
        state: RuleState::Ok,
        pointer: String::new(),
    }
}

fn finish(mut rule: Rule, faults: Faults, node: &Node) -> Rule {
    rule.pointer = node.pointer().to_owned();
    rule.state = if !faults.unreadable.is_empty() {
        RuleState::Unreadable(faults.unreadable.join("; "))
    } else if !faults.unknown.is_empty() {
        RuleState::Unknown(faults.unknown.join("; "))
    } else {
        RuleState::Ok
    };
    rule
}

/// Returns the text of a field that every rule has.
fn field(body: &Node, key: &str, names: &Names, faults: &mut Faults) -> Option<String> {
    let Some(text) = body.text_of(key) else {
        faults.unreadable.push(format!("it has no {key}"));
        return None;
    };
    let text = names.resolve(&text);
    match is_expression(&text) {
        true => {
            faults.unknown.push(format!("its {key} is computed: '{}'", quoted(&text)));
            None
        }
        false => Some(text),
    }
}

/// Reads the addresses of one end: the singular, the plural, and the groups together.
fn addresses(body: &Node, end: &str, names: &Names, faults: &mut Faults) -> Vec<Address> {
    let keys = [format!("{end}addressprefix"), format!("{end}addressprefixes")];
    let mut found: Vec<Address> = Vec::new();
    let written = keys.iter().flat_map(|key| body.texts(key));
    for text in written.flat_map(|text| names.resolve_list(&text)) {
        if is_expression(&text) {
            faults.unknown.push(format!("its {end} is computed: '{}'", quoted(&text)));
            found.push(Address::Unknown(text));
            continue;
        }
        // The portal separates addresses by commas.
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            found.push(Address::parse(part));
        }
    }
    let groups = [format!("{end}applicationsecuritygroups"), format!("{end}applicationsecuritygroupids")];
    for group in groups.iter().flat_map(|key| body.list(key)) {
        let id = group.text_of("id").or_else(|| group.text()).unwrap_or_default();
        found.push(Address::Group(id.to_ascii_lowercase()));
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        faults.unreadable.push(format!("it has no {end} address"));
    }
    found
}

/// Reads the ports of one end.
fn ports(body: &Node, end: &str, names: &Names, faults: &mut Faults) -> PortSet {
    let keys = [format!("{end}portrange"), format!("{end}portranges")];
    let written: Vec<String> = keys.iter().flat_map(|key| body.texts(key)).collect();
    if written.is_empty() {
        faults.unreadable.push(format!("it has no {end} ports"));
        return PortSet::all();
    }
    let (mut ranges, mut is_whole) = (Vec::new(), true);
    for text in written.iter().flat_map(|text| names.resolve_list(text)) {
        if is_expression(&text) {
            faults.unknown.push(format!("its {end} ports are computed: '{}'", quoted(&text)));
            is_whole = false;
            continue;
        }
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let all = part.eq_ignore_ascii_case("any").then(PortSet::all);
            match all.or_else(|| part.parse::<PortSet>().ok().filter(|_| !part.contains('['))) {
                Some(set) => ranges.extend_from_slice(set.ranges()),
                None => {
                    faults.unreadable.push(format!("its {end} ports hold '{}'", quoted(part)));
                    is_whole = false;
                }
            }
        }
    }
    // Ports that cannot be read may be any.
    if is_whole { PortSet::from_ranges(ranges) } else { PortSet::all() }
}

/// Reads the addresses that an effective rule stood for; `None` if it does not say.
fn expanded(body: &Node, end: &str) -> Option<IpSet> {
    let blocks = body.texts(&format!("expanded{end}addressprefix"));
    let blocks = blocks.iter().map(|text| match Address::parse(text) {
        Address::Block(block) => Some(block),
        _ => None,
    });
    blocks.collect::<Option<Vec<_>>>().filter(|blocks| !blocks.is_empty()).map(|blocks| blocks.into_iter().collect())
}

fn priority_of(text: &str) -> Option<u32> {
    // Some tools write every number with a fraction.
    let whole = text.strip_suffix(".0").unwrap_or(text);
    whole.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok()).flatten()
}

fn access_of(text: &str) -> Option<Access> {
    match text.to_ascii_lowercase().as_str() {
        "allow" => Some(Access::Allow),
        "deny" => Some(Access::Deny),
        "alwaysallow" => Some(Access::AlwaysAllow),
        _ => None,
    }
}

fn protocol_of(text: &str) -> Option<RuleProtocol> {
    match text.to_ascii_lowercase().as_str() {
        "*" | "all" | "any" => Some(RuleProtocol::Any),
        "icmpv6" => Some(RuleProtocol::Icmp),
        name => RuleProtocol::from_name(name).filter(|protocol| *protocol != RuleProtocol::Any),
    }
}

/// Returns the name without the prefix of effective rules and logs, and the origin that the prefix tells.
fn bare_name(name: &str) -> (String, Option<Origin>) {
    let prefixes = [
        ("securityRules/", Origin::User),
        ("defaultSecurityRules/", Origin::Default),
        ("UserRule_", Origin::User),
        ("DefaultRule_", Origin::Default),
    ];
    let found = prefixes.into_iter().find_map(|(prefix, origin)| {
        let (start, rest) = name.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| (rest.to_owned(), Some(origin)))
    });
    found.unwrap_or_else(|| (name.to_owned(), None))
}

/// Returns the last part of a resource id.
pub fn last_part(id: &str) -> Option<String> {
    id.rsplit('/').find(|part| !part.is_empty()).map(str::to_owned)
}

/// Returns whether a text is an expression of a template that could not be resolved.
fn is_expression(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']') && !text.starts_with("[[")
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
