//! `flowgap report`: prints a saved analysis in any format, as `analyze` would have printed it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Failure, Status, listen, names, output};
use crate::answer::Manner;
use crate::findings::{Analysis, Schema};
use crate::report::sink::visible;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Analysis that `analyze --format json` wrote; - for standard input
    #[arg(value_name = "ANALYSIS.json")]
    analysis: PathBuf,

    #[command(flatten)]
    output: output::Args,

    #[command(flatten)]
    names: names::Args,

    /// Show how each score is computed
    #[arg(short, long)]
    verbose: bool,
}

pub fn run(args: &Args) -> Result<Status, Failure> {
    let outputs = args.output.resolve(args.verbose)?;
    let interrupt = listen(Manner::Answers)?;
    let names = args.names.open()?;
    let mut analysis = read(&args.analysis)?;
    analysis.name_addresses(&names);
    outputs.write(&analysis, interrupt.leftovers())?;
    Ok(Status::from_exit(analysis.status.exit))
}

/// Reads a saved analysis.
fn read(path: &Path) -> Result<Analysis, Failure> {
    let name = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => visible(&path.to_string_lossy()).into_owned(),
    };
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().read_to_end(&mut bytes),
        _ => fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let analysis: Analysis = match serde_json::from_slice(text) {
        Ok(analysis) => analysis,
        Err(error) => return Err(Failure::usage(refusal(&name, text, &error))),
    };
    if Status::from_exit(analysis.status.exit) == Status::Internal {
        let exit = analysis.status.exit;
        return Err(Failure::usage(format!("{name} is no valid analysis: no analysis has exit status {exit}")));
    }
    Ok(analysis)
}

/// The only key that every version of an analysis has.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// Returns the reason why a text is not an analysis.
fn refusal(name: &str, text: &[u8], error: &serde_json::Error) -> String {
    let known = Schema::V1;
    match serde_json::from_slice::<Head>(text) {
        Ok(head) if head.schema == known.name() => format!("{name} is no valid analysis: {error}"),
        Ok(head) => {
            let given = visible(&head.schema).into_owned();
            format!("{name} has the schema '{given}', and this version reads {known}: analyze the logs again")
        }
        Err(_) if !error.is_data() => format!("{name} is not JSON: {error}"),
        Err(_) => format!("{name} is not an analysis: write one with flowgap analyze SOURCE --format json"),
    }
}
