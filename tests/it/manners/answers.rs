//! `was` and `doctor`.

use super::{check, line};

#[test]
fn was_answers_in_one_line() {
    check(
        "was",
        8,
        &[
            line(&["was", "10.20.1.4 -> *:1433", "EX", "-q"]),
            line(&["was", "10.20.1.0/24 -> Sql:1433/tcp", "EX", "-q", "--service-tags", "TAGS"]),
            line(&["was", "10.20.1.4 -> 10.30.0.5:1433", "EX", "-q"]),
            line(&["was", "* -> 10.20.1.4:443", "EX", "-q", "--format", "csv"]),
            line(&["was", "* -> 10.20.1.0/24:3443", "EX", "-q", "--maxrows", "1"]),
            line(&["was", "* -> *:53/udp", "EX", "-q", "--maxrows", "1"]),
            line(&["was", "10.20.1.4 -> Sql:1433", "EX", "-q"]),
            line(&["was", "10.20.1.4", "EX"]),
            line(&["was", "10.20.1.4 -> 10.30.0.5:https", "EX"]),
        ],
    );
}

#[test]
fn was_knows_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("names.csv");
    std::fs::write(&path, "prefix,name\n10.20.1.0/24,snet-apim\n").expect("a file");
    let names = path.to_str().expect("UTF-8");
    let output =
        crate::support::binary::flowgap(&["was", "SNET-apim -> *:1433", super::ARCHIVE, "--names", names, "-q"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("REFUSED  SNET-apim -> *:1433: 699 attempts were refused, the last at 2026-05-05 05:55"),
        "{said}"
    );
}

#[test]
fn doctor_says_what_to_do() {
    check(
        "doctor",
        12,
        &[
            line(&["doctor", "EX", "--now", "2026-05-05 07:00"]),
            line(&["doctor", "EX", "--now", "2026-05-06 07:00"]),
            line(&["doctor", "EX", "--now", "2026-05-01 07:00"]),
            line(&["doctor", "no-such-folder"]),
            line(&["doctor", "testdata/tags"]),
            line(&["doctor", "https://example.blob.core.windows.net/logs", "--auth", "sas"]),
        ],
    );
}
