//! The real binary, and what tests ask of its output.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

pub const SUBNET: &str = "10.20.1.0/24";

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The binary in the project's folder, without settings of the machine.
pub fn flowgap(arguments: &[&str]) -> Output {
    command(arguments).output().expect("flowgap starts")
}

/// A cache folder that does not exist, so that no test sees the user's.
pub static NO_CACHE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("no-cache-{}", std::process::id())));

/// A program that sees neither the cache nor the state of the user.
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env("XDG_CACHE_HOME", &*NO_CACHE);
    command.env("XDG_STATE_HOME", PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("state"));
    command
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_flowgap"));
    command.current_dir(root()).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AZURE_") || name.starts_with("FLOWGAP_")) {
        command.env_remove(name);
    }
    command
}

pub fn analyze(arguments: &[&str]) -> Output {
    flowgap(&[&["analyze", "--subnet", SUBNET], arguments].concat())
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

pub fn check_status(arguments: &[&str], status: i32, says: &str) {
    let output = flowgap(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(says), "{arguments:?} says: {said}");
}

/// Compares with a file of `tests/golden`; writes it instead when FLOWGAP_BLESS is set.
pub fn check_golden(name: &str, text: &str) {
    let path = root().join("tests/golden").join(name);
    if std::env::var_os("FLOWGAP_BLESS").is_some() {
        std::fs::write(&path, text).expect("golden is written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(golden == text, "{} differs; FLOWGAP_BLESS=1 rewrites it. Now:\n{text}", path.display());
}
