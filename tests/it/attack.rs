//! ParamValues, sinks and signals that ends of programs are made of: the real binary does not panic, prints nothing that acts
//! on a terminal or a spreadsheet, and leaves a file whole or as it was.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::binary::{command, flowgap, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";

/// A flow log with one record, whose rule and tuples are these.
fn log(rule: &str, tuples: &[&str]) -> String {
    let rule = serde_json::to_string(rule).expect("JSON");
    format!(
        r#"{{"records":[{{"time":"2026-05-04T08:05:41Z","macAddress":"00005E005304","category":"FlowLogFlowEvent","flowLogResourceID":"/S","targetResourceID":"/s","flowLogVersion":4,"flowRecords":{{"flows":[{{"aclID":"/s/nsg","flowGroups":[{{"rule":{rule},"flowTuples":["{}"]}}]}}]}}}}]}}"#,
        tuples.join("\",\"")
    )
}

const DENIED: &str = "1777881900000,10.20.1.4,192.0.2.35,50000,1433,6,O,D,NX,0,0,0,0";

fn written(folder: &Path, text: &str) -> String {
    let path = folder.join("PT1H.json");
    fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn answered(arguments: &[&str], statuses: &[i32]) -> Output {
    let output = flowgap(arguments);
    assert!(output.status.code().is_some_and(|code| statuses.contains(&code)), "{arguments:?}: {}", stderr(&output));
    output
}

#[test]
fn an_address_of_zeros_is_an_address() {
    let folder = tempfile::tempdir().expect("a folder");
    for tuple in [
        "1777881900000,::,2001:db8::1,50000,443,6,O,D,NX,0,0,0,0",
        "1777881900000,0.0.0.0,192.0.2.1,50000,443,6,O,D,NX,0,0,0,0",
        "1777881900000,2001:db8::1,::,0,0,0,I,D,NX,0,0,0,0",
    ] {
        let path = written(folder.path(), &log("UserRule_a", &[tuple]));
        for scope in [&[][..], &["--subnet", "::/0"], &["--subnet", "0.0.0.0/0"]] {
            let arguments = [&["analyze", &path, "--format", "json", "--exit-zero"][..], scope].concat();
            let analysis: Value = serde_json::from_slice(&answered(&arguments, &[0, 3]).stdout).expect("JSON");
            assert_eq!(analysis["input"]["denied_tuples"], 1, "{arguments:?}");
        }
        answered(&["inspect", &path], &[0]);
    }
}

#[test]
fn values_of_any_length_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path(), &log(&"x".repeat(70_000), &[DENIED]));
    for verb in ["inspect", "analyze"] {
        for format in if verb == "inspect" { &["text", "json"][..] } else { &["text", "json", "csv", "markdown"] } {
            assert!(answered(&[verb, &path, "--format", format], &[0, 1, 3]).stdout.len() > 100);
        }
    }
    for format in ["table", "lines", "csv", "tsv", "json", "ndjson", "markdown"] {
        let query = "SELECT rule, repeat('y', 100000) AS y, 1 AS one FROM flows";
        let said = stdout(&answered(&["sql", &path, "-c", query, "--format", format], &[0]));
        assert!(said.contains(&"y".repeat(100_000)) && said.len() < 200_000, "{format}: {} bytes", said.len());
    }
    answered(&["sql", ARCHIVE, "-c", "SELECT array_agg(src_ip) FROM flows"], &[0]);
    let name = format!("SELECT 1 AS \"{}\"", "n".repeat(70_000));
    answered(&["sql", ARCHIVE, "-c", &name], &[0]);
    answered(&["sql", ARCHIVE, "-c", &name, "--format", "lines"], &[0]);
}

#[test]
fn a_failing_stderr_changes_nothing() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("a device"));
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("generated");
    for (arguments, status) in [
        (vec!["sql", ARCHIVE, "-c", "SELECT 1"], 0),
        (vec!["sql", ARCHIVE, "-c", "SELEC 1"], 2),
        (vec!["sql", ARCHIVE, "-v", "-c", "SELECT service_tag(src_ip) FROM flows LIMIT 1"], 0),
        (vec!["analyze", "--subnet", "10.20.1.0/24", ARCHIVE, "-v", "--progress", "always"], 1),
        (vec!["inspect", ARCHIVE, "-v", "--progress", "always"], 0),
        (vec!["analyze", "no-such-file"], 4),
        (vec!["analyze", "--no-such-option"], 2),
        (vec!["query", "no_such_query", ARCHIVE], 2),
        (vec!["generate", target.to_str().expect("UTF-8"), "--hours", "1"], 0),
    ] {
        let output = command(&arguments).stderr(full()).output().expect("flowgap starts");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let output = command(&arguments).stdout(full()).output().expect("flowgap starts");
        assert!(output.status.code().is_some_and(|code| code < 5), "{arguments:?}: {:?}", output.status);
    }
}

/// What moves a cursor, breaks lines, hides, or turns text around, with C1 and marks of direction.
const NASTY: &str = "a\u{1b}[2J\u{9b}m\u{7}\u{2028}\u{2029}\u{61c}\u{200b}\u{200d}\u{feff}\u{202e}\u{2066}b";

fn check_harmless(what: &str, said: &str) {
    for hidden in NASTY.chars().filter(|c| !c.is_ascii_graphic()) {
        assert!(!said.contains(hidden), "{what}: {hidden:?} is in {said:?}");
    }
}

#[test]
fn every_output_replaces_control_characters() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path(), &log(NASTY, &[DENIED]));
    for format in ["text", "csv", "markdown"] {
        check_harmless(format, &stdout(&answered(&["analyze", &path, "--format", format, "--exit-zero"], &[0, 3])));
    }
    check_harmless("inspect", &stdout(&answered(&["inspect", &path], &[0])));
    let query = "SELECT rule, rule || 'x' AS \"a\u{1b}\u{2028}b\" FROM flows";
    for format in ["table", "lines", "csv", "tsv", "markdown"] {
        check_harmless(format, &stdout(&answered(&["sql", &path, "-c", query, "--format", format], &[0])));
        let named = ["query", "top_denied_rules", &path, "--format", format];
        check_harmless(format, &stdout(&answered(&named, &[0, 2])));
    }
    for format in ["json", "ndjson"] {
        let said = stdout(&answered(&["sql", &path, "-c", "SELECT rule FROM flows", "--format", format], &[0]));
        let rows: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(rows.get(0).unwrap_or(&rows)["rule"], NASTY, "JSON has what was logged");
    }
    let literal = format!("EXPLAIN SELECT rule || '{NASTY}' FROM flows");
    check_harmless("EXPLAIN", &stdout(&answered(&["sql", &path, "-c", &literal], &[0])));

    // What is echoed.
    let typed = format!("{NASTY}\n\rx");
    for arguments in [
        vec!["analyze", &*typed],
        vec!["analyze", ARCHIVE, "--subnet", &typed],
        vec!["analyze", ARCHIVE, "--format", &typed],
        vec!["analyze", ARCHIVE, "--edition", &typed],
        vec!["analyze", ARCHIVE, "--requirements", &typed],
        vec!["analyze", ARCHIVE, "--service-tags", &typed],
        vec!["analyze", ARCHIVE, "-o", &format!("no/such/folder/{typed}.json")],
        vec!["analyze", &format!("az://{typed}")],
        vec!["analyze", &format!("https://{typed}")],
        vec![&typed],
        vec!["query", &typed, ARCHIVE],
        vec!["query", "denied_timeline", ARCHIVE, "--param", &typed],
        vec!["man", &typed],
        vec!["sql", ARCHIVE, "-c", &format!("SELECT \"{typed}\" FROM flows")],
        vec!["sql", ARCHIVE, "-c", &format!("SELECT CAST('{typed}' AS INT)")],
        vec!["sql", ARCHIVE, "-c", &typed],
    ] {
        let said = stderr(&flowgap(&arguments));
        check_harmless(&format!("{arguments:?}"), &said);
        assert!(!said.contains('\r') && !said.is_empty(), "{arguments:?}: {said:?}");
    }
}

#[test]
fn formulas_are_escaped_unless_turned_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path(), &log("=cmd|'/C calc'!A0", &[DENIED]));
    let text = "SELECT rule, '+1' AS plus, '-1' AS minus, '@x' AS at, chr(9) || '=1' AS tab, -1 AS number, -1.5 AS \"=n\" FROM flows";
    for (format, guarded, free) in [
        (
            "csv",
            "rule,plus,minus,at,tab,number,'=n\r\n'=cmd|'/C calc'!A0,'+1,'-1,'@x,'\u{fffd}=1,-1,-1.5\r\n",
            "rule,plus,minus,at,tab,number,=n\r\n=cmd|'/C calc'!A0,+1,-1,@x,\u{fffd}=1,-1,-1.5\r\n",
        ),
        (
            "tsv",
            "rule\tplus\tminus\tat\ttab\tnumber\t'=n\n'=cmd|'/C calc'!A0\t'+1\t'-1\t'@x\t'\\t=1\t-1\t-1.5\n",
            "rule\tplus\tminus\tat\ttab\tnumber\t=n\n=cmd|'/C calc'!A0\t+1\t-1\t@x\t\\t=1\t-1\t-1.5\n",
        ),
    ] {
        let arguments = ["sql", &*path, "-c", text, "--format", format];
        assert_eq!(stdout(&answered(&arguments, &[0])), guarded);
        assert_eq!(stdout(&answered(&[&arguments[..], &["--no-formula-guard"]].concat(), &[0])), free);
    }
    let arguments = ["analyze", &*path, "--subnet", "10.20.1.0/24", "--format", "csv", "--exit-zero"];
    let guarded = stdout(&answered(&arguments, &[0, 3]));
    assert!(guarded.contains(",'=cmd|") && !guarded.contains(",=cmd|"), "{guarded}");
    let free = stdout(&answered(&[&arguments[..], &["--no-formula-guard"]].concat(), &[0, 3]));
    assert!(free.contains(",=cmd|"), "{free}");
}

fn left(folder: &Path) -> Vec<PathBuf> {
    let mut left: Vec<_> = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    left.sort();
    left
}

/// The verbs that write a file, without its name.
const WRITERS: [&[&str]; 3] = [
    &["analyze", "--subnet", "10.20.1.0/24", "--exit-zero", ARCHIVE, "-o"],
    &["inspect", ARCHIVE, "-o"],
    &["sql", ARCHIVE, "-c", "SELECT * FROM flows", "-o"],
];

#[test]
fn a_file_is_replaced_whole_through_its_links_with_its_mode() {
    for writer in WRITERS {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let write = |path: &Path| answered(&[writer, &[path.to_str().expect("UTF-8")]].concat(), &[0]);
        fs::create_dir(at("real")).expect("a folder");
        fs::write(at("real/old.json"), "old").expect("written");
        fs::set_permissions(at("real/old.json"), PermissionsExt::from_mode(0o600)).expect("a mode");
        symlink("real/old.json", at("middle.json")).expect("a link");
        symlink("middle.json", at("link.json")).expect("a link");
        write(&at("link.json"));
        let metadata = fs::metadata(at("real/old.json")).expect("there");
        assert!(metadata.len() > 100 && metadata.mode() & 0o777 == 0o600, "{writer:?}: {metadata:?}");
        assert_eq!(fs::read_link(at("link.json")).expect("a link"), Path::new("middle.json"));
        // A link to what is not there yet, and a new file, whose mode is what the system makes it.
        symlink("real/new.json", at("dangling.json")).expect("a link");
        write(&at("dangling.json"));
        fs::write(at("usual"), "").expect("written");
        let usual = fs::metadata(at("usual")).expect("there").mode();
        assert_eq!(fs::metadata(at("real/new.json")).expect("written").mode(), usual, "{writer:?}");
        assert_eq!(left(&at("real")).len(), 2, "{writer:?}: {:?}", left(&at("real")));
        assert_eq!(left(folder.path()).len(), 5, "{writer:?}: {:?}", left(folder.path()));
    }
}

#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() {
    for writer in WRITERS {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        fs::write(&path, "old").expect("written");
        // No file may be larger than a block.
        let flowgap = command(&[writer, &[path.to_str().expect("UTF-8")]].concat());
        let mut limited = Command::new("bash");
        limited.current_dir(root()).args(["-c", "ulimit -f 1; exec \"$@\"", "bash"]);
        limited.arg(flowgap.get_program()).args(flowgap.get_args());
        let output = limited.output().expect("bash starts");
        assert_eq!(output.status.code(), Some(2), "{writer:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot write to"), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&path).expect("there"), "old", "{writer:?}");
        assert_eq!(left(folder.path()), std::slice::from_ref(&path), "{writer:?}");
        let full = [writer, &["/dev/full", "--format", "json"]].concat();
        assert_eq!(flowgap_status(&full), Some(2), "{writer:?}");
    }
}

fn flowgap_status(arguments: &[&str]) -> Option<i32> {
    flowgap(arguments).status.code()
}

/// The command, which hears hangups even where whoever runs the tests ignores them, as nohup does.
fn unhindered(arguments: &[&str]) -> Command {
    let flowgap = command(arguments);
    let mut env = Command::new("env");
    env.current_dir(root()).args(["--default-signal=HUP"]).arg(flowgap.get_program()).args(flowgap.get_args());
    env
}

fn send(signal: &str, pid: u32) {
    let kill = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().expect("kill");
    assert!(kill.success(), "it is over already");
}

#[test]
fn every_verb_ends_on_a_signal_and_leaves_no_files() {
    let start = log("UserRule_a", &[DENIED]);
    for signal in ["INT", "TERM", "HUP"] {
        for verb in [&["analyze"][..], &["inspect"], &["sql", "-c", "SELECT 1"]] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut child = unhindered(&[verb, &["-"]].concat())
                .env("TMPDIR", folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("flowgap starts");
            // The pipe stays open: it waits for more.
            let mut pipe = child.stdin.take().expect("piped");
            pipe.write_all(&start.as_bytes()[..100]).expect("it reads");
            let begun = Instant::now();
            while left(folder.path()).iter().all(|path| fs::metadata(path).map_or(0, |file| file.len()) < 100) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{verb:?}: nothing is kept of the pipe");
                std::thread::sleep(Duration::from_millis(5));
            }
            send(signal, child.id());
            let asked = Instant::now();
            assert_eq!(child.wait().expect("it ends").code(), Some(130), "{signal} {verb:?}");
            assert!(asked.elapsed() < Duration::from_secs(3), "{signal} {verb:?}: {:?}", asked.elapsed());
            assert!(left(folder.path()).is_empty(), "{signal} {verb:?}: {:?}", left(folder.path()));
        }
    }
}

#[test]
fn a_second_signal_ends_the_process_in_any_case() {
    // Planning takes all of a thread, and hears nothing.
    let greedy = "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))";
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(&["sql", ARCHIVE, "-c", greedy])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("flowgap starts");
    let begun = Instant::now();
    while left(folder.path()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    send("INT", child.id());
    std::thread::sleep(Duration::from_millis(100));
    if child.try_wait().expect("a state").is_none() {
        send("INT", child.id());
    }
    assert!(child.wait().expect("it ends").code().is_some_and(|code| [130, 2].contains(&code)));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(left(folder.path()).is_empty(), "{:?}", left(folder.path()));
}
