//! Findings, shaped as contract section 2.5 has them: fields in the order of the JSON, absent ones null.

use serde::{Deserialize, Serialize};

use super::change::Fix;
use super::decimal::Decimal;
use super::portal_names::{acl_name, rule_name};
use super::score::{Confidence, Reach, Score, Severity, State};
use crate::catalog::{Requirement, dependency};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::names::names;
use crate::time::Timestamp;

/// One blocked dependency, or refusals that may be one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// From 1, the worst first.
    pub rank: u64,
    #[serde(flatten)]
    pub identity: Identity,
    #[serde(flatten)]
    pub grade: Grade,
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub blame: Blame,
    #[serde(flatten)]
    pub denials: Denials,
    #[serde(flatten)]
    pub meaning: Meaning,
    #[serde(flatten)]
    pub times: Times,
    #[serde(flatten)]
    pub addresses: Addresses,
    pub explanation: String,
    pub fix: Fix,
    /// Connections that a rule allowed. The JSON does not hold them, so that a finding read back has none.
    #[serde(skip)]
    pub unanswered: Option<Unanswered>,
}

/// The same in every run that finds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// `F-` and the first 8 digits of the fingerprint.
    pub id: String,
    /// 16 hex digits.
    pub fingerprint: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BlockedDependency,
    AmbiguousDependency,
    SourceRestricted,
    UnansweredDependency,
    ForcedTunnellingSuspected,
    /// Refusals that no requirement asks for.
    UnlistedBlocked,
}

names!(Kind {
    BlockedDependency = "blocked-dependency",
    AmbiguousDependency = "ambiguous-dependency",
    SourceRestricted = "source-restricted",
    UnansweredDependency = "unanswered-dependency",
    ForcedTunnellingSuspected = "forced-tunnelling-suspected",
    UnlistedBlocked = "unlisted-blocked",
});

impl Kind {
    /// Whether a rule refuses flows; otherwise they are let through and lost.
    pub fn is_denial(self) -> bool {
        !matches!(self, Self::UnansweredDependency | Self::ForcedTunnellingSuspected)
    }
}

/// Severity, and the factors of its score.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grade {
    /// At most that of the score.
    pub severity: Severity,
    pub score: Score,
    pub impact: Decimal<1000>,
    pub confidence: Confidence,
    pub verdict: Verdict,
    pub state: State,
    /// Rounded to four decimals. The score is made of the exact one.
    pub reach: Decimal<10_000>,
}

impl Grade {
    /// Computes the score, and the severity by the score alone. `impact` is in thousandths.
    pub fn new(verdict: Verdict, impact: u16, confidence: Confidence, state: State, reach: Reach) -> Self {
        let score = Score::new(impact, confidence, state, reach);
        let impact = Decimal::new(impact.into());
        Self { severity: score.severity(), score, impact, confidence, verdict, state, reach: reach.rounded() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Blocked,
    Partial,
    Recovered,
    ShareUnknown,
    Unanswered,
}

names!(Verdict {
    Blocked = "blocked",
    Partial = "partial",
    Recovered = "recovered",
    ShareUnknown = "share-unknown",
    Unanswered = "unanswered",
});

/// The flows that it concerns, and the requirement that they belong to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subject {
    /// Null while it may be one of several.
    pub requirement: Option<String>,
    /// Sorted.
    pub candidates: Vec<String>,
    pub purpose: String,
    pub direction: ScopeDirection,
    pub vantage: Vantage,
    pub subnet: String,
    /// One or several, joined by `+`.
    pub protocol: String,
    /// Ascending; empty for any port.
    pub ports: Vec<u16>,
}

/// The rule that decided on the flows. Null where no rule is to blame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Blame {
    pub acl: Option<String>,
    /// Last part of the ACL's resource id.
    pub acl_name: Option<String>,
    pub rule: Option<String>,
    /// Name in the portal: without the log's prefix.
    pub rule_name: Option<String>,
    pub rule_origin: RuleOrigin,
}

impl Blame {
    pub fn new(acl: Option<&str>, rule: Option<&str>, rule_origin: RuleOrigin) -> Self {
        Self {
            acl: acl.map(str::to_owned),
            acl_name: acl.map(|acl| acl_name(acl).to_owned()),
            rule: rule.map(str::to_owned),
            rule_name: rule.map(|rule| rule_name(rule).to_owned()),
            rule_origin,
        }
    }

    /// Returns the rule as the log names it; empty where no rule is to blame.
    pub fn rule_text(&self) -> &str {
        self.rule.as_deref().unwrap_or_default()
    }

    /// Returns the name of the ACL; empty where no rule is to blame.
    pub fn acl_text(&self) -> &str {
        self.acl_name.as_deref().unwrap_or_default()
    }
}

/// Counts of flow tuples.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Denials {
    pub denied_tuples: i64,
    pub denied_tuples_24h: i64,
    pub allowed_24h: i64,
    /// New allowed flows of the hours from the first denial on.
    pub allowed_since_first_denied: i64,
    /// Allowed tuples that sent something, where unanswered ones are the finding.
    pub sent_tuples: i64,
    /// Tuples of `sent_tuples` without an answer.
    pub unanswered_tuples: i64,
}

/// Consequences of the refusal, as far as they are known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meaning {
    /// Null where too many peers were let through to know.
    pub worked_before: Option<bool>,
    /// Guess at a refused flow that no requirement asks for.
    pub hint: Option<String>,
    /// Functions that stop working.
    pub effect: Option<String>,
    /// Whether it began after name resolution was refused, and nothing confirms its addresses.
    pub follows_dns: bool,
}

/// Times of the first and last flows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Times {
    pub first_denied: Option<Timestamp>,
    pub last_denied: Option<Timestamp>,
    pub last_allowed_before: Option<Timestamp>,
    pub first_allowed_after: Option<Timestamp>,
}

/// Both ends of the flows, and the hours in which they were refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// At most 10, by denied tuples, then by number.
    pub local_addresses: Vec<LocalAddress>,
    /// At most 10, by denied tuples, then by number.
    pub remote_addresses: Vec<RemoteAddress>,
    pub local_address_count: u64,
    pub remote_address_count: u64,
    /// If false, the count is an estimate.
    pub remote_address_count_exact: bool,
    /// The last 168 with denied tuples, ascending.
    pub hours: Vec<HourCount>,
    /// Denied tuples of addresses that the loaded service tags do not list.
    pub outside_loaded_tags: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalAddress {
    pub ip: String,
    pub denied_tuples: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoteAddress {
    pub ip: String,
    pub service_tag: Option<String>,
    pub denied_tuples: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HourCount {
    /// Start of the hour.
    pub hour: Timestamp,
    pub denied_tuples: i64,
}

/// Allowed connections that sent something, and whether an answer came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// Tuples that show whether there was an answer.
    pub connections: i64,
    /// Tuples of `connections` without an answer.
    pub unanswered: i64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub last_answered_before: Option<Timestamp>,
    pub first_answered_after: Option<Timestamp>,
}

impl Unanswered {
    pub fn reach(&self) -> Reach {
        let (denied, allowed) = (self.unanswered, self.connections - self.unanswered);
        Reach::Share { denied, allowed, is_floored: false }
    }
}

impl Finding {
    /// A finding without rank, counts, times and words.
    pub fn new(identity: Identity, grade: Grade, subject: Subject, blame: Blame, addresses: Addresses) -> Self {
        Self {
            rank: 0,
            identity,
            grade,
            subject,
            blame,
            denials: Denials::default(),
            meaning: Meaning::default(),
            times: Times::default(),
            addresses,
            explanation: String::new(),
            fix: Fix::none(),
            unanswered: None,
        }
    }

    /// Sets the requirement with its purpose and effect.
    pub fn concern(&mut self, requirement: &Requirement) {
        self.subject.requirement = Some(requirement.id.clone());
        self.subject.purpose.clone_from(&requirement.purpose);
        self.meaning.effect = dependency(&requirement.id).map(|known| known.breaks.clone());
    }

    /// Sets the counts of connections, and whether they were answered before.
    pub fn count(&mut self, counts: Unanswered) {
        self.denials.sent_tuples = counts.connections;
        self.denials.unanswered_tuples = counts.unanswered;
        self.meaning.worked_before = Some(counts.last_answered_before.is_some());
        self.unanswered = Some(counts);
    }

    /// Whether nothing is known to need the flows: no requirement asks for them, and they never worked.
    pub fn is_unneeded(&self) -> bool {
        self.identity.kind == Kind::UnlistedBlocked && self.meaning.worked_before != Some(true)
    }

    /// Whether it still fails, and is severe enough to be read first.
    pub fn is_open(&self) -> bool {
        let Grade { severity, verdict, state, .. } = self.grade;
        severity >= Severity::Medium && verdict != Verdict::Recovered && state != State::Recovered
    }
}
