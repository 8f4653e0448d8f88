//! One cause or finding at length: sentences, addresses, hours, score, commands and SQL to check it.

use std::io::{self, Write};

use super::Clock;
use super::details::{ends, factors, sparkline};
use super::fix::checks;
use super::layout::{WIDTH, broken, wrapped};
use super::overview::{Overview, flow, printed};
use super::sentences::{fix_in_words, name};
use super::sink::visible;
use crate::findings::{Analysis, Finding, Kind};
use crate::flow::ScopeDirection;
use crate::time::Timestamp;

/// Maximum number of findings of a cause that are explained.
const SHOWN: usize = 10;

/// Writes which kept analysis this is: its time, its scope and its logs. Lines begin with `mark`.
pub fn write_kept(
    analysis: &Analysis,
    time: Timestamp,
    mark: &str,
    clock: Clock,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Overview { word, headline, span, .. } = Overview::of(analysis, None, clock);
    let rest = format!("{mark}  ");
    wrapped(out, mark, &rest, &format!("analysis of {} {}: {word}, {headline}", clock.long(time), clock.zone(time)))?;
    wrapped(out, mark, &rest, &span)
}

/// Writes that an analysis names no cause, and why. Lines begin with `mark`.
pub fn write_no_cause(analysis: &Analysis, mark: &str, out: &mut dyn Write) -> io::Result<()> {
    let Overview { word, headline, .. } = Overview::of(analysis, None, Clock::UTC);
    wrapped(out, mark, &format!("{mark}  "), &format!("The analysis names no cause: {word}, {headline}"))
}

/// Writes the causes with a number, and their findings.
pub fn write_cause(analysis: &Analysis, number: u64, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let Some(cause) = printed(analysis, clock).into_iter().find(|cause| cause.number == number) else { return Ok(()) };
    wrapped(out, &format!("{number} "), "  ", &cause.title)?;
    for (label, text) in [("Effect:", &cause.effect), ("Also:", &cause.follow)] {
        text.iter().try_for_each(|text| wrapped(out, &format!("  {label} "), "  ", text))?;
    }
    for finding in cause.findings().take(SHOWN) {
        writeln!(out)?;
        write_finding(analysis, finding, clock, out)?;
    }
    match cause.findings().count().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "\nand {more} more findings, which differ in machine or NSG"),
    }
}

/// Writes one finding.
pub fn write_finding(analysis: &Analysis, finding: &Finding, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let (identity, severity) = (&finding.identity, finding.grade.severity);
    let title = format!("{} {}, {severity}: {}", identity.id, name(finding), flow(analysis, finding));
    wrapped(out, "", "  ", &title)?;
    wrapped(out, "  ", "  ", &clock.prose(&finding.explanation))?;
    wrapped(out, "  ", "    ", &ends(finding))?;
    if let Some(line) = sparkline(&finding.addresses.hours, clock) {
        writeln!(out, "  Refused {line}")?;
    }
    wrapped(out, "  ", "  ", &factors(finding))?;
    wrapped(out, "  ", "  ", &format!("Fix: {}", fix_in_words(&finding.fix)))?;
    writeln!(out, "\n  To check:")?;
    for check in checks(finding) {
        // A command stays on one line, so that it can be copied.
        let lines =
            if check.starts_with("az ") { vec![format!("    {check}")] } else { broken("    ", "    ", &check, WIDTH) };
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    let what = if finding.identity.kind.is_denial() { "refused" } else { "unanswered" };
    writeln!(out, "\n  The {what} flows, in flowgap sql SOURCE:")?;
    sql(finding).iter().try_for_each(|line| writeln!(out, "    {}", visible(line)))
}

/// Returns the query that lists the flows of a finding, one clause a line.
fn sql(finding: &Finding) -> Vec<String> {
    let (subject, addresses) = (&finding.subject, &finding.addresses);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (local, remote) = match subject.direction {
        ScopeDirection::Outbound => ("src_ip", "dst_ip"),
        ScopeDirection::Inbound | ScopeDirection::Internal => ("dst_ip", "src_ip"),
    };
    let mut conditions = vec![format!("ip_in({local}, {})", quoted(&subject.subnet))];
    if subject.direction == ScopeDirection::Internal {
        conditions.push(format!("ip_in({remote}, {})", quoted(&subject.subnet)));
    }
    if !subject.ports.is_empty() {
        let ports: Vec<String> = subject.ports.iter().map(ToString::to_string).collect();
        conditions.push(format!("dst_port IN ({})", ports.join(", ")));
    }
    let protocols: Vec<String> = subject.protocol.split('+').map(quoted).collect();
    conditions.push(format!("protocol IN ({})", protocols.join(", ")));
    // Ports such as 443 have many peers. The finding lists ten of its own.
    let is_whole = addresses.remote_address_count == addresses.remote_addresses.len() as u64;
    if is_whole && !addresses.remote_addresses.is_empty() && subject.direction != ScopeDirection::Internal {
        let peers: Vec<String> = addresses.remote_addresses.iter().map(|peer| quoted(&peer.ip)).collect();
        conditions.push(format!("{remote} IN ({})", peers.join(", ")));
    }
    let table = if finding.identity.kind.is_denial() { "denied_flows" } else { "flows" };
    if finding.identity.kind.is_denial() {
        conditions.extend(finding.blame.rule.as_ref().map(|rule| format!("rule = {}", quoted(rule))));
        conditions.extend(finding.blame.acl_name.as_ref().map(|nsg| format!("lower(nsg) = lower({})", quoted(nsg))));
    } else {
        conditions.push("decision = 'allow' AND packets_sent > 0 AND packets_received = 0".to_owned());
    }
    let columns = if finding.identity.kind == Kind::ForcedTunnellingSuspected {
        "*"
    } else {
        "time, src_ip, dst_ip, dst_port, rule, nsg"
    };
    let mut lines = vec![format!("SELECT {columns} FROM {table}")];
    for (at, condition) in conditions.into_iter().enumerate() {
        lines.push(format!("{} {condition}", if at == 0 { "WHERE" } else { "  AND" }));
    }
    lines.push("ORDER BY time;".to_owned());
    lines
}
