//! What differs from an earlier run, in lines that text, Markdown and the web page share.

use super::Clock;
use super::layout::joined;
use super::overview::short_direction;
use super::sentences::name_of;
use crate::findings::history::{Change, Changes, Transition};

/// Returns a line of counts, then at most `most` lines of what is new, the most urgent first.
pub fn lines(changes: &Changes, most: usize, clock: Clock) -> Vec<String> {
    let counts = Transition::ALL.into_iter().filter_map(|transition| {
        let count = changes.of(transition).count();
        (count > 0).then(|| format!("{count} {transition}"))
    });
    let less = (changes.summarised > 0).then(|| format!("{} less severe", changes.summarised));
    let counts: Vec<String> = counts.chain(less).collect();
    let counts = if counts.is_empty() { "nothing found, then and now".to_owned() } else { counts.join(", ") };
    let head = match (&changes.fresh, changes.since) {
        (Some(why), _) => format!("nothing to compare with, because {why}: {counts}"),
        (None, Some(since)) => format!("since the run of {}: {counts}", clock.minute(since)),
        (None, None) => counts,
    };
    let told: Vec<&Change> = changes.list.iter().filter(|change| change.transition != Transition::Continuing).collect();
    let hidden = told.len().saturating_sub(most);
    let more = (hidden > 0).then(|| format!("and {hidden} more changes"));
    [head].into_iter().chain(told.into_iter().take(most).map(line)).chain(more).collect()
}

fn line(change: &Change) -> String {
    let finding = &change.finding;
    let subject = &finding.subject;
    let ports: Vec<String> = subject.ports.iter().map(ToString::to_string).collect();
    let before = match (change.transition, change.severity_before) {
        (Transition::Worsened | Transition::Improved, Some(before)) => format!(", was {before}"),
        _ => String::new(),
    };
    let identity = change.identity_changed.as_ref().map(|id| format!(", was {id}")).unwrap_or_default();
    let accepted = finding.suppressed.as_ref().map(|held| format!(", accepted by {}", held.owner)).unwrap_or_default();
    format!(
        "{}: {} {} {} {} ({}{before}{identity}{accepted})",
        change.transition,
        finding.severity.name().to_uppercase(),
        short_direction(subject.direction),
        name_of(finding.kind, subject),
        [subject.protocol.clone(), joined(&ports, ",", 4)].join(" ").trim(),
        finding.id,
    )
}
