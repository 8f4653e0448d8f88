//! `flowgap analyze` against a second implementation in Python that knows only the contract: `tests/independent`.

use std::path::Path;
use std::time::Instant;

use crate::support::binary::{program, root};

const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const APIM: &str = "testdata/apim/insights-logs-flowlogflowevent";

/// Cases of `../shared/cases` as folder, second source and options. `T` stands for the service-tag file of `../shared/data`,
/// `CASES` for the folder of the cases.
const CASES: [(&str, Option<&str>, &[&str]); 13] = [
    ("14-odd-tuples", Some("21-entra-forgotten"), SCOPED),
    ("20-activation-fails", None, SCOPED),
    ("21-entra-forgotten", None, SCOPED),
    ("24-keyvault-private-endpoint", None, SCOPED),
    ("25-custom-dns-denied", None, SCOPED),
    ("28-not-the-network", None, SCOPED),
    (
        "20-activation-fails",
        None,
        &["--subnet", S, "--service-tags", "CASES/33-missing-names/ServiceTags_Public_20260420.json"],
    ),
    (
        "20-activation-fails",
        None,
        &["--subnet", S, "--service-tags", "CASES/33-missing-names/ServiceTags_Regional_20260420.json"],
    ),
    ("39-control-plane-not-in-file", None, SCOPED),
    ("39-control-plane-not-in-file", Some("21-entra-forgotten"), SCOPED),
    ("43-twelve-units", None, &["--service-tags", "T"]),
    ("44-all-clients-refused", None, SCOPED),
    ("45-strangers-on-3443", None, &["--subnet", S]),
];
const S: &str = "10.50.1.0/24";
const SCOPED: &[&str] = &["--subnet", S, "--service-tags", "T"];

/// Runs a script of `tests/independent` on the binary. Returns what it printed when something differs.
fn differences(script: &str, arguments: &[String]) -> Option<String> {
    let output = program("python3")
        .current_dir(root())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(format!("tests/independent/{script}"))
        .args(["--binary", env!("CARGO_BIN_EXE_flowgap")])
        .args(arguments)
        .output()
        .expect("python3 starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{script} {}: {}", arguments.join(" "), printed.lines().last().unwrap_or_default());
    (!output.status.success()).then(|| printed + &String::from_utf8_lossy(&output.stderr))
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

#[test]
fn random_archives_give_the_same_findings_as_the_second_implementation() {
    let started = Instant::now();
    let found = differences("run.py", &words(&["--seeds", "1..20"]));
    println!("took {:?}", started.elapsed());
    assert_eq!(found.as_deref(), None);
}

#[test]
fn the_planted_archive_gives_the_same_findings_as_the_second_implementation() {
    let scope = ["--subnet", "10.20.1.0/24"];
    for options in [vec![], scope.to_vec(), [&scope[..], &["--service-tags", TAGS]].concat()] {
        let found = differences("compare.py", &words(&[&[APIM], &options[..]].concat()));
        assert_eq!(found.as_deref(), None, "{options:?}");
    }
}

#[test]
fn cases_give_the_same_findings_as_the_second_implementation() {
    let cases = root().join("../shared/cases");
    if !cases.is_dir() {
        println!("{} is not there: no cases to compare", cases.display());
        return;
    }
    let differing: Vec<String> = CASES
        .iter()
        .filter_map(|(case, second, options)| {
            let mut arguments: Vec<String> =
                [Some(*case), *second].iter().flatten().map(|name| source(&cases, name)).collect();
            arguments.extend(options.iter().map(|option| match *option {
                "T" => cases.join("../data/ServiceTags_Public.json").display().to_string(),
                other => other.replace("CASES", &cases.display().to_string()),
            }));
            differences("compare.py", &arguments).map(|found| format!("{case}\n{found}"))
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// The archive of a case. The odd tuples are a file.
fn source(cases: &Path, case: &str) -> String {
    let inside = if case == "14-odd-tuples" { "one-bad-time.json" } else { "insights-logs-flowlogflowevent" };
    cases.join(case).join(inside).display().to_string()
}
