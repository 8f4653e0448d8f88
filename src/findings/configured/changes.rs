//! Joins findings with recorded changes: what was written when the refusals began, and by whom.

use crate::findings::analysis::{Analysis, Notice};
use crate::findings::counted;
use crate::findings::evidence::{Certainty, ChangeFound};
use crate::findings::model::Finding;
use crate::findings::notice_code::NoticeCode;
use crate::flow::RuleOrigin;
use crate::platform::{Recorded, Recordings, Target};
use crate::policy::Access;
use crate::time::{HOUR, MINUTE, Timestamp};

/// Slack of the first refusal: the clocks of logs and records differ.
const AFTER: i64 = 2 * MINUTE;
/// Slack of the last allowed flow, because records of flows are written late.
const BEFORE: i64 = 10 * MINUTE;
/// Time that a commit of a network manager may take.
const COMMIT: i64 = HOUR;
/// Time before the first refusal that is searched if no allowed flow is known.
const UNKNOWN_START: i64 = 24 * HOUR;

/// Problems that a notice lists.
const LISTED: usize = 3;

/// How well a change fits a finding. Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    SameRule,
    DeletedRule,
    /// A route, for flows without answers.
    Route,
    SameGroup,
    Network,
    Other,
    /// It wrote what was there before.
    Repeated,
}

/// The time in which a change must lie to explain a finding.
#[derive(Clone, Copy)]
struct Onset {
    /// First refusal, or first connection without answer.
    first: Timestamp,
    /// Last flow before it that worked; `None` if none is known.
    before: Option<Timestamp>,
}

impl Onset {
    /// Returns when a finding began; `None` if it is not about flows.
    fn of(finding: &Finding) -> Option<Self> {
        match finding.unanswered {
            Some(silent) => Some(Self { first: silent.first?, before: silent.last_answered_before }),
            None => Some(Self { first: finding.times.first_denied?, before: finding.times.last_allowed_before }),
        }
    }

    /// Returns the earliest time of a change.
    fn from(self) -> i64 {
        self.before.map_or(self.first.0 - UNKNOWN_START, |before| before.0 - BEFORE)
    }
}

/// Gives each finding about refused or unanswered flows the change that fits best.
pub fn join(analysis: &mut Analysis, recordings: &Recordings) {
    let mut uncovered = 0;
    for finding in analysis.findings.iter_mut().filter(|finding| !finding.is_unneeded()) {
        let Some(onset) = Onset::of(finding) else { continue };
        let is_covered = recordings.first.is_some_and(|start| start.0 <= onset.from());
        finding.change = fitting(finding, &recordings.changes, onset);
        let words = match &finding.change {
            Some(change) => sentence(change),
            None if is_covered => {
                "The activity log has no change of it between the last flow that worked and the first that did not."
                    .to_owned()
            }
            None => String::new(),
        };
        uncovered += i64::from(!is_covered);
        finding.explanation = format!("{} {words}", finding.explanation).trim().to_owned();
    }
    if uncovered > 0 {
        let span = match (recordings.first, recordings.last) {
            (Some(first), Some(last)) => format!("it covers {} to {}", first.minute(), last.minute()),
            _ => "it holds no event".to_owned(),
        };
        let message = format!(
            "the activity log does not reach back to the beginning of {}: {span}; export it with az monitor activity-log list --offset 90d --max-events 5000",
            counted(uncovered, "finding")
        );
        analysis.notices.push(Notice { code: NoticeCode::ChangesUncovered, message });
    }
    if !recordings.unread.is_empty() {
        let shown = recordings.unread.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = recordings.unread.len().saturating_sub(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let message =
            format!("a part of the activity log could not be read, so a change may be missing: {shown}{more}");
        analysis.notices.push(Notice { code: NoticeCode::ChangesUnread, message });
    }
}

/// Says what a change did, and how surely it began the refusals.
fn sentence(change: &ChangeFound) -> String {
    let who = change.actor.as_deref().unwrap_or("Somebody whom the record does not name");
    let what = change.operation.rsplit('/').next().unwrap_or_default();
    let did = if what == "delete" { "deleted" } else { "wrote" };
    let name = change.resource.rsplit('/').next().unwrap_or_default();
    let after = change.after.as_ref().map(|after| format!(" ({after})")).unwrap_or_default();
    let certainty = match (change.certainty, change.candidates) {
        (Certainty::Caused, _) => "which began it".to_owned(),
        (Certainty::Probable, _) => "which probably began it".to_owned(),
        (Certainty::Possible, 1) => "which may have begun it".to_owned(),
        (Certainty::Possible, n) => format!("which may have begun it, as {n} changes may have"),
    };
    format!("{who} {did} {name}{after} at {}, {certainty}.", change.time.minute())
}

fn fitting(finding: &Finding, changes: &[Recorded], onset: Onset) -> Option<ChangeFound> {
    let mut fitting: Vec<(Fit, i64, &Recorded)> = changes
        .iter()
        .enumerate()
        .filter(|(_, change)| {
            let early = if change.target == Target::Manager { COMMIT } else { 0 };
            (onset.from() - early..=onset.first.0 + AFTER).contains(&change.time.0)
        })
        .filter_map(|(place, change)| {
            let fit = fit(finding, change)?;
            let fit = if is_repeated(changes, place) { Fit::Repeated } else { fit };
            Some((fit, (onset.first.0 - change.time.0).abs(), change))
        })
        .collect();
    fitting.sort_by_key(|(fit, distance, _)| (*fit, *distance));
    let (best, _, change) = *fitting.first()?;
    let rivals = fitting.iter().filter(|(fit, ..)| *fit == best).count();
    let certainty = match (best, rivals, onset.before.is_some()) {
        (Fit::SameRule | Fit::DeletedRule, 1, true) => Certainty::Caused,
        (Fit::SameRule | Fit::DeletedRule, _, true) => Certainty::Probable,
        (Fit::Repeated, ..) => Certainty::Possible,
        (_, 1, true) if fitting.len() == 1 => Certainty::Probable,
        _ => Certainty::Possible,
    };
    Some(ChangeFound {
        time: change.time,
        actor: change.actor.clone(),
        operation: change.operation.clone(),
        resource: change.resource.clone(),
        correlation_id: change.correlation_id.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
        certainty,
        candidates: fitting.len() as u64,
    })
}

/// Returns whether a change wrote the same rules as the one before it, as a pipeline does that runs again.
fn is_repeated(changes: &[Recorded], place: usize) -> bool {
    let Some((change, before)) = changes.get(..=place).and_then(<[Recorded]>::split_last) else { return false };
    let before = before.iter().rev().find(|other| other.resource == change.resource);
    let is_same = |before: &Recorded| before.operation == change.operation && before.rules == change.rules;
    !change.rules.is_empty() && before.is_some_and(is_same)
}

/// Returns how a change fits; `None` if it is about something else.
fn fit(finding: &Finding, change: &Recorded) -> Option<Fit> {
    if finding.unanswered.is_some() {
        return fit_of_silence(change.target);
    }
    let group = finding.blame.acl.as_deref().unwrap_or_default().to_ascii_lowercase();
    let rule = finding.blame.rule_name.as_deref().unwrap_or_default();
    let is_of_group =
        !group.is_empty() && (change.resource == group || change.resource.starts_with(&format!("{group}/")));
    let is_admin = finding.blame.rule_origin == RuleOrigin::Admin;
    let is_named = change.resource.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(rule));
    let denies = change.rules.iter().any(|own| own.name.eq_ignore_ascii_case(rule) && own.access == Some(Access::Deny));
    match change.target {
        Target::Manager => is_admin.then_some(Fit::SameGroup),
        _ if is_admin => None,
        // Without the rule that refuses, more would pass.
        Target::Rule if is_of_group && change.operation.ends_with("/delete") => (!is_named).then_some(Fit::DeletedRule),
        // Without a body, the name alone tells.
        Target::Rule if is_of_group && is_named && (denies || change.rules.is_empty()) => Some(Fit::SameRule),
        Target::Group if is_of_group && denies => Some(Fit::SameRule),
        Target::Rule | Target::Group => is_of_group.then_some(Fit::SameGroup),
        Target::Network => Some(Fit::Network),
        Target::Instance => Some(Fit::Other),
        Target::Route => None,
    }
}

/// Returns how a change fits flows that a rule allowed and that got no answer: it is none of rules.
fn fit_of_silence(target: Target) -> Option<Fit> {
    match target {
        Target::Route => Some(Fit::Route),
        Target::Network => Some(Fit::Network),
        Target::Instance => Some(Fit::Other),
        Target::Rule | Target::Group | Target::Manager => None,
    }
}
