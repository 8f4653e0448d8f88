//! Blobs with random damage: every verb ends as the contract says, and all of them count the same.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use serde_json::Value;

use super::{each, wanted};
use crate::support::binary::{flowgap, root, stderr, stdout};

/// What is put in the place of a value, or anywhere.
const ODD: [&str; 26] = [
    "\"\"",
    "null",
    "-1",
    "0",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e999",
    "\"NaN\"",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "::",
    "0.0.0.0",
    "255.255.255.255",
    "\u{202e}",
    "\u{1b}[2J",
    "=1+1",
    "{\"records\":[",
    "\"flowTuples\":[",
    "\\u0000",
];
const FORMATS: [&str; 4] = ["text", "markdown", "csv", "json"];
/// A blob of more bytes is as rare in the samples as it is slow to damage in every way.
const LARGEST: usize = 40_000;

/// Whole blobs to be damaged, those of the project's own samples.
fn samples() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    let mut folders: Vec<PathBuf> = ["vnet-v4", "nsg-v1", "nsg-v2", "shapes", "broken"]
        .iter()
        .map(|name| root().join("testdata").join(name))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("samples") {
            let path = entry.expect("a sample").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json") {
                samples.push(fs::read(path).expect("a sample"));
            }
        }
    }
    samples.retain(|sample| sample.len() < LARGEST);
    samples.sort();
    samples
}

fn damaged(samples: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = samples[random.usize(..samples.len())].clone();
    for _ in 0..random.usize(1..5) {
        let length = bytes.len();
        let from = random.usize(..=length);
        let most = if random.bool() { 12 } else { length / 3 + 1 };
        let to = (from + random.usize(..most)).min(length);
        match random.u8(..9) {
            0 if length > 0 => bytes[from.min(length - 1)] = random.u8(..),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let again = bytes[from..to].to_vec();
                bytes.splice(to..to, again);
            }
            3 => {
                let other = &samples[random.usize(..samples.len())];
                let start = random.usize(..=other.len());
                let end = (start + random.usize(..200)).min(other.len());
                bytes.splice(from..from, other[start..end].iter().copied());
            }
            4 => {
                let odd = ODD[random.usize(..ODD.len())].bytes();
                bytes.splice(from..to, odd);
            }
            // A field of a tuple, or a value: from one mark to the next.
            5 | 6 => {
                let is_mark = |byte: &u8| matches!(byte, b',' | b'"' | b':' | b'[' | b'{');
                let start = bytes[from..].iter().position(is_mark).map_or(from, |at| from + at + 1);
                let end = bytes[start..].iter().position(is_mark).map_or(start, |at| start + at);
                let odd = ODD[random.usize(..ODD.len())].bytes();
                bytes.splice(start..end, odd);
            }
            7 => bytes.truncate(from),
            _ => {
                let long = vec![b'a' + random.u8(..26); random.usize(..70_000)];
                bytes.splice(from..from, if random.u8(..16) == 0 { long } else { Vec::new() });
            }
        }
    }
    bytes
}

/// What a verb says of a folder of damaged blobs.
fn asked(verb: &[&str], folder: &Path) -> Option<String> {
    let arguments = [verb, &[folder.to_str().expect("UTF-8")]].concat();
    let output = flowgap(&arguments);
    let (status, said) = (output.status.code(), stderr(&output));
    assert!(!said.contains("internal error") && !said.contains("panicked"), "{arguments:?}: {said}");
    // Where no blob holds a flow there is nothing to say, as opposed to a fault of ours.
    assert!(matches!(status, Some(0 | 1 | 3 | 4)), "{arguments:?}: {status:?} {said}");
    let text = stdout(&output).replace("\r\n", "\n");
    let acts = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}');
    let is_json = verb.contains(&"json") || verb.contains(&"ndjson");
    assert!(
        is_json || !text.contains(acts),
        "{arguments:?}: {:?}",
        text.find(acts).map(|at| text[at..].chars().take(80))
    );
    (status != Some(4)).then_some(text)
}

fn check(folder: &Path, random: &mut Rng) {
    let parsed =
        |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let Some(inspection) = asked(&["inspect", "--format", "json"], folder) else { return };
    let input = &parsed(&inspection)["input"];
    let subnet = ["--subnet", "10.20.1.0/24"];
    let given = if random.bool() { &subnet[..] } else { &[] };
    let analysis = asked(&[&["analyze", "--format", "json"], given].concat(), folder).expect("inspect has flows");
    let analysis = parsed(&analysis);
    let keys = [
        "blobs",
        "bytes",
        "records",
        "tuples",
        "denied_tuples",
        "malformed_tuples",
        "unreadable_blobs",
        "problem_count",
    ];
    for key in keys {
        assert_eq!(analysis["input"][key], input[key], "{key} of {}", folder.display());
    }
    let format = FORMATS[random.usize(..FORMATS.len())];
    asked(&[&["analyze", "--format", format], given].concat(), folder);
    if random.bool() {
        asked(&["inspect"], folder);
    }
    let sql = "SELECT count(*) AS n, count(DISTINCT rule) FROM flows";
    let rows = asked(&["sql", "--format", "ndjson", "-c", sql], folder).expect("inspect has flows");
    assert_eq!(parsed(rows.trim())["n"], input["tuples"], "rows of {}", folder.display());
}

fn run(archives: usize, blobs: usize, seed: u64) {
    let samples = samples();
    each(archives, 2, |nr| {
        let mut random = Rng::with_seed(seed << 32 | nr as u64);
        let folder = tempfile::tempdir().expect("a folder");
        for blob in 0..blobs {
            fs::write(folder.path().join(format!("{blob:04}.json")), damaged(&samples, &mut random)).expect("written");
        }
        // What fails stays for whoever looks for the reason.
        let folder = folder.keep();
        check(&folder, &mut random);
        fs::remove_dir_all(folder).expect("removed");
    });
}

#[test]
fn damaged_blobs_end_as_the_contract_says() {
    run(6, 100, 17);
}

#[test]
#[ignore = "a long run: CHANCE_RUNS archives of 500 blobs, with CHANCE_SEED"]
fn many_damaged_blobs() {
    let (archives, seed) = wanted();
    run(archives, 500, seed);
}
