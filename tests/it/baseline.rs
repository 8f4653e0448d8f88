//! `diff`, `analyze --baseline` and `--suppressions`: what is new, in every format, and what counts for the exit status.

use serde_json::{Value, json};

use crate::support::archive::{Log, inbound, outbound};
use crate::support::binary::{SUBNET, flowgap, stderr, stdout};

const MINUTE: i64 = 60_000;
const TAGS: [&str; 2] = ["--service-tags", "testdata/tags/ServiceTags_Example_20260504.json"];

/// A day of an instance that is probed and managed, with refused flows to these addresses and ports.
fn day(refused: &[(&str, u16)]) -> tempfile::TempDir {
    let mut log = Log::vnet();
    for step in 0..72 {
        let time = step * 20 * MINUTE;
        log.allowed(inbound(time, "168.63.129.16", "10.20.1.4", 6390));
        log.allowed(inbound(time, "192.0.2.145", "10.20.1.4", 3443));
        for (peer, port) in [("192.0.2.33", 1433), ("192.0.2.1", 443)] {
            let flow = outbound(time, "10.20.1.4", peer, port);
            match refused.contains(&(peer, port)) {
                true => log.denied(flow, "UserRule_deny-out"),
                false => log.allowed(flow),
            }
        }
    }
    log.write()
}

const SQL: (&str, u16) = ("192.0.2.33", 1433);
const STORAGE: (&str, u16) = ("192.0.2.1", 443);

fn analyze(folder: &tempfile::TempDir, more: &[&str]) -> (Option<i32>, String, String) {
    let path = folder.path().to_str().expect("UTF-8");
    let scope = ["analyze", path, "--subnet", SUBNET, "--min-coverage", "0", "--no-keep"];
    let output = flowgap(&[&scope[..], &TAGS, more].concat());
    (output.status.code(), stdout(&output), stderr(&output))
}

/// Saves an analysis of `refused`, and returns its path.
fn saved(folder: &tempfile::TempDir, name: &str, refused: &[(&str, u16)]) -> String {
    let path = folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (status, _, error) = analyze(&day(refused), &["-o", &path]);
    assert_eq!(status, Some(i32::from(!refused.is_empty())), "{error}");
    path
}

#[test]
fn diff_tells_what_is_new_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two] = [saved(&folder, "one.json", &[SQL]), saved(&folder, "two.json", &[SQL, STORAGE])];
    let none = saved(&folder, "none.json", &[]);
    for (old, new, status, says) in [
        (&one, &one, 0, "1 continuing"),
        (&one, &two, 1, "1 new, 1 continuing"),
        (&two, &one, 0, "1 resolved, 1 continuing"),
        (&none, &one, 1, "1 new"),
        (&none, &none, 0, "nothing found, then and now"),
    ] {
        let output = flowgap(&["diff", old, new]);
        assert_eq!(output.status.code(), Some(status), "{old} {new}: {}", stderr(&output));
        assert!(stdout(&output).contains(says), "{old} {new}: {}", stdout(&output));
        assert!(stdout(&output).lines().count() <= 24, "{}", stdout(&output));
    }
    for (format, says) in [
        ("markdown", "- new: CRITICAL out APIM-OUT-STORAGE TCP 443"),
        ("html", "<li>new: CRITICAL out APIM-OUT-STORAGE TCP 443"),
        ("csv", ",new\r\n"),
        ("sarif", "\"baselineState\": \"new\""),
    ] {
        let output = flowgap(&["diff", &one, &two, "--format", format]);
        assert!(stdout(&output).contains(says), "{format}: {}", stdout(&output));
    }
    let output = flowgap(&["diff", &one, &two, "--format", "json"]);
    let compared = stdout(&output);
    crate::schema::check(&compared);
    let value: Value = serde_json::from_str(&compared).expect("JSON");
    assert_eq!(value["changes"]["list"][0]["transition"], json!("new"));
    // A saved comparison is printed again as it was.
    let path = folder.path().join("compared.json").to_str().expect("UTF-8").to_owned();
    std::fs::write(&path, &compared).expect("written");
    let again = flowgap(&["report", &path, "--format", "json"]);
    assert_eq!((again.status.code(), stdout(&again)), (Some(1), compared));
    let redacted = stdout(&flowgap(&["report", &path, "--format", "json", "--redact"]));
    crate::schema::check(&redacted);
    assert!(!redacted.contains("192.0.2.33") && redacted.contains("\"transition\": \"new\""));
}

#[test]
fn a_baseline_leaves_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = saved(&folder, "one.json", &[SQL]);
    let (status, text, _) = analyze(&day(&[SQL]), &["--baseline", &one]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("BLOCKED") && text.contains("1 continuing"), "{text}");
    let (status, text, _) = analyze(&day(&[SQL, STORAGE]), &["--baseline", &one]);
    assert_eq!(status, Some(1), "{text}");
    let (status, _, error) = analyze(&day(&[SQL]), &["--baseline", "nowhere.json"]);
    assert_eq!(status, Some(2), "{error}");
    let (status, _, error) = analyze(&day(&[SQL]), &["--baseline", "Cargo.toml"]);
    assert_eq!(status, Some(2));
    assert!(error.contains("Cargo.toml is not JSON"), "{error}");
}

#[test]
fn an_old_baseline_is_refused_if_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = saved(&folder, "old.json", &[SQL]);
    for (most, status) in [("2d", 0), ("6h", 2)] {
        let more = ["--baseline", &old, "--baseline-max-age", most, "--now", "2026-05-05T12:00:00Z"];
        let (got, _, error) = analyze(&day(&[SQL]), &more);
        assert_eq!(got, Some(status), "{most}: {error}");
        assert_eq!(error.contains("older than --baseline-max-age allows"), status == 2, "{error}");
    }
}

/// Analyzes a day on which SQL is refused, with one suppression.
fn suppressed(entry: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.toml").to_str().expect("UTF-8").to_owned();
    std::fs::write(&path, format!("schema = \"flowgap.suppressions/1\"\n[[suppress]]\n{entry}\n")).expect("written");
    let now = ["--suppressions", &path, "--now", "2026-05-05T00:00:00Z"];
    analyze(&day(&[SQL]), &[&now[..], more].concat())
}

const BY: &str = "owner = \"platform-team\"\nreason = \"ticket 123\"\n";

#[test]
fn a_suppressed_finding_stays_and_does_not_count() {
    let entry = format!("requirement = \"APIM-OUT-SQL\"\nexpires = 2026-05-05\n{BY}");
    let (status, text, error) = suppressed(&entry, &[]);
    assert_eq!(status, Some(0), "{text}{error}");
    assert!(text.contains("1 suppressed: F-") && text.contains("platform-team"), "{text}");
    let (_, json, _) = suppressed(&entry, &["--format", "json"]);
    crate::schema::check(&json);
    let value: Value = serde_json::from_str(&json).expect("JSON");
    let held = &value["findings"][0]["suppressed"];
    assert_eq!((&held["owner"], &held["reason"]), (&json!("platform-team"), &json!("ticket 123")));
    assert_eq!(held["expires"], json!("2026-05-06T00:00:00.000Z"), "it holds until the end of the day");
    let verdict = |row: &&Value| row["requirement"] == "APIM-OUT-SQL";
    let row = value["coverage"].as_array().and_then(|rows| rows.iter().find(verdict)).expect("a row");
    assert_eq!(row["verdict"], json!("blocked"), "coverage is never hidden");
    assert!(value["notices"].to_string().contains("suppression-ends-soon"));
    let (_, junit, _) = suppressed(&entry, &["--format", "junit"]);
    assert!(junit.contains("<skipped message=\"accepted"), "{junit}");
    let (_, sarif, _) = suppressed(&entry, &["--format", "sarif"]);
    assert!(!sarif.contains("APIM-OUT-SQL.blocked"), "{sarif}");
    let (_, html, _) = suppressed(&entry, &["--format", "html"]);
    assert!(
        html.contains("<del>") && html.contains("Not counted: accepted by platform-team until 2026-05-05"),
        "{html}"
    );
    let says = "accepted by platform-team until 2026-05-05: ticket 123";
    for more in [
        &["--show-suppressed"][..],
        &["--show-suppressed", "--details"],
        &["--show-suppressed", "--format", "markdown"],
    ] {
        let (_, shown, _) = suppressed(&entry, &[more, &["--color", "never"]].concat());
        assert!(shown.replace("\n  ", " ").contains(says), "{more:?}: {shown}");
        assert!(!text.contains("ticket 123"), "{text}");
    }
    let (_, sarif, _) = suppressed(&entry, &["--format", "sarif", "--show-suppressed"]);
    let log: Value = serde_json::from_str(&sarif).expect("JSON");
    let accepted = &log["runs"][0]["results"][0]["suppressions"][0];
    assert_eq!((&accepted["kind"], &accepted["status"]), (&json!("external"), &json!("accepted")));
}

#[test]
fn a_suppression_ends_and_has_limits() {
    for (entry, status, says) in [
        ("requirement = \"APIM-OUT-SQL\"\nexpires = 2026-05-04", 1, "expired on 2026-05-04"),
        ("requirement = \"APIM-OUT-SQL\"\npermanent = true", 0, "suppressed"),
        ("requirement = \"APIM-OUT-SQL\"\npermanent = true\nmax_severity = \"medium\"", 1, "BLOCKED"),
        ("rule = \"deny-*\"\npermanent = true", 0, "suppressed"),
        ("rule = \"UserRule_deny-o?t\"\nsubnet = \"10.20.0.0/16\"\npermanent = true", 0, "suppressed"),
        ("subnet = \"10.21.0.0/16\"\npermanent = true", 1, "BLOCKED"),
        ("remote = \"192.0.2.32/28\"\npermanent = true", 0, "suppressed"),
        ("remote = \"192.0.2.64/28\"\npermanent = true", 1, "BLOCKED"),
        ("direction = \"inbound\"\npermanent = true", 1, "BLOCKED"),
        ("kind = \"blocked-dependency\"\nacl = \"nsg-*\"\npermanent = true", 0, "suppressed"),
    ] {
        let (got, text, error) = suppressed(&format!("{entry}\n{BY}"), &[]);
        assert_eq!(got, Some(status), "{entry}: {text}{error}");
        assert!(text.contains(says), "{entry}: {text}");
    }
    // The one that ends last holds.
    let two = format!(
        "requirement = \"APIM-OUT-SQL\"\nexpires = 2026-01-01\n{BY}[[suppress]]\nrule = \"deny-*\"\nexpires = 2027-01-01\n{BY}"
    );
    assert_eq!(suppressed(&two, &[]).0, Some(0));
    let unused = format!("requirement = \"APIM-OUT-DNS\"\npermanent = true\n{BY}");
    let (status, text, _) = suppressed(&unused, &["--details"]);
    assert_eq!(status, Some(1));
    assert!(text.contains("suppression by platform-team matches"), "{text}");
    let (status, _, error) = suppressed(&unused, &["--strict-suppressions"]);
    assert_eq!(status, Some(2));
    assert!(error.contains("1 entries match no finding"), "{error}");
}

#[test]
fn a_wrong_suppression_is_refused_with_its_place() {
    for (entry, says) in [
        ("permanent = true", "it would match every finding"),
        ("id = \"F-1\"", "expires = 2026-12-31 is missing"),
        ("id = \"F-1\"\nexpires = 2026-12-31\npermanent = true", "contradict each other"),
        ("id = \"F-1\"\nexpires = 2026-12-31T00:00:00Z", "expires is a day"),
        ("id = \"F-1\"\nexpires = \"2026-12-31\"", "s.toml, line 4, column"),
        ("idd = \"F-1\"\npermanent = true", "unknown field `idd`"),
        ("subnet = \"10.20.1.4/24\"\npermanent = true", "is no block such as 10.0.0.0/24"),
        ("kind = \"blocked\"\npermanent = true", "is not one of"),
        ("rule = \"[\"\npermanent = true", "is no pattern"),
    ] {
        let (status, text, error) = suppressed(&format!("{entry}\n{BY}"), &[]);
        assert_eq!((status, text.as_str()), (Some(2), ""), "{entry}: {error}");
        assert!(error.contains(says) && error.contains("s.toml"), "{entry}: {error}");
    }
    let (status, _, error) = suppressed("id = \"F-1\"\npermanent = true\nowner = \"a\"\nreason = \" \"", &[]);
    assert_eq!(status, Some(2));
    assert!(error.contains("reason is empty"), "{error}");
    let (status, _, error) = analyze(&day(&[SQL]), &["--suppressions", "nowhere.toml"]);
    assert_eq!(status, Some(2));
    assert!(error.contains("--suppressions nowhere.toml: "), "{error}");
}
