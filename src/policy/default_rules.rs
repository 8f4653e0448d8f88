//! The six rules that every network security group ends with.

use std::sync::LazyLock;

use serde::Deserialize;

use super::address::Address;
use super::model::{Access, Origin, Rule, RuleProtocol, RuleState};
use crate::flow::Direction;
use crate::net::PortSet;

const CSV: &str = include_str!("default_rules.csv");

#[derive(Deserialize)]
struct Row {
    name: String,
    priority: u32,
    direction: Direction,
    access: Access,
    source: String,
    destination: String,
}

/// The rules, as they are where a file leaves them out.
pub static DEFAULT_RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rows = csv::Reader::from_reader(CSV.as_bytes()).into_deserialize();
    rows.map(|row: csv::Result<Row>| rule(row.expect("a test reads every row"))).collect()
});

fn rule(row: Row) -> Rule {
    Rule {
        name: row.name,
        origin: Origin::Synthesised,
        priority: Some(row.priority),
        direction: Some(row.direction),
        access: Some(row.access),
        protocol: Some(RuleProtocol::Any),
        source: vec![Address::parse(&row.source)],
        destination: vec![Address::parse(&row.destination)],
        source_ports: PortSet::all(),
        destination_ports: PortSet::all(),
        expanded_source: None,
        expanded_destination: None,
        description: String::new(),
        state: RuleState::Ok,
        pointer: String::new(),
    }
}

/// Returns whether Azure adds a rule of this name and priority to every group.
pub fn is_default(name: &str) -> bool {
    DEFAULT_RULES.iter().any(|rule| rule.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_three_in_each_direction() {
        for direction in Direction::ALL {
            assert_eq!(DEFAULT_RULES.iter().filter(|rule| rule.is_for(direction)).count(), 3);
        }
        assert!(is_default("allowVNetInbound") && !is_default("allow-sql"));
    }
}
