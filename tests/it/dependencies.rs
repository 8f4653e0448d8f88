//! Every crate that the binary is built of: its licence, where it comes from, and that no banned one is among them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::support::binary::root;

/// Licences that allow to pass the binary on. A crate may offer others besides.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];
/// Data that may be passed on, too: certificate authorities of Mozilla.
const DATA_LICENCES: [&str; 2] = ["CDLA-Permissive-2.0", "MPL-2.0"];
/// Crates that bind a system library of TLS.
const BANNED: [&str; 3] = ["openssl", "openssl-sys", "native-tls"];
/// Crates of which only one version may be in the tree.
const SINGLE: [&str; 5] = ["arrow", "datafusion", "object_store", "parquet", "tokio"];

/// Whether an SPDX expression can be fulfilled by allowed licences alone.
fn is_allowed(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let is_known = |licence: &str| LICENCES.contains(&licence.trim()) || DATA_LICENCES.contains(&licence.trim());
    match expression.contains('(') {
        // Parts in parentheses are joined by AND in all crates of the tree.
        true => expression.split(" AND ").all(|part| is_allowed(part.trim().trim_matches(['(', ')']))),
        false => text.split(" OR ").any(|choice| choice.split(" AND ").all(is_known)),
    }
}

#[test]
fn dependencies_may_be_used_and_passed_on() {
    let version = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8(version.stdout).expect("UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 200, "{} packages", packages.len());
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let mut names = BTreeSet::new();
    for package in packages {
        let (name, licence, source) = (text(package, "name"), text(package, "license"), package["source"].as_str());
        assert!(is_allowed(&licence), "{name}: licence {licence:?}");
        match source {
            Some(source) => assert!(source.starts_with("registry+"), "{name}: from {source}"),
            None => assert!(name.starts_with("flowgap"), "{name}: from a folder"),
        }
        assert!(!BANNED.contains(&name.as_str()), "{name} is banned");
        assert!(!SINGLE.contains(&name.as_str()) || names.insert(name.clone()), "{name}: two versions");
    }
}

#[test]
fn a_licence_that_is_not_allowed_is_found() {
    assert!(is_allowed("MIT OR Apache-2.0") && is_allowed("GPL-2.0-only OR MIT") && is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!is_allowed("GPL-3.0-only") && !is_allowed("MIT AND GPL-3.0-only") && !is_allowed(""));
    assert!(!is_allowed("(MIT OR Apache-2.0) AND AGPL-3.0-only"));
}
