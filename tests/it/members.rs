//! Archives as sources: members are the blobs of a folder, whoever packed them, and damage is told. Real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::sources::{gzip, inspect_watched, piped, zstd};
use crate::support::binary::{SUBNET, check_status, flowgap, root, stderr, stdout};
use crate::support::fake_storage::{Contents, Distance, Fake};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const PLAIN: &str = "testdata/vnet-v4/plain.json";

/// Packs a folder with Python.
pub fn pack(kind: &str, folder: &Path, out: &Path) {
    let mut python = Command::new("python3");
    python.arg(root().join("tests/it/support/pack.py")).arg(kind).arg(folder).arg(out);
    let output = python.output().expect("python3 starts");
    assert!(output.status.success(), "{kind}: {}", stderr(&output));
}

/// Runs a tool below a folder; `false`, and the reason on stdout, where there is none.
fn tool(folder: &Path, name: &str, arguments: &[&str]) -> bool {
    match Command::new(name).current_dir(folder).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{name}: {}", stderr(&output));
            true
        }
        Err(error) => {
            println!("not tested: {name}: {error}");
            false
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn json(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = flowgap(&[arguments, &["--format", "json"]].concat());
    (without_command(&output), output.status.code())
}

/// An inspection without its next command, which names the source.
fn without_command(output: &Output) -> Value {
    let mut inspection: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)));
    inspection["next"]["command"] = Value::Null;
    inspection
}

fn inspect(path: &Path) -> (Value, Option<i32>) {
    let (inspection, status) = json(&["inspect", text(path)]);
    (inspection["input"].clone(), status)
}

/// All that three verbs say of a source.
fn everything(source: &str) -> Vec<(String, Option<i32>)> {
    let sql = "SELECT * EXCEPT (blob), split_part(blob, 'flowLogResourceID', 2) AS name FROM flows ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13";
    [
        vec!["analyze", source, "--subnet", SUBNET, "--format", "json"],
        vec!["analyze", source, "--format", "json"],
        vec!["inspect", source, "--format", "json"],
        vec!["sql", source, "-c", sql, "--format", "csv"],
    ]
    .into_iter()
    .map(|arguments| {
        let output = flowgap(&arguments);
        assert!(!output.stdout.is_empty(), "{arguments:?}: {}", stderr(&output));
        (stdout(&output).replace(&format!("analyze {source} "), "analyze SOURCE "), output.status.code())
    })
    .collect()
}

/// Every way to pack a folder, by what it is called.
fn packed(folder: &Path, out: &Path) -> Vec<PathBuf> {
    let kinds = ["stored", "deflated", "piped", "zip64", "windows", "outside", "ustar", "gnu", "pax", "tgz"];
    let mut archives: Vec<PathBuf> = kinds.into_iter().map(|kind| out.join(kind)).collect();
    kinds.into_iter().zip(&archives).for_each(|(kind, archive)| pack(kind, folder, archive));
    let plain = fs::read(out.join("gnu")).expect("readable");
    fs::write(out.join("logs.tar.zst"), zstd(&plain)).expect("written");
    archives.push(out.join("logs.tar.zst"));
    for (name, arguments) in [("zip", ["-qr", "by-zip.zip", "."]), ("tar", ["-czf", "by-tar.tgz", "."])] {
        let archive = out.join(arguments[1]);
        if tool(folder, name, &[arguments[0], text(&archive), arguments[2]]) {
            archives.push(archive);
        }
    }
    archives
}

#[test]
fn an_archive_reads_like_its_folder() {
    let out = tempfile::tempdir().expect("a folder");
    let expected = everything(ARCHIVE);
    assert_eq!(expected[0].1, Some(1));
    for archive in packed(&root().join(ARCHIVE), out.path()) {
        for (found, expected) in everything(text(&archive)).iter().zip(&expected) {
            assert!(found == expected, "{}:\n{}\n\n{}", archive.display(), found.0, expected.0);
        }
    }
}

#[test]
fn an_archive_may_come_through_a_pipe() {
    let out = tempfile::tempdir().expect("a folder");
    let folder = json(&["inspect", ARCHIVE]).0;
    for kind in ["deflated", "gnu", "tgz"] {
        pack(kind, &root().join(ARCHIVE), &out.path().join(kind));
        let bytes = fs::read(out.path().join(kind)).expect("readable");
        let output = piped(&["inspect", "-", "--format", "json"], &bytes);
        assert_eq!(without_command(&output), folder, "{kind}");
        let names = piped(&["sql", "-", "-c", "SELECT min(blob) FROM flows", "--format", "ndjson"], &bytes);
        assert!(stdout(&names).contains("\"-!flowLogResourceID=/"), "{kind}: {}", stdout(&names));
    }
}

#[test]
fn paths_in_an_archive_tell_hour_and_interface() {
    let out = tempfile::tempdir().expect("a folder");
    for kind in ["windows", "outside", "pax", "tgz"] {
        let archive = out.path().join(kind);
        pack(kind, &root().join(ARCHIVE), &archive);
        for options in [
            ["--from", "2026-05-04T10:00:00Z", "--to", "2026-05-04T11:00:00Z"],
            ["--mac", "00005E005304", "--prefix", ""],
            ["--from", "2027-01-01T00:00:00Z", "--prefix", ""],
        ] {
            let (of_archive, of_folder) = (
                json(&[&["inspect", text(&archive)][..], &options].concat()),
                json(&[&["inspect", ARCHIVE][..], &options].concat()),
            );
            assert_eq!(of_archive, of_folder, "{kind} {options:?}");
        }
    }
    let archive = out.path().join("windows");
    let condition = "SELECT count(DISTINCT blob) FROM flows WHERE time < '2026-05-04T01:00:00Z'";
    let blobs = |source: &str| stdout(&flowgap(&["sql", source, "-c", condition, "--format", "csv"]));
    assert_eq!(blobs(text(&archive)), blobs(ARCHIVE));
    check_status(&["inspect", text(&archive), "--prefix", "nothing"], 4, "no blob in");
}

/// A folder with all that is found beside flow logs.
fn mixed() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = fs::read(root().join(PLAIN)).expect("readable");
    let put = |name: &str, bytes: &[u8]| crate::support::archive::place(folder.path(), name, bytes);
    put("a/PT1H.json", &plain);
    put("b/PT1H.json.gz", &gzip(&plain));
    put("c/PT1H.json.zst", &zstd(&plain));
    put("a/._PT1H.json", b"\0\x05\x16\x07");
    put("__MACOSX/a/PT1H.json", b"\0\x05\x16\x07");
    put("README.txt", b"logs");
    put("day2.zip", b"PK\x05\x06................");
    folder
}

#[test]
fn other_files_are_skipped_and_counted() {
    let (folder, out) = (mixed(), tempfile::tempdir().expect("a folder"));
    let mut sources = packed(folder.path(), out.path());
    sources.push(folder.path().to_owned());
    for source in sources {
        let (input, status) = inspect(&source);
        let counts = ["blobs", "tuples", "packed_blobs", "other_files", "problem_count"].map(|key| input[key].as_u64());
        assert_eq!((counts, status), ([3, 9, 2, 4, 0].map(Some), Some(0)), "{}: {input}", source.display());
        let unopened = input["unopened_files"].as_array().expect("a list");
        assert!(unopened.len() == 1 && unopened[0].as_str().is_some_and(|name| name.ends_with("day2.zip")), "{input}");
        let output = flowgap(&["analyze", text(&source), "-v"]);
        assert!(stderr(&output).contains("skipped 4 files with other names: "), "{}", stderr(&output));
        assert!(stderr(&output).contains("day2.zip may hold flow logs but is not opened"), "{}", stderr(&output));
        let report = stdout(&flowgap(&["inspect", text(&source)]));
        assert!(report.replace("\n ", "").contains("4 files with other names skipped"), "{report}");
    }
}

#[test]
fn a_source_without_flow_logs_says_what_there_is() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    check_status(&["inspect", text(folder.path())], 4, "there is no flow log blob (*.json) in");
    fs::write(folder.path().join("notes.txt"), "x").expect("written");
    check_status(&["inspect", text(folder.path())], 4, "only 1 file with other names, such as ");
    fs::write(folder.path().join("day1.tar.gz"), "x").expect("written");
    let archive = out.path().join("logs.zip");
    pack("deflated", folder.path(), &archive);
    for source in [folder.path(), &archive] {
        check_status(&["inspect", text(source)], 4, "day1.tar.gz: name an archive as a source of its own");
    }
}

#[test]
fn members_that_cannot_be_read_are_problems_and_hide_no_other() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(root().join(PLAIN), folder.path().join("a.json")).expect("copied");
    for (kind, says) in [("bzip2", "bzip2 (12), is not supported"), ("lzma", "LZMA (14), is not supported")] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let (input, status) = inspect(&archive);
        let reason = input["problems"][0]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(says) && status == Some(3) && input["problem_count"] == 1, "{kind}: {input}");
    }
    // The second of two, encrypted by its flags, which stand 6 bytes into its header and 8 into its entry.
    fs::copy(root().join(PLAIN), folder.path().join("b.json")).expect("copied");
    let archive = out.path().join("encrypted.zip");
    pack("deflated", folder.path(), &archive);
    let mut bytes = fs::read(&archive).expect("readable");
    for (mark, flags) in [(&b"PK\x03\x04"[..], 6), (b"PK\x01\x02", 8)] {
        let at = bytes.windows(4).rposition(|w| w == mark).expect("a header");
        bytes[at + flags] |= 1;
    }
    fs::write(&archive, &bytes).expect("written");
    let (input, status) = inspect(&archive);
    assert_eq!((status, &input["tuples"], &input["problem_count"]), (Some(3), &3.into(), &1.into()), "{input}");
    let problem = &input["problems"][0];
    assert!(problem["blob"].as_str().is_some_and(|blob| blob.ends_with("encrypted.zip!b.json")), "{problem}");
    assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("its password")), "{problem}");
}

#[test]
fn unsupported_compression_is_named_in_one_sentence() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(root().join(PLAIN), folder.path().join("PT1H.json")).expect("copied");
    for (kind, says) in [("tbz2", "bzip2 (.bz2)"), ("txz", "xz (.xz)")] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let (input, status) = inspect(&archive);
        let reason = input["problems"][0]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(says) && reason.contains("unpack it"), "{kind}: {input}");
        assert_eq!((status, &input["problem_count"], &input["bad_records"]), (Some(3), &1.into(), &0.into()));
    }
    // Archives with the names of flow logs, below a folder: no thousands of bad records.
    let logs = tempfile::tempdir().expect("a folder");
    for (kind, says) in
        [("deflated", "it is a zip archive"), ("gnu", "it is a tar archive"), ("tgz", "it is a tar archive")]
    {
        let archive = logs.path().join("PT1H.json");
        pack(kind, folder.path(), &archive);
        let (input, status) = inspect(logs.path());
        let reason = input["problems"][0]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(says) && status == Some(3) && input["problem_count"] == 1, "{kind}: {input}");
        // The file itself is a source like any other.
        assert_eq!(inspect(&archive).0["tuples"], 3, "{kind}");
    }
}

/// The inspection of an archive of which only the first bytes are there.
fn cut(archive: &[u8], length: usize, out: &Path) -> (Value, Option<i32>) {
    let path = out.join("cut");
    fs::write(&path, &archive[..length]).expect("written");
    inspect(&path)
}

#[test]
fn members_before_a_cut_are_read_and_the_cut_is_one_problem() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plain = fs::read(root().join(PLAIN)).expect("readable");
    for name in ["a.json", "b.json", "c.json"] {
        // Something that does not pack away, between records.
        let noise: String = (0..4000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let text = String::from_utf8_lossy(&plain)
            .replace("{\"records\":[", &format!("{{\"noise\":\"{noise}{name}\",\"records\":["));
        fs::write(folder.path().join(name), text).expect("written");
    }
    for kind in ["stored", "deflated", "piped", "ustar", "pax", "tgz"] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let bytes = fs::read(&archive).expect("readable");
        // What follows the last member of a tar archive is empty, and closes it.
        let end = bytes.iter().rposition(|&b| b != 0).unwrap_or_default();
        let mut last = 0;
        for length in (1..12).map(|part| end * part / 12).chain([end - 10]) {
            let (input, status) = cut(&bytes, length, out.path());
            let (tuples, problems) = (input["tuples"].as_u64(), input["problem_count"].as_u64());
            assert_eq!((status, problems), (Some(3), Some(1)), "{kind} {length}: {input}");
            assert!(tuples.is_some_and(|n| n >= last && n <= 9), "{kind} {length}: {input}");
            last = tuples.unwrap_or_default();
        }
        assert!(last >= 6, "{kind}: {last} tuples");
        let whole = cut(&bytes, bytes.len(), out.path());
        assert_eq!((whole.1, &whole.0["tuples"]), (Some(0), &9.into()), "{kind}: {}", whole.0);
    }
}

#[test]
fn damage_in_an_archive_costs_the_member_that_it_touches() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for name in ["a.json", "b.json", "c.json"] {
        fs::copy(root().join(PLAIN), folder.path().join(name)).expect("copied");
    }
    for kind in ["stored", "deflated"] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let mut bytes = fs::read(&archive).expect("readable");
        // A byte in the middle of the second one. Its checksum tells, where nothing else does.
        let at = bytes.windows(6).position(|w| w == b"b.json").expect("a name") + 200;
        bytes[at] ^= 1;
        fs::write(&archive, bytes).expect("written");
        let (input, status) = inspect(&archive);
        assert_eq!((status, &input["unreadable_blobs"]), (Some(3), &1.into()), "{kind}: {input}");
        assert!(input["tuples"].as_u64().is_some_and(|tuples| tuples >= 6), "{kind}: {input}");
        let problems = input["problems"].as_array().expect("a list");
        assert!(problems.iter().all(|p| p["blob"].as_str().is_some_and(|blob| blob.ends_with("!b.json"))), "{input}");
    }
}

#[test]
fn bombs_in_archives_stay_packed() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(root().join(PLAIN), folder.path().join("a.json")).expect("copied");
    let bomb = [&b"{\"records\":["[..], &vec![b' '; 300 << 20]].concat();
    fs::write(folder.path().join("bomb.json"), &bomb).expect("written");
    // Twice as packed: each time less than the limit.
    let nested = gzip(&gzip(&vec![b' '; 600 << 20])[..]);
    for kind in ["deflated", "piped", "tgz"] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let (status, inspection, peak) = inspect_watched(&archive);
        let input = &inspection["input"];
        assert_eq!((status, &input["problem_count"]), (Some(3), &1.into()), "{kind}: {input}");
        assert_eq!(input["tuples"], 3, "{kind}: {input}");
        let reason = input["problems"][0]["reason"].as_str().unwrap_or_default();
        assert!(kind == "piped" || reason.contains("200 times its size"), "{kind}: {input}");
        assert!(peak < 400, "{kind}: {peak} MB");
    }
    fs::remove_file(folder.path().join("bomb.json")).expect("removed");
    fs::write(folder.path().join("bomb.json.gz"), gzip(&bomb)).expect("written");
    fs::write(folder.path().join("nested.json.gz"), nested).expect("written");
    for kind in ["deflated", "gnu", "tgz"] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let (status, inspection, peak) = inspect_watched(&archive);
        let input = &inspection["input"];
        assert_eq!((status, &input["tuples"]), (Some(3), &3.into()), "{kind}: {input}");
        assert!(peak < 400, "{kind}: {peak} MB");
    }
}

#[test]
fn members_that_share_their_bytes_are_read_once() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(root().join(PLAIN), folder.path().join("a.json")).expect("copied");
    let archive = out.path().join("overlapping.zip");
    pack("overlapping", folder.path(), &archive);
    let (input, status) = inspect(&archive);
    assert_eq!((status, &input["tuples"], &input["problem_count"]), (Some(3), &3.into(), &50.into()), "{input}");
    let reason = input["problems"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("also belong to another member"), "{input}");
}

#[test]
fn the_last_of_members_with_the_same_name_counts() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("a.json");
    fs::write(&file, "{\"records\":[]}").expect("written");
    let archive = out.path().join("logs.tar");
    if !tool(folder.path(), "tar", &["-cf", text(&archive), "a.json"]) {
        return;
    }
    fs::copy(root().join(PLAIN), &file).expect("copied");
    assert!(tool(folder.path(), "tar", &["-rf", text(&archive), "a.json"]));
    let (input, status) = inspect(&archive);
    assert_eq!((status, &input["blobs"], &input["tuples"]), (Some(0), &1.into(), &3.into()), "{input}");
}

#[cfg(unix)]
#[test]
fn links_in_an_archive_are_no_second_copies() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let long = "x".repeat(120);
    let file = folder.path().join(&long).join("a.json");
    fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
    fs::copy(root().join(PLAIN), &file).expect("copied");
    std::os::unix::fs::symlink(&file, folder.path().join("link.json")).expect("a link");
    fs::hard_link(&file, folder.path().join("hard.json")).expect("a link");
    for (name, options) in [
        ("gnu.tar", vec!["--format=gnu", "-cf"]),
        ("posix.tar", vec!["--format=posix", "-cf"]),
        ("v7.tar", vec!["--format=gnu", "--sparse", "-cf"]),
    ] {
        let archive = out.path().join(name);
        if !tool(folder.path(), "tar", &[&options[..], &[text(&archive), "."]].concat()) {
            return;
        }
        let (input, status) = inspect(&archive);
        assert_eq!((status, &input["tuples"], &input["blobs"]), (Some(0), &3.into(), &1.into()), "{name}: {input}");
    }
    let archive = out.path().join("links.zip");
    if tool(folder.path(), "zip", &["-qry", text(&archive), "."]) {
        // Hard links are copies there.
        assert_eq!(inspect(&archive).0["tuples"], 6);
    }
    // A file with holes, packed without them.
    let holes = fs::File::create(folder.path().join("holes.json")).expect("created");
    holes.set_len(8 << 20).expect("a hole");
    for format in ["--format=gnu", "--format=posix"] {
        let archive = out.path().join("holes.tar");
        assert!(tool(folder.path(), "tar", &[format, "--sparse", "-cf", text(&archive), "."]));
        let (input, status) = inspect(&archive);
        assert_eq!((status, &input["tuples"], &input["problem_count"]), (Some(3), &3.into(), &1.into()), "{input}");
        let problem = &input["problems"][0];
        assert!(problem["blob"].as_str().is_some_and(|blob| blob.ends_with("!holes.json")), "{problem}");
        assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("--sparse")), "{problem}");
    }
}

#[test]
fn no_member_name_causes_a_write() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(root().join(PLAIN), folder.path().join("PT1H.json")).expect("copied");
    for (kind, name) in [("outside", "../../PT1H.json"), ("absolute", "etc/PT1H.json")] {
        let archive = out.path().join(kind);
        pack(kind, folder.path(), &archive);
        let output = flowgap(&["sql", text(&archive), "-c", "SELECT DISTINCT blob FROM flows", "--format", "csv"]);
        assert!(stdout(&output).trim_end().ends_with(&format!("{kind}!{name}")), "{}", stdout(&output));
    }
    assert!(!Path::new("/etc/PT1H.json").exists() && fs::read_dir(out.path()).expect("a folder").count() == 2);
}

#[test]
fn a_hundred_thousand_members_take_little_memory() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(root().join(PLAIN), folder.path().join("a.json")).expect("copied");
    pack("many", folder.path(), &out.path().join("many"));
    let tar = fs::read(out.path().join("many.tar")).expect("readable");
    fs::write(out.path().join("many.tar.gz"), gzip(&tar)).expect("written");
    for name in ["many.zip", "many.tar", "many.tar.gz"] {
        let (status, inspection, peak) = inspect_watched(&out.path().join(name));
        let input = &inspection["input"];
        assert_eq!((status, &input["blobs"], &input["tuples"]), (Some(0), &100_000.into(), &300_000.into()), "{name}");
        assert!(peak < 400, "{name}: {peak} MB");
    }
}

#[test]
fn an_archive_in_blob_storage_is_a_source() {
    let out = tempfile::tempdir().expect("a folder");
    let folder = json(&["inspect", ARCHIVE]).0;
    for kind in ["deflated", "gnu", "tgz"] {
        let archive = out.path().join(kind);
        pack(kind, &root().join(ARCHIVE), &archive);
        let bytes = std::sync::Arc::new(fs::read(&archive).expect("readable"));
        let size = bytes.len() as u64;
        let contents = Contents { names: vec![format!("kept/{kind}")], bodies: vec![bytes] };
        let fake = Fake::start(contents, Distance::default());
        let source = format!("{}/kept/{kind}", fake.address());
        let (remote, status) = json(&["inspect", &source]);
        assert_eq!(
            (&remote["input"], &remote["interfaces"], status),
            (&folder["input"], &folder["interfaces"], Some(0))
        );
        let fetched = remote["storage"]["bytes"].as_u64().expect("a number");
        // What tells the kind, and the headers: all of it where it is compressed as a whole, or small.
        assert!(fetched < 3 * size + (2 << 20), "{kind}: {fetched} of {size} bytes");
    }
}
