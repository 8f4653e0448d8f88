//! Reports in another time zone.

use super::{check, line, with};
use crate::support::binary::{flowgap, stdout};

const REPORT: [&str; 6] = ["analyze", super::ARCHIVE, "--subnet", "10.20.1.0/24", "--no-keep", "--exit-zero"];
const BERLIN: [&str; 2] = ["--tz", "Europe/Berlin"];

#[test]
fn times_have_the_offset_of_the_zone() {
    check(
        "zones",
        40,
        &[
            line(&["analyze", "EX", "--subnet", "10.20.1.0/24", "--no-keep", "--tz", "Europe/Berlin"]),
            with(&[("TZ", "Asia/Tokyo")], &["analyze", "EX", "--subnet", "10.20.1.0/24", "--no-keep", "--exit-zero"]),
            line(&[
                "analyze",
                "EX",
                "--from",
                "2026-06-01",
                "--to",
                "2026-12-01",
                "--no-keep",
                "--tz",
                "Europe/Berlin",
            ]),
            line(&["explain", "1", "EX", "--subnet", "10.20.1.0/24", "--tz", "+02:00", "-q"]),
            line(&["inspect", "EX", "--tz", "America/New_York"]),
            line(&[
                "analyze",
                "EX",
                "--subnet",
                "10.20.1.0/24",
                "--no-keep",
                "--now",
                "2026-05-05 09:00",
                "--top",
                "1",
                "-q",
            ]),
            line(&["was", "10.20.1.4 -> *:1433", "EX", "-q", "--tz", "Europe/Berlin"]),
            line(&["doctor", "EX", "--now", "2026-05-05 07:00", "--tz", "Europe/Berlin"]),
        ],
    );
}

/// Every time that a reader sees is shifted, and nothing else changes.
#[test]
fn only_times_differ() {
    for options in
        [&["--format", "text"][..], &["--details"], &["--format", "markdown", "--top", "50"], &["--format", "html"]]
    {
        let utc = stdout(&flowgap(&[&REPORT[..], options].concat()));
        let berlin = stdout(&flowgap(&[&REPORT[..], options, &BERLIN].concat()));
        assert_ne!(utc, berlin, "{options:?}");
        let left: Vec<&str> = berlin.lines().filter(|line| line.contains(" UTC")).collect();
        assert!(left.is_empty(), "{options:?}: {left:#?}");
        assert!(berlin.contains("+02:00"), "{options:?}: {berlin}");
    }
    for format in ["json", "ndjson", "csv", "sarif", "junit"] {
        let options = [&REPORT[..], &["--format", format]].concat();
        let utc = stdout(&flowgap(&options));
        assert_eq!(utc, stdout(&flowgap(&[&options[..], &BERLIN].concat())), "{format} is not in UTC");
    }
}

/// A saved analysis is printed in a zone as the analysis itself was.
#[test]
fn a_saved_analysis_has_the_same_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("analysis.json");
    let saved = path.to_str().expect("UTF-8");
    stdout(&flowgap(&[&REPORT[..], &["-o", saved]].concat()));
    for format in ["text", "markdown", "html"] {
        let options = [&["--format", format][..], &BERLIN].concat();
        let analyzed = stdout(&flowgap(&[&REPORT[..], &options].concat()));
        assert_eq!(stdout(&flowgap(&[&["report", saved][..], &options].concat())), analyzed, "{format}");
    }
}
