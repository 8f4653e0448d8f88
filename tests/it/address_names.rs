//! `--names`: shapes of files, overlapping prefixes, bad rows, hostile names in every output, and `name(ip)` in SQL.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use flowgap::catalog::{AddressNames, Catalog};
use flowgap::engine::{Archive, Explorer, ParamValues, SessionOptions};
use flowgap::schema::Text;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::sql::{scope, source};
use crate::support::archive::{Log, hours, minutes, outbound};
use crate::support::binary::{SUBNET, check_status, flowgap, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const VNETS: &str = "testdata/names/vnets.json";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What `name(ip)` gives for each address.
fn named(files: &[&str], ips: &[&str]) -> Vec<Value> {
    let columns: Vec<String> = ips.iter().enumerate().map(|(nr, ip)| format!("name('{ip}') AS n{nr}")).collect();
    let query = format!("SELECT {}", columns.join(", "));
    let options: Vec<&str> = files.iter().flat_map(|file| ["--names", file]).collect();
    let output =
        flowgap(&[&["sql", "testdata/vnet-v4/ipv6.json", "-c", &query, "--format", "json"], &options[..]].concat());
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    rows[0].as_object().expect("a row").values().cloned().collect()
}

#[test]
fn every_shape_names_addresses() {
    let folder = tempfile::tempdir().expect("a folder");
    let subnet =
        r#"{"name": "snet", "properties": {"addressPrefix": "192.0.2.0/28", "ipConfigurations": [{"id": "/x"}]}}"#;
    let vnet = format!(
        r#"{{"id": "/x", "name": "vnet", "type": "microsoft.network/virtualnetworks", "properties":
            {{"addressSpace": {{"addressPrefixes": ["192.0.2.0/24", "2001:db8::/48"]}}, "subnets": [{subnet}]}}}}"#
    );
    let expected = json!(["vnet/snet", "vnet", "vnet", null]);
    let utf16: Vec<u8> = format!("\u{feff}[{vnet}]").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let csv = "192.0.2.0/28,vnet/snet\r\n192.0.2.0/24,vnet\r\n2001:db8::/48,vnet\r\n";
    for (nr, content) in [
        vnet.clone().into_bytes(),
        format!("[{vnet}]").into_bytes(),
        format!(r#"{{"value": [{vnet}], "nextLink": null}}"#).into_bytes(),
        format!(r#"{{"count": 1, "data": [{vnet}], "skip_token": null, "total_records": 1}}"#).into_bytes(),
        utf16,
        br#"[{"Name": "vnet", "AddressSpace": {"AddressPrefixes": ["192.0.2.0/24", "2001:db8::/48"]}, "Subnets":
            {"Name": "snet", "AddressPrefix": ["192.0.2.0/28"], "IpConfigurations": []}}]"#
            .to_vec(),
        csv.to_owned().into_bytes(),
        format!("\u{feff}Prefix,Name\r\n{csv}").into_bytes(),
        b"owner;name;cidr\nme;vnet;192.0.2.0/24\nme;vnet/snet;192.0.2.0/28\n;vnet;2001:db8::/48\n".to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{nr}.names"));
        fs::write(&path, &content).expect("written");
        let names = named(&[text(&path)], &["192.0.2.1", "192.0.2.200", "2001:db8::1", "198.51.100.1"]);
        assert_eq!(Value::from(names), expected, "{}", String::from_utf8_lossy(&content));
    }
}

#[test]
fn interfaces_endpoints_and_public_addresses_have_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("resources.json");
    let resources = r#"{"data": [
        {"name": "pe-sql.nic.1", "properties": {"ipConfigurations": [
            {"name": "privateEndpointIpConfig", "properties": {"privateIPAddress": "10.20.2.5", "subnet": {"id": "/x"}}}]}},
        {"name": "pe-vault", "properties": {"customDnsConfigs": [{"fqdn": "x", "ipAddresses": ["10.20.2.6"]}]}},
        {"name": "pip", "properties": {"ipAddress": "198.51.100.7"}},
        {"name": "nsg", "properties": {"securityRules": []}}]}"#;
    fs::write(&path, resources).expect("written");
    // Files of several kinds together. Of equal prefixes, that of the first file counts.
    let table = folder.path().join("own.csv");
    fs::write(&table, "10.20.2.6,vault\n10.20.2.0/25,lower\n").expect("written");
    let names = named(
        &[text(&path), VNETS, text(&table)],
        &["10.20.2.5", "10.20.2.6", "198.51.100.7", "10.20.2.9", "10.20.2.200"],
    );
    let expected = json!(["pe-sql.nic.1", "pe-vault", "pip", "lower", "vnet-apim-example/snet-endpoints"]);
    assert_eq!(Value::from(names), expected);
}

#[test]
fn a_bad_file_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.names");
    let long = format!("192.0.2.1,{}\n", "x".repeat(254));
    for (content, says) in [
        (
            "prefix,name\n192.0.2.0/24,lab\n192.0.2.1/24,x\n",
            "line 3: '192.0.2.1/24' has host bits set: did you mean 192.0.2.0/24?",
        ),
        ("192.0.2.0/24,lab\n\nlab,192.0.2.0/24\n", "line 3: 'lab' is not a CIDR block"),
        ("192.0.2.0/24\n", "line 1: 192.0.2.0/24 has no name"),
        ("192.0.2.0/24,  \n", "line 1: 192.0.2.0/24 has no name"),
        (long.as_str(), "line 1: the name has over 253 characters"),
        ("", "the file has no names"),
        ("prefix,name\n", "the file has no names"),
        ("192.0.2.0/24,a\0b\n", "this is not text"),
        ("[{\"name\": \"vnet\",\n \"addressSpace\": {", "line 2, column 18: the JSON ends too early"),
        ("[{\"name\": \"vnet\"}", "the JSON ends too early"),
        ("{\"name\": \"vnet\"} x", "line 1, column 18: the JSON is damaged"),
        (
            r#"[{"name": "vnet", "addressSpace": {"addressPrefixes": ["10.0.0.1/16"]}}]"#,
            "'vnet': '10.0.0.1/16' has host bits set",
        ),
        (
            r#"[{"name": "vnet", "subnets": [{"name": "s", "addressPrefix": "x"}]}]"#,
            "'vnet/s': 'x' is not a CIDR block",
        ),
        (
            r#"[{"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}]"#,
            "a resource without a name: 10.0.0.0/16 has no name",
        ),
        (r#"[{"name": "nsg", "securityRules": []}]"#, "this JSON names no address"),
        (
            r#"[{"Name": "v", "AddressSpace": "Microsoft.Azure.Commands.Network.Models.PSAddressSpace"}]"#,
            "ConvertTo-Json -Depth 10",
        ),
        (
            "{\"name\": \"\\u001b[2J\", \"addressPrefix\": \"\\u001b[2J\"}",
            "'\u{fffd}[2J': '\u{fffd}[2J' is not a CIDR block",
        ),
    ] {
        fs::write(&path, content).expect("written");
        let whole = format!("--names {}: ", text(&path));
        for arguments in [
            &["analyze", ARCHIVE][..],
            &["inspect", ARCHIVE],
            &["sql", ARCHIVE, "-c", "SELECT 1"],
            &["query", "top_talkers", ARCHIVE],
            &["report", "missing.json"],
        ] {
            let arguments = [arguments, &["--names", text(&path)]].concat();
            check_status(&arguments, 2, says);
            check_status(&arguments, 2, &whole);
        }
    }
    check_status(&["inspect", ARCHIVE, "--names", text(folder.path())], 2, "this is a folder");
    check_status(&["inspect", ARCHIVE, "--names", "missing.csv"], 2, "--names missing.csv: cannot be read");
}

/// Refusals of a peer with a name, of a local address with a name.
fn refused() -> tempfile::TempDir {
    let mut log = Log::vnet();
    for minute in 0..60 {
        log.allowed(outbound(minutes(minute), "10.20.1.4", "10.30.9.7", 1433));
    }
    for minute in 60..300 {
        log.denied(outbound(minutes(minute), "10.20.1.4", "10.30.9.7", 1433), "UserRule_deny");
    }
    log.allowed(outbound(hours(6), "10.20.1.4", "198.51.100.1", 443));
    log.write()
}

#[test]
fn reports_show_names_beside_addresses() {
    let (archive, folder) = (refused(), tempfile::tempdir().expect("a folder"));
    let names = folder.path().join("names.csv");
    fs::write(&names, "10.30.9.0/24,sql;prod\n10.20.1.4,gateway\n").expect("written");
    let names = ["--names", text(&names)];
    let analyze = |format: &str, names: &[&str]| {
        let arguments = ["analyze", text(archive.path()), "--subnet", SUBNET, "--exit-zero", "--format", format];
        stdout(&flowgap(&[&arguments, names].concat()))
    };
    let analysis: Value = serde_json::from_str(&analyze("json", &names)).expect("JSON");
    let finding = analysis["findings"].as_array().expect("a list").iter().find(|f| f["ports"] == json!([1433]));
    let finding = finding.expect("a finding");
    assert_eq!(finding["remote_addresses"][0]["name"], "sql;prod");
    assert_eq!(finding["local_addresses"][0]["name"], "gateway");
    let listed = analysis["unmatched_denied"]["listed"].as_array().expect("a list");
    assert!(listed.iter().all(|row| row["name"] == "sql;prod"), "{listed:?}");
    let shown = analyze("text", &[&names[..], &["--details"]].concat());
    assert!(shown.contains("10.20.1.4 [gateway] to 10.30.9.7 [sql;prod]"), "{shown}");
    let table = analyze("csv", &names);
    assert!(table.lines().next().is_some_and(|line| line.ends_with(",fix,remote_names")), "{table}");
    assert!(table.lines().any(|line| line.ends_with(",\"sql,prod\"")), "{table}");
    assert!(!analyze("csv", &[]).contains("remote_names"));
    // A saved analysis takes names, and keeps them.
    let [plain, rich] = [("plain.json", &[][..]), ("rich.json", &names[..])].map(|(name, names)| {
        let path = folder.path().join(name);
        fs::write(&path, analyze("json", names)).expect("written");
        path
    });
    for format in ["text", "json", "csv", "markdown", "sarif", "junit"] {
        let wanted = analyze(format, &names);
        let report = |path: &Path, names: &[&str]| {
            stdout(&flowgap(&[&["report", text(path), "--format", format], names].concat()))
        };
        assert_eq!(report(&plain, &names), wanted, "{format}");
        assert_eq!(report(&rich, &[]), wanted, "{format}");
    }
}

/// A name that moves a cursor, opens a formula and breaks tables and markup.
const NASTY: &str = "=1+1\u{1b}[2J\u{202e}|<b>`x`\u{7}";

#[test]
fn hostile_names_are_escaped_as_everything_is() {
    let (archive, folder) = (refused(), tempfile::tempdir().expect("a folder"));
    let names = folder.path().join("names.csv");
    fs::write(&names, format!("10.0.0.0/8,{NASTY}\n")).expect("written");
    let path = text(archive.path());
    let print = |arguments: &[&str]| stdout(&flowgap(&[arguments, &["--names", text(&names)]].concat()));
    let hidden = |said: &str| said.contains(['\u{1b}', '\u{202e}', '\u{7}']);
    for verb in ["analyze", "inspect"] {
        for format in ["text", "csv", "markdown", "json"] {
            let long: &[&str] = if (verb, format) == ("analyze", "text") { &["--details"] } else { &[] };
            let said = print(&[&[verb, path, "--format", format], long].concat());
            if format == "json" {
                let escaped = serde_json::to_string(NASTY).expect("JSON");
                assert!(said.contains(&escaped), "{verb} {said}");
                continue;
            }
            assert!(!hidden(&said), "{verb} {format}: {said:?}");
            assert!(said.contains("=1+1") || (verb, format) == ("analyze", "markdown"), "{verb} {format}: {said}");
            if format == "csv" {
                assert!(said.contains(",'=1+1\u{fffd}[2J"), "{verb}: {said}");
                let guarded = print(&[verb, path, "--format", format, "--no-formula-guard"]);
                assert!(guarded.contains(",=1+1\u{fffd}[2J"), "{verb}: {guarded}");
            }
            assert!(format != "markdown" || !said.contains("<b>"), "{verb}: {said}");
        }
    }
    for format in ["table", "lines", "csv", "tsv", "markdown", "json", "ndjson"] {
        let said = print(&["sql", path, "-c", "SELECT DISTINCT name(src_ip) AS n FROM flows", "--format", format]);
        if format.ends_with("json") {
            assert!(said.contains(&serde_json::to_string(NASTY).expect("JSON")), "{format}: {said:?}");
        } else {
            assert!(said.contains("=1+1") && !hidden(&said), "{format}: {said:?}");
        }
        if matches!(format, "csv" | "tsv") {
            assert!(said.contains("'=1+1"), "{format}: {said}");
        }
    }
}

#[test]
fn names_of_texts_that_are_no_address_are_null() {
    assert_eq!(
        named(&[VNETS], &["snet-apim", "", "10.20.1", "10.20.1.4"]),
        [Value::Null, Value::Null, Value::Null, "vnet-apim-example/snet-apim".into()]
    );
    assert_eq!(named(&[], &["10.20.1.4"]), [Value::Null]);
    check_status(&["sql", ARCHIVE, "-c", "SELECT name(dst_port) FROM flows", "--names", VNETS], 0, "");
}

async fn rows(options: SessionOptions, sql: &str) -> Vec<String> {
    let archive =
        Archive::open(&[source(ARCHIVE), source("testdata/vnet-v4/ipv6.json")], options).await.expect("an archive");
    let names = "10.20.1.4,one\n10.20.1.0/24,two\n2001:db8::/32,six\n203.0.113.0/24,far\n";
    let names = AddressNames::default().add_text(names).expect("names");
    let scope = Arc::new(scope(Catalog::NEWEST, false).with_names(names));
    let explorer = Explorer::open(Arc::new(archive), scope, 1 << 30).await.expect("an explorer");
    let planned = explorer.plan_all(&[sql], &ParamValues::new()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut answer = planned.into_iter().next().expect("one").run().expect("it starts");
    let mut lines = Vec::new();
    while let Some(batch) = answer.rows.next().await {
        let batch = batch.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let value = |row| (0..batch.num_columns()).map(move |column| (row, column));
        let cell = |(row, column): (usize, usize)| array_value_to_string(batch.column(column), row).expect("printable");
        lines.extend((0..batch.num_rows()).map(|row| value(row).map(cell).collect::<Vec<_>>().join("|")));
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_equal_however_conditions_and_addresses_are_handled() {
    for sql in [
        "SELECT name(src_ip) AS s, name(dst_ip) AS d, count(*) FROM flows GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT src_ip, dst_ip, count(*) FROM flows WHERE name(src_ip) = 'one' GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT src_ip, name(src_ip), count(*) FROM flows WHERE name(dst_ip) IS NOT NULL AND decision = 'deny' AND dst_port < 2000 GROUP BY src_ip ORDER BY 1",
        "SELECT name(ip), n FROM (SELECT dst_ip AS ip, count(*) AS n FROM flows GROUP BY dst_ip) WHERE name(ip) IN ('two', 'six') ORDER BY 1, 2",
        "SELECT count(DISTINCT name(src_ip)), max(name(dst_ip)) FROM flows WHERE ip_in(src_ip, '10.20.1.4/32') OR name(dst_ip) <> 'far'",
    ] {
        let plain = SessionOptions { pushdown: false, late_text: false, partitions: 1, ..SessionOptions::default() };
        let expected = rows(plain.clone(), sql).await;
        assert!(!expected.is_empty(), "{sql}");
        for text in [Text::View, Text::Plain] {
            for (pushdown, late_text) in [(true, false), (false, true), (true, true)] {
                let options = SessionOptions { text, pushdown, late_text, partitions: 3, ..SessionOptions::default() };
                assert_eq!(rows(options, sql).await, expected, "{sql} {text:?} {pushdown} {late_text}");
            }
        }
    }
}
