//! Archives as they come: packed, piped, named by pattern, locked, damaged, huge. Real binary.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::binary::{SUBNET, analyze, check_golden, check_status, flowgap, program, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const PLAIN: &str = "testdata/vnet-v4/plain.json";

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory takes all");
    packer.finish().expect("memory takes all")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes all")
}

/// The analysis of what was read, whatever names and sizes the blobs have.
fn analysis(output: &Output) -> Value {
    let mut analysis: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)));
    analysis["input"]["bytes"] = Value::Null;
    analysis
}

fn inspection(path: &Path) -> (Option<i32>, Value) {
    let output = flowgap(&["inspect", path.to_str().expect("UTF-8"), "--format", "json"]);
    let inspection = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (output.status.code(), inspection)
}

pub fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_flowgap"));
    command.current_dir(root()).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    child.wait_with_output().expect("ends")
}

#[test]
fn packed_blobs_read_like_plain_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    crate::support::archive::json_files(&root().join(ARCHIVE), &mut files);
    for (nr, file) in files.iter().enumerate() {
        let copy = folder.path().join(file.strip_prefix(root().join(ARCHIVE)).expect("below"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("folders");
        let bytes = fs::read(file).expect("readable");
        let (name, bytes) = match nr % 3 {
            0 => ("PT1H.json.gz", gzip(&bytes)),
            1 => ("PT1H.json.zst", zstd(&bytes)),
            _ => ("PT1H.json", bytes),
        };
        fs::write(copy.with_file_name(name), bytes).expect("written");
    }
    let packed = analyze(&[folder.path().to_str().expect("UTF-8"), "--format", "json"]);
    assert_eq!(analysis(&packed), analysis(&analyze(&[ARCHIVE, "--format", "json"])));
    let (status, inspection) = inspection(folder.path());
    assert_eq!((status, &inspection["input"]["packed_blobs"]), (Some(0), &42.into()));
    let unpacked: u64 = files.iter().map(|f| f.metadata().expect("metadata").len()).sum();
    assert_eq!(inspection["input"]["unpacked_bytes"], unpacked);
}

#[test]
fn compression_is_recognised_by_content_not_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = fs::read(root().join(PLAIN)).expect("readable");
    fs::write(folder.path().join("plain.json.gz"), &plain).expect("written");
    fs::write(folder.path().join("packed.json"), gzip(&plain)).expect("written");
    fs::write(folder.path().join("other.json.gz"), zstd(&plain)).expect("written");
    let (status, inspection) = inspection(folder.path());
    assert_eq!((status, &inspection["input"]["tuples"]), (Some(0), &9.into()), "{inspection}");
}

#[test]
fn packed_data_that_ends_early_keeps_what_came_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    crate::support::archive::json_files(&root().join("testdata/nsg-v2"), &mut files);
    let plain = fs::read(&files[0]).expect("readable");
    let whole = {
        let path = folder.path().join("0.json");
        fs::write(&path, &plain).expect("written");
        inspection(&path).1["input"]["records"].as_u64().expect("a number")
    };
    for (name, packed) in [("1.json.gz", gzip(&plain)), ("2.json.zst", zstd(&plain))] {
        let path = folder.path().join(name);
        fs::write(&path, &packed[..packed.len() * 9 / 10]).expect("written");
        let (status, inspection) = inspection(&path);
        let input = &inspection["input"];
        assert_eq!((status, &input["unreadable_blobs"]), (Some(3), &1.into()), "{input}");
        assert!(input["records"].as_u64().is_some_and(|n| n < whole), "{input}");
        assert!(name.ends_with("zst") || input["records"].as_u64().is_some_and(|n| n > 0), "{input}");
        let problem = &input["problems"][0];
        assert!(problem["blob"].as_str().is_some_and(|blob| blob.ends_with(name)), "{problem}");
        assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("ends early")), "{problem}");
    }
}

#[test]
fn a_pipe_is_a_source() {
    let mut files = Vec::new();
    crate::support::archive::json_files(&root().join(ARCHIVE), &mut files);
    let blob = fs::read(&files[7]).expect("readable");
    let from_file = analyze(&[files[7].to_str().expect("UTF-8"), "--format", "json"]);
    // A pipe has no path that names an hour.
    let but_hours = |output: &Output| {
        let mut analysis = analysis(output);
        analysis["archive"]["first_hour"].take();
        analysis["archive"]["last_hour"].take();
        analysis
    };
    for packed in [blob.clone(), gzip(&blob), zstd(&blob)] {
        let from_pipe = piped(&["analyze", "--subnet", SUBNET, "-", "--format", "json"], &packed);
        assert_eq!(but_hours(&from_pipe), but_hours(&from_file));
        assert_eq!(from_pipe.status.code(), from_file.status.code());
    }
    // Beside others, and without a subnet, for which a file is read twice.
    let (both, files) = (piped(&["inspect", "-", PLAIN, "--format", "json"], &blob), [&files[7], &root().join(PLAIN)]);
    let tuples = |path: &PathBuf| inspection(path).1["input"]["tuples"].as_u64().expect("a number");
    let both: Value = serde_json::from_slice(&both.stdout).expect("JSON");
    assert_eq!(both["input"]["tuples"], files.into_iter().map(tuples).sum::<u64>());
    assert_eq!(piped(&["analyze", "-"], &blob).status.code(), Some(1));
    let cut = piped(&["inspect", "-"], &blob[..blob.len() - 40]);
    assert!(stdout(&cut).contains("\n  - byte ") && cut.status.code() == Some(3), "{}", stdout(&cut));
    assert_eq!(piped(&["inspect", "-"], b"").status.code(), Some(3));
    check_status(&["analyze", "-", "-"], 2, "can be read only once");
}

#[test]
fn a_pattern_selects_what_matches() {
    let count = |pattern: &str| {
        let output = flowgap(&["inspect", pattern, "--format", "json"]);
        let inspection: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
        inspection["input"]["blobs"].as_u64().expect("a number")
    };
    assert_eq!(count("testdata/vnet-v4/p*.json"), 3, "plain, platform and pretty-printed");
    assert_eq!(count("testdata/nsg-v[12]"), count("testdata/nsg-v1") + count("testdata/nsg-v2"));
    assert_eq!(count("testdata/**/plain.json"), 2);
    check_status(&["inspect", "testdata/*.nothing"], 4, "no file or folder matches 'testdata/*.nothing'");
    check_status(&["inspect", "testdata/[x"], 4, "is not a valid file pattern");
    let folder = tempfile::tempdir().expect("a folder");
    let odd = folder.path().join("[1]*.json");
    fs::copy(root().join(PLAIN), &odd).expect("copied");
    assert_eq!(count(odd.to_str().expect("UTF-8")), 1, "a name is a name first");
}

/// The binary, to be run below `folder`, which is opened for others, by somebody who may not read everything as root may.
/// `None`, and the reason on stdout, where there is nobody else, or they may not enter the folder.
#[cfg(unix)]
pub fn nobody(folder: &Path, arguments: &[&str]) -> Option<Command> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("set");
    let copy = folder.join("flowgap");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_flowgap"), &copy).expect("copied");
    }
    let id = Command::new("id").arg("-u").output().expect("id");
    let command = |arguments: &[&str]| {
        let mut command = match stdout(&id).trim() {
            "0" => {
                let mut command = program("setpriv");
                command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
                command
            }
            _ => program(copy.to_str().expect("UTF-8")),
        };
        command.args(arguments);
        command
    };
    let may_enter = command(&["--version"]).output().is_ok_and(|output| output.status.success());
    if !may_enter {
        println!("not tested: setpriv is missing, or nobody else may enter {}", folder.display());
    }
    may_enter.then(|| command(arguments))
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_hides_no_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    let logs = folder.path().join("logs");
    fs::create_dir_all(logs.join("locked")).expect("folders");
    for name in ["open.json", "locked.json", "locked/below.json"] {
        fs::copy(root().join(PLAIN), logs.join(name)).expect("copied");
    }
    let path = logs.to_str().expect("UTF-8").to_owned();
    let (pattern, below) = (format!("{path}/**/*.json"), format!("{path}/locked"));
    let run = |source: &str| {
        let mut command = nobody(folder.path(), &["inspect", source, "--format", "json"])?;
        Some(command.output().expect("starts"))
    };
    set(&logs.join("locked.json"), 0);
    // A folder that may not be read, and one that tells names only.
    for mode in [0, 0o744] {
        set(&logs.join("locked"), mode);
        let outputs = [run(&path), run(&pattern), run(&below)];
        set(&logs.join("locked"), 0o755);
        let [Some(of_folder), Some(of_pattern), Some(all)] = outputs else { return };
        for output in [of_folder, of_pattern] {
            let inspection: Value =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
            let input = &inspection["input"];
            let counts = (output.status.code(), &input["tuples"], &input["unreadable_blobs"]);
            assert_eq!(counts, (Some(3), &3.into(), &2.into()), "{mode:o}: {input}");
            for problem in input["problems"].as_array().expect("a list") {
                assert!(problem["blob"].as_str().is_some_and(|blob| blob.contains("/locked")), "{problem}");
                let reason = problem["reason"].as_str().expect("text");
                assert!(reason.contains("no permission to read it"), "{problem}");
            }
        }
        assert_eq!(all.status.code(), Some(4), "{mode:o}: {}", stderr(&all));
        assert!(stderr(&all).contains("no permission to read it"), "{mode:o}: {}", stderr(&all));
    }
}

/// Runs to the end, with the most memory that it held, in MB.
pub fn watched(mut child: Child) -> (Output, u64) {
    let (mut peak, status) = (0, format!("/proc/{}/status", child.id()));
    while child.try_wait().expect("a child").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().expect("ended"), peak / 1024)
}

pub fn inspect_watched(path: &Path) -> (Option<i32>, Value, u64) {
    let mut command = program(env!("CARGO_BIN_EXE_flowgap"));
    command.args(["inspect", "--format", "json"]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (output, peak) = watched(command.spawn().expect("starts"));
    let inspection = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (output.status.code(), inspection, peak)
}

#[test]
fn a_bomb_stays_packed() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = fs::read(root().join(PLAIN)).expect("readable");
    fs::write(folder.path().join("good.json"), &plain).expect("written");
    let bomb = [&b"{\"records\":["[..], &vec![b' '; 300 << 20]].concat();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&bomb).expect("memory takes all");
    let gzip = packer.finish().expect("memory takes all");
    for (name, packed) in [("bomb.json.gz", gzip), ("bomb.json.zst", zstd(&bomb))] {
        assert!(packed.len() < 2 << 20, "{} bytes", packed.len());
        fs::write(folder.path().join(name), packed).expect("written");
    }
    let (status, inspection, peak) = inspect_watched(folder.path());
    let input = &inspection["input"];
    assert_eq!((status, &input["tuples"], &input["unreadable_blobs"]), (Some(3), &3.into(), &2.into()), "{input}");
    for problem in input["problems"].as_array().expect("a list") {
        assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("200 times its size")), "{problem}");
    }
    assert!(peak < 400, "{peak} MB, where the bombs hold 600");
}

/// Two gigabytes that hold nothing, at no cost of disk.
fn sparse(path: &Path, head: &[u8], tail: &[u8]) {
    let mut file = File::create(path).expect("created");
    file.write_all(head).expect("written");
    file.seek(SeekFrom::Start(2 << 30)).expect("sought");
    file.write_all(tail).expect("written");
}

#[test]
fn a_line_of_two_gigabytes_costs_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = fs::read(root().join(PLAIN)).expect("readable");
    for (name, head) in [
        ("text.json", &b"{\"records\":[{\"time\":\""[..]),
        ("garbage.json", b"{\"records\":[?"),
        ("key.json", b"{\"records\":[],\""),
    ] {
        let path = folder.path().join(name);
        sparse(&path, head, &[&b"\"\n"[..], &plain].concat());
        let (status, inspection, peak) = inspect_watched(&path);
        let input = &inspection["input"];
        assert_eq!((status, &input["tuples"]), (Some(3), &3.into()), "{name}: what is behind it counts: {input}");
        assert!(input["problem_count"].as_u64().is_some_and(|n| (1..9).contains(&n)), "{name}: {input}");
        // A fifth of it at most, whatever the allocator keeps back.
        assert!(peak < 400, "{name}: {peak} MB");
        fs::remove_file(path).expect("removed");
    }
}

#[test]
fn big_and_deep_oddities_are_one_problem_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = fs::read_to_string(root().join(PLAIN)).expect("readable");
    let tuple = plain.find("\"flowTuples\":[\"").expect("tuples") + "\"flowTuples\":[".len();
    let long = format!("{}\"1777881900000,{}\",{}", &plain[..tuple], "9".repeat(10 << 20), &plain[tuple..]);
    let deep = "[".repeat(100_000);
    let nested = format!("{}{{\"a\":{}1{}}},{}", &plain[..12], deep, "]".repeat(100_000), &plain[12..]);
    for (name, text, malformed, bad) in
        [("long.json", long, 1, 0), ("nested.json", nested, 0, 1), ("deep.json", format!("{deep}{plain}"), 0, 1)]
    {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        let (status, inspection) = inspection(&path);
        let input = &inspection["input"];
        assert_eq!(
            (&input["tuples"], &input["malformed_tuples"], &input["bad_records"]),
            (&3.into(), &malformed.into(), &bad.into()),
            "{name}: {input}"
        );
        assert_eq!(status, Some(if bad > 0 { 3 } else { 0 }), "{name}");
    }
}

/// A record with one tuple, its own time before it if there is one.
fn one_tuple(record_time: Option<&str>, time: &str) -> String {
    let record_time = record_time.map_or(String::new(), |time| format!("\"time\":\"{time}\","));
    format!(
        "{{\"records\":[{{{record_time}\"macAddress\":\"00005E005304\",\"flowRecords\":{{\"flows\":[{{\"aclID\":\"/a\",\
         \"flowGroups\":[{{\"rule\":\"UserRule_r\",\"flowTuples\":[\"{time},10.20.1.4,192.0.2.7,50000,443,6,O,D,NX\"]}}]}}]}}}}]}}"
    )
}

#[test]
fn one_absurd_time_changes_no_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("odd.json");
    // A digit too many: the year 2533.
    fs::write(&path, one_tuple(Some("2026-05-04T08:00:07.4567891Z"), "17778816000")).expect("written");
    let odd = path.to_str().expect("UTF-8");
    let subnet = ["--subnet", SUBNET, "--format", "json"];
    let without = analyze(&[&[ARCHIVE][..], &subnet].concat());
    let with = analyze(&[&[ARCHIVE, odd][..], &subnet].concat());
    assert_eq!(with.status.code(), without.status.code());
    let (mut without, mut with) = (analysis(&without), analysis(&with));
    let problem = &with["input"]["problems"][0];
    assert_eq!(problem["reason"], "tuple skipped: its time is more than 90 days from the record's time");
    assert!(problem["blob"].as_str().is_some_and(|blob| blob.ends_with("odd.json")), "{problem}");
    assert_eq!((&with["input"]["malformed_tuples"], &with["input"]["problem_count"]), (&1.into(), &1.into()));
    assert_eq!((&with["archive"]["blobs_listed"], &without["archive"]["blobs_listed"]), (&63.into(), &62.into()));
    for key in ["input", "archive"] {
        without[key].take();
        with[key].take();
    }
    assert_eq!(with, without);
}

#[test]
fn without_a_time_of_its_own_the_path_tells_when_a_record_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let hour = folder.path().join("flowLogResourceID=/A_B/C_D/y=2026/m=05/d=04/h=08/m=00/macAddress=00005E005304");
    fs::create_dir_all(&hour).expect("folders");
    for (record_time, time, malformed) in
        [(None, "1777881900000", 0), (None, "1700000000000", 1), (Some("2023-11-14T22:14:00Z"), "1700000000000", 0)]
    {
        fs::write(hour.join("PT1H.json"), one_tuple(record_time, time)).expect("written");
        let (_, inspection) = inspection(folder.path());
        assert_eq!(inspection["input"]["malformed_tuples"], malformed, "{record_time:?} {time}");
    }
}

/// A generated archive without some of its hours.
fn with_gaps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("logs");
    let made = flowgap(&["generate", path.to_str().expect("UTF-8"), "--hours", "9", "--tuples-per-minute", "25"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let mut files = Vec::new();
    crate::support::archive::json_files(&path, &mut files);
    let name = files[0].to_str().expect("UTF-8");
    let mac = name.split("macAddress=").nth(1).and_then(|rest| rest.split('/').next()).expect("a MAC");
    for hour in ["h=03", "h=04", "h=06"] {
        let lost = files.iter().filter(|file| file.to_str().is_some_and(|f| f.contains(hour) && f.contains(mac)));
        lost.for_each(|file| fs::remove_file(file).expect("removed"));
    }
    folder
}

#[test]
fn inspect_reports_hours_without_a_blob() {
    let folder = with_gaps();
    let output = flowgap(&["inspect", folder.path().to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = stdout(&output).replace(folder.path().to_str().expect("UTF-8"), "FOLDER");
    assert!(report.lines().all(|line| line.chars().count() <= 80), "{report}");
    check_golden("inspect.txt", &report);
    let (_, inspection) = inspection(folder.path());
    let gaps: Vec<&Value> = inspection["interfaces"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|i| i["missing_hours"] != Value::Array(vec![]))
        .map(|i| &i["missing_hours"])
        .collect();
    let hour = |hour: u32| format!("2026-05-04T{hour:02}:00:00.000Z");
    let expected = serde_json::json!([{"from": hour(3), "to": hour(4)}, {"from": hour(6), "to": hour(6)}]);
    assert_eq!(gaps, [&expected]);
}

#[test]
fn inspect_has_all_its_keys() {
    let inspection = inspection(&root().join("testdata/apim/insights-logs-flowlogflowevent")).1;
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(inspection["schema"], "flowgap.inspection/1");
    let all = "flowgap_version input interface_count interface_count_exact interfaces local_address_count \
               local_address_count_exact meaning next rule_count rule_count_exact rules schema storage subnets_seen";
    assert_eq!(keys(&inspection).join(" "), all);
    assert_eq!(inspection["storage"], Value::Null);
    for key in
        "blobs bytes packed_blobs unpacked_bytes unreadable_blobs records bad_records split_records unordered_records \
                slow_records tuples denied_tuples malformed_tuples versions first_flow last_flow problem_count problems"
            .split(' ')
    {
        assert!(keys(&inspection["input"]).iter().any(|k| k == key), "{key}");
    }
    let analysis: Value = serde_json::from_slice(&analyze(&[ARCHIVE, "--format", "json"]).stdout).expect("JSON");
    for key in ["blobs", "bytes", "records", "tuples", "denied_tuples", "versions", "first_flow", "last_flow"] {
        assert_eq!(inspection["input"][key], analysis["input"][key], "{key}");
    }
}

#[test]
fn inspect_exit_status_says_how_it_went() {
    check_status(&["inspect", "testdata/vnet-v4"], 0, "");
    check_status(&["inspect", "testdata/broken"], 3, "");
    check_status(&["inspect", "testdata/apim", "--from", "2027-01-01T00:00:00Z"], 3, "");
    check_status(&["inspect", "nowhere"], 4, "'nowhere' does not exist");
    check_status(&["inspect", "testdata/vnet-v4", "--format", "sarif"], 2, "possible values");
    check_status(&["inspect"], 2, "SOURCE");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.json");
    check_status(&["inspect", "testdata/vnet-v4", "-o", file.to_str().expect("UTF-8")], 0, "");
    let written: Value = serde_json::from_slice(&fs::read(file).expect("written")).expect("JSON");
    assert_eq!(written["schema"], "flowgap.inspection/1");
}

#[test]
fn an_endless_pipe_can_be_interrupted() {
    let mut command = program(env!("CARGO_BIN_EXE_flowgap"));
    command.args(["analyze", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command.env("TMPDIR", folder.path()).spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(b"{\"records\":[").expect("it reads");
    std::thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let status = child.wait().expect("ends");
    assert!(status.code() == Some(130) && asked.elapsed() < Duration::from_secs(2), "{status} {:?}", asked.elapsed());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing stays behind");
    drop(pipe);
}

#[test]
fn progress_never_reaches_stdout() {
    let quiet = flowgap(&["inspect", ARCHIVE, "--format", "json"]);
    assert_eq!(stderr(&quiet), "", "stderr is no terminal here");
    let shown = flowgap(&["inspect", ARCHIVE, "--format", "json", "--progress", "always"]);
    assert!(stderr(&shown).contains(" of 1.50 MiB"), "{}", stderr(&shown));
    assert_eq!(shown.stdout, quiet.stdout);
    for silent in [["--progress", "never"], ["-q", "--progress=always"]] {
        let output = flowgap(&[&["analyze", ARCHIVE, "--subnet", SUBNET], &silent[..]].concat());
        assert_eq!(stderr(&output), "", "{silent:?}");
    }
}

#[test]
fn shells_complete_and_man_explains() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&flowgap(&["completions", shell]));
        assert!(script.contains("service-tags") && script.contains("inspect"), "{shell}: {script}");
    }
    check_status(&["completions", "cmd"], 2, "possible values");
    let bash = format!("source <({} completions bash) && complete -p flowgap", env!("CARGO_BIN_EXE_flowgap"));
    let output = Command::new("bash").args(["-c", &bash]).output().expect("bash");
    assert!(stdout(&output).contains("_flowgap"), "{}", stderr(&output));
    let page = stdout(&flowgap(&["man"]));
    for verb in ["analyze", "inspect", "generate", "requirements", "completions"] {
        assert!(page.contains(verb), "{verb}");
    }
    let page = stdout(&flowgap(&["man", "analyze"]));
    assert!(page.contains(".TH") && page.contains("service\\-tags"), "{page}");
    check_status(&["man", "nothing"], 2, "there is no verb 'nothing'");
}
