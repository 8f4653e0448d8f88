//! The examples of the library, run from the project's folder as `cargo run --example` runs them.

use std::path::PathBuf;
use std::process::Command;

use crate::support::binary::root;

/// The folder that cargo builds examples to, next to the one of this test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let release = test.parent().and_then(|deps| deps.parent()).expect("a folder of builds");
    release.join("examples").join(name)
}

fn check(name: &str, says: &str) {
    let output = Command::new(built(name)).current_dir(root()).output().unwrap_or_else(|e| panic!("{name}: {e}"));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && said.contains(says), "{name}: {said}{:?}", output.stderr);
}

#[test]
fn the_examples_of_the_library_run() {
    check("decode", "denied by ");
    check("analyze", "critical blocked by ");
    check("sql", "| denied |");
}
