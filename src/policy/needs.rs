//! Compares the rows of the port table with rules and routes.

use super::answer::{Decision, Effect, Evaluation, Question, Verdict};
use super::model::{Access, Acl, Layer, Route, RuleProtocol, Shape};
use super::routing::Routing;
use super::space::{End, Space};
use crate::catalog::{Requirement, Role, RowDirection, Tag, platform_addresses, role};
use crate::flow::{Direction, Protocol};
use crate::net::IpSet;

/// Lists of rules that decide together, at one subnet or interface.
#[derive(Debug, Clone)]
pub struct Station<'a> {
    /// Names of the network security groups, or of the admin rules if there are no groups.
    pub name: String,
    /// The lists.
    pub acls: Vec<&'a Acl>,
}

/// Puts lists together that decide on the same flows. Groups that are attached to nothing are left out. Effective rules
/// of one file belong to one interface; any other group is a station of its own.
pub fn stations(acls: &[Acl]) -> Vec<Station<'_>> {
    let (admin, groups): (Vec<&Acl>, Vec<&Acl>) = acls.iter().partition(|acl| acl.layer == Layer::Admin);
    let is_of_interface = |acl: &Acl| matches!(acl.shape, Shape::Effective | Shape::SecurityGroupView);
    let mut stations: Vec<Station> = Vec::new();
    for acl in groups.into_iter().filter(|acl| !acl.is_unattached()) {
        let same = stations.iter_mut().find(|station| {
            is_of_interface(acl)
                && station
                    .acls
                    .iter()
                    .any(|other| is_of_interface(other) && other.file == acl.file && other.layer != acl.layer)
        });
        match same {
            Some(station) => {
                station.name = format!("{} + {}", station.name, acl.shown());
                station.acls.push(acl);
            }
            None => stations.push(Station { name: acl.shown().to_owned(), acls: vec![acl] }),
        }
    }
    if stations.is_empty()
        && let Some(first) = admin.first()
    {
        stations.push(Station { name: first.shown().to_owned(), acls: Vec::new() });
    }
    stations.iter_mut().for_each(|station| station.acls.extend(&admin));
    stations
}

/// Answer about one row of the port table at one station.
#[derive(Debug, Clone)]
pub struct Need {
    /// What happens to the flows of the row.
    pub verdict: Verdict,
    /// The questions that the row asks, one per direction and protocol, with their answers.
    pub answers: Vec<(Question, Evaluation)>,
    /// Whether Azure's own name server is reached although other servers are not.
    pub has_own_names: bool,
    /// Where routes lead the flows of an outbound row; `None` for other rows, and without routes.
    pub routing: Option<Routing>,
}

impl Space {
    /// Answers whether rules let the flows of a row pass.
    pub fn need(&self, station: &Station, row: &Requirement, subnets: &End, routes: &[Route]) -> Need {
        let questions = self.questions(row, subnets);
        let answers: Vec<(Question, Evaluation)> = questions
            .into_iter()
            .map(|question| {
                let evaluation = self.evaluate(&station.acls, &question);
                (question, evaluation)
            })
            .collect();
        let mut verdict = merged(answers.iter().map(|(_, answer)| answer.verdict));
        let is_dns = role(&row.id) == Some(Role::Dns);
        let has_own_names = is_dns && verdict != Verdict::Allow && !refuses_own_names(station);
        if has_own_names && verdict == Verdict::Deny {
            verdict = Verdict::Partly;
        }
        if station.acls.iter().any(|acl| acl.lacks_rules) {
            verdict = Verdict::Unknown;
        }
        let routing = (row.direction == RowDirection::Outbound && !routes.is_empty())
            .then(|| self.routing(routes, &self.peer(row, subnets)));
        Need { verdict, answers, has_own_names, routing }
    }

    /// Returns the questions that a row asks.
    pub fn questions(&self, row: &Requirement, subnets: &End) -> Vec<Question> {
        let directions: &[Direction] = match row.direction {
            RowDirection::Inbound => &[Direction::Inbound],
            RowDirection::Outbound => &[Direction::Outbound],
            RowDirection::Both => &[Direction::Inbound, Direction::Outbound],
            RowDirection::None => &[],
        };
        let protocols = row.protocols.iter().map(|protocol| match *protocol {
            Protocol::UDP => RuleProtocol::Udp,
            _ => RuleProtocol::Tcp,
        });
        let peer = self.peer(row, subnets);
        let question = |(direction, protocol)| Question {
            direction,
            protocol,
            local: subnets.clone(),
            peer: peer.clone(),
            ports: row.destination_ports.clone(),
            source_ports: row.source_ports.clone(),
        };
        directions
            .iter()
            .flat_map(|direction| protocols.clone().map(move |protocol| (*direction, protocol)))
            .map(question)
            .collect()
    }

    fn peer(&self, row: &Requirement, subnets: &End) -> End {
        let mut peer = self.end(row.peer_tag(), subnets);
        // Rules do not decide on queries to Azure's own name server.
        if role(&row.id) == Some(Role::Dns)
            && let Some(addresses) = &peer.addresses
        {
            peer.addresses = Some(addresses.difference(&platform_addresses().into_iter().collect::<IpSet>()));
        }
        peer
    }
}

/// Returns whether a rule refuses queries to Azure's own name server. Only a rule with its tag does.
fn refuses_own_names(station: &Station) -> bool {
    let is_tag =
        |tag: Option<Tag>| matches!(tag, Some(Tag::Named(name)) if name.eq_ignore_ascii_case("AzurePlatformDNS"));
    let mut rules = station.acls.iter().flat_map(|acl| acl.rules_of(Direction::Outbound));
    rules.any(|rule| rule.access == Some(Access::Deny) && rule.destination.iter().any(|address| is_tag(address.tag())))
}

/// Returns the verdict of several questions together.
pub fn merged(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let all: Vec<Verdict> = verdicts.collect();
    let has = |verdict: Verdict| all.contains(&verdict);
    match (has(Verdict::Deny), has(Verdict::Partly), has(Verdict::Unknown), has(Verdict::Allow)) {
        (true, false, false, false) => Verdict::Deny,
        (true, ..) | (_, true, ..) => Verdict::Partly,
        (_, _, true, _) => Verdict::Unknown,
        _ => Verdict::Allow,
    }
}

impl Need {
    /// Lists the decisions with an effect over all questions, each rule once.
    pub fn rules(&self, effect: Effect) -> Vec<Decision> {
        let mut found: Vec<Decision> = Vec::new();
        for decision in self.answers.iter().flat_map(|(_, answer)| answer.with(effect)) {
            match found.iter_mut().find(|known| known.by == decision.by) {
                Some(known) => known.peers = known.peers.union(&decision.peers),
                None => found.push(decision.clone()),
            }
        }
        found
    }
}
