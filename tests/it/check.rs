//! `flowgap check`: every format and status, its schema, and what it prints for sharing.

use serde_json::{Value, json};

use crate::configured::file;
use crate::policy::shapes::{az, base, rule};
use crate::support::binary::{check_golden, check_status, flowgap, stderr, stdout};

const GROUP: &str = "testdata/policy/nsg-apim.json";
const ROUTES: &str = "testdata/policy/routes.json";
const STATUS: &str = "testdata/policy/network-status.json";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const CHECK: [&str; 11] = [
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

/// The row of a requirement in a check.
fn row<'a>(check: &'a Value, id: &str) -> &'a Value {
    let rows = check["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["requirement"] == id).unwrap_or_else(|| panic!("{id}: {check}"))
}

#[test]
fn check_prints_what_the_rules_refuse() {
    let text = flowgap(&CHECK);
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
        let output = flowgap(&[&CHECK[..], &["--format", format]].concat());
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(stdout(&output).contains(holds), "{format}: {}", stdout(&output));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("check.parquet");
    let output = flowgap(&[&CHECK[..], &["-o", path.to_str().expect("UTF-8")]].concat());
    assert!(output.status.code() == Some(1) && std::fs::read(&path).expect("a file").starts_with(b"PAR1"));
    let printed = stdout(&flowgap(&[&CHECK[..], &["--format", "json"]].concat()));
    check_golden("check.json", &printed);
    let check: Value = serde_json::from_str(&printed).expect("JSON");
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
    check_status(&["check"], 2, "--nsg <FILE|ADDRESS>");
}

#[test]
fn what_contradicts_itself_is_not_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = |name: &str, priority: u32, access: &str| {
        rule(name, priority, "Outbound", access, "Tcp", json!("*"), json!("Sql"), json!("1433"))
    };
    let checked = |rules: &[Value]| {
        let path = file(&folder, "nsg.json", &az(rules));
        let output = flowgap(&["check", "--no-service-tags", "--format", "json", "--nsg", &path]);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    // Azure refuses two rules of one priority, unless they are for different directions.
    let both = checked(&[sql("one", 200, "Deny"), sql("other", 200, "Allow")]);
    let row_of = row(&both, "APIM-OUT-SQL");
    assert_eq!(row_of["verdict"], "unknown", "{row_of}");
    assert!(
        row_of["explanation"].as_str().expect("words").contains("its priority 200 is also that of 'other'"),
        "{row_of}"
    );
    let mut inbound = sql("other", 200, "Allow");
    inbound["direction"] = json!("Inbound");
    assert_eq!(row(&checked(&[sql("one", 200, "Deny"), inbound]), "APIM-OUT-SQL")["verdict"], "deny");
    // No number below 100 can be given to a rule, so the other one must leave a number from 100 on.
    let first = checked(&[sql("one", 5, "Deny")]);
    let note = row(&first, "APIM-OUT-SQL")["fix"]["note"].as_str().expect("a note").to_owned();
    assert!(note.contains("move one from 5 to 101 first"), "{note}");
    // Without a group, nothing is known to be open.
    let admin = json!([{ "id": "/x/networkManagers/m/securityAdminConfigurations/c/ruleCollections/r/rules/a", "name": "a",
        "kind": "Custom", "protocol": "Tcp", "access": "Allow", "priority": 1, "direction": "Outbound",
        "sources": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
        "destinations": [{ "addressPrefix": "Sql", "addressPrefixType": "ServiceTag" }],
        "sourcePortRanges": ["0-65535"], "destinationPortRanges": ["1433"] }]);
    let path = file(&folder, "admin.json", &admin);
    let output = flowgap(&["check", "--no-service-tags", "--nsg", &path]);
    let said = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with("COULD NOT TELL security admin rules: no network security group is given"), "{said}");
}

#[test]
fn a_redacted_check_names_nothing_of_the_network() {
    let secret = [
        "5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2",
        "rg-apim-example",
        "nsg-apim-example",
        "vnet-apim",
        "rt-apim",
        "10.20.",
        "10.0.0.4",
        "testdata",
    ];
    let whole = stdout(&flowgap(&[&CHECK[..], &["--format", "json"]].concat()));
    let known: Vec<&str> = secret.into_iter().filter(|text| whole.contains(text)).collect();
    assert!(known.len() >= 5, "{known:?}");
    for format in ["text", "json", "csv", "markdown", "html", "sarif", "junit"] {
        let output = flowgap(&[&CHECK[..], &["--redact", "--details", "--format", format]].concat());
        assert_eq!(output.status.code(), Some(1), "{format}: {}", stderr(&output));
        let text = stdout(&output);
        let told: Vec<&&str> = known.iter().filter(|name| text.contains(**name)).collect();
        assert!(told.is_empty(), "{format} names {told:?}: {text}");
        if format == "json" {
            crate::schema::check_of_rules(&text);
        }
    }
    // Names that are no plain words are replaced as they are.
    let folder = tempfile::tempdir().expect("a folder");
    let mut odd = az(&base());
    odd["name"] = json!("nsg <b>of\u{e9} 1");
    odd["id"] = json!(null);
    let path = file(&folder, "my odd [file].json", &odd);
    let text = stdout(&flowgap(&["check", "--nsg", &path, "--redact", "--no-service-tags", "--format", "json"]));
    assert!(!text.contains("of\u{e9}") && !text.contains("my odd") && text.contains("nsg-1"), "{text}");
}
