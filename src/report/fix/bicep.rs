//! Writes rules as a Bicep file that is deployed to the resource group of the network security group.

use super::rule::{Place, Rule, Value};
use super::{asked, labels};

/// Returns the file.
pub fn create(place: &Place, rules: &[Rule]) -> String {
    let mut blocks = Vec::new();
    let of_rules = rules.iter().flat_map(Rule::values);
    for placeholder in asked([&place.nsg].into_iter().chain(of_rules)) {
        let (is_number, limits) = match placeholder.name.starts_with("priority") {
            true => ("int", "@minValue(100)\n@maxValue(4096)\n"),
            false => ("string", ""),
        };
        let (name, hint) = (&placeholder.name, quoted(&placeholder.hint));
        blocks.push(format!("@description({hint})\n{limits}param {name} {is_number}"));
    }
    blocks.push(format!(
        "resource nsg 'Microsoft.Network/networkSecurityGroups@2025-05-01' existing = {{\n  name: {}\n}}",
        text(&place.nsg)
    ));
    blocks.extend(labels(rules).iter().zip(rules).map(|(label, rule)| block(label, rule)));
    blocks.join("\n\n")
}

fn block(label: &str, rule: &Rule) -> String {
    let list = |values: Vec<String>| {
        format!("[\n{}\n    ]", values.iter().map(|v| format!("      {v}")).collect::<Vec<_>>().join("\n"))
    };
    let pair = |name: &str, plural: &str, values: Vec<String>| match values.as_slice() {
        [one] => format!("{name}: {one}"),
        _ => format!("{name}{plural}: {}", list(values)),
    };
    let texts = |values: &[Value]| values.iter().map(text).collect::<Vec<_>>();
    let properties = [
        format!("description: {}", quoted(&rule.description)),
        "access: 'Allow'".to_owned(),
        format!("direction: '{}'", rule.direction()),
        format!("priority: {}", number_of(&rule.priority)),
        format!("protocol: '{}'", rule.protocol),
        pair("sourceAddressPrefix", "es", texts(&rule.source)),
        "sourcePortRange: '*'".to_owned(),
        pair("destinationAddressPrefix", "es", texts(&rule.destination)),
        pair("destinationPortRange", "s", rule.ports.iter().map(|port| quoted(port)).collect()),
    ];
    let properties: String = properties.iter().map(|property| format!("    {property}\n")).collect();
    format!(
        "resource {} 'Microsoft.Network/networkSecurityGroups/securityRules@2025-05-01' = {{\n  parent: nsg\n  name: {}\n  properties: {{\n{properties}  }}\n}}",
        label,
        text(&rule.name)
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::Known(text) => quoted(text),
        Value::Asked(asked) => asked.name.clone(),
    }
}

fn number_of(value: &Value) -> &str {
    match value {
        Value::Known(number) => number,
        Value::Asked(asked) => &asked.name,
    }
}

/// Writes a string of Bicep. Control characters never reach it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace("${", "\\${"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted(r"it's ${x} \ $y"), r"'it\'s \${x} \\ $y'");
    }
}
