//! Drafts findings of refusals that no requirement asks for: private endpoints, backends, ports of another edition.

use std::collections::{BTreeMap, HashMap};

use super::caps::SeverityCaps;
use super::denied::{denials, reach, state, times};
use super::details::{AddressCounts, Details, Ends};
use super::draft::{Draft, Setting};
use super::explain::ExplainContext;
use super::hints::Hint;
use super::identity::FindingKey;
use super::model::{Denials, Finding, Grade, HourCount, Identity, Kind, Times, Verdict};
use super::score::{Confidence, Severity, State};
use crate::engine::{ResultRows, Row, SessionError};
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::time::Timestamp;

/// Maximum number of separate findings per direction, vantage, subnet, ACL and rule. The rest becomes one finding.
const APART: usize = 10;
/// Impact in thousandths if no requirement gives it.
const IMPACT: u16 = 500;

/// Refusals of one row with their lists, or of several rows joined.
struct Refusals {
    identity: Identity,
    key: FindingKey,
    origin: RuleOrigin,
    verdict: Verdict,
    state: State,
    protocol: String,
    ports: Vec<u16>,
    worked_before: Option<bool>,
    denials: Denials,
    times: Times,
    hint: Hint,
    ends: Ends,
}

/// Drafts the rows of the table `findings` without candidates. `hints` are keyed by the number of the finding.
pub fn drafts(
    rows: &ResultRows,
    setting: Setting,
    details: &mut Details,
    mut hints: BTreeMap<i64, Hint>,
) -> Result<Vec<Draft>, SessionError> {
    let mut by_rule: BTreeMap<RuleKey, Vec<Refusals>> = BTreeMap::new();
    for row in rows.rows() {
        if row.text_or_null("candidates")?.is_none() {
            let hint = hints.remove(&row.int("finding")?).unwrap_or_default();
            let refusals = refusals(row, details, hint)?;
            by_rule.entry(rule_key(&refusals.key)).or_default().push(refusals);
        }
    }
    let mut drafts = Vec::new();
    for mut all in by_rule.into_values() {
        all.sort_by(|a, b| {
            let worked = |r: &Refusals| r.worked_before == Some(true);
            let (a_tuples, b_tuples) = (a.denials.denied_tuples, b.denials.denied_tuples);
            worked(b).cmp(&worked(a)).then(b_tuples.cmp(&a_tuples)).then(a.identity.id.cmp(&b.identity.id))
        });
        let rest = all.split_off(all.len().min(APART));
        drafts.extend(all.into_iter().map(|one| draft(one, setting)));
        drafts.extend(join(rest).map(|rest| draft(rest, setting)));
    }
    Ok(drafts)
}

type RuleKey = (ScopeDirection, Vantage, String, String, Option<String>);

fn rule_key(key: &FindingKey) -> RuleKey {
    (key.direction, key.vantage, key.subnet.clone(), key.acl_key(), key.rule.clone())
}

fn refusals(row: Row, details: &mut Details, hint: Hint) -> Result<Refusals, SessionError> {
    let key = FindingKey::read(row)?;
    let verdict = row.named("verdict")?;
    let (protocol, ports) = (row.text("protocol")?, row.ports_or_null("ports")?.unwrap_or_default());
    let port = ports.first().map_or("*".to_owned(), ToString::to_string);
    let times = times(row)?;
    let worked_before = match times.last_allowed_before {
        Some(_) => Some(true),
        None => row.flag("has_all_contacts")?.then_some(false),
    };
    Ok(Refusals {
        identity: key.identity(Kind::UnlistedBlocked, &format!("unlisted:{protocol}/{port}")),
        key,
        origin: row.named("rule_origin")?,
        verdict,
        state: state(row, verdict)?,
        protocol,
        ports,
        worked_before,
        denials: denials(row)?,
        times,
        hint,
        ends: details.take(row.int("finding")?),
    })
}

fn draft(refusals: Refusals, setting: Setting) -> Draft {
    let has_worked = refusals.worked_before == Some(true);
    let endpoint = refusals.hint.endpoint().filter(|_| has_worked).and_then(|id| setting.scope.requirement(id));
    let grade = grade(&refusals, endpoint.map(|requirement| requirement.impact), setting);
    let Refusals { identity, key, origin, protocol, ports, worked_before, denials, times, hint, ends, .. } = refusals;
    let blame = key.blame(origin);
    let subject = key.subject(Vec::new(), protocol, ports);
    let mut finding = Finding::new(identity, grade, subject, blame, ends.listed(setting.scope));
    match endpoint {
        Some(requirement) => finding.concern(requirement),
        None => finding.subject.purpose = "no requirement of the edition".to_owned(),
    }
    (finding.denials, finding.times) = (denials, times);
    finding.meaning.worked_before = worked_before;
    finding.meaning.hint = Some(hint.words());
    Draft { finding, requirement: endpoint.cloned(), context: ExplainContext::of(setting.scope) }
}

/// Returns the grade. `impact` is that of the only service that the flows can belong to, if there is one.
fn grade(refusals: &Refusals, impact: Option<u16>, setting: Setting) -> Grade {
    let Refusals { verdict, state, .. } = *refusals;
    let is_floored = refusals.key.direction == ScopeDirection::Outbound;
    let reach = reach(verdict, &refusals.denials, is_floored);
    let mut grade = Grade::new(verdict, impact.unwrap_or(IMPACT), Confidence::Possible, state, reach);
    SeverityCaps::of(Kind::UnlistedBlocked).apply(&mut grade, setting);
    let most = match impact {
        Some(_) => Severity::Critical,
        None if refusals.worked_before == Some(true) => Severity::Medium,
        None => Severity::Info,
    };
    grade.severity = grade.severity.min(most);
    grade
}

/// Joins all into one; `None` if there are none.
fn join(rest: Vec<Refusals>) -> Option<Refusals> {
    let mut rest = rest.into_iter();
    let mut joined = rest.next()?;
    let mut protocols = vec![joined.protocol.clone()];
    let mut ends = JoinedEnds::default();
    ends.add(std::mem::take(&mut joined.ends));
    for other in rest {
        add_denials(&mut joined.denials, &other.denials);
        add_times(&mut joined.times, &other.times);
        joined.worked_before = match (joined.worked_before, other.worked_before) {
            (Some(false), Some(false)) => Some(false),
            (Some(true), _) | (_, Some(true)) => Some(true),
            _ => None,
        };
        joined.verdict = worse(joined.verdict, other.verdict);
        joined.state = busier(joined.state, other.state);
        protocols.push(other.protocol);
        ends.add(other.ends);
    }
    protocols.sort_unstable();
    protocols.dedup();
    Some(Refusals {
        identity: joined.key.identity(Kind::UnlistedBlocked, "unlisted:*/*"),
        protocol: protocols.join("+"),
        ports: Vec::new(),
        hint: Hint::Several,
        ends: ends.finish(),
        ..joined
    })
}

fn add_denials(all: &mut Denials, one: &Denials) {
    all.denied_tuples += one.denied_tuples;
    all.denied_tuples_24h += one.denied_tuples_24h;
    all.allowed_24h += one.allowed_24h;
    all.allowed_since_first_denied += one.allowed_since_first_denied;
}

fn add_times(all: &mut Times, one: &Times) {
    all.first_denied = all.first_denied.min(one.first_denied);
    all.last_denied = all.last_denied.max(one.last_denied);
    all.last_allowed_before = all.last_allowed_before.max(one.last_allowed_before);
    all.first_allowed_after = None;
}

/// Sums of denied tuples by hour and address.
#[derive(Default)]
struct JoinedEnds {
    hours: BTreeMap<Timestamp, i64>,
    locals: HashMap<u128, i64>,
    peers: HashMap<u128, i64>,
}

impl JoinedEnds {
    fn add(&mut self, ends: Ends) {
        ends.hours.into_iter().for_each(|h| *self.hours.entry(h.hour).or_default() += h.denied_tuples);
        let add = |sums: &mut HashMap<u128, i64>, counts: AddressCounts| {
            counts.into_iter().for_each(|(ip, tuples)| *sums.entry(ip).or_default() += tuples);
        };
        add(&mut self.locals, ends.locals);
        add(&mut self.peers, ends.peers);
    }

    fn finish(self) -> Ends {
        let hours = self.hours.into_iter().map(|(hour, denied_tuples)| HourCount { hour, denied_tuples });
        let (locals, peers) = (self.locals.into_iter().collect(), self.peers.into_iter().collect());
        Ends { locals, peers, hours: hours.collect() }
    }
}

/// Returns the verdict that leaves more blocked.
fn worse(a: Verdict, b: Verdict) -> Verdict {
    let order = [Verdict::Blocked, Verdict::Partial, Verdict::ShareUnknown, Verdict::Unanswered, Verdict::Recovered];
    order.into_iter().find(|verdict| *verdict == a || *verdict == b).unwrap_or(a)
}

fn busier(a: State, b: State) -> State {
    let order = [State::Ongoing, State::Quiet, State::Recovered];
    order.into_iter().find(|state| *state == a || *state == b).unwrap_or(a)
}
