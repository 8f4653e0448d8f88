//! The decoder alone, on one core and from memory, against a one-thread `read()` of the same files in the same run.
//!
//! `cargo bench --bench decode -- [MEGABYTES [ROW]]`: 256 unless said, and of the rows those whose name holds ROW.

mod archive;

use std::fs;
use std::time::{Duration, Instant};

use archive::best;
use flowgap::decode::{Decoder, Instructions, Options, Part, Predicate, Projection, Term};
use flowgap::flow::Decision;
use flowgap::generate::Kind;
use flowgap::schema::{Column, Text};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;
/// As the scan pushes them.
const CHUNK: usize = 512 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let megabytes: f64 = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(256.0);
    let only = arguments.get(1).map_or("", String::as_str);
    println!("| input, columns | instructions | MB/s | of read() | tuples/s | ns a tuple |");
    println!("|---|---|---|---|---|---|");
    for kind in [Kind::Vnet4, Kind::Nsg2] {
        let files = archive::blobs(&archive::many_blobs(kind, megabytes / 1000.0));
        let texts: Vec<Vec<u8>> = files.iter().map(|(path, _)| fs::read(path).expect("reads")).collect();
        let mut denied = Predicate::default();
        denied.narrow(Term::Decision(Decision::Deny));
        let all = Options::default();
        let none = Options { projection: Projection(vec![]), ..all.clone() };
        let question = Options { projection: Projection(QUESTION.to_vec()), predicate: denied, ..all.clone() };
        let analysis = Options { projection: Projection(ANALYSIS.to_vec()), text: Text::Coded, ..all.clone() };
        let coded = Options { text: Text::Coded, ..all.clone() };
        for (what, options) in
            [("none", none), ("denied", question), ("analysis", analysis), ("all, coded", coded), ("all", all)]
        {
            for instructions in [Instructions::Avx512, Instructions::Avx2, Instructions::Portable] {
                let name = format!("{}, {what} | {instructions:?}", kind.name());
                if instructions.available() == instructions && name.contains(only) {
                    let options = Options { instructions, ..options.clone() };
                    let (mut reads, mut decodes, mut tuples) = (Vec::new(), Vec::new(), 0);
                    for _ in 0..RUNS {
                        reads.push(archive::read_all(&files, 1));
                        let start = Instant::now();
                        tuples = texts.iter().map(|text| decode(text, &options)).sum();
                        decodes.push(start.elapsed());
                    }
                    row(&name, &texts, &reads, &decodes, tuples);
                }
            }
        }
    }
}

/// What the question of `benches/peers` asks for.
const QUESTION: [Column; 6] =
    [Column::Time, Column::DstIp, Column::DstPort, Column::Protocol, Column::Direction, Column::Rule];

/// What an analysis asks for.
const ANALYSIS: [Column; 14] = [
    Column::Time,
    Column::SrcIp,
    Column::DstIp,
    Column::SrcPort,
    Column::DstPort,
    Column::Protocol,
    Column::Direction,
    Column::Decision,
    Column::State,
    Column::PacketsSent,
    Column::PacketsReceived,
    Column::Rule,
    Column::Acl,
    Column::LogKind,
];

fn row(name: &str, texts: &[Vec<u8>], reads: &[Duration], decodes: &[Duration], tuples: u64) {
    let (read, decode) = (best(reads), best(decodes));
    let bytes: usize = texts.iter().map(Vec::len).sum();
    println!(
        "| {name} | {:.0} | {:.3} | {:.1} M | {:.1} |",
        bytes as f64 / 1e6 / decode,
        read / decode,
        tuples as f64 / 1e6 / decode,
        decode * 1e9 / tuples as f64,
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
