//! What the report says beside its findings; `cases.rs` has those that belong to a case.

use crate::cases::{A, DENY, KEY_VAULT, SQL, STORAGE, SUBNET, TAG_FILE, TAGGED, day, deny_sql, healthy, planted, run};
use crate::support::archive::{Log, hours, inbound, minutes, outbound};

/// The tag file of the tests under another name and cloud.
fn tag_file(name: &str, cloud: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    let text = std::fs::read_to_string(TAG_FILE).expect("the tag file");
    assert!(text.contains("\"cloud\": \"Public\""));
    let text = text.replace("\"cloud\": \"Public\"", &format!("\"cloud\": \"{cloud}\""));
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

#[test]
fn a_tag_file_much_older_than_the_logs_is_stale() {
    // The archives are of May 2026.
    for (name, is_old) in [("ServiceTags_Public_20260302.json", true), ("ServiceTags_Public_20260406.json", false)] {
        let (_folder, file) = tag_file(name, "Public");
        let notice = run(&day(&[]), &["--subnet", SUBNET, "--service-tags", &file]);
        let notice = notice.notice("service-tags-old");
        assert_eq!(notice.is_some(), is_old, "{name}: {notice:?}");
        assert!(notice.is_none_or(|text| text.contains("63 days")), "{notice:?}");
    }
}

#[test]
fn a_tag_file_without_a_date_in_its_name_is_dated_by_its_change_number() {
    // 376 of the public cloud is of November 2025, an earlier number is older, and a later one has no known date.
    for (number, code) in [(376, "service-tags-old"), (300, "service-tags-old"), (412, "service-tags-undated")] {
        let (_folder, file) = tag_file("tags.json", "Public");
        let text = std::fs::read_to_string(&file).expect("the tag file");
        let numbered = text.replacen("\"changeNumber\": 412", &format!("\"changeNumber\": {number}"), 1);
        assert!(number == 412 || numbered != text);
        std::fs::write(&file, numbered).expect("a file");
        let run = run(&day(&[]), &["--subnet", SUBNET, "--service-tags", &file]);
        for known in ["service-tags-old", "service-tags-undated"] {
            assert_eq!(run.notice(known).is_some(), known == code, "{number}: {known}");
        }
    }
}

#[test]
fn a_tag_file_belongs_to_the_cloud_of_the_logs() {
    for (region, cloud, is_right) in [
        ("WESTEUROPE", "Public", true),
        ("WESTEUROPE", "AzureGovernment", false),
        ("USGOVVIRGINIA", "AzureGovernment", true),
        ("USGOVVIRGINIA", "Public", false),
        ("CHINANORTH3", "China", true),
        ("CHINANORTH3", "Public", false),
    ] {
        let (_folder, file) = tag_file("ServiceTags_20260504.json", cloud);
        let run = run(&day(&[]).in_region(region), &["--subnet", SUBNET, "--service-tags", &file]);
        let notice = run.notice("service-tags-other-cloud");
        assert_eq!(notice.is_none(), is_right, "{region} {cloud}: {notice:?}");
        assert!(notice.is_none_or(|text| text.contains(cloud)), "{notice:?}");
        // A file of another cloud counts as not loaded, and a healthy day is healthy without one, too.
        run.expect(0, 0);
    }
}

#[test]
fn states_dropped_on_the_way_are_noticed() {
    let mut log = day(&["APIM-OUT-SQL"]);
    deny_sql(&mut log, 12..24);
    (0..12).for_each(|hour| log.allowed(outbound(planted(hour), A, SQL, 1433)));
    let whole = run(&log, TAGGED);
    assert_eq!(whole.notice("states-filtered-at-source"), None);
    let cut = run(&log.without('B'), TAGGED);
    cut.expect_notice("states-filtered-at-source");
    // Ends stand for new flows then: the last one ended after the last begin.
    for run in [&whole, &cut] {
        assert_eq!(run.find("APIM-OUT-SQL")["verdict"], "blocked");
        assert_eq!(run.find("APIM-OUT-SQL")["denied_tuples"], 12);
    }
    let before = |run: &crate::cases::Run| run.find("APIM-OUT-SQL")["last_allowed_before"].clone();
    assert!(before(&cut).as_str() > before(&whole).as_str(), "{} {}", before(&cut), before(&whole));
}

#[test]
fn an_edition_whose_own_ports_no_flow_uses_may_be_the_wrong_one() {
    assert_eq!(run(&day(&[]), TAGGED).notice("edition-mismatch"), None);
    let mut log = Log::vnet();
    (0..24).for_each(|hour| log.allowed(outbound(planted(hour), A, STORAGE, 443)));
    (0..24).for_each(|hour| log.allowed(inbound(planted(hour), "203.0.113.9", A, 443)));
    let notice = run(&log, TAGGED);
    assert!(notice.expect_notice("edition-mismatch").contains("2026-04-30"));
}

#[test]
fn denials_from_the_first_hour_on_may_be_older() {
    let mut log = day(&["APIM-OUT-SQL"]);
    log.denied(outbound(minutes(20), A, SQL, 1433), DENY);
    deny_sql(&mut log, 1..24);
    let from_start = run(&log, TAGGED);
    let id = from_start.find("APIM-OUT-SQL")["id"].as_str().expect("an id").to_owned();
    assert!(from_start.expect_notice("window-edge").contains(&id));

    let mut log = Log::vnet();
    healthy(&mut log, A, 0..24, &[]);
    log.denied(outbound(hours(2), A, SQL, 1433), DENY);
    assert_eq!(run(&log, TAGGED).notice("window-edge"), None);
}

#[test]
fn escaped_input_says_that_it_is_slower() {
    assert_eq!(run(&day(&[]), TAGGED).notice("slow-path-input"), None);
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, SQL, 1433), r"UserRule_deny\u002dall\/out"));
    let escaped = run(&log, TAGGED);
    escaped.expect_notice("slow-path-input");
    assert_eq!(escaped.find("APIM-OUT-SQL")["rule"], "UserRule_deny-all/out");
}

#[test]
fn too_many_findings_are_cut_after_the_worst() {
    let mut log = day(&[]);
    for rule in 0..10_020 {
        log.denied(outbound(planted(9), A, SQL, 1433), &format!("UserRule_deny-{rule:05}"));
    }
    // One of another need, by the default rule, refused more often than the others.
    for minute in 0..5 {
        log.denied(outbound(planted(9) + minutes(minute), A, KEY_VAULT, 443), DENY);
    }
    let run = run(&log, &[TAGGED, &["--fail-on", "info"]].concat());
    assert_eq!(run.findings().len(), 10_000);
    assert!(run.expect_notice("findings-cut").contains("Of 10021 findings, the first 10000 are listed"));
    let listed: u64 = run.findings().iter().map(|finding| finding["denied_tuples"].as_u64().expect("a count")).sum();
    assert!(listed < 10_025, "{listed}");
    assert_eq!(run.analysis["input"]["denied_in_scope"], 10_025);
    let sql = run.analysis["coverage"].as_array().expect("rows").iter().filter(|row| row["denied_tuples"] == 10_020);
    assert_eq!(sql.count(), 1, "the coverage counts what is not listed");
    assert!(run.analysis["status"]["reasons"][0].as_str().is_some_and(|reason| reason.contains("10021 findings are")));
}
