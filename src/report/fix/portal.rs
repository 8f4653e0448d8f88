//! Writes rules as the values to choose in the portal.

use super::rule::{Place, Rule, Value};
use crate::report::sink::padded;

/// Returns the values of each rule, with where to enter them.
pub fn create(place: &Place, rules: &[Rule]) -> String {
    let tables = rules.iter().map(|rule| {
        let values = values(rule).into_iter().map(|(name, value)| format!("  {} {value}\n", padded(name, 24)));
        format!("{}, Add:\n{}", page(place, rule), values.collect::<String>())
    });
    tables.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// Returns where to delete the rules.
pub fn delete(place: &Place, rules: &[Rule]) -> String {
    let lines = rules.iter().map(|rule| format!("{}: delete {}", page(place, rule), text(&rule.name)));
    lines.collect::<Vec<_>>().join("\n")
}

fn page(place: &Place, rule: &Rule) -> String {
    format!("{}, {} security rules", text(&place.nsg), rule.direction())
}

fn values(rule: &Rule) -> Vec<(&'static str, String)> {
    let [source, source_value] = end(&rule.source, ["Source", "Source service tag", "Source IP addresses"]);
    let [destination, destination_value] =
        end(&rule.destination, ["Destination", "Destination service tag", "Destination IP addresses"]);
    let own = |name, value: &str| Some((name, value.to_owned()));
    let values = [
        source,
        source_value,
        own("Source port ranges", "*"),
        destination,
        destination_value,
        own("Service", "Custom"),
        own("Destination port ranges", &rule.ports.join(",")),
        own("Protocol", &rule.protocol.to_uppercase()),
        own("Action", "Allow"),
        own("Priority", &text(&rule.priority)),
        own("Name", &text(&rule.name)),
        own("Description", &rule.description),
    ];
    values.into_iter().flatten().collect()
}

/// Returns the kind of a source or destination, and its value.
fn end(values: &[Value], [kind, tag, addresses]: [&'static str; 3]) -> [Option<(&'static str, String)>; 2] {
    let joined = values.iter().map(text).collect::<Vec<_>>().join(",");
    let is_address = joined.starts_with(|first: char| first.is_ascii_digit()) || joined.contains(':');
    match joined.as_str() {
        "*" => [Some((kind, "Any".to_owned())), None],
        _ if is_address => [Some((kind, "IP Addresses".to_owned())), Some((addresses, joined))],
        _ => [Some((kind, "Service Tag".to_owned())), Some((tag, joined))],
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Known(text) => text.clone(),
        Value::Asked(asked) => format!("({})", asked.hint),
    }
}
