//! Refusals on the management port: strangers that knock, and addresses that belong to the control plane.

use serde_json::{Value, json};

use super::{fingerprint, of_kind, of_rule};
use crate::cases::{
    A, CONTROL_PLANE, DENY_IN, STORAGE, SUBNET, TAGGED, UNTAGGED, check, day, healthy, planted, run, says,
};
use crate::support::archive::{ACL, Log, hours, inbound, minutes, seconds};

/// Refused hour after hour.
const PERSISTENT: &str = "203.0.113.200";

/// The management endpoint works all day. Two strangers an hour try it four times each: 192 refusals.
fn strangers() -> Log {
    let mut log = day(&[]);
    for nr in 0..48 {
        let stranger = format!("198.51.100.{}", nr + 1);
        for retry in 0..4 {
            let time = planted(nr / 2) + seconds(60 * (nr % 2) + retry);
            log.denied(inbound(time, &stranger, A, 3443), DENY_IN);
        }
    }
    log
}

#[test]
fn strangers_on_the_management_port_are_no_outage() {
    for arguments in [UNTAGGED, TAGGED] {
        let run = run(&strangers(), arguments);
        run.expect(0, 1);
        // 100 x 0.8 x 0.85 x 1 x 192/216
        check(
            run.find("APIM-IN-MANAGEMENT"),
            json!({
                "kind": "source-restricted", "severity": "info", "score": 60.4, "verdict": "partial",
                "denied_tuples": 192, "allowed_24h": 24, "remote_address_count": 48,
            }),
        );
        assert_eq!(run.analysis["causes"], json!([]), "nothing is to blame");
        assert_eq!(run.analysis["status"]["word"], "OK SO FAR", "clients never called, and info does not count");
    }
}

#[test]
fn an_address_refused_hour_after_hour_is_no_stranger() {
    let mut log = strangers();
    // 72 of 264 refusals, three in every hour.
    for (hour, retry) in (0..24).flat_map(|hour| (0..3).map(move |retry| (hour, retry))) {
        log.denied(inbound(planted(hour) + minutes(5) + seconds(retry), PERSISTENT, A, 3443), DENY_IN);
    }
    for arguments in [UNTAGGED, TAGGED] {
        let run = run(&log, arguments);
        run.expect(1, 2);
        let own = of_kind(&run, "blocked-dependency");
        assert_eq!(own.len(), 1, "{}", run.summary());
        // 100 x 0.8 x 0.85 x 1 x 1: only its own flows count, and none of them was let in.
        check(
            own[0],
            json!({
                "requirement": "APIM-IN-MANAGEMENT", "candidates": ["APIM-IN-MANAGEMENT"], "severity": "high",
                "score": 68.0, "verdict": "blocked", "denied_tuples": 72, "allowed_24h": 0,
                "remote_address_count": 1, "worked_before": false, "last_allowed_before": null,
                "fingerprint": fingerprint([
                    &format!("address:{PERSISTENT}"), "inbound", "near", SUBNET, &ACL.to_lowercase(), DENY_IN,
                ]),
            }),
        );
        check(&own[0]["remote_addresses"][0], json!({"ip": PERSISTENT, "name": null, "denied_tuples": 72}));
        let rest = of_kind(&run, "source-restricted");
        assert_eq!(rest.len(), 1, "{}", run.summary());
        check(rest[0], json!({"severity": "info", "denied_tuples": 192, "remote_address_count": 48}));
    }
}

#[test]
fn a_control_plane_that_the_file_does_not_list_is_blocked() {
    let mut log = day(&["APIM-IN-MANAGEMENT"]);
    for (hour, nr) in (0..24).flat_map(|hour| (0..10).map(move |nr| (hour, nr))) {
        log.denied(inbound(hours(hour) + minutes(6 * nr), PERSISTENT, A, 3443), DENY_IN);
    }
    for (arguments, outside) in [(UNTAGGED, 0), (TAGGED, 240)] {
        let run = run(&log, arguments);
        run.expect(1, 1);
        // 100 x 0.8 x 0.85 x 1 x 1
        let finding = run.find("APIM-IN-MANAGEMENT");
        check(
            finding,
            json!({
                "kind": "blocked-dependency", "severity": "high", "score": 68.0, "confidence": "likely",
                "verdict": "blocked", "denied_tuples": 240, "outside_loaded_tags": outside,
            }),
        );
        if outside > 0 {
            says(finding, "not in the loaded file");
        }
    }
}

/// Refuses an address on the management port, this many times in the hour.
fn refuse(log: &mut Log, rule: &str, address: &str, hour: i64, times: i64) {
    (0..times).for_each(|nr| log.denied(inbound(planted(hour) + seconds(nr), address, A, 3443), rule));
}

#[test]
fn thresholds_of_a_persistent_address() {
    let address = |nr: i64| format!("203.0.113.{nr}");
    let mut log = day(&[]);
    // Each rule has findings of its own, so each is a case of its own. 29 refusals, then 30.
    (0..24).for_each(|hour| refuse(&mut log, "UserRule_29", &address(1), hour, if hour < 5 { 2 } else { 1 }));
    (0..24).for_each(|hour| refuse(&mut log, "UserRule_30", &address(2), hour, if hour < 6 { 2 } else { 1 }));
    // 30 of 300 refusals are a tenth; 30 of 301 are less. The others are 27 addresses with ten each, in one hour.
    for (rule, nr, more) in [("UserRule_tenth", 3, 10), ("UserRule_less", 4, 11)] {
        (0..24).for_each(|hour| refuse(&mut log, rule, &address(nr), hour, if hour < 6 { 2 } else { 1 }));
        (0..27).for_each(|n| {
            refuse(&mut log, rule, &format!("198.51.100.{}", n + 1), 8, if n == 0 { more } else { 10 });
        });
    }
    // Refusals in three of six hours are half of them; in three of eight they are less.
    [0, 2, 5].into_iter().for_each(|hour| refuse(&mut log, "UserRule_half", &address(5), hour, 10));
    [0, 2, 7].into_iter().for_each(|hour| refuse(&mut log, "UserRule_under", &address(6), hour, 10));
    // Two hours are too few, three are enough.
    [3, 4].into_iter().for_each(|hour| refuse(&mut log, "UserRule_two", &address(7), hour, 15));
    [3, 4, 5].into_iter().for_each(|hour| refuse(&mut log, "UserRule_three", &address(8), hour, 10));
    let run = run(&log, UNTAGGED);
    assert_eq!(run.status, Some(1), "{}", run.summary());
    let kinds = |rule: &str| -> Vec<(String, i64)> {
        let line = |finding: &&Value| {
            (finding["kind"].as_str().unwrap_or_default().to_owned(), finding["denied_tuples"].as_i64().unwrap_or(-1))
        };
        of_rule(&run, rule).iter().map(line).collect()
    };
    let (own, rest) = ("blocked-dependency", "source-restricted");
    for (rule, expected) in [
        ("UserRule_29", vec![(rest, 29)]),
        ("UserRule_30", vec![(own, 30)]),
        ("UserRule_tenth", vec![(own, 30), (rest, 270)]),
        ("UserRule_less", vec![(rest, 301)]),
        ("UserRule_half", vec![(own, 30)]),
        ("UserRule_under", vec![(rest, 30)]),
        ("UserRule_two", vec![(rest, 30)]),
        ("UserRule_three", vec![(own, 30)]),
    ] {
        let expected: Vec<(String, i64)> = expected.into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect();
        assert_eq!(kinds(rule), expected, "{rule}\n{}", run.summary());
    }
    for finding in of_kind(&run, own) {
        check(finding, json!({"score": 68.0, "severity": "high", "allowed_24h": 0}));
    }
}

#[test]
fn an_address_allowed_before_is_no_stranger() {
    let mut log = day(&[]);
    let (once, always) = ("203.0.113.201", "203.0.113.202");
    log.allowed(inbound(planted(0), once, A, 3443));
    (19..24).for_each(|hour| refuse(&mut log, "UserRule_once", once, hour, 1));
    (0..12).for_each(|hour| log.allowed(inbound(planted(hour), always, A, 3443)));
    (12..24).for_each(|hour| refuse(&mut log, "UserRule_always", always, hour, 3));
    let run = run(&log, UNTAGGED);
    assert_eq!(run.status, Some(1), "{}", run.summary());
    // 100 x 0.8 x 0.85 x 1 x 5/(5 + 24 + 1 + 12): others get in.
    let [partial] = of_rule(&run, "UserRule_once")[..] else { panic!("{}", run.summary()) };
    check(partial, json!({"kind": "blocked-dependency", "verdict": "partial", "score": 8.1, "worked_before": true}));
    // It was refused 36 times, in every hour since it was last let in: 100 x 0.8 x 0.85 x 1 x 1.
    let [blocked] = of_rule(&run, "UserRule_always")[..] else { panic!("{}", run.summary()) };
    check(
        blocked,
        json!({
            "kind": "blocked-dependency", "verdict": "blocked", "severity": "high", "score": 68.0,
            "denied_tuples": 36, "allowed_24h": 12, "worked_before": true,
            "last_allowed_before": crate::support::archive::at(planted(11)),
        }),
    );
}

#[test]
fn an_address_allowed_before_is_no_stranger_in_older_editions() {
    let mut log = day(&[]);
    let once = "203.0.113.201";
    log.allowed(inbound(planted(0), once, A, 3443));
    (19..24).for_each(|hour| refuse(&mut log, DENY_IN, once, hour, 1));
    // There the management endpoint is not required.
    let run = run(&log, &["--subnet", SUBNET, "--edition", "2021-08-stv1"]);
    let [finding] = of_rule(&run, DENY_IN)[..] else { panic!("{}", run.summary()) };
    check(finding, json!({"requirement": "APIM-IN-MANAGEMENT", "kind": "blocked-dependency"}));
}

#[test]
fn strangers_that_came_last_block_nothing() {
    let mut log = day(&[]);
    // After the last call of the control plane, and too shortly before the end to be an outage.
    (0..20).for_each(|nr| refuse(&mut log, DENY_IN, &format!("198.51.100.{}", nr + 1), 23, 1));
    let run = run(&log, UNTAGGED);
    run.expect(0, 1);
    check(
        run.find("APIM-IN-MANAGEMENT"),
        json!({"kind": "source-restricted", "severity": "info", "verdict": "blocked"}),
    );
    assert_eq!(run.coverage("APIM-IN-MANAGEMENT", SUBNET), "partial");
    check(&run.analysis["needs"], json!({"blocked": 0, "degraded": 0}));
}

#[test]
fn an_address_of_another_azure_service_is_no_stranger() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| refuse(&mut log, DENY_IN, STORAGE, hour, 1));
    let tagged = run(&log, TAGGED);
    tagged.expect(0, 1);
    // 100 x 0.8 x 0.85 x 1 x 24/48
    check(
        tagged.find("APIM-IN-MANAGEMENT"),
        json!({"kind": "blocked-dependency", "severity": "medium", "score": 34.0, "verdict": "partial"}),
    );
    // Without a file nobody can know.
    let untagged = run(&log, UNTAGGED);
    untagged.expect(0, 1);
    check(untagged.find("APIM-IN-MANAGEMENT"), json!({"kind": "source-restricted", "severity": "info"}));
}

#[test]
fn strangers_do_not_hide_an_outage() {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..8, &[]);
    healthy(&mut log, A, 8..24, &["APIM-IN-MANAGEMENT"]);
    // Another address each hour, and nobody gets in any more, though 15 calls were due since 08:30.
    (8..24).for_each(|hour| refuse(&mut log, DENY_IN, &format!("198.51.100.{hour}"), hour, 1));
    for arguments in [UNTAGGED, TAGGED] {
        let run = run(&log, arguments);
        run.expect(1, 1);
        // 100 x 0.8 x 0.85 x 1 x 1
        check(
            run.find("APIM-IN-MANAGEMENT"),
            json!({"kind": "blocked-dependency", "severity": "high", "score": 68.0, "verdict": "blocked"}),
        );
    }
}

#[test]
fn a_listed_address_of_the_control_plane_stays_confirmed() {
    let mut log = strangers();
    (0..24).for_each(|hour| refuse(&mut log, "UserRule_deny-management", CONTROL_PLANE, hour, 1));
    let tagged = run(&log, TAGGED);
    tagged.expect(1, 2);
    let [finding] = of_rule(&tagged, "UserRule_deny-management")[..] else { panic!("{}", tagged.summary()) };
    // 100 x 0.8 x 1 x 1 x (0.6 + 0.4 x 24/48): the file lists it, and other calls get in.
    check(
        finding,
        json!({
            "kind": "blocked-dependency", "severity": "high", "score": 64.0, "confidence": "confirmed",
            "verdict": "partial", "reach": 0.8,
        }),
    );
}
