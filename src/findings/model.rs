//! The types of a finding. Fields are in the order of the JSON (contract section 2.5), and absent ones are null.

use serde::{Deserialize, Serialize};

use super::change::Fix;
use super::decimal::Decimal;
use super::evidence::{ChangeFound, PlatformSays};
use super::portal_names::{acl_name, rule_name};
use super::score::{Confidence, Reach, Score, Severity, State};
use super::suppressed::Suppression;
use crate::catalog::{Requirement, dependency};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::names::names;
use crate::time::Timestamp;

/// One blocked dependency, or refusals that may be one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// Rank from 1, the worst first; 0 until all findings are ranked.
    pub rank: u64,
    /// Identity that is the same in every run.
    #[serde(flatten)]
    pub identity: Identity,
    /// Severity, score and the factors of the score.
    #[serde(flatten)]
    pub grade: Grade,
    /// Flows that the finding is about, and their requirement.
    #[serde(flatten)]
    pub subject: Subject,
    /// Rule that decided on the flows.
    #[serde(flatten)]
    pub blame: Blame,
    /// Counts of flow tuples.
    #[serde(flatten)]
    pub denials: Denials,
    /// Consequences, as far as they are known.
    #[serde(flatten)]
    pub meaning: Meaning,
    /// First and last times of refused and allowed flows.
    #[serde(flatten)]
    pub times: Times,
    /// Addresses at both ends, and the hours with refusals.
    #[serde(flatten)]
    pub addresses: Addresses,
    /// Sentences about the flow, its course, its effect and the confidence. Empty until all findings are ranked.
    pub explanation: String,
    /// Change that would open the dependency. [`Fix::none`] until all findings are ranked.
    pub fix: Fix,
    /// Recorded change that may have begun the refusals. The JSON has the key only if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeFound>,
    /// What the instance itself says. The JSON has the key only if its network status is given and names the requirement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformSays>,
    /// Suppression that holds for it. The JSON has the key only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
    /// Counts of allowed connections; `None` unless the finding is about missing answers. The JSON does not hold them,
    /// so a finding that is read back has `None`.
    #[serde(skip)]
    pub unanswered: Option<Unanswered>,
}

/// Identity of a finding, equal in every run that finds the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Short id: `F-` and the first 8 digits of the fingerprint.
    pub id: String,
    /// First 8 bytes of a SHA-256, as 16 lower-case hex digits.
    pub fingerprint: String,
    /// Kind of the finding. The fingerprint does not depend on it.
    pub kind: Kind,
}

/// Kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Refused flows of one requirement.
    BlockedDependency,
    /// Refused flows that may belong to any of several requirements, because nothing confirms their addresses.
    AmbiguousDependency,
    /// Refused callers from the Internet, or callers that no rule ever allowed, while other callers get through.
    SourceRestricted,
    /// Allowed connections of one requirement, at least half of them without an answer.
    UnansweredDependency,
    /// Unanswered dependencies of one subnet that suggest a route to a firewall or appliance.
    ForcedTunnellingSuspected,
    /// Refused flows that no requirement asks for.
    UnlistedBlocked,
    /// The logs and the exported rules disagree.
    ConfigurationContradicts,
    /// The logs and the network status of the instance disagree.
    PlatformContradicts,
}

names!(Kind {
    BlockedDependency = "blocked-dependency",
    AmbiguousDependency = "ambiguous-dependency",
    SourceRestricted = "source-restricted",
    UnansweredDependency = "unanswered-dependency",
    ForcedTunnellingSuspected = "forced-tunnelling-suspected",
    UnlistedBlocked = "unlisted-blocked",
    ConfigurationContradicts = "configuration-contradicts",
    PlatformContradicts = "platform-contradicts",
});

impl Kind {
    /// Returns whether a rule refuses the flows. Flows of the other kinds are allowed and get no answer, or are not what
    /// the finding is about.
    pub fn is_denial(self) -> bool {
        let is_unanswered = matches!(self, Self::UnansweredDependency | Self::ForcedTunnellingSuspected);
        !is_unanswered && !self.is_contradiction()
    }

    /// Returns whether two sources of evidence disagree.
    pub fn is_contradiction(self) -> bool {
        matches!(self, Self::ConfigurationContradicts | Self::PlatformContradicts)
    }
}

/// Severity and score of a finding, and the factors of the score.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grade {
    /// Severity by the score, or less if a cap limits it.
    pub severity: Severity,
    /// Score from 0 to 100.
    pub score: Score,
    /// Importance of the dependency, from 0 to 1 in thousandths.
    pub impact: Decimal<1000>,
    /// Confidence that the flows belong to the requirement.
    pub confidence: Confidence,
    /// Extent of the refusals or missing answers.
    pub verdict: Verdict,
    /// Whether the refusals continue.
    pub state: State,
    /// Share of the flows that is refused, rounded to four decimals. The score uses the exact share.
    pub reach: Decimal<10_000>,
}

impl Grade {
    /// Returns a grade with the score of these factors and the severity of that score. `impact` is in thousandths, at
    /// most 1000.
    pub fn new(verdict: Verdict, impact: u16, confidence: Confidence, state: State, reach: Reach) -> Self {
        let score = Score::new(impact, confidence, state, reach);
        let impact = Decimal::new(impact.into());
        Self { severity: score.severity(), score, impact, confidence, verdict, state, reach: reach.rounded() }
    }
}

/// Extent of the refusals or missing answers of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No new flow was allowed between the refusals of the last 24 hours of the finding.
    Blocked,
    /// Some new flows were allowed between the refusals of the last 24 hours of the finding.
    Partial,
    /// A new flow was allowed at least one hour after the last refusal.
    Recovered,
    /// The logs hold no allowed flows, so the refused share is unknown.
    ShareUnknown,
    /// Flows are allowed, but at least half of the connections get no answer.
    Unanswered,
    /// Two sources of evidence disagree about the flows.
    Contradicted,
}

names!(Verdict {
    Blocked = "blocked",
    Partial = "partial",
    Recovered = "recovered",
    ShareUnknown = "share-unknown",
    Unanswered = "unanswered",
    Contradicted = "contradicted",
});

/// Flows that a finding is about, and the requirement that asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Id of the requirement. Null if several may be meant, or if none asks for the flows.
    pub requirement: Option<String>,
    /// Ids of the requirements that may be meant, sorted. Empty if none asks for the flows.
    pub candidates: Vec<String>,
    /// Purpose of the requirement, or text in its place, such as `one of: ...`.
    pub purpose: String,
    /// Direction as the scope sees it.
    pub direction: ScopeDirection,
    /// End of the connection that logged the flows.
    pub vantage: Vantage,
    /// Subnet of the scope, as CIDR.
    pub subnet: String,
    /// Protocol, such as `TCP`; several are joined by `+`.
    pub protocol: String,
    /// Destination ports, ascending. Empty for any port.
    pub ports: Vec<u16>,
}

/// Rule that decided on the flows. Names are null if the log has none, or if no rule is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// ACL as the log names it, mostly a resource id.
    pub acl: Option<String>,
    /// Last part of `acl`.
    pub acl_name: Option<String>,
    /// Rule as the log names it.
    pub rule: Option<String>,
    /// Rule as the portal names it: `rule` without the log's prefix.
    pub rule_name: Option<String>,
    /// Author of the rule.
    pub rule_origin: RuleOrigin,
}

impl Blame {
    /// Returns the names of an ACL and a rule, as the log and as the portal have them.
    pub fn new(acl: Option<&str>, rule: Option<&str>, rule_origin: RuleOrigin) -> Self {
        Self {
            acl: acl.map(str::to_owned),
            acl_name: acl.map(|acl| acl_name(acl).to_owned()),
            rule: rule.map(str::to_owned),
            rule_name: rule.map(|rule| rule_name(rule).to_owned()),
            rule_origin,
        }
    }

    /// Returns the rule as the log names it, or an empty text without one.
    pub fn rule_text(&self) -> &str {
        self.rule.as_deref().unwrap_or_default()
    }

    /// Returns the last part of the ACL, or an empty text without one.
    pub fn acl_text(&self) -> &str {
        self.acl_name.as_deref().unwrap_or_default()
    }
}

/// Counts of flow tuples of a finding.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Denials {
    /// All denied tuples.
    pub denied_tuples: i64,
    /// Denied tuples of the 24 hours up to the last denial. Hours that reach into them count as a whole.
    pub denied_tuples_24h: i64,
    /// New allowed flows of the same 24 hours, counted the same way.
    pub allowed_24h: i64,
    /// New allowed flows of the hours with such a flow after the first denial.
    pub allowed_since_first_denied: i64,
    /// Allowed tuples that sent something; 0 unless the finding is about missing answers.
    pub sent_tuples: i64,
    /// Tuples of `sent_tuples` without an answer.
    pub unanswered_tuples: i64,
}

/// Consequences of a failure, as far as they are known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meaning {
    /// Whether flows got through before the failure. Null if too many peers were allowed to record each of them.
    pub worked_before: Option<bool>,
    /// Guess at refused flows that no requirement asks for; null in other findings.
    pub hint: Option<String>,
    /// Functions that stop working; null if unknown.
    pub effect: Option<String>,
    /// Whether the finding began after name resolution was refused, and no loaded tag confirms its addresses.
    pub follows_dns: bool,
}

/// First and last times of refused and allowed flows. All are null in findings about missing answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Times {
    /// First refusal.
    pub first_denied: Option<Timestamp>,
    /// Last refusal.
    pub last_denied: Option<Timestamp>,
    /// Last new allowed flow before the first refusal. Refusals that no requirement asks for are compared per peer.
    pub last_allowed_before: Option<Timestamp>,
    /// First new allowed flow after the last refusal.
    pub first_allowed_after: Option<Timestamp>,
}

/// Addresses at both ends of the flows, and the hours in which the flows were refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// Busiest addresses in scope: at most 10, by denied tuples, then by number.
    pub local_addresses: Vec<LocalAddress>,
    /// Busiest peers: at most 10, by denied tuples, then by number. Empty for suspected forced tunnelling.
    pub remote_addresses: Vec<RemoteAddress>,
    /// Number of distinct addresses in scope.
    pub local_address_count: u64,
    /// Number of distinct peers.
    pub remote_address_count: u64,
    /// Whether `remote_address_count` is exact; otherwise it is an estimate.
    pub remote_address_count_exact: bool,
    /// Hours with denied tuples: the last 168, ascending.
    pub hours: Vec<HourCount>,
    /// Denied tuples of peers that the loaded service tags do not list.
    pub outside_loaded_tags: i64,
}

impl Addresses {
    /// Returns no addresses, for a finding that is not about flows.
    pub fn none() -> Self {
        Self {
            local_addresses: Vec::new(),
            remote_addresses: Vec::new(),
            local_address_count: 0,
            remote_address_count: 0,
            remote_address_count_exact: true,
            hours: Vec::new(),
            outside_loaded_tags: 0,
        }
    }
}

/// Address in scope that a finding is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalAddress {
    /// Address as text.
    pub ip: String,
    /// Name that the user gave; null without one.
    pub name: Option<String>,
    /// Denied tuples of this address; 0 in findings about missing answers.
    pub denied_tuples: i64,
}

/// Peer that a finding is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoteAddress {
    /// Address as text.
    pub ip: String,
    /// Name that the user gave; null without one.
    pub name: Option<String>,
    /// Most specific loaded service tag of the address; null if none lists it.
    pub service_tag: Option<String>,
    /// Denied tuples of this address; 0 in findings about missing answers.
    pub denied_tuples: i64,
}

/// Denied tuples of one hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HourCount {
    /// Start of the hour.
    pub hour: Timestamp,
    /// Number of denied tuples in the hour.
    pub denied_tuples: i64,
}

/// Allowed connections that sent something, and the answers to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// Tuples that show whether an answer came back.
    pub connections: i64,
    /// Tuples of `connections` without an answer.
    pub unanswered: i64,
    /// First tuple without an answer.
    pub first: Option<Timestamp>,
    /// Last tuple without an answer.
    pub last: Option<Timestamp>,
    /// Last answer before `first`.
    pub last_answered_before: Option<Timestamp>,
    /// First answer after `last`.
    pub first_answered_after: Option<Timestamp>,
}

impl Unanswered {
    /// Returns the share of the connections that got no answer.
    pub fn reach(&self) -> Reach {
        let (denied, allowed) = (self.unanswered, self.connections - self.unanswered);
        Reach::Share { denied, allowed, is_floored: false }
    }
}

impl Finding {
    /// Returns a finding without rank, counts, times and words.
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
            change: None,
            platform: None,
            suppressed: None,
            unanswered: None,
        }
    }

    /// Sets the requirement, its purpose and its effect.
    pub fn concern(&mut self, requirement: &Requirement) {
        self.subject.requirement = Some(requirement.id.clone());
        self.subject.purpose.clone_from(&requirement.purpose);
        self.meaning.effect = dependency(&requirement.id).map(|known| known.breaks.clone());
    }

    /// Sets the counts of connections, and whether any was answered before.
    pub fn count(&mut self, counts: Unanswered) {
        self.denials.sent_tuples = counts.connections;
        self.denials.unanswered_tuples = counts.unanswered;
        self.meaning.worked_before = Some(counts.last_answered_before.is_some());
        self.unanswered = Some(counts);
    }

    /// Returns whether nothing is known to need the flows: no requirement asks for them, and nothing shows that they
    /// ever worked.
    pub fn is_unneeded(&self) -> bool {
        self.identity.kind == Kind::UnlistedBlocked && self.meaning.worked_before != Some(true)
    }

    /// Returns whether the flows get through again.
    pub fn is_over(&self) -> bool {
        self.grade.verdict == Verdict::Recovered || self.grade.state == State::Recovered
    }

    /// Returns whether the finding still fails, is at least of medium severity, and is not suppressed.
    pub fn is_open(&self) -> bool {
        let Grade { severity, verdict, state, .. } = self.grade;
        self.suppressed.is_none()
            && severity >= Severity::Medium
            && verdict != Verdict::Recovered
            && state != State::Recovered
    }
}
