//! Writes the subnets, interfaces and rules of an inspection as CSV, one row each. The first column tells the kinds apart.

use std::io::{self, Write};

use crate::inspection::{Inspection, Interface, NamedSubnet, Rule};
use crate::report::grid::Grid;
use crate::report::sink::Formulas;
use crate::time::Timestamp;

const COLUMNS: [&str; 14] = [
    "kind",
    "id",
    "name",
    "acl",
    "tuples",
    "denied_tuples",
    "first_flow",
    "last_flow",
    "blobs",
    "missing_hours",
    "local_addresses",
    "local_address_count",
    "looks_like_apim",
    "why",
];

pub fn write(inspection: &Inspection, formulas: Formulas, out: &mut dyn Write) -> io::Result<()> {
    let subnets = inspection.subnets_seen.iter().map(subnet);
    let rows = subnets.chain(inspection.interfaces.iter().map(interface)).chain(inspection.rules.iter().map(rule));
    let rows = rows.map(|cells| cells.into_row()).collect();
    Grid { columns: COLUMNS.to_vec(), rows }.write_csv(formulas, out)
}

/// Cells of a row. Those that a kind does not have stay empty.
#[derive(Default)]
struct Cells {
    kind: &'static str,
    id: String,
    name: String,
    acl: String,
    tuples: String,
    denied: String,
    times: [String; 2],
    blobs: String,
    missing_hours: String,
    local_addresses: String,
    local_address_count: String,
    looks_like_apim: String,
    why: String,
}

impl Cells {
    fn into_row(self) -> Vec<String> {
        let [first, last] = self.times;
        vec![
            self.kind.to_owned(),
            self.id,
            self.name,
            self.acl,
            self.tuples,
            self.denied,
            first,
            last,
            self.blobs,
            self.missing_hours,
            self.local_addresses,
            self.local_address_count,
            self.looks_like_apim,
            self.why,
        ]
    }
}

fn times(times: [Option<Timestamp>; 2]) -> [String; 2] {
    times.map(|time| time.map(|time| time.to_string()).unwrap_or_default())
}

fn subnet(NamedSubnet { seen, name }: &NamedSubnet) -> Cells {
    Cells {
        kind: "subnet",
        id: seen.cidr.clone(),
        name: name.clone().unwrap_or_default(),
        tuples: seen.flows.to_string(),
        local_address_count: seen.machines.to_string(),
        looks_like_apim: seen.looks_like_apim.to_string(),
        why: seen.why.clone().unwrap_or_default(),
        ..Cells::default()
    }
}

fn interface(interface: &Interface) -> Cells {
    let ips: Vec<&str> = interface.local_addresses.iter().map(|local| local.ip.as_str()).collect();
    // Addresses and names are in the same order. Without any name the cell is empty.
    let names =
        interface.local_addresses.iter().map(|local| local.name.as_deref().unwrap_or_default().replace(';', ","));
    let names: Vec<String> = names.collect();
    Cells {
        kind: "interface",
        id: interface.mac.clone(),
        name: if names.iter().all(String::is_empty) { String::new() } else { names.join(";") },
        tuples: interface.tuples.to_string(),
        denied: interface.denied_tuples.to_string(),
        times: times([interface.first_flow, interface.last_flow]),
        blobs: interface.blobs.to_string(),
        missing_hours: interface.missing_hours.len().to_string(),
        local_addresses: ips.join(";"),
        local_address_count: interface.local_address_count.to_string(),
        ..Cells::default()
    }
}

fn rule(rule: &Rule) -> Cells {
    Cells {
        kind: "rule",
        id: rule.rule.clone(),
        acl: rule.acl.clone(),
        tuples: rule.tuples.to_string(),
        denied: rule.denied_tuples.to_string(),
        times: times([rule.first_flow, rule.last_flow]),
        ..Cells::default()
    }
}
