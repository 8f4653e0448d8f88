//! `flowgap report`: prints a saved analysis in any format, as `analyze` would have printed it.

use std::path::PathBuf;

use super::{Failure, Status, listen, names, narrow, output, saved, window};
use crate::answer::Manner;
use crate::report::Document;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Analysis that `analyze --format json` wrote; - for standard input
    #[arg(value_name = "ANALYSIS.json")]
    analysis: PathBuf,

    #[command(flatten)]
    output: output::Args,

    #[command(flatten)]
    zone: window::ZoneArgs,

    #[command(flatten)]
    names: names::Args,

    #[command(flatten)]
    narrow: narrow::Args,
}

pub fn run(args: &Args) -> Result<Status, Failure> {
    let outputs = args.output.resolve(args.zone.clock())?;
    let interrupt = listen(Manner::Answers)?;
    let names = args.names.open()?;
    let saved::Saved { mut analysis, changes } = saved::read_whole(&args.analysis)?;
    analysis.name_addresses(&names);
    args.narrow.apply(&mut analysis, false)?;
    outputs.write(Document { analysis: &analysis, changes: changes.as_ref() }, interrupt.leftovers())?;
    Ok(Status::from_exit(changes.map_or(analysis.status.exit, |changes| changes.exit(&analysis))))
}
