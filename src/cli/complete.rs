//! `flowgap completions` and `flowgap man`, generated from the clap definitions.

use std::fmt::Write;
use std::io;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;

use super::pages::{PAGES, meaning};
use super::{Cli, Failure, Status};
use crate::answer::print;
use crate::catalog::Edition;
use crate::queries;

#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// Shell to complete for
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Print the page of this verb instead of the main page
    verb: Option<String>,
}

pub fn completions(args: &CompletionArgs) -> Result<Status, Failure> {
    let mut script = Vec::new();
    let mut program = Cli::command();
    let values = values(&program)?;
    program = program.mut_subcommands(|verb| with_values(verb, &values));
    clap_complete::generate(args.shell, &mut program, "flowgap", &mut script);
    print(|out| out.write_all(&script))?;
    Ok(Status::Clean)
}

/// Values of arguments that are known when the script is written, by the name of the argument. They are offered, and
/// others are accepted too.
fn values(program: &Command) -> Result<Vec<(&'static str, Vec<String>)>, Failure> {
    let internal = |message: String| Failure { status: Status::Internal, message };
    let queries = queries::shipped().map_err(|error| internal(error.to_string()))?;
    let edition = Edition::newest().map_err(|error| internal(error.to_string()))?;
    let mut parameters: Vec<String> =
        queries.iter().flat_map(|query| query.params.iter().map(|param| format!("{}=", param.name))).collect();
    parameters.sort_unstable();
    parameters.dedup();
    let catalog = edition.catalog();
    let of_edition = catalog.rows().iter().filter(|row| row.edition == edition.id() && row.analyzed);
    Ok(vec![
        ("name", queries.iter().map(|query| query.id.clone()).collect()),
        ("param", parameters),
        ("edition", catalog.editions().iter().map(|edition| edition.id.clone()).collect()),
        ("only", of_edition.map(|row| row.id.clone()).collect()),
        ("verb", program.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()),
    ])
}

fn with_values(verb: Command, values: &[(&'static str, Vec<String>)]) -> Command {
    verb.mut_args(|arg: Arg| match values.iter().find(|(name, _)| arg.get_id() == name) {
        Some((_, values)) => {
            arg.value_parser(PossibleValuesParser::new(values.iter().map(|value| &*value.clone().leak())))
        }
        None => arg,
    })
}

/// Prints a manual page in roff: `flowgap man | man -l -`.
pub fn man(args: &ManArgs) -> Result<Status, Failure> {
    let mut program = Cli::command();
    program.build();
    let (page, name) = match &args.verb {
        None => (program, None),
        Some(name) => match program.find_subcommand(name) {
            Some(verb) => (verb.clone(), Some(name.as_str())),
            None => return Err(Failure::usage(format!("there is no verb '{name}'; flowgap --help lists them"))),
        },
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(|error: io::Error| Failure::usage(error))?;
    roff.extend(sections(name).bytes());
    print(|out| out.write_all(&roff))?;
    Ok(Status::Clean)
}

/// Returns the sections that clap does not know: examples, exit status, environment and files.
fn sections(verb: Option<&str>) -> String {
    let mut roff = String::new();
    let page = PAGES.iter().find(|page| Some(page.verb) == verb);
    if let Some(page) = page.filter(|page| !page.lines().is_empty()) {
        roff.push_str(".SH EXAMPLES\n");
        for (command, what) in page.lines() {
            let _ = writeln!(roff, ".TP\n\\fB{}\\fR\n{}", escaped(command), escaped(what));
        }
    }
    roff.push_str(".SH \"EXIT STATUS\"\n");
    let all = PAGES[0].statuses;
    for status in page.map_or(all, |page| page.statuses) {
        let _ = writeln!(roff, ".TP\n{}\n{}", *status as u8, escaped(meaning(*status)));
    }
    let environment =
        "Every option is also a variable: --fail-on is FLOWGAP_FAIL_ON. The command line takes precedence.";
    let files =
        "~/.cache/flowgap: service tags. ~/.local/state/flowgap: the last analysis, and the history of the shell.";
    let _ = writeln!(roff, ".SH ENVIRONMENT\n{}\n.SH FILES\n{}", escaped(environment), escaped(files));
    roff
}

/// Escapes text for roff.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
