//! `flowgap generate`: the same bytes for any number of threads, and a truth that the reference decoder finds in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::binary::{flowgap, root, stdout};
use crate::support::reference::{self, Row};

const SUBNET: &str = "10.20.1.0/24";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
/// Denies the calls of a healthy instance that no requirement asks for.
const STRAY_RULE: &str = "UserRule_deny-stray-out";
const KINDS: [&str; 3] = ["vnet4", "nsg2", "nsg1"];

/// One fault of each kind, in an archive of ten hours or more.
fn faults() -> Vec<Value> {
    vec![
        json!({"fault": "blocked", "requirement": "APIM-OUT-SQL", "from_hour": 3, "rule": "UserRule_deny-sql"}),
        json!({"fault": "partial", "requirement": "APIM-OUT-MONITOR", "from_hour": 4, "to_hour": 9, "share": 0.25,
            "rule": "UserRule_deny-monitor"}),
        json!({"fault": "recovered", "requirement": "APIM-OUT-KEYVAULT", "from_hour": 2, "to_hour": 5,
            "rule": "UserRule_deny \"vault\"", "per_hour": 7}),
        json!({"fault": "scanners", "requirement": "APIM-IN-MANAGEMENT", "rule": "DefaultRule_DenyAllInBound"}),
        json!({"fault": "far-end", "requirement": "APIM-OUT-DNS", "from_hour": 6, "rule": "UserRule_deny-spokes"}),
        json!({"fault": "unanswered", "requirement": "APIM-OUT-STORAGE", "rule": "UserRule_allow-storage"}),
    ]
}

/// Without the fault that logs without counters cannot show.
fn faults_of(kind: &str) -> Vec<Value> {
    faults().into_iter().filter(|fault| kind != "nsg1" || fault["fault"] != "unanswered").collect()
}

struct Archive {
    folder: TempDir,
    /// As options of the command that analyzes it.
    subnets: String,
}

impl Archive {
    fn new(kind: &str, faults: &[Value], more: &[&str]) -> Self {
        let archive = Self::new_anywhere(kind, faults, more);
        assert_eq!(archive.subnets, format!(" --subnet {SUBNET}"));
        archive
    }

    fn new_anywhere(kind: &str, faults: &[Value], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("faults.json");
        std::fs::write(&file, json!(faults).to_string()).expect("a file");
        let mut archive = Self { folder, subnets: String::new() };
        let dir = archive.dir();
        let dir = dir.to_str().expect("UTF-8");
        let options = ["--kind", kind, "--service-tags", TAGS, "--faults", file.to_str().expect("UTF-8")];
        let output = flowgap(&[&["generate", dir], &options[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let (before, after) = said.split_once(&format!("flowgap analyze {dir}")).expect("the next command");
        assert!(before.contains("truth.ndjson"), "{said}");
        archive.subnets = after.split(" --service-tags").next().expect("subnets").to_owned();
        archive
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// Every file by its path below the archive.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.dir(), &self.dir(), &mut found);
        found
    }

    /// As the reference decoder reads them, blob by blob.
    fn rows(&self) -> Vec<(String, Vec<Row>)> {
        let blobs = self.files().into_iter().filter(|(path, _)| path.ends_with("PT1H.json"));
        let decode = |(path, bytes): (String, Vec<u8>)| {
            let decoded = reference::decode(&bytes);
            assert_eq!((decoded.malformed, decoded.bad_records), (0, 0), "{path}");
            (path, decoded.rows)
        };
        blobs.map(decode).collect()
    }

    fn truth(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir().join("truth.ndjson")).expect("the truth");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Refused stray calls as the reference decoder counts them: for each port the tuples and the distinct peers.
    fn strays(&self) -> BTreeMap<u64, (u64, u64)> {
        let mut ports: BTreeMap<u64, (u64, BTreeSet<String>)> = BTreeMap::new();
        let rows = self.rows().into_iter().flat_map(|(_, rows)| rows);
        for row in rows.filter(|row| row.decision == "deny" && row.rule == STRAY_RULE) {
            let (tuples, peers) = ports.entry(row.dst_port.into()).or_default();
            *tuples += 1;
            peers.insert(row.dst_ip);
        }
        ports.into_iter().map(|(port, (tuples, peers))| (port, (tuples, peers.len() as u64))).collect()
    }

    fn analyze(&self) -> Value {
        let dir = self.dir();
        let options = ["--subnet", SUBNET, "--service-tags", TAGS, "--format", "json"];
        let output = flowgap(&[&["analyze", dir.to_str().expect("UTF-8")], &options[..]].concat());
        serde_json::from_str(&stdout(&output))
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

#[test]
fn traffic_varies_as_the_options_say() {
    let more = ["--hours", "3", "--interfaces", "4", "--tuples-per-minute", "400"];
    let axes = [
        ["--local-addresses", "900"],
        ["--rules", "300"],
        ["--acls", "3"],
        ["--remote-addresses", "500"],
        ["--ports", "200"],
        ["--denied", "60"],
    ];
    let more = [&more[..], axes.as_flattened()].concat();
    for kind in ["vnet4", "nsg2"] {
        let archive = Archive::new_anywhere(kind, &[], &more);
        let rows: Vec<Row> = archive.rows().into_iter().flat_map(|(_, rows)| rows).collect();
        let distinct =
            |text: &dyn Fn(&Row) -> Option<String>| rows.iter().filter_map(text).collect::<BTreeSet<_>>().len();
        let ends = |row: &Row| match row.direction.as_str() {
            "outbound" => (row.src_ip.clone(), row.dst_ip.clone()),
            _ => (row.dst_ip.clone(), row.src_ip.clone()),
        };
        assert_eq!(distinct(&|row| Some(ends(row).0)), 900, "{kind}");
        assert_eq!(distinct(&|row| Some(row.rule.clone())), 300, "{kind}");
        assert_eq!(distinct(&|row| Some(row.acl.to_lowercase())), 3, "{kind}");
        let of_internet = |row: &Row| {
            let first: u8 = ends(row).1.split('.').next()?.parse().ok()?;
            (row.direction == "inbound" && (24..88).contains(&first)).then(|| ends(row).1)
        };
        let remote = distinct(&of_internet);
        assert!((480..=1000).contains(&remote), "{kind}: {remote}");
        for direction in ["inbound", "outbound"] {
            let is_denied = |row: &Row| row.decision == "deny" && row.direction == direction;
            assert_eq!(distinct(&|row| is_denied(row).then(|| row.dst_port.to_string())), 200, "{kind} {direction}");
        }
        let denied = rows.iter().filter(|row| row.decision == "deny").count() as f64 / rows.len() as f64;
        assert!((denied - 0.6).abs() < 0.02, "{kind}: {denied}");
    }
}

fn collect(top: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for path in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            collect(top, &path, found);
        } else {
            let name = path.strip_prefix(top).expect("below").to_str().expect("UTF-8").to_owned();
            found.insert(name, std::fs::read(&path).expect("bytes"));
        }
    }
}

/// What tells lines of the truth apart: hour, rule, ACL, decision, protocol, addresses and ports.
type Key = [String; 9];

fn key_of_line(line: &Value) -> Key {
    let keys = ["hour", "rule", "acl", "decision", "protocol", "src_ip", "dst_ip", "src_port", "dst_port"];
    keys.map(|key| line[key].as_str().map_or_else(|| line[key].to_string(), str::to_owned))
}

fn key_of_row(row: &Row) -> Key {
    // All these archives begin on 2026-05-04 and last less than a day.
    let hour = (row.time - 1_777_852_800_000).div_euclid(3_600_000);
    [
        format!("2026-05-04T{hour:02}:00:00Z"),
        row.rule.clone(),
        row.acl.clone(),
        row.decision.clone(),
        row.protocol.clone(),
        row.src_ip.clone(),
        row.dst_ip.clone(),
        row.src_port.to_string(),
        row.dst_port.to_string(),
    ]
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    for kind in KINDS {
        let options = ["--hours", "10", "--interfaces", "3", "--threads"];
        let write = |threads: &str| Archive::new(kind, &faults_of(kind), &[&options[..], &[threads]].concat()).files();
        let one = write("1");
        for threads in ["2", "5"] {
            assert!(write(threads) == one, "{kind} with {threads} threads");
        }
        let other = Archive::new(kind, &faults_of(kind), &[&options[..4], &["--seed", "2"]].concat()).files();
        assert!(one.keys().eq(other.keys()) && one != other, "{kind}: another seed, other flows in the same blobs");
    }
}

#[test]
fn the_truth_is_what_the_reference_decoder_finds() {
    for kind in KINDS {
        let archive = Archive::new(kind, &faults_of(kind), &["--hours", "12", "--interfaces", "2"]);
        let mut found: BTreeMap<Key, u64> = BTreeMap::new();
        let rows: Vec<Row> = archive.rows().into_iter().flat_map(|(_, rows)| rows).collect();
        rows.iter().for_each(|row| *found.entry(key_of_row(row)).or_default() += 1);
        let truth = archive.truth();
        let mut planted: BTreeMap<Key, u64> = BTreeMap::new();
        for line in &truth {
            let key = key_of_line(line);
            let tuples = line["tuples"].as_u64().expect("a number");
            assert_eq!(found.get(&key), Some(&tuples), "{kind}: {line}");
            assert_eq!(planted.insert(key, tuples), None, "{kind}: twice: {line}");
        }
        // Every denial by a planted rule is in the truth.
        let rules: Vec<String> =
            faults().iter().map(|fault| fault["rule"].as_str().expect("a rule").to_owned()).collect();
        let denied = |key: &&Key| rules.contains(&key[1]) && key[3] == "deny";
        let missing: Vec<&Key> = found.keys().filter(denied).filter(|key| !planted.contains_key(*key)).collect();
        assert!(missing.is_empty(), "{kind}: not in the truth: {missing:?}");
        for fault in faults_of(kind) {
            let lines: Vec<&Value> = truth.iter().filter(|line| line["fault"] == fault["fault"]).collect();
            assert!(!lines.is_empty(), "{kind}: {fault}");
            assert!(lines.iter().all(|line| line["requirement"] == fault["requirement"]), "{kind}: {fault}");
            check_hours(&fault, &lines);
            check_allowed(&fault, &lines, &rows);
        }
    }
}

fn hour_of(line: &Value) -> u64 {
    line["hour"].as_str().and_then(|hour| hour.get(11..13)).and_then(|hour| hour.parse().ok()).expect("an hour")
}

/// Each hour of the fault has its attempts, and no other has.
fn check_hours(fault: &Value, lines: &[&Value]) {
    let (from, to) = (fault["from_hour"].as_u64().unwrap_or(0), fault["to_hour"].as_u64().unwrap_or(12));
    let mut attempts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for line in lines {
        let (all, denied) = attempts.entry(hour_of(line)).or_default();
        *all += 1;
        *denied += u64::from(line["decision"] == "deny");
    }
    assert!(attempts.keys().copied().eq(from..to), "{fault}: {attempts:?}");
    // Of both interfaces.
    let all = 2 * fault["per_hour"].as_u64().unwrap_or(60);
    let denied = match fault["fault"].as_str() {
        Some("partial") => all / 4,
        Some("unanswered") => 0,
        _ => all,
    };
    assert!(attempts.values().all(|counts| *counts == (all, denied)), "{fault}: {attempts:?}");
}

/// Nothing of a faulty requirement is allowed while the fault lasts, but for what is planted; before it, there is.
fn check_allowed(fault: &Value, lines: &[&Value], rows: &[Row]) {
    let ports: &[u16] = match fault["requirement"].as_str() {
        Some("APIM-OUT-SQL") => &[1433],
        Some("APIM-OUT-DNS") => &[53],
        Some("APIM-IN-MANAGEMENT") => &[3443],
        _ => return,
    };
    let from = fault["from_hour"].as_u64().unwrap_or(0);
    let allowed = rows.iter().filter(|row| row.decision == "allow" && ports.contains(&row.dst_port));
    let hours: Vec<u64> = allowed.map(|row| hour_of(&json!({"hour": key_of_row(row)[0]}))).collect();
    match fault["fault"].as_str() {
        Some("scanners") => assert!((0..12).all(|hour| hours.contains(&hour)), "{fault}"),
        _ => {
            assert!(hours.iter().all(|hour| *hour < from), "{fault}: {}", lines.len());
            assert!((0..from).all(|hour| hours.contains(&hour)), "{fault}");
        }
    }
}

#[test]
fn records_are_laid_out_as_azure_does() {
    for kind in KINDS {
        let archive = Archive::new(kind, &faults_of(kind), &["--hours", "10"]);
        let mut spilt = 0;
        for (path, rows) in archive.rows() {
            let hour: i64 = path.split("/h=").nth(1).and_then(|rest| rest.get(..2)?.parse().ok()).expect("an hour");
            let start = 1_777_852_800_000 + hour * 3_600_000;
            for row in &rows {
                let delay = row.record_time.expect("a time") - row.time;
                // NSG logs cut times to seconds.
                assert!((2_500..68_000).contains(&delay), "{kind}: {delay} ms in {path}");
                assert!((start..start + 3_600_000).contains(&row.record_time.expect("a time")), "{kind}: {path}");
                let mac = row.mac.as_deref().expect("a MAC");
                assert!(path.contains(&format!("macAddress={mac}")) && mac.starts_with("000D3A"), "{kind}: {path}");
            }
            spilt += rows.iter().filter(|row| row.time < start).count();
            let is_sorted = |rows: &[Row]| rows.iter().map(|row| row.time).is_sorted();
            let same = |a: &Row, b: &Row| {
                (a.record_time, &a.rule, &a.direction, &a.decision)
                    == (b.record_time, &b.rule, &b.direction, &b.decision)
            };
            assert!(rows.chunk_by(same).all(is_sorted), "{kind}: {path} is out of order");
        }
        assert!(spilt > 0, "{kind}: the last minute of an hour is flushed in the next");
    }
}

#[test]
fn records_of_nsg_logs_are_split() {
    for kind in ["nsg2", "nsg1"] {
        let archive = Archive::new(kind, &[], &["--hours", "1", "--interfaces", "1", "--tuples-per-minute", "2000"]);
        let mut records = Vec::new();
        for (_, bytes) in archive.files().into_iter().filter(|(path, _)| path.ends_with(".json")) {
            let blob: Value = serde_json::from_slice(&bytes).expect("JSON");
            records.extend(blob["records"].as_array().expect("a list").iter().cloned());
        }
        let longest = records.iter().map(|record| record.to_string().len()).max();
        assert!(longest.is_some_and(|bytes| (31_000..32_400).contains(&bytes)), "{kind}: {longest:?}");
        let repeats = |pair: &[Value]| pair[0]["time"] == pair[1]["time"];
        assert!(records.windows(2).filter(|pair| repeats(pair)).count() > 60, "{kind}: parts repeat the time");
    }
}

/// A finding as far as the fault decides it.
fn check_finding(analysis: &Value, requirement: &str, expected: &Value) {
    let findings = analysis["findings"].as_array().expect("a list");
    let found: Vec<&Value> = findings.iter().filter(|finding| finding["requirement"] == requirement).collect();
    assert_eq!(found.len(), 1, "{requirement} in {findings:#?}");
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&found[0][key], value, "{requirement}: {key}");
    }
}

/// Splits off the findings of stray calls, and checks that they are worth a line each and no more.
fn without_strays(archive: &Archive, analysis: &Value) -> Vec<Value> {
    let findings = analysis["findings"].as_array().expect("a list").clone();
    let (strays, others): (Vec<Value>, Vec<Value>) =
        findings.into_iter().partition(|f| f["kind"] == "unlisted-blocked");
    let mut found = BTreeMap::new();
    for stray in &strays {
        assert_eq!((&stray["severity"], &stray["worked_before"]), (&json!("info"), &json!(false)), "{stray:#}");
        assert_eq!((&stray["rule"], &stray["direction"]), (&json!(STRAY_RULE), &json!("outbound")), "{stray:#}");
        let count = |key: &str| stray[key].as_u64().expect("a number");
        let port = stray["ports"][0].as_u64().expect("a port");
        found.insert(port, (count("denied_tuples"), count("remote_address_count")));
    }
    assert_eq!(found, archive.strays());
    others
}

#[test]
fn analyze_names_what_was_planted() {
    let blocked = "blocked-dependency";
    for kind in ["vnet4", "nsg2"] {
        let archive = Archive::new(kind, &faults(), &["--hours", "12"]);
        let truth = archive.truth();
        let denied = |fault: &str| -> u64 {
            let lines = truth.iter().filter(|line| line["fault"] == fault && line["decision"] == "deny");
            lines.map(|line| line["tuples"].as_u64().expect("a number")).sum()
        };
        let acl = |fault: &str| truth.iter().find(|line| line["fault"] == fault).map(|line| line["acl"].clone());
        let analysis = archive.analyze();
        let near = |fault: &str, verdict: &str, rule: &str| {
            json!({"kind": blocked, "verdict": verdict, "rule": rule, "vantage": "near", "subnet": SUBNET,
                "acl": acl(fault), "denied_tuples": denied(fault)})
        };
        check_finding(&analysis, "APIM-OUT-SQL", &near("blocked", "blocked", "UserRule_deny-sql"));
        // Allowed again from hour 9 on.
        check_finding(&analysis, "APIM-OUT-MONITOR", &near("partial", "recovered", "UserRule_deny-monitor"));
        check_finding(&analysis, "APIM-OUT-KEYVAULT", &near("recovered", "recovered", "UserRule_deny \"vault\""));
        let far = json!({"kind": blocked, "verdict": "blocked", "rule": "UserRule_deny-spokes", "vantage": "far",
            "direction": "outbound", "acl": acl("far-end"), "denied_tuples": denied("far-end")});
        check_finding(&analysis, "APIM-OUT-DNS", &far);
        let silent =
            json!({"kind": "unanswered-dependency", "verdict": "unanswered", "rule": "UserRule_allow-storage"});
        check_finding(&analysis, "APIM-OUT-STORAGE", &silent);
        // Strangers at a port of the control plane, which itself gets through.
        let restricted = json!({"kind": "source-restricted", "severity": "info", "rule": "DefaultRule_DenyAllInBound",
            "denied_tuples": denied("scanners")});
        check_finding(&analysis, "APIM-IN-MANAGEMENT", &restricted);
        assert_eq!(without_strays(&archive, &analysis).len(), 6, "{:#}", analysis["findings"]);
    }
}

#[test]
fn a_partial_fault_that_goes_on_is_partial() {
    let fault = json!({"fault": "partial", "requirement": "APIM-OUT-MONITOR", "from_hour": 4, "share": 0.4});
    let archive = Archive::new("vnet4", &[fault], &["--hours", "12"]);
    let expected = json!({"kind": "blocked-dependency", "verdict": "partial", "rule": "UserRule_deny-all-outbound"});
    check_finding(&archive.analyze(), "APIM-OUT-MONITOR", &expected);
}

#[test]
fn scanners_at_the_front_door_are_policy() {
    let fault = json!({"fault": "scanners", "requirement": "APIM-IN-CLIENT", "rule": "UserRule_block-list"});
    let archive = Archive::new("vnet4", &[fault], &["--hours", "12"]);
    let expected = json!({"kind": "source-restricted", "severity": "info", "rule": "UserRule_block-list"});
    check_finding(&archive.analyze(), "APIM-IN-CLIENT", &expected);
}

#[test]
fn an_archive_without_faults_has_stray_calls_alone() {
    for kind in KINDS {
        let archive = Archive::new(kind, &[], &["--hours", "6"]);
        let analysis = archive.analyze();
        assert_eq!(without_strays(&archive, &analysis), Vec::<Value>::new(), "{kind}");
        let status = &analysis["status"];
        assert_eq!((&status["word"], &status["exit"]), (&json!("OK"), &json!(0)), "{kind}: {status}");
        assert_eq!(analysis["causes"], json!([]), "{kind}");
        assert_eq!(archive.truth(), Vec::<Value>::new(), "{kind}");
        let denied = analysis["input"]["denied_tuples"].as_f64().expect("a number");
        let share = denied / analysis["input"]["tuples"].as_f64().expect("a number");
        assert!((0.11..0.13).contains(&share), "{kind}: {share}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = folder.path().join("faults.json");
    let new = folder.path().join("new");
    let new = new.to_str().expect("UTF-8");
    let check = |arguments: &[&str], says: &str| {
        let output = flowgap(&[&["generate"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?} says: {said}");
        assert!(!Path::new(new).exists(), "{arguments:?} wrote");
    };
    check(&[], "DIR");
    check(&[root().join("docs").to_str().expect("UTF-8")], "is not empty");
    check(&[root().join("Cargo.toml").to_str().expect("UTF-8")], "cannot write to");
    check(&[new, "--kind", "nsg3"], "vnet4, nsg2, nsg1");
    check(&[new, "--hours", "0"], "0 is not in 1..=87600");
    check(&[new, "--interfaces", "2001"], "2001 is not in 1..=2000");
    check(&[new, "--tuples-per-minute", "x"], "--tuples-per-minute");
    check(&[new, "--start", "yesterday"], "write a time like");
    check(&[new, "--start", "2026-05-04T00:30:00Z"], "at a full hour");
    check(&[new, "--start", "1999-05-04T00:00:00Z"], "from 2016");
    check(&[new, "--start", "2100-05-04T00:00:00Z"], "to 2090");
    check(&[new, "--faults", "nowhere.json"], "--faults nowhere.json: ");
    check(&[new, "--service-tags", "nowhere.json"], "--service-tags nowhere.json: ");
    let file = faults.to_str().expect("UTF-8");
    let check_faults = |text: &str, more: &[&str], says: &str| {
        std::fs::write(&faults, text).expect("a file");
        check(&[&[new, "--faults", file], more].concat(), &format!("--faults {file}: {says}"));
    };
    check_faults("{}", &[], "it is not a JSON array of faults: ");
    let entry = |text: &str| format!("[{{\"fault\":\"blocked\",\"requirement\":\"APIM-OUT-SQL\"}},{{{text}}}]");
    let sql = "\"requirement\":\"APIM-OUT-SQL\"";
    for (text, says) in [
        (sql.to_owned(), "entry 2, 'fault': it is missing"),
        (format!("\"fault\":\"broken\",{sql}"), "entry 2, 'fault': 'broken' is not one of blocked, partial"),
        ("\"fault\":\"blocked\",\"requirement\":\"SQL\"".to_owned(), "entry 2, 'requirement': 'SQL' is not one of"),
        (format!("\"fault\":\"blocked\",{sql},\"hour\":1"), "entry 2, 'hour': there is no such key"),
        (format!("\"fault\":\"blocked\",{sql},\"rule\":\"\""), "entry 2, 'rule': \"\" is not a non-empty string"),
        (format!("\"fault\":\"blocked\",{sql},\"from_hour\":-1"), "entry 2, 'from_hour': -1 is not a whole number"),
        (
            format!("\"fault\":\"blocked\",{sql},\"from_hour\":24"),
            "entry 2, 'from_hour': the last hour of the archive is 23",
        ),
        (format!("\"fault\":\"blocked\",{sql},\"to_hour\":25"), "entry 2, 'to_hour': it can be at most 24"),
        (format!("\"fault\":\"blocked\",{sql},\"share\":0.5"), "entry 2, 'share': only a partial fault has it"),
        (format!("\"fault\":\"partial\",{sql},\"share\":1"), "entry 2, 'share': 1 is not a number from 0.001 to 0.999"),
        (format!("\"fault\":\"recovered\",{sql}"), "entry 2, 'to_hour': a recovered fault needs it"),
        (format!("\"fault\":\"recovered\",{sql},\"to_hour\":24"), "entry 2, 'to_hour': it can be at most 23"),
        (format!("\"fault\":\"recovered\",{sql},\"from_hour\":4,\"to_hour\":4"), "entry 2, 'to_hour': it must be more"),
        (format!("\"fault\":\"scanners\",{sql}"), "scanners needs an inbound requirement"),
        (format!("\"fault\":\"blocked\",{sql},\"per_hour\":0"), "entry 2, 'per_hour': 0 is not a whole number"),
    ] {
        std::fs::write(&faults, entry(&text)).expect("a file");
        check(&[new, "--faults", file], says);
    }
    let unanswered = format!("[{{\"fault\":\"unanswered\",{sql}}}]");
    check_faults(&unanswered, &["--kind", "nsg1"], "entry 1, 'fault': logs of kind nsg1 count no packets");
}

#[test]
fn the_example_of_the_document_can_be_planted() {
    let page = std::fs::read_to_string(root().join("docs/generate.md")).expect("the page");
    let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let faults: Vec<Value> = serde_json::from_str(example).expect("JSON");
    let archive = Archive::new("vnet4", &faults, &[]);
    let mut planted: Vec<String> = archive.truth().iter().map(|line| line["fault"].to_string()).collect();
    planted.sort();
    planted.dedup();
    assert_eq!(planted.len(), 6, "{planted:?}");
}
