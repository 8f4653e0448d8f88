//! One instance is one scope, however many machines it has.

use serde_json::json;

use super::{ENTRA, coverage_row, of_kind};
use crate::cases::{
    A, B, CONTROL_PLANE, DENY, KEY_VAULT, MONITOR, PROBE, SQL, STORAGE, SUBNET, TAG_FILE, TAGGED, check, planted, run,
    run_over,
};
use crate::support::archive::{ACL, Log, Tuple, inbound, outbound};

const ONLY_TAGS: &[&str] = &["--service-tags", TAG_FILE];
const HOURS: i64 = 6;

/// Lets a machine be probed and managed, and refuses it five services, once an hour; `dress` may change each flow.
fn unit(log: &mut Log, local: &str, dress: impl Fn(Tuple) -> Tuple) {
    for time in (0..HOURS).map(planted) {
        log.allowed(dress(inbound(time, PROBE, local, 6390)));
        log.allowed(dress(inbound(time, CONTROL_PLANE, local, 3443)));
        for (peer, port) in [(STORAGE, 443), (SQL, 1433), (KEY_VAULT, 443), (MONITOR, 443), (ENTRA, 443)] {
            log.denied(dress(outbound(time, local, peer, port)), DENY);
        }
    }
}

#[test]
fn twelve_machines_are_one_instance() {
    let mut log = Log::vnet();
    (4..16).for_each(|nr| unit(&mut log, &format!("10.30.1.{nr}"), |flow| flow));
    let folder = log.write_packed();
    let inferred = run_over(&[folder.path()], ONLY_TAGS);
    inferred.expect(1, 5);
    check(&inferred.analysis["scope"], json!({"subnets": [SUBNET], "subnets_inferred": true}));
    for finding in inferred.findings() {
        check(
            finding,
            json!({
                "kind": "blocked-dependency", "subnet": SUBNET, "local_address_count": 12, "denied_tuples": 72,
                "verdict": "blocked", "rule": DENY,
            }),
        );
        assert_eq!(finding["local_addresses"].as_array().map(Vec::len), Some(10));
    }
    // 100 x 0.95, 0.9, 0.9, 0.6 and 0.4
    let scores: Vec<f64> = inferred.findings().iter().filter_map(|f| f["score"].as_f64()).collect();
    assert_eq!(scores, [95.0, 90.0, 90.0, 60.0, 40.0]);
    let causes = inferred.analysis["causes"].as_array().expect("a list");
    assert_eq!(causes.len(), 1, "one rule is to blame: {causes:?}");
    check(
        &causes[0],
        json!({
            "number": 1, "kind": "rule", "acl": ACL, "rule": DENY, "subnet": SUBNET, "denied_tuples": 360,
            "max_severity": "critical",
        }),
    );
    assert_eq!(causes[0]["findings"].as_array().map(Vec::len), Some(5));
    // Given or inferred, it is the same instance: the same findings, ids included.
    let given = run_over(&[folder.path()], TAGGED);
    assert_eq!(given.analysis["findings"], inferred.analysis["findings"]);
    assert_eq!(given.analysis["causes"], inferred.analysis["causes"]);
    assert_eq!(given.analysis["coverage"], inferred.analysis["coverage"]);
}

#[test]
fn a_neighbour_in_the_same_network_is_not_the_instance() {
    let mut log = Log::vnet();
    unit(&mut log, A, |flow| flow);
    unit(&mut log, B, |flow| flow);
    // Nobody probes or manages it, and its database is not this instance's.
    (0..HOURS).for_each(|hour| log.denied(outbound(planted(hour), "10.30.1.200", SQL, 1433), DENY));
    let run = run(&log, ONLY_TAGS);
    run.expect(1, 5);
    check(run.find("APIM-OUT-SQL"), json!({"subnet": SUBNET, "denied_tuples": 12, "local_address_count": 2}));
}

#[test]
fn two_acls_in_one_network_are_two_scopes() {
    let second = ACL.replace("nsg-apim-example", "nsg-apim-second");
    let mut log = Log::vnet();
    ["10.30.1.4", "10.30.1.5"].iter().for_each(|local| unit(&mut log, local, |flow| flow));
    ["10.30.1.68", "10.30.1.69"].iter().for_each(|local| unit(&mut log, local, |flow| flow.acl(&second)));
    let run = run(&log, ONLY_TAGS);
    run.expect(1, 10);
    let subnets = ["10.30.1.4/31", "10.30.1.68/31"];
    check(&run.analysis["scope"], json!({"subnets": subnets, "subnets_inferred": true}));
    for (subnet, acl) in subnets.into_iter().zip([ACL, &second]) {
        let of_subnet = |finding: &&&serde_json::Value| finding["subnet"] == subnet;
        let blocked = of_kind(&run, "blocked-dependency");
        let found: Vec<_> = blocked.iter().filter(of_subnet).collect();
        assert_eq!(found.len(), 5, "{}", run.summary());
        found.iter().for_each(|finding| check(finding, json!({"acl": acl, "local_address_count": 2})));
        check(coverage_row(&run, "APIM-OUT-SQL", subnet), json!({"verdict": "blocked", "denied_tuples": 12}));
    }
    let causes = run.analysis["causes"].as_array().expect("a list");
    let numbers: Vec<&serde_json::Value> = causes.iter().map(|cause| &cause["number"]).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn networks_of_either_family_are_scopes_of_their_own() {
    let mut log = Log::vnet();
    unit(&mut log, A, |flow| flow);
    unit(&mut log, "10.30.2.4", |flow| flow);
    for time in (0..HOURS).map(planted) {
        log.allowed(inbound(time, "fe80::1234:5678:9abc", "fd00:30:1::4", 6390));
    }
    let run = run(&log, ONLY_TAGS);
    assert_eq!(run.status, Some(1), "{}", run.summary());
    let scope = json!({"subnets": [SUBNET, "10.30.2.0/24", "fd00:30:1::/64"], "subnets_inferred": true});
    check(&run.analysis["scope"], scope);
}

#[test]
fn an_unknown_scope_is_grouped_alike() {
    let mut log = Log::vnet();
    for time in (0..HOURS).map(planted) {
        [A, B, "10.30.7.7"].iter().for_each(|local| log.denied(outbound(time, local, SQL, 1433), DENY));
    }
    let run = run(&log, ONLY_TAGS);
    run.expect(3, 2);
    let scope = json!({"subnets": [SUBNET, "10.30.7.0/24"], "subnets_inferred": false});
    check(&run.analysis["scope"], scope);
    for (subnet, machines) in [(SUBNET, 2), ("10.30.7.0/24", 1)] {
        let found = run.only("subnet", subnet);
        check(found, json!({"severity": "medium", "local_address_count": machines, "denied_tuples": 6 * machines}));
    }
}
