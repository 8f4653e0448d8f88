//! `flowgap report`: prints a saved analysis in any format, as `analyze` would have printed it.

use std::path::PathBuf;

use super::{Failure, Status, listen, names, output, saved};
use crate::answer::Manner;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Analysis that `analyze --format json` wrote; - for standard input
    #[arg(value_name = "ANALYSIS.json")]
    analysis: PathBuf,

    #[command(flatten)]
    output: output::Args,

    #[command(flatten)]
    names: names::Args,
}

pub fn run(args: &Args) -> Result<Status, Failure> {
    let outputs = args.output.resolve()?;
    let interrupt = listen(Manner::Answers)?;
    let names = args.names.open()?;
    let mut analysis = saved::read(&args.analysis)?;
    analysis.name_addresses(&names);
    outputs.write(&analysis, interrupt.leftovers())?;
    Ok(Status::from_exit(analysis.status.exit))
}
