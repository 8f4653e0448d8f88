//! The text report of one screen: a golden per kind of archive, its size at any width, and that it is made of the JSON.

use std::path::{Path, PathBuf};

use flowgap::findings::Analysis;
use flowgap::report::{Document, Format, Style, report};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cases::{A, DENY, DNS, KEY_VAULT, PROBE, SQL, STORAGE, SUBNET, TAG_FILE, day, deny_sql, healthy, planted};
use crate::support::archive::{ACL, Log, hours, inbound, json_files, minutes, outbound};
use crate::support::binary::{check_golden, flowgap, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const LINES: usize = 24;

/// An archive, and the options that it is analyzed with.
struct Case {
    name: &'static str,
    source: PathBuf,
    options: Vec<&'static str>,
    _folder: Option<TempDir>,
}

fn case(name: &'static str, log: &Log, options: &[&'static str]) -> Case {
    let folder = log.write();
    Case { name, source: folder.path().to_owned(), options: options.to_vec(), _folder: Some(folder) }
}

fn example(name: &'static str, options: &[&'static str]) -> Case {
    Case { name, source: PathBuf::from(ARCHIVE), options: options.to_vec(), _folder: None }
}

/// Twelve machines with five faults, one of them at the other end.
fn twelve_machines() -> Log {
    let mut log = Log::vnet();
    for machine in 4..16 {
        let local = format!("10.30.1.{machine}");
        healthy(&mut log, &local, 0..24, &["APIM-OUT-STORAGE"]);
        for hour in 0..24 {
            let time = planted(hour) + minutes(i64::from(machine));
            log.unanswered(outbound(time, &local, STORAGE, 443));
            log.denied(outbound(time, &local, SQL, 1433), if hour < 6 { "UserRule_deny-all" } else { DENY });
            if hour >= 12 {
                log.denied(outbound(time, &local, DNS, 53).udp().far().acl(&nsg("nsg-spokes")), "UserRule_deny-spokes");
            }
            if (4..8).contains(&hour) {
                log.denied(outbound(time, &local, KEY_VAULT, 443), DENY);
            }
        }
    }
    log
}

fn nsg(name: &str) -> String {
    ACL.replace("nsg-apim-example", name)
}

/// Forty NSGs with one rule of the same name, and nothing that looks like API Management.
fn estate() -> Log {
    let mut log = Log::vnet();
    for nr in 0..40 {
        for machine in 4..9 {
            let local = format!("10.50.{nr}.{machine}");
            for hour in 0..3 {
                let acl = nsg(&format!("nsg-{nr}"));
                log.denied(outbound(planted(hour), &local, SQL, 1433).acl(&acl), "UserRule_deny-out");
                log.allowed(outbound(hours(hour), &local, "198.51.100.7", 8080).acl(&acl));
            }
        }
    }
    log
}

/// A healthy day of which one blob ends early.
fn truncated() -> Case {
    let truncated = case("truncated", &day(&[]), &["--subnet", SUBNET, "--service-tags", TAG_FILE]);
    let mut files = Vec::new();
    json_files(&truncated.source, &mut files);
    let bytes = std::fs::read(&files[7]).expect("a blob");
    std::fs::write(&files[7], &bytes[..bytes.len() / 2]).expect("written");
    truncated
}

fn cases() -> Vec<Case> {
    let tagged = ["--subnet", SUBNET, "--service-tags", TAG_FILE];
    let mut little = Log::vnet();
    (0..5).for_each(|nr| little.allowed(outbound(minutes(nr), A, STORAGE, 443)));
    let mut unanswered = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| unanswered.unanswered(outbound(planted(hour), A, SQL, 1433)));
    let mut long = day(&["APIM-OUT-SQL"]);
    let name = "a-very-long-name-of-a-rule-that-nobody-would-type-but-a-tool-generates-from-parts";
    (0..24).for_each(|hour| {
        long.denied(outbound(planted(hour), A, SQL, 1433).acl(&nsg(name)), &format!("UserRule_{name}"))
    });
    let mut dns = day(&["APIM-OUT-DNS", "APIM-OUT-SQL"]);
    (0..6).for_each(|hour| dns.allowed(outbound(planted(hour), A, DNS, 53).udp()));
    (6..24).for_each(|hour| dns.denied(outbound(planted(hour), A, DNS, 53).udp(), "UserRule_deny-spokes"));
    (8..24).for_each(|hour| dns.denied(outbound(planted(hour), A, "198.51.100.9", 1433), DENY));
    let mut strangers = day(&[]);
    deny_sql(&mut strangers, 12..13);
    (0..24).for_each(|hour| strangers.allowed(inbound(planted(hour), PROBE, A, 6390)));
    vec![
        example("example", &["--subnet", "10.20.1.0/24", "--service-tags", TAG_FILE]),
        case("clean", &day(&[]), &tagged),
        example("wrong-subnet", &["--subnet", "10.99.0.0/24"]),
        example("wrong-hours", &["--from", "2026-06-01T00:00:00Z", "--to", "2026-06-02T00:00:00Z"]),
        case("too-little", &little.as_nsg(), &tagged),
        case("twelve-machines", &twelve_machines(), &["--service-tags", TAG_FILE]),
        case("estate", &estate(), &["--service-tags", TAG_FILE]),
        case("unanswered", &unanswered, &tagged),
        case("long-names", &long, &tagged),
        case("dns", &dns, &tagged),
        case("recovered", &strangers, &tagged),
        truncated(),
    ]
}

fn written(analysis: &Analysis, format: Format, width: usize, has_color: bool) -> String {
    let style = Style { width, has_color, ..Style::PLAIN };
    let mut text = Vec::new();
    report(format, style).write(&Document::new(analysis), &mut text).expect("written");
    String::from_utf8(text).expect("UTF-8")
}

fn without_colors(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').expect("a colour").1)
}

/// Checks the size of the screen in every form, and returns it as a pipe gets it.
fn check_screen(name: &str, analysis: &Analysis) -> String {
    for (width, widest) in [(80, 80), (100, 100), (160, 100)] {
        let plain = written(analysis, Format::Text, width, false);
        let colored = written(analysis, Format::Text, width, true);
        assert!(colored.contains("\u{1b}["), "{name}: no colour");
        assert_eq!(without_colors(&colored), plain, "{name}");
        assert!(plain.lines().count() <= LINES, "{name}, {width}: {} lines:\n{plain}", plain.lines().count());
        for line in plain.lines().filter(|line| line.chars().count() > widest) {
            let words = line.trim_end_matches(" \\").trim_start();
            let words = words.strip_prefix("1 ").unwrap_or(words);
            assert!(!words.contains(' ') || words.starts_with(['"', '\'']), "{name}: over {widest} columns: {line}");
        }
        assert!(plain.lines().last().is_some_and(|line| line.contains("exit ")), "{name}:\n{plain}");
        assert!(!plain.contains("effective routes"), "{name}");
    }
    written(analysis, Format::Text, 80, false)
}

/// The JSON of an analysis.
fn json_of(case: &Case) -> String {
    let source = case.source.to_str().expect("UTF-8");
    let output = flowgap(&[&["analyze", source, "--format", "json"], &case.options[..]].concat());
    assert_ne!(output.stdout, b"", "{}: {}", case.name, stderr(&output));
    stdout(&output)
}

#[test]
fn every_screen_fits_and_is_made_of_the_json() {
    let mut screens = String::new();
    for case in cases() {
        let json = json_of(&case);
        crate::schema::check(&json);
        let parsed: Analysis = serde_json::from_str(&json).expect("an analysis");
        let screen = check_screen(case.name, &parsed);
        let source = case.source.to_str().expect("UTF-8");
        let piped = flowgap(&[&["analyze", source], &case.options[..]].concat());
        assert_eq!(stdout(&piped), screen, "{}", case.name);
        let options = case.options.join(" ");
        screens += &format!("$ flowgap analyze {} {options}\n{screen}\n", case.name);
    }
    check_golden("screens.txt", &screens.replace(root().to_str().expect("UTF-8"), "."));
}

#[test]
fn an_interrupted_run_says_so_first() {
    let golden = std::fs::read_to_string(root().join("tests/golden/apim.json")).expect("a golden");
    let mut json: Value = serde_json::from_str(&golden).expect("JSON");
    json["status"]["partial"] = json!(true);
    json["status"]["exit"] = json!(130);
    json["notices"] = json!([{"code": "interrupted", "message": "The run was interrupted."}]);
    let screen = check_screen("interrupted", &serde_json::from_value(json).expect("an analysis"));
    assert!(screen.starts_with("PARTIAL BLOCKED  10.20.1.0/24: "), "{screen}");
    assert!(screen.contains("(newest flow), interrupted: 9,546 flows\n"), "{screen}");
    assert!(screen.ends_with("exit 130\n"), "{screen}");
}

/// What has no room is counted.
#[test]
fn hidden_causes_and_notes_are_counted() {
    let mut log = day(&[]);
    for nr in 0..12 {
        let acl = nsg(&format!("nsg-{nr}"));
        (0..24).for_each(|hour| {
            log.denied(outbound(planted(hour), A, SQL, 1433).acl(&acl), &format!("UserRule_deny-{nr}"))
        });
    }
    let case = case("many", &log, &["--subnet", SUBNET, "--service-tags", TAG_FILE]);
    let screen = check_screen("many", &serde_json::from_str(&json_of(&case)).expect("an analysis"));
    let listed = screen.lines().filter(|line| line.contains(", flowgap fix ")).count();
    let more = screen.lines().find_map(|line| line.strip_prefix("and ")?.strip_suffix(" more causes"));
    let hidden: usize = more.unwrap_or_else(|| panic!("{screen}")).parse().expect("a number");
    assert_eq!(1 + listed + hidden, 12, "{screen}");
    assert!(listed <= 5, "{screen}");
}

/// The command to paste is the one that `flowgap fix` prints, in words that bash joins.
#[test]
fn the_fix_on_the_screen_is_that_of_the_verb() {
    let screen = stdout(&flowgap(&["report", "tests/golden/apim.json"]));
    let fix = stdout(&flowgap(&["fix", "tests/golden/apim.json", "1"]));
    let command = |text: &str| {
        let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("az network nsg rule create"));
        let mut words = Vec::new();
        for line in lines {
            let (line, is_continued) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
            words.extend(line.split_whitespace().map(str::to_owned));
            if !is_continued {
                break;
            }
        }
        words.join(" ")
    };
    assert_eq!(command(&screen), command(&fix));
    assert!(command(&screen).contains("--destination-port-ranges 1433"), "{screen}");
}

#[test]
fn files_have_no_colour_and_80_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let file: &Path = &folder.path().join("report.txt");
    let arguments = ["analyze", ARCHIVE, "--service-tags", TAG_FILE, "-o", file.to_str().expect("UTF-8")];
    assert_eq!(flowgap(&arguments).status.code(), Some(1));
    let text = std::fs::read_to_string(file).expect("written");
    assert_eq!(text, stdout(&flowgap(&arguments[..4])));
}
