//! Sentences shared by the text and Markdown reports.

use crate::findings::{
    Analysis, Basis, Cause, CauseKind, Change, CoverageVerdict, Finding, Fix, Kind, ModeOrigin, NoticeCode, RuleSpec,
    Severity, Subject, Word, counted, number,
};
use crate::remedy::Remedy;
use crate::report::Clock;

/// Returns the lines that come before everything else.
pub fn first_lines(analysis: &Analysis) -> Vec<String> {
    let ambiguous = analysis.findings.iter().filter(|f| f.identity.kind == Kind::AmbiguousDependency).count();
    let has_tags = analysis.scope.service_tags.is_some();
    let is_first = |code| match code {
        NoticeCode::ServiceTagsOtherCloud => true,
        NoticeCode::VnetModeUnknown => analysis.scope.vnet_mode_origin == Some(ModeOrigin::Likely),
        _ => false,
    };
    let notices = analysis.notices.iter().filter(|notice| is_first(notice.code));
    let asks = [
        (analysis.basis() == Basis::Unknown && !analysis.is_empty()).then(|| {
            format!("Give the subnet of API Management with {} CIDR: without it every interface counts, and no result is certain.", Remedy::Subnet)
        }),
        (ambiguous > 0 && !has_tags).then(|| {
            format!("{} may belong to any of several dependencies: load a service-tag file ({} FILE) to find out which.", counted(ambiguous as i64, "finding"), Remedy::ServiceTags)
        }),
        (ambiguous > 0 && has_tags).then(|| {
            format!("{} may belong to any of several dependencies, and the loaded service-tag file cannot tell which: load the newest one.", counted(ambiguous as i64, "finding"))
        }),
    ];
    notices.map(|notice| notice.message.clone()).chain(asks.into_iter().flatten()).collect()
}

/// Returns the findings to show. Refusals without a known need are counted in the section of unmatched denials.
pub fn needed(analysis: &Analysis) -> Vec<&Finding> {
    analysis.findings.iter().filter(|finding| !finding.is_unneeded()).collect()
}

/// Returns the name of a cause.
pub fn blamed(cause: &Cause) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    match cause.kind {
        CauseKind::NoAnswer => "No answer although no rule refuses it,".to_owned(),
        CauseKind::Encryption => "Virtual network encryption".to_owned(),
        CauseKind::Rule => format!("{} in {}", known(&cause.rule), known(&cause.acl_name)),
    }
}

pub fn headline(analysis: &Analysis) -> String {
    let (scope, findings) = (scope(analysis), needed(analysis));
    let all = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    let graded: Vec<String> = all
        .into_iter()
        .map(|severity| (findings.iter().filter(|f| f.grade.severity == severity).count(), severity))
        .filter(|(count, _)| *count > 0)
        .map(|(count, severity)| format!("{count} {severity}"))
        .collect();
    let doubts = || analysis.status.reasons.join("; ");
    let is_in_doubt = analysis.status.word == Word::CouldNotTell;
    match findings.len() {
        0 if analysis.is_empty() => {
            format!(
                "Cannot tell: the logs that were read have no flow of {scope}. Check the subnet, the time window and the source.{}",
                seen_instead(analysis)
            )
        }
        0 if analysis.lacks_all_evidence() => {
            format!("Cannot tell: no flow of {scope} matches anything that API Management requires.")
        }
        0 if is_in_doubt => format!("Cannot tell for {scope}: {}.", doubts()),
        0 if analysis.unmatched_denied.tuples == 0 => {
            format!("For {scope}, the logs show no denied flow that API Management needs.")
        }
        0 => format!("For {scope}, the logs show no denied flow that API Management needs; other flows are denied."),
        n if is_in_doubt => {
            format!("Cannot tell for {scope}: {}. {}: {}.", doubts(), counted(n as i64, "finding"), graded.join(", "))
        }
        n => {
            let worked = findings.iter().filter(|f| f.identity.kind == Kind::UnlistedBlocked && f.is_open());
            let worked: u64 = worked.map(|f| f.addresses.remote_address_count).sum();
            let worked = match worked {
                0 => String::new(),
                1 => " 1 destination that worked before is now refused.".to_owned(),
                n => format!(" {n} destinations that worked before are now refused."),
            };
            format!("{} for {scope}: {}.{worked}", counted(n as i64, "finding"), graded.join(", "))
        }
    }
}

/// Names subnets with flows when the given ones have none, those that look like API Management first.
fn seen_instead(analysis: &Analysis) -> String {
    const SHOWN: usize = 3;
    let seen = || analysis.subnets_seen.iter();
    let first = seen().filter(|subnet| subnet.looks_like_apim).chain(seen().filter(|subnet| !subnet.looks_like_apim));
    let named = first.take(SHOWN).map(|subnet| match &subnet.why {
        Some(why) if subnet.looks_like_apim => format!("{} ({why})", subnet.cidr),
        _ => subnet.cidr.clone(),
    });
    match named.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => String::new(),
        named => format!(" The logs have flows of {named}."),
    }
}

fn scope(analysis: &Analysis) -> String {
    match analysis.scope.subnets.as_slice() {
        [] => "any interface".to_owned(),
        [first @ .., _] if first.len() >= 4 => format!("{} addresses or subnets", first.len() + 1),
        few => few.join(", "),
    }
}

pub fn read_line(analysis: &Analysis, clock: Clock) -> String {
    let input = &analysis.input;
    let span = match (input.first_flow, input.last_flow) {
        (Some(first), Some(last)) => format!("flows from {} to {}", clock.minute(first), clock.minute(last)),
        _ => "no flow in the window".to_owned(),
    };
    format!(
        "Read {} with {}, {} denied (in scope {}, {} denied): {span}. Port table edition {}.",
        counted(input.blobs as i64, "blob"),
        counted(input.tuples as i64, "flow tuple"),
        number(input.denied_tuples),
        number(input.tuples_in_scope),
        number(input.denied_in_scope),
        analysis.scope.edition,
    )
}

/// Returns the coverage line. It counts requirements without evidence, because they are not proven to work.
pub fn coverage_line(analysis: &Analysis, clock: Clock) -> String {
    let required = || analysis.coverage.iter().filter(|row| row.is_required());
    let verdicts = [
        (CoverageVerdict::Blocked, "blocked"),
        (CoverageVerdict::Partial, "partly blocked"),
        (CoverageVerdict::Unanswered, "unanswered"),
        (CoverageVerdict::Recovered, "recovered"),
        (CoverageVerdict::Allowed, "seen working"),
        (CoverageVerdict::Indistinguishable, "that share their flows with another requirement"),
        (CoverageVerdict::NoEvidence, "without evidence (neither denied nor seen working)"),
    ];
    let counts: Vec<String> = verdicts
        .into_iter()
        .map(|(verdict, name)| (required().filter(|row| row.verdict == verdict).count(), name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let silent = silent(analysis, clock);
    let (all, subnets) = (required().count(), analysis.scope.subnets.len());
    let each = if subnets > 1 { format!(" ({} in each of {subnets} subnets)", all / subnets) } else { String::new() };
    match all {
        0 if analysis.coverage.is_empty() => "Nothing can be said about any dependency.".to_owned(),
        0 => "Nothing is required.".to_owned(),
        1 => format!("Of 1 required dependency: {}.{silent}", counts.join(", ")),
        n => format!("Of {n} required dependencies{each}: {}.{silent}", counts.join(", ")),
    }
}

/// Returns the sentence about dependencies that worked and fell silent, with a refused name resolution as a possible
/// cause.
fn silent(analysis: &Analysis, clock: Clock) -> String {
    let silent: Vec<_> = analysis.coverage.iter().filter(|row| row.silent_since.is_some()).collect();
    let Some(since) = silent.iter().filter_map(|row| row.silent_since).max() else { return String::new() };
    let mut names: Vec<&str> = silent.iter().map(|row| row.requirement.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let why = match analysis.refused_names() {
        Some(dns) => format!("; {} is refused, and nothing can be called without name resolution", dns.requirement),
        None => String::new(),
    };
    format!(
        " Of those seen working, {} had no flow after {} ({}){why}.",
        silent.len(),
        clock.minute(since),
        names.join(", ")
    )
}

/// Returns an address with the name that the user gave it.
pub fn addressed(ip: &str, name: Option<&str>) -> String {
    name.map_or_else(|| ip.to_owned(), |name| format!("{ip} [{name}]"))
}

/// Returns a short name for a heading or a cell.
pub fn name(finding: &Finding) -> String {
    name_of(finding.identity.kind, &finding.subject)
}

/// Returns the short name of a finding of this kind.
pub fn name_of(kind: Kind, subject: &Subject) -> String {
    match (&subject.requirement, kind) {
        (Some(requirement), _) => requirement.clone(),
        (None, Kind::ForcedTunnellingSuspected) => "forced tunnelling".to_owned(),
        (None, Kind::UnlistedBlocked) => match subject.ports.as_slice() {
            [port] => format!("not listed: {} {port}", subject.protocol),
            _ => "not listed: other ports".to_owned(),
        },
        (None, Kind::ConfigurationContradicts) => "rules and logs disagree".to_owned(),
        (None, Kind::PlatformContradicts) => "status and logs disagree".to_owned(),
        (None, _) => format!("one of {}", subject.candidates.len()),
    }
}

/// Returns what to change, in words.
pub fn fix_in_words(fix: &Fix) -> String {
    let Some(RuleSpec { direction, source, destination, ports, protocol, .. }) = fix.rule() else {
        return fix.note.clone();
    };
    let allow = format!("allow {direction} {protocol} {} from {source} to {destination}.", ports.join(", "));
    match fix.change {
        Change::AdminRule(_) => format!("{} Traffic that must pass: {allow}", fix.note),
        _ => format!("{allow} {}", fix.note),
    }
}

/// Returns a line for each finding that is suppressed.
pub fn accepted(analysis: &Analysis) -> Vec<String> {
    let line = |finding: &Finding| {
        let accepted = finding.suppressed.as_ref()?.in_words();
        Some(format!("{} ({}), {}: {accepted}", name(finding), finding.identity.id, finding.grade.severity))
    };
    analysis.findings.iter().filter_map(line).collect()
}
