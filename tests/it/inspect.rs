//! `inspect`: addresses, subnets and the next command, in every format and in bounded memory.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::sources::{piped, watched};
use crate::support::archive::{Log, inbound, json_files, minutes, outbound, place};
use crate::support::binary::{check_golden, check_status, command, flowgap, root, stderr, stdout};
use crate::support::fake_storage::{Contents, Distance, Fake};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const NAMES: &str = "testdata/names/vnets.json";

fn inspection(arguments: &[&str]) -> Value {
    let output = flowgap(&[&["inspect", "--format", "json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
}

#[test]
fn every_format_shows_addresses_subnets_and_the_way_on() {
    for (format, golden) in [("text", "txt"), ("json", "json"), ("csv", "csv"), ("markdown", "md")] {
        let output = flowgap(&["inspect", ARCHIVE, "--names", NAMES, "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        check_golden(&format!("inspect-apim.{golden}"), &stdout(&output));
    }
}

#[test]
fn several_files_are_written_in_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let files = ["a.txt", "a.json", "a.csv", "a.md"].map(file);
    let outputs: Vec<&str> = files.iter().flat_map(|file| ["-o", file]).collect();
    let output = flowgap(&[&["inspect", ARCHIVE], &outputs[..]].concat());
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), String::new()), "{}", stderr(&output));
    for (file, format) in files.iter().zip(["text", "json", "csv", "markdown"]) {
        let shown = stdout(&flowgap(&["inspect", ARCHIVE, "--format", format]));
        assert_eq!(fs::read_to_string(file).expect("written"), shown, "{format}");
    }
    check_status(&["inspect", ARCHIVE, "-o", &file("a.xml")], 2, "add --format, one of text, json, csv, markdown");
    check_status(&["inspect", ARCHIVE, "-o", &files[1], "-o", &files[1]], 2, "is given twice");
}

/// The subnets that `analyze` names when it finds no flow in scope.
#[test]
fn subnets_are_those_that_an_analysis_sees() {
    for source in [ARCHIVE, "testdata/vnet-v4", "testdata/nsg-v2"] {
        let output = flowgap(&["analyze", source, "--subnet", "203.0.113.0/32", "--format", "json", "--exit-zero"]);
        let mut analysis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut seen = analysis["subnets_seen"].take();
        assert!(seen.as_array().is_some_and(|seen| !seen.is_empty()), "{source}");
        for subnet in seen.as_array_mut().expect("a list") {
            subnet["name"] = Value::Null;
        }
        assert_eq!(inspection(&[source])["subnets_seen"], seen, "{source}");
    }
}

#[cfg(unix)]
#[test]
fn the_next_command_runs_as_it_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let odd = folder.path().join("it's $(a) folder");
    let mut log = Log::vnet();
    (0..20).for_each(|n| log.allowed(inbound(minutes(n), "168.63.129.16", "10.20.1.4", 6390)));
    let made = log.write();
    fs::rename(made.path(), &odd).expect("moved");
    fs::create_dir(made.path()).expect("a folder");
    let names = folder.path().join("names of mine.csv");
    fs::write(&names, "10.20.1.4,gateway\n").expect("written");
    let odd = odd.to_str().expect("UTF-8");
    let narrowed = ["--from", "2026-05-04T00:05:00Z", "--last", "7d", "--names", names.to_str().expect("UTF-8")];
    for options in [&narrowed[..2], &["--last", "12h", "--now", "2026-05-04T03:00:00Z"], &narrowed[4..], &[]] {
        let inspected = inspection(&[&[odd], options].concat());
        assert_eq!(inspected["next"]["advice"], Value::Null);
        let text = inspected["next"]["command"].as_str().expect("a command").to_owned();
        let program = command(&[]).get_program().to_str().expect("UTF-8").to_owned();
        let script = text.replacen("flowgap", &format!("'{program}'"), 1) + " --format json";
        let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
        let mut analysis: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {text}: {}", stderr(&output)));
        assert_eq!(analysis["scope"]["subnets"], json!(["10.20.1.0/24"]), "{text}");
        assert_eq!(analysis["input"]["tuples"].take(), inspected["input"]["tuples"], "{text}");
    }
}

#[test]
fn without_a_sign_of_api_management_there_is_advice_instead_of_a_command() {
    let plain = {
        let mut log = Log::vnet();
        log.allowed(outbound(0, "10.20.1.4", "192.0.2.1", 443));
        log.write()
    };
    let path = plain.path().to_str().expect("UTF-8");
    let early = ["--to", "2026-05-03T00:00:01Z"];
    for (window, says) in [(&[][..], "No address here looks like API Management"), (&early[..], "There is no flow")] {
        let next = inspection(&[&[path], window].concat())["next"].take();
        assert_eq!(next["command"], Value::Null, "{says}");
        assert!(next["advice"].as_str().is_some_and(|advice| advice.contains(says)), "{next}");
        let text = stdout(&flowgap(&[&["inspect", path], window].concat()));
        assert!(text.contains("\nNext\n  ") && !text.contains("flowgap analyze"), "{text}");
    }
    let several = {
        let mut log = Log::vnet();
        log.allowed(inbound(0, "168.63.129.16", "10.20.1.4", 6390));
        log.allowed(inbound(0, "168.63.129.16", "10.20.2.4", 6390));
        log.write()
    };
    let next = inspection(&[several.path().to_str().expect("UTF-8")])["next"].take();
    let command = next["command"].as_str().expect("a command");
    assert!(command.ends_with(" --subnet 10.20.1.0/24 --subnet 10.20.2.0/24"), "{command}");
    assert!(next["advice"].as_str().is_some_and(|advice| advice.contains("Several subnets")), "{next}");
}

/// A record with one tuple of an interface of its own.
fn record(interface: u32, ip: [u8; 4]) -> String {
    let ip = std::net::Ipv4Addr::from(ip);
    format!(
        r#"{{"time":"2026-05-04T00:01:00.000Z","flowLogVersion":4,"macAddress":"{interface:012X}","category":"FlowLogFlowEvent","flowRecords":{{"flows":[{{"aclID":"nsg","flowGroups":[{{"rule":"UserRule_{interface}","flowTuples":["1777852800000,{ip},192.0.2.1,50000,443,6,O,B,NX,0,0,0,0"]}}]}}]}}}}"#
    )
}

/// A blob of records of these interfaces, each with an address of its own.
fn blob(interfaces: std::ops::Range<u32>) -> String {
    let mut text = r#"{"records":["#.to_owned();
    for n in interfaces.clone() {
        let [_, b, c, d] = n.to_be_bytes();
        let comma = if n + 1 < interfaces.end { "," } else { "]}" };
        write!(text, "{}{comma}", record(n, [10, b, c, d])).expect("a string");
    }
    text
}

#[test]
fn many_interfaces_and_addresses_are_counted_and_not_all_kept() {
    const MANY: u32 = 60_000;
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    place(folders[0].path(), "all.json", blob(0..MANY));
    (0..30).for_each(|n| place(folders[1].path(), &format!("{n}.json"), blob(MANY / 30 * n..MANY / 30 * (n + 1))));
    let [(one, peak), (other, _)] = folders.each_ref().map(|folder| {
        let out = folder.path().join("inspection.out");
        let [folder, file] = [folder.path(), &out].map(|path| path.to_str().expect("UTF-8"));
        let mut command = command(&["inspect", folder, "--format", "json", "-o", file]);
        let (output, peak) = watched(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts"));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let inspection: Value = serde_json::from_slice(&fs::read(&out).expect("written")).expect("JSON");
        (inspection, peak)
    });
    for key in
        ["interfaces", "rules", "interface_count", "rule_count", "local_address_count", "subnets_seen", "meaning"]
    {
        assert_eq!(one[key], other[key], "{key} depends on how the records are spread over blobs");
    }
    for key in ["interface_count", "rule_count", "local_address_count"] {
        let count = one[key].as_f64().expect("a number");
        assert!((count / f64::from(MANY) - 1.0).abs() < 0.05, "{key} is {count}");
        assert_eq!(one[format!("{key}_exact")], false);
    }
    assert_eq!(one["interfaces"].as_array().map(Vec::len), Some(16_384));
    let meaning = one["meaning"].to_string();
    assert!(meaning.contains("local addresses: the subnets count a sample of them"), "{meaning}");
    assert!(peak < 1000, "{peak} MB");
}

#[test]
fn addresses_of_one_interface_are_counted_up_to_32() {
    let blob = |count: u8| {
        let records: Vec<String> = (0..count).map(|n| record(7, [10, 20, 1, n])).collect();
        format!(r#"{{"records":[{}]}}"#, records.join(","))
    };
    for (count, shown, is_exact, more) in
        [(1, 1, true, "10.20.1.0\n"), (32, 32, true, "30 more"), (60, 33, false, "31 or more others")]
    {
        let output = piped(&["inspect", "-", "--format", "json"], blob(count).as_bytes());
        let inspection: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let interface = &inspection["interfaces"][0];
        let counts = (&interface["local_address_count"], &interface["local_address_count_exact"]);
        assert_eq!(counts, (&json!(shown), &json!(is_exact)), "{count}");
        assert_eq!(interface["local_addresses"].as_array().map(Vec::len), Some(usize::from(count.min(10))));
        assert_eq!(inspection["local_address_count"], count);
        let text = stdout(&piped(&["inspect", "-"], blob(count).as_bytes()));
        assert!(text.contains(more), "{text}");
    }
}

#[test]
fn the_next_command_holds_no_secret() {
    let mut files = Vec::new();
    json_files(&root().join(ARCHIVE), &mut files);
    files.truncate(1);
    let body = Arc::new(fs::read(&files[0]).expect("readable"));
    let fake = Fake::start(Contents { names: vec!["PT1H.json".to_owned()], bodies: vec![body] }, Distance::default());
    let address = fake.address();
    let signed = format!("{address}?sv=2024-11-04&sr=c&sp=rl&sig=SECRETSIG");
    for format in ["text", "json", "csv", "markdown"] {
        let output = flowgap(&["inspect", &signed, "--mac", "00005E005304", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stdout(&output) + &stderr(&output);
        assert!(!said.contains("SECRETSIG"), "{said}");
        if format != "csv" {
            assert!(said.contains(&format!("analyze {address} --mac 00005E005304 --subnet 10.20.1.0/24")), "{said}");
            assert!(said.contains("leaves out the signature"), "{said}");
        }
    }
}
