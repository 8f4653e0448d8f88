//! Writes what can be said about each requirement, and how far silence can be trusted.

use super::charts::{Bar, bars};
use super::markup::{Page, number};
use super::words::{row_direction, row_verdict};
use crate::findings::{Analysis, Coverage, CoverageVerdict};
use crate::report::sentences::coverage_line;

/// Maximum number of rows.
const MOST: usize = 400;

/// Writes the counts and the table.
pub fn section(page: &mut Page, analysis: &Analysis) {
    if analysis.coverage.is_empty() {
        return;
    }
    let needs = &analysis.needs;
    page.raw("<section aria-labelledby=\"coverage\">\n<h2 id=\"coverage\">Coverage: can silence be trusted?</h2>\n");
    page.put("<p>{}</p>\n", &[&coverage_line(analysis, page.clock)]);
    let bar = |label: &str, value: u64, class| Bar { label: label.to_owned(), value: value as i64, class };
    let counts = [
        bar("refused or without an answer", needs.blocked, "denied"),
        bar("refused in part", needs.degraded, "denied"),
        bar("seen working", needs.seen, "allowed"),
        bar("never tried", needs.never_tried, "unknown"),
    ];
    bars(page, "What API Management always needs", &counts);
    let several = analysis.scope.subnets.len() > 1;
    let mut columns = vec!["requirement", "verdict", "flow", "from → to", "needed", "refused", "allowed", "last flow"];
    if several {
        columns.push("subnet");
    }
    page.begin_table("Requirements and their evidence", &columns);
    for row in analysis.coverage.iter().take(MOST) {
        write_row(page, row, several);
    }
    page.end_table();
    if let more @ 1.. = analysis.coverage.len().saturating_sub(MOST) {
        page.put("<p>{} more rows are in the JSON.</p>\n", &[&more]);
    }
    page.raw("</section>\n");
}

fn write_row(page: &mut Page, row: &Coverage, several: bool) {
    let (class, shape) = match row.verdict {
        CoverageVerdict::Blocked | CoverageVerdict::Unanswered => ("bad", "✕"),
        CoverageVerdict::Partial => ("warn", "◆"),
        CoverageVerdict::Recovered | CoverageVerdict::Allowed => ("good", "✓"),
        CoverageVerdict::Indistinguishable | CoverageVerdict::NoEvidence => ("unknown", "?"),
    };
    page.put(
        "<tr><th scope=\"row\">{}</th><td data-sort=\"{}\"><span class=\"tone {}\"><span aria-hidden=\"true\">{}</span> {}</span>",
        &[&row.requirement, &(row.verdict as u8), &class, &shape, &row_verdict(row.verdict)],
    );
    match (row.verdict, row.silent_since) {
        (_, Some(since)) => page.put(" <span class=\"says\">silent since {}</span>", &[&page.clock.minute(since)]),
        (CoverageVerdict::NoEvidence, None) => page.raw(" <span class=\"says\">or not logged</span>"),
        (CoverageVerdict::Indistinguishable, None) => {
            page.raw(" <span class=\"says\">its flows may belong to others</span>")
        }
        _ => {}
    }
    let needed = if row.counts { row.necessity.name() } else { "not in this mode" };
    page.put(
        "</td><td>{} {} {}</td><td>{} → {}</td><td>{}</td><td>{}</td><td>{}</td><td>",
        &[
            &row_direction(row),
            &row.protocol,
            &row.ports.join(", "),
            &row.source.name(),
            &row.destination.name(),
            &needed,
            &number(row.denied_tuples),
            &number(row.allowed_tuples),
        ],
    );
    page.time(row.last_flow);
    match several {
        true => page.put("</td><td>{}</td></tr>\n", &[&row.subnet]),
        false => page.raw("</td></tr>\n"),
    }
}
