//! `analyze` and `run` with rules, network status and activity log.

use flowgap::platform::{ChangeSource, Recordings, Target};
use serde_json::{Value, json};

use crate::policy::shapes::NSG;
use crate::support::binary::{analyze, flowgap, root, stderr, stdout};

const GROUP: &str = "testdata/policy/nsg-apim.json";
const STATUS: &str = "testdata/policy/network-status.json";
const LOG: &str = "testdata/policy/activity-log.json";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";

/// Writes a file for one run.
pub fn file(folder: &tempfile::TempDir, name: &str, value: &Value) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, value.to_string()).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

/// The JSON of an analysis of the planted archive with tags.
fn printed(arguments: &[&str]) -> String {
    let output = analyze(&[&[ARCHIVE, "--service-tags", TAGS, "--format", "json"], arguments].concat());
    let text = stdout(&output);
    crate::schema::check(&text);
    text
}

fn analysed(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(arguments)).expect("JSON")
}

fn group() -> Value {
    serde_json::from_str(&std::fs::read_to_string(GROUP).expect("a file")).expect("JSON")
}

#[test]
fn fixes_get_a_priority_and_are_tried() {
    let analysis = analysed(&["--nsg", GROUP, "--activity-log", LOG, "--network-status", STATUS]);
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
    assert_eq!(
        sql["fix"]["simulated"],
        json!({ "verdict": "allow", "newly_allowed": [], "newly_allowed_flows": 0, "newly_allowed_tuples": 0, "not_replayed_tuples": 0 })
    );
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
    let redacted = printed(&["--nsg", GROUP, "--activity-log", LOG, "--redact"]);
    assert!(!redacted.contains("ops@example.com") && redacted.contains("actor-1"), "{redacted}");
}

#[test]
fn an_export_that_disagrees_with_the_logs_is_a_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = group();
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
        let analysis = analysed(&["--nsg", &path]);
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
    let text = printed(&["--nsg", &path]);
    assert!(
        text.contains("\"configuration-missing\"") && text.contains("no file has the rules of nsg-apim-example"),
        "{text}"
    );
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
    let recordings = recordings.sorted();
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
fn a_status_counts_for_its_own_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let says = |kind: &str, status: &str, changed: &str, updated: &str| {
        let check = json!({ "name": "x.example.com", "status": status, "lastUpdated": updated, "lastStatusChange": changed, "resourceType": kind });
        let region = json!([{ "location": "West Europe", "networkStatus": { "dnsServers": [], "connectivityStatus": [check] } }]);
        let analysis = analysed(&["--network-status", &file(&folder, "status.json", &region)]);
        let findings = analysis["findings"].as_array().expect("findings");
        let is_contradicted = findings.iter().any(|finding| finding["kind"] == "platform-contradicts");
        let own = findings.iter().find_map(|finding| finding["platform"]["conclusion"].as_str());
        (own.unwrap_or_default().to_owned(), is_contradicted)
    };
    // The logs are of 2026-05-04 00:00 to 2026-05-05 06:00, and refuse SQL from 06:04. Storage works.
    for (kind, status, changed, updated, conclusion, is_contradicted) in [
        (
            "SQLDatabase",
            "failure",
            "2026-05-04T06:10:00Z",
            "2026-05-05T06:00:00Z",
            "the instance itself confirms",
            false,
        ),
        (
            "SQLDatabase",
            "success",
            "2026-05-01T00:00:00Z",
            "2026-05-05T06:00:00Z",
            "of another instance or region",
            true,
        ),
        (
            "SQLDatabase",
            "success",
            "2026-05-05T07:00:00Z",
            "2026-05-05T08:00:00Z",
            "it is reached again since then",
            false,
        ),
        ("SQLDatabase", "success", "2026-05-01T00:00:00Z", "2026-05-04T12:00:00Z", "older than the refusals", false),
        ("SQLDatabase", "success", "2025-05-01T00:00:00Z", "2025-05-04T12:00:00Z", "", false),
        ("BlobStorage", "failure", "2026-05-04T06:10:00Z", "2026-05-05T06:00:00Z", "allowed and answered", true),
        ("BlobStorage", "failure", "2026-05-05T07:00:00Z", "2026-05-05T08:00:00Z", "", false),
        ("BlobStorage", "failure", "2025-05-01T00:00:00Z", "2025-05-04T12:00:00Z", "", false),
    ] {
        let (said, contradicts) = says(kind, status, changed, updated);
        assert!(
            said.contains(conclusion) && contradicts == is_contradicted,
            "{kind} {status} {changed}: {said} {contradicts}"
        );
    }
}

#[test]
fn an_activity_log_that_begins_too_late_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = json!([{ "eventTimestamp": "2026-05-05T00:00:00Z", "operationName": { "value": "Microsoft.Network/routeTables/write" }, "status": { "value": "Succeeded" }, "resourceId": "/x" }]);
    let path = file(&folder, "log.json", &events);
    let text = printed(&["--activity-log", &path]);
    assert!(text.contains("\"changes-uncovered\"") && !text.contains("\"change\": {"), "{text}");
    let output = analyze(&[ARCHIVE, "--activity-log", "README.md"]);
    assert!(
        output.status.code() == Some(2)
            && stderr(&output).contains("--activity-log README.md: the JSON begins at line"),
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
