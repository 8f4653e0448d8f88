//! `flowgap analyze` as a whole process, against plain reading of the same files in the same run.
//!
//! `cargo bench --bench analyze -- [GIGABYTES [CASE]]`: 4 and all cases unless said. An archive is made once, below the
//! temporary folder. `-- 0 grow [AXIS]` varies one thing at a time, and its reference is a question to `flowgap sql`.

mod archive;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use archive::{Shape, best, median};
use flowgap::generate::{Kind, Variety};

const RUNS: usize = 5;
const FLOWGAP: &str = env!("CARGO_BIN_EXE_flowgap");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let gigabytes: f64 = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(4.0);
    let wants = |case: &str| arguments.get(1).is_none_or(|only| only == case);
    if arguments.get(1).is_some_and(|case| case == "grow") {
        return grow(arguments.get(2).map(String::as_str));
    }
    println!("| case | read() MB/s | analyze MB/s | of read() | tuples/s | median s | VmHWM MB |");
    println!("|---|---|---|---|---|---|---|");
    let given = ["--subnet", archive::SUBNET];
    for (case, kind) in [("vnet4", Kind::Vnet4), ("nsg2", Kind::Nsg2)] {
        if wants(case) {
            let folder = archive::many_blobs(kind, gigabytes);
            measure(case, &folder, &given, RUNS);
            measure(&format!("{case}, inferred scope"), &folder, &[], RUNS);
        }
    }
    if wants("one") {
        measure("vnet4, 1 GB in many blobs", &archive::many_blobs(Kind::Vnet4, 1.0), &given, RUNS);
        measure("vnet4, 1 GB in one blob", &archive::one_blob(Kind::Vnet4, 1.0), &given, RUNS);
    }
    if wants("small") {
        measure("vnet4, 50,000 blobs", &archive::small_blobs(Kind::Vnet4, 50_000, 250), &given, RUNS);
    }
    if wants("least") {
        let folder = archive::folder("least", |folder| {
            let some = archive::small_blobs(Kind::Vnet4, 8, 125);
            fs::create_dir_all(folder).expect("a folder");
            fs::copy(&archive::blobs(&some)[0].0, folder.join("PT1H.json")).expect("copied");
        });
        measure("vnet4, one blob of 10 kB", &folder, &given, 20);
    }
}

/// What reads everything and keeps nothing.
const QUESTION: &str = "SELECT count(*), count(DISTINCT dst_port), count(DISTINCT rule) FROM flows";

/// Each axis alone, from the middle of all.
fn grow(only: Option<&str>) {
    println!("| axis | value | GB | blobs | analyze s | sql s | ratio | inferred scope | VmHWM MB |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let some = |axis: &str| only.is_none_or(|only| only == axis);
    let point = |axis: &str, value: u32, shape: Shape| {
        if some(axis) {
            let (folder, subnets) = shape.archive(&format!("grow-{axis}-{value}"));
            compare(axis, value, &folder, &subnets, &[FLOWGAP]);
        }
    };
    for times in [1, 2, 4, 8] {
        point("bytes", times, Shape { hours: Shape::MIDDLE.hours * times, ..Shape::MIDDLE });
    }
    for hours in [24, 168, 720, 8760] {
        point("hours", hours, Shape::spread(hours, 4));
    }
    for interfaces in [4, 40, 400, 1000] {
        point("interfaces", interfaces, Shape::spread(12, interfaces));
    }
    let some_of = Variety::default;
    for addresses in [4, 16, 64, 256, 800, 4000] {
        let variety = Variety { local_addresses: Some(addresses), ..some_of() };
        point("local addresses", addresses, Shape::varied(variety));
    }
    for rules in [10, 100, 1000, 10_000] {
        point("rules", rules, Shape::varied(Variety { rules: Some(rules), ..some_of() }));
    }
    for addresses in [1000, 10_000, 100_000, 1_000_000, 10_000_000] {
        let variety = Variety { remote_addresses: Some(addresses), ..some_of() };
        point("remote addresses", addresses, Shape::varied(variety));
    }
    for ports in [10, 100, 1000, 10_000] {
        point("denied ports", ports, Shape::varied(Variety { ports: Some(ports), ..some_of() }));
    }
    for percent in [1, 10, 50, 90] {
        let variety = Variety { denied_percent: Some(percent), ..some_of() };
        point("denied percent", percent, Shape::varied(variety));
    }
    if some("cores") {
        let (folder, subnets) = Shape { hours: 48, ..Shape::MIDDLE }.archive("grow-bytes-4");
        for cores in 1..=archive::threads() {
            let first = format!("0-{}", cores - 1);
            compare("cores", cores as u32, &folder, &subnets, &["taskset", "--cpu-list", &first, FLOWGAP]);
        }
    }
}

/// Best of alternating runs: with the scope given, the question, and without a scope.
fn compare(axis: &str, value: u32, folder: &Path, subnets: &[String], command: &[&str]) {
    let given: Vec<&str> = subnets.iter().flat_map(|subnet| ["--subnet", subnet]).collect();
    let (mut analyses, mut questions, mut inferred, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..RUNS {
        let (time, high_water, _) = analyze(folder, command, &given);
        analyses.push(time);
        peak = peak.max(high_water);
        let start = Instant::now();
        let sql = Command::new(command[0])
            .args(&command[1..])
            .args(["sql", "-q", "-c", QUESTION])
            .arg(folder)
            .stdout(Stdio::null())
            .status();
        questions.push(start.elapsed());
        assert!(sql.is_ok_and(|status| status.success()), "the question");
        inferred.push(analyze(folder, command, &[]).0);
    }
    let (analysis, question) = (best(&analyses), best(&questions));
    let files = archive::blobs(folder);
    let size: u64 = files.iter().map(|(_, size)| size).sum();
    println!(
        "| {axis} | {value} | {:.2} | {} | {analysis:.2} | {question:.2} | {:.2} | {:.2} | {} |",
        size as f64 / 1e9,
        files.len(),
        analysis / question,
        best(&inferred) / analysis,
        peak / 1000,
    );
}

fn measure(case: &str, folder: &Path, scope: &[&str], runs: usize) {
    measure_command(case, folder, &[FLOWGAP], scope, runs);
}

/// Best of alternating runs. The reference includes the walk through the folders.
fn measure_command(case: &str, folder: &Path, command: &[&str], scope: &[&str], runs: usize) {
    let (mut reads, mut analyses, mut peak, mut tuples) = (Vec::new(), Vec::new(), 0, 0);
    let files = archive::blobs(folder);
    let size: u64 = files.iter().map(|(_, size)| size).sum();
    for _ in 0..runs {
        reads.push(walk_and_read(folder));
        let (time, high_water, count) = analyze(folder, command, scope);
        analyses.push(time);
        peak = peak.max(high_water);
        tuples = count;
    }
    let (read, analysis) = (best(&reads), best(&analyses));
    println!(
        "| {case}: {:.2} GB, {} blobs | {:.0} | {:.0} | {:.3} | {:.1} M | {:.3} | {} |",
        size as f64 / 1e9,
        files.len(),
        size as f64 / 1e6 / read,
        size as f64 / 1e6 / analysis,
        read / analysis,
        tuples as f64 / analysis / 1e6,
        median(&analyses),
        peak / 1000,
    );
}

fn walk_and_read(folder: &Path) -> Duration {
    let start = Instant::now();
    let files: Vec<(PathBuf, u64)> = archive::blobs(folder);
    archive::read_all(&files, archive::threads());
    start.elapsed()
}

/// Wall time, peak memory in kB, and the tuples it counted.
fn analyze(folder: &Path, command: &[&str], scope: &[&str]) -> (Duration, u64, u64) {
    let start = Instant::now();
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .args(["analyze", "--format", "json", "--exit-zero", "-o", "/dev/null", "-v"])
        .args(scope)
        .arg(folder)
        .env_remove("FLOWGAP_SERVICE_TAGS")
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowgap starts");
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        if let Some(kilobytes) = fs::read_to_string(&status_file).ok().as_deref().and_then(high_water) {
            peak = kilobytes;
        }
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let time = start.elapsed();
    assert!(status.success(), "{status}");
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    let tuples = said.split_whitespace().rev().nth(1).and_then(|n| n.parse().ok()).expect("a count of tuples");
    (time, peak, tuples)
}

fn high_water(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}
