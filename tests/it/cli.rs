//! The real binary: findings of the planted archive, every key, every exit status, every message.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::archive::json_files;
use crate::support::binary::{
    SUBNET, analyze, check_golden, check_status, command, flowgap, program, root, stderr, stdout,
};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";

fn json(arguments: &[&str]) -> Value {
    let output = analyze(&[arguments, &["--format", "json"]].concat());
    let analysis =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", stderr(&output)));
    crate::schema::check(&stdout(&output));
    analysis
}

#[test]
fn the_planted_archive_gives_exactly_its_findings() {
    let truth = std::fs::read(root().join("testdata/apim-truth.json")).expect("truth");
    let truth: Value = serde_json::from_slice(&truth).expect("JSON");
    let analysis = json(&[ARCHIVE, "--service-tags", TAGS]);
    for key in ["blobs", "bytes", "records", "tuples", "denied_tuples", "first_flow", "last_flow"] {
        assert_eq!(analysis["input"][key], truth[key], "{key}");
    }
    let facts = |finding: &Value, requirement: &str| {
        let fact = |key: &str| finding[key].to_string();
        let keys = ["direction", "acl", "rule", "denied_tuples", "first_denied", "last_denied", "kind", "verdict"];
        [vec![finding[requirement].to_string()], keys.map(fact).to_vec()].concat()
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found: Vec<Vec<String>> = list(&analysis["findings"]).iter().map(|f| facts(f, "requirement")).collect();
    let planted = list(&truth["faults"]);
    assert_eq!(planted.len(), 5, "the truth names five faults");
    let mut planted: Vec<Vec<String>> = planted.iter().map(|f| facts(f, "requirement")).collect();
    found.sort();
    planted.sort();
    assert_eq!(found, planted);
}

#[test]
fn reports_equal_their_goldens() {
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--details"]));
    check_golden("apim-details.txt", &text);
    for line in text.lines().filter(|line| line.chars().count() > 80) {
        assert!(line.trim_start().split(' ').count() == 1, "longer than 80 columns: {line}");
    }
    check_golden("apim.txt", &stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS])));
    check_golden("apim.json", &stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--format", "json"])));
    check_golden("apim-details-untagged.txt", &stdout(&analyze(&[ARCHIVE, "--details"])));
    for source in [ARCHIVE, "testdata/broken", "testdata/nsg-v2", "testdata/vnet-v4"] {
        for line in stdout(&analyze(&[source, "--details"])).lines() {
            assert!(
                line.chars().count() <= 80 || !line.trim_start().contains(' '),
                "{source}: over 80 columns: {line}"
            );
        }
    }
}

/// Keys of the objects of a JSON text in the order in which they stand, with their depth.
fn keys(text: &str) -> Vec<(usize, String)> {
    let (mut keys, mut depth, mut rest) = (Vec::new(), 0, text);
    while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
        match rest.as_bytes()[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {
                let mut end = at + 1;
                while rest.as_bytes()[end] != b'"' {
                    end += 1 + usize::from(rest.as_bytes()[end] == b'\\');
                }
                if rest[end + 1..].starts_with(':') {
                    keys.push((depth, rest[at + 1..end].to_owned()));
                }
                rest = &rest[end + 1..];
                continue;
            }
        }
        rest = &rest[at + 1..];
    }
    keys
}

#[test]
fn json_has_every_key_of_the_contract_in_its_order() {
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--format", "json"]));
    let keys = keys(&text);
    // The keys of the first object after `parent`, at its depth.
    let below = |parent: &str, depth: usize| -> String {
        let start =
            keys.iter().position(|(d, k)| *d == depth - 1 && k == parent || depth == 1 && *d == 1).map_or(0, |i| i);
        let from = start + usize::from(depth > 1);
        let mut seen: Vec<&str> = Vec::new();
        for (d, key) in &keys[from..] {
            if *d < depth && depth > 1 || *d == depth && seen.contains(&key.as_str()) {
                break;
            }
            if *d == depth {
                seen.push(key);
            }
        }
        seen.join(" ")
    };
    let check = |parent: &str, depth: usize, expected: &str| assert_eq!(below(parent, depth), expected, "{parent}");
    check(
        "",
        1,
        "schema flowgap_version scope input status needs subnets_seen archive causes findings coverage \
         unmatched_denied notices",
    );
    check("scope", 2, "subnets subnets_inferred vnet vnet_mode vnet_mode_origin edition from to service_tags");
    check("service_tags", 3, "cloud change_number tags");
    check(
        "input",
        2,
        "blobs bytes records tuples denied_tuples tuples_in_scope denied_in_scope malformed_tuples unreadable_blobs \
         first_flow last_flow versions problem_count problems",
    );
    check("versions", 3, "nsg1 nsg2 vnet4");
    let findings = "rank id fingerprint kind severity score impact confidence verdict state reach requirement candidates \
         purpose direction vantage subnet protocol ports acl acl_name rule rule_name rule_origin denied_tuples \
         denied_tuples_24h allowed_24h allowed_since_first_denied sent_tuples unanswered_tuples worked_before hint effect \
         follows_dns first_denied last_denied last_allowed_before first_allowed_after local_addresses remote_addresses \
         local_address_count remote_address_count remote_address_count_exact hours outside_loaded_tags explanation fix";
    let of_finding: Vec<&str> = keys
        .iter()
        .skip_while(|(d, k)| (*d, k.as_str()) != (1, "findings"))
        .skip(1)
        .filter(|(d, _)| *d == 3)
        .map(|(_, k)| k.as_str())
        .take(findings.split_whitespace().count())
        .collect();
    assert_eq!(of_finding, findings.split_whitespace().collect::<Vec<_>>());
    let of_cause: Vec<&str> = keys
        .iter()
        .skip_while(|(d, k)| (*d, k.as_str()) != (1, "causes"))
        .filter(|(d, _)| *d == 3)
        .map(|(_, k)| k.as_str())
        .take(14)
        .collect();
    assert_eq!(
        of_cause.join(" "),
        "number kind acl acl_name rule rule_name rule_origin subnet effect findings max_severity first_denied last_denied \
         denied_tuples"
    );
    let has = |parent: &str, expected: &str| {
        let at = keys.iter().position(|(_, k)| k == parent).unwrap_or_else(|| panic!("{parent}"));
        let expected: Vec<&str> = expected.split(' ').collect();
        let got: Vec<&str> = keys[at + 1..at + 1 + expected.len()].iter().map(|(_, k)| k.as_str()).collect();
        assert_eq!(got, expected, "{parent}");
    };
    has("local_addresses", "ip name denied_tuples");
    has("remote_addresses", "ip name service_tag denied_tuples");
    has("hours", "hour denied_tuples");
    has("fix", "kind direction source destination ports protocol note priority existing_rule commands");
    has("unmatched_denied", "inbound_internet_tuples tuples peers by_rule");
    has("notices", "code message");
    let analysis: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(analysis["schema"], "flowgap.analysis/1");
    let broken = self::keys(&stdout(&analyze(&["testdata/broken", "--format", "json"])));
    let of_problem = broken.iter().skip_while(|(_, key)| key != "problems").skip(1).take(4);
    assert_eq!(of_problem.map(|(_, key)| key.as_str()).collect::<Vec<_>>(), ["blob", "offset", "record", "reason"]);
}

#[test]
fn exit_status_says_how_it_went() {
    let analyze = |rest: &[&'static str]| [&["analyze", "--subnet", SUBNET, ARCHIVE], rest].concat();
    check_status(&analyze(&["--exit-zero"]), 0, "");
    check_status(&analyze(&["--service-tags", TAGS]), 1, "");
    check_status(
        &analyze(&["--fail-on", "critical", "--vnet-mode", "internal", "--to", "2026-05-04T06:00:00Z"]),
        0,
        "",
    );
    check_status(&analyze(&["--from", "2026-05-04T00:00:00Z", "--to", "2026-05-04T00:00:01Z"]), 3, "");
    check_status(&["analyze", "--subnet", "100.127.0.0/24", ARCHIVE], 3, "");
    check_status(&["analyze", ARCHIVE, "--subnet", "10.20.1.5/24"], 2, "did you mean 10.20.1.0/24?");
    check_status(&analyze(&["--vnet", "0.0.0.0/0"]), 2, "covers every address");
    check_status(&analyze(&["--edition", "2025"]), 2, "known editions are 2016-12");
    check_status(
        &analyze(&["--from", "2026-05-05T00:00:00Z", "--to", "2026-05-04T00:00:00Z"]),
        2,
        "--from must be before --to",
    );
    check_status(&analyze(&["--last", "7 moons"]), 2, "write a duration like 7d");
    check_status(&analyze(&["--service-tags", "no-such-file.json"]), 2, "no-such-file.json");
    check_status(&analyze(&["--service-tags", "testdata/apim-truth.json"]), 2, "not a ServiceTags_*.json");
    check_status(&analyze(&["-o", "no-such-folder/x.json"]), 2, "no-such-folder/x.json");
    check_status(&analyze(&["--fail-on", "worst"]), 2, "possible values");
    check_status(&["analyze", "--subnet", SUBNET, "no-such-folder"], 4, "'no-such-folder' does not exist");
    check_status(&["analyze", "--subnet", SUBNET, "src"], 4, "no flow log blob (*.json) in src");
    check_status(&["analyze", "--subnet", "192.0.2.0/24", "testdata/broken"], 3, "");
    check_status(
        &["analyze", "--subnet", SUBNET, "--exit-zero", "--strict", "testdata/broken/malformed-tuples.json"],
        3,
        "",
    );
    // Malformed tuples alone do not change it, but a few tuples are too little to call anything fine.
    check_status(&analyze(&["--exit-zero", "testdata/broken/malformed-tuples.json"]), 0, "");
    check_status(&["analyze", "--subnet", SUBNET, "--exit-zero", "testdata/broken/malformed-tuples.json"], 3, "");
    check_status(&analyze(&["--exit-zero", "--min-coverage", "1"]), 3, "");
    check_status(&analyze(&["--min-coverage", "1"]), 1, "");
    check_status(&analyze(&["--min-coverage", "50"]), 2, "write a share from 0 to 1");
}

#[test]
fn an_empty_folder_and_a_locked_one_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    check_status(&["analyze", "--subnet", SUBNET, path], 4, "no flow log blob");
    let both = analyze(&[ARCHIVE, path]);
    assert_eq!(both.status.code(), Some(4), "one good source does not hide a bad one");
}

#[test]
fn every_defect_is_located_and_costs_nothing_else() {
    let analysis = json(&["testdata/broken", "--exit-zero"]);
    let input = &analysis["input"];
    let problems = input["problems"].as_array().expect("a list");
    assert_eq!(input["problem_count"], problems.len());
    assert!(input["malformed_tuples"].as_u64().is_some_and(|n| n >= 62), "{}", input["malformed_tuples"]);
    for problem in problems {
        let blob = problem["blob"].as_str().expect("text");
        let size = std::fs::metadata(root().join(blob)).unwrap_or_else(|e| panic!("{blob}: {e}")).len();
        assert!(problem["offset"].as_u64().is_some_and(|offset| offset <= size), "{problem}");
        assert!(problem["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{problem}");
    }
    let malformed = json(&["testdata/broken/malformed-tuples.json"]);
    assert_eq!((&malformed["input"]["malformed_tuples"], &malformed["input"]["tuples"]), (&62.into(), &11.into()));
}

#[test]
fn the_file_extension_of_the_output_selects_the_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    for name in ["findings.json", "findings.parquet", "findings.txt"] {
        let output = analyze(&[ARCHIVE, "--service-tags", TAGS, "-o", &path(name)]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{name}");
    }
    let analysis: Value =
        serde_json::from_slice(&std::fs::read(path("findings.json")).expect("written")).expect("JSON");
    let file = std::fs::File::open(path("findings.parquet")).expect("written");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let batches: Vec<_> = reader.build().expect("Parquet").map(|batch| batch.expect("a batch")).collect();
    let ids = arrow::array::AsArray::as_string::<i32>(batches[0].column_by_name("id").expect("a column")).clone();
    let ids: Vec<&str> = ids.iter().flatten().collect();
    let expected: Vec<&str> =
        analysis["findings"].as_array().expect("a list").iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!(ids, expected);
    let ranks = batches[0].column_by_name("rank").expect("a column");
    let ranks = arrow::array::AsArray::as_primitive::<arrow::datatypes::UInt64Type>(ranks).values().to_vec();
    assert_eq!(ranks, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert!(std::fs::read_to_string(path("findings.txt")).expect("written").starts_with("BLOCKED  "));
}

#[test]
fn a_closed_pipe_is_quiet() {
    let command = format!(
        "{} analyze --subnet {SUBNET} {ARCHIVE} --format json | head -c 10; echo \" ${{PIPESTATUS[0]}}\"",
        env!("CARGO_BIN_EXE_flowgap")
    );
    let output = program("bash").current_dir(root()).args(["-c", &command]).output().expect("bash");
    assert_eq!(stdout(&output), "{\n  \"schem 1\n");
    assert_eq!(stderr(&output), "");
}

/// The whole report fits into a pipe: only one that is closed before it is written makes the write fail.
#[test]
fn a_pipe_closed_at_once_is_quiet() {
    for format in ["text", "json", "parquet"] {
        let mut child = program(env!("CARGO_BIN_EXE_flowgap"))
            .current_dir(root())
            .args(["analyze", "--subnet", SUBNET, ARCHIVE, "--format", format])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("flowgap starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("flowgap ends");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""), "{format}");
    }
}

/// Against the reference decoder: half open, in any time zone, as `--from` and `--to` or as `--last`.
#[test]
fn a_window_counts_what_the_reference_decoder_counts() {
    let mut files = Vec::new();
    json_files(&root().join(ARCHIVE), &mut files);
    let rows: Vec<_> = files
        .iter()
        .flat_map(|file| crate::support::reference::decode(&std::fs::read(file).expect("readable")).rows)
        .collect();
    let ms = |text: &str| chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis();
    let check = |arguments: [&str; 4], from: &str, to: &str, blobs: u64| {
        let input = json(&[&[ARCHIVE][..], &arguments[..]].concat())["input"].clone();
        let inside: Vec<_> = rows.iter().filter(|row| (ms(from)..ms(to)).contains(&row.time)).collect();
        let denied = inside.iter().filter(|row| row.decision == "deny").count();
        assert_eq!(input["blobs"], blobs, "{arguments:?}");
        assert_eq!(
            (&input["tuples"], &input["denied_tuples"]),
            (&inside.len().into(), &denied.into()),
            "{arguments:?}"
        );
        let shown = |key: &str| input[key].as_str().map(ms);
        assert_eq!(shown("first_flow"), inside.iter().map(|row| row.time).min(), "{arguments:?}");
        assert_eq!(shown("last_flow"), inside.iter().map(|row| row.time).max(), "{arguments:?}");
    };
    let (from, to) = ("2026-05-04T06:00:00Z", "2026-05-04T12:00:00Z");
    check(["--from", from, "--to", to], from, to, 14);
    check(["--last", "90m", "--now", "2026-05-04T14:00:00+02:00"], "2026-05-04T10:30:00Z", to, 6);
    let (first, last) = ("2026-05-04T00:04:36.350Z", "2026-05-05T06:00:16.915Z");
    check(["--from", first, "--to", last], first, last, 62);
    let (behind_first, behind_last) = ("2026-05-04T00:04:36.351Z", "2026-05-05T06:00:16.916Z");
    check(["--from", behind_first, "--to", behind_last], behind_first, behind_last, 62);
}

#[test]
fn a_window_cuts_tuples_and_blobs() {
    let whole = json(&[ARCHIVE]);
    let part = json(&[ARCHIVE, "--from", "2026-05-04T06:00:00Z", "--to", "2026-05-04T08:00:00Z"]);
    let last = json(&[ARCHIVE, "--last", "2h", "--now", "2026-05-04T08:00:00Z"]);
    assert_eq!((&part["input"], &part["findings"]), (&last["input"], &last["findings"]));
    let time = |value: &Value| value.as_str().expect("a time").to_owned();
    assert!(time(&part["input"]["first_flow"]).as_str() >= "2026-05-04T06:00:00");
    assert!(time(&part["input"]["last_flow"]).as_str() < "2026-05-04T08:00:00");
    // Two hours and the one after, of two interfaces.
    assert_eq!(part["input"]["blobs"], 6);
    assert!(part["input"]["tuples"].as_u64() < whole["input"]["tuples"].as_u64());
    assert_eq!(part["scope"]["from"], "2026-05-04T06:00:00.000Z");
}

/// Copies the files of the planted archive into folders, every other one here and there.
fn split_archive(folder: &Path) -> [String; 2] {
    let parts = ["even", "odd"].map(|name| folder.join(name));
    let mut files = Vec::new();
    json_files(&root().join(ARCHIVE), &mut files);
    for (nr, file) in files.iter().enumerate() {
        let to = parts[nr % 2].join(file.strip_prefix(root().join(ARCHIVE)).expect("below"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(file, to).expect("copied");
    }
    parts.map(|part| part.to_str().expect("UTF-8").to_owned())
}

#[test]
fn several_sources_make_one_table_in_any_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let [even, odd] = split_archive(folder.path());
    let whole = stdout(&analyze(&[ARCHIVE, "--format", "json"]));
    assert_eq!(stdout(&analyze(&[&even, &odd, "--format", "json"])), whole);
    assert_eq!(stdout(&analyze(&[&odd, &even, "--format", "json"])), whole);
    // A blob that two sources hold is read once; only the count of listed blobs is by source.
    let inside = std::fs::read_dir(root().join(ARCHIVE)).expect("a folder").map(|e| e.expect("an entry").path()).next();
    let inside = inside.expect("a flow log").strip_prefix(root()).expect("below").to_str().expect("UTF-8").to_owned();
    let but_archive = |mut analysis: Value| {
        analysis.as_object_mut().and_then(|keys| keys.remove("archive")).expect("the key");
        analysis
    };
    assert_eq!(but_archive(json(&[ARCHIVE, &inside, ARCHIVE])), but_archive(json(&[ARCHIVE])));
}

#[test]
fn any_name_of_a_file_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["my logs", "\u{e4}", "a~b", "50%", "50%25", "a#b", "a[b]", "{a}", "a?b"] {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).expect("a folder");
        std::fs::copy(root().join("testdata/vnet-v4/plain.json"), place.join("x.json")).expect("copied");
        let input = json(&[place.to_str().expect("UTF-8")])["input"].clone();
        assert_eq!((&input["tuples"], &input["unreadable_blobs"]), (&3.into(), &0.into()), "{name}");
    }
}

#[test]
fn a_signature_in_an_address_is_never_printed() {
    for address in [
        "https://example.com/x?sig=SECRETSIG",
        "https://acct.blob.core.windows.net?sig=SECRETSIG",
        "http://127.0.0.1:1/devstoreaccount1?sv=1&sig=SECRETSIG",
        // Addresses that are mistaken for files, and a password.
        "HTTPS://acct.blob.core.windows.net/logs?sig=SECRETSIG",
        "acct.blob.core.windows.net/logs?sig=SECRETSIG",
        "az://logs?sig=SECRETSIG",
        "abfss://logs@acct.dfs.core.windows.net/x?sig=SECRETSIG",
        "https://user:SECRETSIG@example.com/x",
    ] {
        let output = analyze(&[address, "-v"]);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(!said.contains("SECRETSIG") && said.len() > 20, "{said}");
    }
}

#[test]
fn the_log_names_stages_at_the_level_asked_for() {
    let logged = |level: &str, arguments: &[&str]| command(arguments).env("FLOWGAP_LOG", level).output().expect("runs");
    let folder = ARCHIVE;
    let arguments = ["analyze", "-q", "--format", "json", folder];
    let debug = logged("debug", &arguments);
    for stage in ["listed", "planned scan units", "scanned", "answered", "reporting"] {
        assert!(stderr(&debug).contains(stage), "{stage}: {}", stderr(&debug));
    }
    let info = stderr(&logged("info", &arguments));
    assert!(info.contains("listed") && !info.contains("scanned"), "{info}");
    assert_eq!(stderr(&logged("", &arguments)), "");
    assert_eq!(stdout(&debug), stdout(&flowgap(&arguments)));
    let wrong = logged("loud", &arguments);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("'loud' is not one of error, warn, info, debug, trace"), "{}", stderr(&wrong));
    let secret =
        logged("trace", &["inspect", "http://127.0.0.1:1/devstoreaccount1/logs?sv=1&sig=SECRETSIG", "--retries", "0"]);
    assert!(!stderr(&secret).contains("SECRETSIG"), "{}", stderr(&secret));
}

#[test]
fn help_names_every_option() {
    let help = stdout(&flowgap(&["analyze", "--help"]));
    for option in [
        "--subnet",
        "--vnet",
        "--vnet-mode",
        "--edition",
        "--service-tags",
        "--from",
        "--to",
        "--last",
        "--now",
        "--tz",
        "--severity",
        "--only",
        "--rule",
        "--dry-run",
        "--format",
        "--output",
        "--fail-on",
        "--exit-zero",
        "--strict",
        "--top",
        "--quiet",
        "--verbose",
    ] {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn top_and_quiet_take_effect() {
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--details", "--top", "2"]));
    assert!(text.contains("\n2. ") && !text.contains("\n3. ") && text.contains("3 more: --top 5 shows all."), "{text}");
    let read = |output| stderr(&output).lines().find(|line| line.starts_with("read 62 blobs")).map(str::to_owned);
    let analyzed = read(analyze(&[ARCHIVE, "-v"]));
    assert!(analyzed.is_some() && analyzed == read(flowgap(&["inspect", ARCHIVE, "-v"])), "{analyzed:?}");
    assert_eq!(stderr(&analyze(&[ARCHIVE, "-q"])), "");
}

#[test]
fn explanations_are_two_to_four_sentences() {
    for source in [ARCHIVE, "testdata/nsg-v2", "testdata/vnet-v4"] {
        for edition in ["2016-12", "2026-04-30"] {
            for finding in json(&[source, "--edition", edition])["findings"].as_array().expect("a list") {
                let text = finding["explanation"].as_str().expect("text");
                let starts = text.split(". ").filter(|s| s.starts_with(char::is_uppercase)).count();
                assert!((2..=4).contains(&starts) && text.ends_with('.'), "{starts}: {text}");
            }
        }
    }
}

#[test]
fn scores_show_what_they_are_made_of() {
    let text = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--details"]));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let factors =
        "Score 33.9 = 100 x impact 0.4 x confidence 1 (confirmed) x activity 1 (ongoing) x reach 0.8467 (partial)";
    assert!(text.contains(factors), "{text}");
    assert!(!stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS])).contains("impact 0.4"));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let has_color = |arguments: &[&str]| stdout(&analyze(&[&[ARCHIVE], arguments].concat())).contains("\x1b[");
    assert!(!has_color(&[]), "a pipe is no terminal");
    assert!(has_color(&["--color", "always"]));
    assert!(!has_color(&["--color", "never"]));
    assert!(!has_color(&["--color", "always", "--format", "markdown"]));
}

#[test]
fn csv_and_markdown_equal_their_goldens() {
    let csv = stdout(&analyze(&[ARCHIVE, "--service-tags", TAGS, "--format", "csv"]));
    check_golden("apim.csv", &csv);
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(rows.records().filter(|row| row.as_ref().is_ok_and(|row| row.len() == 29)).count(), 5);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.md");
    analyze(&[ARCHIVE, "--service-tags", TAGS, "-o", file.to_str().expect("UTF-8")]);
    check_golden("apim.md", &std::fs::read_to_string(file).expect("written"));
    let odd = folder.path().join("report.dat");
    check_status(
        &["analyze", "--subnet", SUBNET, ARCHIVE, "-o", odd.to_str().expect("UTF-8")],
        2,
        "is not a known format",
    );
}

#[test]
fn the_port_table_prints_in_every_format() {
    check_golden("requirements.txt", &stdout(&flowgap(&["requirements"])));
    check_golden("editions.txt", &stdout(&flowgap(&["requirements", "--list-editions"])));
    let csv = stdout(&flowgap(&["requirements", "--edition", "2016-12", "--format", "csv"]));
    assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().count(), 14);
    let rows: Value = serde_json::from_slice(&flowgap(&["requirements", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(33));
    assert_eq!((&rows[1]["id"], &rows[1]["destination_ports"]), (&"APIM-IN-MANAGEMENT".into(), &"3443".into()));
    let markdown = stdout(&flowgap(&["requirements", "--list-editions", "--format", "markdown"]));
    assert!(markdown.contains("| 2026-04-30 | 2026-04-30 | classic (stv2, stv2.1) |"), "{markdown}");
    check_status(&["requirements", "--edition", "1999"], 2, "known editions are 2016-12");
    check_status(&["requirements", "--list-editions"], 0, "");
}

#[test]
fn a_user_table_replaces_the_built_in_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let header = "id,direction,source,destination,destination_ports,protocol";
    let own = write("own.csv", &format!("{header}\nLEDGER,outbound,VirtualNetwork,Sql,1433,TCP\n"));
    let analysis = json(&[ARCHIVE, "--requirements", &own, "--service-tags", TAGS]);
    let finding = &analysis["findings"][0];
    // Refusals that the table does not ask for are no dependencies.
    let others = analysis["findings"].as_array().expect("a list").iter().skip(1);
    let kinds: BTreeSet<&str> = others.filter_map(|finding| finding["kind"].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["unlisted-blocked"]));
    // Required, so of impact 0.8; confirmed, ongoing and blocked.
    assert_eq!((&finding["requirement"], &finding["score"]), (&"LEDGER".into(), &80.0.into()));
    assert_eq!(analysis["scope"]["edition"], "own");
    let refused = |name: &str, text: &str, says: &str| {
        let path = write(name, text);
        check_status(&["analyze", "--subnet", SUBNET, ARCHIVE, "--requirements", &path], 2, says);
        check_status(&["requirements", "--requirements", &path], 2, name);
    };
    refused(
        "port.csv",
        &format!("{header}\nA,outbound,*,Sql,1433,TCP\nB,outbound,*,Sql,14x3,TCP\n"),
        "row 3, column 'destination_ports'",
    );
    refused("column.csv", "id,direction,source,destination,protocol\n", "lacks the column 'destination_ports'");
    refused("short.csv", &format!("{header}\nA,outbound\n"), "short.csv");
    refused("empty.csv", "", "lacks the column 'id'");
    let two = format!("edition,{header}\ne1,A,outbound,*,Sql,1433,TCP\ne2,A,outbound,*,Sql,1433,TCP\n");
    refused("two.csv", &two, "the port table has several editions: add --edition, one of e1, e2");
}

/// Ends early: what was read so far is printed, and the status tells.
#[test]
fn an_interrupted_run_prints_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    json_files(&root().join("testdata/nsg-v2"), &mut files);
    let copy = folder.path().join("0.json");
    std::fs::copy(&files[0], &copy).expect("copied");
    // Copies, because a file of several names is read once.
    for nr in 1..15_000 {
        std::fs::copy(&copy, folder.path().join(format!("{nr}.json"))).expect("copied");
    }
    let mut command = program(env!("CARGO_BIN_EXE_flowgap"));
    command.args(["analyze", "--subnet", SUBNET, "--format", "json"]).arg(folder.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    std::thread::sleep(Duration::from_millis(400));
    let asked = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(kill.success(), "the run was over before it could be interrupted");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    let analysis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    crate::schema::check(&stdout(&output));
    assert!(analysis["input"]["blobs"].as_u64().is_some_and(|n| n < 15_000), "{}", analysis["input"]["blobs"]);
    assert_eq!(analysis["notices"][0]["code"], "interrupted");
}
