//! Draws what talks to what: the subnet on the left, a line per requirement to the service on the right.

use super::{begin_figure, begin_numbers, end_figure, legend};
use crate::findings::{Analysis, Coverage, CoverageVerdict, Finding};
use crate::report::html::markup::{Page, number};
use crate::report::html::words::{row_verdict, scope};
use crate::report::sink::shortened;

/// Maximum number of lines.
const LINES: usize = 20;
const ROW: usize = 30;
const WIDTH: usize = 900;
/// Ends of the lines.
const LEFT: usize = 192;
const RIGHT: usize = 600;

/// Returns whether the map has any line.
pub fn has_lines(analysis: &Analysis) -> bool {
    analysis.coverage.iter().any(is_drawn)
}

/// Writes the map.
pub fn map(page: &mut Page, analysis: &Analysis, shown: &[&Finding]) {
    let mut rows: Vec<&Coverage> = analysis.coverage.iter().filter(|row| is_drawn(row)).collect();
    if rows.is_empty() {
        return;
    }
    // Stable, so rows with one verdict stay in the order of the port table.
    rows.sort_by_key(|row| (row.verdict, !row.is_required()));
    let more = rows.len().saturating_sub(LINES);
    rows.truncate(LINES);
    let title = "What talks to what?";
    let height = rows.len() * ROW + 10;
    begin_figure(page, title, true);
    page.put(
        "<svg role=\"img\" class=\"wide\" viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\"><title>{}</title>",
        &[&WIDTH, &height, &WIDTH, &height, &title],
    );
    page.raw("<desc>A line per requirement between the subnet of API Management and a service. Whole lines are allowed, dashed lines are refused in part, cut lines are refused or get no answer, and hatched ones were not seen. Wider lines have more flows, on a logarithmic scale.</desc>\n");
    page.put(
        "<rect class=\"box\" fill=\"#eef1f5\" stroke=\"#5a6069\" x=\"1\" y=\"4\" width=\"{}\" height=\"{}\" rx=\"6\"/>",
        &[&(LEFT - 2), &(height - 10)],
    );
    page.raw("<text x=\"12\" y=\"24\" font-size=\"14\" font-weight=\"600\">API Management</text>");
    page.put("<text x=\"12\" y=\"42\" font-size=\"12\">{}</text>\n", &[&shortened(&scope(analysis), 28)]);
    for (nr, row) in rows.iter().enumerate() {
        draw(page, row, rule(row, shown), nr * ROW + ROW / 2 + 4);
    }
    page.raw("</svg>\n</div>\n");
    let keys = [
        ("allowed", "allowed"),
        ("denied", "dashed: refused in part; cut: refused or no answer"),
        ("unknown", "no flow seen"),
        ("none", "wider is more (logarithmic)"),
    ];
    legend(page, &keys);
    begin_numbers(
        page,
        title,
        &["requirement", "direction", "flow", "service", "verdict", "refused", "allowed", "rule"],
    );
    for row in &rows {
        page.put(
            "<tr><th scope=\"row\">{}<td>{}<td>{} {}<td>{}<td>{}<td>{}<td>{}<td>{}\n",
            &[
                &row.requirement,
                &row.direction,
                &row.protocol,
                &row.ports.join(", "),
                &peer(row),
                &row_verdict(row.verdict),
                &number(row.denied_tuples),
                &number(row.allowed_tuples),
                &rule(row, shown).unwrap_or_default(),
            ],
        );
    }
    end_figure(page);
    if more > 0 {
        page.put("<p>{} more are in the coverage below.</p>\n", &[&more]);
    }
}

/// Returns whether a row is in the map: required ones, and others with refusals.
fn is_drawn(row: &Coverage) -> bool {
    row.is_required() || row.verdict < CoverageVerdict::Allowed
}

/// Returns the end of a row that is not the instance.
fn peer(row: &Coverage) -> &str {
    if row.direction.name() == "inbound" { row.source.name() } else { row.destination.name() }
}

/// Returns the rule of the worst finding of a row.
fn rule<'a>(row: &Coverage, shown: &[&'a Finding]) -> Option<&'a str> {
    let is_own = |finding: &&&Finding| {
        finding.subject.requirement.as_ref() == Some(&row.requirement) && finding.subject.subnet == row.subnet
    };
    shown.iter().find(is_own).and_then(|finding| finding.blame.rule_name.as_deref())
}

fn draw(page: &mut Page, row: &Coverage, rule: Option<&str>, y: usize) {
    let tuples = row.denied_tuples.max(0).saturating_add(row.allowed_tuples.max(0));
    let width = format!("{:.1}", 1.5 + (tuples as f64).ln_1p() / 3.0);
    let middle = (LEFT + RIGHT) / 2;
    let (start, end) = if row.direction.name() == "inbound" { (RIGHT, LEFT) } else { (LEFT, RIGHT) };
    let line = |page: &mut Page, class: &'static str, color: &str, dash: &str, from: usize, to: usize| {
        page.put(
            "<path class=\"link {}\" stroke=\"{}\" stroke-width=\"{}\" stroke-dasharray=\"{}\" d=\"M{} {}H{}\"/>",
            &[&class, &color, &width, &dash, &from, &y, &to],
        );
    };
    let is_cut = match row.verdict {
        CoverageVerdict::Blocked | CoverageVerdict::Unanswered => {
            let stop = if start < end { middle - 90 } else { middle + 90 };
            line(page, "denied", "#b3261e", "none", start, stop);
            page.put(
                "<path class=\"link denied\" stroke=\"#b3261e\" stroke-width=\"2.5\" d=\"M{} {}l10 10m0 -10l-10 10\"/>",
                &[&(stop - 5), &(y - 5)],
            );
            true
        }
        CoverageVerdict::Partial => {
            line(page, "denied", "#b3261e", "8 5", start, end);
            false
        }
        CoverageVerdict::Recovered | CoverageVerdict::Allowed => {
            line(page, "allowed", "#1a6fb0", "none", start, end);
            false
        }
        CoverageVerdict::Indistinguishable | CoverageVerdict::NoEvidence => {
            line(page, "unknown", "#8a8f98", "2 4", start, end);
            false
        }
    };
    if row.verdict < CoverageVerdict::Recovered {
        let words = match row.verdict {
            CoverageVerdict::Unanswered => "no answer",
            _ => rule.unwrap_or("refused"),
        };
        page.put(
            "<text class=\"rule\" x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"middle\">{}</text>",
            &[&middle, &(if is_cut { y + 4 } else { y - 6 }), &shortened(words, 24)],
        );
    }
    let arrow = if start < end { "→" } else { "←" };
    page.put(
        "<text x=\"{}\" y=\"{}\" font-size=\"13\">{} {} {} {}</text>\n",
        &[
            &(RIGHT + 8),
            &(y + 4),
            &arrow,
            &shortened(peer(row), 24),
            &row.protocol,
            &shortened(&row.ports.join(", "), 16),
        ],
    );
}
