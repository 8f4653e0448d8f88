//! Writes rules as resources of Terraform's provider `azurerm`.

use super::rule::{Place, Rule, Value};
use super::{asked, labels};
use crate::report::sink::padded;

/// Returns variables and resources.
pub fn create(place: &Place, rules: &[Rule]) -> String {
    let of_rules = rules.iter().flat_map(Rule::values);
    let mut blocks = Vec::new();
    for placeholder in asked([&place.resource_group, &place.nsg].into_iter().chain(of_rules)) {
        let kind = if placeholder.name.starts_with("priority") { "number" } else { "string" };
        let (name, hint) = (&placeholder.name, quoted(&placeholder.hint));
        blocks.push(format!("variable \"{name}\" {{\n  description = {hint}\n  type        = {kind}\n}}"));
    }
    blocks.extend(labels(rules).iter().zip(rules).map(|(label, rule)| block(label, place, rule)));
    blocks.join("\n\n")
}

/// Returns the commands that destroy the rules.
pub fn delete(rules: &[Rule]) -> Vec<String> {
    let target = |label: String| format!("terraform destroy -target=azurerm_network_security_rule.{label}");
    labels(rules).into_iter().map(target).collect()
}

fn block(label: &str, place: &Place, rule: &Rule) -> String {
    let texts = |values: &[Value]| values.iter().map(text).collect::<Vec<_>>();
    let pair = |name: &str, plural: &str, values: Vec<String>| match values.as_slice() {
        [one] => (name.to_owned(), one.clone()),
        _ => (format!("{name}{plural}"), format!("[{}]", values.join(", "))),
    };
    let own = |name: &str, value: String| (name.to_owned(), value);
    let arguments = [
        own("name", text(&rule.name)),
        own("description", quoted(&rule.description)),
        own("resource_group_name", text(&place.resource_group)),
        own("network_security_group_name", text(&place.nsg)),
        own("priority", number_of(&rule.priority)),
        own("direction", quoted(rule.direction())),
        own("access", quoted("Allow")),
        own("protocol", quoted(rule.protocol)),
        pair("source_address_prefix", "es", texts(&rule.source)),
        own("source_port_range", quoted("*")),
        pair("destination_address_prefix", "es", texts(&rule.destination)),
        pair("destination_port_range", "s", rule.ports.iter().map(|port| quoted(port)).collect()),
    ];
    let width = arguments.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let arguments: String =
        arguments.iter().map(|(name, value)| format!("  {} = {value}\n", padded(name, width))).collect();
    format!("resource \"azurerm_network_security_rule\" \"{}\" {{\n{arguments}}}", label)
}

fn text(value: &Value) -> String {
    match value {
        Value::Known(text) => quoted(text),
        Value::Asked(asked) => format!("var.{}", asked.name),
    }
}

fn number_of(value: &Value) -> String {
    match value {
        Value::Known(number) => number.clone(),
        Value::Asked(asked) => format!("var.{}", asked.name),
    }
}

/// Writes a string of Terraform. Control characters never reach it.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace("${", "$${").replace("%{", "%%{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted(r#"a "b" \ ${c} %{d} $e"#), r#""a \"b\" \\ $${c} %%{d} $e""#);
    }
}
