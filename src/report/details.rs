//! The long form of the text report, 80 columns: causes, ranked table, explanations, what was read.

use std::collections::HashMap;
use std::io::{self, Write};

use super::layout::{problems, wrapped};
use super::overview::printed;
use super::sentences::{
    accepted, addressed, blamed, coverage_line, first_lines, fix_in_words, headline, name, needed, read_line,
};
use super::sink::visible;
use super::text::severity_code;
use super::{Clock, Document, Report, Style};
use crate::findings::{Analysis, Confidence, Finding, HourCount, Severity, State, Verdict, counted};
use crate::flow::ScopeDirection;
use crate::remedy::Remedy;
use crate::time::HOUR;

pub struct DetailsReport {
    pub style: Style,
}

impl Report for DetailsReport {
    fn write(&self, &Document { analysis, changes }: &Document, out: &mut dyn Write) -> io::Result<()> {
        for line in first_lines(analysis) {
            wrapped(out, "", "", &line)?;
        }
        wrapped(out, "", "", &headline(analysis))?;
        for line in
            changes.map(|changes| super::changes::lines(changes, usize::MAX, self.style.clock)).unwrap_or_default()
        {
            wrapped(out, "", "  ", &line)?;
        }
        self.causes(analysis, out)?;
        let needed = needed(analysis);
        let shown = &needed[..needed.len().min(self.style.top)];
        self.table(shown, out)?;
        for finding in shown {
            self.explanation(finding, out)?;
        }
        if self.style.shows_suppressed {
            writeln!(out)?;
            accepted(analysis).iter().try_for_each(|line| wrapped(out, "", "  ", line))?;
        }
        if let hidden @ 1.. = needed.len() - shown.len() {
            writeln!(out, "\n{hidden} more: {} {} shows all.", Remedy::Top, needed.len())?;
        }
        writeln!(out)?;
        wrapped(out, "", "", &read_line(analysis, self.style.clock))?;
        wrapped(out, "", "", &coverage_line(analysis, self.style.clock))?;
        unmatched(analysis, self.style.clock, out)?;
        problems(analysis.input.problem_count, &analysis.input.problems, out)?;
        notices(analysis, out)
    }
}

impl DetailsReport {
    fn causes(&self, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
        if analysis.causes.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nTo blame")?;
        let mut follow: HashMap<u64, String> = printed(analysis, self.style.clock)
            .into_iter()
            .filter_map(|cause| Some((cause.number, cause.follow?)))
            .collect();
        for cause in &analysis.causes {
            let since =
                cause.first_denied.map(|t| format!(" since {}", self.style.clock.minute(t))).unwrap_or_default();
            let refusals = match cause.denied_tuples {
                0 => String::new(),
                tuples => format!(", {}", counted(tuples, "refusal")),
            };
            let line = format!(
                "{} for {}: {}, {}{refusals}{since}",
                blamed(cause),
                cause.subnet,
                cause.max_severity,
                counted(cause.findings.len() as i64, "finding"),
            );
            wrapped(out, &format!("{:>3} ", cause.number), "    ", &line)?;
            if let Some(follow) = follow.remove(&cause.number) {
                wrapped(out, "    ", "    ", &format!("{follow}."))?;
            }
        }
        Ok(())
    }

    fn table(&self, findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
        if findings.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n  # severity score dependency               flow             denied verdict")?;
        for finding in findings {
            let flow = format!(
                "{} {} {}",
                short_direction(finding.subject.direction),
                finding.subject.protocol,
                short_ports(finding)
            );
            let line = format!(
                "{:>5} {:<24} {:<15} {:>7} {}",
                finding.grade.score,
                visible(&short_name(finding)),
                visible(&flow),
                finding.denials.denied_tuples,
                short_verdict(finding.grade.verdict),
            );
            let severity = self.colored(finding.grade.severity, &format!("{:<8}", finding.grade.severity));
            writeln!(out, "{:>3} {severity} {}", finding.rank, line.trim_end())?;
        }
        Ok(())
    }

    fn explanation(&self, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
        let severity = self.colored(finding.grade.severity, finding.grade.severity.name());
        writeln!(out, "\n{}. {} ({severity}, {})", finding.rank, visible(&name(finding)), finding.identity.id)?;
        wrapped(out, "   ", "   ", &finding.explanation)?;
        wrapped(out, "   ", "     ", &ends(finding))?;
        if let Some(line) = sparkline(&finding.addresses.hours, self.style.clock) {
            writeln!(out, "   {line}")?;
        }
        wrapped(out, "   ", "   ", &format!("Fix: {}", fix_in_words(&finding.fix)))?;
        wrapped(out, "   ", "   ", &factors(finding))?;
        Ok(())
    }

    fn colored(&self, severity: Severity, text: &str) -> String {
        if !self.style.has_color {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", severity_code(severity))
    }
}

/// Returns the line with the busiest addresses at both ends.
pub fn ends(finding: &Finding) -> String {
    const SHOWN: usize = 5;
    let (locals, remotes) = (finding.addresses.local_addresses.iter(), finding.addresses.remote_addresses.iter());
    let locals: Vec<String> = locals.take(SHOWN).map(|a| addressed(&a.ip, a.name.as_deref())).collect();
    let remotes: Vec<String> = remotes
        .take(SHOWN)
        .map(|a| match (addressed(&a.ip, a.name.as_deref()), &a.service_tag) {
            (shown, Some(tag)) => format!("{shown} ({tag})"),
            (shown, None) => shown,
        })
        .collect();
    let more = finding.addresses.remote_address_count.saturating_sub(remotes.len() as u64);
    let more = if more > 0 && !remotes.is_empty() { format!(" and {more} more") } else { String::new() };
    let preposition = if finding.subject.direction == ScopeDirection::Inbound { "from" } else { "to" };
    match remotes.as_slice() {
        [] => format!("Addresses: {}", locals.join(", ")),
        // Both lists of internal flows are destinations.
        _ if finding.subject.direction == ScopeDirection::Internal => format!("Addresses: to {}", locals.join(", ")),
        remotes => format!("Addresses: {} {preposition} {}{more}", locals.join(", "), remotes.join(", ")),
    }
}

/// Returns the line with the factors of the score.
pub fn factors(finding: &Finding) -> String {
    let confidence = match finding.grade.confidence {
        Confidence::Confirmed => "1",
        Confidence::Likely => "0.85",
        Confidence::Possible => "0.6",
    };
    let activity = match finding.grade.state {
        State::Ongoing => "1",
        State::Quiet => "0.5",
        State::Recovered => "0.2",
    };
    format!(
        "Score {} = 100 x impact {} x confidence {confidence} ({}) x activity {activity} ({}) x reach {} ({})",
        finding.grade.score,
        finding.grade.impact,
        finding.grade.confidence,
        finding.grade.state,
        finding.grade.reach,
        finding.grade.verdict,
    )
}

/// Draws denied tuples per hour. A step spans several hours if they would not fit otherwise.
pub fn sparkline(hours: &[HourCount], clock: Clock) -> Option<String> {
    const STEPS: [char; 8] =
        ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
    let (first, last) = (hours.first()?.hour.0, hours.last()?.hour.0);
    let count = (last - first) / HOUR + 1;
    let per_step = (count + 39) / 40;
    let mut sums = vec![0; usize::try_from((count + per_step - 1) / per_step).ok()?];
    for hour in hours {
        if let Some(sum) = usize::try_from((hour.hour.0 - first) / HOUR / per_step).ok().and_then(|i| sums.get_mut(i)) {
            *sum += hour.denied_tuples;
        }
    }
    let most = *sums.iter().max()?;
    let mark = |&sum: &i64| match sum {
        0 => '.',
        _ => STEPS[usize::try_from((sum * 7) / most.max(1)).unwrap_or_default().min(7)],
    };
    let line: String = sums.iter().map(mark).collect();
    let each = if per_step == 1 { "hour".to_owned() } else { format!("{per_step} hours") };
    let from = clock.minute(hours.first()?.hour);
    (count > 1).then(|| format!("per {each} from {}: {line}", from.trim_end_matches(" UTC")))
}

/// Number of unmatched denials to show.
const UNMATCHED: usize = 5;

fn unmatched(analysis: &Analysis, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let all = &analysis.unmatched_denied;
    if all.listed.is_empty() {
        return Ok(());
    }
    let total = format!(
        "Denied flows that match no known dependency: {} to or from {}",
        counted(all.tuples, "flow tuple"),
        if all.peers == 1 { "1 address".to_owned() } else { format!("{} addresses", all.peers) },
    );
    writeln!(out)?;
    wrapped(out, "", "  ", &total)?;
    for row in all.listed.iter().take(UNMATCHED) {
        let before =
            row.last_allowed_before.map(|t| format!(", allowed until {}", clock.minute(t))).unwrap_or_default();
        let since = row.first_denied.map(|t| format!(" since {}", clock.minute(t))).unwrap_or_default();
        let line = format!(
            "{} {} {} {} {} by {}: {}{since}{before}",
            row.direction,
            if row.direction == ScopeDirection::Inbound { "from" } else { "to" },
            addressed(&row.remote, row.name.as_deref()),
            row.protocol,
            row.port,
            row.rule,
            counted(row.denied_tuples, "refusal")
        );
        wrapped(out, "  ", "    ", &format!("{line}; {}", row.hint))?;
    }
    let shown: i64 = all.listed.iter().take(UNMATCHED).map(|row| row.denied_tuples).sum();
    if all.tuples > shown {
        let listed = all.listed.len();
        writeln!(
            out,
            "  and {} more; {} json lists the {listed} busiest.",
            counted(all.tuples - shown, "flow tuple"),
            Remedy::Format
        )?;
    }
    Ok(())
}

fn notices(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    if analysis.notices.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nPlease note")?;
    for notice in &analysis.notices {
        // A message may have several lines.
        for (nr, line) in notice.message.lines().enumerate() {
            wrapped(out, if nr == 0 { "  - " } else { "    " }, "    ", line)?;
        }
    }
    Ok(())
}

/// Returns the name, cut to the width of its column.
fn short_name(finding: &Finding) -> String {
    let name = name(finding);
    if name.chars().count() <= 24 { name } else { name.chars().take(22).collect::<String>() + ".." }
}

fn short_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::ShareUnknown => "unknown",
        other => other.name(),
    }
}

fn short_direction(direction: ScopeDirection) -> &'static str {
    match direction {
        ScopeDirection::Inbound => "in",
        ScopeDirection::Outbound => "out",
        ScopeDirection::Internal => "int",
    }
}

fn short_ports(finding: &Finding) -> String {
    match finding.subject.ports.as_slice() {
        [] => "*".to_owned(),
        [first] => first.to_string(),
        [first, ..] => format!("{first}..."),
    }
}
