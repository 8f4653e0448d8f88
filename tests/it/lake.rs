//! Lakes with the real binary, compared with decoding the blobs once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use flowgap::decode::Counts;
use flowgap::lake::{Entry, Lake, Snapshot};
use flowgap::source::Access;
use flowgap::time::Timestamp;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use tempfile::TempDir;

use crate::support::archive::place;
use crate::support::binary::{command, stderr, stdout};

/// Blobs that grow, shrink, are rewritten, moved into archives, and vanish.
mod changes;
/// Status, compact, vacuum, verify, delete.
mod housekeeping;
/// Runs that are killed at any point, and several at a time.
mod kills;
/// Other programs read the table, and rewrite it.
mod others;
/// What is not a lake, and lakes that are damaged.
mod refusals;
/// Lakes and logs in Azurite, through faults.
mod remote;
/// Clocks that jump, folders without permission, and disks that are full.
mod trouble;

/// Columns of a lake, without the partition.
const COLUMNS: &str = "time, src_ip, dst_ip, src_port, dst_port, protocol, direction, decision, state, encryption, \
    packets_sent, bytes_sent, packets_received, bytes_received, rule, acl, mac, flow_log, target, log_kind, \
    log_version, record_time, blob";

/// Deletes the first of the two days of a world.
const DELETE_FIRST_DAY: [&str; 5] = ["lake", "delete", "LAKE", "--before", "2026-05-05"];

/// A number that the environment may set.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Number of runs to kill.
fn kills() -> usize {
    number("FLOWGAP_KILLS", 50) as usize
}

/// A generator of numbers that look random.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// Rows with how often they occur.
type Rows = BTreeMap<String, u64>;

/// Flow logs that change, and a lake of them.
struct World {
    folder: TempDir,
    chance: Chance,
    /// Records of each blob, by its path below the logs.
    blobs: BTreeMap<String, Vec<String>>,
    /// Rows of blobs that vanished, which the lake keeps.
    ghosts: BTreeMap<String, Rows>,
    /// Whether the lake has no rows of the first day.
    is_cut: bool,
    /// First millisecond of the first hour.
    start: i64,
    number: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("logs")).expect("a folder");
        let chance = Chance(seed | 1);
        // 2026-05-04T20:00:00Z, so that a few hours are on two days.
        let start = 1_777_924_800_000;
        Self { folder, chance, blobs: BTreeMap::new(), ghosts: BTreeMap::new(), is_cut: false, start, number: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("a folder").join(name)
    }

    fn logs(&self) -> String {
        self.path("logs").display().to_string()
    }

    fn lake(&self) -> String {
        self.path("lake").display().to_string()
    }

    /// A record with some tuples.
    fn record(&mut self, hour: u64) -> String {
        self.number += 1;
        let time = self.start + hour as i64 * 3_600_000 + (self.number as i64 % 60) * 60_000;
        let tuples: Vec<String> = (0..1 + self.chance.below(6))
            .map(|n| {
                let (port, bytes) = (self.chance.below(60_000), self.chance.below(10_000));
                let (state, counts) = match self.chance.below(4) {
                    0 => ("D", "0,0,0,0".to_owned()),
                    1 => ("B", "0,0,0,0".to_owned()),
                    _ => ("E", format!("{},{bytes},{n},{}", n + 1, bytes / 2)),
                };
                format!(
                    "\"{},192.0.2.{},198.51.100.{n},{port},443,6,O,{state},NX,{counts}\"",
                    time + n as i64,
                    port % 250
                )
            })
            .collect();
        let at = Timestamp(time);
        format!(
            "{{\"time\":\"{at}\",\"flowLogVersion\":4,\"flowLogGUID\":\"00000000-0000-0000-0000-000000000001\",\
             \"macAddress\":\"000D3A000001\",\"category\":\"FlowLogFlowEvent\",\
             \"flowLogResourceID\":\"/SUBSCRIPTIONS/0/FLOWLOGS/A\",\"targetResourceID\":\"/subscriptions/0/vnets/a\",\
             \"operationName\":\"FlowLogFlowEvent\",\"flowRecords\":{{\"flows\":[{{\"aclID\":\"acl-1\",\
             \"flowGroups\":[{{\"rule\":\"rule-{}\",\"flowTuples\":[{}]}}]}}]}}}}",
            self.number % 3,
            tuples.join(",")
        )
    }

    fn name(interface: u64, hour: u64) -> String {
        let (day, hour) = (4 + (20 + hour) / 24, (20 + hour) % 24);
        format!(
            "insights-logs-flowlogflowevent/flowLogResourceID=/A_NETWORKWATCHERRG/B/y=2026/m=05/d={day:02}/h={hour:02}\
             /m=00/macAddress=000D3A00000{interface}/PT1H.json"
        )
    }

    fn hour(name: &str) -> u64 {
        let number =
            |key: &str| name.split(key).nth(1).and_then(|rest| rest.get(..2)).and_then(|n| n.parse::<u64>().ok());
        (number("/d=").expect("a day") - 4) * 24 + number("/h=").expect("an hour") - 20
    }

    fn write(&self, name: &str) {
        let text = format!("{{\"records\":[{}]}}", self.blobs[name].join(","));
        place(&self.path("logs"), name, text);
    }

    /// Adds a blob with some records.
    fn add(&mut self, interface: u64, hour: u64, records: usize) -> String {
        let name = Self::name(interface, hour);
        let records: Vec<String> = (0..records).map(|_| self.record(hour)).collect();
        self.blobs.insert(name.clone(), records);
        self.ghosts.remove(&name);
        self.write(&name);
        name
    }

    /// Appends records.
    fn grow(&mut self, name: &str, records: usize) {
        for _ in 0..records {
            let record = self.record(Self::hour(name));
            self.blobs.get_mut(name).expect("a blob").push(record);
        }
        self.write(name);
    }

    /// Replaces the first record.
    fn rewrite(&mut self, name: &str) {
        let record = self.record(Self::hour(name));
        self.blobs.get_mut(name).expect("a blob")[0] = record;
        self.write(name);
    }

    /// Drops the last record.
    fn shrink(&mut self, name: &str) {
        let records = self.blobs.get_mut(name).expect("a blob");
        if records.len() > 1 {
            records.pop();
        }
        self.write(name);
    }

    /// Removes a blob that the lake has. The lake keeps its rows.
    fn remove(&mut self, name: &str) {
        let rows = self.decoded(name);
        self.ghosts.insert(name.to_owned(), rows);
        self.blobs.remove(name);
        std::fs::remove_file(self.path("logs").join(name)).expect("removed");
    }

    /// Changes something.
    fn change(&mut self) {
        let names: Vec<String> = self.blobs.keys().cloned().collect();
        match self.chance.below(10) {
            0..=2 => {
                let (interface, hour, records) =
                    (self.chance.below(3), self.chance.below(9), 1 + self.chance.below(30));
                if !self.blobs.contains_key(&Self::name(interface, hour)) {
                    self.add(interface, hour, records as usize);
                }
            }
            3..=6 if !names.is_empty() => {
                let (name, records) = (self.chance.of(&names).clone(), 1 + self.chance.below(12));
                self.grow(&name, records as usize);
            }
            7 | 8 if !names.is_empty() => {
                let name = self.chance.of(&names).clone();
                self.rewrite(&name);
            }
            9 if !names.is_empty() => {
                let name = self.chance.of(&names).clone();
                self.shrink(&name);
            }
            _ => {}
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (logs, lake) = (self.logs(), self.lake());
        let arguments = arguments.iter().map(|argument| match *argument {
            "LOGS" => logs.as_str(),
            "LAKE" => lake.as_str(),
            other => other,
        });
        command(&arguments.collect::<Vec<_>>())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("flowgap starts")
    }

    /// Runs a command that must succeed. Returns what it prints.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    fn ingest(&self) -> String {
        self.done(&["ingest", "LOGS", "--to", "LAKE"])
    }

    /// Rows of the blobs below a name, decoded now.
    fn decoded(&self, below: &str) -> Rows {
        let source = self.path("logs").join(below);
        if self.blobs.is_empty() {
            return Rows::new();
        }
        let out = self.path("decoded.parquet");
        let (source, file) = (source.display().to_string(), out.display().to_string());
        let query = format!("SELECT {COLUMNS} FROM flows");
        let output = self.run(&["sql", &source, "-c", &query, "-o", &file]);
        // Damaged records are reported, and the others are read.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
        let mut rows = Rows::new();
        add_rows(std::fs::File::open(&out).expect("a file"), &mut rows);
        rows
    }

    /// Rows that the lake must have.
    fn expected(&self) -> Rows {
        let mut rows = self.decoded("");
        self.ghosts.values().flatten().for_each(|(row, count)| *rows.entry(row.clone()).or_default() += count);
        rows.retain(|row, _| !self.is_cut || row.starts_with("2026-05-05"));
        rows
    }

    /// Compares the lake with the blobs: rows, and cursors with those of a lake that is made now.
    fn check(&self, when: &str) {
        self.check_at(&self.lake(), when);
    }

    fn check_at(&self, lake: &str, when: &str) {
        let (found, expected) = (rows(lake), self.expected());
        if found != expected {
            let differ = |a: &Rows, b: &Rows| {
                a.iter()
                    .filter(|(row, n)| b.get(*row) != Some(n))
                    .take(3)
                    .map(|(row, n)| format!("{n} x {row}"))
                    .collect::<Vec<_>>()
            };
            panic!(
                "{when}: only in the lake {:#?}, only in the blobs {:#?}",
                differ(&found, &expected),
                differ(&expected, &found)
            );
        }
        let fresh = self.path("fresh");
        let _ = std::fs::remove_dir_all(&fresh);
        if !self.blobs.is_empty() {
            let fresh = fresh.display().to_string();
            self.done(&["ingest", "LOGS", "--to", &fresh]);
            if self.is_cut {
                self.done(&DELETE_FIRST_DAY.map(|word| if word == "LAKE" { fresh.as_str() } else { word }));
            }
            let known = entries(lake);
            for (blob, entry) in entries(&fresh) {
                assert_eq!(known.get(&blob).map(comparable), Some(comparable(&entry)), "{when}: {blob}");
            }
        }
    }
}

/// A cursor without what depends on where reading began.
fn comparable(entry: &Entry) -> Entry {
    let counts = Counts { slow_records: 0, split_records: 0, unordered_records: 0, ..entry.counts.clone() };
    Entry { counts, ..entry.clone() }
}

/// Makes every file of a lake an hour older.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            age(&entry);
        } else {
            let file = std::fs::File::options().append(true).open(&entry).expect("a file");
            let before = file.metadata().expect("metadata").modified().expect("a time");
            file.set_modified(before - std::time::Duration::from_secs(3600)).expect("a time");
        }
    }
}

fn snapshot(lake: &str) -> Snapshot {
    let lake = Lake::open(lake, Access::default()).expect("an address");
    runtime().block_on(Snapshot::load(&lake)).expect("a lake")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// The cursors of a lake, by blob.
fn entries(lake: &str) -> HashMap<String, Entry> {
    let snapshot = snapshot(lake);
    let mut entries = HashMap::new();
    let cursors = runtime().block_on(snapshot.cursors()).expect("cursors");
    cursors
        .for_each(|entry| {
            assert!(entries.insert(entry.blob.clone(), entry).is_none(), "one cursor per blob");
            Ok(())
        })
        .expect("cursors");
    assert_eq!(entries.len() as u64, cursors.blobs);
    entries
}

/// All rows of a lake.
fn rows(lake: &str) -> Rows {
    let (mut rows, runtime, snapshot) = (Rows::new(), runtime(), snapshot(lake));
    for file in &snapshot.files {
        let read = async { snapshot.lake().objects().get(&file.path).await?.bytes().await };
        let before: u64 = rows.values().sum();
        add_rows(runtime.block_on(read).expect("a file"), &mut rows);
        assert_eq!(rows.values().sum::<u64>() - before, file.rows, "{}", file.path);
    }
    rows
}

/// Adds the rows of a Parquet file.
fn add_rows(file: impl ChunkReader + 'static, rows: &mut Rows) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
    let options = FormatOptions::default().with_null("null");
    for batch in reader {
        let batch = batch.expect("rows");
        let columns: Vec<&str> = COLUMNS.split(", ").map(str::trim).collect();
        let columns: Vec<ArrayFormatter> = columns
            .iter()
            .map(|name| batch.column_by_name(name).unwrap_or_else(|| panic!("no {name}")))
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("a format"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            *rows.entry(cells.join("|")).or_default() += 1;
        }
    }
}
