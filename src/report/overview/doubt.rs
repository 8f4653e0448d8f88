//! Headline and notes of `COULD NOT TELL`: what is there instead, and the command to try.

use super::Note;
use super::causes::PrintedCause;
use super::head::{Required, never_tried, scope};
use super::notes::{listed, notices, seen, unread};
use crate::findings::{Analysis, NoticeCode, SubnetSeen, counted};
use crate::remedy::Remedy;
use crate::report::Clock;
use crate::report::layout::number;

/// Returns the sentence after the word, and the notes.
pub fn doubt(analysis: &Analysis, causes: &[PrintedCause], clock: Clock) -> (String, Vec<Note>) {
    if !analysis.is_empty() {
        return (too_little(analysis), evidence(analysis, causes));
    }
    let input = &analysis.input;
    let files = |n: u64| counted(n as i64, "file");
    let inspect = Note::new("try", "flowgap inspect SOURCE");
    if input.tuples > 0 {
        (format!("no flow of {} in these logs", scope(analysis)), instead(analysis))
    } else if input.unreadable_blobs > 0 {
        let text = format!("{} of {} could not be read", input.unreadable_blobs, files(input.blobs));
        (text, [unread(analysis), vec![inspect]].concat())
    } else if input.blobs > 0 && input.records == 0 {
        let text = match input.blobs {
            1 => "this file is no flow log".to_owned(),
            n => format!("none of these {n} files is a flow log"),
        };
        let others = analysis.notices.iter().filter(|notice| notice.code == NoticeCode::ForeignLogs);
        let others = others.map(|notice| Note::new("note", notice.message.clone())).collect();
        (text, [unread(analysis), others, vec![inspect]].concat())
    } else if analysis.scope.from.or(analysis.scope.to).is_some() {
        let what = if input.blobs == 0 { "no log file lies" } else { "no flow lies" };
        (format!("{what} in the hours you asked for"), hours(analysis, clock))
    } else {
        (format!("the {} hold no flow", files(input.blobs)), vec![inspect])
    }
}

/// Names the subnets with flows, because the given ones have none.
fn instead(analysis: &Analysis) -> Vec<Note> {
    const SHOWN: usize = 5;
    let seen = || analysis.subnets_seen.iter();
    let mut subnets: Vec<&SubnetSeen> = seen().collect();
    subnets.sort_by_key(|subnet| !subnet.looks_like_apim);
    let line = |subnet: &SubnetSeen| {
        let why = subnet.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let looks = if subnet.looks_like_apim { format!(", looks like API Management{why}") } else { String::new() };
        let flows = format!("{} flows", number(subnet.flows));
        format!("{}: {}, {flows}{looks}", subnet.cidr, counted(subnet.machines as i64, "machine"))
    };
    let mut notes: Vec<Note> = subnets.iter().take(SHOWN).map(|subnet| Note::new("there", line(subnet))).collect();
    if let more @ 1.. = subnets.len().saturating_sub(SHOWN) {
        notes.push(Note::new("there", format!("and {} more", counted(more as i64, "subnet"))));
    }
    notes.push(match subnets.first() {
        Some(best) => Note::new("try", analyze(&format!("{} {}", Remedy::Subnet, best.cidr))),
        None => Note::new("try", "flowgap inspect SOURCE"),
    });
    notes
}

/// Shows the window beside the hours of the archive.
fn hours(analysis: &Analysis, clock: Clock) -> Vec<Note> {
    let asked = match (analysis.scope.from, analysis.scope.to) {
        (Some(from), Some(to)) => clock.span(from, to),
        (Some(from), None) => format!("from {} {} on", clock.long(from), clock.zone(from)),
        (None, Some(to)) => format!("before {} {}", clock.long(to), clock.zone(to)),
        (None, None) => String::new(),
    };
    let archive = &analysis.archive;
    let files = counted(archive.blobs_listed as i64, "file");
    let (there, command) = match (archive.first_hour, archive.last_hour) {
        (Some(first), Some(last)) => (
            format!("{} by the names of {files}", clock.span(first, last)),
            analyze(&format!("{} {}", Remedy::From, first.to_string().replace(".000Z", "Z"))),
        ),
        _ => (format!("{files}, whose names show no other hour"), "flowgap analyze SOURCE".to_owned()),
    };
    vec![
        Note::new("asked", asked),
        Note::new("there", there),
        Note::new("try", command),
        Note::new("note", "if the logs should be new: is the flow log still on?"),
    ]
}

fn analyze(option: &str) -> String {
    format!("flowgap analyze SOURCE {option}")
}

/// Returns the sentence for logs that have flows in scope, but too few or too uncertain ones.
fn too_little(analysis: &Analysis) -> String {
    let Required { all, never_tried, .. } = Required::of(analysis);
    let (scope, reasons) = (scope(analysis), analysis.status.reasons.join("; "));
    let seen = all.len() - never_tried.len();
    if analysis.has_notice(NoticeCode::SubnetUnknown) {
        format!("{scope}: none looks like API Management")
    } else if analysis.status.partial || never_tried.is_empty() {
        format!("{scope}: {reasons}")
    } else {
        let was = if seen == 1 { "was" } else { "were" };
        format!(
            "{scope}: {seen} of {} needs of API Management {was} seen, {} never tried",
            all.len(),
            never_tried.len()
        )
    }
}

/// Returns why the evidence is not enough, what was seen, and what to try.
fn evidence(analysis: &Analysis, causes: &[PrintedCause]) -> Vec<Note> {
    let is_partial = analysis.status.partial;
    let mut why: Vec<Note> = analysis.status.reasons.iter().map(|reason| Note::new("why", reason)).collect();
    if analysis.has_notice(NoticeCode::EditionMismatch) {
        let editions = format!("flowgap requirements {}", Remedy::ListEditions);
        why.push(Note::new("perhaps", format!("another subnet, or a v2 tier, which has other ports: {editions}")));
    }
    let refused = match causes.is_empty() && super::super::sentences::needed(analysis).is_empty() {
        true if is_partial => vec![Note::new("refused", "nothing that API Management needs, in what was read")],
        true => {
            vec![Note::new("refused", "nothing that API Management needs, but too little was seen to call it fine")]
        }
        false => Vec::new(),
    };
    let is_unknown = analysis.has_notice(NoticeCode::SubnetUnknown);
    let subnets = if is_unknown { analysis.scope.subnets.clone() } else { Vec::new() };
    let attempt = match subnets.first() {
        Some(first) => analyze(&format!("{} {first}", Remedy::Subnet)),
        None if is_partial => "flowgap inspect SOURCE, which lists every problem".to_owned(),
        None => format!("flowgap inspect SOURCE; to lower the bar: {} 0", Remedy::MinCoverage),
    };
    let parts = [
        unread(analysis),
        refused,
        why,
        listed("subnets", &subnets),
        seen(analysis),
        listed("never tried", &never_tried(analysis)),
        vec![Note::new("try", attempt)],
        notices(analysis),
    ];
    parts.into_iter().flatten().collect()
}
