//! `flowgap check`, and `analyze` with rules, network status and activity log: the real binary, every format and status.

use flowgap::platform::{ChangeSource, Recordings, Target};
use serde_json::{Value, json};

use crate::policy::shapes::{NSG, az, base, rule};
use crate::support::binary::{analyze, check_golden, check_status, flowgap, root, stderr, stdout};

const GROUP: &str = "testdata/policy/nsg-apim.json";
const ROUTES: &str = "testdata/policy/routes.json";
const STATUS: &str = "testdata/policy/network-status.json";
const LOG: &str = "testdata/policy/activity-log.json";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";

/// Writes a file for one run.
fn file(folder: &tempfile::TempDir, name: &str, value: &Value) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, value.to_string()).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn json_of(arguments: &[&str]) -> Value {
    let output = flowgap(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
}

/// The row of a requirement in a check.
fn row<'a>(check: &'a Value, id: &str) -> &'a Value {
    let rows = check["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["requirement"] == id).unwrap_or_else(|| panic!("{id}: {check}"))
}

#[test]
fn check_prints_what_the_rules_refuse() {
    let arguments = [
        "check",
        "--nsg",
        GROUP,
        "--nsg",
        ROUTES,
        "--subnet",
        "10.20.1.0/24",
        "--vnet",
        "10.20.0.0/16",
        "--service-tags",
        TAGS,
    ];
    let text = flowgap(&arguments);
    assert_eq!(text.status.code(), Some(1), "{}", stderr(&text));
    check_golden("check.txt", &stdout(&text));
    // A longer word, such as a description, gets a line of its own.
    assert!(stdout(&text).lines().all(|line| line.chars().count() <= 80 || line.contains("'flowgap F-")));
    for (format, holds) in [
        ("json", "\"schema\": \"flowgap.check/1\""),
        ("csv", "APIM-OUT-SQL"),
        ("markdown", "## Fix of APIM-OUT-SQL"),
        ("html", "<h3>critical: APIM-OUT-SQL"),
        ("sarif", "\"APIM-OUT-SQL.configuration\""),
        ("junit", "APIM-OUT-SQL is refused"),
    ] {
        let output = flowgap(&[&arguments[..], &["--format", format]].concat());
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(stdout(&output).contains(holds), "{format}: {}", stdout(&output));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("check.parquet");
    let output = flowgap(&[&arguments[..], &["-o", path.to_str().expect("UTF-8")]].concat());
    assert!(output.status.code() == Some(1) && std::fs::read(&path).expect("a file").starts_with(b"PAR1"));
    let check = json_of(&[&arguments[..], &["--format", "json"]].concat());
    let sql = row(&check, "APIM-OUT-SQL");
    assert_eq!(
        (&sql["verdict"], &sql["path"], &sql["behind"]),
        (&json!("deny"), &json!("tunnelled"), &json!(["allow-sql-out"]))
    );
    assert_eq!(
        (&sql["fix"]["existing_rule"], &sql["fix"]["simulated"]["verdict"]),
        (&json!("allow-sql-out"), &json!("allow"))
    );
    let monitor = row(&check, "APIM-OUT-MONITOR");
    assert_eq!((&monitor["verdict"], &monitor["near_misses"][0]["miss"]), (&json!("partly"), &json!("port")));
    assert_eq!(row(&check, "APIM-IN-CLIENT")["severity"], json!("info"));
    assert_eq!(check["shadowed"][0]["rule"], json!("allow-sql-out"));
    let codes: Vec<&str> =
        check["notices"].as_array().expect("notices").iter().filter_map(|notice| notice["code"].as_str()).collect();
    assert_eq!(codes, ["vnet-mode-unknown", "forced-tunnelling", "return-path"]);
}

#[test]
fn every_exit_status_of_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, rules: &[Value]| file(&folder, name, &az(rules));
    let open = |more: &[Value]| {
        let tcp = |name: &str, priority: u32, source: &str, port: &str| {
            rule(name, priority, "Inbound", "Allow", "Tcp", json!(source), json!("VirtualNetwork"), json!(port))
        };
        let both = [tcp("clients", 100, "Internet", "443"), tcp("management", 110, "ApiManagement", "3443")];
        [&both[..], more].concat()
    };
    let fine = write("fine.json", &open(&[]));
    let unknown = write(
        "unknown.json",
        &open(&[rule("broken", 100, "Outbound", "Deny", "Tcp", json!("*"), json!(""), json!("1433"))]),
    );
    let closed = write(
        "closed.json",
        &open(&[rule("deny-sql", 200, "Outbound", "Deny", "Tcp", json!("*"), json!("Sql"), json!("1433"))]),
    );
    let scope = ["--subnet", "10.20.1.0/24", "--vnet", "10.20.0.0/16", "--vnet-mode", "external", "--no-service-tags"];
    for (path, more, status) in [
        (&fine, &[][..], 0),
        (&unknown, &[], 3),
        (&closed, &[], 1),
        (&closed, &["--exit-zero"], 0),
        (&closed, &["--fail-on", "critical"], 1),
    ] {
        let output = flowgap(&[&["check", "--nsg", path], &scope[..], more].concat());
        assert_eq!(output.status.code(), Some(status), "{path} {more:?}: {}{}", stdout(&output), stderr(&output));
    }
    let output = stdout(&flowgap(&[&["check", "--nsg", &unknown], &scope[..]].concat()));
    let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        output.starts_with("COULD NOT TELL") && output.contains("'broken' at /securityRules/2: it has no destination"),
        "{output}"
    );
    let mut unattached = az(&base());
    unattached["subnets"] = json!([]);
    let unattached = file(&folder, "unattached.json", &unattached);
    let output = flowgap(&["check", "--nsg", &unattached, "--no-service-tags"]);
    let said = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(output.status.code() == Some(3) && said.contains("attached to no subnet"), "{}", stdout(&output));
    check_status(&["check", "--nsg", "no-such.json"], 2, "--nsg no-such.json: cannot be read");
    check_status(&["check", "--nsg", STATUS], 2, "holds no rules and no routes");
    check_status(&["check", "--nsg", GROUP, "--group", "other"], 2, "--group other: the files hold nsg-apim-example");
    check_status(&["check"], 2, "--nsg <FILE>");
}

#[test]
fn fixes_get_a_priority_and_are_tried() {
    let output = analyze(&[
        ARCHIVE,
        "--service-tags",
        TAGS,
        "--nsg",
        GROUP,
        "--activity-log",
        LOG,
        "--network-status",
        STATUS,
        "--format",
        "json",
    ]);
    crate::schema::check(&stdout(&output));
    let analysis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = analysis["findings"].as_array().expect("findings");
    let of = |id: &str| findings.iter().find(|finding| finding["requirement"] == id).unwrap_or_else(|| panic!("{id}"));
    let sql = of("APIM-OUT-SQL");
    assert_eq!(
        (&sql["fix"]["existing_rule"], &sql["fix"]["priority"], &sql["fix"]["existing_priority"]),
        (&json!("allow-sql-out"), &json!(3990), &json!(4010))
    );
    let az = sql["fix"]["commands"]["az"].as_str().expect("commands");
    assert!(az.contains("nsg rule update") && az.contains("--priority 3990"), "{az}");
    assert!(sql["fix"]["undo"].as_str().expect("an undo").contains("--priority 4010"));
    assert_eq!(sql["fix"]["simulated"], json!({ "verdict": "allow", "newly_allowed": [] }));
    let change = &sql["change"];
    assert_eq!((&change["actor"], &change["certainty"]), (&json!("ops@example.com"), &json!("caused")));
    assert_eq!(change["after"], json!("deny outbound any * -> *:* (4000)"));
    assert!(sql["explanation"].as_str().expect("words").contains("ops@example.com wrote deny-all-outbound"));
    assert_eq!(sql["platform"]["status"], json!("failure"));
    // A rule of its own priority for each fix of one group.
    assert_eq!(of("APIM-OUT-MONITOR")["fix"]["priority"], json!(3980));
    assert_eq!(of("APIM-IN-MANAGEMENT")["fix"]["priority"], json!(4000));
    let kinds: Vec<&str> = findings.iter().filter_map(|finding| finding["kind"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| kind.contains("contradicts")).collect::<Vec<_>>(), [&"platform-contradicts"]);
    let redacted = stdout(&analyze(&[
        ARCHIVE,
        "--service-tags",
        TAGS,
        "--nsg",
        GROUP,
        "--activity-log",
        LOG,
        "--format",
        "json",
        "--redact",
    ]));
    crate::schema::check(&redacted);
    assert!(!redacted.contains("ops@example.com") && redacted.contains("actor-1"), "{redacted}");
}

#[test]
fn an_export_that_disagrees_with_the_logs_is_a_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut group: Value = serde_json::from_str(&std::fs::read_to_string(GROUP).expect("a file")).expect("JSON");
    let position = |group: &Value, name: &str| {
        group["securityRules"].as_array().expect("rules").iter().position(|rule| rule["name"] == name).expect(name)
    };
    let deny = position(&group, "deny-all-outbound");
    for (edit, says) in [
        (json!({ "name": "deny-everything" }), "have no such rule"),
        (json!({ "access": "Allow" }), "in the export it allows"),
        (json!({ "priority": 4020 }), "let all of them pass"),
    ] {
        let mut edited = group.clone();
        edit.as_object()
            .expect("keys")
            .iter()
            .for_each(|(key, value)| edited["securityRules"][deny][key] = value.clone());
        let path = file(&folder, "edited.json", &edited);
        let analysis: Value = serde_json::from_slice(
            &analyze(&[ARCHIVE, "--service-tags", TAGS, "--nsg", &path, "--format", "json"]).stdout,
        )
        .expect("JSON");
        let words: Vec<&str> = analysis["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .filter(|finding| finding["kind"] == "configuration-contradicts")
            .filter_map(|finding| finding["explanation"].as_str())
            .collect();
        assert!(
            words.iter().any(|words| words.contains("deny-all-outbound") && words.contains(says)),
            "{says}: {words:?}"
        );
    }
    // The logs show the probe working, which the export refuses.
    let probe = position(&group, "allow-lb-probe-in");
    group["securityRules"][probe]["access"] = json!("Deny");
    let path = file(&folder, "probe.json", &group);
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--nsg", &path, "--details"]));
    assert!(text.contains("The logs show APIM-IN-PROBE working"), "{text}");
    let mut other = group;
    other["id"] = json!(NSG.replace("nsg-apim-example", "nsg-other"));
    other["name"] = json!("nsg-other");
    let path = file(&folder, "other.json", &other);
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--nsg", &path, "--format", "json"]));
    assert!(
        text.contains("\"configuration-missing\"") && text.contains("no file has the rules of nsg-apim-example"),
        "{text}"
    );
}

#[test]
fn a_change_lets_pass_what_else_was_refused() {
    // An address of SQL is refused by the same rule on the same port, and no requirement of this edition names the tag.
    let folder = tempfile::tempdir().expect("a folder");
    let mut group: Value = serde_json::from_str(&std::fs::read_to_string(GROUP).expect("a file")).expect("JSON");
    let rules = group["securityRules"].as_array_mut().expect("rules");
    rules.retain(|rule| rule["name"] != "allow-sql-out");
    let path = file(&folder, "nsg.json", &group);
    let output = analyze(&[ARCHIVE, "--no-service-tags", "--nsg", &path, "--format", "json"]);
    crate::schema::check(&stdout(&output));
    let analysis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let fixes: Vec<&Value> = analysis["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| &finding["fix"])
        .filter(|fix| fix["simulated"].is_object())
        .collect();
    assert!(!fixes.is_empty());
    assert!(fixes.iter().all(|fix| fix["priority"].is_u64()), "{fixes:?}");
}

#[test]
fn three_dialects_of_the_activity_log_say_the_same() {
    let body = json!({ "name": "deny-sql", "properties": { "protocol": "Tcp", "sourcePortRange": "*", "destinationPortRange": "1433",
        "sourceAddressPrefix": "*", "destinationAddressPrefix": "Sql", "access": "Deny", "priority": 200, "direction": "Outbound" } });
    let resource = format!("{NSG}/securityRules/deny-sql");
    let operation = "Microsoft.Network/networkSecurityGroups/securityRules/write";
    let rest = |status: &str, second: u32, body: Option<&Value>| {
        json!({ "eventTimestamp": format!("2026-05-04T06:02:{second}Z"), "operationName": { "value": operation }, "status": { "value": status },
            "caller": "ops@example.com", "resourceId": resource, "correlationId": "c1",
            "properties": body.map(|body| json!({ "responseBody": body.to_string() })).unwrap_or_default() })
    };
    let blob = |status: &str, second: u32, body: Option<&Value>| {
        json!({ "time": format!("2026-05-04T06:02:{second}Z"), "operationName": operation.to_uppercase(), "resultType": status,
            "identity": { "claims": { "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ops@example.com" } },
            "resourceId": resource.to_uppercase(), "correlationId": "C1", "category": "Write",
            "properties": { "eventProperties": { "responsebody": body.map(Value::to_string) } } })
    };
    let table = |status: &str, second: u32, body: Option<&Value>| {
        json!({ "TimeGenerated": format!("2026-05-04T06:02:{second}Z"), "OperationNameValue": operation.to_uppercase(), "ActivityStatusValue": status,
            "Caller": "ops@example.com", "_ResourceId": resource.to_lowercase(), "CorrelationId": "c1",
            "Properties": json!({ "responseBody": body.map(Value::to_string) }).to_string() })
    };
    let all = [
        json!([
            rest("Started", 10, None),
            rest("Succeeded", 15, None),
            rest("Accepted", 11, Some(&body)),
            rest("Accepted", 11, Some(&body))
        ])
        .to_string(),
        json!({ "value": [rest("Accepted", 11, Some(&body))] }).to_string(),
        rest("Accepted", 11, Some(&body)).to_string(),
        [blob("Start", 10, None), blob("Accept", 11, Some(&body)), blob("Success", 15, None)]
            .map(|event| event.to_string())
            .join("\n"),
        json!({ "records": [blob("Accept", 11, Some(&body))] }).to_string(),
        json!([table("Start", 10, None), table("Accept", 11, Some(&body))]).to_string(),
    ];
    for text in &all {
        let mut recordings = Recordings::default();
        recordings.add_text("log.json", text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let [change] = recordings.sorted().changes.try_into().unwrap_or_else(|all| panic!("{all:?}"));
        assert_eq!(change.time.to_string(), "2026-05-04T06:02:11.000Z", "{text}");
        assert_eq!(
            (change.actor.as_deref(), change.target, change.source),
            (Some("ops@example.com"), Target::Rule, ChangeSource::ActivityLog),
            "{text}"
        );
        assert_eq!(change.after.as_deref(), Some("deny outbound tcp * -> Sql:1433 (200)"), "{text}");
        assert_eq!(change.resource, resource.to_lowercase());
    }
    let mut recordings = Recordings::default();
    recordings
        .add_text("log.json", &json!([rest("Started", 10, None), rest("Failed", 11, None)]).to_string())
        .expect("events");
    assert_eq!((recordings.changes.len(), recordings.failed), (0, 1));
    let error = Recordings::default().add_text("log.json", "[{\"x\": 1}]").expect_err("no events").to_string();
    assert!(error.starts_with("log.json: this JSON holds no events"), "{error}");
}

#[test]
fn rows_of_resource_graph_tell_before_and_after() {
    let row = json!({ "data": [{ "properties": { "targetResourceId": NSG, "targetResourceType": "microsoft.network/networksecuritygroups",
        "changeType": "Update", "changeAttributes": { "timestamp": "2026-05-04T06:03:00Z", "changedBy": "ops@example.com", "correlationId": "c2" },
        "changes": { "properties.securityRules[\"deny\"].properties.access": { "previousValue": "Allow", "newValue": "Deny" } } } }], "count": 1 });
    let mut recordings = Recordings::default();
    recordings.add_text("changes.json", &row.to_string()).expect("rows");
    let [change] = recordings.changes.as_slice() else { panic!("{recordings:?}") };
    assert_eq!((change.target, change.source), (Target::Group, ChangeSource::ResourceGraph));
    assert!(change.before.as_deref().is_some_and(|text| text.ends_with("=Allow")), "{change:?}");
    assert!(change.after.as_deref().is_some_and(|text| text.ends_with("=Deny")), "{change:?}");
}

#[test]
fn an_activity_log_that_begins_too_late_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = json!([{ "eventTimestamp": "2026-05-05T00:00:00Z", "operationName": { "value": "Microsoft.Network/routeTables/write" }, "status": { "value": "Succeeded" }, "resourceId": "/x" }]);
    let path = file(&folder, "log.json", &events);
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--activity-log", &path, "--format", "json"]));
    assert!(text.contains("\"changes-uncovered\"") && !text.contains("\"change\": {"), "{text}");
    let output = analyze(&[ARCHIVE, "--activity-log", "README.md"]);
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("--activity-log README.md: the JSON is damaged"),
        "{}",
        stderr(&output)
    );
    let output = analyze(&[ARCHIVE, "--network-status", GROUP]);
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("holds no connectivityStatus"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_job_reads_the_same_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = |path: &str| root().join(path).display().to_string();
    let reports = folder.path().join("{instance}.json").display().to_string();
    let run = |nsg: &str| {
        let config = format!(
            "schema = 'flowgap.config/1'\nstate = '{}'\nservice_tags = '{}'\n[source.s]\naddress = ['{}']\n[[instance]]\nname = 'a'\nsource = 's'\nsubnets = ['10.20.1.0/24']\nwindow = '48h'\nnsg = ['{nsg}']\nactivity_log = ['{}']\n[[deliver]]\nkind = 'file'\npath = '{reports}'\non = ['always']\n",
            folder.path().join("state").display(),
            here(TAGS),
            here(ARCHIVE),
            here(LOG)
        );
        let path = folder.path().join("flowgap.toml");
        std::fs::write(&path, config).expect("written");
        flowgap(&["run", "--config", path.to_str().expect("UTF-8"), "--now", "2026-05-05T06:30:00Z"])
    };
    let output = run(&here(GROUP));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = std::fs::read(folder.path().join("a.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["findings"][0]["fix"]["existing_rule"], json!("allow-sql-out"));
    assert_eq!(report["findings"][0]["change"]["actor"], json!("ops@example.com"));
    let output = run("no-such.json");
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("no-such.json: cannot be read"),
        "{}",
        stderr(&output)
    );
}
