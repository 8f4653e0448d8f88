//! The reported cases themselves, where their folder is present; their README has the right answers.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::of_kind;
use crate::cases::{Run, check, run_over, says};
use crate::support::binary::{flowgap, root};

const SUBNET: [&str; 2] = ["--subnet", "10.50.1.0/24"];

struct Cases {
    folder: PathBuf,
    tags: String,
}

impl Cases {
    /// `None`, and the reason on stdout, where the folder is not there.
    fn open() -> Option<Self> {
        let folder = root().join("../shared/cases");
        let tags = root().join("../shared/data/ServiceTags_Public.json");
        let missing = [&folder, &tags].into_iter().find(|path| !path.exists());
        if let Some(path) = missing {
            println!("not checked: there is no {}", path.display());
            return None;
        }
        Some(Self { folder, tags: tags.to_str().expect("UTF-8").to_owned() })
    }

    fn archive(&self, case: &str) -> PathBuf {
        self.folder.join(case).join("insights-logs-flowlogflowevent")
    }

    /// Analyzes the archives of cases with the subnet and the tags of the README.
    fn analyze(&self, cases: &[&str]) -> Run {
        let archives: Vec<PathBuf> = cases.iter().map(|case| self.archive(case)).collect();
        self.analyze_all(&archives, &self.tags)
    }

    fn analyze_all(&self, archives: &[PathBuf], tags: &str) -> Run {
        let archives: Vec<&Path> = archives.iter().map(PathBuf::as_path).collect();
        run_over(&archives, &[&SUBNET[..], &["--service-tags", tags]].concat())
    }

    /// What `inspect` says of one file, and its exit status.
    fn inspect(&self, file: &str) -> (Value, Option<i32>) {
        let path = self.folder.join(file);
        let output = flowgap(&["inspect", path.to_str().expect("UTF-8"), "--format", "json"]);
        let inspection = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{file}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
        (inspection, output.status.code())
    }
}

/// Requirement and severity of each finding, in their order.
fn graded(run: &Run) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    run.findings().iter().map(|finding| (text(&finding["requirement"]), text(&finding["severity"]))).collect()
}

fn expect_graded(run: &Run, status: i32, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> = expected.iter().map(|(id, s)| ((*id).to_owned(), (*s).to_owned())).collect();
    assert_eq!(graded(run), expected, "{}", run.summary());
    assert_eq!(run.status, Some(status), "{}", run.summary());
}

const FIVE: [(&str, &str); 5] = [
    ("APIM-OUT-STORAGE", "critical"),
    ("APIM-OUT-SQL", "critical"),
    ("APIM-OUT-KEYVAULT", "critical"),
    ("APIM-OUT-ENTRA", "high"),
    ("APIM-OUT-MONITOR", "medium"),
];

#[test]
fn archives_that_were_right_stay_right() {
    let Some(cases) = Cases::open() else { return };
    expect_graded(&cases.analyze(&["20-activation-fails"]), 1, &FIVE);
    expect_graded(&cases.analyze(&["21-entra-forgotten"]), 1, &[("APIM-OUT-ENTRA", "high")]);
    expect_graded(&cases.analyze(&["28-not-the-network"]), 0, &[]);
}

#[test]
fn an_odd_time_beside_a_finding() {
    let Some(cases) = Cases::open() else { return };
    let odd = cases.folder.join("14-odd-tuples/one-bad-time.json");
    let (alone, both) = (
        cases.analyze(&["21-entra-forgotten"]),
        cases.analyze_all(&[cases.archive("21-entra-forgotten"), odd], &cases.tags),
    );
    expect_graded(&both, 1, &[("APIM-OUT-ENTRA", "high")]);
    check(both.find("APIM-OUT-ENTRA"), json!({"score": 60.0}));
    assert_eq!(both.analysis["findings"], alone.analysis["findings"]);
    check(&both.analysis["input"], json!({"malformed_tuples": 1, "last_flow": alone.analysis["input"]["last_flow"]}));
    let problem = &both.analysis["input"]["problems"][0];
    assert!(problem["blob"].as_str().is_some_and(|blob| blob.ends_with("one-bad-time.json")), "{problem}");
}

#[test]
fn no_record_is_passed_over_in_silence() {
    let Some(cases) = Cases::open() else { return };
    let read = |file: &str| {
        let (inspection, _) = cases.inspect(&format!("17-silent-shapes/{file}"));
        inspection["input"].clone()
    };
    // An object or a text where a list of one is meant, and keys in other case: the refused SQL flow is read.
    for file in ["flows-object.json", "keys-pascal.json", "tuples-string.json"] {
        check(
            &read(file),
            json!({"records": 1, "bad_records": 0, "tuples": 1, "denied_tuples": 1, "problem_count": 0}),
        );
    }
    // A list where an object is meant, without a flow in it: read, or bad with its place.
    let list = read("fr-array.json");
    assert_eq!(list["records"].as_u64().unwrap_or(9) + list["bad_records"].as_u64().unwrap_or(9), 1, "{list}");
    assert_eq!(list["problem_count"], list["bad_records"], "{list}");
    // No list of tuples at all.
    let bad = read("nsg-no-flows.json");
    check(&bad, json!({"bad_records": 1, "problem_count": 1}));
    check(&bad["problems"][0], json!({"record": 0}));
    // An audit log is another kind of log, and no damage.
    check(&read("keyvault.json"), json!({"bad_records": 0, "tuples": 0, "problem_count": 0}));
}

#[test]
fn a_private_endpoint_that_worked_before() {
    let Some(cases) = Cases::open() else { return };
    let run = cases.analyze(&["24-keyvault-private-endpoint"]);
    expect_graded(&run, 1, &[("APIM-OUT-KEYVAULT", "high")]);
    let finding = &run.findings()[0];
    // 100 x 0.9 x 0.6
    check(
        finding,
        json!({
            "kind": "unlisted-blocked", "score": 54.0, "rule": "UserRule_deny-vnet-out", "denied_tuples": 192,
            "ports": [443], "worked_before": true, "verdict": "blocked",
        }),
    );
    assert_eq!(finding["remote_addresses"][0]["ip"], "10.50.6.5");
    let minute = |key: &str| finding[key].as_str().unwrap_or_default()[..16].to_owned();
    assert!(minute("last_allowed_before").as_str() < "2026-05-04T08:00");
    assert_eq!(minute("first_denied"), "2026-05-04T08:01");
    assert!(finding["hint"].as_str().is_some_and(|hint| hint.contains("Key Vault")), "{finding:#}");
    check(&run.analysis["status"], json!({"word": "BLOCKED"}));
}

#[test]
fn names_refused_and_six_dependencies_silent() {
    let Some(cases) = Cases::open() else { return };
    let run = cases.analyze(&["25-custom-dns-denied"]);
    expect_graded(&run, 1, &[("APIM-OUT-DNS", "critical")]);
    let rows = run.analysis["coverage"].as_array().expect("a list");
    let silent: Vec<&str> = rows.iter().filter_map(|row| row["silent_since"].as_str()).collect();
    assert_eq!(silent.len(), 6, "{silent:?}");
    let latest = silent.iter().max().map(|time| &time[..16]);
    assert_eq!(latest, Some("2026-05-04T08:04"), "which is 08:05 to the nearest minute");
}

#[test]
fn tags_as_az_prints_them() {
    let Some(cases) = Cases::open() else { return };
    let archive = [cases.archive("20-activation-fails")];
    let path = |file: &str| cases.folder.join("30-az-cli-output").join(file).to_str().expect("UTF-8").to_owned();
    for file in ["servicetags.json", "servicetags-utf16.json"] {
        expect_graded(&cases.analyze_all(&archive, &path(file)), 1, &FIVE);
    }
    let output =
        flowgap(&["analyze", archive[0].to_str().expect("UTF-8"), "--service-tags", &path("servicetags-warning.json")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("servicetags-warning.json") && !said.contains("expected value at line"), "{said}");
}

#[test]
fn tag_files_without_some_names() {
    let Some(cases) = Cases::open() else { return };
    let archive = [cases.archive("20-activation-fails")];
    let path = |file: &str| cases.folder.join("33-missing-names").join(file).to_str().expect("UTF-8").to_owned();
    let regional = cases.analyze_all(&archive, &path("ServiceTags_Regional_20260420.json"));
    assert_eq!(regional.status, Some(1), "{}", regional.summary());
    assert_eq!(regional.findings().len(), 5, "{}", regional.summary());
    check(regional.find("APIM-OUT-STORAGE"), json!({"severity": "critical", "score": 95.0, "confidence": "confirmed"}));
    // The file lacks Entra ID, Key Vault and the connectors: what is refused on 443 outside of it may be any of them.
    let lacking = cases.analyze_all(&archive, &path("ServiceTags_Public_20260420.json"));
    assert_eq!(lacking.status, Some(1), "{}", lacking.summary());
    let [ambiguous] = of_kind(&lacking, "ambiguous-dependency")[..] else { panic!("{}", lacking.summary()) };
    check(ambiguous, json!({"severity": "medium", "denied_tuples": 168 + 112}));
    assert_eq!(ambiguous["candidates"], json!(["APIM-OUT-CONNECTORS", "APIM-OUT-ENTRA", "APIM-OUT-KEYVAULT"]));
}

#[test]
fn packed_logs_are_read_or_named() {
    let Some(cases) = Cases::open() else { return };
    let whole = [
        "PT1H.json.gz",
        "two-members.json.gz",
        "gzip-named.json",
        "plain-named.json.gz",
        "logs.tar",
        "logs.tar.gz",
        "logs.zip",
    ];
    for file in whole {
        let (inspection, status) = cases.inspect(&format!("34-packed/{file}"));
        check(&inspection["input"], json!({"records": 10, "tuples": 20, "bad_records": 0, "problem_count": 0}));
        assert_eq!(status, Some(0), "{file}");
    }
    for file in ["PT1H.json.bz2", "PT1H.json.xz"] {
        let path = cases.folder.join("34-packed").join(file);
        let output = flowgap(&["inspect", path.to_str().expect("UTF-8"), "--format", "json"]);
        let inspection: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let is_read = inspection["input"]["tuples"] == 20 && inspection["input"]["problem_count"] == 0;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), inspection["input"]["problems"]);
        let kind = file.rsplit('.').next().unwrap_or_default();
        assert!(is_read || said.contains(kind), "{file}: {said}");
        assert!(
            is_read || inspection["input"]["problem_count"].as_u64().is_none_or(|count| count <= 1),
            "{file}: {said}"
        );
    }
}

#[test]
fn a_control_plane_that_no_file_lists() {
    let Some(cases) = Cases::open() else { return };
    let alone = cases.analyze(&["39-control-plane-not-in-file"]);
    expect_graded(&alone, 1, &[("APIM-IN-MANAGEMENT", "high")]);
    // 100 x 0.8 x 0.85
    check(alone.find("APIM-IN-MANAGEMENT"), json!({"score": 68.0, "denied_tuples": 720, "outside_loaded_tags": 720}));
    says(alone.find("APIM-IN-MANAGEMENT"), "not in the loaded file");
    // Other addresses of it get in, and this one is refused in every hour.
    let together = cases.analyze(&["39-control-plane-not-in-file", "21-entra-forgotten"]);
    assert_eq!(together.status, Some(1), "{}", together.summary());
    check(
        together.find("APIM-IN-MANAGEMENT"),
        json!({"kind": "blocked-dependency", "severity": "high", "score": 68.0, "denied_tuples": 720}),
    );
}

#[test]
fn twelve_units_are_one_instance() {
    let Some(cases) = Cases::open() else { return };
    let archive = cases.archive("43-twelve-units");
    let run = run_over(&[&archive], &["--service-tags", &cases.tags]);
    expect_graded(&run, 1, &FIVE);
    run.findings().iter().for_each(|f| check(f, json!({"subnet": "10.50.1.0/24", "local_address_count": 12})));
    let causes = run.analysis["causes"].as_array().expect("a list");
    assert_eq!(causes.len(), 1, "{causes:?}");
    check(&causes[0], json!({"rule": "UserRule_deny-internet-outbound", "number": 1}));
}

#[test]
fn all_clients_refused_after_answered_calls() {
    let Some(cases) = Cases::open() else { return };
    let run = cases.analyze(&["44-all-clients-refused"]);
    expect_graded(&run, 1, &[("APIM-IN-CLIENT", "critical")]);
    check(run.find("APIM-IN-CLIENT"), json!({"score": 100.0, "allowed_24h": 239, "kind": "blocked-dependency"}));
    check(&run.analysis["scope"], json!({"vnet_mode": "external", "vnet_mode_origin": "proven"}));
}

#[test]
fn strangers_on_the_management_port() {
    let Some(cases) = Cases::open() else { return };
    let archive = cases.archive("45-strangers-on-3443");
    for tags in [vec![], vec!["--service-tags", &cases.tags]] {
        let run = run_over(&[&archive], &[&SUBNET[..], &tags].concat());
        expect_graded(&run, 0, &[("APIM-IN-MANAGEMENT", "info")]);
        check(run.find("APIM-IN-MANAGEMENT"), json!({"kind": "source-restricted", "denied_tuples": 432}));
    }
}
