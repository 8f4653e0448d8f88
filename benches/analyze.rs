//! `flowgap analyze` as a whole process, against plain reading of the same files in the same run.
//!
//! `cargo bench --bench analyze -- [GIGABYTES [ARCHIVE]]`: 1 and all three archives unless said. An archive is made once,
//! below the temporary folder.

#[path = "archive.rs"]
mod archive;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use archive::Kind;

const RUNS: usize = 5;
const FLOWGAP: &str = env!("CARGO_BIN_EXE_flowgap");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let gigabytes: f64 = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(1.0);
    let only = arguments.get(1);
    let bytes = (gigabytes * 1e9) as u64;
    println!("| archive | read() MB/s | analyze MB/s | of read() | tuples/s | VmHWM MB |");
    println!("|---|---|---|---|---|---|");
    for (name, kind, big_blob) in
        [("vnet4", Kind::Vnet4, false), ("nsg2", Kind::Nsg2, false), ("vnet4-one-blob", Kind::Vnet4, true)]
    {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let folder = std::env::temp_dir().join(format!("flowgap-bench-{name}-{gigabytes}"));
        if !folder.is_dir() {
            let partial = folder.with_extension("partial");
            let _ = fs::remove_dir_all(&partial);
            archive::write(&partial, bytes, kind, big_blob).expect("an archive is written");
            fs::rename(&partial, &folder).expect("the archive gets its name");
        }
        measure(name, &folder);
    }
}

/// Medians of alternating runs.
fn measure(name: &str, folder: &Path) {
    let mut files = Vec::new();
    list(folder, &mut files);
    let size: u64 = files.iter().map(|(_, size)| size).sum();
    let (mut reads, mut analyses, mut peak, mut tuples) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..RUNS {
        reads.push(read_all(&files));
        let (time, high_water, count) = analyze(folder);
        analyses.push(time);
        peak = peak.max(high_water);
        tuples = count;
    }
    let (read, analysis) = (median(reads), median(analyses));
    let rate = |time: Duration| size as f64 / 1e6 / time.as_secs_f64();
    println!(
        "| {name}, {:.2} GB, {} blobs | {:.0} | {:.0} | {:.3} | {:.1} M | {} |",
        size as f64 / 1e9,
        files.len(),
        rate(read),
        rate(analysis),
        rate(analysis) / rate(read),
        tuples as f64 / analysis.as_secs_f64() / 1e6,
        peak / 1000,
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn list(folder: &Path, files: &mut Vec<(PathBuf, u64)>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
        let metadata = entry.metadata().expect("metadata");
        if metadata.is_dir() {
            list(&entry.path(), files);
        } else {
            files.push((entry.path(), metadata.len()));
        }
    }
}

/// The reference: as many threads as cores, plain `read()` into one buffer each.
fn read_all(files: &[(PathBuf, u64)]) -> Duration {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 2 << 20];
                while let Some((path, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut file = fs::File::open(path).expect("opens");
                    while file.read(&mut buffer).expect("reads") > 0 {}
                }
            });
        }
    });
    start.elapsed()
}

/// Wall time, peak memory in kB, and the tuples it counted.
fn analyze(folder: &Path) -> (Duration, u64, u64) {
    let start = Instant::now();
    let mut child = Command::new(FLOWGAP)
        .args(["analyze", "--subnet", "10.20.1.0/24", "--format", "json", "--exit-zero", "-o", "/dev/null", "-v"])
        .arg(folder)
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
        std::thread::sleep(Duration::from_millis(5));
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
