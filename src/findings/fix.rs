//! Chooses the change that would open a blocked dependency.

use super::change::{Change, Commands, Fix, RuleDirection, RuleSpec};
use super::model::{Finding, Kind, Verdict};
use crate::catalog::Requirement;
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::remedy::Remedy;

const ROUTE: &str = "No NSG rule will help: the rules let it through. Check the subnet's route table for 0.0.0.0/0 to a firewall or \
    appliance, the routes that a gateway learns by BGP, and Network status of the instance in the portal. Then let the firewall pass \
    it, route the service's tag to next hop Internet, or turn on its service endpoint.";
const RESTRICTED: &str = "Nothing to open if turning these clients away is wanted.";
const LOAD_TAGS: &str =
    "Run again with {service-tags} and the newest ServiceTags_*.json of your cloud to learn which dependency it is.";
const UNSURE: &str = "Find out which of these are needed before a rule is opened for them.";

const PLATFORM: &str = "The platform itself handles this traffic; no rule of yours changes it.";
const ENCRYPTION: &str =
    "Virtual network encryption dropped it; no NSG rule will help. Check the encryption setting of the network.";

impl RuleSpec {
    fn new(
        direction: RuleDirection,
        source: String,
        destination: String,
        ports: Vec<String>,
        protocol: String,
    ) -> Self {
        Self {
            direction,
            source,
            destination,
            ports,
            protocol,
            priority: None,
            existing_rule: None,
            existing_priority: None,
            commands: Commands::default(),
            undo: None,
            simulated: None,
        }
    }
}

/// Returns the change that would open the dependency, or advice if no change helps.
pub fn fix(finding: &Finding, requirement: Option<&Requirement>, needs_correction: bool) -> Fix {
    match (finding.identity.kind, finding.blame.rule_origin) {
        (Kind::UnansweredDependency | Kind::ForcedTunnellingSuspected, _) => Fix::new(Change::Route, ROUTE),
        (Kind::SourceRestricted, _) => Fix::new(Change::None, RESTRICTED),
        (Kind::ConfigurationContradicts | Kind::PlatformContradicts, _) => Fix::none(),
        (Kind::AmbiguousDependency, _) => Fix::new(Change::LoadServiceTags, &Remedy::spell(LOAD_TAGS)),
        (_, RuleOrigin::Platform) => Fix::new(Change::None, PLATFORM),
        (_, RuleOrigin::Encryption) => Fix::new(Change::Encryption, ENCRYPTION),
        (Kind::UnlistedBlocked, _) => unlisted(finding),
        (Kind::BlockedDependency, _) => {
            requirement.map_or_else(Fix::none, |requirement| listed(finding, requirement, needs_correction))
        }
    }
}

/// Returns the fix that allows the flows of the requirement.
fn listed(finding: &Finding, requirement: &Requirement, needs_correction: bool) -> Fix {
    // In a misprinted row, the refused protocol is used.
    let protocol = if needs_correction { finding.subject.protocol.clone() } else { requirement.protocol_text() };
    let (source, destination) = (requirement.source.name(), requirement.destination.name());
    let rule = RuleSpec::new(
        rule_direction(finding),
        source.to_owned(),
        destination.to_owned(),
        requirement.printed_ports(),
        protocol,
    );
    let Fix { change, note } = of_rule(finding, rule);
    match finding.grade.verdict {
        Verdict::Recovered => {
            Fix { change, note: format!("It works again, so there is nothing to do unless it returns; then: {note}") }
        }
        _ => Fix { change, note },
    }
}

/// Returns the fix that allows the refused addresses. Without ports or the complete list of peers, no rule can be
/// given.
fn unlisted(finding: &Finding) -> Fix {
    let (subject, addresses) = (&finding.subject, &finding.addresses);
    let is_whole = addresses.remote_address_count as usize == addresses.remote_addresses.len();
    let peers: Vec<&str> = addresses.remote_addresses.iter().map(|address| address.ip.as_str()).collect();
    if subject.ports.is_empty() || !is_whole {
        return Fix::new(Change::None, UNSURE);
    }
    let (peers, subnet) = (peers.join(", "), subject.subnet.clone());
    let (source, destination) =
        if subject.direction == ScopeDirection::Inbound { (peers, subnet) } else { (subnet, peers) };
    let ports = subject.ports.iter().map(ToString::to_string).collect();
    let rule = RuleSpec::new(rule_direction(finding), source, destination, ports, subject.protocol.clone());
    let Fix { change, note } = of_rule(finding, rule);
    Fix { change, note: format!("If these are needed: {note}") }
}

/// Returns a fix by a rule. A refusing admin rule must be changed, and any other can be overridden.
fn of_rule(finding: &Finding, rule: RuleSpec) -> Fix {
    let (name, acl) = (finding.blame.rule_text(), finding.blame.acl_text());
    match finding.blame.rule_origin {
        RuleOrigin::Admin => {
            let note = format!(
                "{name} is a security admin rule of Virtual Network Manager: no NSG rule can override it. Change it there."
            );
            Fix { change: Change::AdminRule(rule), note }
        }
        _ => {
            let note = format!("Add an allow rule with a smaller priority number than {name} to {acl}.");
            Fix { change: Change::AllowRule(rule), note }
        }
    }
}

/// Returns the direction of the rule at the end that refused the flow. The far end has the opposite direction. Inside
/// the subnet, either end may have refused it.
fn rule_direction(finding: &Finding) -> RuleDirection {
    match (finding.subject.direction, finding.subject.vantage) {
        (ScopeDirection::Outbound, Vantage::Near) | (ScopeDirection::Inbound, Vantage::Far) => RuleDirection::Outbound,
        (ScopeDirection::Inbound, Vantage::Near) | (ScopeDirection::Outbound, Vantage::Far) => RuleDirection::Inbound,
        (ScopeDirection::Internal, _) => RuleDirection::Both,
    }
}
