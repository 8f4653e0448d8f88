//! The mode of the instance, as callers show it.

use serde_json::{Value, json};

use crate::cases::{A, B, CLIENT, DENY_IN, PROBE, Run, SUBNET, TAGGED, check, day, planted, run};
use crate::support::archive::{Log, PLATFORM_ACL, Tuple, hours, inbound, minutes};

/// A healthy day of which this many answered calls come from the Internet before eight, and none afterwards.
fn called(calls: i64, addresses: i64, sent: u64, received: u64) -> Log {
    let mut log = day(&[]);
    for nr in 0..calls {
        let client = format!("203.0.113.{}", 100 + nr % addresses);
        log.connection(inbound(hours(nr % 8) + minutes(10 + nr / 8), &client, A, 443), sent, received);
    }
    refuse_clients(&mut log, 8);
    log
}

fn refuse_clients(log: &mut Log, from: i64) {
    (from..24).for_each(|hour| log.denied(inbound(planted(hour), CLIENT, A, 443), DENY_IN));
}

fn mode(run: &Run) -> [&Value; 2] {
    [&run.analysis["scope"]["vnet_mode"], &run.analysis["scope"]["vnet_mode_origin"]]
}

fn with_mode(mode: &'static str) -> Vec<&'static str> {
    [TAGGED, &["--vnet-mode", mode]].concat()
}

#[test]
fn answered_callers_from_the_internet_prove_external_mode() {
    let proven = run(&called(10, 3, 2, 2), TAGGED);
    proven.expect(1, 1);
    // 100 x 1 x 1 x 1 x 1: more than five calls were due since eight, and none got in.
    check(
        proven.find("APIM-IN-CLIENT"),
        json!({
            "kind": "blocked-dependency", "severity": "critical", "score": 100.0, "confidence": "confirmed",
            "verdict": "blocked", "denied_tuples": 16, "allowed_24h": 10,
        }),
    );
    assert_eq!(mode(&proven), ["external", "proven"]);
    assert_eq!(proven.notice("vnet-mode-unknown"), None);
    // Nine calls, two addresses, or one packet in a direction prove nothing.
    for (calls, addresses, sent, received) in [(9, 3, 2, 2), (10, 2, 2, 2), (10, 3, 1, 2), (10, 3, 2, 1)] {
        let run = run(&called(calls, addresses, sent, received), TAGGED);
        run.expect(0, 1);
        let case = format!("{calls} calls of {addresses}, {sent} and {received} packets");
        // 100 x 1 x 0.6, held down
        check(run.find("APIM-IN-CLIENT"), json!({"severity": "medium", "score": 60.0, "confidence": "possible"}));
        assert_eq!(mode(&run), [&Value::Null, &Value::Null], "{case}");
        run.expect_notice("vnet-mode-unknown");
    }
}

#[test]
fn only_calls_that_a_rule_lets_through_to_the_gateway_prove_external_mode() {
    let with = |change: fn(Tuple) -> Tuple| {
        let mut log = day(&[]);
        for nr in 0..10 {
            let call = inbound(hours(nr) + minutes(10), &format!("203.0.113.{}", 100 + nr % 3), A, 443);
            log.connection(change(call), 2, 2);
        }
        run(&log, TAGGED)
    };
    assert_eq!(mode(&with(|call| call)), ["external", "proven"]);
    // The gateway takes TCP, and what the platform lets through proves nothing.
    let others: [fn(Tuple) -> Tuple; 2] = [Tuple::udp, |call| call.rule("PlatformRule").acl(PLATFORM_ACL)];
    for change in others {
        assert_eq!(mode(&with(change)), [&Value::Null, &Value::Null]);
    }
}

#[test]
fn a_given_mode_wins_over_a_proven_one() {
    let log = called(10, 3, 2, 2);
    let internal = run(&log, &with_mode("internal"));
    assert_eq!(mode(&internal), ["internal", "given"]);
    internal.expect(0, 0);
    let rows = internal.analysis["coverage"].as_array().expect("a list");
    assert!(rows.iter().all(|row| row["requirement"] != "APIM-IN-CLIENT"), "the row is dropped");
    // 443 is a port of the table, so who was refused is listed.
    check(
        &internal.unmatched()[0],
        json!({"direction": "inbound", "remote": CLIENT, "port": 443, "denied_tuples": 16}),
    );
    let external = run(&log, &with_mode("external"));
    external.expect(1, 1);
    assert_eq!(mode(&external), ["external", "given"]);
}

/// Callers of the network are answered, and those of the Internet refused, all day.
fn looks_internal() -> Log {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.allowed(inbound(planted(hour), "10.30.9.7", A, 443)));
    refuse_clients(&mut log, 0);
    log
}

#[test]
fn callers_from_the_network_alone_make_internal_mode_likely() {
    let likely = run(&looks_internal(), TAGGED);
    likely.expect(0, 1);
    assert_eq!(mode(&likely), ["internal", "likely"]);
    // 100 x 1 x 0.6, held down to low
    check(
        likely.find("APIM-IN-CLIENT"),
        json!({"kind": "blocked-dependency", "severity": "low", "score": 60.0, "verdict": "blocked"}),
    );
    // The row stays with its verdict, and is not one of the required.
    assert_eq!(likely.coverage("APIM-IN-CLIENT", SUBNET), "blocked");
    assert_eq!(likely.coverage("APIM-IN-CLIENT-VNET", SUBNET), "allowed");
    let needs = json!({"required": 10, "blocked": 0, "degraded": 0, "seen": 10, "never_tried": 0});
    check(&likely.analysis["needs"], needs);
    check(&likely.analysis["status"], json!({"word": "OK", "exit": 0}));
    let notices = likely.analysis["notices"].as_array().expect("a list");
    let asks = |notice: &Value| notice["message"].as_str().is_some_and(|text| text.contains("--vnet-mode external"));
    assert!(notices.iter().any(asks), "{notices:?}");

    let external = run(&looks_internal(), &with_mode("external"));
    external.expect(1, 1);
    check(external.find("APIM-IN-CLIENT"), json!({"severity": "critical", "score": 100.0}));
    assert_eq!(mode(&external), ["external", "given"]);
}

#[test]
fn no_internet_clients_at_all_is_likely_internal_too() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.allowed(inbound(planted(hour), "10.30.9.7", A, 443)));
    let quiet = run(&log, TAGGED);
    quiet.expect(0, 0);
    assert_eq!(mode(&quiet), ["internal", "likely"]);
    // A refused caller of the network: 100 x 1 x 1 x 1 x 24/48. Likely internal mode confirms the row.
    (0..24).for_each(|hour| log.denied(inbound(planted(hour), "10.30.9.8", A, 443), DENY_IN));
    let refused = run(&log, TAGGED);
    check(
        refused.find("APIM-IN-CLIENT-VNET"),
        json!({"confidence": "confirmed", "score": 50.0, "severity": "high", "verdict": "partial"}),
    );
}

#[test]
fn what_makes_internal_mode_unlikely() {
    let mut let_in = looks_internal();
    let_in.allowed(inbound(minutes(5), "203.0.113.99", A, 443));
    // Machines of the instance and the platform are no callers.
    let mut own = day(&[]);
    for hour in 0..24 {
        own.allowed(inbound(planted(hour), B, A, 443));
        own.allowed(inbound(planted(hour), PROBE, A, 443));
    }
    refuse_clients(&mut own, 0);
    for log in [let_in, own] {
        let run = run(&log, TAGGED);
        assert_eq!(mode(&run), [&Value::Null, &Value::Null], "{}", run.summary());
        check(&run.analysis["needs"], json!({"required": 11}));
    }
}

#[test]
fn a_proven_mode_drops_no_row_and_confirms_only_its_own() {
    let mut log = called(10, 3, 2, 2);
    (0..24).for_each(|hour| log.allowed(inbound(planted(hour), "10.30.9.7", A, 443)));
    let run = run(&log, TAGGED);
    assert_eq!(run.status, Some(1), "{}", run.summary());
    assert_eq!(mode(&run), ["external", "proven"], "callers of the network do not change it");
    assert_eq!(run.coverage("APIM-IN-CLIENT-VNET", SUBNET), "allowed");
    check(&run.analysis["needs"], json!({"required": 11, "blocked": 1}));
}
