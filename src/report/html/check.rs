//! Writes a static check as one web page that needs nothing else.

use super::markup::Page;
use super::{foot, head};
use crate::findings::check::{Check, CheckRow};
use crate::report::Clock;
use crate::report::check::words::{answer, compared, flow, headline};
use crate::report::fix::az_lines;

/// Returns the page.
pub fn page(check: &Check) -> String {
    let mut page = Page::new(Clock::UTC);
    head(&mut page, &format!("{}: rules of API Management", check.status.word));
    page.raw("<body>\n<header>\n");
    page.put("<h1>{}: {}</h1>\n<p>{}</p>\n", &[&check.status.word, &headline(check), &compared(check)]);
    page.raw("</header>\n<main id=\"main\">\n");
    fixes(&mut page, check);
    rows(&mut page, check);
    shadowed(&mut page, check);
    notices(&mut page, check);
    foot(&mut page);
    page.finish()
}

fn fixes(page: &mut Page, check: &Check) {
    let refused: Vec<&CheckRow> = check.rows.iter().filter(|row| row.severity.is_some()).collect();
    if refused.is_empty() {
        return;
    }
    page.raw("<section aria-labelledby=\"refused\">\n<h2 id=\"refused\">Refused</h2>\n");
    for (nr, row) in refused.into_iter().enumerate() {
        let severity = row.severity.map(|severity| severity.name()).unwrap_or_default();
        page.put("<h3>{}: {}, {}</h3>\n<p>{}</p>\n", &[&severity, &row.requirement, &flow(row), &row.explanation]);
        if let Some(effect) = &row.effect {
            page.put("<p>Effect: {}.</p>\n", &[effect]);
        }
        let Some(fix) = &row.fix else { continue };
        page.put("<p>Fix: {}</p>\n", &[&fix.note]);
        let commands = row.finding.as_ref().map(az_lines).unwrap_or_default();
        if !commands.is_empty() {
            page.copyable(&format!("fix-{nr}"), "the commands of the Azure CLI", &commands.join("\n"));
        }
    }
    page.raw("</section>\n");
}

fn rows(page: &mut Page, check: &Check) {
    page.raw("<section aria-labelledby=\"rows\">\n<h2 id=\"rows\">Port table</h2>\n");
    page.begin_table(
        "What the rules do with every row",
        &["requirement", "flow", "necessity", "group", "answer", "why"],
    );
    for row in &check.rows {
        let flow = flow(row);
        page.put(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            &[&row.requirement, &flow, &row.necessity, &row.group, &answer(row), &row.explanation],
        );
    }
    page.end_table();
    page.raw("</section>\n");
}

fn shadowed(page: &mut Page, check: &Check) {
    if check.shadowed.is_empty() {
        return;
    }
    page.raw("<section aria-labelledby=\"shadowed\">\n<h2 id=\"shadowed\">Rules that never decide</h2>\n");
    page.begin_table("Rules behind others that match all of theirs", &["rule", "group", "direction", "stands behind"]);
    for rule in &check.shadowed {
        page.put(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            &[&rule.rule, &rule.acl, &rule.direction, &rule.by],
        );
    }
    page.end_table();
    page.raw("</section>\n");
}

fn notices(page: &mut Page, check: &Check) {
    if check.notices.is_empty() {
        return;
    }
    page.raw("<section aria-labelledby=\"notes\">\n<h2 id=\"notes\">Notes</h2>\n<ul>\n");
    check.notices.iter().for_each(|notice| page.put("<li>{}</li>\n", &[&notice.message]));
    page.raw("</ul>\n</section>\n");
}
