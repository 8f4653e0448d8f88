//! `--cluster`: answers of one scheduler and several executors, all real processes, against those of one process.

mod faults;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::archive::json_files;
use crate::support::azurite::{Azurite, CONTAINER, KEY, sas};
use crate::support::binary::{command, flowgap, root, stderr, stdout};

/// Processes that end with the test.
pub struct Cluster {
    pub folder: TempDir,
    scheduler: Option<Child>,
    pub executors: Vec<Child>,
    pub port: u16,
}

/// How an executor is started.
#[derive(Default, Clone)]
pub struct Start<'a> {
    pub environment: Vec<(&'a str, String)>,
    pub options: Vec<&'a str>,
}

impl Cluster {
    pub fn start(executors: &[Start]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Self { folder, scheduler: None, executors: Vec::new(), port: 0 };
        cluster.start_scheduler();
        executors.iter().for_each(|start| cluster.start_executor(start));
        cluster
    }

    pub fn plain(executors: usize) -> Self {
        Self::start(&vec![Start::default(); executors])
    }

    pub fn start_scheduler(&mut self) {
        let bind = format!("127.0.0.1:{}", self.port);
        let (scheduler, line) = started(&mut command(&["scheduler", "--bind", &bind, "--lost-after", "10"]));
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        self.port = port.unwrap_or_else(|| panic!("no port in {line}"));
        self.scheduler = Some(scheduler);
    }

    pub fn start_executor(&mut self, start: &Start) {
        let folder = self.work_dir(self.executors.len());
        let (scheduler, folder) = (self.url(), folder.to_str().expect("UTF-8").to_owned());
        let mut executor = command(&["executor", "--scheduler", &scheduler, "--bind", "127.0.0.1:0"]);
        executor.args(["--cores", "1", "--memory", "2GB", "--work-dir", &folder]).args(&start.options);
        executor.envs(start.environment.iter().map(|(name, value)| (name, value)));
        let (executor, line) = started(&mut executor);
        assert!(line.contains("executor on 127.0.0.1:"), "{line}");
        self.executors.push(executor);
    }

    /// Folder of the answers of an executor.
    pub fn work_dir(&self, executor: usize) -> PathBuf {
        self.folder.path().join(format!("executor-{executor}"))
    }

    pub fn kill_scheduler(&mut self) {
        if let Some(mut scheduler) = self.scheduler.take() {
            scheduler.kill().and_then(|()| scheduler.wait()).expect("killed");
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        flowgap(&[arguments, &["--cluster", &self.url()]].concat())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.scheduler.iter_mut().chain(&mut self.executors) {
            // A process that a test killed is over already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts a process that runs on. Returns it once it has written its first line, with that.
fn started(command: &mut Command) -> (Child, String) {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut reader = BufReader::new(process.stderr.take().expect("piped"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    // Read on, so that the process never waits for room.
    std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    (process, line)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A generated archive.
pub fn generated(folder: &Path, name: &str, kind: &str, hours: u32) -> PathBuf {
    let to = folder.join(name);
    let made = flowgap(&["generate", text(&to), "--kind", kind, "--hours", &hours.to_string()]);
    assert!(made.status.success(), "{}", stderr(&made));
    to
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status().expect("cp");
    assert!(status.success());
}

/// Archives of every shape.
fn archives(folder: &Path) -> Vec<PathBuf> {
    let v4 = generated(folder, "v4", "vnet4", 30);
    let v2 = generated(folder, "v2", "nsg2", 3);
    let mixed = folder.join("mixed");
    copy(&v4, &mixed);
    copy(&v2, &mixed.join("v2"));
    let damaged = folder.join("damaged");
    copy(&v4, &damaged);
    let mut files = Vec::new();
    json_files(&damaged, &mut files);
    files.sort();
    for (nr, file) in files.iter().enumerate().filter(|(nr, _)| nr % 3 == 0) {
        let mut bytes = std::fs::read(file).expect("read");
        match nr % 2 {
            0 => bytes.truncate(bytes.len() / 2),
            _ => (0..9).for_each(|at| bytes[(at * 7919) % 60_000] = b'"'),
        }
        std::fs::write(file, bytes).expect("written");
    }
    // A blob that no process can unpack.
    std::fs::write(damaged.join("flows.json.gz"), [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7]).expect("written");
    let packed = folder.join("packed");
    copy(&v2, &packed);
    let gzip = Command::new("gzip").args(["-r", text(&packed)]).status().expect("gzip");
    assert!(gzip.success());
    let tar = folder.join("v2.tar.gz");
    let made = Command::new("tar").args(["czf", text(&tar), "-C", text(&v2), "."]).status().expect("tar");
    assert!(made.success());
    vec![v4, v2, mixed, damaged, packed, tar, root().join("testdata/broken")]
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Compares a run on the cluster with one here. Returns the status.
fn check(cluster: &Cluster, arguments: &[&str]) -> i32 {
    let (here, there) = (flowgap(arguments), cluster.run(arguments));
    let (said, says) = (stderr(&here), stderr(&there));
    assert_eq!(there.status.code(), here.status.code(), "{arguments:?}: {says} instead of {said}");
    assert!(here.stdout == there.stdout, "{arguments:?}:\n{}\nis not\n{}", stdout(&there), stdout(&here));
    assert!(!says.contains("run again"), "{arguments:?}: {says}");
    here.status.code().expect("no signal")
}

#[test]
fn analyses_are_those_of_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::plain(2);
    let mut statuses = Vec::new();
    for archive in archives(folder.path()) {
        for scope in [&[][..], &["--subnet", "10.20.1.0/24"]] {
            let analyze = ["analyze", text(&archive), "--no-keep", "--strict", "--format", "json"];
            statuses.push(check(&cluster, &[&analyze, scope].concat()));
        }
    }
    assert!(statuses.contains(&0) && statuses.contains(&3), "{statuses:?}");
    let window = ["--from", "2026-05-04T03:30:00Z", "--to", "2026-05-04T09:15:00Z"];
    let archive = folder.path().join("v4");
    check(&cluster, &[&["analyze", text(&archive), "--no-keep", "--format", "json"][..], &window].concat());
}

#[test]
fn queries_are_those_of_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let archives = archives(folder.path());
    let cluster = Cluster::plain(3);
    let subnet = ["--param", "subnet=10.20.1.0/24"];
    let ip = ["--param", "ip=10.20.1.4"];
    let since = ["--param", "since=2026-05-04T02:00:00Z"];
    for archive in [&archives[2], &archives[3]] {
        for (name, params) in [
            ("backends_refused", &[][..]),
            ("capture_gaps", &[]),
            ("denied_timeline", &[]),
            ("double_captured", &[]),
            ("east_west", &[]),
            ("encryption_summary", &[]),
            ("inbound_scanners", &[]),
            ("rekeyed_flows", &[]),
            ("top_denied_destinations", &[]),
            ("top_denied_rules", &[]),
            ("top_talkers", &[]),
            ("unanswered_flows", &[]),
            ("port_matrix", &subnet),
            ("about_address", &ip),
            ("new_destinations", &since),
        ] {
            check(&cluster, &[&["query", name, text(archive), "--format", "csv"][..], params].concat());
        }
        for sql in [
            "SELECT time, src_ip, dst_ip, src_port, dst_port FROM flows ORDER BY 1, 2, 3, 4, 5 LIMIT 3000",
            "SELECT count(*), count(DISTINCT src_ip) FROM flows WHERE decision = 'deny'",
            "SELECT kind, count(*) FROM findings GROUP BY 1 ORDER BY 1",
            "SELECT blob, reason FROM problems ORDER BY blob, \"offset\"",
            "SELECT count(*) FROM (SELECT * FROM flows LIMIT 70000)",
        ] {
            check(&cluster, &["sql", text(archive), "-c", sql, "--format", "csv"]);
        }
    }
    let planted = root().join("testdata/apim");
    assert_eq!(check(&cluster, &["was", "10.20.1.5 -> 192.0.2.43:1433", text(&planted)]), 0);
    // All columns of all rows, in any order.
    for archive in &archives[2..4] {
        let all = ["sql", text(archive), "-c", "SELECT * FROM flows", "--format", "csv"];
        let (here, there) = (sorted(&stdout(&flowgap(&all))), sorted(&stdout(&cluster.run(&all))));
        assert!(here == there && here.len() > 9000, "{} rows, and {}", there.len(), here.len());
    }
    // A damaged blob is told, with the command that shows more.
    let damaged = cluster.run(&["sql", text(&archives[3]), "-c", "SELECT count(*) FROM flows"]);
    assert_eq!(damaged.status.code(), Some(3));
    let said = stderr(&damaged);
    assert!(said.contains("records are damaged") && said.contains("flowgap inspect "), "{said}");
    // A query that fails on a value fails with the same status and words.
    let wrong = ["sql", text(&archives[0]), "-c", "SELECT count(*) FROM flows WHERE 1 / (dst_port - dst_port) = 1"];
    assert_eq!(check(&cluster, &wrong), 2);
    assert!(stderr(&cluster.run(&wrong)).contains("division by zero"));
}

#[test]
fn lakes_are_made_and_read_as_by_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::plain(2);
    for archive in archives(folder.path()) {
        let name = archive.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let lakes = ["here", "there"].map(|place| folder.path().join(format!("{name}-{place}")));
        let ingest = |lake: &Path| {
            ["ingest", text(&archive), "--to", text(lake), "--now", "2026-06-01"].map(str::to_owned).to_vec()
        };
        let [here, there] = [&lakes[0], &lakes[1]].map(|lake| ingest(lake));
        let words = |words: &[String]| words.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let (here, there) = (words(&here), words(&there));
        let here = flowgap(&here.split('\n').collect::<Vec<_>>());
        let there = cluster.run(&there.split('\n').collect::<Vec<_>>());
        let plain = |output: &Output, lake: &Path| stdout(output).replace(text(lake), "LAKE");
        assert_eq!(plain(&there, &lakes[1]), plain(&here, &lakes[0]), "{name}");
        assert_eq!(there.status.code(), here.status.code(), "{name}");
        let read = |lake: &Path, run: &dyn Fn(&[&str]) -> Output| {
            let sql = run(&["sql", text(lake), "-c", "SELECT * FROM flows", "--format", "csv"]);
            let analysis = run(&["analyze", text(lake), "--no-keep", "--format", "json"]);
            (sorted(&stdout(&sql)), stdout(&analysis), analysis.status.code())
        };
        let expected = read(&lakes[0], &flowgap);
        assert!(expected == read(&lakes[1], &flowgap), "{name}: another lake");
        assert!(expected == read(&lakes[0], &|arguments| cluster.run(arguments)), "{name}: read otherwise");
        assert!(expected.0.len() > 5, "{name} has rows");
    }
}

#[test]
fn executors_read_blob_storage_with_their_own_credentials() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = generated(folder.path(), "logs", "vnet4", 8);
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &archive);
    let signature = sas(CONTAINER, "rl", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    let address = format!("{}?{signature}", azurite.address());
    let analyze = ["analyze", &address, "--no-keep", "--format", "json"];
    let key =
        |key: &str| Start { environment: vec![("AZURE_STORAGE_KEY", key.to_owned())], options: vec!["--auth", "key"] };
    let cluster = Cluster::start(&[key(KEY), key(KEY)]);
    assert_eq!(check(&cluster, &analyze), 0);
    azurite.create_container("lakes", &[]);
    let lake = format!("{}/lakes/lake", azurite.account());
    let made = flowgap(&["ingest", &address, "--to", &lake]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert_eq!(check(&cluster, &["analyze", &lake, "--no-keep", "--format", "json"]), 0);
    drop(cluster);

    let cluster = Cluster::start(&[key("d3Jvbmc="), key("d3Jvbmc=")]);
    let refused = cluster.run(&analyze);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(refused.stdout.is_empty() && said.contains("cannot read what this machine reads"), "{said}");
    assert!(!said.contains("sig=") && !said.contains("d3Jvbmc"), "{said}");
}

#[test]
fn addresses_are_refused_unless_they_are_safe_or_allowed() {
    for (arguments, says) in [
        (&["scheduler", "--bind", "0.0.0.0:0"][..], "--bind 0.0.0.0:0 is not on this machine"),
        (&["executor", "--scheduler", "http://10.0.0.1:1"], "--scheduler 10.0.0.1:1 is not on this machine"),
        (
            &["executor", "--scheduler", "http://127.0.0.1:1", "--bind", "[::]:0"],
            "--bind [::]:0 is not on this machine",
        ),
        (&["analyze", "testdata/apim", "--cluster", "http://example.com:1"], "--insecure"),
        (&["analyze", "testdata/apim", "--cluster", "https://127.0.0.1:1"], "without TLS"),
        (
            &["sql", "-", "-c", "SELECT 1", "--cluster", "http://127.0.0.1:1"],
            "executors cannot read the standard input",
        ),
        (&["ingest", "testdata/apim", "--to", "lake", "--cluster", "h h"], "write HOST:PORT"),
    ] {
        let refused = flowgap(arguments);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let (mut scheduler, line) = started(&mut command(&["scheduler", "--bind", "0.0.0.0:0", "--insecure"]));
    scheduler.kill().and_then(|()| scheduler.wait()).expect("killed");
    assert!(line.contains("warning: --bind 0.0.0.0:0 has neither TLS nor a password"), "{line}");
}
