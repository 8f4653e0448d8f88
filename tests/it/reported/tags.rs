//! Service tags: a loaded file never turns a red result green.

use serde_json::{Value, json};

use super::{TRAFFIC_MANAGER, TagFile, rank};
use crate::cases::{
    A, CLIENT, DENY, DENY_IN, Run, SUBNET, TAG_FILE, TAGGED, UNTAGGED, check, day, healthy, planted, run, says,
};
use crate::support::archive::{Log, inbound, outbound};

/// Addresses of Azure that the tag file does not list, as a service's newest ones.
const NEW_SQL: &str = "198.51.100.33";
const NEW_STORAGE: &str = "198.51.100.34";
const NEW_CONTROL_PLANE: &str = "198.51.100.35";

/// A day whose first eight hours are healthy. Afterwards SQL, Storage and the control plane are refused at addresses
/// that no file lists, once an hour.
fn cut_off() -> Log {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..8, &[]);
    healthy(&mut log, A, 8..24, &["APIM-OUT-SQL", "APIM-OUT-STORAGE", "APIM-IN-MANAGEMENT"]);
    for hour in 8..24 {
        log.denied(outbound(planted(hour), A, NEW_SQL, 1433), DENY);
        log.denied(outbound(planted(hour), A, NEW_STORAGE, 443), DENY);
        log.denied(inbound(planted(hour), NEW_CONTROL_PLANE, A, 3443), DENY_IN);
    }
    log
}

/// Worst severity of the findings that may be this requirement's.
fn worst(run: &Run, requirement: &str) -> usize {
    let may_be = |finding: &&Value| {
        finding["candidates"].as_array().is_some_and(|candidates| candidates.contains(&json!(requirement)))
    };
    run.findings().iter().filter(may_be).map(|finding| rank(Some(&finding["severity"]))).max().unwrap_or(0)
}

#[test]
fn no_doubtful_file_turns_a_red_result_green() {
    let log = cut_off();
    let without = run(&log, UNTAGGED);
    // 100 x 0.9 x 0.85 and 100 x 0.8 x 0.85: nothing gets through since 08:30. The control plane is no stranger,
    // because more than five of its calls were due after that.
    let sql = json!({"severity": "critical", "score": 76.5, "verdict": "blocked", "denied_tuples": 16});
    let management = json!({
        "kind": "blocked-dependency", "severity": "high", "score": 68.0, "verdict": "blocked", "denied_tuples": 16,
    });
    without.expect(1, 3);
    check(without.find("APIM-OUT-SQL"), sql.clone());
    check(without.find("APIM-IN-MANAGEMENT"), management.clone());
    let medium = rank(Some(&json!("medium")));
    assert_eq!(worst(&without, "APIM-OUT-STORAGE"), medium, "{}", without.summary());

    let lacking = ["Sql", "Storage", "ApiManagement"];
    let files = [
        ("stale", TagFile::new("ServiceTags_Public_20260302.json", |_| {})),
        // 412 is larger than any known number, and 300 is smaller than that of November 2025.
        ("without a date", TagFile::new("tags.json", |_| {})),
        ("old by its number", TagFile::new("tags.json", |file| file["changeNumber"] = json!(300))),
        ("of another cloud", TagFile::new("ServiceTags_20260504.json", |file| file["cloud"] = json!("China"))),
        ("without the names", TagFile::lacking("ServiceTags_Public_20260504.json", &lacking)),
        ("with regional names only", TagFile::regional("ServiceTags_Public_20260504.json")),
    ];
    for (kind, file) in &files {
        let with = run(&log, &["--subnet", SUBNET, "--service-tags", &file.path]);
        assert_eq!(with.status, Some(1), "{kind}: {}", with.summary());
        check(with.find("APIM-OUT-SQL"), sql.clone());
        check(with.find("APIM-IN-MANAGEMENT"), management.clone());
        assert!(worst(&with, "APIM-OUT-STORAGE") >= medium, "{kind}: {}", with.summary());
        let notice = match *kind {
            "stale" | "old by its number" => Some("service-tags-old"),
            "without a date" => Some("service-tags-undated"),
            "of another cloud" => Some("service-tags-other-cloud"),
            _ => None,
        };
        notice.into_iter().for_each(|code| assert!(with.notice(code).is_some(), "{kind}: {code}"));
    }
}

#[test]
fn a_file_of_another_cloud_counts_as_not_loaded() {
    let mut log = cut_off();
    // At addresses that the file lists, too.
    (8..24).for_each(|hour| log.denied(outbound(planted(hour), A, "192.0.2.34", 1433), "UserRule_deny-sql"));
    let file = TagFile::new("ServiceTags_20260504.json", |file| file["cloud"] = json!("AzureGovernment"));
    let (with, without) = (run(&log, &["--subnet", SUBNET, "--service-tags", &file.path]), run(&log, UNTAGGED));
    assert_eq!(with.analysis["findings"], without.analysis["findings"]);
    assert_eq!(with.analysis["coverage"], without.analysis["coverage"]);
    assert_eq!(with.status, without.status);
}

#[test]
fn a_file_that_lacks_a_name_leaves_only_that_service_open() {
    let file = TagFile::lacking("ServiceTags_Public_20260504.json", &["Storage"]);
    let with = run(&cut_off(), &["--subnet", SUBNET, "--service-tags", &file.path]);
    // 100 x 0.95 x 0.6: the other services on 443 answer no, because the file is fresh and has their names.
    check(
        with.find("APIM-OUT-STORAGE"),
        json!({
            "kind": "blocked-dependency", "severity": "high", "score": 57.0, "candidates": ["APIM-OUT-STORAGE"],
            "confidence": "possible",
        }),
    );
}

#[test]
fn a_regional_name_counts_for_the_service_inside_its_prefixes() {
    let file = TagFile::regional("ServiceTags_Public_20260504.json");
    let mut log = day(&["APIM-OUT-KEYVAULT"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, "192.0.2.50", 443), DENY));
    let with = run(&log, &["--subnet", SUBNET, "--service-tags", &file.path]);
    with.expect(1, 1);
    // 100 x 0.9 x 1
    check(
        with.find("APIM-OUT-KEYVAULT"),
        json!({"severity": "critical", "score": 90.0, "confidence": "confirmed", "candidates": ["APIM-OUT-KEYVAULT"]}),
    );
    assert_eq!(with.coverage("APIM-OUT-STORAGE", SUBNET), "allowed");
}

#[test]
fn a_fresh_tag_file_says_no_only_on_web_ports() {
    let with = run(&cut_off(), TAGGED);
    assert_eq!(with.status, Some(1), "{}", with.summary());
    let outside = |severity: &str, score: f64| json!({"severity": severity, "score": score, "confidence": "likely", "outside_loaded_tags": 16});
    check(with.find("APIM-OUT-SQL"), outside("critical", 76.5));
    check(with.find("APIM-IN-MANAGEMENT"), outside("high", 68.0));
    says(with.find("APIM-IN-MANAGEMENT"), "loaded");
    // On 443 the file is believed. What it does not list is listed as of no requirement, and said so.
    assert_eq!(worst(&with, "APIM-OUT-STORAGE"), 0, "{}", with.summary());
    let listed: Vec<&Value> = with.unmatched().iter().filter(|row| row["remote"] == NEW_STORAGE).collect();
    assert_eq!(listed.len(), 1, "{}", with.analysis["unmatched_denied"]);
    check(
        listed[0],
        json!({"port": 443, "denied_tuples": 16, "first_denied": crate::support::archive::at(planted(8))}),
    );
    let without = run(&cut_off(), UNTAGGED);
    check(without.find("APIM-OUT-SQL"), json!({"outside_loaded_tags": 0}));
}

#[test]
fn a_stale_tag_file_never_says_no() {
    let file = TagFile::new("ServiceTags_Public_20260302.json", |_| {});
    let mut log = day(&["APIM-OUT-MONITOR"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, NEW_STORAGE, 443), DENY));
    let with = run(&log, &["--subnet", SUBNET, "--service-tags", &file.path]);
    with.expect(0, 1);
    // 100 x 0.95 x 0.6, held down to medium: it may be any of six.
    check(
        &with.findings()[0],
        json!({
            "kind": "ambiguous-dependency", "severity": "medium", "score": 57.0, "requirement": null,
            "candidates": ["APIM-OUT-CONNECTORS", "APIM-OUT-ENTRA", "APIM-OUT-EVENTHUB", "APIM-OUT-KEYVAULT",
                "APIM-OUT-MONITOR", "APIM-OUT-STORAGE"],
        }),
    );
    // The date can be given where the name has none.
    let undated = TagFile::new("tags.json", |_| {});
    for (date, findings) in [("2026-05-04", 0), ("2026-03-02", 1)] {
        let options = ["--subnet", SUBNET, "--service-tags", &undated.path, "--service-tags-date", date];
        let dated = run(&log, &options);
        let ambiguous = super::of_kind(&dated, "ambiguous-dependency");
        assert_eq!(ambiguous.len(), findings, "{date}: {}", dated.summary());
        assert_eq!(dated.notice("service-tags-undated"), None, "{date}");
        assert_eq!(dated.notice("service-tags-old").is_some(), findings == 1, "{date}");
    }
}

#[test]
fn an_optional_inbound_row_does_not_blur_a_required_one() {
    let mut log = day(&[]);
    for hour in 0..24 {
        log.denied(inbound(planted(hour), CLIENT, A, 443), "UserRule_deny-clients");
        log.denied(inbound(planted(hour), TRAFFIC_MANAGER, A, 443), "UserRule_deny-probes");
    }
    let candidates = |file: Option<&str>, rule: &str| {
        let tags = file.map_or(vec![], |file| vec!["--service-tags", file]);
        let run = run(&log, &[&["--subnet", SUBNET, "--vnet-mode", "external"], &tags[..]].concat());
        let found = super::of_rule(&run, rule);
        assert_eq!(found.len(), 1, "{}", run.summary());
        // 100 x 1 x 1 of the clients, and 100 x 0.7 x 1 of the probes.
        check(found[0], json!({"kind": "blocked-dependency", "confidence": "confirmed", "verdict": "blocked"}));
        (found[0]["candidates"].clone(), found[0]["score"].clone())
    };
    let stale = TagFile::new("ServiceTags_Public_20260302.json", |_| {});
    let client = (json!(["APIM-IN-CLIENT"]), json!(100.0));
    for file in [None, Some(stale.path.as_str()), Some(TAG_FILE)] {
        assert_eq!(candidates(file, "UserRule_deny-clients"), client, "{file:?}");
    }
    assert_eq!(candidates(None, "UserRule_deny-probes"), client);
    let probes = (json!(["APIM-IN-TRAFFICMANAGER"]), json!(70.0));
    assert_eq!(candidates(Some(TAG_FILE), "UserRule_deny-probes"), probes);
}
