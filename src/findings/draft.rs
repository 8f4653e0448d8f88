//! What all kinds of findings share while they are made: identity, lists, caps.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::analysis::Basis;
use super::explain::Facts;
use super::finding::{Finding, Fix, HourCount, Kind, LocalAddress, RemoteAddress, Verdict};
use super::mode::{Mode, Origin};
use super::names::{acl_name, rule_name};
use super::score::{Activity, Confidence, Reach, Score, Severity};
use crate::catalog::{InstanceMode, Requirement, Role, dependency, role};
use crate::engine::{EXACT_ADDRESSES, Scope, Session, SessionError, Table, distinct_addresses};
use crate::net::address;
use crate::queries;
use crate::time::Timestamp;

/// How many addresses and hours a finding lists.
const LISTED_ADDRESSES: usize = 10;
const LISTED_HOURS: usize = 168;

/// A finding before it has its rank and its words.
pub struct Draft {
    pub finding: Finding,
    pub requirement: Option<Requirement>,
    pub facts: Facts,
}

/// What findings are made against.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub scope: &'a Scope,
    pub mode: Mode,
    pub basis: Basis,
}

/// What tells findings apart, besides their candidates.
#[derive(Debug, Clone)]
pub struct Key {
    pub direction: String,
    pub vantage: String,
    pub subnet: String,
    /// Empty where no rule is to blame.
    pub acl: String,
    pub rule: String,
}

impl Key {
    pub fn read(rows: &Table, row: usize) -> Self {
        let text = |name: &str| rows.text(name, row);
        Self {
            direction: text("direction"),
            vantage: text("vantage"),
            subnet: text("subnet"),
            acl: text("acl"),
            rule: text("rule"),
        }
    }

    /// 16 hex digits of SHA-256 over lines that stay the same from run to run. The first one says what is concerned:
    /// candidate ids mostly.
    pub fn fingerprint(&self, first: &str) -> String {
        let lines = [
            first.to_owned(),
            self.direction.clone(),
            self.vantage.clone(),
            self.subnet.clone(),
            self.acl.to_lowercase(),
            self.rule.clone(),
        ];
        let digest = Sha256::digest(lines.join("\n").as_bytes());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What holds a severity down.
pub struct Caps {
    pub kind: Kind,
    pub verdict: Verdict,
    /// All candidates that answered yes are inbound from the Internet.
    pub is_from_internet: bool,
    /// Matters to external mode only.
    pub is_external_only: bool,
}

impl Caps {
    pub fn severity(&self, score: Score, setting: Setting) -> Severity {
        let is_share_unknown = self.verdict == Verdict::ShareUnknown && self.is_from_internet;
        let is_unsure = self.kind == Kind::AmbiguousDependency || setting.basis == Basis::Unknown;
        let of_mode = match (setting.mode.mode, setting.mode.origin) {
            _ if !self.is_external_only => None,
            (None, _) => Some(Severity::Medium),
            (Some(InstanceMode::Internal), Some(Origin::Likely)) => Some(Severity::Low),
            _ => None,
        };
        let caps = [
            (self.kind == Kind::SourceRestricted).then_some(Severity::Info),
            is_unsure.then_some(Severity::Medium),
            is_share_unknown.then_some(Severity::Low),
            of_mode,
        ];
        caps.into_iter().flatten().fold(score.severity(), Severity::min)
    }
}

impl Finding {
    /// A finding without counts, times and score.
    pub fn new(kind: Kind, verdict: Verdict, key: Key, candidates: Vec<String>, fingerprint: String) -> Self {
        let named = |text: &str, name: fn(&str) -> &str| (!text.is_empty()).then(|| name(text).to_owned());
        Self {
            rank: 0,
            id: format!("F-{}", &fingerprint[..8]),
            fingerprint,
            kind,
            severity: Severity::Info,
            score: Score::default(),
            impact: 0.0,
            confidence: Confidence::Possible,
            verdict,
            state: Activity::Ongoing,
            reach: Reach::Whole,
            requirement: None,
            candidates,
            purpose: String::new(),
            acl_name: named(&key.acl, acl_name),
            acl: named(&key.acl, |acl| acl),
            rule_name: named(&key.rule, rule_name),
            rule: named(&key.rule, |rule| rule),
            direction: key.direction,
            vantage: key.vantage,
            subnet: key.subnet,
            protocol: String::new(),
            ports: Vec::new(),
            rule_origin: "unknown".to_owned(),
            denied_tuples: 0,
            denied_tuples_24h: 0,
            allowed_24h: 0,
            allowed_since_first_denied: 0,
            sent_tuples: 0,
            unanswered_tuples: 0,
            worked_before: None,
            hint: None,
            effect: None,
            follows_dns: false,
            first_denied: None,
            last_denied: None,
            last_allowed_before: None,
            first_allowed_after: None,
            local_addresses: Vec::new(),
            remote_addresses: Vec::new(),
            local_address_count: 0,
            remote_address_count: 0,
            remote_address_count_exact: true,
            hours: Vec::new(),
            outside_loaded_tags: 0,
            explanation: String::new(),
            fix: Fix::none(),
            unanswered: None,
        }
    }

    /// Sets the requirement, and what is known of it.
    pub fn concern(&mut self, requirement: &Requirement) {
        self.requirement = Some(requirement.id.clone());
        self.purpose.clone_from(&requirement.purpose);
        self.effect = dependency(&requirement.id).map(|known| known.breaks.clone());
    }

    /// Sets impact, state, confidence and reach, and what they come to.
    pub fn rate(&mut self, impact: u16, confidence: Confidence, state: Activity, reach: Reach) {
        self.impact = f64::from(impact) / 1000.0;
        self.score = Score::new(impact, confidence, state, reach);
        (self.confidence, self.state, self.reach) = (confidence, state, reach);
    }

    /// Sets the local addresses: how many there are, and the busiest.
    pub fn add_locals(&mut self, locals: Addresses) {
        self.local_address_count = distinct_addresses(&locals);
        let listed = busiest(locals).into_iter();
        self.local_addresses =
            listed.map(|(ip, denied_tuples)| LocalAddress { ip: ip.to_string(), denied_tuples }).collect();
    }

    /// Sets the remote addresses: how many there are, and the busiest.
    pub fn add_peers(&mut self, peers: Addresses, scope: &Scope) {
        self.remote_address_count = distinct_addresses(&peers);
        self.remote_address_count_exact = peers.len() <= EXACT_ADDRESSES;
        self.remote_addresses = remote_addresses(peers, scope);
    }
}

/// Addresses by their places on the common number line, with their tuples.
pub type Addresses = Vec<(u128, i64)>;

/// What findings list, by the number of the finding. The queries give the order.
#[derive(Default)]
pub struct Lists {
    hours: BTreeMap<i64, Vec<HourCount>>,
    locals: BTreeMap<i64, Addresses>,
    peers: BTreeMap<i64, Addresses>,
}

impl Lists {
    /// Reads the lists of all denied groups.
    pub async fn of_denied(session: &Session) -> Result<Self, SessionError> {
        let (hours, addresses) =
            tokio::try_join!(session.materialized(queries::FINDING_HOURS), session.table(queries::FINDING_ADDRESSES))?;
        let mut lists = Self::default();
        lists.add_hours(&hours);
        lists.add_addresses(&addresses);
        Ok(lists)
    }

    fn add_hours(&mut self, rows: &Table) {
        for row in rows.rows() {
            if let (Some(finding), Some(hour), Some(denied_tuples)) =
                (rows.int("finding", row), rows.int("hour", row), rows.int("denied_tuples", row))
            {
                self.hours.entry(finding).or_default().push(HourCount { hour: Timestamp(hour), denied_tuples });
            }
        }
    }

    pub fn add_addresses(&mut self, rows: &Table) {
        for row in rows.rows() {
            if let Some(finding) = rows.int("finding", row) {
                self.locals.insert(finding, rows.addresses("locals", row));
                self.peers.insert(finding, rows.addresses("peers", row));
            }
        }
    }

    /// All hours, ascending.
    pub fn take_hours(&mut self, finding: i64) -> Vec<HourCount> {
        self.hours.remove(&finding).unwrap_or_default()
    }

    pub fn take_locals(&mut self, finding: i64) -> Addresses {
        self.locals.remove(&finding).unwrap_or_default()
    }

    pub fn take_peers(&mut self, finding: i64) -> Addresses {
        self.peers.remove(&finding).unwrap_or_default()
    }
}

/// Keeps the last hours that a finding lists.
pub fn last_hours(mut hours: Vec<HourCount>) -> Vec<HourCount> {
    hours.drain(..hours.len().saturating_sub(LISTED_HOURS));
    hours
}

/// Those that a finding lists, the busiest first; among equals in the order of their numbers.
fn busiest(mut addresses: Addresses) -> Vec<(IpAddr, i64)> {
    let order = |&(number, tuples): &(u128, i64)| (Reverse(tuples), number);
    if addresses.len() > LISTED_ADDRESSES {
        addresses.select_nth_unstable_by_key(LISTED_ADDRESSES, order);
        addresses.truncate(LISTED_ADDRESSES);
    }
    addresses.sort_unstable_by_key(order);
    addresses.into_iter().map(|(number, tuples)| (address(number), tuples)).collect()
}

fn remote_addresses(peers: Addresses, scope: &Scope) -> Vec<RemoteAddress> {
    let tags = scope.service_tags();
    let listed = busiest(peers).into_iter().map(|(ip, denied_tuples)| RemoteAddress {
        ip: ip.to_string(),
        service_tag: tags.and_then(|tags| tags.tag(ip)).map(str::to_owned),
        denied_tuples,
    });
    listed.collect()
}

pub fn requirement(scope: &Scope, id: &str) -> Option<Requirement> {
    scope.requirement(id).cloned()
}

impl Draft {
    /// Since when name resolution is refused, where that is what was found.
    pub fn nameless_since(&self) -> Option<Timestamp> {
        let finding = &self.finding;
        let is_dns = finding.requirement.as_deref().and_then(role) == Some(Role::Dns);
        let is_refused = finding.kind == Kind::BlockedDependency && finding.state == Activity::Ongoing;
        finding.first_denied.filter(|_| is_dns && is_refused)
    }

    /// An ongoing outbound finding of another dependency that began after this time, and whose addresses nothing confirms.
    pub fn may_follow(&self, nameless_since: Timestamp) -> bool {
        let finding = &self.finding;
        let began = finding.first_denied.or(finding.unanswered.and_then(|counts| counts.first));
        finding.direction == "outbound"
            && finding.state == Activity::Ongoing
            && finding.kind != Kind::SourceRestricted
            && self.nameless_since().is_none()
            && !self.facts.is_named
            && began.is_some_and(|began| began > nameless_since)
    }
}
