//! Writes who is to blame, and the change that opens each, for every target.

use super::charts::{Bar, bars};
use super::index::Index;
use super::markup::{Page, count, number};
use super::words::{anchor, cause_anchor, flow, severity};
use crate::findings::{Analysis, Cause, CauseKind, Finding};
use crate::report::fix::{Advice, Group, Target, Value, plan};
use crate::report::sentences::name;

/// Number of causes whose fix is written for every target. Others have the Azure CLI alone, for the size of the page.
const FULL: usize = 5;
/// Maximum number of causes with a fix.
pub const FIXED: usize = 30;
/// Maximum number of findings of a cause whose rules are written.
const RULES: usize = 10;
/// Maximum number of causes in the table.
const MOST: usize = 100;

/// Returns the name of a cause, as the portal knows it.
pub fn title(cause: &Cause) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    match cause.kind {
        CauseKind::NoAnswer => "No answer comes back".to_owned(),
        CauseKind::Encryption => "Virtual network encryption".to_owned(),
        CauseKind::Rule => format!("{} in {}", known(&cause.rule_name), known(&cause.acl_name)),
    }
}

/// Writes the chart and the table of causes, then the fix of each.
pub fn section(page: &mut Page, analysis: &Analysis, index: &Index) {
    if analysis.causes.is_empty() {
        return;
    }
    let causes = &analysis.causes[..analysis.causes.len().min(MOST)];
    page.raw("<section aria-labelledby=\"causes\">\n<h2 id=\"causes\">Causes and fixes</h2>\n");
    if causes.len() > 1 {
        let top = causes.iter().take(12);
        let rows = top.map(|cause| Bar {
            label: format!("{} {}", cause.number, title(cause)),
            value: cause.denied_tuples,
            class: "denied",
        });
        bars(page, "Refused flows by cause", &rows.collect::<Vec<_>>());
    }
    table(page, causes, index);
    if let more @ 1.. = analysis.causes.len() - causes.len() {
        page.put("<p>{} not shown; the JSON has all.</p>\n", &[&count(more as i64, "more cause")]);
    }
    if causes.len() > FIXED {
        page.put("<p>The fixes of the first {} causes follow; <code>flowgap fix ANALYSIS.json N</code> prints the others.</p>\n", &[&FIXED]);
    }
    for (place, cause) in causes.iter().take(FIXED).enumerate() {
        let targets: &[Target] = if place < FULL { &Target::ALL } else { &[Target::Az] };
        card(page, &cause_anchor(place), cause, index, targets);
    }
    page.raw("</section>\n");
}

fn table(page: &mut Page, causes: &[Cause], index: &Index) {
    page.begin_table("Causes", &["cause", "severity", "for", "refused", "since", "last", "findings"]);
    for (place, cause) in causes.iter().enumerate() {
        match place < FIXED {
            true => page.put(
                "<tr><th scope=\"row\"><a href=\"#{}\">{} {}</a></th>",
                &[&cause_anchor(place), &cause.number, &title(cause)],
            ),
            false => page.put("<tr><th scope=\"row\">{} {}</th>", &[&cause.number, &title(cause)]),
        }
        page.put("<td data-sort=\"{}\">", &[&(cause.max_severity as u8)]);
        severity(page, cause.max_severity);
        page.put("</td><td>{}</td><td>{}</td><td>", &[&cause.subnet, &number(cause.denied_tuples)]);
        page.time(cause.first_denied);
        page.raw("</td><td>");
        page.time(cause.last_denied);
        page.raw("</td><td>");
        links(page, cause, index);
        page.raw("</td></tr>\n");
    }
    page.end_table();
}

/// Writes links to the findings of a cause. Findings without an entry on the page are counted.
fn links(page: &mut Page, cause: &Cause, index: &Index) {
    const MOST: usize = 5;
    let linked = index.of_cause(cause).into_iter().filter_map(|(finding, place)| Some((finding, place?)));
    let linked: Vec<(&Finding, usize)> = linked.take(MOST).collect();
    for (finding, place) in &linked {
        page.put("<a href=\"#{}\">{}</a> ", &[&anchor(*place), &name(finding)]);
    }
    match cause.findings.len() - linked.len() {
        0 => {}
        more if linked.is_empty() => page.put("{}", &[&count(more as i64, "finding")]),
        more => page.put("and {} more", &[&more]),
    }
}

fn card(page: &mut Page, id: &str, cause: &Cause, index: &Index, targets: &[Target]) {
    let findings: Vec<&Finding> = index.of_cause(cause).into_iter().map(|(finding, _)| finding).collect();
    page.put("<article class=\"card\" id=\"{}\">\n<h3>{} {}</h3>\n", &[&id, &cause.number, &title(cause)]);
    if let Some(effect) = &cause.effect {
        page.put("<p>Effect: {}.</p>\n", &[effect]);
    }
    if let Some(acl) = cause.acl.as_ref().filter(|acl| cause.acl_name.as_ref() != Some(acl)) {
        page.put("<p class=\"id\">{}</p>\n", &[acl]);
    }
    let fixed = &findings[..findings.len().min(RULES)];
    copyable_fix(page, &format!("fix-{id}"), fixed, targets);
    if findings.len() > RULES {
        page.put(
            "<p>This is for its worst {} findings; <code>flowgap fix ANALYSIS.json {}</code> prints all.</p>\n",
            &[&RULES, &cause.number],
        );
    }
    page.raw("</article>\n");
}

/// Writes the fix of `findings` for each target, with a button to copy it. `id` is unique in the page.
pub fn copyable_fix(page: &mut Page, id: &str, findings: &[&Finding], targets: &[Target]) {
    let plan = plan(findings.iter().copied());
    for (nr, group) in plan.groups.iter().enumerate() {
        let words = findings.iter().filter(|finding| group.advice.iter().any(|a| a.finding == finding.identity.id));
        for finding in words {
            if let Some(rule) = finding.fix.rule() {
                page.put(
                    "<p>Fix: allow {} {} {} from {} to {}. {}</p>\n",
                    &[
                        &rule.direction,
                        &rule.protocol,
                        &rule.ports.join(", "),
                        &rule.source,
                        &rule.destination,
                        &finding.fix.note,
                    ],
                );
            }
        }
        for (place, &target) in targets.iter().enumerate() {
            let id = format!("{id}-{nr}-{target}");
            if targets.len() > 1 {
                page.raw(if place == 0 { "<details class=\"target\" open>" } else { "<details class=\"target\">" });
                page.put("<summary>{}</summary>\n", &[&label(target)]);
            }
            rendered(page, &id, group, target, targets.len() > 1);
            if targets.len() > 1 {
                page.raw("</details>\n");
            }
        }
    }
    for Advice { finding, requirement, words } in &plan.in_words {
        let about =
            findings.iter().find(|known| known.identity.id == *finding).map(|known| flow(known)).unwrap_or_default();
        let name = requirement.as_deref().unwrap_or(finding);
        page.put("<p>{} ({}): {}</p>\n", &[&about, &name, words]);
    }
}

fn rendered(page: &mut Page, id: &str, group: &Group, target: Target, has_undo: bool) {
    let fix = group.render(target);
    let nsg = match &group.place.nsg {
        Value::Known(name) => name.as_str(),
        Value::Asked(_) => "a network security group that the log does not name",
    };
    page.copyable(id, &format!("the fix of {nsg} for {}", label(target)), &fix.change);
    if !has_undo {
        return;
    }
    for caution in &fix.cautions {
        match caution.starts_with("az ") {
            true => page.put("<p class=\"caution\"><code>{}</code></p>\n", &[caution]),
            false => page.put("<p class=\"caution\">{}</p>\n", &[caution]),
        }
    }
    page.raw("<p>Undo:</p>\n");
    page.copyable(&format!("{id}-undo"), &format!("the undo for {}", label(target)), &fix.undo);
}

fn label(target: Target) -> &'static str {
    match target {
        Target::Az => "Azure CLI",
        Target::Bicep => "Bicep",
        Target::Terraform => "Terraform",
        Target::PowerShell => "PowerShell",
        Target::Portal => "Portal",
    }
}
