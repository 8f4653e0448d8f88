//! Cases that support engineers know: a small archive with planted truth each, and what an expert says of it.
//!
//! Expected scores are worked out by hand: 100 x impact x confidence (confirmed 1, likely 0.85, possible 0.6)
//! x activity (ongoing 1, quiet 0.5, recovered 0.2) x reach.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::archive::{ACL, Log, PLATFORM_ACL, Tuple, at, hours, inbound, minutes, outbound, seconds};
use crate::support::binary::{flowgap, program, root, stdout};

pub const SUBNET: &str = "10.30.1.0/24";
pub const A: &str = "10.30.1.4";
pub const B: &str = "10.30.1.5";
pub const TAG_FILE: &str = "testdata/tags/ServiceTags_Example_20260504.json";
pub const TAGGED: &[&str] = &["--subnet", SUBNET, "--service-tags", TAG_FILE];
pub const UNTAGGED: &[&str] = &["--subnet", SUBNET];

// What the tag file says of 192.0.2.0/24; the other documentation ranges have no tag.
pub const STORAGE: &str = "192.0.2.1";
pub const SQL: &str = "192.0.2.33";
pub const KEY_VAULT: &str = "192.0.2.49";
pub const MONITOR: &str = "192.0.2.65";
pub const CONTROL_PLANE: &str = "192.0.2.145";
pub const PROBE: &str = "168.63.129.16";
pub const DNS: &str = "10.30.0.4";
pub const CLIENT: &str = "203.0.113.20";

pub const DENY: &str = "UserRule_deny-all-outbound";
pub const DENY_IN: &str = "DefaultRule_DenyAllInBound";

/// Minute of the hour in which the routine runs, and in which the cases plant their denials.
pub const ROUTINE: i64 = minutes(1);
const PLANTED: i64 = minutes(30);

/// What a healthy instance does in an hour.
fn routine(hour: i64, local: &str) -> [(&'static str, Tuple); 9] {
    let time = hours(hour) + ROUTINE;
    [
        ("APIM-OUT-STORAGE", outbound(time, local, STORAGE, 443)),
        ("APIM-OUT-SQL", outbound(time, local, SQL, 1433)),
        ("APIM-OUT-KEYVAULT", outbound(time, local, KEY_VAULT, 443)),
        ("APIM-OUT-MONITOR", outbound(time, local, MONITOR, 443)),
        ("APIM-OUT-CERTIFICATES", outbound(time, local, "198.51.100.80", 80)),
        ("APIM-OUT-DNS", outbound(time, local, DNS, 53).udp()),
        ("APIM-OUT-NTP", outbound(time, local, "198.51.100.123", 123).udp()),
        ("APIM-IN-MANAGEMENT", inbound(time, CONTROL_PLANE, local, 3443)),
        ("APIM-IN-PROBE", inbound(time, PROBE, local, 6390).rule("DefaultRule_AllowAzureLoadBalancerInBound")),
    ]
}

/// Lets the instance at `local` do its routine, but for the rows named last.
pub fn healthy(log: &mut Log, local: &str, hours: impl IntoIterator<Item = i64>, without: &[&str]) {
    for hour in hours {
        let flows = routine(hour, local).into_iter().filter(|(id, _)| !without.contains(id));
        flows.for_each(|(_, flow)| log.allowed(flow));
    }
}

/// A healthy day, but for the rows named.
pub fn day(without: &[&str]) -> Log {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..24, without);
    log
}

/// Time of the planted event of an hour.
pub fn planted(hour: i64) -> i64 {
    hours(hour) + PLANTED
}

/// One denied call of SQL in each hour.
pub fn deny_sql(log: &mut Log, hours: impl IntoIterator<Item = i64>) {
    hours.into_iter().for_each(|hour| log.denied(outbound(planted(hour), A, SQL, 1433), DENY));
}

pub struct Run {
    pub status: Option<i32>,
    pub analysis: Value,
}

/// Analyzes one or more folders as one archive.
pub fn run_over(folders: &[&Path], arguments: &[&str]) -> Run {
    let folders: Vec<&str> = folders.iter().map(|folder| folder.to_str().expect("UTF-8")).collect();
    let output = flowgap(&[&["analyze"], &folders[..], &["--format", "json"], arguments].concat());
    let analysis = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    crate::schema::check(&stdout(&output));
    Run { status: output.status.code(), analysis }
}

pub fn run(log: &Log, arguments: &[&str]) -> Run {
    run_over(&[log.write().path()], arguments)
}

/// The report for people with its lines joined, for words may stand on either side of a line's end.
pub fn text(log: &Log, arguments: &[&str]) -> String {
    let folder = log.write();
    let output = flowgap(&[&["analyze", folder.path().to_str().expect("UTF-8"), "--details"], arguments].concat());
    let report = stdout(&output);
    for line in report.lines() {
        assert!(line.chars().count() <= 80 || !line.trim_start().contains(' '), "over 80 columns: {line}");
    }
    report.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Run {
    pub fn findings(&self) -> &[Value] {
        self.analysis["findings"].as_array().expect("a list")
    }

    pub fn summary(&self) -> String {
        let line = |f: &Value| {
            let keys =
                ["kind", "requirement", "severity", "score", "verdict", "state", "subnet", "rule", "denied_tuples"];
            keys.map(|key| format!("{key} {}", f[key])).join(", ")
        };
        let lines: Vec<String> = self.findings().iter().map(line).collect();
        format!("{} findings\n{}", lines.len(), lines.join("\n"))
    }

    /// The only finding with this value under this key.
    pub fn only(&self, key: &str, value: &str) -> &Value {
        let found: Vec<&Value> = self.findings().iter().filter(|f| f[key] == value).collect();
        assert_eq!(found.len(), 1, "{value}: {}", self.summary());
        found[0]
    }

    pub fn find(&self, requirement: &str) -> &Value {
        self.only("requirement", requirement)
    }

    pub fn expect(&self, status: i32, findings: usize) {
        assert_eq!(self.findings().len(), findings, "{}", self.summary());
        assert_eq!(self.status, Some(status), "{}", self.summary());
    }

    pub fn coverage(&self, requirement: &str, subnet: &str) -> &str {
        let rows = self.analysis["coverage"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["requirement"] == requirement && row["subnet"] == subnet);
        row.and_then(|row| row["verdict"].as_str())
            .unwrap_or_else(|| panic!("no coverage of {requirement} in {subnet}"))
    }

    pub fn notice(&self, code: &str) -> Option<&str> {
        let notices = self.analysis["notices"].as_array().expect("a list");
        notices.iter().find(|notice| notice["code"] == code).and_then(|notice| notice["message"].as_str())
    }

    pub fn expect_notice(&self, code: &str) -> &str {
        self.notice(code).unwrap_or_else(|| panic!("no notice {code} in {}", self.analysis["notices"]))
    }

    pub fn unmatched(&self) -> &[Value] {
        self.analysis["unmatched_denied"]["listed"].as_array().expect("a list")
    }
}

/// Compares the given keys only, also of objects inside.
pub fn check(got: &Value, expected: Value) {
    let mut found = Vec::new();
    differences("", got, &expected, &mut found);
    assert!(found.is_empty(), "{}\nin {got:#}", found.join("\n"));
}

fn differences(path: &str, got: &Value, expected: &Value, found: &mut Vec<String>) {
    match expected {
        Value::Object(keys) => {
            for (key, value) in keys {
                differences(&format!("{path}/{key}"), &got[key.as_str()], value, found);
            }
        }
        _ if got != expected => found.push(format!("{path} is {got}, not {expected}")),
        _ => {}
    }
}

pub fn says(finding: &Value, words: &str) {
    let explanation = finding["explanation"].as_str().expect("text");
    assert!(explanation.to_lowercase().contains(&words.to_lowercase()), "'{words}' is not in: {explanation}");
}

#[test]
fn a_healthy_day_has_no_finding() {
    let run = run(&day(&[]), TAGGED);
    run.expect(0, 0);
    for (id, _) in routine(0, A) {
        assert_eq!(run.coverage(id, SUBNET), "allowed", "{id}");
    }
    assert_eq!(run.coverage("APIM-OUT-EVENTHUB", SUBNET), "no-evidence");
    // Nobody called the gateway: no evidence is not proof, even on a good day.
    assert!(run.expect_notice("no-evidence").contains("APIM-IN-CLIENT-VNET"));
}

#[test]
fn sql_dead_for_a_day_after_a_month_of_health() {
    let mut log = Log::vnet();
    healthy(&mut log, A, (-720..0).step_by(6), &[]);
    healthy(&mut log, A, 0..25, &["APIM-OUT-SQL"]);
    for hour in 1..=24 {
        // Each attempt is tried again after one second, and after seven.
        for retry in [0, 1, 7] {
            log.denied(outbound(planted(hour) + seconds(retry), A, SQL, 1433).leaving(50_000), DENY);
        }
    }
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    let finding = run.find("APIM-OUT-SQL");
    // 100 x 0.9 x 1 x 1 x 1
    check(
        finding,
        json!({
            "rank": 1, "kind": "blocked-dependency", "severity": "critical", "score": 90.0, "verdict": "blocked",
            "state": "ongoing", "confidence": "confirmed", "reach": 1.0, "candidates": ["APIM-OUT-SQL"],
            "direction": "outbound", "vantage": "near", "subnet": SUBNET, "protocol": "TCP", "ports": [1433],
            "acl": ACL, "rule": DENY, "rule_origin": "user",
        }),
    );
    check(
        finding,
        json!({
            "denied_tuples": 72, "denied_tuples_24h": 72, "allowed_24h": 0,
            "first_denied": at(planted(1)), "last_denied": at(planted(24) + seconds(7)),
            "last_allowed_before": at(hours(-6) + ROUTINE), "first_allowed_after": null,
            "local_addresses": [{"ip": A, "name": null, "denied_tuples": 72}],
            "remote_addresses": [{"ip": SQL, "name": null, "service_tag": "Sql", "denied_tuples": 72}],
            "remote_address_count": 1, "outside_loaded_tags": 0,
            "fix": {"kind": "allow-rule", "direction": "outbound", "source": "VirtualNetwork", "destination": "Sql",
                "protocol": "TCP"},
        }),
    );
    says(finding, "2026-05-03 18:01 UTC");
    let cause = &run.analysis["causes"][0];
    check(cause, json!({"acl": ACL, "rule": DENY, "max_severity": "critical", "findings": [finding["id"]]}));
    assert_eq!(run.coverage("APIM-OUT-SQL", SUBNET), "blocked");
    assert_eq!(run.coverage("APIM-OUT-STORAGE", SUBNET), "allowed");
    assert!(text(&log, TAGGED).contains("2026-05-03 18:01 UTC"), "the report says until when it worked");
}

/// Clients of an external gateway, and those that it turns away.
pub fn gateway(clients: i64, scanners: i64) -> Log {
    let mut log = day(&[]);
    for nr in 0..clients {
        let client = format!("203.0.113.{}", nr % 250 + 1);
        let port = 2_000 + (nr / 250) as u16;
        log.allowed(inbound(hours(nr % 24) + minutes(2), &client, A, 443).leaving(port));
    }
    for nr in 0..scanners {
        let scanner = format!("198.51.100.{}", nr % 250 + 1);
        log.denied(inbound(planted(nr % 24), &scanner, A, 443), "UserRule_deny-bad-addresses");
    }
    log
}

/// 2,000 calls stand for those of a million clients.
#[test]
fn scanners_refused_by_a_healthy_gateway_are_policy() {
    let external = [TAGGED, &["--vnet-mode", "external"]].concat();
    let few = run(&gateway(2_000, 48), &external);
    few.expect(0, 1);
    // 100 x 1 x 1 x 1 x 48/2048 = 2.34
    check(
        few.find("APIM-IN-CLIENT"),
        json!({
            "kind": "source-restricted", "severity": "info", "score": 2.3, "verdict": "partial", "state": "ongoing",
            "confidence": "confirmed", "denied_tuples": 48, "allowed_24h": 2000, "remote_address_count": 48,
            "rule": "UserRule_deny-bad-addresses",
        }),
    );
    assert_eq!(few.analysis["causes"], json!([]), "nothing is to blame");
    // Also where more are turned away than let in: 100 x 1 x 1 x 1 x 360/480
    let many = run(&gateway(120, 360), &external);
    many.expect(0, 1);
    check(many.find("APIM-IN-CLIENT"), json!({"kind": "source-restricted", "severity": "info", "score": 75.0}));
}

#[test]
fn a_gateway_that_refuses_every_client_is_an_outage() {
    let external = [TAGGED, &["--vnet-mode", "external"]].concat();
    let mut log = day(&[]);
    (0..4).for_each(|hour| (0..5).for_each(|n| log.allowed(inbound(hours(hour) + minutes(10 + n), CLIENT, A, 443))));
    (4..24).for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 443), DENY_IN));
    let dead = run(&log, &external);
    dead.expect(1, 1);
    let client = dead.find("APIM-IN-CLIENT");
    check(
        client,
        json!({"kind": "blocked-dependency", "severity": "critical", "verdict": "blocked", "allowed_24h": 20}),
    );
    assert_eq!(dead.analysis["causes"][0]["rule"], DENY_IN);
    // A few refusals at a quiet time are no outage, nor is the last word of the logs.
    for denied in [20..24, 23..24] {
        let mut log = day(&[]);
        (0..5).for_each(|hour| log.allowed(inbound(planted(hour), CLIENT, A, 443)));
        denied.for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 443), DENY_IN));
        check(run(&log, &external).find("APIM-IN-CLIENT"), json!({"kind": "source-restricted", "severity": "info"}));
    }
}

#[test]
fn clients_refused_in_an_unknown_mode_are_at_most_medium() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 443), DENY_IN));
    let unknown = run(&log, TAGGED);
    unknown.expect(0, 1);
    // 100 x 1 x 0.6 x 1 x 1, which would be high
    check(
        unknown.find("APIM-IN-CLIENT"),
        json!({"kind": "blocked-dependency", "severity": "medium", "score": 60.0, "confidence": "possible"}),
    );
    unknown.expect_notice("vnet-mode-unknown");
    let external = run(&log, &[TAGGED, &["--vnet-mode", "external"]].concat());
    external.expect(1, 1);
    check(external.find("APIM-IN-CLIENT"), json!({"severity": "critical", "score": 100.0, "confidence": "confirmed"}));
    assert_eq!(external.notice("vnet-mode-unknown"), None);
    let internal = run(&log, &[TAGGED, &["--vnet-mode", "internal"]].concat());
    internal.expect(0, 0);
    assert_eq!(internal.analysis["unmatched_denied"]["inbound_internet_tuples"], 24);
}

#[test]
fn the_control_plane_refused_on_3443() {
    let mut log = day(&["APIM-IN-MANAGEMENT"]);
    (0..24).for_each(|hour| log.denied(inbound(planted(hour), CONTROL_PLANE, A, 3443), DENY_IN));
    let untagged = run(&log, UNTAGGED);
    untagged.expect(1, 1);
    // 100 x 0.8 x 0.85 x 1 x 1
    check(
        untagged.find("APIM-IN-MANAGEMENT"),
        json!({
            "kind": "blocked-dependency", "severity": "high", "score": 68.0, "confidence": "likely",
            "verdict": "blocked", "direction": "inbound", "rule": DENY_IN, "rule_origin": "default",
            "remote_addresses": [{"ip": CONTROL_PLANE, "name": null, "service_tag": null, "denied_tuples": 24}],
            "fix": {"kind": "allow-rule", "direction": "inbound", "source": "ApiManagement"},
        }),
    );
    untagged.expect_notice("service-tags-missing");
    // 100 x 0.8 x 1 x 1 x 1
    let tagged = run(&log, TAGGED);
    check(tagged.find("APIM-IN-MANAGEMENT"), json!({"severity": "critical", "score": 80.0, "confidence": "confirmed"}));
    assert_eq!(tagged.notice("service-tags-missing"), None);
}

#[test]
fn scanners_on_a_healthy_3443_are_noise() {
    let mut log = day(&[]);
    (14..24).for_each(|hour| log.denied(inbound(planted(hour), "198.51.100.66", A, 3443), DENY_IN));
    // A fresh file may lack the newest addresses of the control plane: 100 x 0.8 x 0.85 x 1 x 10/34 with and without.
    for arguments in [TAGGED, UNTAGGED] {
        let run = run(&log, arguments);
        run.expect(0, 1);
        check(
            run.find("APIM-IN-MANAGEMENT"),
            json!({
                "kind": "source-restricted", "severity": "info", "score": 20.0, "verdict": "partial",
                "allowed_24h": 24, "denied_tuples_24h": 10,
            }),
        );
    }
}

#[test]
fn monitor_alone_blocked_is_ambiguous_without_tags() {
    let mut log = day(&["APIM-OUT-MONITOR"]);
    (8..24).for_each(|hour| log.denied(outbound(planted(hour), A, MONITOR, 443), DENY));
    let untagged = run(&log, UNTAGGED);
    untagged.expect(0, 1);
    // 100 x 0.95 x 0.6 x 1 x (0.6 + 0.4 x 16/64), the 48 allowed flows being of Storage and Key Vault
    check(
        &untagged.findings()[0],
        json!({
            "kind": "ambiguous-dependency", "severity": "medium", "score": 39.9, "verdict": "partial",
            "confidence": "possible", "reach": 0.7, "requirement": null, "denied_tuples": 16, "allowed_24h": 48,
            "candidates": ["APIM-OUT-CONNECTORS", "APIM-OUT-ENTRA", "APIM-OUT-EVENTHUB", "APIM-OUT-KEYVAULT",
                "APIM-OUT-MONITOR", "APIM-OUT-STORAGE"],
            "rule": DENY, "acl": ACL, "fix": {"kind": "load-service-tags"},
        }),
    );
    untagged.expect_notice("service-tags-missing");
    assert_eq!(untagged.coverage("APIM-OUT-MONITOR", SUBNET), "indistinguishable");
    assert_eq!(untagged.coverage("APIM-OUT-STORAGE", SUBNET), "indistinguishable");
    assert_eq!(untagged.analysis["causes"][0]["rule"], DENY);
    let report = text(&log, UNTAGGED).to_lowercase();
    assert!(report.contains("--service-tags") || report.contains("service tags"), "{report}");
    // With tags it has a name: 100 x 0.4 x 1 x 1 x 1
    let tagged = run(&log, TAGGED);
    tagged.expect(0, 1);
    check(
        tagged.find("APIM-OUT-MONITOR"),
        json!({"kind": "blocked-dependency", "severity": "medium", "score": 40.0, "verdict": "blocked"}),
    );
}

#[test]
fn of_two_subnets_one_is_cut_from_storage() {
    let (other, remote) = ("10.30.2.0/24", "10.30.2.4");
    let acl = ACL.replace("nsg-apim-example", "nsg-apim-second");
    let mut log = day(&[]);
    healthy(&mut log, remote, 0..24, &["APIM-OUT-STORAGE"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), remote, STORAGE, 443).acl(&acl), DENY));
    let run = run(&log, &[TAGGED, &["--subnet", other]].concat());
    run.expect(1, 1);
    // 100 x 0.95 x 1 x 1 x 1
    check(
        run.find("APIM-OUT-STORAGE"),
        json!({"severity": "critical", "score": 95.0, "verdict": "blocked", "subnet": other, "acl": acl, "allowed_24h": 0}),
    );
    assert_eq!(run.coverage("APIM-OUT-STORAGE", other), "blocked");
    for (id, _) in routine(0, A) {
        assert_eq!(run.coverage(id, SUBNET), "allowed", "{id}");
        if id != "APIM-OUT-STORAGE" {
            assert_eq!(run.coverage(id, other), "allowed", "{id}");
        }
    }
}

#[test]
fn a_regional_tag_lets_some_of_storage_through() {
    let mut log = day(&["APIM-OUT-STORAGE"]);
    for hour in 0..24 {
        for regional in ["192.0.2.17", "192.0.2.18", "192.0.2.19"] {
            log.allowed(outbound(hours(hour) + ROUTINE, A, regional, 443).rule("UserRule_allow-storage-westeurope"));
        }
        let global = if hour % 2 == 0 { "192.0.2.1" } else { "192.0.2.2" };
        log.denied(outbound(planted(hour), A, global, 443), DENY);
    }
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    // 100 x 0.95 x 1 x 1 x (0.6 + 0.4 x 24/96)
    check(
        run.find("APIM-OUT-STORAGE"),
        json!({
            "kind": "blocked-dependency", "severity": "high", "score": 66.5, "verdict": "partial", "state": "ongoing",
            "confidence": "confirmed", "reach": 0.7, "denied_tuples_24h": 24, "allowed_24h": 72,
            "remote_addresses": [
                {"ip": "192.0.2.1", "name": null, "service_tag": "Storage", "denied_tuples": 12},
                {"ip": "192.0.2.2", "name": null, "service_tag": "Storage", "denied_tuples": 12},
            ],
            "remote_address_count": 2,
        }),
    );
    assert_eq!(run.coverage("APIM-OUT-STORAGE", SUBNET), "partial");
    assert!(text(&log, TAGGED).contains("192.0.2.2"), "the report names the addresses");
}

#[test]
fn forced_tunnelling_swallows_what_the_nsg_lets_through() {
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| log.unanswered(outbound(planted(hour), A, SQL, 1433)));
    let sql = run(&log, TAGGED);
    sql.expect(1, 2);
    // 100 x 0.9 x 1 x 1 x 24/24
    check(
        sql.find("APIM-OUT-SQL"),
        json!({
            "kind": "unanswered-dependency", "severity": "critical", "score": 90.0, "verdict": "unanswered",
            "state": "ongoing", "confidence": "confirmed", "acl": ACL, "rule": "UserRule_allow-apim-out",
            "denied_tuples": 0, "first_denied": null, "last_denied": null,
            "fix": {"kind": "route", "source": null, "destination": null, "ports": []},
        }),
    );
    // 100 x 1 x 0.85 x 1 x 24/24
    check(
        sql.only("kind", "forced-tunnelling-suspected"),
        json!({
            "severity": "critical", "score": 85.0, "confidence": "likely", "requirement": null, "acl": null,
            "rule": null, "candidates": ["APIM-OUT-SQL"], "subnet": SUBNET, "fix": {"kind": "route"},
        }),
    );
    assert_eq!(sql.coverage("APIM-OUT-SQL", SUBNET), "unanswered");
    let causes = sql.analysis["causes"].as_array().expect("a list");
    assert!(!causes.is_empty() && causes.iter().all(|cause| cause["kind"] == "no-answer"), "no rule is to blame");
    for finding in sql.findings() {
        assert!(finding["fix"]["note"].as_str().is_some_and(|note| note.contains("NSG")), "{}", finding["fix"]);
    }
    assert!(text(&log, TAGGED).to_lowercase().contains("route"));
}

#[test]
fn forced_tunnelling_counts_an_address_of_several_findings_once() {
    let mut log = day(&["APIM-OUT-SQL"]);
    for hour in 0..24 {
        let rule = if hour < 12 { "UserRule_allow-sql" } else { "UserRule_allow-apim-out" };
        log.unanswered(outbound(planted(hour), A, SQL, 1433).rule(rule));
    }
    let run = run(&log, TAGGED);
    run.expect(1, 3);
    let tunnel = run.only("kind", "forced-tunnelling-suspected");
    check(tunnel, json!({"sent_tuples": 24, "local_address_count": 1, "remote_address_count": 1}));
}

#[test]
fn two_dependencies_half_unanswered_suggest_forced_tunnelling() {
    let mut log = day(&["APIM-OUT-STORAGE", "APIM-OUT-KEYVAULT"]);
    for hour in 0..24 {
        for flow in [outbound(planted(hour), A, STORAGE, 443), outbound(planted(hour), A, KEY_VAULT, 443)] {
            if hour % 2 == 0 { log.allowed(flow) } else { log.unanswered(flow) }
        }
    }
    let run = run(&log, TAGGED);
    run.expect(0, 3);
    // 100 x 0.95 x 12/24, 100 x 0.9 x 12/24, 100 x 1 x 0.85 x 24/48
    check(run.find("APIM-OUT-STORAGE"), json!({"rank": 1, "severity": "medium", "score": 47.5, "reach": 0.5}));
    check(run.find("APIM-OUT-KEYVAULT"), json!({"rank": 2, "severity": "medium", "score": 45.0, "reach": 0.5}));
    check(
        run.only("kind", "forced-tunnelling-suspected"),
        json!({"rank": 3, "severity": "medium", "score": 42.5, "candidates": ["APIM-OUT-KEYVAULT", "APIM-OUT-STORAGE"]}),
    );
}

#[test]
fn silence_counts_only_where_counters_can_be_believed() {
    let unanswered = |log: &mut Log| {
        (0..24).for_each(|hour| log.unanswered(outbound(planted(hour), A, SQL, 1433)));
    };
    let mut log = Log::nsg();
    unanswered(&mut log);
    let silent = run(&log, TAGGED);
    // One of eleven rows is too little evidence.
    silent.expect(3, 0);
    silent.expect_notice("nsg-format-only");
    silent.expect_notice("return-counters-unreliable");
    assert_eq!(silent.coverage("APIM-OUT-SQL", SUBNET), "allowed");
    healthy(&mut log, A, 0..24, &["APIM-OUT-SQL"]);
    let telling = run(&log, TAGGED);
    telling.expect(1, 2);
    check(
        telling.find("APIM-OUT-SQL"),
        json!({
            "kind": "unanswered-dependency", "acl": ACL.to_uppercase(), "remote_address_count": 1,
            "remote_addresses": [{"ip": SQL, "name": null, "service_tag": "Sql", "denied_tuples": 0}],
        }),
    );
    telling.expect_notice("nsg-format-only");
    assert_eq!(telling.notice("return-counters-unreliable"), None);
    // The platform's own flows are answered or not as it likes.
    let mut log = day(&["APIM-OUT-SQL"]);
    let platform = |hour| outbound(planted(hour), A, SQL, 1433).rule("PlatformRule").acl(PLATFORM_ACL);
    (0..24).for_each(|hour| log.unanswered(platform(hour)));
    run(&log, TAGGED).expect(0, 0);
}

#[test]
fn an_nsg_log_tells_of_denials_too() {
    let mut log = Log::nsg();
    healthy(&mut log, A, 0..24, &["APIM-OUT-SQL"]);
    deny_sql(&mut log, 0..24);
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    // 100 x 0.9 x 1 x 1 x 1
    check(
        run.find("APIM-OUT-SQL"),
        json!({
            "kind": "blocked-dependency", "severity": "critical", "score": 90.0, "verdict": "blocked",
            "acl": ACL.to_uppercase(), "rule": DENY, "denied_tuples": 24, "last_denied": at(planted(23)),
        }),
    );
    run.expect_notice("nsg-format-only");
}

#[test]
fn a_log_of_denials_only_leaves_the_share_unknown() {
    let mut log = Log::vnet();
    deny_sql(&mut log, 0..24);
    (0..24).for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 443), DENY_IN));
    let run = run(&log, &[TAGGED, &["--vnet-mode", "external"]].concat());
    // Neither fails the run, and two of eleven rows are too little evidence.
    run.expect(3, 2);
    // 100 x 0.9 x 1 x 1 x 0.5
    check(
        run.find("APIM-OUT-SQL"),
        json!({"kind": "blocked-dependency", "severity": "medium", "score": 45.0, "verdict": "share-unknown", "reach": 0.5}),
    );
    // 100 x 1 x 1 x 1 x 0.5, held down: scanners are denied everywhere
    check(
        run.find("APIM-IN-CLIENT"),
        json!({"kind": "blocked-dependency", "severity": "low", "score": 50.0, "verdict": "share-unknown"}),
    );
    run.expect_notice("allowed-not-logged");
}

#[test]
fn application_gateway_refused_in_internal_mode() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.denied(inbound(planted(hour), "10.30.9.7", A, 443), DENY_IN));
    let run = run(&log, &[TAGGED, &["--vnet-mode", "internal"]].concat());
    run.expect(1, 1);
    // 100 x 1 x 1 x 1 x 1: internal mode confirms the row.
    check(
        run.find("APIM-IN-CLIENT-VNET"),
        json!({
            "kind": "blocked-dependency", "severity": "critical", "score": 100.0, "verdict": "blocked",
            "confidence": "confirmed", "direction": "inbound", "vantage": "near", "rule": DENY_IN,
            "remote_addresses": [{"ip": "10.30.9.7", "name": null, "service_tag": null, "denied_tuples": 24}],
        }),
    );
}

#[test]
fn dns_denied_comes_first() {
    let mut log = day(&["APIM-OUT-DNS", "APIM-OUT-SQL", "APIM-OUT-MONITOR"]);
    deny_sql(&mut log, 0..24);
    for hour in 0..24 {
        log.denied(outbound(planted(hour), A, DNS, 53).udp(), DENY);
        log.denied(outbound(planted(hour) + seconds(5), A, DNS, 53).udp(), DENY);
        log.denied(outbound(planted(hour), A, MONITOR, 443), DENY);
    }
    let run = run(&log, TAGGED);
    run.expect(1, 3);
    // 100 x 0.9 x 1 x 1 x 1 both; of equal scores the one with more denials leads
    check(
        run.find("APIM-OUT-DNS"),
        json!({"rank": 1, "severity": "critical", "score": 90.0, "confidence": "confirmed", "protocol": "UDP", "ports": [53]}),
    );
    check(run.find("APIM-OUT-SQL"), json!({"rank": 2, "severity": "critical", "score": 90.0}));
    check(run.find("APIM-OUT-MONITOR"), json!({"rank": 3, "severity": "medium", "score": 40.0}));
    // Their addresses are in their own tags, so their names had been resolved.
    for id in ["APIM-OUT-SQL", "APIM-OUT-MONITOR"] {
        assert_eq!(run.find(id)["follows_dns"], false, "{id}");
    }
    let causes = run.analysis["causes"].as_array().expect("a list");
    assert_eq!(causes.len(), 1, "one rule is to blame");
    check(&causes[0], json!({"rule": DENY, "max_severity": "critical", "denied_tuples": 96}));
    assert_eq!(causes[0]["findings"].as_array().map(Vec::len), Some(3));
}

#[test]
fn fixed_three_hours_ago_does_not_fail_the_run() {
    let mut log = Log::vnet();
    healthy(&mut log, A, 1..25, &["APIM-OUT-SQL"]);
    let works = [1, 2, 21, 22, 23, 24];
    works.into_iter().for_each(|hour| log.allowed(outbound(hours(hour) + ROUTINE, A, SQL, 1433)));
    deny_sql(&mut log, 3..=20);
    let recovered = run(&log, TAGGED);
    recovered.expect(0, 1);
    // 100 x 0.9 x 1 x 0.2 x (0.6 + 0.4 x 18/20) = 17.28
    check(
        recovered.find("APIM-OUT-SQL"),
        json!({
            "kind": "blocked-dependency", "severity": "low", "score": 17.3, "verdict": "recovered", "state": "recovered",
            "reach": 0.96, "denied_tuples_24h": 18, "allowed_24h": 2, "last_denied": at(planted(20)),
            "last_allowed_before": at(hours(2) + ROUTINE), "first_allowed_after": at(hours(21) + ROUTINE),
        }),
    );
    assert_eq!(recovered.coverage("APIM-OUT-SQL", SUBNET), "recovered");
    // Less than an hour after the last denial proves nothing: the flow of 21:01 comes 31 minutes after it.
    let early = run(&log, &[TAGGED, &["--to", "2026-05-04T21:30:00Z"]].concat());
    early.expect(1, 1);
    check(early.find("APIM-OUT-SQL"), json!({"verdict": "blocked", "state": "ongoing", "score": 90.0}));
    // Nor does what the platform lets through.
    let mut log = day(&["APIM-OUT-SQL"]);
    deny_sql(&mut log, 0..=20);
    let platform = |hour| outbound(planted(hour), A, SQL, 1433).rule("PlatformRule").acl(PLATFORM_ACL);
    (22..24).for_each(|hour| log.allowed(platform(hour)));
    let platform = run(&log, TAGGED);
    platform.expect(1, 1);
    check(
        platform.find("APIM-OUT-SQL"),
        json!({"verdict": "blocked", "state": "ongoing", "first_allowed_after": null}),
    );
}

#[test]
fn last_seen_months_ago_is_quiet() {
    let mut log = day(&["APIM-OUT-SQL"]);
    healthy(&mut log, A, -2400..-2376, &["APIM-OUT-SQL"]);
    deny_sql(&mut log, -2390..-2380);
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    // 100 x 0.9 x 1 x 0.5 x 1
    check(
        run.find("APIM-OUT-SQL"),
        json!({
            "severity": "medium", "score": 45.0, "verdict": "blocked", "state": "quiet", "denied_tuples": 10,
            "first_denied": at(planted(-2390)), "last_denied": at(planted(-2381)), "last_allowed_before": null,
        }),
    );
}

#[test]
fn an_nsg_at_the_far_end_blocks_just_as_well() {
    let acl = ACL.replace("nsg-apim-example", "nsg-dns-servers");
    let mut log = day(&["APIM-OUT-DNS"]);
    (0..24)
        .for_each(|hour| log.denied(outbound(planted(hour), A, DNS, 53).udp().far().acl(&acl), "UserRule_deny-spokes"));
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    // 100 x 0.9 x 1 x 1 x 1
    check(
        run.find("APIM-OUT-DNS"),
        json!({
            "severity": "critical", "score": 90.0, "verdict": "blocked", "direction": "outbound", "vantage": "far",
            "subnet": SUBNET, "acl": acl, "rule": "UserRule_deny-spokes",
            "local_addresses": [{"ip": A, "name": null, "denied_tuples": 24}],
            "remote_addresses": [{"ip": DNS, "name": null, "service_tag": null, "denied_tuples": 24}],
        }),
    );
}

#[test]
fn no_nsg_rule_opens_what_an_admin_rule_or_encryption_denies() {
    let acl = "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg-hub-example/providers/\
        Microsoft.Network/networkManagers/avnm-example/securityAdminConfigurations/baseline";
    let check_fix = |acl: &str, rule: &str, encryption: &'static str, origin: &str, kind: &str| {
        let mut log = day(&["APIM-OUT-SQL"]);
        let flow = |hour| outbound(planted(hour), A, SQL, 1433).acl(acl).encryption(encryption);
        (0..24).for_each(|hour| log.denied(flow(hour), rule));
        let run = run(&log, TAGGED);
        run.expect(1, 1);
        let finding = run.find("APIM-OUT-SQL");
        check(finding, json!({"score": 90.0, "acl": acl, "rule": rule, "rule_origin": origin, "fix": {"kind": kind}}));
        let note = finding["fix"]["note"].as_str().expect("text");
        assert!(note.to_lowercase().contains("no nsg rule"), "{note}");
    };
    check_fix(acl, "BlockDatabasePortsToInternet", "NX", "admin", "admin-rule");
    check_fix("unspecified", "unspecified", "NX_NOT_ACCEPTED", "encryption", "encryption");
}

#[test]
fn refused_health_probes_are_critical() {
    let mut log = day(&["APIM-IN-PROBE"]);
    (0..24).for_each(|hour| log.denied(inbound(planted(hour), PROBE, A, 6390), "UserRule_deny-all-inbound"));
    let run = run(&log, UNTAGGED);
    run.expect(1, 1);
    // 100 x 0.95 x 1 x 1 x 1
    check(
        run.find("APIM-IN-PROBE"),
        json!({
            "kind": "blocked-dependency", "severity": "critical", "score": 95.0, "verdict": "blocked",
            "confidence": "confirmed", "rule": "UserRule_deny-all-inbound", "ports": [6390],
            "fix": {"kind": "allow-rule", "direction": "inbound", "source": "AzureLoadBalancer"},
        }),
    );
}

#[test]
fn documentation_addresses_are_public() {
    let mut log = day(&["APIM-OUT-CERTIFICATES"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, "198.51.100.80", 80), DENY));
    log.denied(inbound(planted(23), CLIENT, A, 22), DENY_IN);
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    // 100 x 0.6 x 0.6 x 1 x 1
    check(
        run.find("APIM-OUT-CERTIFICATES"),
        json!({"severity": "medium", "score": 36.0, "confidence": "possible", "verdict": "blocked"}),
    );
    check(&run.analysis["unmatched_denied"], json!({"inbound_internet_tuples": 1, "listed": []}));
}

#[test]
fn peers_of_ipv6() {
    let (subnet, local, client, sql) = ("fd00:30:1::/64", "fd00:30:1::4", "2001:db8:ffff::7", "2001:db8:30::5");
    let mut log = day(&[]);
    for hour in 0..24 {
        log.denied(inbound(planted(hour), client, local, 443), DENY_IN);
        log.denied(outbound(planted(hour), local, sql, 1433), DENY);
    }
    let run = run(&log, &[TAGGED, &["--subnet", subnet, "--vnet-mode", "external"]].concat());
    run.expect(1, 2);
    // 100 x 1 x 1 x 1 x 1 and 100 x 0.9 x 1 x 1 x 1
    check(
        run.find("APIM-IN-CLIENT"),
        json!({
            "severity": "critical", "score": 100.0, "subnet": subnet, "confidence": "confirmed",
            "local_addresses": [{"ip": local, "name": null, "denied_tuples": 24}],
            "remote_addresses": [{"ip": client, "name": null, "denied_tuples": 24, "service_tag": null}],
        }),
    );
    check(
        run.find("APIM-OUT-SQL"),
        json!({
            "score": 90.0, "subnet": subnet,
            "remote_addresses": [{"ip": sql, "name": null, "service_tag": "Sql", "denied_tuples": 24}],
        }),
    );
    assert_eq!(run.coverage("APIM-OUT-SQL", SUBNET), "allowed");
}

#[test]
fn a_service_outside_the_loaded_tags_is_not_hidden() {
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, "198.51.100.33", 1433), DENY));
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    // 100 x 0.9 x 0.85 x 1 x 1
    check(
        run.find("APIM-OUT-SQL"),
        json!({"severity": "critical", "score": 76.5, "confidence": "likely", "outside_loaded_tags": 24}),
    );
}

#[test]
fn what_no_row_waits_for_has_a_hint() {
    let mut log = day(&[]);
    for hour in 0..24 {
        log.denied(outbound(planted(hour), A, "10.30.5.9", 443), DENY);
    }
    log.denied(outbound(planted(1), A, "198.51.100.44", 443), DENY);
    log.denied(outbound(planted(2), A, "10.30.5.10", 8443), DENY);
    let run = run(&log, TAGGED);
    // The first was refused often enough to be a finding, and never worked.
    run.expect(0, 1);
    check(&run.findings()[0], json!({"kind": "unlisted-blocked", "severity": "info"}));
    let listed = run.unmatched();
    assert_eq!(listed.len(), 3, "{listed:?}");
    check(
        &listed[0],
        json!({"direction": "outbound", "remote": "10.30.5.9", "port": 443, "protocol": "TCP", "rule": DENY, "acl": ACL,
            "denied_tuples": 24}),
    );
    let hint = |remote: &str| {
        let row = listed.iter().find(|row| row["remote"] == remote).unwrap_or_else(|| panic!("{remote}"));
        row["hint"].as_str().expect("text").to_lowercase()
    };
    // Every required row on 443 works, so the optional ones are left.
    assert!(hint("10.30.5.9").contains("entra id"), "{}", hint("10.30.5.9"));
    assert!(!hint("198.51.100.44").is_empty() && !hint("198.51.100.44").contains("private endpoint"));
    assert!(hint("10.30.5.10").contains("backend"), "{}", hint("10.30.5.10"));
}

/// `calls` answered connections to port 22 of another machine in the subnet.
fn with_stranger(calls: i64) -> Log {
    let mut log = day(&[]);
    (0..calls).for_each(|nr| log.allowed(inbound(planted(nr), "10.30.0.50", "10.30.1.99", 22)));
    log
}

#[test]
fn a_stranger_in_the_subnet_is_noticed() {
    let strange = run(&with_stranger(10), TAGGED);
    strange.expect(0, 0);
    assert!(strange.expect_notice("stranger-in-subnet").contains("10.30.1.99"));
    assert_eq!(run(&with_stranger(9), TAGGED).notice("stranger-in-subnet"), None);
}

#[test]
fn without_a_flow_in_scope_nothing_can_be_told() {
    let log = day(&[]);
    let nowhere = ["--subnet", "10.99.0.0/24", "--service-tags", TAG_FILE];
    let elsewhere = run(&log, &nowhere);
    elsewhere.expect(3, 0);
    assert_eq!(elsewhere.analysis["input"]["tuples_in_scope"], 0);
    assert!(text(&log, &nowhere).to_lowercase().contains("no flow"));
    let later = run(&log, &[TAGGED, &["--from", "2026-06-01T00:00:00Z"]].concat());
    later.expect(3, 0);
}

#[test]
fn without_evidence_of_any_required_row_nothing_can_be_told() {
    let mut log = Log::vnet();
    (0..24).for_each(|hour| log.allowed(outbound(planted(hour), A, "198.51.100.9", 8443)));
    let run = run(&log, TAGGED);
    run.expect(3, 0);
    run.expect_notice("no-evidence");
    assert_eq!(run.analysis["input"]["tuples_in_scope"], 48);
}

#[test]
fn probes_show_which_addresses_are_the_instance() {
    let mut log = day(&["APIM-OUT-SQL"]);
    healthy(&mut log, B, 0..24, &[]);
    deny_sql(&mut log, 0..24);
    // Another application in the same logs, whose database is not this instance's.
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), "10.30.7.7", SQL, 1433), DENY));
    let run = run(&log, &["--service-tags", TAG_FILE]);
    run.expect(1, 1);
    check(&run.analysis["scope"], json!({"subnets": [SUBNET], "subnets_inferred": true}));
    // 100 x 0.9 x 1 x 1 x (0.6 + 0.4 x 24/48): the other machine of the instance gets through.
    check(
        run.find("APIM-OUT-SQL"),
        json!({"subnet": SUBNET, "severity": "high", "score": 72.0, "verdict": "partial", "denied_tuples": 24}),
    );
    run.expect_notice("subnet-inferred");
    assert_eq!(run.notice("subnet-unknown"), None);
}

#[test]
fn an_unknown_scope_never_fails_the_run() {
    let mut log = Log::vnet();
    deny_sql(&mut log, 0..24);
    (0..24).for_each(|hour| log.allowed(outbound(hours(hour) + ROUTINE, "10.30.7.7", STORAGE, 443)));
    let arguments = ["--service-tags", TAG_FILE, "--fail-on", "medium"];
    let run = run(&log, &arguments);
    // It is never 1, and nothing can be called fine either.
    run.expect(3, 1);
    let scope = json!({"subnets": [SUBNET, "10.30.7.0/24"], "subnets_inferred": false});
    check(&run.analysis["scope"], scope);
    // Worth 90, but perhaps of another machine.
    check(run.find("APIM-OUT-SQL"), json!({"severity": "medium", "score": 90.0, "verdict": "blocked"}));
    run.expect_notice("subnet-unknown");
    assert_eq!(run.notice("subnet-inferred"), None);
    let folder = log.write();
    let report = stdout(&flowgap(&[&["analyze", folder.path().to_str().expect("UTF-8")], &arguments[..]].concat()));
    assert!(report.lines().take(4).any(|line| line.contains("--subnet")), "{report}");
}

/// Printed rows of edition 2016-12: id, a flow of it, score and severity where it is blocked.
fn printed_rows(time: i64) -> [(&'static str, Tuple, f64, &'static str); 11] {
    // Impact x confidence: the clients' row is confirmed by the mode, the cache and the probes by their tags; Storage
    // shares its ports with the certificates' row of the prose, and the others are the only ones on their port.
    [
        ("APIM-IN-CLIENT", inbound(time, CLIENT, A, 443), 100.0, "critical"),
        ("APIM-IN-MANAGEMENT", inbound(time, CLIENT, A, 3443), 68.0, "high"),
        ("APIM-OUT-STORAGE", outbound(time, A, STORAGE, 443), 57.0, "high"),
        ("APIM-OUT-SQL", outbound(time, A, SQL, 1433), 76.5, "critical"),
        ("APIM-OUT-SQL-REDIRECT-11000", outbound(time, A, SQL, 11_500), 59.5, "high"),
        ("APIM-OUT-SQL-REDIRECT-14000", outbound(time, A, SQL, 14_999), 59.5, "high"),
        ("APIM-OUT-SERVICEBUS", outbound(time, A, "192.0.2.97", 9350), 42.5, "medium"),
        ("APIM-OUT-EVENTHUB", outbound(time, A, "192.0.2.97", 5671), 25.5, "medium"),
        ("APIM-VNET-CACHE-INTERNAL", outbound(time, A, B, 6381).udp().leaving(6382), 30.0, "medium"),
        ("APIM-OUT-GIT", outbound(time, A, STORAGE, 445), 8.5, "info"),
        ("APIM-IN-PROBE", inbound(time, PROBE, A, 80), 95.0, "critical"),
    ]
}

#[test]
fn each_printed_row_of_2016_blocked_and_not() {
    let arguments = [UNTAGGED, &["--edition", "2016-12", "--vnet-mode", "external"]].concat();
    // The eleven rows blocked one by one, and at last none of them.
    for nr in 0..=11 {
        let mut log = Log::vnet();
        for hour in 0..6 {
            for (place, (id, flow, ..)) in printed_rows(planted(hour)).into_iter().enumerate() {
                let rule = if id.starts_with("APIM-IN") { DENY_IN } else { DENY };
                if place == nr { log.denied(flow, rule) } else { log.allowed(flow) }
            }
        }
        let run = run(&log, &arguments);
        for (place, (id, _, score, severity)) in printed_rows(0).into_iter().enumerate() {
            let verdict = if place == nr { "blocked" } else { "allowed" };
            assert_eq!(run.coverage(id, SUBNET), verdict, "{id} with row {nr} blocked");
            if place == nr {
                run.expect(i32::from(score >= 50.0), 1);
                check(
                    run.find(id),
                    json!({
                        "kind": "blocked-dependency", "verdict": "blocked", "state": "ongoing", "score": score,
                        "severity": severity, "denied_tuples": 6, "first_denied": at(planted(0)),
                    }),
                );
            }
        }
        if nr == 11 {
            run.expect(0, 0);
        }
    }
}

#[test]
fn the_cache_row_of_2016_is_read_as_it_was_meant() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, B, 6383), DENY));
    let run = run(&log, &[UNTAGGED, &["--edition", "2016-12"]].concat());
    run.expect(0, 1);
    // 100 x 0.3 x 1 x 1 x 1
    let finding = run.find("APIM-VNET-CACHE-INTERNAL");
    check(finding, json!({"severity": "medium", "score": 30.0, "direction": "internal", "protocol": "TCP"}));
    says(finding, "edition");
    says(finding, "correct");
}

/// Some of everything.
fn mixture() -> Log {
    let mut log = gateway(500, 120);
    healthy(&mut log, B, 0..24, &["APIM-OUT-DNS", "APIM-OUT-KEYVAULT"]);
    deny_sql(&mut log, 3..20);
    for hour in 0..24 {
        log.denied(outbound(planted(hour), B, DNS, 53).udp(), DENY);
        log.unanswered(outbound(planted(hour), B, KEY_VAULT, 443));
        log.denied(outbound(planted(hour), A, "10.30.5.9", 443).acl(&ACL.to_uppercase()), DENY);
        log.denied(inbound(planted(hour), "2001:db8:ffff::7", "fd00:30:1::4", 443), DENY_IN);
    }
    log
}

#[test]
fn a_fix_opens_what_was_refused() {
    // The row of 2016 is printed as UDP, and TCP was refused.
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, B, 6381), DENY));
    let cache = run(&log, &[TAGGED, &["--edition", "2016-12"]].concat());
    check(cache.find("APIM-VNET-CACHE-INTERNAL"), json!({"protocol": "TCP", "fix": {"protocol": "TCP"}}));
    // Refused when it left: a rule for what arrives would not help.
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, B, 443), DENY));
    let inside = run(&log, TAGGED);
    let fix = &inside.find("APIM-IN-CLIENT-VNET")["fix"];
    assert_eq!(fix["direction"], "inbound and outbound", "{fix}");
}

#[test]
fn no_evidence_names_the_place() {
    let mut log = day(&[]);
    deny_sql(&mut log, 0..24);
    (0..24).for_each(|hour| log.allowed(outbound(planted(hour), "10.30.2.4", STORAGE, 443)));
    let two = run(&log, &[TAGGED, &["--subnet", "10.30.2.0/24"]].concat());
    let notice = two.expect_notice("no-evidence");
    let (everywhere, there) = notice.split_once("; in 10.30.2.0/24 about ").unwrap_or_else(|| panic!("{notice}"));
    assert!(everywhere.contains("APIM-IN-CLIENT") && !everywhere.contains("APIM-OUT-SQL"), "{notice}");
    assert!(there.contains("APIM-OUT-SQL") && !there.contains("APIM-OUT-STORAGE"), "{notice}");
}

#[test]
fn nothing_in_a_log_reaches_the_terminal_as_a_command() {
    let mut log = day(&["APIM-OUT-SQL"]);
    let rule = r"UserRule_\u001b]0;x\u0007\u009b31m\u202ereversed";
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, SQL, 1433), rule));
    let folder = log.write();
    let path = folder.path().to_str().expect("UTF-8");
    for format in ["text", "markdown", "csv"] {
        let report = stdout(&flowgap(&[&["analyze", path, "--format", format, "--color", "never"], TAGGED].concat()));
        assert!(report.contains("reversed"), "{report}");
        let is_command = |c: char| c.is_control() && !matches!(c, '\n' | '\r') || c == '\u{202e}';
        assert!(!report.contains(is_command), "{format}: {report:?}");
    }
    let inspected = stdout(&flowgap(&["inspect", path]));
    assert!(inspected.contains("reversed") && !inspected.contains('\u{1b}'), "{inspected:?}");
    // Programs get what was logged.
    assert_eq!(run(&log, TAGGED).find("APIM-OUT-SQL")["rule"], "UserRule_\u{1b}]0;x\u{7}\u{9b}31m\u{202e}reversed");
}

#[test]
fn order_and_split_of_the_input_change_nothing() {
    let log = mixture();
    let whole = log.write();
    let [one, other] = log.write_in_two();
    let path = |folder: &tempfile::TempDir| folder.path().to_str().expect("UTF-8").to_owned();
    let (whole, one, other) = (path(&whole), path(&one), path(&other));
    let scope = ["--subnet", SUBNET, "--subnet", "fd00:30:1::/64", "--service-tags", TAG_FILE, "--format", "json"];
    let json = |sources: &[&str]| stdout(&flowgap(&[&["analyze"], sources, &scope[..]].concat()));
    let expected = json(&[&whole]);
    assert!(expected.matches("\"fingerprint\"").count() >= 4, "{expected}");
    assert!(json(&[&one, &other]) == expected, "split into two sources");
    assert!(json(&[&other, &one]) == expected, "split, in the other order");
    // On one processor, where there are tools for it.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let first = allowed.trim().split(['-', ',']).next().unwrap_or_default();
    let binary = env!("CARGO_BIN_EXE_flowgap");
    let mut command = program("taskset");
    command.current_dir(root()).args(["-c", first, binary, "analyze", &other, &one]).args(scope);
    match command.output() {
        Ok(output) if !output.stdout.is_empty() => assert!(stdout(&output) == expected, "on one processor"),
        other => println!("not compared on one processor: {other:?}"),
    }
}
