//! Too little evidence to call anything fine: `--min-coverage`, the wrong edition, an unknown subnet.

use serde_json::{Value, json};

use super::coverage_row;
use crate::cases::{
    A, B, CLIENT, DENY, KEY_VAULT, MONITOR, SQL, STORAGE, SUBNET, TAG_FILE, TAGGED, UNTAGGED, check, day, deny_sql,
    healthy, planted, run,
};
use crate::support::archive::{Log, inbound, outbound};

/// Rows of a healthy day that leave five of the ten required ones: Storage, SQL, Key Vault, Monitor and the probes.
const HALF: [&str; 4] = ["APIM-IN-MANAGEMENT", "APIM-OUT-CERTIFICATES", "APIM-OUT-DNS", "APIM-OUT-NTP"];

/// Internal mode has ten required rows; the eleventh is for clients from the Internet.
fn internal<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [TAGGED, &["--vnet-mode", "internal"], more].concat()
}

fn half_without(row: &'static str) -> Log {
    day(&[&HALF[..], &[row]].concat())
}

fn reasons(run: &crate::cases::Run) -> &[Value] {
    run.analysis["status"]["reasons"].as_array().expect("a list")
}

#[test]
fn half_of_the_required_rows_need_evidence() {
    let half = run(&day(&HALF), &internal(&[]));
    half.expect(0, 0);
    let status = json!({"word": "OK SO FAR", "exit": 0, "partial": false, "fail_on": "high", "min_coverage": 0.5});
    check(&half.analysis["status"], status);
    let needs = json!({"required": 10, "blocked": 0, "degraded": 0, "seen": 5, "never_tried": 5});
    check(&half.analysis["needs"], needs);

    let less = run(&half_without("APIM-OUT-MONITOR"), &internal(&[]));
    less.expect(3, 0);
    check(&less.analysis["status"], json!({"word": "COULD NOT TELL", "exit": 3}));
    check(&less.analysis["needs"], json!({"required": 10, "seen": 4, "never_tried": 6}));
    assert!(!reasons(&less).is_empty());

    // The bar can be moved. A mode that is not known leaves eleven required rows, so five are less than half.
    for (arguments, status) in [
        (internal(&["--min-coverage", "0.51"]), 3),
        (internal(&["--min-coverage", "0"]), 0),
        (TAGGED.to_vec(), 3),
        ([TAGGED, &["--vnet-mode", "external"]].concat(), 3),
    ] {
        run(&day(&HALF), &arguments).expect(status, 0);
    }
    run(&half_without("APIM-OUT-MONITOR"), &internal(&["--min-coverage", "0.4"])).expect(0, 0);
}

#[test]
fn only_a_recovered_finding_above_info_qualifies_the_word() {
    let word = |log: &Log| run(log, &internal(&[])).analysis["status"]["word"].clone();
    let others = &["APIM-OUT-SQL"][..];
    // In internal mode callers of the network are needed, too.
    let whole = |without: &[&str]| {
        let mut log = day(without);
        (0..24).for_each(|hour| log.allowed(inbound(planted(hour), "10.40.0.9", A, 443)));
        log
    };
    assert_eq!(word(&whole(&[])), "OK");
    // Refused, and let through again: 100 x 0.9 x 0.2 x (0.6 + 0.4 x 8/24) = 13.2.
    let mut refused = whole(others);
    (0..8).chain(16..24).for_each(|hour| refused.allowed(outbound(planted(hour), A, SQL, 1433)));
    deny_sql(&mut refused, 8..16);
    assert_eq!(word(&refused), "OK SO FAR");
    // Silent, and answered again: 100 x 0.9 x 0.2 x 16/24 = 12.
    let mut silent = whole(others);
    (0..4).chain(20..24).for_each(|hour| silent.allowed(outbound(planted(hour), A, SQL, 1433)));
    (4..20).for_each(|hour| silent.unanswered(outbound(planted(hour), A, SQL, 1433)));
    assert_eq!(word(&silent), "OK SO FAR");
    // A backend is worth less: 100 x 0.5 x 0.6 x 0.2 x (0.6 + 0.4 x 8/24) = 4.4.
    let mut backend = whole(&[]);
    (0..8).chain(16..24).for_each(|hour| backend.allowed(outbound(planted(hour), A, "10.30.8.1", 9001)));
    (8..16).for_each(|hour| backend.denied(outbound(planted(hour), A, "10.30.8.1", 9001), DENY));
    assert_eq!(word(&backend), "OK");
}

#[test]
fn rows_that_cannot_be_told_apart_are_evidence() {
    // Without tags, Storage, Key Vault and Monitor share their port.
    let untagged = run(&day(&HALF), &[UNTAGGED, &["--vnet-mode", "internal"]].concat());
    untagged.expect(0, 0);
    assert_eq!(untagged.coverage("APIM-OUT-STORAGE", SUBNET), "indistinguishable");
    check(&untagged.analysis["needs"], json!({"required": 10, "never_tried": 5}));
}

#[test]
fn thin_evidence_never_hides_a_finding() {
    let refuse = |log: &mut Log, peer: &str, port: u16| {
        (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, peer, port), DENY));
    };
    // A refused row is evidence, too. Here four of ten have some.
    let mut log = day(&[&HALF[..], &["APIM-OUT-MONITOR", "APIM-OUT-SQL"]].concat());
    refuse(&mut log, SQL, 1433);
    let red = run(&log, &internal(&[]));
    red.expect(1, 1);
    check(&red.analysis["status"], json!({"word": "BLOCKED", "exit": 1}));
    check(&red.analysis["needs"], json!({"required": 10, "blocked": 1, "seen": 3, "never_tried": 6}));
    // What would be 0 is 3, whatever lesser finding there is. The word tells of the finding.
    let mut log = day(&[&HALF[..], &["APIM-OUT-MONITOR", "APIM-OUT-SQL"]].concat());
    refuse(&mut log, MONITOR, 443);
    let medium = run(&log, &internal(&[]));
    medium.expect(3, 1);
    check(&medium.analysis["status"], json!({"word": "BLOCKED", "exit": 3}));
    run(&log, &internal(&["--fail-on", "medium"])).expect(1, 1);
}

#[test]
fn each_subnet_needs_evidence_of_its_own() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.allowed(outbound(planted(hour), "10.30.2.4", STORAGE, 443)));
    let two = run(&log, &[TAGGED, &["--subnet", "10.30.2.0/24"]].concat());
    two.expect(3, 0);
    assert!(reasons(&two).iter().any(|reason| reason.as_str().is_some_and(|text| text.contains("10.30.2.0/24"))));
    // The second address of the same interface is no second place.
    let (subnet, second) = ("fd00:30:1::/64", "fd00:30:1::4");
    let flows = |log: &mut Log, is_shared: bool| {
        for hour in 0..24 {
            let flow = outbound(planted(hour), second, "2001:db8:30::5", 1433);
            log.allowed(if is_shared { flow.on_interface_of(A) } else { flow });
        }
    };
    for (is_shared, status) in [(true, 0), (false, 3)] {
        let mut log = day(&[]);
        flows(&mut log, is_shared);
        let run = run(&log, &[TAGGED, &["--subnet", subnet]].concat());
        run.expect(status, 0);
        check(coverage_row(&run, "APIM-OUT-SQL", subnet), json!({"verdict": "allowed", "allowed_tuples": 48}));
    }
}

#[test]
fn an_edition_that_does_not_fit_is_no_clean_result() {
    // Six of eleven rows, none of them on a port that API Management alone has.
    let without = ["APIM-IN-MANAGEMENT", "APIM-IN-PROBE", "APIM-OUT-SQL"];
    let mut log = day(&without);
    for arguments in [TAGGED.to_vec(), [TAGGED, &["--min-coverage", "0"]].concat()] {
        let run = run(&log, &arguments);
        run.expect(3, 0);
        run.expect_notice("edition-mismatch");
        check(&run.analysis["status"], json!({"word": "COULD NOT TELL", "exit": 3}));
        assert!(!reasons(&run).is_empty());
    }
    // 100 x 0.9 x 1 x 1 x (0.6 + 0.4 x 24/48)
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, KEY_VAULT, 443), DENY));
    let red = run(&log, TAGGED);
    red.expect(1, 1);
    check(&red.analysis["status"], json!({"word": "DEGRADED", "exit": 1}));
}

#[test]
fn an_unknown_subnet_is_no_clean_result() {
    // SQL is a port of its own, so the edition fits, but no address shows itself.
    let log = day(&["APIM-IN-MANAGEMENT", "APIM-IN-PROBE"]);
    let given = run(&log, TAGGED);
    given.expect(0, 0);
    let unknown = run(&log, &["--service-tags", TAG_FILE, "--min-coverage", "0"]);
    unknown.expect(3, 0);
    unknown.expect_notice("subnet-unknown");
    assert_eq!(unknown.notice("edition-mismatch"), None);
    check(&unknown.analysis["status"], json!({"word": "COULD NOT TELL", "exit": 3}));
    assert!(!reasons(&unknown).is_empty());
}

#[test]
fn a_whole_healthy_day_is_ok() {
    let mut log = day(&[]);
    healthy(&mut log, B, 0..24, &[]);
    for hour in 0..24 {
        log.allowed(inbound(planted(hour), CLIENT, A, 443));
        log.allowed(inbound(planted(hour), "10.30.9.7", A, 443));
    }
    let run = run(&log, &[TAGGED, &["--min-coverage", "1"]].concat());
    run.expect(0, 0);
    check(&run.analysis["status"], json!({"word": "OK", "exit": 0, "reasons": [], "min_coverage": 1.0}));
    let needs = json!({"required": 11, "blocked": 0, "degraded": 0, "seen": 11, "never_tried": 0});
    check(&run.analysis["needs"], needs);
}
