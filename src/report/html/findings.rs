//! Writes an entry per finding: what, since when, the course, the fix, and the evidence.

use super::causes::FIXED;
use super::charts::{Axis, timeline, timeline_legend};
use super::markup::{Page, count, number};
use super::words::{anchor, cause_anchor, heading, severity, tally};
use crate::findings::{Addresses, Analysis, Finding, State};
use crate::flow::{ScopeDirection, Vantage};
use crate::report::sentences::fix_in_words;

/// Number of entries that are open from the start.
const OPEN: usize = 3;
/// Number of entries with a chart and addresses. The others have none, for the size of the page.
const FULL: usize = 20;

/// Writes the entries. `hidden` is the number of findings that have none.
pub fn section(page: &mut Page, analysis: &Analysis, shown: &[&Finding], hidden: usize, axis: &Axis) {
    if shown.is_empty() {
        return;
    }
    page.raw("<section aria-labelledby=\"findings\">\n<h2 id=\"findings\">Findings</h2>\n<div id=\"filters\" class=\"filters\" hidden></div>\n");
    timeline_legend(page);
    if shown.len() > FULL {
        page.put(
            "<p>Findings after the first {} have no chart and no addresses here; the JSON has them.</p>\n",
            &[&FULL],
        );
    }
    for (place, finding) in shown.iter().enumerate() {
        entry(page, analysis, finding, place, axis);
    }
    if hidden > 0 {
        page.put("<p>{} not shown; the JSON has all.</p>\n", &[&count(hidden as i64, "more finding")]);
    }
    page.raw("</section>\n");
}

fn entry(page: &mut Page, analysis: &Analysis, finding: &Finding, place: usize, axis: &Axis) {
    let grade = &finding.grade;
    page.put("<article class=\"finding\" id=\"{}\" data-severity=\"{}\">\n", &[&anchor(place), &grade.severity]);
    page.raw(if place < OPEN { "<details open>" } else { "<details>" });
    page.raw("<summary>");
    severity(page, grade.severity);
    let heading = heading(finding);
    match &finding.suppressed {
        Some(suppression) => {
            page.put(" <h3><del>{}</del></h3> <span class=\"short\">accepted</span></summary>\n", &[&heading]);
            page.put("<p>Not counted: {}.</p>\n", &[&suppression.in_words()]);
        }
        None => page.put(" <h3>{}</h3> <span class=\"short\">{}</span></summary>\n", &[&heading, &tally(finding)]),
    }
    page.put("<p>{}</p>\n", &[&finding.explanation]);
    let covers = |row: &&crate::findings::Coverage| {
        Some(&row.requirement) == finding.subject.requirement.as_ref() && row.subnet == finding.subject.subnet
    };
    if place < FULL {
        timeline(page, finding, analysis.coverage.iter().find(covers), axis);
    }
    page.put("<p class=\"fix\">Fix: {}", &[&fix_in_words(&finding.fix)]);
    let of_finding = |cause: &crate::findings::Cause| cause.findings.contains(&finding.identity.id);
    if let Some(cause) =
        analysis.causes.iter().position(of_finding).filter(|place| *place < FIXED && finding.fix.rule().is_some())
    {
        page.put(" <a href=\"#{}\">Commands</a>", &[&cause_anchor(cause)]);
    }
    page.raw("</p>\n<details class=\"evidence\"><summary>Evidence</summary>\n");
    facts(page, finding);
    if place < FULL {
        addresses(page, &finding.addresses, finding.subject.direction);
    }
    page.raw("</details>\n</details>\n</article>\n");
}

fn facts(page: &mut Page, finding: &Finding) {
    let (grade, subject, blame, times, denials) =
        (&finding.grade, &finding.subject, &finding.blame, &finding.times, &finding.denials);
    page.raw("<dl class=\"facts\">\n");
    let mut row = |name: &'static str, value: &str| {
        if !value.is_empty() {
            page.put("<div><dt>{}<dd>{}</div>\n", &[&name, &value]);
        }
    };
    let state = match grade.state {
        State::Ongoing => "continues",
        State::Quiet => "quiet: no flow in the last 24 hours of the logs",
        State::Recovered => "over",
    };
    let logged_by = if subject.vantage == Vantage::Near { "" } else { "the other end of the connection" };
    let rule = [blame.rule_text(), blame.acl_text()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    row(
        "Id",
        &format!("{} ({}, fingerprint {})", finding.identity.id, finding.identity.kind, finding.identity.fingerprint),
    );
    row("Requirement", subject.requirement.as_deref().unwrap_or_default());
    row("Purpose", &subject.purpose);
    row("Rule", &rule.join(" in "));
    row("Subnet", &subject.subnet);
    row("State", state);
    row("Confidence", grade.confidence.name());
    row("Score", &format!("{} (impact {}, reach {})", grade.score, grade.impact, grade.reach));
    row("Logged by", logged_by);
    row("Hint", finding.meaning.hint.as_deref().unwrap_or_default());
    if denials.denied_tuples > 0 {
        row(
            "Refused",
            &format!(
                "{}, of them {} in the last 24 hours up to the last one",
                number(denials.denied_tuples),
                number(denials.denied_tuples_24h)
            ),
        );
        row(
            "Allowed",
            &format!(
                "{} in the same 24 hours, {} since the first refusal",
                number(denials.allowed_24h),
                number(denials.allowed_since_first_denied)
            ),
        );
    }
    if denials.sent_tuples > 0 {
        row("Unanswered", &format!("{} of {}", number(denials.unanswered_tuples), count(denials.sent_tuples, "flow")));
    }
    if finding.addresses.outside_loaded_tags > 0 {
        row("Outside the loaded tags", &number(finding.addresses.outside_loaded_tags));
    }
    let named = [
        ("Last allowed before", times.last_allowed_before),
        ("First refused", times.first_denied),
        ("Last refused", times.last_denied),
        ("Allowed again", times.first_allowed_after),
    ];
    for (name, time) in named.into_iter().filter(|(_, time)| time.is_some()) {
        page.put("<div><dt>{}<dd>", &[&name]);
        page.time(time);
        page.raw("</div>\n");
    }
    page.raw("</dl>\n");
}

/// Writes the busiest addresses at both ends.
fn addresses(page: &mut Page, addresses: &Addresses, direction: ScopeDirection) {
    let (local, remote) = match direction {
        ScopeDirection::Inbound => ("Refused at these machines", "Callers"),
        ScopeDirection::Outbound => ("Machines that call", "Called addresses"),
        // Both lists of internal flows are destinations.
        ScopeDirection::Internal => ("Called machines", ""),
    };
    page.put("<p>{} ({}):</p>\n<ul class=\"addresses\">", &[&local, &number(addresses.local_address_count as i64)]);
    for address in &addresses.local_addresses {
        page.put("<li>{}: {}", &[&address.ip, &number(address.denied_tuples)]);
    }
    page.raw("</ul>\n");
    if remote.is_empty() || addresses.remote_addresses.is_empty() {
        return;
    }
    let about = if addresses.remote_address_count_exact { "" } else { "about " };
    page.put(
        "<p>{} ({}{}):</p>\n<ul class=\"addresses\">",
        &[&remote, &about, &number(addresses.remote_address_count as i64)],
    );
    for address in &addresses.remote_addresses {
        page.put("<li>{}", &[&address.ip]);
        if let Some(tag) = &address.service_tag {
            page.put(" ({})", &[tag]);
        }
        page.put(": {}", &[&number(address.denied_tuples)]);
    }
    page.raw("</ul>\n");
}
