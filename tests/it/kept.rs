//! `explain`, and the analysis that `analyze` keeps for `explain` and `fix`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::cases::{A, SQL, TAGGED, day, deny_sql, planted};
use crate::support::archive::outbound;
use crate::support::binary::{check_golden, command, flowgap, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const SUBNET: &str = "10.20.1.0/24";
const GOLDEN: &str = "tests/golden/apim.json";

fn with_state(state: &Path, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.env("XDG_STATE_HOME", state);
    command
}

fn run(state: &Path, arguments: &[&str]) -> Output {
    with_state(state, arguments).output().expect("flowgap starts")
}

/// Checks that a run says something and ends with a status.
fn check(output: &Output, status: i32, says: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(says), "{said}");
}

#[test]
fn the_last_analysis_is_kept_for_this_user_only() {
    let state = tempfile::tempdir().expect("a folder");
    let (state, file) = (state.path(), state.path().join("flowgap/last-analysis.json"));
    check(&run(state, &["explain"]), 2, "no analysis is kept: run flowgap analyze SOURCE first");
    check(&run(state, &["fix", "1"]), 2, "no analysis is kept");
    let analyze = ["analyze", ARCHIVE, "--subnet", SUBNET, "--service-tags", TAGS];
    check(&run(state, &[&analyze[..], &["--no-keep"]].concat()), 1, "");
    assert!(!file.exists(), "kept against --no-keep");
    check(&run(state, &[&analyze[..], &["--format", "csv"]].concat()), 1, "");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
        // A mode that someone set does not stay.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
        check(&run(state, &analyze), 1, "");
        assert_eq!(mode(&file), 0o600);
    }
    let explained = stdout(&run(state, &["explain", "1"]));
    let (head, rest) = explained.split_once("\n\n").expect("a head");
    assert!(head.starts_with("analysis of ") && head.contains("BLOCKED, 10.20.1.0/24"), "{head}");
    let given = stdout(&flowgap(&["explain", "1", GOLDEN]));
    assert_eq!(rest, given);
    let fixed = stdout(&run(state, &["fix", "2"]));
    let (head, rest) = fixed.split_once("\n\n").expect("a head");
    assert!(head.lines().all(|line| line.starts_with("# ")), "{head}");
    assert_eq!(rest, stdout(&flowgap(&["fix", GOLDEN, "2"])));
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(file.parent().expect("a folder")).expect("a folder").count(), 1);
}

#[test]
fn a_damaged_or_newer_kept_file_is_refused_in_words() {
    let state = tempfile::tempdir().expect("a folder");
    let (state, file) = (state.path(), state.path().join("flowgap/last-analysis.json"));
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let golden = std::fs::read_to_string(root().join(GOLDEN)).expect("a golden");
    for (text, says) in [
        (golden[..golden.len() / 2].to_owned(), "last-analysis.json is not JSON"),
        (String::new(), "run flowgap analyze SOURCE again"),
        ("[]".to_owned(), "is not an analysis"),
        (golden.replace("flowgap.analysis/1", "flowgap.analysis/9"), "has the schema 'flowgap.analysis/9'"),
        (golden.replace("\"blocked\"", "\"bloqued\""), "is no valid analysis"),
    ] {
        std::fs::write(&file, text).expect("written");
        for verb in [&["explain", "1"][..], &["fix"]] {
            check(&run(state, verb), 2, says);
            check(&run(state, verb), 2, "the kept analysis ");
        }
    }
    // A folder that cannot be used costs the analysis nothing.
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("a folder in its place");
    let output = run(state, &["analyze", ARCHIVE, "--subnet", SUBNET]);
    check(&output, 1, "the analysis is not kept for explain and fix");
    assert!(stdout(&output).starts_with("BLOCKED"), "{}", stdout(&output));
}

#[test]
fn explain_takes_a_file_a_pipe_or_a_source() {
    let given = stdout(&flowgap(&["explain", GOLDEN, "1"]));
    check_golden("explain.txt", &given);
    let source = ["explain", ARCHIVE, "--subnet", SUBNET, "--service-tags", TAGS, "-q"];
    assert_eq!(stdout(&flowgap(&source)), given);
    let mut piped = command(&["explain", "-", "1"]);
    piped.stdin(std::fs::File::open(root().join(GOLDEN)).expect("a golden"));
    assert_eq!(stdout(&piped.output().expect("flowgap starts")), given);
    let finding = stdout(&flowgap(&["explain", "F-a7863307", GOLDEN]));
    assert!(finding.starts_with("F-a7863307 APIM-OUT-MONITOR, medium: out TCP 443 -> AzureMonitor\n"), "{finding}");
    assert!(given.contains(&finding), "{finding}");
    for (arguments, says) in [
        (&["explain", "9", GOLDEN][..], "the analysis has no cause 9: it has causes 1 to 3"),
        (&["explain", "F-00000000", GOLDEN], "the analysis has no finding 'F-00000000'"),
        (&["explain", "1", "2", GOLDEN], "name one cause or finding"),
        (&["explain", GOLDEN, "banana"], "'banana' is neither the number of a cause nor the id of a finding"),
        (&["fix", "--all", "1", GOLDEN], "--all fixes every cause"),
    ] {
        check(&flowgap(arguments), 2, says);
    }
    check(&flowgap(&["explain", "no-such-folder"]), 4, "'no-such-folder' does not exist");
}

/// The query of a finding lists exactly its refusals.
#[test]
fn the_query_of_a_finding_lists_its_refusals() {
    let golden = std::fs::read(root().join(GOLDEN)).expect("a golden");
    let golden: Value = serde_json::from_slice(&golden).expect("JSON");
    let findings = golden["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 5);
    for finding in findings.iter().filter(|finding| finding["remote_address_count"].as_u64() <= Some(10)) {
        let explained = stdout(&flowgap(&["explain", finding["id"].as_str().expect("an id"), GOLDEN]));
        let (_, sql) = explained.split_once("in flowgap sql SOURCE:\n").expect("a query");
        let rows = stdout(&flowgap(&["sql", ARCHIVE, "-c", sql, "--format", "csv"]));
        let count = rows.lines().count() as u64 - 1;
        assert_eq!(Some(count), finding["denied_tuples"].as_u64(), "{sql}");
    }
}

/// Hostile names stay text in the query and in the commands.
#[test]
fn names_are_quoted_in_the_query() {
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, SQL, 1433), "UserRule_x' OR 1=1 --"));
    let folder = log.write();
    let source = folder.path().to_str().expect("UTF-8");
    let explained = stdout(&flowgap(&[&["explain", source], TAGGED].concat()));
    let (_, sql) = explained.split_once("in flowgap sql SOURCE:\n").expect("a query");
    let rows = stdout(&flowgap(&["sql", source, "-c", sql, "--format", "csv"]));
    assert_eq!(rows.lines().count(), 25, "{sql}");
}

#[test]
fn nothing_in_a_name_acts_on_the_terminal() {
    let mut log = day(&["APIM-OUT-SQL"]);
    let rule = r"UserRule_\u001b]0;x\u0007\u009b31m\u202ereversed";
    (0..24).for_each(|hour| log.denied(outbound(planted(hour), A, SQL, 1433), rule));
    let folder = log.write();
    for verb in ["analyze", "explain", "fix"] {
        let output = flowgap(&[&[verb, folder.path().to_str().expect("UTF-8"), "-q"], TAGGED].concat());
        let printed = stdout(&output) + &stderr(&output);
        assert!(verb == "fix" || printed.contains("reversed"), "{verb}: {printed}");
        let acts = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!printed.contains(acts), "{verb}: {printed:?}");
    }
}

#[test]
fn an_archive_without_a_cause_is_nothing_to_explain() {
    let mut log = day(&[]);
    let clean = log.write();
    let explain = |folder: &Path| stdout(&flowgap(&[&["explain", folder.to_str().expect("UTF-8")], TAGGED].concat()));
    assert!(explain(clean.path()).starts_with("The analysis names no cause: OK SO FAR, "), "{}", explain(clean.path()));
    deny_sql(&mut log, 20..24);
    assert!(
        explain(log.write().path()).starts_with("1 deny-all-outbound in nsg-apim-example, since 4 May 20:30 UTC\n")
    );
}
