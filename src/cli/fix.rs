//! `flowgap fix`: prints the change that opens a blocked dependency, as text to paste.

use std::io::{self, Write};

use super::chosen::{self, Chosen};
use super::{Failure, Status, named};
use crate::answer::print;
use crate::findings::Finding;
use crate::report::explanation::{write_kept, write_no_cause};
use crate::report::fix::{Advice, Group, Plan, Target, Value, plan};
use crate::report::layout::wrapped;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    chosen: chosen::Args,

    /// Fix every cause
    #[arg(long)]
    all: bool,

    /// Tool that the change is written for
    #[arg(long = "as", value_name = "TARGET", default_value = "az", value_parser = named::<Target>(Target::NAMES))]
    target: Target,
}

pub async fn run(args: &Args) -> Result<Status, Failure> {
    let chosen = args.chosen.open().await?;
    if args.all && chosen.which.is_some() {
        return Err(Failure::usage("--all fixes every cause: leave out the number or id"));
    }
    let plan = plan(findings(args, &chosen)?);
    print(|out| {
        if let Some(time) = chosen.kept {
            write_kept(&chosen.analysis, time, args.target.comment(), chosen.clock, out)?;
            writeln!(out)?;
        }
        match plan.groups.is_empty() && plan.in_words.is_empty() {
            true => write_no_cause(&chosen.analysis, args.target.comment(), out),
            false => write(&plan, args.target, out),
        }
    })?;
    Ok(chosen.status())
}

/// Returns the findings to fix, in the order of their causes.
fn findings<'a>(args: &Args, chosen: &'a Chosen) -> Result<Vec<&'a Finding>, Failure> {
    let analysis = &chosen.analysis;
    let of_id = |id: &String| analysis.findings.iter().find(|finding| finding.identity.id == *id);
    if let Some(finding) = chosen.finding()? {
        return Ok(vec![finding]);
    }
    let number = chosen.cause()?;
    let causes = analysis.causes.iter().filter(|cause| args.all || number == Some(cause.number));
    Ok(causes.flat_map(|cause| cause.findings.iter().filter_map(of_id)).collect())
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
    let mark = target.comment();
    wrapped(out, mark, &format!("{mark}  "), text)
}
