//! Writes the first screen: the verdict, what was read, and what to do first.

use super::causes::{copyable_fix, title};
use super::charts::has_charts;
use super::closing::has_unneeded;
use super::index::Index;
use super::markup::{Page, count, number};
use super::words::{anchor, cause_anchor, flow, scope, severity, tally, tone, verdict};
use crate::findings::history::Changes;
use crate::findings::{Analysis, Cause, CauseKind, Finding, ModeOrigin, Severity, Word};
use crate::remedy::Remedy;
use crate::report::changes::lines;
use crate::report::fix::Target;
use crate::report::sentences::{first_lines, name};

/// Maximum number of changes on the page.
const MOST_NEWS: usize = 50;

/// Writes the verdict and what it rests on.
pub fn header(page: &mut Page, analysis: &Analysis, changes: Option<&Changes>, needed: &[&Finding]) {
    let tone = tone(analysis.status.word);
    page.raw("<a class=\"skip\" href=\"#main\">Skip to the first step</a>\n<header>\n");
    page.put("<h1 class=\"verdict {}\"><span class=\"word\">{}</span> ", &[&tone, &verdict(analysis)]);
    page.put("<span class=\"scope\">API Management in {}</span></h1>\n", &[&scope(analysis)]);
    page.put("<p class=\"lead\">{}</p>\n", &[&lead(analysis)]);
    news(page, changes);
    severities(page, needed);
    for line in first_lines(analysis) {
        page.put("<p class=\"warning\">{}</p>\n", &[&line]);
    }
    page.raw("<p class=\"limits\">A flow log shows what rules decide. It does not show what a route or firewall does afterwards, and silence does not prove that something works.</p>\n");
    read(page, analysis);
    page.raw("<nav aria-label=\"Parts of the page\"><ul>");
    let parts = [
        ("#causes", "Causes and fixes", !analysis.causes.is_empty()),
        ("#charts", "Charts", has_charts(analysis, needed)),
        ("#findings", "Findings", !needed.is_empty()),
        ("#coverage", "Coverage", !analysis.coverage.is_empty()),
        ("#unneeded", "Refused, not needed", has_unneeded(analysis)),
        ("#trust", "Before you trust this", true),
    ];
    for (target, words, _) in parts.into_iter().filter(|(_, _, is_there)| *is_there) {
        page.put("<li><a href=\"{}\">{}</a></li>", &[&target, &words]);
    }
    page.raw("</ul></nav>\n</header>\n");
}

/// Returns the verdict as a sentence.
fn lead(analysis: &Analysis) -> String {
    let needs = &analysis.needs;
    let all = needs.required;
    let things = if all == 1 {
        "1 thing that API Management needs".to_owned()
    } else {
        format!("{all} things that API Management needs")
    };
    match analysis.status.word {
        Word::CouldNotTell => {
            let why = analysis.status.reasons.join("; ");
            if why.is_empty() {
                "The logs are too little to tell.".to_owned()
            } else {
                format!("The logs cannot tell: {why}.")
            }
        }
        Word::Blocked if needs.blocked > 0 => {
            format!("{} of {things} {} not get through.", needs.blocked, if needs.blocked == 1 { "does" } else { "do" })
        }
        Word::Blocked => "Flows that API Management may need do not get through.".to_owned(),
        Word::Degraded if needs.degraded > 0 => format!(
            "{} of {things} {} through only in part.",
            needs.degraded,
            if needs.degraded == 1 { "gets" } else { "get" }
        ),
        Word::Degraded => "Something that API Management needs fails in part, or fell silent.".to_owned(),
        Word::OkSoFar => {
            format!("{} of {things} were seen working, and {} were never tried.", needs.seen, needs.never_tried)
        }
        Word::Ok => format!("All {things} were seen working."),
    }
}

/// Writes what differs from an earlier run.
fn news(page: &mut Page, changes: Option<&Changes>) {
    let lines = changes.map(|changes| lines(changes, MOST_NEWS, page.clock)).unwrap_or_default();
    let Some((head, rest)) = lines.split_first() else { return };
    page.put("<p class=\"news\">{}</p>\n", &[head]);
    if !rest.is_empty() {
        page.raw("<ul class=\"news\">");
        rest.iter().for_each(|line| page.put("<li>{}</li>", &[line]));
        page.raw("</ul>\n");
    }
}

fn severities(page: &mut Page, needed: &[&Finding]) {
    if needed.is_empty() {
        return page.raw("<p>No finding.</p>\n");
    }
    page.put("<p class=\"counts\">{}: ", &[&count(needed.len() as i64, "finding")]);
    for graded in Severity::ALL.into_iter().rev() {
        let count = needed.iter().filter(|finding| finding.grade.severity == graded).count();
        if count > 0 {
            page.put("<span class=\"count\">{} ", &[&count]);
            severity(page, graded);
            page.raw("</span> ");
        }
    }
    page.raw("</p>\n");
}

/// Writes the window, the sources and the versions that the verdict rests on.
fn read(page: &mut Page, analysis: &Analysis) {
    let (input, scope) = (&analysis.input, &analysis.scope);
    page.raw("<dl class=\"facts\">\n<div><dt>Flows</dt><dd>");
    match (input.first_flow, input.last_flow) {
        (None, None) => page.raw("none in the window"),
        (first, last) => {
            page.time(first);
            page.raw(" to ");
            page.time(last);
        }
    }
    page.raw("</dd></div>\n");
    if scope.from.is_some() || scope.to.is_some() {
        page.raw("<div><dt>Window</dt><dd>from ");
        page.time(scope.from);
        page.raw(" to ");
        page.time(scope.to);
        page.raw("</dd></div>\n");
    }
    let whole = if analysis.status.partial { "not all of it could be read" } else { "all of it was read" };
    page.put(
        "<div><dt>Read</dt><dd>{}, {}, {} denied; {}</dd></div>\n",
        &[
            &count(input.blobs as i64, "blob"),
            &count(input.tuples as i64, "flow"),
            &number(input.denied_tuples as i64),
            &whole,
        ],
    );
    if scope.subnets_inferred {
        page.raw("<div><dt>Subnets</dt><dd>found by flows that only API Management has</dd></div>\n");
    }
    if let Some(mode) = scope.vnet_mode {
        let origin = match scope.vnet_mode_origin {
            Some(ModeOrigin::Given) => " (given)",
            Some(ModeOrigin::Likely) => " (likely)",
            _ => "",
        };
        page.put("<div><dt>Mode</dt><dd>{}{}</dd></div>\n", &[&mode.name(), &origin]);
    }
    page.put(
        "<div><dt>Port list</dt><dd>Microsoft’s of {}</dd></div>\n<div><dt>Service tags</dt><dd>",
        &[&scope.edition],
    );
    match &scope.service_tags {
        Some(tags) => {
            page.put("{} tags", &[&number(tags.tags as i64)]);
            if let Some(cloud) = &tags.cloud {
                page.put(", cloud {}", &[cloud]);
            }
            if let Some(change) = tags.change_number {
                page.put(", change {}", &[&change]);
            }
        }
        None => page.raw("none loaded"),
    }
    page.put("</dd></div>\n<div><dt>Made by</dt><dd>flowgap {}</dd></div>\n</dl>\n", &[&analysis.flowgap_version]);
}

/// Writes what to do first: the fix of the worst cause, or what is there instead of the given scope.
pub fn first_step(page: &mut Page, analysis: &Analysis, index: &Index) {
    page.raw("<section aria-labelledby=\"first\">\n<h2 id=\"first\">What to do first</h2>\n");
    match (analysis.causes.first(), analysis.status.word) {
        (Some(cause), word) if word != Word::Ok || cause.max_severity >= Severity::Medium => worst(page, cause, index),
        (_, Word::CouldNotTell) => instead(page, analysis),
        (_, Word::OkSoFar) => page.raw("<p>Nothing is refused. The coverage below lists what was never tried: read logs of more days to see it.</p>\n"),
        _ => page.raw("<p>Nothing needs a change.</p>\n"),
    }
    page.raw("</section>\n");
}

fn worst(page: &mut Page, cause: &Cause, index: &Index) {
    /// Number of findings to name and to fix.
    const MOST: usize = 2;
    let findings = index.of_cause(cause);
    let (first, more) = findings.split_at(findings.len().min(MOST));
    page.put("<p><strong>{}</strong>", &[&title(cause)]);
    page.raw(match cause.kind {
        CauseKind::Rule => " refuses",
        CauseKind::Encryption => " drops",
        CauseKind::NoAnswer => ", although no rule refuses these flows",
    });
    if cause.first_denied.is_some() {
        page.raw(", since ");
        page.time(cause.first_denied);
    }
    page.raw(":</p>\n<ul class=\"worst\">\n");
    for (finding, place) in first {
        page.raw("<li>");
        severity(page, finding.grade.severity);
        let words = format!("{} ({})", flow(finding), name(finding));
        match place {
            Some(place) => page.put(" <a href=\"#{}\">{}</a>", &[&anchor(*place), &words]),
            None => page.put(" {}", &[&words]),
        }
        page.put(" {}</li>\n", &[&tally(finding)]);
    }
    if !more.is_empty() {
        page.put("<li>and {}</li>\n", &[&count(more.len() as i64, "other finding")]);
    }
    page.raw("</ul>\n");
    if let Some(effect) = &cause.effect {
        page.put("<p>Effect: {}.</p>\n", &[effect]);
    }
    let findings: Vec<&Finding> = first.iter().map(|(finding, _)| *finding).collect();
    copyable_fix(page, "first", &findings, &[Target::Az]);
    page.put(
        "<p><a href=\"#{}\">Undo, and the same for Bicep, Terraform, PowerShell and the portal</a></p>\n",
        &[&cause_anchor(0)],
    );
}

/// Writes the subnets that the logs have, for another run.
fn instead(page: &mut Page, analysis: &Analysis) {
    let archive = &analysis.archive;
    if archive.first_hour.is_some() {
        page.put("<p>{} listed, from ", &[&count(archive.blobs_listed as i64, "blob")]);
        page.time(archive.first_hour);
        page.raw(" to ");
        page.time(archive.last_hour);
        page.raw(".</p>\n");
    }
    let seen = &analysis.subnets_seen;
    if seen.is_empty() {
        return page.raw("<p>Check the subnet, the time window and the source, and read logs of more hours.</p>\n");
    }
    page.raw("<p>These subnets are in the logs:</p>\n");
    page.begin_table("Subnets in the logs", &["subnet", "machines", "flows", "looks like API Management"]);
    for subnet in seen {
        let looks = subnet.why.as_deref().unwrap_or(if subnet.looks_like_apim { "yes" } else { "no" });
        page.put(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            &[&subnet.cidr, &number(subnet.machines as i64), &number(subnet.flows), &looks],
        );
    }
    page.end_table();
    if let Some(best) = seen.iter().find(|subnet| subnet.looks_like_apim).or(seen.first()) {
        page.raw("<p>Try again with this subnet:</p>\n");
        page.copyable("try", "the command", &format!("flowgap analyze SOURCE {} {}", Remedy::Subnet, best.cidr));
    }
}
