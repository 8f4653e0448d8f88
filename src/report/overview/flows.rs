//! Names flows and their peers in a few words, such as `out TCP 1433 -> Sql`.

use crate::findings::{Analysis, Coverage, Finding, Kind};
use crate::flow::ScopeDirection;
use crate::report::layout::number;
use crate::report::sentences::addressed;

/// Returns the direction, protocol, ports and peer of a finding.
pub fn flow(analysis: &Analysis, finding: &Finding) -> String {
    let (subject, head) = (&finding.subject, ports(finding));
    if finding.identity.kind == Kind::ForcedTunnellingSuspected {
        return "out, by any route".to_owned();
    }
    match (subject.direction, peer(analysis, finding)) {
        (ScopeDirection::Inbound, peer) => format!("{head} <- {peer}"),
        (ScopeDirection::Outbound, peer) => format!("{head} -> {peer}"),
        (ScopeDirection::Internal, _) => format!("{head} inside the subnet"),
    }
}

/// Returns the direction, protocol and ports of a finding.
pub fn ports(finding: &Finding) -> String {
    let ports: Vec<String> = finding.subject.ports.iter().map(ToString::to_string).collect();
    format!("{} {}", short_direction(finding.subject.direction), protocol(&finding.subject.protocol, &ports))
}

/// Returns the direction of a flow in at most three letters.
pub fn short_direction(direction: ScopeDirection) -> &'static str {
    match direction {
        ScopeDirection::Inbound => "in",
        ScopeDirection::Outbound => "out",
        ScopeDirection::Internal => "int",
    }
}

/// Returns the flow that a row of coverage asks for.
pub fn row_flow(row: &Coverage) -> String {
    let (direction, arrow, peer) = ends(row);
    format!("{direction} {} {arrow} {peer}", protocol(&row.protocol, &row.ports))
}

/// Returns the short direction of a row, its arrow and its peer.
pub fn ends(row: &Coverage) -> (&'static str, &'static str, &str) {
    match row.direction.name() {
        "inbound" => ("in", "<-", row.source.name()),
        _ => ("out", "->", row.destination.name()),
    }
}

/// Returns a protocol and its ports.
pub fn protocol(protocol: &str, ports: &[String]) -> String {
    match ports {
        [] => format!("{protocol} any port"),
        [first, second, _, rest @ ..] if !rest.is_empty() => {
            format!("{protocol} {first},{second} and {} ports", rest.len() + 1)
        }
        few => format!("{protocol} {}", few.join(",")),
    }
}

/// Returns the tag of the peer if the port table names one, else its address or the number of addresses.
fn peer(analysis: &Analysis, finding: &Finding) -> String {
    let of = |id: &String| analysis.coverage.iter().find(|row| row.requirement == *id);
    let addresses = &finding.addresses;
    let counted_peers = || match addresses.remote_addresses.as_slice() {
        [one] if addresses.remote_address_count <= 1 => addressed(&one.ip, one.name.as_deref()),
        _ => match addresses.remote_address_count {
            0 => "the network".to_owned(),
            1 => "1 address".to_owned(),
            count => format!("{} addresses", number(count)),
        },
    };
    let tag = |row: &Coverage| {
        let (source, destination) = (row.source.name(), row.destination.name());
        if finding.subject.direction == ScopeDirection::Inbound { source.to_owned() } else { destination.to_owned() }
    };
    match (finding.subject.requirement.as_ref().and_then(of), finding.subject.candidates.as_slice()) {
        (Some(row), _) => match tag(row) {
            general if ["VirtualNetwork", "*"].contains(&general.as_str()) => match addresses.remote_address_count {
                1 => counted_peers(),
                _ => general.replace('*', "any address"),
            },
            named => named,
        },
        (None, many @ [_, _, ..]) => format!("one of {} services", many.len()),
        (None, _) => counted_peers(),
    }
}
