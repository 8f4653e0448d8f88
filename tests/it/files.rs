//! Files and folders as sources: many of them, with several names, and changing while they are read.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use flowgap::catalog::Catalog;
use flowgap::decode::Options;
use flowgap::engine::{Control, Receipts, Scanned, Session, SessionOptions, read_unit};
use flowgap::inspection::{self, Inspection};
use flowgap::source::{Source, Stores};
use futures::StreamExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::sources::gzip;
use crate::sql::{planned, scope};
use crate::support::binary::{flowgap, root, stderr};

const PLAIN: &str = "testdata/vnet-v4/plain.json";

fn plain() -> Vec<u8> {
    fs::read(root().join(PLAIN)).expect("readable")
}

fn input(sources: &[&str]) -> Value {
    let output = flowgap(&[&["inspect", "--format", "json"], sources].concat());
    let inspection: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{sources:?}: {e}: {}", stderr(&output)));
    inspection["input"].clone()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A folder with the names given, each a copy of a small flow log.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    names.iter().for_each(|name| crate::support::archive::place(folder.path(), name, plain()));
    folder
}

#[test]
fn a_pattern_reads_what_its_folder_does() {
    let made = folder(&["a/1.json", "a/2.json", "b/c/3.json", "b/._4.json", "b/notes.txt", "d/5.json.gz"]);
    fs::write(made.path().join("d/5.json.gz"), gzip(&plain())).expect("written");
    let folder = text(made.path());
    let whole = input(&[folder]);
    assert_eq!((&whole["blobs"], &whole["other_files"]), (&4.into(), &2.into()));
    for (pattern, blobs) in [
        (format!("{folder}/**/*.json*"), 4),
        (format!("{folder}/*"), 4),
        (format!("{folder}/[ab]/**/*.json"), 3),
        (format!("{folder}/a/../[d]/*"), 1),
    ] {
        let found = input(&[&pattern]);
        assert_eq!((&found["blobs"], &found["problem_count"]), (&blobs.into(), &0.into()), "{pattern}: {found}");
    }
    // Names are those that were typed, with what the pattern found behind.
    let mut command = crate::support::binary::command(&[
        "sql",
        "*/*.json",
        "-c",
        "SELECT DISTINCT blob FROM flows ORDER BY 1",
        "--format",
        "csv",
    ]);
    let output = command.current_dir(folder).output().expect("starts");
    let names: Vec<&str> = std::str::from_utf8(&output.stdout).expect("UTF-8").lines().map(str::trim).collect();
    assert_eq!(names, ["blob", "a/1.json", "a/2.json"]);
}

#[cfg(unix)]
#[test]
fn a_pattern_follows_links_and_passes_over_those_that_lead_nowhere() {
    use std::os::unix::fs::symlink;
    let made = folder(&["a/1.json", "b/c/2.json"]);
    let at = |name: &str| made.path().join(name);
    symlink(at("b"), at("a/linked")).expect("a link");
    symlink(made.path(), at("b/back")).expect("a link");
    symlink(at("nothing"), at("a/gone.json")).expect("a link");
    symlink(at("a/itself.json"), at("a/itself.json")).expect("a link");
    let folder = text(made.path());
    for (pattern, blobs) in
        [("**/*.json", 2), ("a/**/2.json", 1), ("*/linked/*/*.json", 1), ("a/*", 2), ("b/bac[k]/a/*.json", 1)]
    {
        let input = input(&[&format!("{folder}/{pattern}")]);
        assert_eq!((&input["blobs"], &input["problem_count"]), (&blobs.into(), &0.into()), "{pattern}: {input}");
    }
    let none = "no file or folder matches";
    crate::support::binary::check_status(&["inspect", &format!("{folder}/a/g*.json")], 4, none);
    crate::support::binary::check_status(&["inspect", &format!("{folder}/nothing/*.json")], 4, none);
    crate::support::binary::check_status(&["inspect", &format!("{folder}/*.json/")], 4, none);
}

#[test]
fn a_pattern_names_archives_too() {
    let made = folder(&["a.json"]);
    let zip = made.path().join("logs.zip");
    crate::members::pack("deflated", made.path(), &zip);
    fs::copy(&zip, made.path().join("more.zip")).expect("copied");
    assert_eq!(input(&[&format!("{}/*.zip", text(made.path()))])["tuples"], 6);
    assert_eq!(input(&[&format!("{}/*", text(made.path()))])["tuples"], 9);
    assert_eq!(input(&[text(&zip), text(&zip), text(made.path())])["tuples"], 6, "an archive is read once");
}

#[cfg(unix)]
#[test]
fn a_file_is_read_once_whatever_leads_to_it() {
    use std::os::unix::fs::symlink;
    let made = folder(&["logs/y=2026/m=05/d=04/h=08/m=00/macAddress=00005E005304/PT1H.json", "elsewhere/2.json"]);
    let (logs, at) = (made.path().join("logs"), |name: &str| made.path().join(name));
    let target = logs.join("y=2026/m=05/d=04/h=08/m=00/macAddress=00005E005304/PT1H.json");
    symlink(&target, logs.join("1.json")).expect("a link");
    symlink(&target, logs.join("z.json")).expect("a link");
    fs::hard_link(&target, logs.join("hard.json")).expect("a link");
    symlink(at("elsewhere"), logs.join("linked")).expect("a link");
    symlink(at("logs"), at("again")).expect("a link");
    let (logs, again) = (text(&logs).to_owned(), text(&at("again")).to_owned());
    let (all, pattern) = (text(made.path()).to_owned(), format!("{logs}/**/*.json"));
    for sources in [vec![&logs], vec![&all], vec![&logs, &pattern], vec![&pattern, &logs], vec![&logs, &again, &all]] {
        let sources: Vec<&str> = sources.into_iter().map(String::as_str).collect();
        let input = input(&sources);
        assert_eq!((&input["blobs"], &input["tuples"]), (&2.into(), &6.into()), "{sources:?}: {input}");
    }
    // The name that says when and where is kept.
    let output = flowgap(&["inspect", &logs, "--format", "json", "--mac", "00005E005305"]);
    let other: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    assert!(other["input"]["blobs"].as_u64().is_none_or(|blobs| blobs == 1), "{other}");
}

/// Lists a folder, does something to it, and reads it.
async fn read_after(folder: &Path, change: impl FnOnce()) -> Inspection {
    let source = text(folder).parse().expect("a source");
    let session = Session::open(&[source], scope(Catalog::NEWEST, false), SessionOptions::default()).await;
    let session = session.expect("opens");
    change();
    inspection::inspect(&session).await.expect("reads")
}

#[tokio::test]
async fn files_that_change_after_they_are_listed_are_one_problem_each() {
    let replaced = [&plain()[..], b" "].concat();
    type Change<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>, &'a str);
    let changes: [Change; 4] = [
        ("vanishes", Box::new(|path| fs::remove_file(path).expect("removed")), "check its name"),
        (
            "shrinks",
            Box::new(|path| File::options().write(true).open(path).and_then(|file| file.set_len(40)).expect("cut")),
            "it changed while it was read: run again",
        ),
        (
            "grows",
            Box::new(|path| {
                File::options().append(true).open(path).and_then(|mut f| f.write_all(b" ")).expect("written")
            }),
            "it changed while it was read: run again",
        ),
        (
            "is replaced",
            Box::new(|path| {
                fs::write(path.with_extension("new"), &replaced).expect("written");
                fs::rename(path.with_extension("new"), path).expect("renamed");
            }),
            "it changed while it was read: run again",
        ),
    ];
    for (what, change, says) in changes {
        let made = folder(&["1.json", "2.json"]);
        let inspection = read_after(made.path(), || change(&made.path().join("1.json"))).await;
        let input = &inspection.input;
        assert_eq!((input.tuples, input.unreadable_blobs, input.problem_count), (3, 1, 1), "{what}");
        let problem = &input.problems[0];
        assert!(problem.blob.ends_with("1.json") && problem.reason.contains(says), "{what}: {}", problem.reason);
    }
}

/// Reads a file or archive up to its first rows, changes it, and reads the rest. Gives tuples, and problems with their
/// places.
async fn read_around(path: &Path, change: impl FnOnce(&Path)) -> (u64, Vec<(u64, String)>) {
    let source: Source = text(path).parse().expect("a source");
    let store = Stores::default().open(&source).expect("the file system").objects;
    let mut log = Receipts::default();
    let options = Options { batch_size: 100, ..Options::default() };
    let mut change = Some(change);
    for unit in planned(&source).await {
        let mut scanned = read_unit(Arc::clone(&store), unit, options.clone(), 0, Control::default());
        while let Some(item) = scanned.next().await {
            match item {
                Scanned::Batch(_) => change.take().into_iter().for_each(|change| change(path)),
                Scanned::Receipt(receipt) => log.add(*receipt),
            }
        }
    }
    let read = log.summary();
    let problems = read.problems.into_iter().map(|problem| (problem.offset, problem.reason));
    (read.counts.tuples, problems.collect())
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_one_problem_if_its_bytes_are_in_doubt() {
    const RECORDS: u64 = 2000;
    let plain = String::from_utf8(plain()).expect("UTF-8");
    let record = plain.trim().strip_prefix("{\"records\":[").and_then(|rest| rest.strip_suffix("]}")).expect("a head");
    let many = format!("{{\"records\":[{}]}}", vec![record; RECORDS as usize].join(","));
    let append = |path: &Path| {
        File::options().append(true).open(path).and_then(|mut file| file.write_all(b" ")).expect("written");
    };
    let cut = |path: &Path| {
        File::options().write(true).open(path).and_then(|file| file.set_len(1000)).expect("cut");
    };
    let vanish = |path: &Path| fs::remove_file(path).expect("removed");
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), b"{}").expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&Path), bool);
    let changes: [Change; 4] = [
        ("is written to", &append, true),
        ("is cut", &cut, true),
        // The file that was opened is still there, unless the system keeps it from going away.
        ("vanishes", &vanish, false),
        ("is replaced", &replace, false),
    ];
    for (what, change, is_doubtful) in changes {
        let made = tempfile::tempdir().expect("a folder");
        let path = made.path().join("1.json");
        fs::write(&path, &many).expect("written");
        let (tuples, problems) = read_around(&path, change).await;
        if is_doubtful {
            assert!((1..3 * RECORDS).contains(&tuples), "{what}: {tuples} tuples");
            assert_eq!(problems.len(), 1, "{what}: {problems:?}");
            let (offset, reason) = &problems[0];
            assert!(*offset > 0 && reason.contains("it changed while it was read: run again"), "{what}: {problems:?}");
        } else if cfg!(unix) {
            assert_eq!((tuples, problems), (3 * RECORDS, Vec::new()), "{what}");
        }
    }
}

/// A run with two queries lists its sources, and waits in the first one until somebody takes its long answer.
#[cfg(unix)]
#[test]
fn permission_lost_after_listing_is_one_problem_per_file() {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Stdio;
    let made = folder(&["logs/1.json", "logs/b/2.json", "logs/b/3.json"]);
    let logs = made.path().join("logs");
    for (locked, tuples, problems) in [("logs/1.json", "6", 1), ("logs/b", "3", 2), ("logs", "0", 3)] {
        let queries = [
            "SELECT value FROM generate_series(1, 100000)",
            "SELECT count(*) AS tuples FROM flows",
            "SELECT reason FROM problems",
        ];
        let arguments = ["sql", text(&logs), "--format", "csv", "-c", queries[0], "-c", queries[1], "-c", queries[2]];
        let Some(mut command) = crate::sources::nobody(made.path(), &arguments) else { return };
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut answers = BufReader::new(run.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
        assert_eq!(answers.next().as_deref(), Some("value"), "{locked}");
        let path = made.path().join(locked);
        let mode = path.metadata().expect("metadata").permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("set");
        let answers: Vec<String> = answers.skip_while(|line| line != "tuples").collect();
        let mut said = String::new();
        run.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        let status = run.wait().expect("ends").code();
        fs::set_permissions(&path, mode).expect("set");
        assert_eq!((status, answers.get(1).map(String::as_str)), (Some(3), Some(tuples)), "{locked}: {said}");
        let reasons = answers.iter().filter(|line| line.contains("no permission to read it")).count();
        assert_eq!(reasons, problems, "{locked}: {answers:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_text_is_one_problem_and_hides_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let made = folder(&["1.json"]);
    for name in [&b"\xff.json"[..], b"\xff.txt"] {
        fs::write(made.path().join(OsStr::from_bytes(name)), plain()).expect("written");
    }
    let folder = text(made.path());
    for source in [folder.to_owned(), format!("{folder}/*.json"), format!("{folder}/**")] {
        let input = input(&[&source]);
        assert_eq!((&input["tuples"], &input["problem_count"]), (&3.into(), &1.into()), "{source}: {input}");
        assert_eq!(&input["unreadable_blobs"], 1, "{source}: {input}");
        let reason = input["problems"][0]["reason"].as_str().expect("text");
        assert!(reason.contains("its name is not UTF-8: rename it"), "{source}: {reason}");
    }
}

#[tokio::test]
async fn archives_that_change_after_they_are_listed_give_no_garbage() {
    for kind in ["deflated", "gnu", "tgz"] {
        let made = folder(&["1.json", "2.json"]);
        let out = tempfile::tempdir().expect("a folder");
        let archive = out.path().join("logs");
        crate::members::pack(kind, made.path(), &archive);
        let inspection = read_after(&archive, || fs::write(&archive, [b'x'; 9000]).expect("written")).await;
        let input = &inspection.input;
        assert_eq!((input.tuples, input.unreadable_blobs, input.bad_records), (0, 2, 0), "{kind}");
        // The first one finds the change; of an archive that is compressed as a whole nothing is left for the others.
        let reasons: Vec<&str> = input.problems.iter().map(|problem| problem.reason.as_str()).collect();
        assert!(reasons[0].contains("run again"), "{kind}: {reasons:?}");
    }
}

#[test]
fn a_folder_of_a_hundred_thousand_files_is_read() {
    let made = tempfile::tempdir().expect("a folder");
    for nr in 0..100_000 {
        fs::write(made.path().join(format!("{nr}.json")), b"{\"records\":[]}").expect("written");
    }
    fs::write(made.path().join("PT1H.json"), plain()).expect("written");
    let (status, inspection, peak) = crate::sources::inspect_watched(made.path());
    let input = &inspection["input"];
    assert_eq!((status, &input["blobs"], &input["tuples"]), (Some(0), &100_001.into(), &3.into()));
    assert!(peak < 400, "{peak} MB");
}
