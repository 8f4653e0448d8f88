//! Replays the refused flows of the logs against changed rules, to see what else a change would let pass.

use std::cmp::Reverse;

use crate::engine::{Row, Scope, Session, SessionError};
use crate::findings::change::{NewlyAllowed, Simulated};
use crate::findings::model::{Finding, Kind};
use crate::findings::{counted, planned};
use crate::flow::{Direction, ScopeDirection};
use crate::net::{IpSet, PortSet, Prefix, address};
use crate::policy::{Acl, Effect, End, Evaluation, Question, Rule, RuleProtocol, Space, Verdict};
use crate::queries;

/// Maximum number of flows that are listed per fix.
const MOST: usize = 100;

/// Refused flows of one list of rules, direction, protocol, port, and set of requirements.
struct Refused {
    /// `None` for flows inside the subnet, because both ends decide on them.
    direction: Option<Direction>,
    acl: String,
    /// Ids of the requirements that may ask for them, ascending, joined by commas.
    candidates: String,
    protocol: String,
    /// `None` for ports that the groups do not tell apart.
    port: Option<u16>,
    tuples: i64,
    /// Peers with their tuples. Tuples of peers that the groups do not keep are missing.
    peers: Vec<(u128, i64)>,
    set: IpSet,
}

/// All refused flows of an analysis.
pub struct Refusals {
    groups: Vec<Refused>,
    /// Ports that requirements name. The groups tell all of them apart.
    named_ports: PortSet,
}

/// A change of a list of rules.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    pub space: &'a Space,
    /// Lists that decide, with the old one.
    pub acls: &'a [&'a Acl],
    pub old: &'a Acl,
    pub new: &'a Acl,
    pub subnets: &'a End,
}

impl Refusals {
    /// Reads the refused flows of the session of an analysis.
    pub async fn read(session: &Session) -> Result<Self, SessionError> {
        let rows = session.table(queries::REFUSED_FLOWS).await?;
        let named_ports = session.scope().named_ports(|row| &row.destination_ports);
        Ok(Self { groups: rows.rows().map(refused).collect::<Result<_, _>>()?, named_ports })
    }

    /// Completes `simulated` with the flows that pass with the change and did not before, apart from those that the
    /// finding is about. Returns what to tell of them in sentences.
    pub fn replay(&self, trial: Trial, own: &Finding, scope: &Scope, simulated: &mut Simulated) -> String {
        let old =
            |rule: &&Rule| trial.old.rules.iter().any(|old| old.name == rule.name && old.priority == rule.priority);
        let changed: Vec<&Rule> = trial.new.rules.iter().filter(|rule| !old(rule)).collect();
        let lists = planned::with(trial.acls, trial.old, trial.new);
        let is_same_list = |flow: &&Refused| {
            let name = flow.acl.rsplit('/').next().unwrap_or_default();
            trial.old.id.as_deref() == Some(flow.acl.as_str()) || name.eq_ignore_ascii_case(&trial.old.name)
        };
        let mut passing: Vec<(i64, u128, u16, &str)> = Vec::new();
        for flow in self.groups.iter().filter(is_same_list).filter(|flow| !is_own(flow, own)) {
            let touching: Vec<&&Rule> = changed.iter().filter(|rule| self.may_touch(rule, flow)).collect();
            if touching.is_empty() {
                continue;
            }
            let Some((port, question)) = flow.question(trial.subnets, flow.set.clone()) else {
                simulated.not_replayed_tuples += flow.tuples;
                continue;
            };
            simulated.not_replayed_tuples += flow.tuples - flow.peers.iter().map(|(_, tuples)| tuples).sum::<i64>();
            let hit = touching.iter().fold(IpSet::default(), |all, rule| all.union(&trial.space.hit(rule, &question)));
            let question = Question { peer: End::of_addresses(hit), ..question };
            if question.peer.whole().is_empty() {
                continue;
            }
            let passes = |acls: &[&Acl]| allowed(&trial.space.evaluate(acls, &question), &question);
            let newly = passes(&lists).difference(&passes(trial.acls));
            let peers = flow.peers.iter().filter(|(number, _)| newly.contains(*number));
            passing.extend(peers.map(|(number, tuples)| (*tuples, *number, port, flow.protocol.as_str())));
        }
        passing.sort_unstable_by_key(|(tuples, number, port, protocol)| (Reverse(*tuples), *number, *port, *protocol));
        simulated.newly_allowed_flows = passing.len() as u64;
        simulated.newly_allowed_tuples = passing.iter().map(|(tuples, ..)| tuples).sum();
        let shown = |(tuples, number, port, protocol): &(i64, u128, u16, &str)| NewlyAllowed {
            remote: address(*number).to_string(),
            service_tag: scope.service_tags().and_then(|tags| tags.tag(address(*number))).map(str::to_owned),
            port: *port,
            protocol: (*protocol).to_owned(),
            denied_tuples: *tuples,
        };
        simulated.newly_allowed = passing.iter().take(MOST).map(shown).collect();
        sentences(simulated)
    }

    /// Returns whether a rule may match some of the flows by direction, protocol and port.
    fn may_touch(&self, rule: &Rule, flow: &Refused) -> bool {
        let is_direction = flow.direction.is_none_or(|direction| rule.is_for(direction));
        let own = rule.protocol.unwrap_or(RuleProtocol::Any);
        let is_protocol = own == RuleProtocol::Any || own.name().eq_ignore_ascii_case(&flow.protocol);
        let is_port = match flow.port {
            Some(port) => rule.destination_ports.contains(port),
            None => !self.named_ports.covers(&rule.destination_ports),
        };
        is_direction && is_protocol && is_port
    }
}

fn refused(row: Row) -> Result<Refused, SessionError> {
    let peers = row.addresses("peers")?;
    Ok(Refused {
        direction: match row.named("direction")? {
            ScopeDirection::Inbound => Some(Direction::Inbound),
            ScopeDirection::Outbound => Some(Direction::Outbound),
            ScopeDirection::Internal => None,
        },
        acl: row.text("acl")?,
        candidates: row.text("candidates")?,
        protocol: row.text("protocol")?,
        port: row.int_or_null("port")?,
        tuples: row.int("tuples")?,
        set: peers.iter().map(|(number, _)| Prefix::single(address(*number))).collect(),
        peers,
    })
}

impl Refused {
    /// Returns the port and the question about flows to `peers`; `None` if the groups do not tell enough.
    fn question(&self, subnets: &End, peers: IpSet) -> Option<(u16, Question)> {
        let port = self.port?;
        let question = Question {
            direction: self.direction?,
            protocol: RuleProtocol::from_name(&self.protocol.to_ascii_lowercase())?,
            local: subnets.clone(),
            peer: End::of_addresses(peers),
            ports: PortSet::from_ranges([(port, port)]),
            source_ports: PortSet::all(),
        };
        Some((port, question))
    }
}

/// Returns whether flows are those that a finding is about.
fn is_own(flow: &Refused, finding: &Finding) -> bool {
    let subject = &finding.subject;
    if finding.identity.kind == Kind::UnlistedBlocked {
        let is_protocol = subject.protocol.split('+').any(|protocol| protocol == flow.protocol);
        return flow.candidates.is_empty()
            && is_protocol
            && flow.port.is_some_and(|port| subject.ports.contains(&port));
    }
    let mut candidates = subject.candidates.clone();
    candidates.sort_unstable();
    flow.candidates == candidates.join(",")
}

/// Returns the peers whose flows pass for certain.
fn allowed(evaluation: &Evaluation, question: &Question) -> IpSet {
    if evaluation.verdict == Verdict::Allow {
        return question.peer.whole();
    }
    let peers = |is: fn(Effect) -> bool| {
        let decisions = evaluation.decisions.iter().filter(|decision| is(decision.effect));
        decisions.fold(IpSet::default(), |all, decision| all.union(&decision.peers))
    };
    peers(|effect| effect == Effect::Allows).difference(&peers(|effect| effect != Effect::Allows))
}

fn sentences(simulated: &Simulated) -> String {
    let mut sentences = Vec::new();
    if let Some(first) = simulated.newly_allowed.first() {
        let tag = first.service_tag.as_ref().map(|tag| format!(", {tag}")).unwrap_or_default();
        sentences.push(format!(
            "It also lets {} of the logs pass that were refused, such as {} {} {} ({}{tag}).",
            counted(simulated.newly_allowed_flows as i64, "other flow"),
            first.remote,
            first.protocol,
            first.port,
            counted(first.denied_tuples, "tuple"),
        ));
    }
    if simulated.not_replayed_tuples > 0 {
        sentences.push(format!(
            "{} of this list could not be tried, because the analysis does not keep their ports or peers, or both ends decide on them.",
            counted(simulated.not_replayed_tuples, "refused tuple")
        ));
    }
    sentences.join(" ")
}
