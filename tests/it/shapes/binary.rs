//! Shapes of records through the real binary: what the reports say of them, and how they end.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{KINDS, MAC, good, record, utf16, wrapped};
use crate::cases::{check, run_over};
use crate::support::binary::{flowgap, root, stdout};

const OTHER_MAC: &str = "00005E005302";
const SUBNET: [&str; 2] = ["--subnet", "10.20.1.0/24"];

fn inspect(path: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let path = path.to_str().expect("UTF-8");
    let output = flowgap(&[&["inspect", path, "--format", "json"], arguments].concat());
    let inspection = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{path}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), inspection)
}

/// What the reports for people say, line by line.
fn lines(verb: &str, path: &Path, arguments: &[&str]) -> Vec<String> {
    let output = flowgap(&[&[verb, path.to_str().expect("UTF-8")], arguments].concat());
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn the_shapes_of_testdata_are_read_or_counted() {
    let read = |file: &str| inspect(&root().join("testdata").join(file), &[]);
    for (file, records, tuples) in [
        ("lists-of-one", 2, 2),
        ("lists-for-objects", 2, 3),
        ("pascal-case-keys", 2, 5),
        ("upper-case-keys", 1, 3),
        ("utf-16-little-endian", 3, 6),
        ("utf-16-big-endian", 3, 6),
    ] {
        let (status, found) = read(&format!("shapes/{file}.json"));
        let expected = json!({"records": records, "tuples": tuples, "bad_records": 0, "problem_count": 0});
        check(&found["input"], expected);
        assert_eq!(status, Some(0), "{file}");
    }
    let (status, found) = read("shapes/no-list-of-tuples.json");
    check(&found["input"], json!({"records": 2, "bad_records": 16, "problem_count": 16}));
    assert_eq!(status, Some(3));
    let (status, found) = read("shapes/unread-parts.json");
    check(&found["input"], json!({"records": 1, "bad_records": 4, "problem_count": 4, "tuples": 1}));
    assert_eq!(status, Some(3));
    let (status, found) = read("broken/utf-16-without-mark.json");
    check(&found["input"], json!({"records": 0, "bad_records": 1, "problem_count": 1}));
    let reason = found["input"]["problems"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("UTF-16 without a byte-order mark") && status == Some(3), "{reason}");
}

#[test]
fn problems_of_one_blob_and_reason_share_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = record(KINDS[1].0, 1, None);
    let records: Vec<String> = (0..60).map(|_| bad.clone()).chain([good()]).collect();
    for name in ["a.json", "b.json"] {
        fs::write(folder.path().join(name), wrapped(&records)).expect("written");
    }
    let found = inspect(folder.path(), &[]).1;
    check(&found["input"], json!({"records": 2, "bad_records": 120, "problem_count": 120}));
    assert_eq!(found["input"]["problems"].as_array().map(Vec::len), Some(120));
    for (verb, arguments) in [("inspect", &[][..]), ("analyze", &["--subnet", "10.50.1.0/24", "--details"])] {
        let lines = lines(verb, folder.path(), arguments);
        let text = lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("Problems in the input: 120"), "{text}");
        assert_eq!(text.matches("and 59 places more: record skipped: no list of flow tuples").count(), 2, "{text}");
        assert!(lines.len() < 60 && !text.contains("--format json lists"), "{text}");
    }
}

#[test]
fn other_logs_beside_the_flow_logs_are_a_line_each_and_no_damage() {
    let archive = root().join("testdata/apim/insights-logs-flowlogflowevent");
    let folder = tempfile::tempdir().expect("a folder");
    let logs: Vec<String> = super::foreign().into_iter().map(|(record, _)| record).collect();
    for nr in 0..120 {
        let place = folder.path().join(format!("insights-metrics-pt1m/resourceId=/X/h={nr}"));
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join("PT1H.json"), format!("{}\n{}\n", logs[0], logs[1 + nr % 2])).expect("written");
    }
    let (alone, both) = (run_over(&[&archive], &SUBNET), run_over(&[&archive, folder.path()], &SUBNET));
    assert_eq!((both.status, &both.analysis["findings"]), (alone.status, &alone.analysis["findings"]));
    check(&both.analysis["input"], json!({"problem_count": 0, "records": alone.analysis["input"]["records"]}));
    assert_eq!(alone.notice("foreign-logs"), None);
    let notice = both.expect_notice("foreign-logs");
    for kind in ["120 records of metrics", "60 records of AuditEvent", "60 records of GatewayLogs"] {
        assert!(notice.contains(kind), "{notice}");
    }
    let path = folder.path();
    let text = lines("analyze", path, &[&SUBNET[..], &["--details"]].concat()).join("\n");
    assert!(text.contains("120 records of metrics;\n    60 records of AuditEvent;\n"), "{text}");
    let (status, found) = inspect(path, &[archive.to_str().expect("UTF-8")]);
    let kinds = json!([
        {"kind": "metrics", "records": 120},
        {"kind": "AuditEvent", "records": 60},
        {"kind": "GatewayLogs", "records": 60},
    ]);
    check(&found["input"], json!({"foreign": kinds, "problem_count": 0, "records": 720}));
    let text = lines("inspect", path, &[]).join("\n");
    assert!(text.contains("Other logs, skipped\n  120 records of metrics\n  60 records of AuditEvent\n"), "{text}");
    assert!(!text.contains("Problems"), "{text}");
    assert_eq!(status, Some(0), "{found}");
}

#[test]
fn a_file_of_another_kind_is_one_problem_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let texts = [
        ("package.json", "{\n  \"name\": \"x\",\n  \"version\": \"1.0.0\",\n  \"scripts\": {\"a\": \"b\"}\n}\n"),
        ("page.json", "<!DOCTYPE html>\n<html>\n<body>\n[1] {\"x\": 2}\n</body>\n</html>\n"),
        ("table.json", "time,level\n1,2\n3,4\n"),
    ];
    texts.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).expect("written"));
    fs::write(folder.path().join("flows.json"), good()).expect("written");
    let (status, found) = inspect(folder.path(), &[]);
    check(&found["input"], json!({"records": 1, "bad_records": 3, "problem_count": 3}));
    assert_eq!(status, Some(3));
}

/// Records of two interfaces in turn, `pairs` of them.
fn of_two_interfaces(pairs: usize) -> String {
    let records = [good(), good().replace(MAC, OTHER_MAC)].join(",");
    let all = vec![records.as_str(); pairs].join(",");
    format!("{{\"records\":[{all}]}}")
}

#[test]
fn a_chosen_interface_is_found_in_records_where_no_path_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = of_two_interfaces(20);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("memory takes all");
    // Over 32 MiB a blob is cut into pieces.
    let pairs = (34 << 20) / text.len() * 20;
    for (name, bytes, expected) in [
        ("plain.json", text.as_bytes(), 20),
        ("packed.json", &packer.finish().expect("packed"), 20),
        ("wide.json", &utf16(&text, false), 20),
        ("big.json", of_two_interfaces(pairs).as_bytes(), pairs),
        // A path that names an interface has been asked already.
        ("y=2026/m=05/d=04/h=06/m=00/macAddress=00005E005301/PT1H.json", text.as_bytes(), 40),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        let (status, found) = inspect(&path, &["--mac", "00-00-5e-00-53-01"]);
        let count = json!({"records": expected, "tuples": expected, "bad_records": 0, "problem_count": 0});
        check(&found["input"], count);
        assert_eq!(status, Some(0), "{name}");
        let macs = found["interfaces"].as_array().map(Vec::len);
        assert_eq!(macs, Some(if expected == 40 { 2 } else { 1 }), "{name}");
    }
    let count = |mac: &str| {
        let path = folder.path().join("plain.json");
        let query = "SELECT mac, count(*) AS n FROM flows GROUP BY mac";
        let path = path.to_str().expect("UTF-8");
        stdout(&flowgap(&["sql", path, "--mac", mac, "-c", query, "--format", "csv"]))
    };
    assert_eq!(count(OTHER_MAC), format!("mac,n\r\n{OTHER_MAC},20\r\n"));
    assert_eq!(count("00005E005399"), "mac,n\r\n");
}
