//! Notes below the causes: what can wait, what works again, what was never tried, what is refused and not needed.

use super::Note;
use std::collections::HashSet;

use super::causes::{PrintedCause, counts};
use super::flows::{ends, ports, short_direction};
use super::head::never_tried;
use crate::findings::{
    Analysis, CoverageVerdict, Finding, Kind, NoticeCode, State, UnmatchedRule, Verdict, counted, short_rule,
};
use crate::remedy::Remedy;
use crate::report::Clock;
use crate::report::layout::{joined, number};

const LIMIT: &str = "a flow log shows what rules decide, not what a firewall behind them drops";

/// Returns the notes of an analysis that can tell, the most important first.
pub fn notes(analysis: &Analysis, causes: &[PrintedCause], clock: Clock) -> Vec<Note> {
    let (seen, limit) = match causes.is_empty() {
        true => (seen(analysis), vec![Note::new("note", LIMIT)]),
        false => (Vec::new(), Vec::new()),
    };
    let parts = [
        unread(analysis),
        accepted(analysis),
        waiting(analysis, causes, clock),
        silent(analysis, clock),
        listed("never tried", &never_tried(analysis)),
        shared(analysis),
        seen,
        unneeded(analysis),
        notices(analysis),
        limit,
    ];
    parts.into_iter().flatten().collect()
}

/// Returns a note with the first texts.
pub fn listed(label: &'static str, texts: &[String]) -> Vec<Note> {
    let text = joined(texts, "; ", 2);
    if texts.is_empty() { Vec::new() } else { vec![Note::new(label, text)] }
}

/// Returns the first problem of the input.
pub fn unread(analysis: &Analysis) -> Vec<Note> {
    let input = &analysis.input;
    let more = match input.problem_count {
        0 | 1 => String::new(),
        n => format!("; and {} more", counted(n as i64 - 1, "problem")),
    };
    let first = input.problems.first().map(|problem| {
        let name = problem.blob.rsplit('/').take(3).collect::<Vec<_>>();
        let name: Vec<&str> = name.into_iter().rev().collect();
        format!("{}, byte {}: {}{more}", name.join("/"), problem.offset, problem.reason)
    });
    first.map(|text| Note::new("problem", text)).into_iter().collect()
}

/// Returns the findings that are suppressed, and the suppressions that ended.
fn accepted(analysis: &Analysis) -> Vec<Note> {
    let held: Vec<String> = (analysis.findings.iter())
        .filter_map(|found| Some(format!("{} by {}", found.identity.id, found.suppressed.as_ref()?.owner)))
        .collect();
    let ended = analysis.notices.iter().filter(|notice| notice.code == NoticeCode::SuppressionExpired);
    let held = match held.len() {
        0 => None,
        count => Some(format!("{count} suppressed: {}", joined(&held, ", ", 3))),
    };
    held.into_iter().chain(ended.map(|notice| notice.message.clone())).map(|text| Note::new("accepted", text)).collect()
}

/// Returns the findings below no printed cause: those that can wait, and those that are over.
fn waiting(analysis: &Analysis, causes: &[PrintedCause], clock: Clock) -> Vec<Note> {
    let printed: HashSet<&str> =
        causes.iter().flat_map(PrintedCause::findings).map(|f| f.identity.id.as_str()).collect();
    let rest = || {
        let is_rest = |finding: &&Finding| {
            !finding.is_unneeded() && finding.suppressed.is_none() && !printed.contains(finding.identity.id.as_str())
        };
        analysis.findings.iter().filter(is_rest)
    };
    let is_over = |f: &&Finding| f.grade.verdict == Verdict::Recovered || f.grade.state == State::Recovered;
    let can_wait: Vec<String> = rest().filter(|f| !is_over(f)).map(|finding| in_a_line(finding, clock)).collect();
    let over: Vec<String> = rest().filter(is_over).map(|finding| in_a_line(finding, clock)).collect();
    [each("can wait", &can_wait), each("is over", &over)].concat()
}

/// Returns a line for each of the first two texts, and the number of the others.
fn each(label: &'static str, texts: &[String]) -> Vec<Note> {
    const SHOWN: usize = 2;
    let mut notes: Vec<Note> = texts.iter().take(SHOWN).map(|text| Note::new(label, text)).collect();
    if let (Some(last), more @ 1..) = (notes.last_mut(), texts.len().saturating_sub(SHOWN)) {
        last.text = format!("{}; and {more} more", last.text);
    }
    notes
}

fn in_a_line(finding: &Finding, clock: Clock) -> String {
    let flow = ports(finding);
    let rule = finding.blame.rule_name.as_deref().unwrap_or("a rule");
    let allowed = finding.denials.allowed_since_first_denied;
    match finding.identity.kind {
        Kind::SourceRestricted => format!(
            "{flow}: {rule} refuses {}, {} allowed",
            addresses(finding.addresses.remote_address_count as i64),
            counted(allowed, "new flow").replacen(&allowed.to_string(), &number(allowed), 1)
        ),
        kind if kind.is_contradiction() => finding.explanation.clone(),
        kind if kind.is_denial() => format!("{flow}, {rule}: {}", counts(&[finding], clock)),
        _ => format!("{flow}: {}", counts(&[finding], clock)),
    }
}

fn addresses(count: i64) -> String {
    if count == 1 { "1 address".to_owned() } else { format!("{} addresses", number(count)) }
}

fn silent(analysis: &Analysis, clock: Clock) -> Vec<Note> {
    let rows: Vec<_> = analysis.coverage.iter().filter(|row| row.silent_since.is_some()).collect();
    let Some(since) = rows.iter().filter_map(|row| row.silent_since).max() else { return Vec::new() };
    let mut names: Vec<String> = rows.iter().map(|row| row.requirement.clone()).collect();
    names.sort();
    names.dedup();
    let dns = match analysis.refused_names() {
        Some(_) => "; DNS is refused, and nothing can be called without it",
        None => "",
    };
    vec![Note::new("fell silent", format!("no flow after {}: {}{dns}", clock.brief(since), joined(&names, ", ", 3)))]
}

/// Returns the required dependencies whose flows may be another one's.
fn shared(analysis: &Analysis) -> Vec<Note> {
    let rows = analysis.coverage.iter().filter(|row| row.is_required());
    let mut names: Vec<String> = rows
        .filter(|row| row.verdict == CoverageVerdict::Indistinguishable)
        .map(|row| row.requirement.clone())
        .collect();
    names.sort();
    names.dedup();
    match names.len() {
        0 => Vec::new(),
        n => vec![Note::new(
            "not told",
            format!(
                "{} share their flows, so none is proven: {}",
                counted(n as i64, "dependency"),
                joined(&names, ", ", 3)
            ),
        )],
    }
}

/// Returns what was seen working, by direction.
pub fn seen(analysis: &Analysis) -> Vec<Note> {
    let worked = [CoverageVerdict::Allowed, CoverageVerdict::Recovered, CoverageVerdict::Partial];
    let mut groups: Vec<(&str, String, Vec<String>)> = Vec::new();
    for row in analysis.coverage.iter().filter(|row| row.is_required() && worked.contains(&row.verdict)) {
        let (direction, _, peer) = ends(row);
        let port = super::flows::protocol(&row.protocol, &row.ports);
        let at = groups.iter().position(|(d, p, _)| *d == direction && *p == port).unwrap_or_else(|| {
            groups.push((direction, port, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, _, peers)) = groups.get_mut(at)
            && !peers.contains(&peer.replace('*', "any address"))
        {
            peers.push(peer.replace('*', "any address"));
        }
    }
    let line = |label: &'static str, direction: &str, word: &str| {
        let own = groups.iter().filter(|(d, ..)| *d == direction);
        let texts: Vec<String> = own.map(|(_, port, peers)| format!("{port} {word} {}", peers.join(", "))).collect();
        (!texts.is_empty()).then(|| Note::new(label, texts.join("; ")))
    };
    [line("seen in", "in", "from"), line("seen out", "out", "to")].into_iter().flatten().collect()
}

/// Returns the refusals that nothing is known to need.
fn unneeded(analysis: &Analysis) -> Vec<Note> {
    let all = &analysis.unmatched_denied;
    let rule = |rule: &UnmatchedRule| {
        format!(
            "{} {} by {} to {}",
            short_direction(rule.direction),
            number(rule.tuples),
            short_rule(&rule.rule),
            addresses(rule.peers)
        )
    };
    let rules: Vec<String> = all.by_rule.iter().map(rule).collect();
    let scanners = (all.inbound_internet_tuples > 0)
        .then(|| format!("in {} from the Internet, mostly scanners", number(all.inbound_internet_tuples)));
    let first = joined(&rules, "; ", 1);
    let command = "if one is a backend of yours: flowgap query backends_refused SOURCE";
    let rules = (!rules.is_empty()).then(|| Note::new("not needed", format!("{first}; {command}")));
    [rules, scanners.map(|text| Note::new("not needed", text))].into_iter().flatten().collect()
}

/// Returns at most two notices that change what to do.
pub fn notices(analysis: &Analysis) -> Vec<Note> {
    let own = |code| match code {
        NoticeCode::SubnetInferred => {
            Some(format!("the subnet was found by its flows: not yours? give {}", Remedy::Subnet))
        }
        NoticeCode::NsgFormatOnly => Some(
            "these are NSG flow logs, which Azure does not support for API Management: turn VNet flow logs on"
                .to_owned(),
        ),
        NoticeCode::ServiceTagsMissing if analysis.scope.service_tags.is_none() => {
            Some(format!("without {} FILE, services that share a port are not told apart", Remedy::ServiceTags))
        }
        NoticeCode::StrangerInSubnet
        | NoticeCode::ServiceTagsOld
        | NoticeCode::ServiceTagsUndated
        | NoticeCode::ServiceTagsMissing
        | NoticeCode::AllowedNotLogged
        | NoticeCode::DoubleCaptured => {
            analysis.notices.iter().find(|notice| notice.code == code).map(|notice| notice.message.clone())
        }
        NoticeCode::VnetModeUnknown if analysis.scope.vnet_mode_origin.is_none() => {
            Some(format!("findings of external mode are at most medium until you give {} external", Remedy::VnetMode))
        }
        _ => None,
    };
    let notes = analysis.notices.iter().filter_map(|notice| own(notice.code)).take(2);
    notes.map(|text| Note::new("note", text)).collect()
}
