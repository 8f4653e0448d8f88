//! Findings of refusals that no requirement asks for: private endpoints, backends, ports of another edition.

use std::collections::{BTreeMap, HashMap};

use super::denied::{reach, read_course, state, verdict_of};
use super::draft::{Addresses, Caps, Draft, Key, Lists, Setting, last_hours, requirement};
use super::explain::Facts;
use super::finding::{Finding, HourCount, Kind, Verdict};
use super::hints::Hint;
use super::score::{Activity, Confidence, Severity};
use crate::engine::{SessionError, Table};
use crate::time::Timestamp;

/// Findings of one direction, subnet, ACL and rule that stand by themselves; what is more is one finding.
const APART: usize = 10;
/// In thousandths, where no requirement gives it.
const IMPACT: u16 = 500;

/// One row, with its lists.
struct Refusals {
    finding: Finding,
    /// As [`Finding::new`] takes it.
    key: Key,
    hint: Hint,
    state: Activity,
    hours: Vec<HourCount>,
    locals: Addresses,
    peers: Addresses,
}

/// `rows` are those of the table `findings`; rows with candidates are another's. `hints` are by the number of the finding.
pub fn drafts(
    rows: &Table,
    setting: Setting,
    lists: &mut Lists,
    mut hints: BTreeMap<i64, Hint>,
) -> Result<Vec<Draft>, SessionError> {
    let mut by_rule: BTreeMap<[String; 5], Vec<Refusals>> = BTreeMap::new();
    for row in rows.rows().filter(|&row| rows.text("candidates", row).is_empty()) {
        let number = rows.int("finding", row).unwrap_or_default();
        let refusals = refusals(rows, row, lists, hints.remove(&number).unwrap_or_default())?;
        let Key { direction, vantage, subnet, acl, rule } = refusals.key.clone();
        by_rule.entry([direction, vantage, subnet, acl.to_lowercase(), rule]).or_default().push(refusals);
    }
    let mut drafts = Vec::new();
    for mut all in by_rule.into_values() {
        all.sort_by(|a, b| {
            let worked = |r: &Refusals| r.finding.worked_before == Some(true);
            let (a_tuples, b_tuples) = (a.finding.denied_tuples, b.finding.denied_tuples);
            worked(b).cmp(&worked(a)).then(b_tuples.cmp(&a_tuples)).then(a.finding.id.cmp(&b.finding.id))
        });
        let rest = all.split_off(all.len().min(APART));
        drafts.extend(all.into_iter().map(|one| draft(one, setting)));
        drafts.extend(join(rest).map(|rest| draft(rest, setting)));
    }
    Ok(drafts)
}

fn refusals(rows: &Table, row: usize, lists: &mut Lists, hint: Hint) -> Result<Refusals, SessionError> {
    let number = rows.int("finding", row).unwrap_or_default();
    let verdict = verdict_of(&rows.text("verdict", row))?;
    let key = Key::read(rows, row);
    let (protocol, ports) = (rows.text("protocol", row), rows.ints("ports", row));
    let port = ports.first().map_or("*".to_owned(), ToString::to_string);
    let fingerprint = key.fingerprint(&format!("unlisted:{protocol}/{port}"));
    let mut finding = Finding::new(Kind::UnlistedBlocked, verdict, key.clone(), Vec::new(), fingerprint);
    read_course(&mut finding, rows, row);
    finding.worked_before = match finding.last_allowed_before {
        Some(_) => Some(true),
        None => rows.flag("has_all_contacts", row).then_some(false),
    };
    Ok(Refusals {
        finding,
        key,
        hint,
        state: state(rows, row, verdict),
        hours: lists.take_hours(number),
        locals: lists.take_locals(number),
        peers: lists.take_peers(number),
    })
}

fn draft(refusals: Refusals, setting: Setting) -> Draft {
    let Refusals { mut finding, hint, state, hours, locals, peers, .. } = refusals;
    let has_worked = finding.worked_before == Some(true);
    let endpoint = hint.endpoint().filter(|_| has_worked).and_then(|id| requirement(setting.scope, id));
    match &endpoint {
        Some(requirement) => finding.concern(requirement),
        None => finding.purpose = "no requirement of the edition".to_owned(),
    }
    let reach = reach(&finding, finding.direction == "outbound");
    finding.rate(endpoint.as_ref().map_or(IMPACT, |r| r.impact), Confidence::Possible, state, reach);
    let caps = Caps { kind: finding.kind, verdict: finding.verdict, is_from_internet: false, is_external_only: false };
    let most = match &endpoint {
        Some(_) => Severity::Critical,
        None if has_worked => Severity::Medium,
        None => Severity::Info,
    };
    finding.severity = caps.severity(finding.score, setting).min(most);
    finding.hint = Some(hint.words());
    finding.add_locals(locals);
    finding.add_peers(peers, setting.scope);
    finding.hours = last_hours(hours);
    Draft { finding, requirement: endpoint, facts: Facts::of(setting.scope) }
}

/// Makes one of all; `None` of none.
fn join(rest: Vec<Refusals>) -> Option<Refusals> {
    let mut rest = rest.into_iter();
    let mut joined = rest.next()?;
    let fingerprint = joined.key.fingerprint("unlisted:*/*");
    let (mut hours, mut locals, mut peers) = (BTreeMap::new(), HashMap::new(), HashMap::new());
    let mut protocols = vec![joined.finding.protocol.clone()];
    let mut add = |hour_counts: Vec<HourCount>, local: Addresses, peer: Addresses| {
        hour_counts.into_iter().for_each(|h| *hours.entry(h.hour).or_default() += h.denied_tuples);
        local.into_iter().for_each(|(ip, tuples)| *locals.entry(ip).or_insert(0) += tuples);
        peer.into_iter().for_each(|(ip, tuples)| *peers.entry(ip).or_insert(0) += tuples);
    };
    add(std::mem::take(&mut joined.hours), std::mem::take(&mut joined.locals), std::mem::take(&mut joined.peers));
    for other in rest {
        let (all, one) = (&mut joined.finding, other.finding);
        all.denied_tuples += one.denied_tuples;
        all.denied_tuples_24h += one.denied_tuples_24h;
        all.allowed_24h += one.allowed_24h;
        all.allowed_since_first_denied += one.allowed_since_first_denied;
        all.first_denied = all.first_denied.min(one.first_denied);
        all.last_denied = all.last_denied.max(one.last_denied);
        all.last_allowed_before = all.last_allowed_before.max(one.last_allowed_before);
        all.first_allowed_after = None;
        all.worked_before = match (all.worked_before, one.worked_before) {
            (Some(false), Some(false)) => Some(false),
            (Some(true), _) | (_, Some(true)) => Some(true),
            _ => None,
        };
        all.verdict = worse(all.verdict, one.verdict);
        joined.state = busier(joined.state, other.state);
        protocols.push(one.protocol);
        add(other.hours, other.locals, other.peers);
    }
    protocols.sort_unstable();
    protocols.dedup();
    joined.finding.protocol = protocols.join("+");
    joined.finding.ports = Vec::new();
    joined.finding.id = format!("F-{}", &fingerprint[..8]);
    joined.finding.fingerprint = fingerprint;
    joined.hint = Hint::of_many();
    joined.hours =
        hours.into_iter().map(|(hour, denied_tuples): (Timestamp, i64)| HourCount { hour, denied_tuples }).collect();
    joined.locals = locals.into_iter().collect();
    joined.peers = peers.into_iter().collect();
    Some(joined)
}

/// The verdict that leaves more blocked.
fn worse(a: Verdict, b: Verdict) -> Verdict {
    let order = [Verdict::Blocked, Verdict::Partial, Verdict::ShareUnknown, Verdict::Unanswered, Verdict::Recovered];
    order.into_iter().find(|verdict| *verdict == a || *verdict == b).unwrap_or(a)
}

fn busier(a: Activity, b: Activity) -> Activity {
    let order = [Activity::Ongoing, Activity::Quiet, Activity::Recovered];
    order.into_iter().find(|state| *state == a || *state == b).unwrap_or(a)
}
