//! Refusals that no row waits for: which become findings, how many, and the true totals.

use serde_json::{Value, json};

use super::of_rule;
use crate::cases::{A, CLIENT, DENY, DENY_IN, TAGGED, check, day, planted, run, text};
use crate::support::archive::{Log, at, hours, inbound, minutes, outbound, seconds};

const PEER: &str = "10.30.8.1";

/// Refuses `PEER` on a port at these times.
fn refuse(log: &mut Log, port: u16, times: impl IntoIterator<Item = i64>) {
    times.into_iter().for_each(|time| log.denied(outbound(time, A, PEER, port), DENY));
}

#[test]
fn thresholds_of_an_unlisted_refusal() {
    let mut log = day(&[]);
    let start = hours(10);
    // Five in exactly an hour, four in ten hours, five in a second less than an hour.
    refuse(&mut log, 9001, (0..5).map(|nr| start + minutes(15 * nr)));
    refuse(&mut log, 9002, (0..4).map(|nr| start + hours(3 * nr)));
    refuse(&mut log, 9003, (0..5).map(|nr| start + nr * (minutes(15) - seconds(1) / 4)));
    // One, where the same address and port worked before.
    log.allowed(outbound(hours(9), A, PEER, 9004));
    refuse(&mut log, 9004, [start]);
    // One, where something else worked before: another address, another protocol, another port, or only later.
    log.allowed(outbound(hours(9), A, "10.30.8.2", 9005));
    refuse(&mut log, 9005, [start]);
    log.allowed(outbound(hours(9), A, PEER, 9006).udp());
    refuse(&mut log, 9006, [start]);
    log.allowed(outbound(hours(11), A, PEER, 9007));
    refuse(&mut log, 9007, [start]);
    // From the network, inwards.
    (0..5).for_each(|nr| log.denied(inbound(start + minutes(15 * nr), "10.30.9.9", A, 9008), DENY_IN));
    let run = run(&log, TAGGED);
    run.expect(0, 3);
    let at_port = |port: u16| {
        let found: Vec<&Value> = run.findings().iter().filter(|f| f["ports"] == json!([port])).collect();
        assert_eq!(found.len(), 1, "{port}: {}", run.summary());
        found[0]
    };
    let never = json!({
        "kind": "unlisted-blocked", "severity": "info", "verdict": "blocked", "confidence": "possible",
        "requirement": null, "worked_before": false, "denied_tuples": 5,
    });
    check(at_port(9001), never.clone());
    check(
        at_port(9001),
        json!({"first_denied": at(start), "last_denied": at(start + hours(1)), "direction": "outbound"}),
    );
    check(at_port(9008), never);
    check(
        at_port(9008),
        json!({"direction": "inbound", "rule": DENY_IN, "remote_addresses": [{"ip": "10.30.9.9", "name": null, "service_tag": null, "denied_tuples": 5}]}),
    );
    // 100 x 0.5 x 0.6 x 1 x 1
    check(
        at_port(9004),
        json!({
            "severity": "medium", "score": 30.0, "impact": 0.5, "worked_before": true, "denied_tuples": 1,
            "last_allowed_before": at(hours(9)),
        }),
    );
    // The word does not depend on what fails the run.
    check(&run.analysis["status"], json!({"word": "BLOCKED", "exit": 0, "fail_on": "high"}));
    // All are listed and counted, whatever became a finding.
    let tuples = 5 + 4 + 5 + 1 + 1 + 1 + 1 + 5;
    check(&run.analysis["unmatched_denied"], json!({"tuples": tuples, "peers": 2, "inbound_internet_tuples": 0}));
    assert_eq!(run.unmatched().len(), 8, "{}", run.analysis["unmatched_denied"]);
}

#[test]
fn an_unlisted_refusal_that_ended_has_recovered() {
    let mut log = day(&[]);
    (0..8).chain(18..24).for_each(|hour| log.allowed(outbound(planted(hour), A, PEER, 9001)));
    refuse(&mut log, 9001, (8..16).map(planted));
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    // 100 x 0.5 x 0.6 x 0.2 x (0.6 + 0.4 x 8/16)
    check(
        &run.findings()[0],
        json!({
            "kind": "unlisted-blocked", "verdict": "recovered", "state": "recovered", "score": 4.8, "severity": "info",
            "first_allowed_after": at(planted(18)),
        }),
    );
}

#[test]
fn at_most_ten_of_a_rule_are_findings_of_their_own() {
    let mut log = day(&[]);
    let peer = |nr: u16| format!("10.30.8.{nr}");
    // Port 9000 + n is refused 5 + n times, from 02:30 on, once an hour.
    for nr in 1..=13_u16 {
        for hour in 0..i64::from(5 + nr) {
            log.denied(outbound(planted(2 + hour), A, &peer(nr), 9000 + nr), DENY);
        }
    }
    log.allowed(outbound(hours(1), A, &peer(1), 9001));
    // Another rule has ten of its own.
    (0..6).for_each(|hour| log.denied(outbound(planted(hour), A, PEER, 9020), "UserRule_deny-other"));
    let run = run(&log, TAGGED);
    run.expect(0, 12);
    assert_eq!(of_rule(&run, "UserRule_deny-other").len(), 1, "{}", run.summary());
    let of_rule = of_rule(&run, DENY);
    let (rest, own): (Vec<&Value>, Vec<&Value>) = of_rule.into_iter().partition(|f| f["ports"] == json!([]));
    let mut named: Vec<i64> = own.iter().filter_map(|f| f["ports"][0].as_i64()).collect();
    named.sort_unstable();
    // The one that worked before, though it was refused least, and the nine that were refused most.
    assert_eq!(named, [9001, 9005, 9006, 9007, 9008, 9009, 9010, 9011, 9012, 9013]);
    assert_eq!(rest.len(), 1, "{}", run.summary());
    // 9002, 9003 and 9004: 7 + 8 + 9
    check(
        rest[0],
        json!({
            "kind": "unlisted-blocked", "severity": "info", "requirement": null, "denied_tuples": 24,
            "remote_address_count": 3, "first_denied": at(planted(2)), "last_denied": at(planted(10)),
        }),
    );
    let mut fingerprints: Vec<&Value> = run.findings().iter().map(|f| &f["fingerprint"]).collect();
    fingerprints.sort_by_key(|f| f.to_string());
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 12);
    // 13 x 5 + 91
    let by_rule = &run.analysis["unmatched_denied"]["by_rule"];
    check(&by_rule[0], json!({"direction": "outbound", "rule": DENY, "tuples": 156, "peers": 13}));
    check(&by_rule[1], json!({"direction": "outbound", "rule": "UserRule_deny-other", "tuples": 6, "peers": 1}));
}

#[test]
fn totals_are_true_where_the_list_is_short() {
    let mut log = day(&[]);
    for nr in 0..130 {
        log.denied(outbound(planted(nr % 24), A, &format!("198.51.100.{}", nr + 1), 8443), DENY);
    }
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    check(&run.analysis["unmatched_denied"], json!({"tuples": 130, "peers": 130, "inbound_internet_tuples": 0}));
    check(&run.analysis["unmatched_denied"]["by_rule"][0], json!({"rule": DENY, "tuples": 130, "peers": 130}));
    assert_eq!(run.unmatched().len(), 100);
    let finding = &run.findings()[0];
    check(
        finding,
        json!({
            "kind": "unlisted-blocked", "severity": "info", "denied_tuples": 130, "remote_address_count": 130,
            "remote_address_count_exact": true, "local_address_count": 1, "ports": [8443],
        }),
    );
    assert_eq!(finding["remote_addresses"].as_array().map(Vec::len), Some(10));
    // It never worked: no verdict, and no claim that nothing was refused.
    assert_eq!(run.analysis["status"]["word"], "OK SO FAR");
    let report = text(&log, TAGGED).to_lowercase();
    assert!(!report.contains("nothing refused") && !report.contains("nothing is refused"), "{report}");
}

#[test]
fn the_internet_is_noise_but_on_ports_of_the_table() {
    let mut log = day(&[]);
    (0..3).for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 22), DENY_IN));
    let noise = run(&log, TAGGED);
    noise.expect(0, 0);
    check(&noise.analysis["unmatched_denied"], json!({"inbound_internet_tuples": 3, "listed": []}));
    // Probes come from the platform only, but somebody who reads of 6390 wants to see it.
    (4..6).for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 6390), DENY_IN));
    let run = run(&log, TAGGED);
    assert_eq!(run.status, Some(0), "{}", run.summary());
    assert_eq!(run.unmatched().len(), 1, "{}", run.analysis["unmatched_denied"]);
    check(
        &run.unmatched()[0],
        json!({
            "direction": "inbound", "remote": CLIENT, "port": 6390, "protocol": "TCP", "rule": DENY_IN,
            "denied_tuples": 2, "first_denied": at(planted(4)), "last_denied": at(planted(5)),
            "last_allowed_before": null,
        }),
    );
}

#[test]
fn what_encryption_refuses_is_a_cause_of_its_kind() {
    let mut log = day(&[]);
    let backend = |hour| outbound(planted(hour), A, "10.30.9.9", 8443);
    log.allowed(backend(0));
    for hour in 1..9 {
        log.denied(backend(hour).acl("unspecified").encryption("NX_NOT_ACCEPTED"), "unspecified");
    }
    let run = run(&log, TAGGED);
    run.expect(0, 1);
    check(&run.findings()[0], json!({"kind": "unlisted-blocked", "rule_origin": "encryption", "worked_before": true}));
    check(&run.analysis["causes"][0], json!({"kind": "encryption", "rule": "unspecified"}));
}
