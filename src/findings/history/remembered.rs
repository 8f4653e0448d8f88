//! What is remembered of findings between runs.

use serde::{Deserialize, Serialize};

use super::super::analysis::Analysis;
use super::super::mode::ModeOrigin;
use super::super::model::{Blame, Finding, Kind, Subject, Verdict};
use super::super::score::Severity;
use super::super::suppressed::Suppression;
use crate::catalog::InstanceMode;
use crate::names::names;
use crate::net::Prefix;
use crate::time::Timestamp;

/// Findings of the runs so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Number of runs, those that failed included.
    pub run: u64,
    /// What the user had set at the last run; null before the first.
    pub epoch: Option<Epoch>,
    /// Time of the last run.
    pub last_run: Timestamp,
    /// Mode that the logs proved in the last run, or before; null without one.
    #[serde(default)]
    pub proven_mode: Option<InstanceMode>,
    /// Findings by fingerprint.
    pub findings: Vec<Remembered>,
}

/// Settings without whose equality two analyses cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Edition of the port table.
    pub edition: String,
    /// Subnets that the user gave, sorted; empty if they were inferred.
    pub subnets: Vec<String>,
    /// Mode that the user gave; null if it was inferred.
    pub vnet_mode: Option<InstanceMode>,
}

/// One finding, as far as later runs need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Short id.
    pub id: String,
    /// Identity, equal in every run that finds the same.
    pub fingerprint: String,
    /// Kind of the finding.
    pub kind: Kind,
    /// Severity at the last run that found it.
    pub severity: Severity,
    /// Verdict at the last run that found it.
    pub verdict: Verdict,
    /// Whether it holds.
    pub standing: Standing,
    /// Time of the run since which it stands so.
    pub since: Timestamp,
    /// Time of the first run that found it.
    pub first_seen: Timestamp,
    /// Time of the last run that found it.
    pub last_seen: Timestamp,
    /// Flows that it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// Rule that decided on them.
    #[serde(flatten)]
    pub blame: Blame,
    /// Addresses of its busiest peers.
    pub peers: Vec<String>,
    /// First refusal.
    pub first_denied: Option<Timestamp>,
    /// Last refusal.
    pub last_denied: Option<Timestamp>,
    /// Last new allowed flow before the first refusal, in whatever run that was seen.
    pub last_allowed_before: Option<Timestamp>,
    /// Suppression that held at the last run; null without one.
    pub suppressed: Option<Suppression>,
}

/// Whether a finding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The last run found it.
    Open,
    /// The dependency was seen to work again.
    Resolved,
    /// It is absent, and nothing shows that the dependency works.
    OutOfSight,
}

names!(Standing { Open = "open", Resolved = "resolved", OutOfSight = "lost-sight" });

impl History {
    /// Returns the history before the first run.
    pub fn new() -> Self {
        Self { run: 0, epoch: None, last_run: Timestamp(0), proven_mode: None, findings: Vec::new() }
    }

    /// Returns the history of one analysis, made at `now`, with the suppressions that it names.
    pub fn of(analysis: &Analysis, now: Timestamp) -> Self {
        let remember = |found: &Finding| Remembered::of(found, now);
        let mut findings: Vec<Remembered> = analysis.findings.iter().map(remember).collect();
        findings.sort_unstable_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        let proven_mode = proven_mode(analysis);
        Self { run: 1, epoch: Some(Epoch::of(analysis)), last_run: now, proven_mode, findings }
    }

    /// Returns the mode that an earlier run over the subnets that the user gave proved, as long as a finding lasts.
    pub fn lasting_mode(&self, subnets: &[Prefix]) -> Option<InstanceMode> {
        let lasts = self.findings.iter().any(|finding| finding.standing != Standing::Resolved);
        let mut subnets: Vec<String> = subnets.iter().map(Prefix::to_string).collect();
        subnets.sort_unstable();
        let is_alike = self.epoch.as_ref().is_some_and(|epoch| epoch.subnets == subnets);
        self.proven_mode.filter(|_| lasts && is_alike)
    }
}

/// Returns the mode that an analysis proved, or took over from the one before it.
pub fn proven_mode(analysis: &Analysis) -> Option<InstanceMode> {
    analysis.scope.vnet_mode.filter(|_| analysis.scope.vnet_mode_origin == Some(ModeOrigin::Proven))
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl Epoch {
    /// Returns the epoch of an analysis.
    pub fn of(analysis: &Analysis) -> Self {
        let scope = &analysis.scope;
        let mut subnets = match analysis.is_scope_given() {
            true => scope.subnets.clone(),
            false => Vec::new(),
        };
        subnets.sort_unstable();
        let is_given = scope.vnet_mode_origin == Some(ModeOrigin::Given);
        Self { edition: scope.edition.clone(), subnets, vnet_mode: scope.vnet_mode.filter(|_| is_given) }
    }

    /// Returns in words what differs; `None` if nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let parts = [
            (self.edition != other.edition).then(|| format!("edition {} instead of {}", other.edition, self.edition)),
            (self.subnets != other.subnets).then(|| "other subnets".to_owned()),
            (self.vnet_mode != other.vnet_mode).then(|| "another mode of the virtual network".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("the last run had other settings: {}", parts.join(", ")))
    }
}

impl Remembered {
    /// Returns what to remember of a finding that a run at `now` made.
    pub fn of(found: &Finding, now: Timestamp) -> Self {
        Self {
            id: found.identity.id.clone(),
            fingerprint: found.identity.fingerprint.clone(),
            kind: found.identity.kind,
            severity: found.grade.severity,
            verdict: found.grade.verdict,
            standing: if found.is_over() { Standing::Resolved } else { Standing::Open },
            since: now,
            first_seen: now,
            last_seen: now,
            subject: found.subject.clone(),
            blame: found.blame.clone(),
            peers: found.addresses.remote_addresses.iter().map(|peer| peer.ip.clone()).collect(),
            first_denied: found.times.first_denied,
            last_denied: found.times.last_denied,
            last_allowed_before: found.times.last_allowed_before,
            suppressed: found.suppressed.clone(),
        }
    }

    /// Raises a finding of a later run to what was proven: that it worked before, and how severe it is unless flows
    /// were allowed after the last refusal. A finding whose identity changed stays suppressed while the suppression holds
    /// at `now`, because the suppression may name the identity.
    pub fn carry(&self, found: &mut Finding, now: Timestamp) {
        if self.fingerprint != found.identity.fingerprint && found.suppressed.is_none() {
            found.suppressed = self.suppressed.clone().filter(|held| held.holds(now));
        }
        if self.standing == Standing::Resolved {
            return;
        }
        if found.times.last_allowed_before.is_none() && self.last_allowed_before.is_some() {
            found.times.last_allowed_before = self.last_allowed_before;
            found.meaning.worked_before = Some(true);
        }
        if let (Some(known), Some(first)) = (self.first_denied, found.times.first_denied) {
            found.times.first_denied = Some(first.min(known));
        }
        let is_better = found.is_over() || found.times.first_allowed_after.is_some();
        if !is_better {
            found.grade.severity = found.grade.severity.max(self.severity);
        }
    }
}
