//! A lake as the source of every verb: the same bytes as over the blobs that it was made from.

mod bytes;
mod refused;

use std::path::{Path, PathBuf};

use flowgap::catalog::Catalog;
use flowgap::engine::{Archive, SessionOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::archive::{Log, hours, minutes, outbound};
use crate::support::azurite::{Azurite, CONTAINER, archive};
use crate::support::binary::{flowgap, root, stderr, stdout};

const APIM: &str = "testdata/apim/insights-logs-flowlogflowevent";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";

/// Sources, as absolute paths, which are the names of blobs in a lake, and the lake that was made from them.
pub struct Pair {
    sources: Vec<String>,
    lake: String,
    /// Folders that are deleted with them.
    _kept: Vec<TempDir>,
}

impl Pair {
    pub fn new(sources: &[impl AsRef<Path>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = text(&folder.path().join("lake"));
        let sources = sources.iter().map(|path| text(&root().join(path))).collect();
        Self { _kept: vec![folder], ..Self::of(sources, lake) }
    }

    /// Addresses, and that of the lake to make.
    fn of(sources: Vec<String>, lake: String) -> Self {
        let pair = Self { sources, lake, _kept: Vec::new() };
        pair.ingest();
        pair
    }

    /// An archive of `generate`.
    fn generated(options: &[&str]) -> Self {
        let (folder, logs) = generated(options);
        let mut pair = Self::new(&[logs]);
        pair._kept.push(folder);
        pair
    }

    /// Takes what is new into the lake.
    pub fn ingest(&self) {
        let sources: Vec<&str> = self.sources.iter().map(String::as_str).collect();
        let output = flowgap(&[&["ingest"], &sources[..], &["--to", &self.lake]].concat());
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
    }

    pub fn lake(&self) -> &str {
        &self.lake
    }

    /// Runs a command over the blobs and over the lake. Returns the outputs, with the exit status in front.
    pub fn run(&self, verb: &[&str], options: &[&str]) -> [String; 2] {
        let lake = [self.lake.clone()];
        [&self.sources[..], &lake[..]].map(|sources| {
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            let output = flowgap(&[verb, &sources[..], options].concat());
            let code = output.status.code().expect("an exit status");
            assert!(matches!(code, 0 | 1 | 3), "{verb:?} {sources:?} {options:?}: {}", stderr(&output));
            // The command that an inspection proposes names the source.
            format!("{code}\n{}", stdout(&output).replace(&format!("analyze {}", sources.join(" ")), "analyze SOURCE"))
        })
    }

    /// Returns both outputs as one. Fails unless they are equal.
    pub fn check(&self, verb: &[&str], options: &[&str]) -> String {
        let [blobs, lake] = self.run(verb, options);
        if blobs != lake {
            let lines = blobs.lines().zip(lake.lines()).find(|(one, other)| one != other);
            panic!("{verb:?} {:?} {options:?}: over blobs and over the lake: {lines:#?}", self.sources);
        }
        lake
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// An archive of `generate` with faults, in a folder that is deleted with it.
pub fn generated(options: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = folder.path().join("faults.json");
    let planted = serde_json::json!([
        {"fault": "blocked", "requirement": "APIM-OUT-SQL", "from_hour": 1, "rule": "UserRule_deny-sql"},
        {"fault": "partial", "requirement": "APIM-OUT-MONITOR", "from_hour": 1, "share": 0.25, "rule": "UserRule_deny-monitor"},
    ]);
    std::fs::write(&faults, planted.to_string()).expect("a file");
    let logs = folder.path().join("logs");
    let output =
        flowgap(&[&["generate", &text(&logs), "--faults", &text(&faults), "--service-tags", TAGS], options].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // The list of faults is no blob, so a lake does not know it.
    let mut entries = std::fs::read_dir(logs).expect("a folder").map(|entry| entry.expect("an entry").path());
    let logs = entries.find(|path| path.is_dir()).expect("the container");
    (folder, logs)
}

/// Archives of every kind, each with a window that cuts blobs.
fn pairs() -> Vec<(Pair, [&'static str; 4])> {
    let may = ["--from", "2026-05-04T06:10:20Z", "--to", "2026-05-04T08:30:00Z"];
    let march = ["--from", "2026-03-11T08:20:00Z", "--to", "2026-03-11T09:45:30Z"];
    let long = ["--from", "2017-01-01T00:00:00Z", "--to", "2026-05-04T07:00:00Z"];
    let small = ["--hours", "4", "--tuples-per-minute", "20"];
    let of_kind = |kind| Pair::generated(&[&["--kind", kind], &small[..]].concat());
    let early = ["--from", "2026-05-04T00:59:30Z", "--to", "2026-05-04T02:00:01Z"];
    vec![
        (Pair::new(&[APIM]), may),
        (Pair::new(&["testdata/nsg-v2"]), march),
        (Pair::new(&[APIM, "testdata/nsg-v1", "testdata/vnet-v4", "testdata/shapes"]), long),
        (Pair::new(&["testdata/broken", "testdata/nsg-v2"]), long),
        (of_kind("nsg1"), early),
        (of_kind("nsg2"), early),
    ]
}

#[test]
fn an_analysis_is_the_same() {
    for (pair, window) in pairs() {
        for more in [&[][..], &["--subnet", "10.20.1.0/24"], &["--service-tags", TAGS, "--strict"]] {
            for window in [&[][..], &window[..]] {
                pair.check(&["analyze", "--format", "json"], &[more, window].concat());
            }
        }
        pair.check(&["analyze", "--details"], &["--subnet", "10.20.1.0/24"]);
    }
}

#[test]
fn an_inspection_is_the_same() {
    for (pair, window) in pairs() {
        for window in [&[][..], &window[..]] {
            let whole = pair.check(&["inspect", "--format", "json"], window);
            let whole: Value = serde_json::from_str(whole.split_once('\n').expect("a status").1).expect("JSON");
            assert_ne!(whole["input"]["tuples"], 0);
        }
    }
}

#[test]
fn named_queries_are_the_same() {
    let required: [(&str, &[&str]); 4] = [
        ("about_address", &["--param", "ip=10.20.1.4"]),
        ("new_destinations", &["--param", "since=2026-05-04T07:00:00Z"]),
        ("port_matrix", &["--param", "subnet=10.20.1.0/24"]),
        ("rules_not_matched", &["--param", "from=2026-05-04T07:00:00Z"]),
    ];
    let named = flowgap::queries::shipped().expect("headers");
    for pair in [Pair::new(&[APIM]), Pair::new(&["testdata/nsg-v2", "testdata/broken"])] {
        for query in &named {
            let params = required.iter().find(|(name, _)| *name == query.id).map_or(&[][..], |(_, params)| params);
            pair.check(&["query", &query.id], &[&["--format", "csv"], params].concat());
        }
    }
}

#[test]
fn sql_with_a_total_order_is_the_same() {
    let all = flowgap::schema::Column::ALL.map(|column| column.name()).join(", ");
    let everything = format!("SELECT * FROM flows ORDER BY {all}");
    for (pair, window) in pairs() {
        for sql in [
            everything.as_str(),
            "SELECT * FROM blobs ORDER BY blob",
            "SELECT * FROM problems ORDER BY blob, \"offset\"",
            "SELECT nsg, count(*), sum(bytes_sent), min(time), max(record_time) FROM flows GROUP BY nsg ORDER BY nsg",
            "SELECT src_ip, dst_ip, count(DISTINCT dst_port) FROM flows WHERE decision = 'deny' AND dst_port BETWEEN 1 AND 1024 GROUP BY src_ip, dst_ip ORDER BY src_ip, dst_ip",
            "SELECT count(*) FROM flows WHERE time >= '2026-05-04T06:30:00Z' AND time < '2026-05-04T07:00:00.5Z' AND src_port <> 443",
            "SELECT requirement, kind, severity, score FROM findings ORDER BY fingerprint",
            "SELECT count(*), count(state), count(encryption), count(mac), count(flow_log) FROM flows",
            "SELECT count(*), max(dst_port) FROM flows WHERE time < '2016-01-01'",
            "SELECT blob, count(*) FROM flows WHERE blob LIKE '%PT1H%' AND rule IN ('UserRule_deny-sql', 'x') GROUP BY blob ORDER BY blob",
            "SELECT f.dst_port, count(*) FROM flows f JOIN requirement_ports r ON f.dst_port = r.port_low GROUP BY f.dst_port ORDER BY f.dst_port",
            "SELECT 1",
        ] {
            for window in [&[][..], &window[..]] {
                pair.check(&["sql", "--format", "csv"], &[&["-c", sql], window].concat());
            }
        }
    }
}

#[test]
fn interfaces_are_chosen_by_the_paths_of_blobs() {
    let pair = Pair::new(&[APIM]);
    let macs = pair.check(&["sql", "--format", "csv"], &["-c", "SELECT DISTINCT mac FROM blobs ORDER BY mac"]);
    let mac = macs.lines().nth(2).expect("an interface");
    for verb in [&["analyze", "--format", "json"][..], &["inspect", "--format", "json"]] {
        pair.check(verb, &["--mac", mac]);
    }
}

#[test]
fn a_lake_in_blob_storage_is_read_as_one_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &archive(folder.path()));
    azurite.create_container("lake", &[]);
    azurite.create_container("flows", &[]);
    for place in ["lake/flows", "flows"] {
        let lake = format!("{}/{place}", azurite.account());
        let pair = Pair::of(vec![azurite.address()], lake);
        pair.check(&["analyze", "--format", "json"], &["--subnet", "10.20.1.0/24"]);
        pair.check(&["sql", "--format", "csv"], &["-c", "SELECT * FROM problems ORDER BY blob, \"offset\""]);
        pair.check(&["query", "top_denied_rules"], &["--format", "csv"]);
    }
}

/// Tuples of other hours than that of the path, as a record that came late has them.
#[test]
fn rows_are_chosen_by_the_paths_of_blobs_too() {
    let mut log = Log::vnet();
    for hour in 0..6 {
        log.allowed(outbound(hours(hour) + minutes(10), "10.20.1.4", "192.0.2.9", 443));
        let late = outbound(hours(hour) + minutes(20), "10.20.1.4", "192.0.2.10", 443);
        log.allowed(late.in_record_of(hours(hour + 3)));
    }
    let folder = log.write();
    let pair = Pair::new(&[folder.path()]);
    let window = ["--from", "2026-05-04T02:00:00Z", "--to", "2026-05-04T04:15:00Z"];
    let ordered = "SELECT time, dst_ip, blob FROM flows ORDER BY time, dst_ip, blob";
    for window in [&[][..], &window] {
        pair.check(&["inspect", "--format", "json"], window);
        pair.check(&["analyze", "--format", "json"], &[&["--subnet", "10.20.1.0/24"], window].concat());
        let rows = pair.check(&["sql", "--format", "csv"], &[&["-c", ordered], window].concat());
        assert!(rows.lines().count() > 4, "{rows}");
    }
    let by_time =
        ordered.replace("ORDER", "WHERE time BETWEEN '2026-05-04T01:00:00Z' AND '2026-05-04T02:59:00Z' ORDER");
    let rows = pair.check(&["sql", "--format", "csv"], &["-c", &by_time]);
    assert!(!rows.contains("T01:20:00"), "a scan of blobs does not find it either: {rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_one_version() {
    let (_folder, logs) = generated(&["--hours", "3", "--tuples-per-minute", "5"]);
    let hour = |name: &str| logs_of_hour(&logs, name);
    let late = hour("h=02");
    let aside = tempfile::tempdir().expect("a folder");
    let moved: Vec<(PathBuf, PathBuf)> =
        late.iter().enumerate().map(|(nr, path)| (path.clone(), aside.path().join(nr.to_string()))).collect();
    moved.iter().for_each(|(path, aside)| std::fs::rename(path, aside).expect("moved"));
    let pair = Pair::new(&[&logs]);
    let session = |pair: &Pair| {
        let source = pair.lake().parse().expect("a source");
        let scope = crate::sql::scope(Catalog::NEWEST, false);
        async move { flowgap::engine::Session::open(&[source], scope, SessionOptions::default()).await.expect("opens") }
    };
    let count = async |session: &flowgap::engine::Session| {
        let rows = session.sql("SELECT count(*), count(DISTINCT blob) FROM flows").await.expect("rows");
        arrow::util::pretty::pretty_format_batches(&rows).expect("text").to_string()
    };
    let before = session(&pair).await;
    let first = count(&before).await;
    moved.iter().for_each(|(path, aside)| std::fs::rename(aside, path).expect("moved back"));
    pair.ingest();
    assert_eq!(count(&before).await, first);
    let after = session(&pair).await;
    assert_ne!(count(&after).await, first);
    let _: &Archive = after.archive();
}

fn logs_of_hour(folder: &Path, hour: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    crate::support::archive::json_files(folder, &mut files);
    files.retain(|path| path.components().any(|part| part.as_os_str() == hour));
    assert!(!files.is_empty());
    files
}
