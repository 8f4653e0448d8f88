//! Exports of rules, network status and changes: in blobs and folders, cut and hostile, and tried against all refused
//! flows of the logs.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flowgap::platform::Recordings;
use serde_json::{Value, json};

use crate::cases::{A, SQL, SUBNET, TAGGED, day, planted};
use crate::configured::file;
use crate::policy::shapes::{az, rule};
use crate::support::archive::{ACL, at, inbound, outbound};
use crate::support::azurite::{Azurite, KEY};
use crate::support::binary::{check_status, command, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const GROUP: &str = "testdata/policy/nsg-apim.json";
const STATUS: &str = "testdata/policy/network-status.json";
const LOG: &str = "testdata/policy/activity-log.json";
const WINDOW: [&str; 4] = ["--from", "2026-05-04", "--to", "2026-05-06"];

fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("a file")
}

/// The events of the example in the dialect of blobs, a line each.
fn lines() -> Vec<String> {
    let events: Vec<Value> = serde_json::from_str(&text_of(LOG)).expect("JSON");
    let line = |event: &Value| {
        let operation = event["operationName"]["value"].as_str().expect("a name").to_uppercase();
        let claims = json!({ "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": event["caller"] });
        json!({ "time": event["eventTimestamp"], "operationName": operation, "resultType": event["status"]["value"],
            "resourceId": event["resourceId"], "correlationId": event["correlationId"], "identity": { "claims": claims },
            "properties": { "eventProperties": event["properties"] } })
        .to_string()
    };
    events.iter().map(line).collect()
}

/// A blob of the activity log in Azure's layout.
fn hour(day: &str, hour: u32) -> String {
    format!("resourceId=/SUBSCRIPTIONS/5E1F0A6C-2B7D-4C39-9A84-D30B6E7715F2/{day}/h={hour:02}/m=00/PT1H.json")
}

fn analysis(arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let output = command(&[&["analyze", "--no-keep", "--format", "json"], arguments].concat())
        .envs(variables.iter().copied())
        .output()
        .expect("flowgap starts");
    let text = stdout(&output);
    assert!(!text.is_empty(), "{}", stderr(&output));
    crate::schema::check(&text);
    serde_json::from_str(&text).expect("JSON")
}

fn finding<'a>(analysis: &'a Value, key: &str, value: &str) -> &'a Value {
    let findings = analysis["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding[key] == value).unwrap_or_else(|| panic!("{value}: {findings:?}"))
}

fn notice<'a>(analysis: &'a Value, code: &str) -> Option<&'a str> {
    let notices = analysis["notices"].as_array().expect("notices");
    notices.iter().find(|notice| notice["code"] == code)?["message"].as_str()
}

#[test]
fn exports_in_blobs_say_what_those_in_files_say() {
    let azurite = Azurite::start();
    for container in ["exports", "insights-activity-logs"] {
        azurite.create_container(container, &[]);
    }
    azurite.put("exports", "config/nsg.json", text_of(GROUP).into_bytes());
    azurite.put("exports", "config/status.json", text_of(STATUS).into_bytes());
    // The events of one operation are in two hours. Hours outside of the window are not read.
    let lines = lines();
    let whole = |part: &[String]| part.join("\r\n").into_bytes();
    azurite.put("insights-activity-logs", &hour("y=2026/m=05/d=04", 6), whole(&lines[..1]));
    azurite.put("insights-activity-logs", &hour("y=2026/m=05/d=04", 7), whole(&lines[1..]));
    azurite.put("insights-activity-logs", &hour("y=2026/m=05/d=03", 0), whole(&lines[2..]));
    for other in ["y=2026/m=04/d=01", "y=2026/m=06/d=01"] {
        azurite.put("insights-activity-logs", &hour(other, 1), b"{ damaged".to_vec());
    }
    let account = azurite.account();
    let [nsg, status] = ["nsg", "status"].map(|name| format!("{account}/exports/config/{name}.json"));
    let key = [("AZURE_STORAGE_ACCOUNT_KEY", KEY)];
    let common = [&[ARCHIVE, "--service-tags", crate::cases::TAG_FILE], &WINDOW[..]].concat();
    let local = [&common[..], &["--nsg", GROUP, "--network-status", STATUS, "--activity-log", LOG]].concat();
    let mut expected = analysis(&local, &[]);
    assert_eq!(expected["findings"][0]["change"]["certainty"], "caused", "{expected}");
    for log in [
        account.clone(),
        format!("{account}/insights-activity-logs"),
        format!("{account}/insights-activity-logs/resourceId="),
    ] {
        let remote = [&common[..], &["--nsg", &nsg, "--network-status", &status, "--activity-log", &log]].concat();
        let mut found = analysis(&remote, &key);
        // Blobs write operations and ids in capitals, and name the actor by a claim.
        assert_eq!(notice(&found, "changes-unread"), None, "{found}");
        for part in [&mut expected, &mut found] {
            part["notices"] = Value::Null;
        }
        assert_eq!(found, expected, "{log}");
    }
    // A folder below a container is read whole.
    let check = ["check", "--no-service-tags", "--fail-on", "critical", "--nsg", &nsg];
    let output = command(&check).envs(key).output().expect("flowgap starts");
    assert!(matches!(output.status.code(), Some(0..=3)), "{}", stderr(&output));
    assert!(stdout(&output).contains("nsg-apim-example"), "{}", stdout(&output));
    let all = [&common[..], &["--activity-log", &account, "--nsg"]].concat();
    for (place, status, says) in [
        (format!("{account}/exports/none.json"), 4, "there is no *.json in"),
        (format!("{account}/none/x.json"), 4, "there is no such container"),
        (account.clone(), 4, "is not an address of Blob Storage"),
        ("https://example.com/x?sig=SECRET".to_owned(), 4, "is not an address of Blob Storage"),
        (format!("{account}/exports/config"), 2, "holds no rules and no routes"),
    ] {
        let arguments = [&["analyze"], &all[..], &[&place]].concat();
        let output = command(&arguments).envs(key).output().expect("flowgap starts");
        let said = stderr(&output);
        assert!(
            output.status.code() == Some(status) && said.contains("--nsg ") && said.contains(says),
            "{place}: {said}"
        );
        assert!(!said.contains("SECRET"), "{said}");
    }
}

#[test]
fn what_cannot_be_read_of_a_folder_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: String, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    let lines = lines();
    place(hour("y=2026/m=05/d=04", 6), &format!("{}\n{}", lines[0], &lines[1][..90]));
    place(hour("y=2026/m=05/d=04", 7), &lines[1]);
    place(hour("y=2026/m=05/d=04", 8), "{ damaged");
    place(hour("y=2026/m=05/d=04", 9), &format!("{}\n{{\"time\": \"yesterday\"}}", lines[2]));
    (0..300).for_each(|nr| place(format!("other/{nr}.json"), &lines[2]));
    // A folder that leads to itself is no end.
    std::os::unix::fs::symlink(folder.path(), folder.path().join("other/again")).expect("a link");
    let log = folder.path().to_str().expect("UTF-8");
    let found = analysis(&[ARCHIVE, "--service-tags", crate::cases::TAG_FILE, "--activity-log", log], &[]);
    assert_eq!(finding(&found, "requirement", "APIM-OUT-SQL")["change"]["actor"], "ops@example.com");
    let said = notice(&found, "changes-unread").expect("a notice");
    for part in
        ["h=06/m=00/PT1H.json: 1 lines are damaged JSON", "h=09/m=00/PT1H.json: 1 elements are no events", "h=08"]
    {
        assert!(said.contains(part), "{said}");
    }
    // With nothing readable, the run is refused.
    let empty = tempfile::tempdir().expect("a folder");
    std::fs::write(empty.path().join("x.json"), "[1, 2]").expect("written");
    let empty = empty.path().to_str().expect("UTF-8");
    check_status(&["analyze", ARCHIVE, "--activity-log", empty], 2, "x.json: this JSON holds no events");
    check_status(&["analyze", ARCHIVE, "--nsg", empty], 2, "x.json: this JSON holds no rules and no routes");
    check_status(&["analyze", ARCHIVE, "--network-status", "tests/it"], 4, "there is no *.json in tests/it");
}

#[test]
fn every_cut_of_an_export_is_read_or_refused_with_a_sentence() {
    let group = text_of(GROUP);
    let log = lines().join("\n");
    let status = text_of(STATUS);
    for at in (0..group.len()).step_by(97) {
        let Err(error) = flowgap::policy::Policy::default().add_text("x.json", &group[..at]) else { panic!("{at}") };
        let said = error.to_string();
        assert!(said.starts_with("x.json: ") && said.contains("export it again"), "{said}");
    }
    for at in (0..status.len()).step_by(97) {
        assert!(flowgap::platform::read_status("x.json", &status[..at]).is_err(), "{at}");
    }
    let first = log.find('\n').expect("a line");
    for at in (0..log.len()).step_by(31) {
        let mut recordings = Recordings::default();
        let read = recordings.add_text("x.json", &log[..at]);
        assert_eq!(read.is_ok(), at >= first, "{at}: {read:?}");
    }
    // What a cut leaves of a list over several lines is no list of lines.
    let cut = "[\n{\"eventTimestamp\": \"2026-05-04T06:00:00Z\", \"operationName\": \"x/write\"},\n{}\n";
    assert!(Recordings::default().add_text("x.json", cut).is_err());
}

#[test]
fn pages_and_columns_of_resource_graph() {
    let row = |time: &str, more: Value| {
        let mut row = json!({ "properties_targetResourceId": ACL, "properties_changeAttributes_timestamp": time,
            "properties_targetResourceType": "microsoft.network/networksecuritygroups", "properties_changeAttributes_changedBy": "ops@example.com" });
        row.as_object_mut().expect("keys").extend(more.as_object().expect("keys").clone());
        row
    };
    let other = json!({ "properties_targetResourceType": "microsoft.compute/virtualmachines" });
    let page = json!({ "count": 2, "skip_token": "x", "data": [row("2026-05-04T06:00:00Z", json!({})), row("2026-05-03T06:00:00Z", other.clone())] });
    let mut recordings = Recordings::default();
    recordings.add_text("x.json", &page.to_string()).expect("rows");
    let recordings = recordings.sorted();
    assert_eq!(recordings.changes.len(), 1);
    assert_eq!(recordings.changes[0].actor.as_deref(), Some("ops@example.com"));
    // A change that does not matter shows how far back the rows reach.
    assert_eq!(recordings.first.map(|time| time.to_string()).as_deref(), Some("2026-05-03T06:00:00.000Z"));
    assert_eq!(recordings.unread, ["x.json: it is one page of several"]);
    let none = json!([row("2026-05-03T06:00:00Z", other)]).to_string();
    Recordings::default().add_text("x.json", &none).expect("rows that do not matter");
}

#[test]
fn a_change_of_routes_explains_missing_answers() {
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| {
        if hour < 6 {
            log.allowed(outbound(planted(hour), A, SQL, 1433))
        } else {
            log.unanswered(outbound(planted(hour), A, SQL, 1433))
        }
    });
    let (folder, exports) = (log.write(), tempfile::tempdir().expect("a folder"));
    let table = "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg/providers/Microsoft.Network/routeTables/rt-apim";
    let event = |time: i64, operation: &str, resource: &str| {
        json!({ "eventTimestamp": at(time), "operationName": { "value": operation }, "status": { "value": "Succeeded" },
            "caller": "ops@example.com", "resourceId": resource, "correlationId": operation })
    };
    let route =
        event(planted(6) - 600_000, "Microsoft.Network/routeTables/routes/write", &format!("{table}/routes/default"));
    let rule = event(
        planted(6) - 60_000,
        "Microsoft.Network/networkSecurityGroups/securityRules/write",
        &format!("{ACL}/securityRules/x"),
    );
    let subnet = event(planted(6) - 30_000, "Microsoft.Network/virtualNetworks/subnets/write", "/x/subnets/apim");
    let old = event(planted(0) - 7_200_000, "Microsoft.Storage/storageAccounts/write", "/x");
    let source = folder.path().to_str().expect("UTF-8");
    for (events, certainty, candidates) in
        [(vec![&old, &rule, &route], "probable", 1), (vec![&old, &rule, &route, &subnet], "possible", 2)]
    {
        let path = file(&exports, "changes.json", &json!(events));
        let found = analysis(&[&[source, "--activity-log", &path], TAGGED].concat(), &[]);
        let change = &finding(&found, "kind", "unanswered-dependency")["change"];
        assert_eq!(change["operation"], "microsoft.network/routetables/routes/write", "{found}");
        assert_eq!((&change["certainty"], &change["candidates"]), (&json!(certainty), &json!(candidates)));
    }
    let path = file(&exports, "changes.json", &json!([old, rule]));
    let found = analysis(&[&[source, "--activity-log", &path], TAGGED].concat(), &[]);
    let silent = finding(&found, "kind", "unanswered-dependency");
    assert!(silent["change"].is_null(), "{silent}");
    let words = silent["explanation"].as_str().expect("words");
    assert!(words.contains("The activity log has no change of it between"), "{words}");
}

#[test]
fn a_repeated_write_is_not_what_began_it() {
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| {
        let flow = outbound(planted(hour), A, SQL, 1433);
        if hour < 6 { log.allowed(flow) } else { log.denied(flow, "UserRule_deny-sql") }
    });
    let (folder, exports) = (log.write(), tempfile::tempdir().expect("a folder"));
    let event = |time: i64, who: &str, access: &str, id: &str| {
        let body = json!({ "name": "deny-sql", "properties": { "protocol": "Tcp", "sourcePortRange": "*", "destinationPortRange": "1433",
            "sourceAddressPrefix": "*", "destinationAddressPrefix": "Sql", "access": access, "priority": 200, "direction": "Outbound" } });
        json!({ "eventTimestamp": at(time), "operationName": { "value": "Microsoft.Network/networkSecurityGroups/securityRules/write" },
            "status": { "value": "Accepted" }, "caller": who, "resourceId": format!("{ACL}/securityRules/deny-sql"), "correlationId": id,
            "properties": { "responseBody": body.to_string() } })
    };
    let six = planted(6);
    let events = json!([
        event(six - 7_200_000, "pipeline", "Allow", "1"),
        event(six - 1_800_000, "ops@example.com", "Deny", "2"),
        event(six - 60_000, "pipeline", "Deny", "3"),
    ]);
    let path = file(&exports, "changes.json", &events);
    let source = folder.path().to_str().expect("UTF-8");
    let found = analysis(&[&[source, "--activity-log", &path], TAGGED].concat(), &[]);
    let change = &finding(&found, "requirement", "APIM-OUT-SQL")["change"];
    assert_eq!((&change["actor"], &change["certainty"]), (&json!("ops@example.com"), &json!("caused")), "{change}");
}

#[test]
fn a_change_is_tried_against_every_refused_flow() {
    let mut log = day(&["APIM-OUT-SQL", "APIM-IN-MANAGEMENT"]);
    let (deny, deny_in) = ("UserRule_deny-all-outbound", "UserRule_deny-in");
    for hour in 0..24 {
        log.denied(outbound(planted(hour), A, SQL, 1433), deny);
        log.denied(inbound(planted(hour), crate::cases::CONTROL_PLANE, A, 3443), deny_in);
        // Scanners, whose ports the analysis does not keep.
        log.denied(inbound(planted(hour), "203.0.113.77", A, 5000), deny_in);
    }
    // More peers than any list of the report has.
    let peers: Vec<String> = (0..300).map(|nr| format!("198.51.{}.{}", 100 + nr / 200, 1 + nr % 200)).collect();
    peers.iter().for_each(|peer| log.denied(outbound(planted(3), A, peer, 8080), deny));
    let (folder, exports) = (log.write(), tempfile::tempdir().expect("a folder"));
    let out = |name: &str, priority: u32, access: &str, to: &str| {
        rule(name, priority, "Outbound", access, "*", json!("*"), json!(to), json!("*"))
    };
    let into = |name: &str, priority: u32, access: &str| {
        rule(name, priority, "Inbound", access, "*", json!("Internet"), json!("*"), json!("*"))
    };
    let mut group = az(&[
        out("deny-all-outbound", 4000, "Deny", "*"),
        out("allow-internet", 4010, "Allow", "Internet"),
        into("deny-in", 3000, "Deny"),
        into("allow-in", 3010, "Allow"),
    ]);
    group["id"] = json!(ACL);
    group["name"] = json!(ACL.rsplit('/').next());
    let path = file(&exports, "group.json", &group);
    let source = folder.path().to_str().expect("UTF-8");
    let found = analysis(&[&[source, "--nsg", &path], TAGGED].concat(), &[]);
    let sql = &finding(&found, "requirement", "APIM-OUT-SQL")["fix"];
    assert_eq!(sql["existing_rule"], "allow-internet", "{sql}");
    let simulated = &sql["simulated"];
    assert_eq!(
        (&simulated["newly_allowed_flows"], &simulated["newly_allowed_tuples"], &simulated["not_replayed_tuples"]),
        (&json!(300), &json!(300), &json!(0)),
        "{simulated}"
    );
    assert_eq!(simulated["newly_allowed"].as_array().map(Vec::len), Some(100));
    let note = sql["note"].as_str().expect("a note");
    assert!(note.contains("lets 300 other flows of the logs pass"), "{note}");
    let management = &finding(&found, "requirement", "APIM-IN-MANAGEMENT")["fix"];
    assert_eq!(management["existing_rule"], "allow-in", "{management}");
    assert_eq!(management["simulated"]["not_replayed_tuples"], 24, "{management}");
    // A new rule for the requirement alone opens nothing else.
    group["securityRules"].as_array_mut().expect("rules").retain(|rule| rule["access"] == "Deny");
    let path = file(&exports, "group.json", &group);
    let found = analysis(&[&[source, "--nsg", &path], TAGGED].concat(), &[]);
    let simulated = &finding(&found, "requirement", "APIM-OUT-SQL")["fix"]["simulated"];
    assert_eq!((&simulated["newly_allowed_flows"], &simulated["verdict"]), (&json!(0), &json!("allow")), "{found}");
}

/// Runs `check` over a file, with the address space of the process limited to 1.5 GB. Returns what it said.
fn limited(path: &Path) -> String {
    let script = "ulimit -v 1500000; exec \"$@\"";
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "bash", env!("CARGO_BIN_EXE_flowgap"), "check", "--no-service-tags", "--nsg"])
        .arg(path);
    let output = command.stdout(Stdio::null()).output().expect("bash starts");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn a_huge_export_is_refused_in_bounded_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.json");
    let write = |head: &str, part: &str, bytes: usize| {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
        file.write_all(head.as_bytes()).expect("written");
        (0..bytes / part.len()).for_each(|_| file.write_all(part.as_bytes()).expect("written"));
    };
    for (head, part, bytes, says) in [
        ("[", "0,", 60 << 20, "more than 3 million values"),
        ("{\"value\":[{}", ",{\"a\":{}}", 60 << 20, "more than 3 million values"),
        ("", "[", 60 << 20, "more than 3 million values"),
        ("[", "[[[[[[[[[[", 1 << 20, "the JSON is damaged"),
        ("{\"securityRules\":[", "{\"name\":\"x\"},", 4 << 20, "the JSON ends too early"),
        ("{\"a\":\"", "x", 1 << 26, "larger than 64 MiB"),
    ] {
        write(head, part, bytes);
        let said = limited(&path);
        assert!(said.contains(says), "{part}: {said}");
    }
}

#[test]
fn a_pipe_is_an_export() {
    let script = format!("\"$0\" check --no-service-tags --exit-zero --subnet {SUBNET} --nsg <(cat {GROUP})");
    let output = Command::new("bash").args(["-c", &script, env!("CARGO_BIN_EXE_flowgap")]).current_dir(root()).output();
    let output = output.expect("bash starts");
    assert!(stdout(&output).contains("nsg-apim-example"), "{}", stderr(&output));
}
