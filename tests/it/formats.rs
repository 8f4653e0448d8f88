//! SARIF and JUnit, read by programs of others; several files of one run; `flowgap report`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flowgap::findings::Analysis;
use flowgap::report::{Document, Format, Style, report};
use serde_json::{Value, json};

use crate::cases::{A, SQL, TAGGED, day, deny_sql, planted};
use crate::sql_cli::python;
use crate::support::archive::{Log, inbound, outbound};
use crate::support::binary::{SUBNET, analyze, check_golden, check_status, command, flowgap, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
/// Text that breaks a format which does not escape it.
const HOSTILE: &str =
    "a\u{0}\u{1b}[31m<b>&\"']]>\u{fffe}\u{ffff}\u{202e}\u{85}\r\n\t[x](https://evil.example) {0} \\ =1";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn golden_analysis() -> Value {
    let golden = std::fs::read(root().join("tests/golden/apim.json")).expect("a golden");
    serde_json::from_slice(&golden).expect("JSON")
}

fn written(analysis: &Analysis, format: Format) -> Vec<u8> {
    let style = Style::PLAIN;
    let mut out = Vec::new();
    report(format, style).write(&Document::new(analysis), &mut out).expect("written");
    out
}

/// Rules that `sarif-multitool` finds broken, as errors or warnings.
fn complaints(file: &Path) -> Vec<String> {
    let out = file.with_extension("checked.sarif");
    let tool = root().join("tests/azurite/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool");
    let output = Command::new(&tool)
        .args(["validate", text(file), "--output", text(&out), "--log", "ForceOverwrite"])
        .args(["--rule-kind", "Sarif;Ghas", "--level", "Error;Warning"])
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}: run npm ci --prefix tests/azurite", tool.display()));
    let checked = std::fs::read_to_string(&out).unwrap_or_else(|e| panic!("{e}: {}", stdout(&output)));
    let checked: Value = serde_json::from_str(checked.trim_start_matches('\u{feff}')).expect("JSON");
    let run = &checked["runs"][0];
    let notes = run["invocations"][0]["toolExecutionNotifications"].as_array().into_iter().flatten();
    let results = run["results"].as_array().into_iter().flatten();
    let mut all: Vec<String> = results.map(|r| r["ruleId"].as_str().expect("an id").to_owned()).collect();
    all.extend(notes.map(ToString::to_string));
    all
}

/// Checks the rules of GitHub's code scanning.
fn check_github(log: &Value) {
    fn no_empty_text(value: &Value, path: &str) {
        match value {
            Value::String(text) => assert!(!text.is_empty(), "{path} is empty"),
            Value::Array(items) => items.iter().for_each(|item| no_empty_text(item, path)),
            Value::Object(keys) => keys.iter().for_each(|(key, item)| no_empty_text(item, &format!("{path}/{key}"))),
            _ => {}
        }
    }
    no_empty_text(log, "");
    assert!(log["$schema"].is_string() && log["version"] == "2.1.0");
    let runs = log["runs"].as_array().expect("runs");
    assert!(runs.len() <= 25);
    for run in runs {
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        for rule in rules {
            for key in ["shortDescription", "fullDescription", "help"] {
                let words = rule[key]["text"].as_str().expect(key);
                assert!(key == "help" || words.chars().count() <= 1024, "{key}");
            }
            assert!(rule["properties"]["tags"].as_array().is_some_and(|tags| tags.len() <= 10));
        }
        let results = run["results"].as_array().expect("results");
        assert!(results.len() <= 25_000);
        for result in results {
            let place = result["ruleIndex"].as_u64().expect("an index") as usize;
            assert_eq!(rules[place]["id"], result["ruleId"]);
            let level = match result["properties"]["severity"].as_str().expect("a severity") {
                "critical" | "high" => "error",
                "medium" => "warning",
                _ => "note",
            };
            assert_eq!(result["level"], level);
            assert!(result["message"]["text"].is_string());
            let hash = result["partialFingerprints"]["primaryLocationLineHash"].as_str().expect("a hash");
            assert_eq!(format!("{}:1", result["fingerprints"]["flowgap/v1"].as_str().expect("text")), hash);
            let locations = result["locations"].as_array().expect("a list");
            assert_eq!(locations.len(), 1);
            let place = &locations[0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], "flowgap.toml");
            for key in ["startLine", "startColumn", "endLine", "endColumn"] {
                assert!(place["region"][key].as_u64().is_some_and(|n| n > 0), "{key}");
            }
            assert!(result["suppressions"].is_null() && result["baselineState"].is_null());
        }
    }
}

/// Numbers of cases, failures, errors and skipped cases that two parsers find in each file.
fn junit_counts(files: &[&Path]) -> Vec<String> {
    let output =
        Command::new(python()).arg(root().join("tests/readers/junit.py")).args(files).output().expect("python");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn sarif_and_junit_of_the_planted_archive_equal_their_goldens() {
    let folder = tempfile::tempdir().expect("a folder");
    let [sarif, junit] = ["apim.sarif", "apim.xml"].map(|name| folder.path().join(name));
    let output = analyze(&[ARCHIVE, "--service-tags", TAGS, "-o", text(&sarif), "-o", text(&junit)]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{}", stderr(&output));
    let log = std::fs::read_to_string(&sarif).expect("written");
    check_golden("apim.sarif", &log);
    check_golden("apim.xml", &std::fs::read_to_string(&junit).expect("written"));
    // The project has no web page yet.
    assert_eq!(complaints(&sarif), ["SARIF2005"]);
    check_github(&serde_json::from_str(&log).expect("JSON"));
    assert_eq!(junit_counts(&[&junit]), ["20 3 0 4"]);
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let golden = std::fs::read_to_string(root().join("tests/golden/apim.sarif")).expect("a golden");
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.sarif");
    for (from, to) in [("\"ruleIndex\": 3", "\"ruleIndex\": 99"), ("\"kind\": \"resource\"", "\"sort\": \"resource\"")]
    {
        std::fs::write(&broken, golden.replacen(from, to, 1)).expect("written");
        assert!(complaints(&broken).len() > 1, "{to}");
    }
}

#[test]
fn hostile_text_gives_valid_files() {
    let mut analysis = golden_analysis();
    for finding in analysis["findings"].as_array_mut().expect("a list") {
        for key in ["requirement", "purpose", "subnet", "acl", "acl_name", "rule", "rule_name", "effect", "explanation"]
        {
            finding[key] = json!(format!("{HOSTILE}{}", finding[key].as_str().unwrap_or_default()));
        }
    }
    for row in analysis["coverage"].as_array_mut().expect("a list") {
        row["requirement"] = json!(format!("{HOSTILE}{}", row["requirement"].as_str().expect("text")));
        row["subnet"] = json!(format!("{HOSTILE}{SUBNET}"));
    }
    analysis["notices"][0]["message"] = json!(HOSTILE);
    analysis["status"]["partial"] = json!(true);
    analysis["status"]["reasons"] = json!([HOSTILE]);
    analysis["input"]["problems"] = json!([{"blob": HOSTILE, "offset": 0, "record": 0, "reason": HOSTILE}]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.json"), analysis.to_string()).expect("written");
    let files = ["r.sarif", "r.xml", "r.md", "r.csv", "r.txt"].map(path);
    let mut arguments = vec!["report".to_owned(), text(&path("a.json")).to_owned()];
    files.iter().for_each(|file| arguments.extend(["-o".to_owned(), text(file).to_owned()]));
    let output = flowgap(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(complaints(&files[0]), ["SARIF2005"]);
    let log: Value = serde_json::from_slice(&std::fs::read(&files[0]).expect("written")).expect("JSON");
    check_github(&log);
    let message = log["runs"][0]["results"][0]["message"]["text"].as_str().expect("text");
    assert!(message.contains("\\[x\\](https") && message.contains("{{0}}") && !message.contains('\u{1b}'), "{message}");
    assert_eq!(junit_counts(&[&files[1]]), ["20 3 1 4"]);
}

#[test]
fn sarif_stays_below_the_limits_of_github() {
    let mut analysis = golden_analysis();
    let first = analysis["findings"][0].clone();
    let many = (0..10_000).map(|nr| {
        let mut finding = first.clone();
        finding["fingerprint"] = json!(format!("{nr:016x}"));
        finding["requirement"] = json!(format!("ROW-{nr}"));
        finding["rule_name"] = json!(format!("{nr}-{}", "long".repeat(2_000)));
        finding["explanation"] = json!(format!("{nr} {}", "word ".repeat(2_000)));
        finding
    });
    analysis["findings"] = many.collect();
    let analysis: Analysis = serde_json::from_value(analysis).expect("an analysis");
    let log = written(&analysis, Format::Sarif);
    check_github(&serde_json::from_slice(&log).expect("JSON"));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&log).expect("packed");
    assert!(packed.finish().expect("packed").len() < 10_000_000);
}

#[test]
fn one_run_writes_several_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let names = ["a.txt", "a.json", "a.csv", "a.md", "a.html", "a.parquet", "a.sarif", "a.xml"];
    let mut arguments = vec![ARCHIVE.to_owned(), "--service-tags".to_owned(), TAGS.to_owned()];
    names.iter().for_each(|name| arguments.extend(["-o".to_owned(), path(name)]));
    let output = analyze(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{}", stderr(&output));
    for (name, format) in
        names.into_iter().zip(["text", "json", "csv", "markdown", "html", "parquet", "sarif", "junit"])
    {
        let alone = analyze(&[ARCHIVE, "--service-tags", TAGS, "--format", format]).stdout;
        assert!(std::fs::read(path(name)).expect("written") == alone, "{name}");
        let again = flowgap(&["report", &path("a.json"), "--format", format]);
        assert!(again.stdout == alone, "{format}");
        assert_eq!(again.status.code(), Some(1));
    }
    let refused = |rest: &[&str], says: &str| check_status(&[&["analyze", ARCHIVE], rest].concat(), 2, says);
    let (json, sarif) = (path("b.json"), path("b.sarif"));
    refused(&["-o", &json, "-o", &sarif, "--format", "json"], "--format json does not fit");
    refused(&["-o", &json, "-o", &json], "is given twice");
    refused(&["-o", &json, "-o", &path("b.dat")], "is not a known format");
    assert!(!Path::new(&json).exists());
    let bare = path("bare");
    let output = analyze(&[ARCHIVE, "--format", "json", "-o", &json, "-o", &bare]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(std::fs::read(&json).expect("written") == std::fs::read(&bare).expect("written"));
}

/// Runs `report -` with `input` on its standard input.
fn report_of(input: &[u8], arguments: &[&str]) -> Output {
    let mut child = command(&[&["report", "-"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowgap starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("written");
    child.wait_with_output().expect("flowgap ends")
}

/// Every kind of archive: findings, none, too little, damaged, internal mode.
#[test]
fn report_gives_what_analyze_gave() {
    let mut likely_internal = day(&[]);
    (0..24).for_each(|hour| likely_internal.allowed(inbound(planted(hour), "10.30.9.7", A, 443)));
    let mut blocked = day(&["APIM-OUT-SQL"]);
    deny_sql(&mut blocked, 12..24);
    let mut swallowed = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| swallowed.unanswered(outbound(planted(hour), A, SQL, 1433)));
    let logs = [likely_internal, blocked, swallowed].map(|log: Log| log.write());
    let mut runs: Vec<Vec<&str>> = logs.iter().map(|folder| [&[text(folder.path())], TAGGED].concat()).collect();
    runs.extend(["testdata/broken", "testdata/nsg-v2", "testdata/vnet-v4"].map(|source| vec![source]));
    runs.push(vec![ARCHIVE, "--subnet", SUBNET, "--top", "2", "--details"]);
    for run in runs {
        let analyze = |format: &str| flowgap(&[&["analyze"], &run[..], &["--format", format]].concat());
        let json = analyze("json").stdout;
        for format in Format::NAMES {
            let (alone, layout) =
                (analyze(format), if run.contains(&"--details") { &["--top", "2", "--details"][..] } else { &[] });
            let again = report_of(&json, &[layout, &["--format", format]].concat());
            assert!(again.stdout == alone.stdout, "{run:?} {format}: {}", stderr(&again));
            assert_eq!(again.status.code(), alone.status.code(), "{run:?} {format}");
            assert_eq!(stderr(&again), "", "{run:?} {format}");
        }
    }
}

#[test]
fn report_refuses_what_is_no_analysis() {
    let folder = tempfile::tempdir().expect("a folder");
    let golden = std::fs::read_to_string(root().join("tests/golden/apim.json")).expect("a golden");
    for (name, text, says) in [
        ("empty.json", "", "empty.json is not JSON"),
        ("half.json", &golden[..golden.len() / 2], "half.json is not JSON"),
        ("other.json", "{\"records\": []}", "other.json is not an analysis: write one with flowgap analyze"),
        ("list.json", "[]", "list.json is not an analysis"),
        (
            "two.json",
            "{\"schema\": \"flowgap.analysis/2\"}",
            "has the schema 'flowgap.analysis/2', and this version reads",
        ),
        ("part.json", "{\"schema\": \"flowgap.analysis/1\"}", "part.json is no valid analysis: missing field"),
        ("exit.json", &golden.replacen("\"exit\": 1", "\"exit\": 77", 1), "no analysis has exit status 77"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        check_status(&["report", path.to_str().expect("UTF-8")], 2, says);
        let output = report_of(text.as_bytes(), &[]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{name}");
        assert_eq!(stderr(&output).lines().count(), 1, "{name}");
    }
    check_status(&["report", "no-such-file.json"], 2, "cannot read no-such-file.json");
    check_status(&["report", "src"], 2, "cannot read src");
    let marked = report_of(format!("\u{feff}{golden}").as_bytes(), &["--format", "json"]);
    assert!(stdout(&marked) == golden, "a byte-order mark is skipped");
}
