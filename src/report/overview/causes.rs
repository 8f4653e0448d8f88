//! Causes as they are printed: causes of one number together, and findings that differ only in machine or NSG as one
//! row.

use std::collections::HashMap;

use super::flows::flow;
use crate::findings::{Analysis, Cause, CauseKind, Change, Finding, Kind, Severity, State, Verdict, counted};
use crate::flow::{RuleOrigin, Vantage};
use crate::report::Clock;
use crate::report::layout::number;
use crate::report::sentences::fix_in_words;
use crate::time::{HOUR, Timestamp};

/// Causes with one number.
pub struct PrintedCause<'a> {
    /// The number.
    pub number: u64,
    /// Rule as the portal names it, its NSG, and since when it refuses.
    pub title: String,
    /// Findings, the worst first; never empty.
    pub rows: Vec<Row<'a>>,
    /// Functions that stop working.
    pub effect: Option<String>,
    /// Findings that may follow from this cause because names do not resolve.
    pub follow: Option<String>,
    /// The causes themselves.
    pub causes: Vec<&'a Cause>,
}

/// Findings that differ only in machine or NSG.
pub struct Row<'a> {
    /// All of them, the worst first; never empty.
    pub findings: Vec<&'a Finding>,
    /// The flow, such as `out TCP 1433 -> Sql`.
    pub flow: String,
    /// Requirement, or the id of the finding without one.
    pub name: String,
    /// Counts of refused and allowed flows, or of answers.
    pub counts: String,
}

/// Returns all causes, the worst first, with times by `clock`.
pub fn printed(analysis: &Analysis, clock: Clock) -> Vec<PrintedCause<'_>> {
    let by_id: HashMap<&str, &Finding> = analysis.findings.iter().map(|f| (f.identity.id.as_str(), f)).collect();
    let mut numbers: Vec<u64> = Vec::new();
    let mut grouped: HashMap<u64, Vec<&Cause>> = HashMap::new();
    for cause in &analysis.causes {
        let group = grouped.entry(cause.number).or_default();
        if group.is_empty() {
            numbers.push(cause.number);
        }
        group.push(cause);
    }
    let of = |number: u64| {
        let causes = grouped.remove(&number)?;
        let mut findings: Vec<&Finding> =
            causes.iter().flat_map(|cause| &cause.findings).filter_map(|id| by_id.get(id.as_str()).copied()).collect();
        findings.sort_by_key(|finding| finding.rank);
        let rows = rows(analysis, &findings, clock);
        (!rows.is_empty()).then(|| PrintedCause {
            number,
            title: title(analysis, &causes, &findings, clock),
            effect: causes.iter().find_map(|cause| cause.effect.clone()),
            follow: follow(analysis, &findings),
            rows,
            causes,
        })
    };
    numbers.into_iter().filter_map(of).collect()
}

impl<'a> PrintedCause<'a> {
    /// Returns whether a finding of at least low severity still fails.
    pub fn is_open(&self) -> bool {
        self.rows.iter().any(|row| !row.is_over() && row.severity() >= Severity::Low)
    }

    /// Returns the findings, the worst first.
    pub fn findings(&self) -> impl Iterator<Item = &'a Finding> {
        self.rows.iter().flat_map(|row| row.findings.iter().copied())
    }

    /// Returns the finding whose fix is shown: the worst one that a rule fixes, or else the worst one.
    pub fn to_fix(&self) -> Option<&'a Finding> {
        let open = || self.rows.iter().filter(|row| !row.is_over()).flat_map(|row| row.findings.first().copied());
        let is_rule = |finding: &&Finding| matches!(finding.fix.change, Change::AllowRule(_));
        open().find(is_rule).or_else(|| open().next())
    }

    /// Returns the advice in words for a cause that no command fixes.
    pub fn advice(&self) -> String {
        self.to_fix().map(|finding| fix_in_words(&finding.fix)).unwrap_or_default()
    }

    /// Returns the command that prints all fixes.
    pub fn fix_command(&self) -> String {
        format!("flowgap fix {}", self.number)
    }
}

impl Row<'_> {
    /// Returns the severity of the worst finding.
    pub fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.grade.severity).max().unwrap_or(Severity::Info)
    }

    /// Returns whether none of the findings fails any more, or each is suppressed.
    pub fn is_over(&self) -> bool {
        self.findings.iter().all(|f| f.is_over() || f.suppressed.is_some())
    }

    /// Returns the severity in capitals, or `over`.
    pub fn mark(&self) -> String {
        if self.findings.iter().all(|f| f.suppressed.is_some()) {
            "accepted".to_owned()
        } else if self.is_over() {
            "over".to_owned()
        } else {
            self.severity().name().to_uppercase()
        }
    }
}

fn rows<'a>(analysis: &Analysis, findings: &[&'a Finding], clock: Clock) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut places: HashMap<_, usize> = HashMap::new();
    for &finding in findings {
        let subject = &finding.subject;
        let is_over = finding.grade.state == State::Recovered || finding.grade.verdict == Verdict::Recovered;
        let wanted = (subject.requirement.as_deref(), subject.candidates.as_slice());
        let flows =
            (subject.direction.name(), subject.vantage.name(), subject.protocol.as_str(), subject.ports.as_slice());
        let place = *places.entry((is_over, finding.identity.kind.name(), wanted, flows)).or_insert(rows.len());
        match rows.get_mut(place) {
            Some(row) => row.findings.push(finding),
            None => rows.push(Row {
                findings: vec![finding],
                flow: flow(analysis, finding),
                name: match finding.identity.kind {
                    Kind::ForcedTunnellingSuspected => "forced tunnelling?".to_owned(),
                    _ => subject.requirement.clone().unwrap_or_else(|| finding.identity.id.clone()),
                },
                counts: String::new(),
            }),
        }
    }
    rows.iter_mut().for_each(|row| row.counts = counts(&row.findings, clock));
    // Findings that are over come last, because they can wait.
    rows.sort_by_key(Row::is_over);
    rows
}

/// Returns the counts of findings that differ only in machine or NSG, with their spread.
pub fn counts(findings: &[&Finding], clock: Clock) -> String {
    let sum = |count: fn(&Finding) -> i64| findings.iter().map(|finding| count(finding)).sum::<i64>();
    let refused = format!("{} refused", number(sum(|f| f.denials.denied_tuples)));
    let Some(first) = findings.first() else { return refused };
    let after = findings.iter().filter_map(|finding| finding.times.first_allowed_after).max();
    let spread = match findings.len() {
        1 => String::new(),
        n => format!(" in {n} places"),
    };
    let text = match first.grade.verdict {
        Verdict::Unanswered => {
            let (sent, lost) = (sum(|f| f.denials.sent_tuples), sum(|f| f.denials.unanswered_tuples));
            format!("{} of {} answered", number(sent - lost), number(sent))
        }
        Verdict::Recovered => match after {
            Some(after) => format!("{refused}, back since {}", clock.brief(after)),
            None => format!("{refused}, works again"),
        },
        Verdict::Contradicted => first.explanation.clone(),
        Verdict::ShareUnknown => format!("{refused}, allowed flows are not logged"),
        Verdict::Partial => {
            format!("{refused}, {} allowed since", number(sum(|f| f.denials.allowed_since_first_denied)))
        }
        Verdict::Blocked if first.grade.state == State::Quiet => format!("{refused}, none in the last 24 h"),
        Verdict::Blocked => match (sum(|f| f.denials.allowed_since_first_denied), first.meaning.worked_before) {
            (0, Some(false)) => format!("{refused}, never seen working"),
            (allowed, _) => format!("{refused}, {} allowed since", number(allowed)),
        },
    };
    format!("{text}{spread}")
}

fn title(analysis: &Analysis, causes: &[&Cause], findings: &[&Finding], clock: Clock) -> String {
    let what = match causes.first() {
        Some(cause) if cause.kind == CauseKind::NoAnswer => "nobody refuses it, but no answer comes back".to_owned(),
        Some(cause) if cause.kind == CauseKind::Encryption => "virtual network encryption drops it".to_owned(),
        Some(cause) => rule_title(cause, &places(causes)),
        None => String::new(),
    };
    let is_far = findings.first().is_some_and(|finding| finding.subject.vantage == Vantage::Far);
    let far = if is_far { ", at the other end" } else { "" };
    format!("{what}{far}{}{}", since(analysis, findings, clock), machines(causes, findings))
}

/// Returns the rule as the portal names it, with its kind and place.
pub fn rule_title(cause: &Cause, place: &str) -> String {
    let rule = cause.rule_name.as_deref().unwrap_or("a rule without a name");
    match cause.rule_origin {
        RuleOrigin::Admin => format!("{rule} (admin rule of Virtual Network Manager)"),
        RuleOrigin::Platform => format!("{rule} (a rule of Azure itself)"),
        RuleOrigin::Default => format!("{rule} (default rule) in {place}"),
        RuleOrigin::User | RuleOrigin::Encryption | RuleOrigin::Unknown => format!("{rule} in {place}"),
    }
}

/// Returns the NSG, or the number of NSGs with the first and the last.
fn places(causes: &[&Cause]) -> String {
    let mut names: Vec<&str> = causes.iter().map(|cause| cause.acl_name.as_deref().unwrap_or("an NSG")).collect();
    names.sort_by_key(|name| (name.len(), *name));
    names.dedup();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first, .., last] => format!("{} NSGs ({first} ... {last})", names.len()),
    }
}

/// Returns since when the flows are refused. The first hour of the logs is their beginning.
fn since(analysis: &Analysis, findings: &[&Finding], clock: Clock) -> String {
    let began = findings.iter().filter_map(|f| Some((f.times.first_denied?, f.times.last_allowed_before))).min();
    let is_edge = |first: Timestamp| analysis.input.first_flow.is_some_and(|start| first.0 - start.0 < HOUR);
    match began {
        None => String::new(),
        Some((first, None)) if is_edge(first) => ", since the logs begin".to_owned(),
        Some((first, _)) => format!(", since {} {}", clock.brief(first), clock.zone(first)),
    }
}

/// Returns the number of machines if there are several, and of subnets.
fn machines(causes: &[&Cause], findings: &[&Finding]) -> String {
    let mut by_subnet: HashMap<&str, u64> = HashMap::new();
    for finding in findings {
        let count = by_subnet.entry(&finding.subject.subnet).or_default();
        *count = (*count).max(finding.addresses.local_address_count);
    }
    let machines: u64 = by_subnet.values().sum();
    match (machines, causes.len(), by_subnet.len()) {
        (0 | 1, ..) => String::new(),
        (n, _, 1) => format!(", {}", counted(n as i64, "machine")),
        (n, _, subnets) => format!(", {} in {subnets} subnets", counted(n as i64, "machine")),
    }
}

/// Returns the sentence about findings that may follow from refused name resolution, if these findings refuse it.
fn follow(analysis: &Analysis, findings: &[&Finding]) -> Option<String> {
    let dns = analysis.refused_names()?;
    findings.iter().find(|finding| finding.subject.requirement.as_ref() == Some(&dns.requirement))?;
    let mut flows: Vec<String> = Vec::new();
    for finding in analysis.findings.iter().filter(|finding| finding.meaning.follows_dns) {
        let flow = flow(analysis, finding);
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    let names = crate::report::layout::joined(&flows, "; ", 2);
    (!flows.is_empty()).then(|| format!("{names} may follow from DNS: fix DNS first"))
}

/// Returns the line of a cause that is not the first: its rule, its worst row and its command. `has_place` is whether
/// the line names the NSG.
pub fn in_a_line(cause: &PrintedCause, has_place: bool) -> String {
    let row = cause.rows.first();
    let worst = row.map(|row| format!("{} {}", row.mark(), row.flow)).unwrap_or_default();
    let title = match (cause.causes.first(), has_place) {
        (Some(first), false) if first.kind == CauseKind::Rule => first.rule_name.clone().unwrap_or_default(),
        (Some(first), true) if first.kind == CauseKind::Rule => rule_title(first, &places(&cause.causes)),
        _ => title_alone(cause),
    };
    format!("{title}: {worst}, {}", cause.fix_command())
}

fn title_alone(cause: &PrintedCause) -> String {
    cause.title.split(", since").next().unwrap_or_default().to_owned()
}
