//! `flowgap explain`: one cause or finding at length.

use super::chosen::{self, Which};
use super::{Failure, Status};
use crate::answer::print;
use crate::report::explanation::{write_cause, write_finding, write_kept, write_no_cause};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    chosen: chosen::Args,
}

pub async fn run(args: &Args) -> Result<Status, Failure> {
    let chosen = args.chosen.open().await?;
    let (cause, finding) = (chosen.cause()?, chosen.finding()?);
    print(|out| {
        if let Some(time) = chosen.kept {
            write_kept(&chosen.analysis, time, "", chosen.clock, out)?;
            writeln!(out)?;
        }
        match (&chosen.which, finding, cause) {
            (Some(Which::Finding(_)), Some(finding), _) => write_finding(&chosen.analysis, finding, chosen.clock, out),
            (_, _, Some(number)) => write_cause(&chosen.analysis, number, chosen.clock, out),
            _ => write_no_cause(&chosen.analysis, "", out),
        }
    })?;
    Ok(chosen.status())
}
