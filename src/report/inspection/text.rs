//! Prints an inspection as text of 80 columns.

use std::io::{self, Write};

use super::{addresses, subnet};
use crate::findings::{counted, number, short_acl};
use crate::inspection::{Inspection, Interface, NamedSubnet, Rule};
use crate::remedy::Remedy;
use crate::report::Clock;
use crate::report::grid::Grid;
use crate::report::layout::{problems, wrapped};
use crate::report::sink::{byte_count, shortened, visible};
use crate::time::Timestamp;

/// Number of addresses that are shown per interface.
const SHOWN: usize = 2;

/// Prints text with the first `top` interfaces and rules.
pub fn write(inspection: &Inspection, top: usize, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let input = &inspection.input;
    let packed = match input.packed_blobs {
        0 => String::new(),
        n => format!(", {n} compressed, {} unpacked", byte_count(input.unpacked_bytes)),
    };
    let span = match (input.first_flow, input.last_flow) {
        (Some(first), Some(last)) => format!(" from {} to {}", clock.minute(first), clock.minute(last)),
        _ => String::new(),
    };
    let versions =
        [("VNet v4", input.versions.vnet4), ("NSG v2", input.versions.nsg2), ("NSG v1", input.versions.nsg1)];
    let versions: Vec<String> =
        versions.iter().filter(|v| v.1 > 0).map(|(name, n)| format!("{} {name}", number(*n))).collect();
    let versions = if versions.is_empty() { String::new() } else { format!(" ({})", versions.join(", ")) };
    let records = [
        (input.split_records, "split"),
        (input.unordered_records, "out of order"),
        (input.slow_records, "decoded on the slow path"),
        (input.bad_records, "bad"),
    ];
    let records: Vec<String> =
        records.iter().filter(|r| r.0 > 0).map(|(n, what)| format!("{} {what}", number(*n))).collect();
    let records = if records.is_empty() { String::new() } else { format!(" ({})", records.join(", ")) };
    let others = match input.other_files {
        0 => String::new(),
        n => format!(", {} with other names skipped", counted(n as i64, "file")),
    };
    for line in [
        format!("{}, {}{packed}{others}", counted(input.blobs as i64, "blob"), byte_count(input.bytes)),
        format!("{}{records}", counted(input.records as i64, "record")),
        format!(
            "{}{span}{versions}, {} denied",
            counted(input.tuples as i64, "flow tuple"),
            number(input.denied_tuples)
        ),
        format!(
            "{}, {}, {}",
            counted(inspection.interface_count as i64, "interface"),
            counted(inspection.acls() as i64, "ACL"),
            counted(inspection.rule_count as i64, "rule")
        ),
    ] {
        wrapped(out, "", "  ", &line)?;
    }
    if let Some(storage) = &inspection.storage {
        let line = format!(
            "storage: {}, {} listed, {} skipped, {} to read; {} ({} retries), {}",
            counted(storage.list_calls as i64, "list call"),
            counted(storage.blobs_listed as i64, "blob"),
            storage.blobs_skipped,
            storage.blobs_read,
            counted(storage.requests as i64, "request"),
            storage.retries,
            byte_count(storage.bytes),
        );
        wrapped(out, "", "  ", &line)?;
    }
    if !inspection.meaning.is_empty() {
        writeln!(out, "\nWhat it means")?;
        for sentence in &inspection.meaning {
            wrapped(out, "  - ", "    ", &clock.prose(sentence))?;
        }
    }
    if !inspection.subnets_seen.is_empty() {
        writeln!(out, "\nSubnets")?;
        let shown = inspection.subnets_seen.iter().take(top).map(|seen| subnet(seen, number)).collect();
        Grid { columns: vec!["subnet", "machines", "tuples", "API Management?"], rows: shown }.write_text(out)?;
        more(inspection.subnets_seen.len(), top, out)?;
        for NamedSubnet { seen, .. } in inspection.subnets_seen.iter().take(top) {
            if let Some(why) = &seen.why {
                wrapped(out, "  ", "    ", &format!("{}: {why}", seen.cidr))?;
            }
        }
    }
    if !inspection.interfaces.is_empty() {
        writeln!(out, "\nInterfaces")?;
        let shown = inspection.interfaces.iter().take(top).map(|seen| interface(seen, clock)).collect();
        let (first, last) = match clock.is_utc() {
            true => ("first flow (UTC)", "last flow (UTC)"),
            false => ("first flow", "last flow"),
        };
        let columns = vec!["MAC", "tuples", "denied", first, last, "addresses"];
        Grid { columns, rows: shown }.write_text(out)?;
        more(inspection.interfaces.len(), top, out)?;
    }
    if !inspection.rules.is_empty() {
        writeln!(out, "\nRules")?;
        let shown = inspection.rules.iter().take(top).map(rule).collect();
        Grid { columns: vec!["tuples", "denied", "rule", "ACL"], rows: shown }.write_text(out)?;
        more(inspection.rules.len(), top, out)?;
    }
    if !input.foreign.is_empty() {
        writeln!(out, "\nOther logs, skipped")?;
        for log in &input.foreign {
            let line = format!("{} of {}", counted(log.records as i64, "record"), log.kind);
            wrapped(out, "  ", "    ", &line)?;
        }
    }
    problems(input.problem_count, &input.problems, out)?;
    writeln!(out, "\nNext")?;
    if let Some(command) = &inspection.next.command {
        // Not wrapped, because a line break inside quotes would change the command.
        writeln!(out, "  {}", visible(command))?;
    }
    inspection.next.advice.iter().try_for_each(|advice| wrapped(out, "  ", "  ", advice))
}

fn interface(interface: &Interface, clock: Clock) -> Vec<String> {
    let short = |time: Option<Timestamp>| {
        time.map(|time| clock.minute(time)).unwrap_or_default().trim_end_matches(" UTC").to_owned()
    };
    vec![
        if interface.mac.is_empty() { "(none)".to_owned() } else { interface.mac.clone() },
        number(interface.tuples),
        number(interface.denied_tuples),
        short(interface.first_flow),
        short(interface.last_flow),
        addresses(interface, SHOWN),
    ]
}

fn rule(rule: &Rule) -> Vec<String> {
    vec![number(rule.tuples), number(rule.denied_tuples), name(&rule.rule), name(short_acl(&rule.acl))]
}

/// Shortens names in the middle if they are longer than any name in Azure.
fn name(text: &str) -> String {
    shortened(text, 100).into_owned()
}

fn more(all: usize, top: usize, out: &mut dyn Write) -> io::Result<()> {
    if all > top { writeln!(out, "and {} more; {} {all} shows all", all - top, Remedy::Top) } else { Ok(()) }
}
