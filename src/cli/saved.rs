//! Saved analyses: reading one that the user names, and keeping and reading the last one of `analyze`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Deserialize;

use super::{Failure, Status};
use crate::answer::{Leftovers, Unwritten, state_folder, write_private};
use crate::findings::history::Changes;
use crate::findings::{Analysis, Schema};
use crate::report::sink::visible;
use crate::time::Timestamp;

/// Name of the kept file in the state folder.
const KEPT: &str = "last-analysis.json";
/// Bytes that show whether a file is a saved analysis.
const HEAD: u64 = 256;

/// A saved analysis.
pub struct Saved {
    pub analysis: Analysis,
    /// What differed from an earlier run; `None` if there was no comparison.
    pub changes: Option<Changes>,
}

/// Reads a saved analysis without its changes; standard input for `-`.
pub fn read(path: &Path) -> Result<Analysis, Failure> {
    read_whole(path).map(|saved| saved.analysis)
}

/// Reads a saved analysis; standard input for `-`.
pub fn read_whole(path: &Path) -> Result<Saved, Failure> {
    let name = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => shown(path),
    };
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().read_to_end(&mut bytes),
        _ => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    let analysis = parse(&name, &bytes)?;
    let compared: Compared = serde_json::from_slice(without_mark(&bytes))
        .map_err(|error| Failure::usage(format!("{name} is no valid analysis: {error}")))?;
    Ok(Saved { analysis, changes: compared.changes })
}

/// The part of a saved analysis that only a comparison adds.
#[derive(Deserialize)]
struct Compared {
    changes: Option<Changes>,
}

/// Returns whether a file begins like a saved analysis, of any version and however damaged later. A flow log does not.
pub fn is_analysis(path: &Path) -> bool {
    let mut head = Vec::new();
    if !path.is_file() || File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).is_err() {
        return false;
    }
    let text = String::from_utf8_lossy(without_mark(&head));
    let after = text.trim_start().strip_prefix('{').map(str::trim_start);
    after.is_some_and(|rest| rest.starts_with("\"schema\"") && rest.contains("flowgap.analysis/"))
}

/// Keeps an analysis for `explain` and `fix`. Does nothing if the user has no state folder.
pub fn keep(analysis: &Analysis, leftovers: &Leftovers) -> Result<(), Unwritten> {
    let Some(path) = kept() else { return Ok(()) };
    write_private(&path, leftovers, |out| Ok(serde_json::to_writer(out, analysis)?))
}

/// Returns the kept analysis with the time at which it was kept.
pub fn last() -> Result<(Analysis, Timestamp), Failure> {
    let none =
        || Failure::usage("no analysis is kept: run flowgap analyze SOURCE first, or name a SOURCE or ANALYSIS.json");
    let path = kept().ok_or_else(none)?;
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => none(),
        _ => Failure::usage(format!("cannot read the kept analysis {}: {error}", shown(&path))),
    };
    let written = fs::metadata(&path).and_then(|found| found.modified()).map_err(refused)?;
    let bytes = fs::read(&path).map_err(refused)?;
    let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let name = format!("the kept analysis {}", shown(&path));
    let again = |failure: Failure| match failure.message.ends_with("again") {
        true => failure,
        false => Failure::usage(format!("{}: run flowgap analyze SOURCE again", failure.message)),
    };
    Ok((parse(&name, &bytes).map_err(again)?, time))
}

fn kept() -> Option<PathBuf> {
    Some(state_folder()?.join(KEPT))
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

/// Removes the byte-order mark that PowerShell writes before what it redirects.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn parse(name: &str, bytes: &[u8]) -> Result<Analysis, Failure> {
    let text = without_mark(bytes);
    let analysis: Analysis = match serde_json::from_slice(text) {
        Ok(analysis) => analysis,
        Err(error) => return Err(Failure::usage(refusal(name, text, &error))),
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
