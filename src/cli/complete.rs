//! `flowgap completions` and `flowgap man`, generated from the clap definitions.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, Status};
use crate::answer::print;

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
    clap_complete::generate(args.shell, &mut Cli::command(), "flowgap", &mut script);
    print(|out| out.write_all(&script))?;
    Ok(Status::Clean)
}

/// Prints a manual page in roff: `flowgap man | man -l -`.
pub fn man(args: &ManArgs) -> Result<Status, Failure> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.verb {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(verb) => verb.clone(),
            None => return Err(Failure::usage(format!("there is no verb '{name}'; flowgap --help lists them"))),
        },
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(|error: io::Error| Failure::usage(error))?;
    print(|out| out.write_all(&roff))?;
    Ok(Status::Clean)
}
