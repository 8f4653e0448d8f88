//! `flowgap check`: compares the port table with configured rules and routes, without any flow.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::source::Verbosity;
use super::{Failure, Status, listen, named, output, policy, scope};
use crate::answer::{Manner, write_to};
use crate::findings::Severity;
use crate::findings::check::{CheckInput, check};
use crate::options::ExportOptions;
use crate::report::check::{redacted, write};
use crate::report::sink::Formulas;
use crate::report::{Format, Style};
use crate::source::{Access, Environment};
use crate::time::TimeRange;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rules or routes as JSON: a network security group, admin rules, effective rules or routes, a route table; of az,
    /// PowerShell, Resource Graph, the REST API, Terraform, or a template; a file, a folder or the address of blobs;
    /// repeatable
    #[arg(long, value_name = "FILE|ADDRESS", required = true)]
    nsg: Vec<String>,

    /// Check only the group with this name or id
    #[arg(long, value_name = "NAME")]
    group: Option<String>,

    #[command(flatten)]
    scope: scope::Args,

    /// Output format [default: by the file extension of --output, else text]
    #[arg(long, value_parser = named::<Format>(Format::NAMES))]
    format: Option<Format>,

    /// Write to a file instead of stdout; repeatable, each in the format of its extension
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// Also show what is allowed, with the rules that allow it
    #[arg(long)]
    details: bool,

    /// Replace addresses, resource ids, names of groups, and files by placeholders, for sharing
    #[arg(long)]
    redact: bool,

    /// In CSV, do not escape text that a spreadsheet would run as a formula
    #[arg(long)]
    no_formula_guard: bool,

    /// Exit with 1 when a refused row is at least this severe
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = named::<Severity>(Severity::NAMES))]
    fail_on: Severity,

    /// Never exit with 1
    #[arg(long, conflicts_with = "fail_on")]
    exit_zero: bool,
}

pub async fn run(args: &Args) -> Result<Status, Failure> {
    let formats = output::Formats { text: Format::Text, of_file: Format::of_file, names: &Format::NAMES };
    let targets = formats.targets(args.format, &args.output)?;
    output::refuse_binary_on_terminal(&targets)?;
    let mut scope = args.scope.open()?;
    let interrupt = listen(Manner::Answers)?;
    let access = Access { environment: Environment::of_process(), ..Access::default() };
    let exports = ExportOptions { nsg: args.nsg.clone(), ..ExportOptions::default() };
    let opened = policy::open(&exports, access, TimeRange::default(), &interrupt).await?;
    let rules = opened.policy.unwrap_or_default();
    if let Some(tags) = args.scope.cached_tags_of(&BTreeSet::new(), Verbosity::Usual) {
        scope = scope.with_service_tags(Some(tags));
    }
    let is_known = |name: &str| {
        let named = |acl: &crate::policy::Acl| {
            acl.name.eq_ignore_ascii_case(name) || acl.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name))
        };
        rules.acls.iter().any(named)
    };
    if let Some(name) = args.group.as_deref().filter(|name| !is_known(name)) {
        let names: Vec<&str> = rules.acls.iter().map(|acl| acl.shown()).collect();
        return Err(Failure::usage(format!("--group {name}: the files hold {}", names.join(", "))));
    }
    let input = CheckInput {
        policy: &rules,
        scope: &scope,
        is_vnet_given: args.scope.is_vnet_given(),
        only: args.group.as_deref(),
        fail_on: (!args.exit_zero).then_some(args.fail_on),
    };
    let mut checked = check(input);
    if args.redact {
        checked = redacted(&checked).map_err(|error| Failure {
            status: Status::Internal,
            message: format!("cannot redact the check: {error}"),
        })?;
    }
    let formulas = if args.no_formula_guard { Formulas::AsLogged } else { Formulas::Guarded };
    let style = Style { top: usize::MAX, is_detailed: args.details, formulas, ..Style::PLAIN };
    for (format, path) in &targets {
        write_to(path.as_deref(), interrupt.leftovers(), |out| write(&checked, *format, style, out))?;
    }
    Ok(Status::from_exit(checked.status.exit))
}
