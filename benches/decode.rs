//! The decoder alone, on one core and from memory, against copying the same bytes in the same run.
//!
//! `cargo bench --bench decode -- [MEGABYTES]` (256 unless said).

#[path = "archive.rs"]
mod archive;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use archive::Kind;
use flowgap::decode::{Decoder, Options, Part, Predicate, Projection, Term};
use flowgap::flow::Decision;
use flowgap::schema::Column;

const RUNS: usize = 5;
/// As the scan pushes them.
const CHUNK: usize = 2 << 20;

fn main() {
    let megabytes: u64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(256);
    println!("| input, columns | MB/s | of copying | tuples/s |");
    println!("|---|---|---|---|");
    for (name, kind) in [("vnet4", Kind::Vnet4), ("nsg2", Kind::Nsg2)] {
        let folder = std::env::temp_dir().join(format!("flowgap-bench-decode-{name}-{megabytes}"));
        let _ = fs::remove_dir_all(&folder);
        archive::write(&folder, megabytes * 1_000_000, kind, true).expect("an archive is written");
        let blob = fs::read(blob_below(&folder)).expect("reads");
        fs::remove_dir_all(&folder).expect("goes away");
        let mut denied = Predicate::default();
        denied.narrow(Term::Decision(Decision::Deny));
        let all = Options::default();
        let none = Options { projection: Projection(vec![]), ..all.clone() };
        let analysis = Options { projection: Projection(ANALYSIS.to_vec()), ..all.clone() };
        let only_denied = Options { predicate: denied, ..analysis.clone() };
        for (what, options) in [("none", none), ("denied", only_denied), ("analysis", analysis), ("all", all)] {
            measure(&format!("{name}, {what}"), &blob, &options);
        }
    }
}

/// What an analysis asks for.
const ANALYSIS: [Column; 12] = [
    Column::Time,
    Column::SrcIp,
    Column::DstIp,
    Column::SrcPort,
    Column::DstPort,
    Column::Protocol,
    Column::Direction,
    Column::Decision,
    Column::State,
    Column::Rule,
    Column::Acl,
    Column::LogKind,
];

fn measure(name: &str, blob: &[u8], options: &Options) {
    let (mut copies, mut decodes, mut tuples) = (Vec::new(), Vec::new(), 0);
    for _ in 0..RUNS {
        copies.push(copy(blob));
        let start = Instant::now();
        tuples = decode(blob, options);
        decodes.push(start.elapsed());
    }
    let (copy, decode) = (median(copies).as_secs_f64(), median(decodes).as_secs_f64());
    println!(
        "| {name} | {:.0} | {:.3} | {:.1} M |",
        blob.len() as f64 / 1e6 / decode,
        copy / decode,
        tuples as f64 / 1e6 / decode,
    );
}

fn decode(blob: &[u8], options: &Options) -> u64 {
    let mut decoder = Decoder::new("bench", Part::Whole, options.clone());
    let mut rows = 0;
    for chunk in blob.chunks(CHUNK) {
        decoder.push(chunk);
        while let Some(batch) = decoder.flush() {
            rows += batch.num_rows();
        }
    }
    decoder.finish();
    assert!(rows > 0);
    decoder.counts().tuples
}

fn copy(blob: &[u8]) -> Duration {
    let mut buffer = vec![0; CHUNK];
    let start = Instant::now();
    for chunk in blob.chunks(CHUNK) {
        buffer[..chunk.len()].copy_from_slice(chunk);
        std::hint::black_box(&buffer);
    }
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn blob_below(folder: &Path) -> std::path::PathBuf {
    let entry = fs::read_dir(folder).expect("a folder").next().expect("not empty").expect("an entry").path();
    if entry.is_dir() { blob_below(&entry) } else { entry }
}
