//! Writes an inspection as Markdown.

use std::io::{self, Write};

use super::{addresses, subnet};
use crate::findings::{counted, number, short_acl};
use crate::inspection::{Inspection, Interface, NamedSubnet, Rule};
use crate::report::Clock;
use crate::report::grid::Grid;
use crate::report::lines::plain;
use crate::report::sink::visible;
use crate::time::Timestamp;

/// Number of addresses that are shown per interface.
const SHOWN: usize = 5;

pub fn write(inspection: &Inspection, top: usize, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let input = &inspection.input;
    writeln!(out, "# Contents of the flow logs\n")?;
    writeln!(
        out,
        "{} with {} and {}, {} denied; {} and {}.",
        counted(input.blobs as i64, "blob"),
        counted(input.records as i64, "record"),
        counted(input.tuples as i64, "flow tuple"),
        number(input.denied_tuples),
        counted(inspection.interface_count as i64, "interface"),
        counted(inspection.rule_count as i64, "rule"),
    )?;
    if let (Some(first), Some(last)) = (input.first_flow, input.last_flow) {
        writeln!(out, "\nFlows from {} to {}.", clock.minute(first), clock.minute(last))?;
    }
    if !inspection.meaning.is_empty() {
        writeln!(out)?;
        inspection.meaning.iter().try_for_each(|sentence| writeln!(out, "- {}", plain(&clock.prose(sentence))))?;
    }
    let columns = vec!["subnet", "machines", "tuples", "API Management?", "why"];
    section("Subnets", columns, inspection.subnets_seen.iter().map(explained), top, out)?;
    let columns = vec!["MAC", "tuples", "denied", "first flow", "last flow", "blobs", "gaps", "addresses"];
    section("Interfaces", columns, inspection.interfaces.iter().map(|seen| interface(seen, clock)), top, out)?;
    section("Rules", vec!["tuples", "denied", "rule", "ACL"], inspection.rules.iter().map(rule), top, out)?;
    if !input.problems.is_empty() {
        let problem = |p: &crate::findings::Problem| {
            vec![p.blob.clone(), p.offset.to_string(), p.record.to_string(), p.reason.clone()]
        };
        section("Problems", vec!["blob", "byte", "record", "reason"], input.problems.iter().map(problem), top, out)?;
    }
    writeln!(out, "\n## Next\n")?;
    if let Some(command) = &inspection.next.command {
        // An indented line is code, so nothing in it is markup.
        writeln!(out, "    {}", visible(command))?;
    }
    inspection.next.advice.iter().try_for_each(|advice| writeln!(out, "\n{}", plain(advice)))
}

/// Writes a table with the first `top` rows, unless there are none.
fn section(
    title: &str,
    columns: Vec<&'static str>,
    rows: impl ExactSizeIterator<Item = Vec<String>>,
    top: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let all = rows.len();
    if all == 0 {
        return Ok(());
    }
    writeln!(out, "\n## {title}\n")?;
    Grid { columns, rows: rows.take(top).collect() }.write_markdown(out)?;
    if all > top { writeln!(out, "\nand {} more", all - top) } else { Ok(()) }
}

fn explained(seen: &NamedSubnet) -> Vec<String> {
    let mut cells = subnet(seen, |count| count.to_string());
    cells.push(seen.seen.why.clone().unwrap_or_default());
    cells
}

fn interface(interface: &Interface, clock: Clock) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map(|time| clock.minute(time)).unwrap_or_default();
    vec![
        interface.mac.clone(),
        interface.tuples.to_string(),
        interface.denied_tuples.to_string(),
        time(interface.first_flow),
        time(interface.last_flow),
        interface.blobs.to_string(),
        interface.missing_hours.len().to_string(),
        addresses(interface, SHOWN),
    ]
}

fn rule(rule: &Rule) -> Vec<String> {
    vec![rule.tuples.to_string(), rule.denied_tuples.to_string(), rule.rule.clone(), short_acl(&rule.acl).to_owned()]
}
