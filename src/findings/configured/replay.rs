//! Replays refused flows of the logs against changed rules, to see what else a change would let pass.

use crate::engine::Scope;
use crate::findings::analysis::Analysis;
use crate::findings::change::NewlyAllowed;
use crate::flow::{Direction, ScopeDirection, Vantage};
use crate::net::{PortSet, Prefix, parse_ip};
use crate::policy::{Acl, End, Question, RuleProtocol, Space, Verdict};

/// Maximum number of flows that are listed per fix.
const MOST: usize = 100;

/// Refused flows of one peer, port and protocol.
pub struct Refused {
    /// Finding that they belong to; `None` for flows of no finding.
    finding: Option<String>,
    acl: String,
    direction: Direction,
    shown: NewlyAllowed,
}

/// Lists the refused flows that an analysis names, in its order. Flows inside the subnet are left out, because both ends
/// decide on them.
pub fn refused(analysis: &Analysis, scope: &Scope) -> Vec<Refused> {
    let way = |direction: ScopeDirection| match direction {
        ScopeDirection::Inbound => Some(Direction::Inbound),
        ScopeDirection::Outbound => Some(Direction::Outbound),
        ScopeDirection::Internal => None,
    };
    let mut found = Vec::new();
    for finding in analysis.findings.iter().filter(|finding| finding.identity.kind.is_denial()) {
        let subject = &finding.subject;
        let (Some(direction), Some(acl)) = (way(subject.direction), finding.blame.acl.as_deref()) else { continue };
        if subject.vantage == Vantage::Far {
            continue;
        }
        for peer in &finding.addresses.remote_addresses {
            for port in &subject.ports {
                for protocol in subject.protocol.split('+') {
                    found.push(Refused {
                        finding: Some(finding.identity.id.clone()),
                        acl: acl.to_ascii_lowercase(),
                        direction,
                        shown: NewlyAllowed {
                            remote: peer.ip.clone(),
                            service_tag: peer.service_tag.clone(),
                            port: *port,
                            protocol: protocol.to_owned(),
                            denied_tuples: peer.denied_tuples,
                        },
                    });
                }
            }
        }
    }
    let tag = |ip: &str| Some(scope.service_tags()?.tag(parse_ip(ip)?)?.to_owned());
    for flow in &analysis.unmatched_denied.listed {
        let Some(direction) = way(flow.direction) else { continue };
        found.push(Refused {
            finding: None,
            acl: flow.acl.to_ascii_lowercase(),
            direction,
            shown: NewlyAllowed {
                remote: flow.remote.clone(),
                service_tag: tag(&flow.remote),
                port: flow.port,
                protocol: flow.protocol.clone(),
                denied_tuples: flow.denied_tuples,
            },
        });
    }
    found
}

/// Lists the refused flows of the same list of rules that pass with the change and did not without it, apart from those
/// of the finding `own`.
pub fn newly_allowed(
    space: &Space,
    acls: &[&Acl],
    old: &Acl,
    new: &Acl,
    subnets: &End,
    refused: &[Refused],
    own: &str,
) -> Vec<NewlyAllowed> {
    let changed = crate::findings::planned::with(acls, old, new);
    let is_of = |flow: &&Refused| {
        let is_same = old.id.as_deref() == Some(flow.acl.as_str())
            || flow.acl.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(&old.name));
        is_same && flow.finding.as_deref() != Some(own)
    };
    let passes = |flow: &&Refused| {
        let Some(question) = question(flow, subnets) else { return false };
        space.evaluate(&changed, &question).verdict == Verdict::Allow
            && space.evaluate(acls, &question).verdict != Verdict::Allow
    };
    let mut found: Vec<NewlyAllowed> = Vec::new();
    for flow in refused.iter().filter(is_of).filter(passes) {
        let is_known = |known: &NewlyAllowed| {
            known.remote == flow.shown.remote && known.port == flow.shown.port && known.protocol == flow.shown.protocol
        };
        if found.len() < MOST && !found.iter().any(is_known) {
            found.push(flow.shown.clone());
        }
    }
    found
}

fn question(flow: &Refused, subnets: &End) -> Option<Question> {
    let peer = parse_ip(&flow.shown.remote)?;
    let protocol = RuleProtocol::from_name(&flow.shown.protocol.to_ascii_lowercase())?;
    Some(Question {
        direction: flow.direction,
        protocol,
        local: subnets.clone(),
        peer: End::of_addresses([Prefix::single(peer)].into_iter().collect()),
        ports: PortSet::from_ranges([(flow.shown.port, flow.shown.port)]),
        source_ports: PortSet::all(),
    })
}
