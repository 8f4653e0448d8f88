//! For people at a terminal, 80 columns: summary, causes, ranked table, explanations.

use std::io::{self, Write};

use super::Report;
use crate::findings::{Analysis, Finding, Kind, Severity, Time, Verdict, counted, short_acl};

pub struct TextReport {
    /// How many findings to show.
    pub top: usize,
}

const WIDTH: usize = 80;

impl Report for TextReport {
    fn write(&self, analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
        summary(analysis, out)?;
        causes(analysis, out)?;
        let shown = &analysis.findings[..analysis.findings.len().min(self.top)];
        table(shown, out)?;
        for finding in shown {
            explanation(finding, out)?;
        }
        if let hidden @ 1.. = analysis.findings.len() - shown.len() {
            writeln!(out, "\n{hidden} more: --top {} shows all.", analysis.findings.len())?;
        }
        problems(analysis, out)?;
        notices(analysis, out)
    }
}

fn summary(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let scope = analysis.scope.subnets.join(", ");
    let all = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    let graded: Vec<String> = all
        .into_iter()
        .map(|severity| (analysis.findings.iter().filter(|f| f.severity == severity).count(), severity))
        .filter(|(count, _)| *count > 0)
        .map(|(count, severity)| format!("{count} {severity}"))
        .collect();
    let headline = match analysis.findings.len() {
        0 if analysis.is_empty() => {
            format!(
                "Cannot tell: there is no flow of {scope} in what was read. Check --subnet, the window and the source."
            )
        }
        0 => format!("Nothing that API Management needs is seen denied for {scope}."),
        n => format!("{} for {scope}: {}.", counted(n as i64, "finding"), graded.join(", ")),
    };
    wrapped(out, "", "", &headline)?;
    let input = &analysis.input;
    let span = match (input.first_flow, input.last_flow) {
        (Some(first), Some(last)) => format!("flows from {} to {}", minute(first), minute(last)),
        _ => "no flow in the window".to_owned(),
    };
    let read = format!(
        "Read {} with {}, {} denied ({} tuples in scope, {} denied): {span}. Port table edition {}.",
        counted(input.blobs as i64, "blob"),
        counted(input.tuples as i64, "tuple"),
        input.denied_tuples,
        input.tuples_in_scope,
        input.denied_in_scope,
        analysis.scope.edition,
    );
    wrapped(out, "", "", &read)
}

fn causes(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    if analysis.causes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nTo blame")?;
    for cause in &analysis.causes {
        let since = cause.first_denied.map(|t| format!(" since {}", minute(t))).unwrap_or_default();
        let line = format!(
            "{} in {} for {}: {}, {}, {}{since}",
            cause.rule,
            short_acl(&cause.acl),
            cause.subnet,
            cause.max_severity,
            counted(cause.findings.len() as i64, "finding"),
            counted(cause.denied_tuples, "denied tuple"),
        );
        wrapped(out, "  ", "    ", &line)?;
    }
    Ok(())
}

fn table(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  # severity score dependency               flow             denied verdict")?;
    for finding in findings {
        let flow = format!("{} {} {}", short_direction(&finding.direction), finding.protocol, short_ports(finding));
        let line = format!(
            "{:>3} {:<8} {:>5} {:<24} {:<15} {:>7} {}",
            finding.rank,
            finding.severity,
            finding.score,
            short_name(finding),
            flow,
            finding.denied_tuples,
            short_verdict(finding.verdict),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn explanation(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}. {} ({}, {})", finding.rank, name(finding), finding.severity, finding.id)?;
    wrapped(out, "   ", "   ", &finding.explanation)?;
    let fix = &finding.fix;
    let mut words = String::from("Fix: ");
    if let (Some(direction), Some(source), Some(destination), Some(protocol)) =
        (&fix.direction, &fix.source, &fix.destination, &fix.protocol)
    {
        let ports = fix.ports.join(", ");
        words.push_str(&format!("allow {direction} {protocol} {ports} from {source} to {destination}. "));
    }
    words.push_str(&fix.note);
    wrapped(out, "   ", "   ", &words)
}

fn problems(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let input = &analysis.input;
    if input.problem_count == 0 {
        return Ok(());
    }
    writeln!(out, "\nProblems in the input: {}", input.problem_count)?;
    for problem in input.problems.iter().take(5) {
        let place = format!("{} byte {}, record {}: {}", problem.blob, problem.offset, problem.record, problem.reason);
        wrapped(out, "  ", "    ", &place)?;
    }
    if input.problem_count > 5 {
        writeln!(out, "  and {} more; --format json lists up to 1000.", input.problem_count - 5)?;
    }
    Ok(())
}

fn notices(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    if analysis.notices.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nPlease note")?;
    for notice in &analysis.notices {
        wrapped(out, "  - ", "    ", &notice.message)?;
    }
    Ok(())
}

fn name(finding: &Finding) -> String {
    match (&finding.requirement, finding.kind) {
        (Some(requirement), _) => requirement.clone(),
        (None, Kind::AmbiguousDependency) => format!("one of {}", finding.candidates.len()),
        (None, _) => finding.candidates.join(","),
    }
}

/// The width of its column.
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

fn short_direction(direction: &str) -> &str {
    match direction {
        "inbound" => "in",
        "outbound" => "out",
        _ => "int",
    }
}

fn short_ports(finding: &Finding) -> String {
    match finding.ports.as_slice() {
        [] => "*".to_owned(),
        [first] => first.to_string(),
        [first, ..] => format!("{first}..."),
    }
}

fn minute(time: Time) -> String {
    let text = time.to_string();
    text.get(..16).map(|t| format!("{}Z", t.replace('T', " "))).unwrap_or(text)
}

/// Words broken into lines; a word longer than a line stands alone.
fn wrapped(out: &mut dyn Write, first: &str, rest: &str, text: &str) -> io::Result<()> {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            line = rest.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{line}")
}
