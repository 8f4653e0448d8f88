//! Tuples whose time is absurd: malformed, and nothing is judged by them.

use serde_json::{Value, json};

use crate::cases::{A, CLIENT, Run, SUBNET, TAGGED, day, deny_sql, planted, run, run_over};
use crate::support::archive::{BASE, Log, hours, inbound, place};
use crate::support::binary::{flowgap, stdout};

const DAY: i64 = hours(24);
/// 2015-01-01 and 2100-01-01, as times of an archive.
const EARLIEST: i64 = 1_420_070_400_000 - BASE;
const LATEST: i64 = 4_102_444_800_000 - BASE;

#[test]
fn a_time_centuries_off_changes_nothing() {
    let mut log = day(&["APIM-OUT-SQL"]);
    deny_sql(&mut log, 8..24);
    let clean = run(&log, TAGGED);
    clean.expect(1, 1);
    let mut odd = log.clone();
    odd.begun(inbound(500 * 365 * DAY, CLIENT, A, 443).in_record_of(hours(9)));
    let odd = run(&odd, TAGGED);
    odd.expect(1, 1);
    // No age, no end of the logs and no coverage by it.
    for key in ["findings", "causes", "coverage", "needs", "unmatched_denied", "notices", "scope"] {
        assert_eq!(odd.analysis[key], clean.analysis[key], "{key}");
    }
    let input = |run: &Run, key: &str| run.analysis["input"][key].clone();
    for key in ["first_flow", "last_flow", "tuples_in_scope", "denied_tuples", "unreadable_blobs"] {
        assert_eq!(input(&odd, key), input(&clean, key), "{key}");
    }
    assert_eq!(input(&odd, "malformed_tuples"), 1);
    assert_eq!(input(&odd, "problem_count"), 1);
    let problem = &odd.analysis["input"]["problems"][0];
    assert!(problem["blob"].as_str().is_some_and(|blob| blob.contains("/h=09/")), "{problem}");
    assert!(problem["offset"].as_u64().is_some_and(|offset| offset > 0), "{problem}");
    assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("time")), "{problem}");
}

/// Destination ports of the flows that were read, ascending.
fn ports(folder: &std::path::Path) -> Vec<u64> {
    let folder = folder.to_str().expect("UTF-8");
    let output = flowgap(&["sql", folder, "-c", "SELECT dst_port FROM flows ORDER BY dst_port", "--format", "json"]);
    let rows: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    rows.as_array().expect("a list").iter().filter_map(|row| row["dst_port"].as_u64()).collect()
}

#[test]
fn edges_of_what_a_time_may_be() {
    let mut log = Log::vnet();
    let record = hours(12);
    let cases = [
        (EARLIEST, EARLIEST, true),
        (EARLIEST - 1, EARLIEST, false),
        (LATEST, LATEST, true),
        (LATEST + 1, LATEST, false),
        (record - 90 * DAY, record, true),
        (record - 90 * DAY - 1, record, false),
        (record + 90 * DAY, record, true),
        (record + 90 * DAY + 1, record, false),
    ];
    for (port, (time, record, _)) in (1001..).zip(cases) {
        log.begun(inbound(time, CLIENT, A, port).in_record_of(record));
    }
    let right: Vec<u64> = (1001..).zip(cases).filter(|(_, (.., is_right))| *is_right).map(|(port, _)| port).collect();
    assert_eq!(ports(log.write().path()), right);
}

/// A record whose time comes after its tuples, which have these ports and times of an archive.
fn late(tuples: &[(u16, i64)]) -> String {
    let tuple = |(port, time): &(u16, i64)| format!("\"{},{CLIENT},{A},50000,{port},6,I,D,NX,0,0,0,0\"", BASE + time);
    let tuples: Vec<String> = tuples.iter().map(tuple).collect();
    format!(
        "{{\"records\":[{{\"macAddress\":\"000D3A000001\",\"category\":\"FlowLogFlowEvent\",\"flowLogVersion\":4,\
         \"flowRecords\":{{\"flows\":[{{\"aclID\":\"a\",\"flowGroups\":[{{\"rule\":\"r\",\"flowTuples\":[{}]}}]}}]}},\
         \"time\":\"2026-05-04T12:01:00Z\"}}]}}",
        tuples.join(",")
    )
}

#[test]
fn the_hour_of_the_path_stands_in_for_a_time_that_comes_late() {
    let record =
        late(&[(1, hours(12)), (2, hours(12) - 80 * DAY), (3, hours(12) - 100 * DAY), (4, hours(12) + 100 * DAY)]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = "insights-logs-flowlogflowevent/flowLogResourceID=/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_FL/\
                y=2026/m=05/d=04/h=12/m=00/macAddress=000D3A000001/PT1H.json";
    place(folder.path(), path, &record);
    assert_eq!(ports(folder.path()), [1, 2]);
    // Without such a path only the years tell.
    let folder = tempfile::tempdir().expect("a folder");
    place(folder.path(), "flows.json", late(&[(1, hours(12)), (2, hours(12) - 100 * DAY), (3, LATEST + 1)]));
    assert_eq!(ports(folder.path()), [1, 2]);
}

#[test]
fn a_shifted_record_is_one_problem() {
    let mut log = Log::vnet();
    (0..50).for_each(|nr| log.begun(inbound(planted(8) - 365 * DAY + nr, CLIENT, A, 443).in_record_of(hours(9))));
    let folder = log.write();
    let run = run_over(&[folder.path()], &["--subnet", SUBNET]);
    run.expect(3, 0);
    assert_eq!(run.analysis["input"]["problem_count"], json!(1));
    assert_eq!(run.analysis["input"]["tuples_in_scope"], json!(0));
    let problem = &run.analysis["input"]["problems"][0];
    assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("time")), "{problem}");
}
