//! What all kinds of findings share while they are made: identity, lists, caps.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::explain::Facts;
use super::finding::{Basis, Finding, HourCount, Kind, LocalAddress, RemoteAddress, Time, Verdict};
use super::score::{Activity, Score, Severity};
use crate::catalog::{Requirement, Role, role};
use crate::engine::{Scope, Table};

/// How many addresses and hours a finding lists.
const LISTED_ADDRESSES: usize = 10;
const LISTED_HOURS: usize = 168;

/// A finding before it has its rank and its words.
pub struct Draft {
    pub finding: Finding,
    pub requirement: Option<Requirement>,
    pub facts: Facts,
}

/// What tells findings apart, besides their candidates.
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

    /// 16 hex digits of SHA-256 over lines that stay the same from run to run.
    pub fn fingerprint(&self, candidates: &[String]) -> String {
        let lines = [
            candidates.join(","),
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
    /// All candidates are inbound from the Internet.
    pub is_from_internet: bool,
    /// Matters to external mode only, and the mode is unknown.
    pub is_mode_unknown: bool,
    pub basis: Basis,
}

impl Caps {
    pub fn severity(&self, score: Score) -> Severity {
        let is_share_unknown = self.verdict == Verdict::ShareUnknown && self.is_from_internet;
        let is_unsure = self.kind == Kind::AmbiguousDependency || self.is_mode_unknown || self.basis == Basis::Unknown;
        let caps = [
            (self.kind == Kind::SourceRestricted).then_some(Severity::Info),
            is_unsure.then_some(Severity::Medium),
            is_share_unknown.then_some(Severity::Low),
        ];
        caps.into_iter().flatten().fold(score.severity(), Severity::min)
    }
}

/// What findings list, by the number of the finding. The queries give the order.
#[derive(Default)]
pub struct Lists {
    hours: BTreeMap<i64, Vec<HourCount>>,
    locals: BTreeMap<i64, Vec<LocalAddress>>,
    peers: BTreeMap<i64, Vec<(IpAddr, i64)>>,
}

impl Lists {
    pub fn add_hours(&mut self, rows: &Table) {
        for row in rows.rows() {
            if let (Some(finding), Some(hour), Some(denied_tuples)) =
                (rows.int("finding", row), rows.int("hour", row), rows.int("denied_tuples", row))
            {
                self.hours.entry(finding).or_default().push(HourCount { hour: Time(hour), denied_tuples });
            }
        }
    }

    /// Addresses of connections that nobody denied have no `denied_tuples`.
    pub fn add_locals(&mut self, rows: &Table) {
        for row in rows.rows() {
            if let Some(finding) = rows.int("finding", row) {
                let denied_tuples = rows.int("denied_tuples", row).unwrap_or_default();
                let ip = rows.text("ip", row);
                self.locals.entry(finding).or_default().push(LocalAddress { ip, denied_tuples });
            }
        }
    }

    pub fn add_peers(&mut self, rows: &Table) {
        for row in rows.rows() {
            if let Some(finding) = rows.int("finding", row) {
                self.peers.insert(finding, rows.addresses("peers", row));
            }
        }
    }

    /// The last ones.
    pub fn take_hours(&mut self, finding: i64) -> Vec<HourCount> {
        let mut hours = self.hours.remove(&finding).unwrap_or_default();
        hours.drain(..hours.len().saturating_sub(LISTED_HOURS));
        hours
    }

    pub fn take_locals(&mut self, finding: i64) -> Vec<LocalAddress> {
        let mut locals = self.locals.remove(&finding).unwrap_or_default();
        locals.truncate(LISTED_ADDRESSES);
        locals
    }

    pub fn take_peers(&mut self, finding: i64) -> Vec<(IpAddr, i64)> {
        self.peers.remove(&finding).unwrap_or_default()
    }
}

/// The busiest first; among equals in the order of their numbers.
pub fn remote_addresses(mut peers: Vec<(IpAddr, i64)>, scope: &Scope) -> Vec<RemoteAddress> {
    peers.sort_by_key(|&(ip, tuples)| (std::cmp::Reverse(tuples), crate::net::number(ip)));
    peers.truncate(LISTED_ADDRESSES);
    let tags = scope.service_tags.as_ref();
    let listed = peers.into_iter().map(|(ip, denied_tuples)| RemoteAddress {
        ip: ip.to_string(),
        service_tag: tags.and_then(|tags| tags.tag(ip)).map(str::to_owned),
        denied_tuples,
    });
    listed.collect()
}

pub fn requirement(scope: &Scope, id: &str) -> Option<Requirement> {
    scope.requirements().into_iter().find(|r| r.id == id).cloned()
}

impl Draft {
    /// Name resolution is refused.
    pub fn blocks_names(&self) -> bool {
        let is_dns = self.finding.requirement.as_deref().and_then(role) == Some(Role::Dns);
        is_dns && self.finding.kind == Kind::BlockedDependency && self.finding.state == Activity::Ongoing
    }

    /// An ongoing outbound finding of another dependency.
    pub fn may_follow_from_dns(&self) -> bool {
        self.finding.direction == "outbound" && self.finding.state == Activity::Ongoing && !self.blocks_names()
    }
}
