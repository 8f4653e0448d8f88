//! Draws which dependencies fail at the same time: a row per requirement, a column per step of the time axis.

use std::collections::BTreeMap;

use super::{Axis, begin_figure, begin_numbers, end_figure, legend};
use crate::findings::{Analysis, Finding, Verdict};
use crate::report::html::markup::{Page, number};
use crate::report::html::words::{heading, row_direction};
use crate::report::sink::shortened;
use crate::time::Timestamp;

/// Maximum number of rows.
const ROWS: usize = 24;
/// Width of the names, and of the cells.
const NAMES: usize = 250;
const CELLS: usize = 650;
const ROW: usize = 24;
/// Opacities from few refusals to many.
const SHADES: [&str; 4] = ["0.3", "0.5", "0.75", "1"];

/// Refusals of one requirement, or of findings without one.
struct Row {
    name: String,
    steps: Vec<i64>,
    /// First and last flow that may belong to the requirement.
    seen: Option<(Timestamp, Timestamp)>,
    /// Whether flows of it got no answer, which is not counted per hour.
    is_unanswered: bool,
}

/// Writes the heat map.
pub fn heat(page: &mut Page, analysis: &Analysis, shown: &[&Finding], axis: &Axis) {
    let rows = rows(analysis, shown, axis);
    let most = rows.iter().flat_map(|row| &row.steps).copied().max().unwrap_or_default();
    if most == 0 {
        return;
    }
    let title = format!("Do several break together? Refused flows per {}", axis.step());
    let height = rows.len() * ROW + 22;
    begin_figure(page, &title, true);
    page.put(
        "<svg role=\"img\" class=\"wide\" viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\"><title>{}</title>",
        &[&(NAMES + CELLS), &height, &(NAMES + CELLS), &height, &title],
    );
    page.put(
        "<desc>A row per dependency, a column per {}. Stronger means more refusals, on a logarithmic scale up to {}. Blank means that flows were seen and none was refused, hatched that no flow was seen.</desc>\n",
        &[&axis.step(), &number(most)],
    );
    let step = CELLS as f64 / axis.count() as f64;
    for (nr, row) in rows.iter().enumerate() {
        draw(page, row, nr * ROW, step, most, axis);
    }
    let bottom = rows.len() * ROW + 16;
    page.put(
        "<text x=\"{}\" y=\"{}\" font-size=\"12\">{}</text>",
        &[&NAMES, &bottom, &page.clock.minute(axis.start_of(0))],
    );
    page.put(
        "<text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"end\">{}</text>\n</svg>\n",
        &[&(NAMES + CELLS), &bottom, &page.clock.minute(axis.end())],
    );
    page.raw("</div>\n");
    let keys = [
        ("denied", "refused, the stronger the more (logarithmic)"),
        ("blank", "flows, none refused"),
        ("unknown", "no flow seen"),
    ];
    legend(page, &keys);
    let heads: Vec<String> = (0..axis.count()).map(|nr| page.clock.minute(axis.start_of(nr))).collect();
    let columns: Vec<&str> = ["dependency", "flows seen"]
        .into_iter()
        .chain(heads.iter().map(|head| head.trim_end_matches(" UTC")))
        .collect();
    begin_numbers(page, &title, &columns);
    for row in &rows {
        page.put("<tr><th scope=\"row\">{}<td>", &[&row.name]);
        match row.seen {
            Some((first, last)) => page.put("{} to {}", &[&page.clock.minute(first), &page.clock.minute(last)]),
            None => page.raw("none"),
        }
        if row.is_unanswered {
            page.raw(", no answer");
        }
        for count in &row.steps {
            page.put("<td>{}", &[count]);
        }
        page.raw("\n");
    }
    end_figure(page);
}

fn draw(page: &mut Page, row: &Row, top: usize, step: f64, most: i64, axis: &Axis) {
    page.put("<text x=\"0\" y=\"{}\" font-size=\"12\">{}</text>", &[&(top + 15), &shortened(&row.name, 38)]);
    page.put(
        "<rect class=\"unknown\" fill=\"url(#hatch)\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
        &[&NAMES, &(top + 2), &CELLS, &(ROW - 4)],
    );
    let x = |place: usize| format!("{:.1}", NAMES as f64 + place as f64 * step);
    if let Some((first, last)) = row.seen {
        let (from, to) = (axis.place(first), axis.place(last) + 1);
        let width = format!("{:.1}", to.saturating_sub(from) as f64 * step);
        page.put(
            "<rect class=\"blank\" fill=\"#ffffff\" stroke=\"#c5c9d0\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            &[&x(from), &(top + 2), &width, &(ROW - 4)],
        );
    }
    let shades: Vec<Option<usize>> = row.steps.iter().map(|count| (*count > 0).then(|| shade(*count, most))).collect();
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    let mut from = 0;
    // Neighbours of one shade are one shape.
    for run in shades.chunk_by(|one, next| one == next) {
        let width = run.len() as f64 * step;
        if let Some(Some(shade)) = run.first() {
            *paths.entry(*shade).or_default() +=
                &format!("M{} {}h{width:.1}v{}h-{width:.1}z", x(from), top + 2, ROW - 4);
        }
        from += run.len();
    }
    for (shade, path) in paths {
        let opacity = SHADES.get(shade).copied().unwrap_or("1");
        page.put("<path class=\"denied\" fill=\"#b3261e\" fill-opacity=\"{}\" d=\"{}\"/>", &[&opacity, &path]);
    }
    if row.is_unanswered {
        let words = "no answer (not counted per hour)";
        page.put("<text x=\"{}\" y=\"{}\" font-size=\"12\">{}</text>", &[&(NAMES + 8), &(top + 16), &words]);
    }
    page.raw("\n");
}

/// Returns the shade of a count by how far it is below `most`: down to a half, a quarter, a sixteenth, or further.
fn shade(count: i64, most: i64) -> usize {
    let limits = [most / 16, most / 4, most / 2];
    limits.into_iter().filter(|limit| count > *limit).count()
}

/// Returns the rows: what findings are about, the worst first, then the other required rows.
fn rows(analysis: &Analysis, shown: &[&Finding], axis: &Axis) -> Vec<Row> {
    let mut rows: Vec<(String, Row)> = Vec::new();
    for finding in shown {
        let key = finding.subject.requirement.clone().unwrap_or_else(|| heading(finding));
        let at = rows.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            rows.push((key, Row::new(heading(finding), axis)));
            rows.len() - 1
        });
        if let Some((_, row)) = rows.get_mut(at) {
            axis.add(&finding.addresses.hours, &mut row.steps);
            row.is_unanswered |= finding.grade.verdict == Verdict::Unanswered;
            let times = &finding.times;
            row.saw(times.last_allowed_before.or(times.first_denied), times.first_allowed_after.max(times.last_denied));
        }
    }
    for covered in &analysis.coverage {
        let key = &covered.requirement;
        let at = rows.iter().position(|(known, _)| known == key);
        let at = match at {
            Some(at) => at,
            None if covered.is_required() => {
                let (flow, ports) = (row_direction(covered), covered.ports.join(", "));
                let name = format!("{flow} {} {ports}, {}", covered.protocol, covered.requirement);
                rows.push((key.clone(), Row::new(name, axis)));
                rows.len() - 1
            }
            None => continue,
        };
        if let Some((_, row)) = rows.get_mut(at) {
            row.saw(covered.first_flow, covered.last_flow);
        }
    }
    rows.truncate(ROWS);
    rows.into_iter().map(|(_, row)| row).collect()
}

impl Row {
    fn new(name: String, axis: &Axis) -> Self {
        Self { name, steps: vec![0; axis.count()], seen: None, is_unanswered: false }
    }

    fn saw(&mut self, first: Option<Timestamp>, last: Option<Timestamp>) {
        let Some((first, last)) = first.zip(last) else { return };
        self.seen = Some(match self.seen {
            Some((from, to)) => (from.min(first), to.max(last)),
            None => (first, last),
        });
    }
}
