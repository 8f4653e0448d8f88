//! Answers one row of the port table: verdict, severity, the rules behind it, and the fix.

use std::collections::BTreeSet;

use super::is_external_only;
use super::model::{CheckRow, CheckRule};
use crate::catalog::{Necessity, Requirement, RowDirection, Tag, dependency};
use crate::engine::Scope;
use crate::findings::fix::fix;
use crate::findings::identity::FindingKey;
use crate::findings::planned::complete;
use crate::findings::{Addresses, Confidence, Finding, Grade, Kind, Reach, Severity, State, Verdict as FindingVerdict};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::policy::{
    Acl, Decision, Effect, End, Layer, Need, Origin, Path, Route, Rule, Space, Station, Verdict, listed,
};

/// Blocks of peers that are listed per rule.
const PEERS: usize = 10;

/// What rows are compared with.
pub struct Asked<'a> {
    pub space: &'a Space,
    pub subnets: &'a End,
    pub scope: &'a Scope,
    pub routes: &'a [Route],
}

impl Asked<'_> {
    /// Answers a row. New rules get priorities that are not in `reserved`.
    pub fn row(&self, station: &Station, row: &Requirement, reserved: &mut BTreeSet<u32>) -> CheckRow {
        let need = self.space.need(station, row, self.subnets, self.routes);
        let rules = |effects: &[Effect]| -> Vec<CheckRule> {
            let decisions = effects.iter().flat_map(|effect| need.rules(*effect));
            decisions.filter_map(|decision| self.rule(station, &need, &decision)).collect()
        };
        let (denied_by, allowed_by) = (rules(&[Effect::Denies]), rules(&[Effect::Allows]));
        let unsure_because = rules(&[Effect::MayDeny, Effect::MayAllow]);
        let path = need.routing.as_ref().map(|routing| routing.path);
        let is_policy = is_policy(row, &need);
        let severity = match is_policy {
            true => Some(Severity::Info),
            false => self.severity(row, need.verdict, path),
        };
        let near_misses = near_misses(self.space, station, &need);
        let finding =
            (need.verdict != Verdict::Allow && !is_policy).then(|| self.finding(station, row, &need, reserved));
        let key = key(self.scope, station, row, &denied_by);
        let identity = key.identity(Kind::BlockedDependency, &format!("check:{}", row.id));
        let behind = need.answers.iter().flat_map(|(_, answer)| &answer.shadowed_allows);
        let mut behind: Vec<String> = behind.filter_map(|by| Some(by.of(&station.acls)?.1.name.clone())).collect();
        behind.sort_unstable();
        behind.dedup();
        let mut answer = CheckRow {
            id: identity.id,
            fingerprint: identity.fingerprint,
            requirement: row.id.clone(),
            group: station.name.clone(),
            direction: row.direction,
            protocol: row.protocol_text(),
            ports: row.printed_ports(),
            source: row.source.clone(),
            destination: row.destination.clone(),
            necessity: row.necessity,
            purpose: row.purpose.clone(),
            verdict: need.verdict,
            severity,
            denied_by,
            allowed_by,
            unsure_because,
            behind,
            near_misses,
            path,
            route: need.routing.as_ref().and_then(|routing| routing.route.clone()),
            effect: dependency(&row.id).filter(|_| !is_policy).map(|known| known.breaks.clone()),
            explanation: String::new(),
            fix: finding.as_ref().map(|finding| finding.fix.clone()),
            finding,
        };
        answer.explanation = explanation(&answer, &need);
        answer
    }

    fn severity(&self, row: &Requirement, verdict: Verdict, path: Option<Path>) -> Option<Severity> {
        let reach = match (verdict, path) {
            (Verdict::Deny, _) | (_, Some(Path::Dropped)) => Reach::Whole,
            (Verdict::Partly, _) => Reach::Half,
            (Verdict::Allow | Verdict::Unknown, _) => return None,
        };
        let grade = Grade::new(FindingVerdict::Blocked, row.impact, Confidence::Confirmed, State::Ongoing, reach);
        // Nothing shows that a row is used that is not always needed.
        let of_necessity = match row.necessity {
            Necessity::Required => Severity::Critical,
            Necessity::Conditional => Severity::Medium,
            Necessity::Optional => Severity::Low,
        };
        let is_unsure = is_external_only(row) && self.scope.vnet_mode().is_none();
        let of_mode = if is_unsure { Severity::Medium } else { Severity::Critical };
        Some(grade.severity.min(of_necessity).min(of_mode))
    }

    fn rule(&self, station: &Station, need: &Need, decision: &Decision) -> Option<CheckRule> {
        let (acl, rule) = decision.by.of(&station.acls)?;
        let has_addresses = need.answers.first().is_some_and(|(question, _)| question.peer.addresses.is_some());
        let blocks = decision.peers.prefixes();
        Some(CheckRule {
            group: acl.shown().to_owned(),
            layer: acl.layer,
            rule: rule.name.clone(),
            origin: rule.origin,
            priority: rule.priority,
            access: rule.access,
            ports: decision.ports.to_string(),
            peers: blocks.iter().take(PEERS).filter(|_| has_addresses).map(ToString::to_string).collect(),
            peer_blocks: if has_addresses { blocks.len() } else { 0 },
            reason: matches!(decision.effect, Effect::MayDeny | Effect::MayAllow).then(|| doubt(rule)),
            pointer: rule.pointer.clone(),
        })
    }

    /// Returns the row as a finding, with its fix.
    fn finding(&self, station: &Station, row: &Requirement, need: &Need, reserved: &mut BTreeSet<u32>) -> Finding {
        let planned = self.space.plan(&station.acls, &need.answers, reserved);
        let blamed = blamed(station, need);
        let key = FindingKey {
            direction: scope_direction(row),
            vantage: Vantage::Near,
            subnet: self.scope.subnets().first().map(ToString::to_string).unwrap_or_default(),
            acl: blamed
                .map(|(acl, _)| acl.id.clone().unwrap_or_else(|| acl.name.clone()))
                .filter(|acl| !acl.is_empty()),
            rule: blamed.map(|(_, rule)| rule.log_name()),
        };
        let identity = key.identity(Kind::BlockedDependency, &format!("check:{}", row.id));
        let origin = blamed.map_or(RuleOrigin::Unknown, |(_, rule)| rule_origin(rule.origin));
        let grade =
            Grade::new(FindingVerdict::Blocked, row.impact, Confidence::Confirmed, State::Ongoing, Reach::Whole);
        let blame = key.blame(origin);
        let subject = key.subject(vec![row.id.clone()], row.protocol_text(), Vec::new());
        let mut finding = Finding::new(identity, grade, subject, blame, Addresses::none());
        finding.concern(row);
        finding.fix = fix(&finding, Some(row), false);
        if let Some(planned) = planned {
            complete(&mut finding.fix, self.space, &planned, &station.acls, reserved);
        }
        finding
    }
}

/// Returns whether rules turn away only some callers from the Internet, which is policy.
fn is_policy(row: &Requirement, need: &Need) -> bool {
    let is_open = row.direction == RowDirection::Inbound && *row.peer_tag() == Tag::Internet;
    let refuses_all = need.answers.iter().any(|(question, answer)| {
        answer.with(Effect::Denies).any(|decision| decision.peers.covers(&question.peer.whole()))
    });
    is_open && need.verdict == Verdict::Partly && !refuses_all
}

/// Returns the identity of a row: it does not depend on the rule that refuses it.
fn key(scope: &Scope, station: &Station, row: &Requirement, denied_by: &[CheckRule]) -> FindingKey {
    FindingKey {
        direction: scope_direction(row),
        vantage: Vantage::Near,
        subnet: scope.subnets().first().map(ToString::to_string).unwrap_or_default(),
        acl: Some(station.name.clone()).filter(|name| !name.is_empty()),
        rule: denied_by.first().map(|by| by.rule.clone()).filter(|name| !name.is_empty()),
    }
}

/// Returns the first rule that refuses flows, or that may.
fn blamed<'a>(station: &Station<'a>, need: &Need) -> Option<(&'a Acl, &'a Rule)> {
    let decisions = [Effect::Denies, Effect::MayDeny].into_iter().flat_map(|effect| need.rules(effect));
    decisions.filter_map(|decision| decision.by.of(&station.acls)).next()
}

fn scope_direction(row: &Requirement) -> ScopeDirection {
    match row.direction {
        RowDirection::Inbound => ScopeDirection::Inbound,
        RowDirection::Outbound => ScopeDirection::Outbound,
        RowDirection::Both | RowDirection::None => ScopeDirection::Internal,
    }
}

/// Returns the author of a rule as a flow log would tell it.
pub fn rule_origin(origin: Origin) -> RuleOrigin {
    match origin {
        Origin::User => RuleOrigin::User,
        Origin::Default | Origin::Synthesised => RuleOrigin::Default,
        Origin::Admin => RuleOrigin::Admin,
    }
}

fn near_misses(space: &Space, station: &Station, need: &Need) -> Vec<crate::policy::NearMiss> {
    let mut found = Vec::new();
    for (question, _) in need.answers.iter().filter(|(_, answer)| answer.verdict != Verdict::Allow) {
        for acl in station.acls.iter().filter(|acl| acl.layer != Layer::Admin) {
            for near in space.near_misses(acl, question) {
                if !found.contains(&near) {
                    found.push(near);
                }
            }
        }
    }
    found
}

/// Returns why it is not known whether a rule decides.
fn doubt(rule: &Rule) -> String {
    match rule.state.reason() {
        Some(reason) => reason.to_owned(),
        None => format!("its addresses {} -> {} may or may not match", listed(&rule.source), listed(&rule.destination)),
    }
}

fn named(rules: &[CheckRule]) -> String {
    let name = |rule: &CheckRule| match rule.priority {
        Some(number) => format!("{} ({number}) in {}", rule.rule, rule.group),
        None => format!("{} in {}", rule.rule, rule.group),
    };
    let shown: Vec<String> = rules.iter().take(3).map(name).collect();
    let more = rules.len().saturating_sub(3);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn explanation(row: &CheckRow, need: &Need) -> String {
    let mut sentences = vec![match row.verdict {
        Verdict::Allow => match row.allowed_by.as_slice() {
            [] => "No rule refuses it.".to_owned(),
            rules => format!("Allowed by {}.", named(rules)),
        },
        Verdict::Deny => format!("Refused by {}.", named(&row.denied_by)),
        Verdict::Partly if row.denied_by.is_empty() => "Some of it is refused.".to_owned(),
        Verdict::Partly => format!("Some of it is refused by {}.", named(&row.denied_by)),
        Verdict::Unknown if row.unsure_because.is_empty() => {
            "The export lacks rules, so nothing is certain.".to_owned()
        }
        Verdict::Unknown => format!("The rules do not tell: {}.", named(&row.unsure_because)),
    }];
    if row.verdict == Verdict::Partly && !row.allowed_by.is_empty() {
        sentences.push(format!("The rest is allowed by {}.", named(&row.allowed_by)));
    }
    if let (Verdict::Unknown, Some(reason)) =
        (row.verdict, row.unsure_because.iter().find_map(|rule| rule.reason.as_ref()))
    {
        sentences.push(format!("Of the first: {reason}."));
    }
    if row.severity == Some(Severity::Info) && row.verdict == Verdict::Partly {
        sentences.push("Turning some callers away is policy.".to_owned());
    }
    if need.has_own_names {
        sentences.push(
            "Azure's own name server, 168.63.129.16, is reached all the same; only other name servers are not."
                .to_owned(),
        );
    }
    for near in &row.near_misses {
        sentences.push(format!("{} may have been meant for it: {}.", near.rule, near.words));
    }
    let hop = |row: &CheckRow| row.route.as_ref().map(|route| route.next_hop.clone()).unwrap_or_default();
    match row.path {
        Some(Path::Tunnelled) => {
            sentences.push(format!("Routes lead it to {}, which must let it pass, too.", hop(row)))
        }
        Some(Path::Dropped) => sentences.push("A route drops it.".to_owned()),
        Some(Path::Unknown) => sentences.push(format!("Routes lead it to {}, which is not known.", hop(row))),
        Some(Path::Direct) | None => {}
    }
    sentences.join(" ")
}
