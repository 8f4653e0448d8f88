//! Writes refusals that nothing needs, the notices, and the problems of the input.

use super::markup::{Page, count, number};
use super::words::direction;
use crate::findings::Analysis;

/// Maximum number of listed flows, and of listed problems.
const MOST: usize = 50;

/// Writes the last parts of the page.
pub fn sections(page: &mut Page, analysis: &Analysis) {
    unneeded(page, analysis);
    page.raw("<section aria-labelledby=\"trust\">\n<h2 id=\"trust\">Before you trust this</h2>\n<ul>\n");
    page.raw("<li>A flow log shows what rules decide, not what a route or firewall does afterwards.</li>\n");
    for notice in &analysis.notices {
        page.put("<li class=\"lines\">{}</li>\n", &[&notice.message]);
    }
    page.raw("</ul>\n");
    if !analysis.status.reasons.is_empty() {
        page.put("<p>Exit status {}: {}.</p>\n", &[&analysis.status.exit, &analysis.status.reasons.join("; ")]);
    }
    problems(page, analysis);
    page.raw("</section>\n");
}

/// Returns whether there are refusals that nothing needs.
pub fn has_unneeded(analysis: &Analysis) -> bool {
    let all = &analysis.unmatched_denied;
    !all.by_rule.is_empty() || all.inbound_internet_tuples > 0
}

fn unneeded(page: &mut Page, analysis: &Analysis) {
    if !has_unneeded(analysis) {
        return;
    }
    let all = &analysis.unmatched_denied;
    page.raw(
        "<section aria-labelledby=\"unneeded\">\n<h2 id=\"unneeded\">Refused, and not needed by API Management</h2>\n",
    );
    if all.inbound_internet_tuples > 0 {
        page.put(
            "<p>{} from the Internet were refused, mostly of scanners.</p>\n",
            &[&count(all.inbound_internet_tuples, "flow")],
        );
    }
    if !all.by_rule.is_empty() {
        page.put("<p>{} to or from {} were refused otherwise. If one of them is a backend of yours, a rule is missing.</p>\n", &[&count(all.tuples, "flow"), &addresses(all.peers)]);
        page.begin_table("By rule", &["rule", "in", "direction", "ports", "refused", "addresses"]);
        for row in &all.by_rule {
            page.put(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                &[
                    &row.rule,
                    &crate::findings::short_acl(&row.acl),
                    &direction(row.direction),
                    &number(row.ports),
                    &number(row.tuples),
                    &number(row.peers),
                ],
            );
        }
        page.end_table();
    }
    if !all.listed.is_empty() {
        page.raw("<details><summary>The busiest of these flows</summary>\n");
        page.begin_table(
            "The busiest of these flows",
            &["address", "flow", "rule", "refused", "first", "last", "allowed before", "hint"],
        );
        for row in all.listed.iter().take(MOST) {
            page.put(
                "<tr><th scope=\"row\">{}</th><td>{} {} {}</td><td>{}</td><td>{}</td><td>",
                &[
                    &row.remote,
                    &direction(row.direction),
                    &row.protocol,
                    &row.port,
                    &row.rule,
                    &number(row.denied_tuples),
                ],
            );
            page.time(row.first_denied);
            page.raw("</td><td>");
            page.time(row.last_denied);
            page.raw("</td><td>");
            page.time(row.last_allowed_before);
            page.put("</td><td>{}</td></tr>\n", &[&row.hint]);
        }
        page.end_table();
        page.raw("</details>\n");
    }
    page.raw("</section>\n");
}

fn addresses(count: i64) -> String {
    if count == 1 { "1 address".to_owned() } else { format!("{} addresses", number(count)) }
}

fn problems(page: &mut Page, analysis: &Analysis) {
    let input = &analysis.input;
    if input.problem_count == 0 {
        return;
    }
    page.put("<h3>Problems in the input: {}</h3>\n", &[&number(input.problem_count as i64)]);
    page.begin_table("Problems in the input", &["blob", "byte", "record", "problem"]);
    for problem in input.problems.iter().take(MOST) {
        page.put(
            "<tr><th scope=\"row\" class=\"id\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            &[&problem.blob, &problem.offset, &problem.record, &problem.reason],
        );
    }
    page.end_table();
    if input.problem_count > MOST as u64 {
        page.put(
            "<p>and {} more; the JSON lists up to 1000.</p>\n",
            &[&number(input.problem_count as i64 - MOST as i64)],
        );
    }
}
