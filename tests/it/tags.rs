//! Service-tag files: the forms that Azure tools write, other files given by mistake, dates, and missing names.

use std::path::{Path, PathBuf};

use flowgap::catalog::ServiceTags;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cases::{A, DENY, SUBNET, TAG_FILE, day, planted, run};
use crate::support::archive::outbound;
use crate::support::binary::{analyze, check_status, flowgap, root, stderr};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const CUT: &str = r#"{"Cloud": "Public", "Values": [{"Name": "Sql", "Properties": "System.Object"}]}"#;

/// Writes a file into a folder of its own.
fn file(name: &str, bytes: &[u8]) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

fn example() -> Value {
    let text = std::fs::read(root().join(TAG_FILE)).expect("the tag file");
    serde_json::from_slice(&text).expect("JSON")
}

/// The example as az and the REST API print it.
fn as_az(change_number: &Value) -> Value {
    let mut file = example();
    file["changeNumber"] = change_number.clone();
    file["id"] =
        json!("/subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.Network/serviceTags/public");
    file["name"] = json!("public");
    file["nextLink"] = Value::Null;
    file["type"] = json!("Microsoft.Network/serviceTags");
    for tag in file["values"].as_array_mut().expect("a list") {
        tag["serviceTagChangeNumber"] = json!("412");
        let properties = &mut tag["properties"];
        properties["changeNumber"] = json!(properties["changeNumber"].to_string());
        if properties["region"] == "" {
            properties["region"] = Value::Null;
        }
    }
    file
}

/// The example as Get-AzNetworkServiceTag gives it to ConvertTo-Json.
fn as_powershell() -> Value {
    let example = example();
    let tag = |tag: &Value| {
        let properties = &tag["properties"];
        json!({"Name": tag["name"], "Id": tag["id"], "Properties": {
            "ChangeNumber": properties["changeNumber"].to_string(), "Region": properties["region"],
            "SystemService": properties["systemService"], "AddressPrefixes": properties["addressPrefixes"]}})
    };
    let tags: Vec<Value> = example["values"].as_array().expect("a list").iter().map(tag).collect();
    json!({"Name": "Public", "Type": "Microsoft.Network/serviceTags", "Cloud": "Public", "ChangeNumber": "412", "Values": tags})
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{feff}{text}").replace('\n', "\r\n").encode_utf16().flat_map(bytes).collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

#[test]
fn every_form_of_the_tag_file_gives_the_same_result() {
    let analysis = |path: &str| -> Value {
        let date = ["--service-tags", path, "--service-tags-date", "2026-05-04", "--format", "json"];
        let output = analyze(&[&[ARCHIVE], &date[..]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{path}: {e}: {}", stderr(&output)))
    };
    let mut expected = analysis(TAG_FILE);
    assert_eq!(expected["scope"]["service_tags"]["change_number"], 412);
    let az = as_az(&json!("412"));
    let bare = &az["values"];
    let mut absent = az.clone();
    absent.as_object_mut().expect("an object").remove("changeNumber");
    let powershell = pretty(&as_powershell());
    for (name, bytes, change_number, cloud) in [
        ("az.json", pretty(&az).into_bytes(), json!(412), json!("Public")),
        ("rest.json", az.to_string().into_bytes(), json!(412), json!("Public")),
        ("null.json", pretty(&as_az(&Value::Null)).into_bytes(), Value::Null, json!("Public")),
        ("absent.json", absent.to_string().into_bytes(), Value::Null, json!("Public")),
        ("powershell.json", powershell.clone().into_bytes(), json!(412), json!("Public")),
        ("marked.json", format!("\u{feff}{powershell}").into_bytes(), json!(412), json!("Public")),
        ("little.json", utf16(&powershell, u16::to_le_bytes), json!(412), json!("Public")),
        ("big.json", utf16(&powershell, u16::to_be_bytes), json!(412), json!("Public")),
        ("tags.json", pretty(bare).into_bytes(), Value::Null, Value::Null),
    ] {
        let (_folder, path) = file(name, &bytes);
        let found = analysis(&path);
        expected["scope"]["service_tags"] = json!({"cloud": cloud, "change_number": change_number, "tags": 11});
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn other_files_get_a_sentence() {
    let log = std::fs::read(
        root().join("testdata/vnet-v4").read_dir().expect("a folder").next().expect("a file").expect("it").path(),
    );
    let warned = format!("WARNING: a default changes.\n{}", pretty(&example()));
    let bad = pretty(&example()).replace("192.0.2.160/30", "192.0.2.161/30");
    let text = pretty(&example());
    for (bytes, says) in [
        (&b""[..], "is empty"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
        (b"<!DOCTYPE html><html><body>Azure IP Ranges and Service Tags</body></html>", "this is a web page"),
        (b"<?xml version=\"1.0\"?><AzurePublicIpAddresses/>", "this is XML"),
        (warned.as_bytes(), "the JSON begins at line 2"),
        (b"name: Public\nvalues:\n- name: Sql\n", "--output json"),
        (
            CUT.as_bytes(),
            "PowerShell cut the list short when it wrote 'Properties of Sql' as text: write it again with ConvertTo-Json -Depth 10",
        ),
        (b"{\"values\": []}", "lists no addresses"),
        (&log.expect("a flow log"), "looks like a flow log"),
        (&std::fs::read(root().join("testdata/apim-truth.json")).expect("a file"), "not a ServiceTags_*.json"),
        (
            bad.as_bytes(),
            "service tag 'AzureTrafficManager': '192.0.2.161/30' has host bits set: did you mean 192.0.2.160/30?",
        ),
        (&text.as_bytes()[..text.len() / 2], "the JSON ends too early at line "),
        (b"\x1f\x8b\x08\x00\x00\x00", "is compressed"),
        (b"\x00\x01\x02", "this is not text"),
    ] {
        let (_folder, path) = file("tags.json", bytes);
        check_status(&["analyze", ARCHIVE, "--service-tags", &path], 2, &format!("--service-tags {path}: "));
        check_status(&["analyze", ARCHIVE, "--service-tags", &path], 2, says);
        check_status(&["generate", "no-such-folder", "--service-tags", &path], 2, says);
    }
    check_status(
        &["analyze", ARCHIVE, "--service-tags", "testdata/tags"],
        2,
        "--service-tags testdata/tags: this is a folder",
    );
}

#[test]
fn an_endless_tag_file_is_refused() {
    let (_folder, path) = file("tags.json", b"{");
    std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let endless = Path::new("/dev/zero").exists().then_some("/dev/zero");
    for path in endless.into_iter().chain([path.as_str()]) {
        check_status(&["analyze", ARCHIVE, "--service-tags", path], 2, "larger than 64 MiB");
    }
}

#[test]
fn a_date_comes_from_the_name_or_the_option() {
    // The archives are of May 2026.
    let text = pretty(&example());
    for (name, date, is_old) in [
        ("ServiceTags_Public_20260302 (1).json", None, true),
        ("ServiceTags_Public_20260302.json", Some("2026-05-01"), true),
        ("ServiceTags_Public_20260406.json", Some("2026-01-04"), false),
        ("tags.json", Some("2026-01-04"), true),
        ("tags.json", Some("2026-01-04T23:59:59+02:00"), true),
        ("tags.json", Some("2026-05-01"), false),
    ] {
        let (_folder, path) = file(name, text.as_bytes());
        let date: Vec<&str> = date.iter().flat_map(|date| ["--service-tags-date", date]).collect();
        let run = run(&day(&[]), &[&["--subnet", SUBNET, "--service-tags", &path], &date[..]].concat());
        assert_eq!(run.notice("service-tags-old").is_some(), is_old, "{name} {date:?}");
    }
    // Number 376 is of November 2025, and 300 is older.
    for (number, is_old) in [(376, true), (300, true), (412, false)] {
        let (_folder, path) =
            file("tags.json", text.replace("\"changeNumber\": 412", &format!("\"changeNumber\": {number}")).as_bytes());
        let run = run(&day(&[]), &["--subnet", SUBNET, "--service-tags", &path]);
        assert_eq!(run.notice("service-tags-old").is_some(), is_old, "{number}");
    }
}

#[test]
fn a_date_needs_a_file_and_a_day() {
    let date = ["analyze", ARCHIVE, "--service-tags-date"];
    check_status(&[&date[..], &["2026-05-04"]].concat(), 2, "--service-tags <FILE>");
    check_status(&[&date[..], &["May", "--service-tags", TAG_FILE]].concat(), 2, "write a day like 2026-05-04");
    let output = crate::support::binary::command(&[&date[..], &["2026-05-04", "--exit-zero"]].concat())
        .env("FLOWGAP_SERVICE_TAGS", TAG_FILE)
        .output()
        .expect("flowgap starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// The example with these tags alone.
fn only(names: &[&str]) -> (TempDir, String) {
    let mut tags = example();
    let values = tags["values"].as_array_mut().expect("a list");
    values.retain(|tag| names.iter().any(|name| tag["name"] == *name));
    assert_eq!(values.len(), names.len());
    file("ServiceTags_Public_20260504.json", tags.to_string().as_bytes())
}

#[test]
fn a_region_counts_for_its_service_inside_the_network_too() {
    let (inside, outside) = ("192.0.2.17", "192.0.2.1");
    let mut log = day(&["APIM-OUT-STORAGE"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, inside, 443), DENY));
    let regional = only(&[
        "Storage.WestEurope",
        "AzureKeyVault",
        "AzureMonitor",
        "AzureActiveDirectory",
        "EventHub",
        "AzureConnectors",
    ]);
    let options = ["--subnet", SUBNET, "--service-tags", &regional.1];
    for vnet in [&[][..], &["--vnet", "10.0.0.0/8", "--vnet", "192.0.2.0/24"]] {
        let run = run(&log, &[&options[..], vnet].concat());
        assert_eq!(run.find("APIM-OUT-STORAGE")["confidence"], "confirmed", "{vnet:?}");
    }
    // Storage elsewhere may be Storage, or nothing that the file knows: a candidate, not confirmed.
    let mut log = day(&["APIM-OUT-STORAGE"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, outside, 443), DENY));
    let run = run(&log, &options);
    let findings = run.analysis["findings"].as_array().expect("a list");
    let candidates = |f: &Value| f["candidates"].as_array().is_some_and(|ids| ids.contains(&json!("APIM-OUT-STORAGE")));
    assert!(findings.iter().any(|f| candidates(f) && f["confidence"] != "confirmed"), "{findings:?}");
}

#[test]
fn sql_asks_for_regions_by_their_service() {
    let regional = only(&["Storage.WestEurope", "Sql"]);
    let query = "SELECT in_service_tag('192.0.2.17', 'storage') AS inside, in_service_tag('192.0.2.1', 'Storage') AS perhaps, \
                 in_service_tag('192.0.2.17', 'Sql') AS outside, in_service_tag('192.0.2.33', 'sql') AS whole";
    let output = flowgap(&["sql", ARCHIVE, "--service-tags", &regional.1, "--format", "csv", "-c", query]);
    assert_eq!(
        crate::support::binary::stdout(&output),
        "inside,perhaps,outside,whole\r\ntrue,,false,true\r\n",
        "{}",
        stderr(&output)
    );
    let unknown =
        ["sql", ARCHIVE, "--service-tags", &regional.1, "-c", "SELECT in_service_tag('192.0.2.1', 'EventHub')"];
    check_status(&unknown, 2, "has no tag 'EventHub'");
}

/// Returns the folder of a shared case, if it is there.
fn shared_case(case: &str) -> Option<PathBuf> {
    let folder = root().join("../shared/cases").join(case);
    if !folder.is_dir() {
        println!("not checked: {} is not there", folder.display());
    }
    folder.is_dir().then_some(folder)
}

#[test]
fn shared_case_files_give_five_findings() {
    let (Some(az), Some(missing)) = (shared_case("30-az-cli-output"), shared_case("33-missing-names")) else { return };
    let logs = az.join("../20-activation-fails/insights-logs-flowlogflowevent");
    let run = |tags: PathBuf| {
        let (logs, tags) = (logs.to_str().expect("UTF-8"), tags.to_str().expect("UTF-8"));
        flowgap(&["analyze", logs, "--subnet", "10.50.1.0/24", "--service-tags", tags, "--format", "json"])
    };
    let files = [
        az.join("servicetags.json"),
        az.join("servicetags-utf16.json"),
        missing.join("ServiceTags_Regional_20260420.json"),
    ];
    for tags in files {
        let output = run(tags.clone());
        let analysis: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
        assert_eq!(analysis["findings"].as_array().map(Vec::len), Some(5), "{}", tags.display());
    }
    let warned = run(az.join("servicetags-warning.json"));
    assert!(
        warned.status.code() == Some(2) && stderr(&warned).contains("the JSON begins at line 2"),
        "{}",
        stderr(&warned)
    );
}

/// A change to a file.
#[derive(Debug, Clone)]
enum Edit {
    Cut(usize),
    Flip(usize, u8),
    Repeat(usize, usize),
    Drop(usize, usize),
    Put(usize, &'static str),
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let at = || 0_usize..1_000_000;
    let put = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        "\"",
        ",",
        ":",
        "null",
        "1e999",
        "-1",
        "\\u0000",
        "\\ud800",
        "\"values\":[",
        "\"value\":",
        "\"properties\":",
        "\"cloud\":\"China\",",
        "System.Object",
        "192.0.2.1/24",
        "\0",
        "é",
        "\u{feff}",
        "<html>",
    ]);
    prop_oneof![
        at().prop_map(Edit::Cut),
        (at(), any::<u8>()).prop_map(|(at, with)| Edit::Flip(at, with)),
        (at(), 1_usize..400).prop_map(|(at, length)| Edit::Repeat(at, length)),
        (at(), 1_usize..400).prop_map(|(at, length)| Edit::Drop(at, length)),
        (at(), put).prop_map(|(at, text)| Edit::Put(at, text)),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let place = |at: usize| at % (bytes.len() + 1);
        let range = |at: usize, length: usize| place(at)..(place(at) + length).min(bytes.len());
        match *edit {
            Edit::Cut(at) => bytes.truncate(place(at)),
            Edit::Flip(at, with) => {
                let at = place(at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= with);
            }
            Edit::Repeat(at, length) => {
                let range = range(at, length);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Edit::Drop(at, length) => drop(bytes.drain(range(at, length))),
            Edit::Put(at, text) => {
                let at = place(at);
                bytes.splice(at..at, text.bytes());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_damaged_file_is_read_or_refused_in_one_sentence(form in 0_usize..5, edits in prop::collection::vec(any_edit(), 1..4)) {
        let bytes = match form {
            0 => pretty(&example()).into_bytes(),
            1 => as_az(&json!("412")).to_string().into_bytes(),
            2 => as_powershell().to_string().into_bytes(),
            3 => utf16(&as_powershell().to_string(), u16::to_le_bytes),
            _ => CUT.as_bytes().to_vec(),
        };
        match ServiceTags::from_json(&edited(bytes, &edits)) {
            Ok(tags) => prop_assert!(!tags.is_empty() && tags.rows().next().is_some()),
            Err(error) => {
                let said = error.to_string();
                prop_assert!(said.len() < 400 && !said.is_empty() && !said.contains(char::is_control), "{}", said);
                for words in ["expected", "invalid", "missing field", "EOF", "trailing", "recursion", "refused", "control character"] {
                    prop_assert!(!said.contains(words), "{}", said);
                }
            }
        }
    }
}
