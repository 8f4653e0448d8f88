//! Options, help, manual pages and completion.

use std::process::Command;

use serde_json::Value;

use super::{check, line, with};
use crate::support::binary::{flowgap, stdout};

const VERBS: [&str; 18] = [
    "analyze",
    "explain",
    "fix",
    "sql",
    "query",
    "was",
    "doctor",
    "inspect",
    "report",
    "tags",
    "diff",
    "run",
    "config",
    "schema",
    "requirements",
    "generate",
    "completions",
    "man",
];

#[test]
fn habits_work_or_say_what_does() {
    check(
        "options",
        7,
        &[
            line(&["analyze", "EX", "-o", "json"]),
            line(&["sql", "EX", "-o", "csv", "-c", "SELECT 1"]),
            line(&["inspect", "EX", "-o", "markdown"]),
            line(&["testdata/apim"]),
            line(&["https://example.blob.core.windows.net"]),
            line(&["analyse", "EX"]),
            line(&["query", "topdenied", "EX"]),
            line(&["analyze", "EX", "--subnet", "10.20.1.0"]),
            line(&["analyze", "EX", "--subnet", "10.20.1.0/24,10.20.2.0/24", "--no-keep"]),
            line(&["analyze", "EX", "--vnet-mode", "External", "--subnet", "10.20.1.0/24", "--fail-on", "NEVER"]),
            line(&["analyze", "EX", "--subnet", "10.20.1.0/24", "--fail-on", "low", "--exit-zero"]),
            line(&["analyze", "EX", "--edition", "latest", "--subnet", "10.20.1.0/24"]),
            line(&["analyze", "EX", "--subnet", "10.20.1.0/24", "--service-tags", "TAGS", "--severity", "critical"]),
            line(&["analyze", "EX", "--subnet", "10.20.1.0/24", "--service-tags", "TAGS", "--only", "apim-in-client"]),
            line(&["analyze", "EX", "--subnet", "10.20.1.0/24", "--service-tags", "TAGS", "--rule", "block-*", "-q"]),
            line(&["analyze", "EX", "--only", "APIM-OUT-SLQ"]),
            line(&["schema"]),
            line(&["schema", "config"]),
            line(&["schema", "findings"]),
            line(&["analyze", "EX", "--dry-run"]),
            line(&["inspect", "EX", "--dry-run", "--from", "2026-05-05"]),
            line(&["query", "denied_timeline", "EX", "--dry-run"]),
            line(&["analyze", "EX", "--from", "2026-05-04 23:00", "--to", "2026-05-05", "--subnet", "10.20.1.0/24"]),
        ],
    );
}

#[test]
fn findings_are_also_lines() {
    let printed = |format: &str| {
        stdout(&flowgap(&["analyze", super::ARCHIVE, "--subnet", "10.20.1.0/24", "--no-keep", "--format", format]))
    };
    let whole: Value = serde_json::from_str(&printed("json")).expect("JSON");
    let lines = printed("ndjson");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() > 3 && whole["findings"] == Value::Array(lines), "{whole}");
}

#[test]
fn every_option_is_also_a_variable() {
    check(
        "variables",
        3,
        &[
            with(&[("FLOWGAP_SUBNET", "10.20.1.0/24"), ("FLOWGAP_FAIL_ON", "never")], &["analyze", "EX"]),
            with(&[("FLOWGAP_SUBNET", "10.9.9.0/24")], &["analyze", "EX", "--subnet", "10.20.1.0/24"]),
            with(&[("FLOWGAP_EXIT_ZERO", "yes"), ("FLOWGAP_SUBNET", "10.20.1.0/24")], &["analyze", "EX"]),
            with(&[("FLOWGAP_EXIT_ZERO", "maybe")], &["analyze", "EX"]),
            with(&[("FLOWGAP_SUBNET", "")], &["sql", "EX", "-c", "SELECT 1"]),
            with(&[("FLOWGAP_FORMAT", "csv")], &["query", "top_denied_rules", "EX", "--param", "limit=1"]),
            // The command line wins over a variable that contradicts it.
            with(
                &[("FLOWGAP_FROM", "2020-01-01")],
                &["sql", "EX", "--last", "2h", "--now", "2026-05-05T07:00Z", "-c", "SELECT count(*) FROM flows"],
            ),
        ],
    );
}

#[test]
fn help_fits_and_has_examples_and_exit_statuses() {
    for verb in VERBS {
        let help = stdout(&flowgap(&[verb, "--help"]));
        assert!(help.contains("\nExamples:\n  flowgap ") && help.contains("\nExit status:\n  0    "), "{verb}: {help}");
        for line in help.lines().filter(|line| line.chars().count() > 80) {
            assert!(!line.trim().contains(' ') || line.starts_with("  flowgap "), "{verb} is wider than 80: {line}");
        }
        let page = stdout(&flowgap(&["man", verb]));
        for section in ["EXAMPLES", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{verb}: no {section}");
        }
    }
    check("help", 60, &[line(&["doctor", "--help"])]);
}

#[test]
fn values_are_completed() {
    for (shell, values) in [
        ("bash", &["top_denied_rules", "step=", "2026-04-30", "APIM-OUT-SQL"][..]),
        ("zsh", &["top_denied_rules", "step=", "2026-04-30", "APIM-OUT-SQL"]),
        ("fish", &["step=", "2026-04-30", "APIM-OUT-SQL"]),
    ] {
        let script = stdout(&flowgap(&["completions", shell]));
        for value in values {
            assert!(script.contains(*value), "{shell} does not complete {value}");
        }
    }
    // The words of bash are those that may follow.
    let script = stdout(&flowgap(&["completions", "bash"]));
    let asks = "COMP_WORDS=(flowgap analyze --only APIM-OUT-S); COMP_CWORD=3; _flowgap flowgap APIM-OUT-S --only; \
                echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").arg("-c").arg(format!("{script}\n{asks}")).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "APIM-OUT-STORAGE APIM-OUT-SQL", "{bash:?}");
}
