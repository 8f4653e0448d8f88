//! Draws the course of one finding: refusals above the line, known allowed times below it.

use super::{Axis, begin_figure, begin_numbers, end_figure, legend};
use crate::findings::{Coverage, Finding};
use crate::report::Clock;
use crate::report::html::markup::{Page, number};
use crate::time::Timestamp;

/// Width of a step in the drawing.
const STEP: usize = 10;
/// Height of the line between refused and allowed.
const LINE: usize = 42;
/// Maximum number of hours that a finding lists.
const LISTED_HOURS: usize = 168;

/// Explains the colours of all these charts.
pub fn timeline_legend(page: &mut Page) {
    legend(page, &[("denied", "refused"), ("allowed", "known to be allowed"), ("unknown", "not known per hour")]);
}

/// Writes the chart of a finding. `row` is the coverage of its requirement in its subnet.
pub fn timeline(page: &mut Page, finding: &Finding, row: Option<&Coverage>, axis: &Axis) {
    let mut steps = vec![0; axis.count()];
    axis.add(&finding.addresses.hours, &mut steps);
    let most = steps.iter().copied().max().unwrap_or_default();
    if most == 0 {
        return;
    }
    let width = axis.count() * STEP;
    let title = format!("Refused per {}, at most {}", axis.step(), number(most));
    begin_figure(page, &title, false);
    page.put(
        "<svg role=\"img\" class=\"timeline\" viewBox=\"0 0 {} 60\" width=\"100%\" height=\"60\" preserveAspectRatio=\"none\"><title>{}</title><desc>{}</desc>\n",
        &[&width, &title, &description(finding, page.clock)],
    );
    unknown(page, finding, axis);
    page.put("<path class=\"denied\" fill=\"#b3261e\" d=\"{}\"/>\n", &[&stairs(&steps, most)]);
    allowed(page, finding, row, axis);
    page.put("<path class=\"line\" stroke=\"#5a6069\" d=\"M0 {}H{}\"/>\n", &[&LINE, &width]);
    for (time, class) in [(finding.times.last_allowed_before, "allowed"), (finding.times.first_denied, "denied")] {
        if let Some(time) = time {
            let color = if class == "denied" { "#b3261e" } else { "#1a6fb0" };
            page.put(
                "<path class=\"mark {}\" stroke=\"{}\" stroke-dasharray=\"3 2\" d=\"M{} 0V60\"/>\n",
                &[&class, &color, &across(axis.position(time))],
            );
        }
    }
    let (start, end) = (page.clock.minute(axis.start_of(0)), page.clock.minute(axis.end()));
    page.put("</svg>\n<p class=\"ends\"><span>{}</span><span>{}</span></p>\n", &[&start, &end]);
    numbers(page, &title, &steps, axis);
}

/// Writes the counts, a row per day or week. Rows without refusals are left out.
fn numbers(page: &mut Page, title: &str, steps: &[i64], axis: &Axis) {
    let per_row = axis.steps_per_row();
    // Steps begin at multiples of their length, so the first row may begin within a day.
    let before = match axis.is_within_days() {
        true => usize::try_from(axis.start_of(0).0.rem_euclid(crate::time::DAY) / (crate::time::DAY / per_row as i64))
            .unwrap_or(0),
        false => 0,
    };
    let heads: Vec<String> = match axis.is_within_days() {
        true => (0..per_row).map(|nr| format!("{:02}:00", nr * 24 / per_row)).collect(),
        false => {
            (1..=per_row).map(|nr| format!("{} {nr}", if axis.step() == "day" { "day" } else { "step" })).collect()
        }
    };
    let from = if page.clock.is_utc() { "from" } else { "from (UTC)" };
    let columns: Vec<&str> = [from].into_iter().chain(heads.iter().map(String::as_str)).collect();
    begin_numbers(page, title, &columns);
    let padded: Vec<Option<i64>> = std::iter::repeat_n(None, before).chain(steps.iter().copied().map(Some)).collect();
    for (nr, row) in padded.chunks(per_row).enumerate() {
        if row.iter().flatten().all(|count| *count == 0) {
            continue;
        }
        let start = axis.start_of((nr * per_row).saturating_sub(before));
        page.put("<tr><th scope=\"row\">{}", &[&start.to_string().get(..10).unwrap_or("?")]);
        for count in row {
            match count {
                Some(count) => page.put("<td>{}", &[count]),
                None => page.raw("<td>"),
            }
        }
        page.raw("\n");
    }
    end_figure(page);
}

/// Returns a path of one step per count.
fn stairs(steps: &[i64], most: i64) -> String {
    let top = |count: &i64| LINE - ((LINE - 4) as f64 * (*count as f64 / most as f64)).ceil() as usize;
    let mut path = format!("M0 {LINE}");
    let mut at = LINE;
    for (nr, count) in steps.iter().enumerate() {
        if top(count) != at {
            at = top(count);
            path += &format!("H{}V{at}", nr * STEP);
        }
    }
    path + &format!("H{}V{LINE}z", steps.len() * STEP)
}

/// Hatches the time whose refusals the finding does not list per hour, because it lists the last ones only.
fn unknown(page: &mut Page, finding: &Finding, axis: &Axis) {
    let hours = &finding.addresses.hours;
    let (Some(first), Some(listed)) = (finding.times.first_denied, hours.first()) else { return };
    if hours.len() >= LISTED_HOURS && first.hour() < listed.hour {
        let (from, to) = (axis.position(first.hour()), axis.position(listed.hour));
        page.put(
            "<rect class=\"unknown\" fill=\"url(#hatch)\" x=\"{}\" y=\"4\" width=\"{}\" height=\"38\"/>\n",
            &[&across(from), &across(to - from)],
        );
    }
}

/// Draws the times in which the logs show allowed flows, and hatches the ones between refusals in which some were.
fn allowed(page: &mut Page, finding: &Finding, row: Option<&Coverage>, axis: &Axis) {
    let times = &finding.times;
    let mut span = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let Some((from, to)) = from.zip(to).filter(|(from, to)| from <= to) else { return };
        let (from, to) = (axis.position(from), axis.position(to));
        page.put(
            "<rect class=\"allowed\" fill=\"#1a6fb0\" x=\"{}\" y=\"46\" width=\"{}\" height=\"10\"/>\n",
            &[&across(from), &across((to - from).max(0.2))],
        );
    };
    span(row.and_then(|row| row.first_flow), times.last_allowed_before);
    span(times.first_allowed_after, row.and_then(|row| row.last_flow).max(times.first_allowed_after));
    if finding.denials.allowed_since_first_denied > 0 {
        let end = times.first_allowed_after.or(times.last_denied);
        if let Some((from, to)) = times.first_denied.zip(end) {
            let (from, to) = (axis.position(from), axis.position(to));
            page.put(
                "<rect class=\"unknown\" fill=\"url(#hatch)\" x=\"{}\" y=\"46\" width=\"{}\" height=\"10\"/>\n",
                &[&across(from), &across(to - from)],
            );
        }
    }
}

fn description(finding: &Finding, clock: Clock) -> String {
    let times = &finding.times;
    let named = [
        ("last allowed before", times.last_allowed_before),
        ("first refused", times.first_denied),
        ("last refused", times.last_denied),
        ("allowed again", times.first_allowed_after),
    ];
    let known = named.iter().filter_map(|(words, time)| Some(format!("{words} {}", clock.minute((*time)?))));
    known.collect::<Vec<_>>().join("; ")
}

fn across(steps: f64) -> String {
    format!("{:.1}", steps * STEP as f64)
}
