//! Rows that worked and fell silent, and what a refused name server explains.

use serde_json::{Value, json};

use super::{CONNECTORS, ENTRA, EVENT_HUB, coverage_row};
use crate::cases::{
    A, CLIENT, CONTROL_PLANE, DENY, DENY_IN, DNS, KEY_VAULT, MONITOR, PROBE, ROUTINE, SQL, STORAGE, SUBNET, TAGGED,
    check, healthy, planted, run,
};
use crate::support::archive::{Log, Tuple, at, hours, inbound, minutes, outbound, seconds};
use crate::support::binary::{flowgap, stdout};

/// Rows of `coverage` that fell silent, with the minute since when.
fn silent(run: &crate::cases::Run) -> Vec<(String, String)> {
    let rows = run.analysis["coverage"].as_array().expect("a list");
    let row = |row: &Value| {
        let (id, since) = (row["requirement"].as_str()?, row["silent_since"].as_str()?);
        Some((id.to_owned(), since[11..16].to_owned()))
    };
    let mut rows: Vec<(String, String)> = rows.iter().filter_map(row).collect();
    rows.sort();
    rows
}

#[test]
fn thresholds_of_silence() {
    let mut log = Log::vnet();
    let mut flows = |times: Vec<i64>, flow: &dyn Fn(i64) -> Tuple| {
        times.into_iter().for_each(|time| log.allowed(flow(time)));
    };
    let hourly = |last: i64| (0..=last).map(|hour| hours(hour) + ROUTINE).collect::<Vec<i64>>();
    let every = |step: i64, from: i64, to: i64| -> Vec<i64> {
        (0..).map(|nr| from + nr * step).take_while(|&time| time <= to).collect()
    };
    // The logs end with a probe of 23:01. Probes and name servers never fall silent here.
    flows(hourly(23), &|time| inbound(time, PROBE, A, 6390));
    flows(hourly(23), &|time| outbound(time, A, DNS, 53).udp());
    // Gaps of an hour before: four hours of silence are three times as long, two are not.
    flows(hourly(19), &|time| outbound(time, A, STORAGE, 443));
    flows(hourly(19), &|time| inbound(time, CONTROL_PLANE, A, 3443));
    flows(hourly(21), &|time| outbound(time, A, MONITOR, 443));
    // Gaps of five minutes before: 61 minutes of silence are enough, 56 are less than an hour.
    flows(every(minutes(5), hours(20), hours(22)), &|time| outbound(time, A, KEY_VAULT, 443));
    flows(every(minutes(5), hours(20), hours(22) + minutes(5)), &|time| outbound(time, A, SQL, 1433));
    // Five different steps of ten minutes in one hour, and four.
    flows(every(minutes(10), hours(10), hours(10) + minutes(40)), &|time| outbound(time, A, "198.51.100.80", 80));
    flows(every(minutes(10), hours(10), hours(10) + minutes(30)), &|time| {
        outbound(time, A, "198.51.100.123", 123).udp()
    });
    // Three different hours, and two with three steps.
    flows(vec![planted(1), planted(2), planted(3)], &|time| outbound(time, A, ENTRA, 443));
    flows(vec![planted(1), planted(1) + minutes(15), planted(3)], &|time| outbound(time, A, CONNECTORS, 443));
    // A gap of four hours before, so eleven hours of silence are less than three times as long.
    flows([0, 1, 2, 3, 4, 8, 9, 10, 11, 12].map(|hour| hours(hour) + ROUTINE).to_vec(), &|time| {
        outbound(time, A, EVENT_HUB, 5671)
    });
    // Neither outbound nor management.
    flows(hourly(10), &|time| inbound(time, CLIENT, A, 443));
    let run = run(&log, TAGGED);
    run.expect(0, 0);
    let expected = [
        ("APIM-IN-MANAGEMENT", "19:01"),
        ("APIM-OUT-CERTIFICATES", "10:40"),
        ("APIM-OUT-ENTRA", "03:30"),
        ("APIM-OUT-KEYVAULT", "22:00"),
        ("APIM-OUT-STORAGE", "19:01"),
    ];
    let expected = expected.map(|(id, since)| (id.to_owned(), since.to_owned()));
    assert_eq!(silent(&run), expected);
    for (id, _) in &expected {
        assert_eq!(run.coverage(id, SUBNET), "allowed", "{id}");
        let row = coverage_row(&run, id, SUBNET);
        assert_eq!(row["silent_since"], row["last_flow"], "{row}");
    }
    // It changes the word and not the status.
    check(&run.analysis["status"], json!({"word": "DEGRADED", "exit": 0}));
}

#[test]
fn a_management_endpoint_that_is_open_to_the_internet_falls_silent_too() {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..24, &["APIM-IN-MANAGEMENT"]);
    (0..8).for_each(|hour| log.allowed(inbound(hours(hour) + ROUTINE, CONTROL_PLANE, A, 3443)));
    // The first edition lets everybody call it.
    let run = run(&log, &["--subnet", SUBNET, "--edition", "2016-12"]);
    assert!(silent(&run).contains(&("APIM-IN-MANAGEMENT".to_owned(), "07:01".to_owned())), "{:?}", silent(&run));
}

#[test]
fn six_dependencies_fall_silent_after_names_are_refused() {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..8, &[]);
    healthy(
        &mut log,
        A,
        8..24,
        &[
            "APIM-OUT-DNS",
            "APIM-OUT-STORAGE",
            "APIM-OUT-SQL",
            "APIM-OUT-KEYVAULT",
            "APIM-OUT-MONITOR",
            "APIM-OUT-CERTIFICATES",
        ],
    );
    (0..8).for_each(|hour| log.allowed(outbound(hours(hour) + ROUTINE, A, ENTRA, 443)));
    // What was open stays open for a while.
    log.allowed(outbound(hours(8) + minutes(4), A, STORAGE, 443));
    for (hour, nr) in (8..24).flat_map(|hour| (0..6).map(move |nr| (hour, nr))) {
        log.denied(outbound(hours(hour) + minutes(10 * nr), A, DNS, 53).udp(), "UserRule_deny-hub");
    }
    let run = run(&log, TAGGED);
    run.expect(1, 1);
    // 100 x 0.9 x 1 x 1 x 1
    check(
        run.find("APIM-OUT-DNS"),
        json!({
            "severity": "critical", "score": 90.0, "verdict": "blocked", "first_denied": at(hours(8)),
            "last_allowed_before": at(hours(7) + ROUTINE), "worked_before": true, "follows_dns": false,
        }),
    );
    let silent = silent(&run);
    let ids: Vec<&str> = silent.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "APIM-OUT-CERTIFICATES",
            "APIM-OUT-ENTRA",
            "APIM-OUT-KEYVAULT",
            "APIM-OUT-MONITOR",
            "APIM-OUT-SQL",
            "APIM-OUT-STORAGE",
        ]
    );
    // The latest of the times is the one to be said.
    assert_eq!(silent.iter().map(|(_, since)| since.as_str()).max(), Some("08:04"));
    assert_eq!(coverage_row(&run, "APIM-OUT-DNS", SUBNET)["silent_since"], Value::Null, "it is blocked");
    assert_eq!(coverage_row(&run, "APIM-IN-MANAGEMENT", SUBNET)["silent_since"], Value::Null, "it goes on");
    check(&run.analysis["status"], json!({"word": "BLOCKED", "exit": 1}));
    check(&run.analysis["needs"], json!({"blocked": 1}));
}

#[test]
fn only_later_refusals_of_addresses_without_their_tag_follow_from_names() {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..6, &[]);
    healthy(&mut log, A, 6..24, &["APIM-OUT-DNS", "APIM-OUT-SQL", "APIM-OUT-KEYVAULT", "APIM-IN-MANAGEMENT"]);
    (6..24).for_each(|hour| log.denied(outbound(planted(hour), A, "198.51.100.65", 1886), "UserRule_deny-monitor"));
    (8..24).for_each(|hour| log.denied(outbound(planted(hour), A, DNS, 53).udp(), DENY));
    for hour in 12..24 {
        log.denied(outbound(planted(hour), A, "198.51.100.33", 1433), "UserRule_deny-sql");
        log.denied(outbound(planted(hour), A, KEY_VAULT, 443), "UserRule_deny-vault");
        log.denied(inbound(planted(hour) + seconds(1), "198.51.100.35", A, 3443), DENY_IN);
    }
    let run = run(&log, TAGGED);
    run.expect(1, 5);
    let follows = |id: &str| run.find(id)["follows_dns"] == json!(true);
    assert!(follows("APIM-OUT-SQL"), "it began later, and the address is not in the file");
    for arguments in [TAGGED, &[TAGGED, &["--details"]].concat()] {
        let folder = log.write();
        let report = stdout(&flowgap(&[&["analyze", folder.path().to_str().expect("UTF-8")], arguments].concat()));
        assert_eq!(report.matches("may follow from DNS").count(), 1, "{report}");
    }
    assert!(!follows("APIM-OUT-MONITOR"), "it began before");
    assert!(!follows("APIM-OUT-KEYVAULT"), "the address is one of Key Vault's, so its name was resolved");
    assert!(!follows("APIM-IN-MANAGEMENT"), "callers resolve their own names");
    assert!(!follows("APIM-OUT-DNS"), "it is the cause");
}
