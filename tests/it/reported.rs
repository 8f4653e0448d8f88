//! Right answers to the cases that people reported: an invented twin of each, worked out by hand, and the cases
//! themselves where their folder is present.
//!
//! Scores are 100 x impact x confidence x activity x reach, as in `cases.rs`.

mod captured;
mod elimination;
mod evidence;
mod healthy;
mod keys;
mod mode;
mod real;
mod scope;
mod silence;
mod strangers;
mod tags;
mod times;
mod unlisted;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cases::{Run, TAG_FILE};
use crate::support::binary::root;

/// Prefixes in `TAG_FILE` that `cases.rs` does not use.
const ENTRA: &str = "192.0.2.113";
const CONNECTORS: &str = "192.0.2.129";
const EVENT_HUB: &str = "192.0.2.97";
const TRAFFIC_MANAGER: &str = "192.0.2.161";

/// First 16 hex digits of SHA-256 over the lines of an identity.
fn fingerprint(lines: [&str; 6]) -> String {
    let digest = Sha256::digest(lines.join("\n").as_bytes());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Findings of a kind, in their order.
fn of_kind<'a>(run: &'a Run, kind: &str) -> Vec<&'a Value> {
    run.findings().iter().filter(|finding| finding["kind"] == kind).collect()
}

/// Findings that blame a rule, in their order.
fn of_rule<'a>(run: &'a Run, rule: &str) -> Vec<&'a Value> {
    run.findings().iter().filter(|finding| finding["rule"] == rule).collect()
}

/// The row of `coverage` of a requirement in a subnet.
fn coverage_row<'a>(run: &'a Run, requirement: &str, subnet: &str) -> &'a Value {
    let rows = run.analysis["coverage"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["requirement"] == requirement && row["subnet"] == subnet);
    row.unwrap_or_else(|| panic!("no coverage of {requirement} in {subnet}"))
}

/// Place of a severity on the scale, higher is worse; 0 without a finding.
fn rank(severity: Option<&Value>) -> usize {
    let scale = ["info", "low", "medium", "high", "critical"];
    let place = |name: &Value| scale.iter().position(|known| name == known).expect("a severity");
    severity.map_or(0, |name| place(name) + 1)
}

/// A service-tag file made of the one in `testdata`.
struct TagFile {
    _folder: tempfile::TempDir,
    path: String,
}

impl TagFile {
    /// `edit` gets the whole file as JSON.
    fn new(name: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let text = std::fs::read(root().join(TAG_FILE)).expect("the tag file");
        let mut tags: Value = serde_json::from_slice(&text).expect("JSON");
        edit(&mut tags);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        std::fs::write(&file, tags.to_string()).expect("a file");
        let path = file.to_str().expect("UTF-8").to_owned();
        Self { _folder: folder, path }
    }

    /// Without the tags of these names, and their regions.
    fn lacking(name: &str, tags: &[&str]) -> Self {
        Self::new(name, |file| {
            let is_kept = |value: &Value| {
                let tag = value["name"].as_str().expect("text");
                !tags.contains(&tag.split('.').next().unwrap_or_default())
            };
            file["values"].as_array_mut().expect("a list").retain(is_kept);
        })
    }

    /// Every service only with the name of a region.
    fn regional(name: &str) -> Self {
        Self::new(name, |file| {
            let values = file["values"].as_array_mut().expect("a list");
            values.retain(|value| value["name"].as_str().is_some_and(|tag| !tag.contains('.')));
            for value in values.iter_mut().filter(|value| value["name"] != "AzureCloud") {
                let tag = value["name"].as_str().expect("text").to_owned();
                value["name"] = json!(format!("{tag}.WestEurope"));
                value["properties"]["region"] = json!("westeurope");
            }
        })
    }
}
