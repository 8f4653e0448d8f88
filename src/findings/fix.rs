//! What would open it, in structure.

use super::finding::{Commands, Finding, Fix, Kind, Verdict};
use super::names::acl_name;
use crate::catalog::Requirement;

impl Fix {
    pub(super) fn none() -> Self {
        Self::note("none", "")
    }

    fn note(kind: &'static str, note: &str) -> Self {
        Self { kind, note: note.to_owned(), ..Self::unknown() }
    }

    /// A fix of which nothing is known.
    fn unknown() -> Self {
        Self {
            kind: "none",
            direction: None,
            source: None,
            destination: None,
            ports: Vec::new(),
            protocol: None,
            note: String::new(),
            priority: None,
            existing_rule: None,
            commands: Commands::default(),
            undo: None,
            simulated: None,
        }
    }
}

const ROUTE: &str = "No NSG rule will help: the rule lets it through. Look at the effective routes of the subnet for 0.0.0.0/0 to a \
    firewall, an appliance or ExpressRoute, and let that pass it, or send the service's tag to next hop Internet, or turn on \
    its service endpoint.";

pub fn fix(finding: &Finding, requirement: Option<&Requirement>, needs_correction: bool) -> Fix {
    match (finding.kind, finding.rule_origin.as_str()) {
        (Kind::UnansweredDependency | Kind::ForcedTunnellingSuspected, _) => return Fix::note("route", ROUTE),
        (Kind::SourceRestricted, _) => {
            return Fix::note("none", "Nothing to open if turning these clients away is wanted.");
        }
        (Kind::AmbiguousDependency, _) => {
            return Fix::note(
                "load-service-tags",
                "Run again with --service-tags and the newest ServiceTags_*.json of your cloud to learn which dependency it is.",
            );
        }
        (_, "platform") => {
            return Fix::note("none", "The platform itself handles this traffic; no rule of yours changes it.");
        }
        (_, "encryption") => {
            return Fix::note(
                "encryption",
                "Virtual network encryption dropped it; no NSG rule will help. Check the encryption setting of the network.",
            );
        }
        _ => {}
    }
    if finding.kind == Kind::UnlistedBlocked {
        return unlisted(finding);
    }
    let Some(requirement) = requirement else { return Fix::none() };
    let (kind, note) = way(finding);
    let note = match finding.verdict {
        Verdict::Recovered => format!("It works again, so there is nothing to do unless it returns; then: {note}"),
        _ => note,
    };
    Fix {
        kind,
        direction: Some(rule_direction(finding).to_owned()),
        source: Some(requirement.source.name().to_owned()),
        destination: Some(requirement.destination.name().to_owned()),
        ports: requirement.printed_ports(),
        // Where the row is misprinted, what was refused counts.
        protocol: Some(if needs_correction { finding.protocol.clone() } else { requirement.protocol_text() }),
        note,
        ..Fix::unknown()
    }
}

/// What no requirement describes is opened for the addresses that were refused.
fn unlisted(finding: &Finding) -> Fix {
    let is_whole = finding.remote_address_count as usize == finding.remote_addresses.len();
    let peers: Vec<&str> = finding.remote_addresses.iter().map(|address| address.ip.as_str()).collect();
    if finding.ports.is_empty() || !is_whole {
        return Fix::note("none", "Find out which of these are needed before a rule is opened for them.");
    }
    let (kind, note) = way(finding);
    let (peers, subnet) = (peers.join(", "), finding.subnet.clone());
    let (source, destination) = if finding.direction == "inbound" { (peers, subnet) } else { (subnet, peers) };
    Fix {
        kind,
        direction: Some(rule_direction(finding).to_owned()),
        source: Some(source),
        destination: Some(destination),
        ports: finding.ports.iter().map(ToString::to_string).collect(),
        protocol: Some(finding.protocol.clone()),
        note: format!("If these are needed: {note}"),
        ..Fix::unknown()
    }
}

/// Who can open it, and how.
fn way(finding: &Finding) -> (&'static str, String) {
    let (rule, acl) = (finding.rule.as_deref().unwrap_or_default(), finding.acl.as_deref().unwrap_or_default());
    match finding.rule_origin.as_str() {
        "admin" => (
            "admin-rule",
            format!(
                "{rule} is a security admin rule of Virtual Network Manager: no NSG rule can override it. Change it there."
            ),
        ),
        _ => (
            "allow-rule",
            format!("Add an allow rule with a smaller priority number than {rule} to {}.", acl_name(acl)),
        ),
    }
}

/// The rule must stand where the flow was refused: at the other end its direction is the opposite. Inside the subnet it
/// may have been refused when it left or when it arrived.
fn rule_direction(finding: &Finding) -> &'static str {
    match (finding.direction.as_str(), finding.vantage.as_str()) {
        ("outbound", "near") | ("inbound", "far") => "outbound",
        ("inbound", "near") | ("outbound", "far") => "inbound",
        _ => "inbound and outbound",
    }
}
