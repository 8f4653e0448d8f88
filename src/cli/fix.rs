//! `flowgap fix`: prints the change that opens a blocked dependency, as text to paste.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Failure, Status, named};
use crate::answer::print;
use crate::findings::{Analysis, Finding};
use crate::report::fix::{Advice, Group, Plan, Target, Value, plan};
use crate::report::sink::visible;

/// Width of comments.
const WIDTH: usize = 80;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Saved analysis, as `flowgap analyze --format json` prints it; - for standard input
    #[arg(value_name = "ANALYSIS.json")]
    analysis: PathBuf,

    /// Number of a cause, or id of a finding [default: cause 1]
    #[arg(value_name = "N|F-...")]
    which: Option<String>,

    /// Fix every cause
    #[arg(long, conflicts_with = "which")]
    all: bool,

    /// Tool that the change is written for
    #[arg(long = "as", value_name = "TARGET", default_value = "az", value_parser = named::<Target>(Target::NAMES))]
    target: Target,
}

pub fn run(args: &Args) -> Result<Status, Failure> {
    let analysis = read(&args.analysis)?;
    let findings = chosen(args, &analysis)?;
    let plan = plan(findings);
    print(|out| write(&plan, args.target, out))?;
    Ok(Status::Clean)
}

fn read(path: &Path) -> Result<Analysis, Failure> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let read = || {
        let mut bytes = Vec::new();
        if is_stdin { io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes) } else { fs::read(path) }
    };
    let bytes = read().map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    // PowerShell writes a byte-order mark before what it redirects.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::usage(format!("{name} is not an analysis: {error}: write one with flowgap analyze --format json"))
    })
}

/// Returns the findings to fix, in the order of their causes.
fn chosen<'a>(args: &Args, analysis: &'a Analysis) -> Result<Vec<&'a Finding>, Failure> {
    let of_id = |id: &String| analysis.findings.iter().find(|finding| finding.identity.id == *id);
    let count = analysis.causes.len();
    let number = match args.which.as_deref() {
        Some(id) if id.starts_with("F-") => {
            let finding = of_id(&id.to_owned());
            return finding.map(|finding| vec![finding]).ok_or_else(|| {
                Failure::usage(format!("the analysis has no finding '{id}': its {} findings have other ids", analysis.findings.len()))
            });
        }
        Some(number) => number.parse::<u64>().map_err(|_| {
            Failure::usage(format!("'{number}' is neither the number of a cause nor the id of a finding: write a number such as 1, or F-..."))
        })?,
        None if count == 0 => return Ok(Vec::new()),
        None => 1,
    };
    let causes: Vec<_> = analysis.causes.iter().filter(|cause| args.all || cause.number == number).collect();
    if causes.is_empty() {
        return Err(Failure::usage(match count {
            0 => format!("the analysis has no cause {number}: it has none"),
            1 => format!("the analysis has no cause {number}: it has only cause 1"),
            _ => format!("the analysis has no cause {number}: it has causes 1 to {count}"),
        }));
    }
    Ok(causes.into_iter().flat_map(|cause| cause.findings.iter().filter_map(of_id)).collect())
}

fn write(plan: &Plan, target: Target, out: &mut dyn Write) -> io::Result<()> {
    let mut is_first = true;
    for group in &plan.groups {
        separate(&mut is_first, out)?;
        write_group(group, target, out)?;
    }
    if !plan.in_words.is_empty() {
        separate(&mut is_first, out)?;
        comment(target, "No rule of a network security group fixes these:", out)?;
        plan.in_words.iter().try_for_each(|advice| write_advice(advice, target, out))?;
    }
    if is_first {
        comment(target, "The analysis names no cause, so there is nothing to fix.", out)?;
    }
    Ok(())
}

fn separate(is_first: &mut bool, out: &mut dyn Write) -> io::Result<()> {
    if !std::mem::take(is_first) { writeln!(out) } else { Ok(()) }
}

/// Writes the change, and the undo as comments, because a user may paste everything.
fn write_group(group: &Group, target: Target, out: &mut dyn Write) -> io::Result<()> {
    let rendered = group.render(target);
    let name = match &group.place.nsg {
        Value::Known(name) => format!("Network security group {name}:"),
        Value::Asked(_) => "A network security group that the log does not name:".to_owned(),
    };
    comment(target, &name, out)?;
    group.advice.iter().try_for_each(|advice| write_advice(advice, target, out))?;
    for caution in &rendered.cautions {
        // A command stays on one line, so that it can be copied.
        if caution.starts_with("az ") { verbatim(target, caution, out)? } else { comment(target, caution, out)? }
    }
    writeln!(out, "\n{}\n", rendered.change)?;
    comment(target, "Undo:", out)?;
    rendered.undo.lines().try_for_each(|line| verbatim(target, line, out))
}

fn write_advice(advice: &Advice, target: Target, out: &mut dyn Write) -> io::Result<()> {
    let Advice { finding, requirement, words } = advice;
    let requirement = requirement.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    comment(target, &format!("{finding}{requirement}: {words}"), out)
}

fn verbatim(target: Target, line: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}{line}", target.comment())
}

/// Writes a comment, broken between words.
fn comment(target: Target, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for word in text.split_whitespace().map(visible) {
        let room = WIDTH - target.comment().len();
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            verbatim(target, &line, out)?;
            line = String::from(" ");
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    verbatim(target, &line, out)
}
