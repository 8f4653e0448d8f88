//! Everyday manners: each thing that people type by habit, as a command with its output.

mod access;
mod answers;
mod options;
mod progress;
mod shell;
mod sql;
mod zones;

use crate::support::binary::{check_golden, command, root};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const MACROS: &str = "CREATE MACRO is_web(port) AS port IN (80, 443); \
    CREATE OR REPLACE TEMP MACRO mib(bytes, digits := 1) AS round(bytes / 1048576.0, digits); \
    CREATE MACRO of_port(port) AS TABLE FROM flows WHERE dst_port = port";

/// A command: variables, and arguments in which `EX` is the example archive, `TAGS` the example tags and `MACROS` some
/// definitions.
struct Line {
    variables: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    stdin: &'static str,
}

const fn line(arguments: &'static [&'static str]) -> Line {
    Line { variables: &[], arguments, stdin: "" }
}

const fn with(variables: &'static [(&'static str, &'static str)], arguments: &'static [&'static str]) -> Line {
    Line { variables, arguments, stdin: "" }
}

const fn piped(stdin: &'static str, arguments: &'static [&'static str]) -> Line {
    Line { variables: &[], arguments, stdin }
}

/// Runs commands, and compares them and all that they print with a golden. Lines of stderr begin with `!`, and at most
/// `most` lines of stdout are kept.
fn check(golden: &str, most: usize, lines: &[Line]) {
    let mut text = String::new();
    for line in lines {
        for (name, value) in line.variables {
            text += &format!("{name}={value} ");
        }
        let shown: Vec<String> = line.arguments.iter().map(|word| quoted(word)).collect();
        text += &format!("$ flowgap {}\n", shown.join(" "));
        text += &answer(line, most);
    }
    std::fs::create_dir_all(root().join("tests/golden/manners")).expect("a folder");
    check_golden(&format!("manners/{golden}.txt"), &text);
}

fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|letter| letter.is_alphanumeric() || "-_./:=,+".contains(letter));
    if is_plain { word.to_owned() } else { format!("\"{}\"", word.replace('\n', "\\n")) }
}

/// Runs a command, and returns all that it prints with its exit status.
fn answer(line: &Line, most: usize) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |word: &&str| match *word {
        "EX" => ARCHIVE.to_owned(),
        "TAGS" => TAGS.to_owned(),
        "MACROS" => MACROS.to_owned(),
        word => word.to_owned(),
    };
    let mut command = command(&[]);
    command.args(line.arguments.iter().map(place)).env("XDG_STATE_HOME", folder.path()).env_remove("TZ");
    command.envs(line.variables.iter().copied());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("flowgap starts");
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, line.stdin.as_bytes()).unwrap_or_default();
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut text = String::new();
    for line in err.lines() {
        text += &format!("! {}\n", without_time(line));
    }
    for line in out.lines().take(most) {
        text += &format!("{}\n", without_time(line));
    }
    text + &format!("[{}]\n\n", output.status.code().unwrap_or(-1))
}

/// Replaces the time that a query took.
fn without_time(line: &str) -> String {
    match line.split_once(" in ").filter(|(_, time)| time.ends_with(" s")) {
        Some((rows, _)) if rows.ends_with(" rows") || rows.ends_with(" row") => format!("{rows} in # s"),
        _ => line.to_owned(),
    }
}
