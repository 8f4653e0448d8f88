//! The words that messages share, and how they are cut to what a receiver takes.

use serde::Serialize;
use serde_json::Value;

use super::outcome::Outcome;
use crate::findings::history::{Change, Transition};
use crate::findings::{Severity, Word, counted};
use crate::report::name_of;
use crate::report::sink::visible;
use crate::time::Timestamp;

/// Bytes that a message stays below, so that it is also taken after the receiver wraps it.
pub const MOST_BYTES: usize = 20_000;
/// Longest name of a rule, a dependency or an ACL in characters.
const LONGEST_NAME: usize = 120;
/// Longest error in characters, and the most of them.
const LONGEST_ERROR: usize = 300;
const MOST_ERRORS: usize = 5;

/// Returns the first characters of a text, without hidden ones.
pub fn clip(text: &str, most: usize) -> String {
    let text = visible(text);
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// Returns the length of a value as JSON.
pub fn length(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// Takes items while they fit into `room` bytes, at most `most` of them. Returns those and the number of all others.
pub fn fit(room: &mut usize, most: usize, items: impl Iterator<Item = Value>) -> (Vec<Value>, usize) {
    let (mut taken, mut left) = (Vec::new(), 0);
    for item in items {
        let needed = length(&item).saturating_add(1);
        match left == 0 && taken.len() < most && needed <= *room {
            true => {
                *room -= needed;
                taken.push(item);
            }
            false => left += 1,
        }
    }
    (taken, left)
}

/// Returns the first line: which instance, and the answer in a word.
pub fn title(outcome: &Outcome) -> String {
    let word = outcome.analysis.map_or("FAILED", |analysis| analysis.status.word.name());
    format!("flowgap {}: {word}", clip(outcome.instance, LONGEST_NAME))
}

/// Returns whether the title is good news.
pub fn is_fine(outcome: &Outcome) -> bool {
    outcome.analysis.is_some_and(|analysis| matches!(analysis.status.word, Word::Ok | Word::OkSoFar))
}

/// Returns the second line: how many findings are new, worse, back, over.
pub fn summary(outcome: &Outcome) -> String {
    let words = |transition| match transition {
        Transition::New => "new",
        Transition::Worsened => "worse than before",
        Transition::Reopened => "back",
        Transition::SuppressionExpired => "no longer accepted",
        Transition::Resolved => "resolved",
        Transition::Improved => "less severe than before",
        Transition::LostSight => "out of sight",
        Transition::Forgotten => "forgotten",
        Transition::Continuing => "as before",
    };
    let count = |transition: Transition| (outcome.of(transition).count(), words(transition));
    let mut parts: Vec<String> = (Transition::ALL.into_iter().map(count))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if let Some(summarised @ 1..) = outcome.changes.map(|changes| changes.summarised) {
        parts.push(format!("{} less severe, counted only", counted(summarised as i64, "finding")));
    }
    if outcome.analysis.is_none() {
        return "The run has no analysis.".to_owned();
    }
    let since = outcome.changes.and_then(|changes| changes.since);
    let fresh = outcome.changes.and_then(|changes| changes.fresh.as_deref());
    match (parts.is_empty(), since, fresh) {
        (true, ..) => "Nothing changed.".to_owned(),
        (_, Some(since), _) => format!("Since {}: {}.", since.minute(), parts.join(", ")),
        (_, None, Some(fresh)) => format!("{}: {}.", capitalised(fresh), parts.join(", ")),
        (_, None, None) => format!("{}.", parts.join(", ")),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Returns the errors to print, and the number of all others as one more line.
pub fn errors(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> =
        outcome.errors.iter().take(MOST_ERRORS).map(|error| clip(error, LONGEST_ERROR)).collect();
    if let more @ 1.. = outcome.errors.len().saturating_sub(MOST_ERRORS) {
        lines.push(format!("{} more", counted(more as i64, "error")));
    }
    lines
}

/// A finding as chats print it: a few words in bold, then a sentence.
#[derive(Debug, Clone)]
pub struct Line {
    /// What became of it and its severity, such as `new, critical`.
    pub head: String,
    /// Dependency, flow, rule, time and id.
    pub text: String,
    /// Severity.
    pub severity: Severity,
    /// Whether it is over.
    pub is_over: bool,
}

impl Line {
    /// Returns the words about one finding.
    pub fn of(change: &Change) -> Self {
        let found = &change.finding;
        let severity = found.severity;
        let head = match (change.transition, change.severity_before) {
            (Transition::Worsened, Some(before)) => format!("{severity}, before {before}"),
            (Transition::Resolved, _) => "resolved".to_owned(),
            (Transition::SuppressionExpired, _) => format!("no longer accepted, {severity}"),
            (transition, _) => format!("{transition}, {severity}"),
        };
        let name = clip(&name_of(found.kind, &found.subject), LONGEST_NAME);
        let mut ports: Vec<String> = found.subject.ports.iter().take(5).map(ToString::to_string).collect();
        if found.subject.ports.len() > ports.len() {
            ports.push("...".to_owned());
        }
        let flow = [found.subject.direction.name(), &found.subject.protocol, &ports.join(", ")].join(" ");
        let rule = match (&found.blame.rule_name, &found.blame.acl_name) {
            (Some(rule), Some(acl)) => format!(", rule {} in {}", clip(rule, LONGEST_NAME), clip(acl, LONGEST_NAME)),
            (Some(rule), None) => format!(", rule {}", clip(rule, LONGEST_NAME)),
            _ => String::new(),
        };
        let since = found.first_denied.map(|time| format!(", since {}", time.minute())).unwrap_or_default();
        Self {
            head,
            text: format!(
                "{name}: {}, subnet {}{rule}{since} ({})",
                clip(flow.trim(), LONGEST_NAME),
                clip(&found.subject.subnet, LONGEST_NAME),
                clip(&found.id, LONGEST_NAME)
            ),
            severity,
            is_over: change.transition == Transition::Resolved,
        }
    }
}

/// Returns the lines of the findings to act on, then of those that are over.
pub fn lines(outcome: &Outcome) -> impl Iterator<Item = Line> {
    outcome.alarms().chain(outcome.resolved()).map(Line::of)
}

/// Returns the line about findings that a message leaves out.
pub fn more(left: usize) -> String {
    format!("{} more: see the report.", counted(left as i64, "finding"))
}

/// Fills in the instance and the time of the run. In a name of a file, only letters that are safe in any file system
/// are kept of the instance.
pub fn filled(template: &str, instance: &str, at: Timestamp) -> String {
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let instance: String = instance.chars().map(|letter| if is_safe(letter) { letter } else { '-' }).collect();
    let instance = match instance.trim_start_matches('.') {
        "" => "instance",
        rest => rest,
    };
    let text = at.to_string();
    let (date, time) = (text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default().replace(':', ""));
    template.replace("{instance}", instance).replace("{date}", date).replace("{time}", &time)
}
