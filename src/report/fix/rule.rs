//! Chooses the rules that a finding asks for, as values that every target writes. Knows no target.

use std::net::IpAddr;

use crate::findings::{Change, Finding, RuleDirection, RuleSpec};
use crate::flow::Vantage;
use crate::report::sink::visible;

/// Maximum length of a rule's name in Azure, in characters.
const LONGEST_NAME: usize = 80;
/// Maximum length of a rule's description in Azure, in characters.
const LONGEST_DESCRIPTION: usize = 140;

/// Value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A value that is valid in Azure.
    Known(String),
    /// A value that the user must give.
    Asked(Placeholder),
}

/// Place of an unknown value, which every target rejects until the user fills it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// Name of the variable or parameter: lower-case letters, digits and `_`.
    pub name: String,
    /// Words about the value: letters, digits, blanks, `.`, `_` and `-` of ASCII, so that no target needs to escape them.
    pub hint: String,
}

impl Value {
    fn asked(name: &str, hint: &str) -> Self {
        Self::Asked(Placeholder { name: name.to_owned(), hint: hint.to_owned() })
    }

    /// Returns whether the user must give the value.
    pub fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// Adds a number to the name of a placeholder.
    fn number(&mut self, number: usize) {
        if let Self::Asked(asked) = self {
            asked.name = format!("{}_{number}", asked.name);
        }
    }
}

/// Network security group to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Id of its subscription.
    pub subscription: Value,
    /// Name of its resource group.
    pub resource_group: Value,
    /// Its own name.
    pub nsg: Value,
}

/// Rule to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name of the rule, distinct from the other rules of its group.
    pub name: Value,
    /// Finding and purpose, without control characters.
    pub description: String,
    /// Never [`RuleDirection::Both`].
    pub direction: RuleDirection,
    /// Protocol as Azure spells it, such as `Tcp`.
    pub protocol: &'static str,
    /// Source: one tag, one placeholder, or any number of addresses; never empty.
    pub source: Vec<Value>,
    /// Destination, with the same rules as the source.
    pub destination: Vec<Value>,
    /// Destination ports and ranges, or `*` alone; never empty.
    pub ports: Vec<String>,
    /// Priority of the rule.
    pub priority: Value,
    /// Priority that the rule has now, if the change only moves an existing rule.
    pub moved_from: Option<Value>,
}

impl Rule {
    /// Returns the direction as Azure spells it.
    pub fn direction(&self) -> &'static str {
        match self.direction {
            RuleDirection::Inbound => "Inbound",
            RuleDirection::Outbound | RuleDirection::Both => "Outbound",
        }
    }

    /// Returns the values that may be placeholders.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        [&self.name, &self.priority].into_iter().chain(&self.source).chain(&self.destination)
    }

    /// Returns whether both rules certainly allow the same under the same name.
    pub fn is_twin(&self, other: &Self) -> bool {
        let of = |rule: &Self| (rule.direction, rule.protocol, rule.source.clone(), rule.destination.clone());
        let is_certain = [&self.name].into_iter().chain(&self.source).chain(&self.destination).all(|v| !v.is_asked());
        is_certain && self.name == other.name && of(self) == of(other) && self.ports == other.ports
    }

    /// Adds a number to the name and to placeholders, so that they differ from those of other rules.
    pub fn number(&mut self, number: usize) {
        let Self { name, priority, source, destination, .. } = self;
        [name, priority].into_iter().chain(source).chain(destination).for_each(|value| value.number(number));
    }

    /// Gives the rule another name with a number.
    pub fn rename(&mut self, number: usize) {
        if let Value::Known(name) = &self.name {
            self.name = named(format!("{name}-{number}"));
        }
    }
}

/// Returns the rules that the finding asks for, or the reason in words why there are none.
pub fn rules(finding: &Finding) -> Result<Vec<Rule>, String> {
    let spec = match &finding.fix.change {
        Change::AllowRule(spec) => spec,
        _ if finding.fix.note.is_empty() => return Err("There is no change to make.".to_owned()),
        _ => return Err(finding.fix.note.clone()),
    };
    let ports = ports(spec)?;
    let mut names: Vec<&str> = spec.protocol.split('+').collect();
    // The refused protocol comes first, because its rule helps at once.
    names.sort_by_key(|name| !finding.subject.protocol.split('+').any(|refused| refused == *name));
    let protocols = names.into_iter().map(|name| protocol(name, &ports)).collect::<Result<Vec<_>, _>>()?;
    let directions = match spec.direction {
        RuleDirection::Both => vec![RuleDirection::Inbound, RuleDirection::Outbound],
        one => vec![one],
    };
    let (source, destination) =
        (addresses(&spec.source, "source", finding), addresses(&spec.destination, "destination", finding));
    if has_both_families(&source, &destination) {
        return Err("One rule cannot hold addresses of IPv4 and IPv6: add one rule for each.".to_owned());
    }
    let concern = finding.subject.requirement.as_deref().unwrap_or(&finding.identity.id);
    let shows_direction = directions.len() > 1 || needs_direction(finding, spec, concern);
    let mut rules = Vec::new();
    if let Some(existing) = &spec.existing_rule {
        let first = directions.first().copied().unwrap_or(spec.direction);
        return Ok(vec![moved(finding, spec, existing, first, protocols.first().copied().unwrap_or("*"))]);
    }
    for &direction in &directions {
        for &protocol in &protocols {
            let mut rule = Rule {
                name: Value::Known(String::new()),
                description: description(finding),
                direction,
                protocol,
                source: source.clone(),
                destination: destination.clone(),
                ports: ports.clone(),
                priority: priority(finding, spec, rules.len()),
                moved_from: None,
            };
            let mut name = format!("Allow-{concern}");
            for part in [(shows_direction, rule.direction()), (protocols.len() > 1, protocol)] {
                if let (true, part) = part {
                    name = format!("{name}-{part}");
                }
            }
            rule.name = named(name);
            rules.push(rule);
        }
    }
    Ok(rules)
}

/// Returns whether the name must hold the direction, because another finding of the same requirement may need a rule of
/// the other direction in the same group.
fn needs_direction(finding: &Finding, spec: &RuleSpec, concern: &str) -> bool {
    let says = if spec.direction == RuleDirection::Inbound { "IN" } else { "OUT" };
    let is_said = concern.split('-').any(|part| part == says);
    let is_ours = finding.subject.requirement.is_some();
    is_ours && !is_said && (finding.subject.vantage == Vantage::Far || spec.source == spec.destination)
}

fn ports(spec: &RuleSpec) -> Result<Vec<String>, String> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    let is_range = |text: &str| text.split_once('-').is_some_and(|(low, high)| is_number(low) && is_number(high));
    let ports = spec.ports.iter().map(|port| port.trim()).filter(|port| !port.starts_with('['));
    let ports: Vec<String> = ports.map(str::to_owned).collect();
    match ports.iter().find(|port| *port != "*" && !is_number(port) && !is_range(port)) {
        Some(port) => Err(format!("'{port}' is not a port, so there is no rule to write.")),
        None if ports.is_empty() => Err("No port is known, so there is no rule to write.".to_owned()),
        None if ports.iter().any(|port| port == "*") => Ok(vec!["*".to_owned()]),
        None => Ok(ports),
    }
}

/// Returns the protocol as Azure spells it. Azure knows others by no name that a rule may have with ports.
fn protocol(name: &str, ports: &[String]) -> Result<&'static str, String> {
    match name {
        "TCP" => Ok("Tcp"),
        "UDP" => Ok("Udp"),
        "1" if ports == ["*"] => Ok("Icmp"),
        other => Err(format!("A rule for protocol {other} must be written by hand.")),
    }
}

/// Returns the change of an existing rule that allows the flows and stands behind the one that refuses them.
fn moved(finding: &Finding, spec: &RuleSpec, existing: &str, direction: RuleDirection, protocol: &'static str) -> Rule {
    let number = |number: u16| Value::Known(number.to_string());
    let from = spec.existing_priority.map(number);
    Rule {
        name: named(existing.to_owned()),
        description: description(finding),
        direction,
        protocol,
        source: addresses(&spec.source, "source", finding),
        destination: addresses(&spec.destination, "destination", finding),
        ports: spec.ports.clone(),
        priority: priority(finding, spec, 0),
        moved_from: Some(from.unwrap_or_else(|| Value::asked("old_priority", "the priority that the rule had"))),
    }
}

/// Returns the priority of the rule number `nr` of a fix. The rules of a fix have consecutive ones.
fn priority(finding: &Finding, spec: &RuleSpec, nr: usize) -> Value {
    let refusing = finding.blame.rule_name.as_deref().filter(|name| is_rule_name(name)).unwrap_or("the refusing rule");
    match spec.priority {
        Some(priority) => Value::Known((usize::from(priority) + nr).to_string()),
        None => Value::asked("priority", &format!("a free number below that of {refusing}")),
    }
}

/// Returns a source or destination. If any part is invalid, all of it is one placeholder.
fn addresses(text: &str, end: &str, finding: &Finding) -> Vec<Value> {
    // The port table calls the instance's own subnets `subnet`, which is no tag of Azure.
    let text = if text == "subnet" { finding.subject.subnet.as_str() } else { text };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_valid = match parts.as_slice() {
        [one] => *one == "*" || is_tag(one) || family(one).is_some(),
        many => many.iter().all(|part| family(part).is_some()),
    };
    match is_valid {
        true => parts.into_iter().map(|part| Value::Known(part.to_owned())).collect(),
        false => vec![Value::asked(&format!("{end}_address"), "a service tag or an address prefix")],
    }
}

fn is_tag(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.len() <= LONGEST_NAME
        && text.chars().all(is_letter)
}

/// Returns whether an address or prefix is IPv6, or `None` if the text is neither.
fn family(text: &str) -> Option<bool> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let longest: u8 = if address.is_ipv6() { 128 } else { 32 };
    let is_valid = |length: &str| {
        length.bytes().all(|byte| byte.is_ascii_digit()) && length.parse::<u8>().is_ok_and(|length| length <= longest)
    };
    length.is_none_or(is_valid).then(|| address.is_ipv6())
}

fn has_both_families(source: &[Value], destination: &[Value]) -> bool {
    let families = source.iter().chain(destination).filter_map(|value| match value {
        Value::Known(text) => family(text),
        Value::Asked(_) => None,
    });
    let families: Vec<bool> = families.collect();
    families.contains(&true) && families.contains(&false)
}

fn named(name: String) -> Value {
    match is_rule_name(&name) {
        true => Value::Known(name),
        false => Value::asked("rule_name", "a name for the rule"),
    }
}

fn is_rule_name(name: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.len() <= LONGEST_NAME
        && name.starts_with(is_word)
        && name.ends_with(is_word)
        && name.chars().all(|letter| is_word(letter) || letter == '.' || letter == '-')
}

fn description(finding: &Finding) -> String {
    let text = format!("flowgap {}: {}", finding.identity.id, finding.subject.purpose);
    let text = visible(&text).replace('\u{fffd}', " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(LONGEST_DESCRIPTION).collect::<String>().trim_end().to_owned()
}

/// Returns the group that an ACL of the log names: a resource id in any case, or a name alone. A GUID names none.
pub fn place(acl: Option<&str>) -> Place {
    let acl = acl.unwrap_or_default();
    let parts: Vec<&str> = acl.split('/').filter(|part| !part.is_empty()).collect();
    let after = |key: &str| {
        let at = parts.iter().position(|part| part.eq_ignore_ascii_case(key))?;
        parts.get(at + 1).copied()
    };
    let nsg = match parts.as_slice() {
        [name] if !acl.contains('/') => Some(*name),
        _ => after("networkSecurityGroups"),
    };
    let of_nsg = |key: &str| nsg.and_then(|_| after(key));
    let known = |text: Option<&str>, is_valid: fn(&str) -> bool, name: &str, hint: &str| match text {
        Some(text) if is_valid(text) => Value::Known(text.to_owned()),
        _ => Value::asked(name, hint),
    };
    Place {
        subscription: known(
            of_nsg("subscriptions"),
            is_guid,
            "subscription",
            "the subscription of the network security group",
        ),
        resource_group: known(
            of_nsg("resourceGroups"),
            is_resource_group,
            "resource_group",
            "the resource group of the network security group",
        ),
        nsg: known(
            nsg,
            |name| is_rule_name(name) && !is_guid(name),
            "nsg_name",
            "the name of the network security group",
        ),
    }
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).collect::<Vec<_>>();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn is_resource_group(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || "_-.()".contains(letter);
    name.chars().count() <= 90
        && name.chars().all(is_letter)
        && !name.starts_with('-')
        && !name.ends_with('.')
        && visible(name) == name
}
