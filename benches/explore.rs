//! SQL of people's own: what a function costs, and what conditions that reach the scan save.
//!
//! `cargo bench --bench explore -- [GIGABYTES]`: 0.7 unless said, about ten million tuples. One core. Service tags are those of
//! FLOWGAP_SERVICE_TAGS, else as many made-up prefixes as Microsoft's file has.

mod archive;

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archive::best;
use flowgap::catalog::{Edition, ServiceTags};
use flowgap::engine::{Archive, Explorer, ParamValues, Scope, SessionOptions};
use flowgap::generate::Kind;
use futures::StreamExt;

const RUNS: usize = 5;
/// Tags and prefixes of each; together about what Microsoft's file has.
const TAGS: u32 = 3_000;
const PREFIXES: u32 = 30;

/// Each with the query whose time is taken off, or compared with.
const FUNCTIONS: [(&str, &str); 4] = [
    ("count(service_tag(dst_ip))", "count(dst_ip)"),
    ("count(DISTINCT service_tag(dst_ip))", "count(DISTINCT rule)"),
    ("count(in_service_tag(dst_ip, 'Storage'))", "count(dst_ip)"),
    ("count(is_private(dst_ip))", "count(dst_ip)"),
];
const CONDITIONS: [&str; 7] = [
    "decision = 'deny'",
    "direction = 'outbound'",
    "protocol = 'UDP'",
    "dst_port = 1433",
    "dst_ip = '10.20.1.5'",
    "ip_in(src_ip, '10.20.1.4/31')",
    "time >= '2026-05-04T03:00:00Z' AND time < '2026-05-04T04:00:00Z'",
];

fn main() {
    let gigabytes: f64 =
        std::env::args().skip(1).find(|a| !a.starts_with("--")).and_then(|a| a.parse().ok()).unwrap_or(0.7);
    let folder = archive::many_blobs(Kind::Vnet4, gigabytes);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let explorer = open(folder.to_str().expect("UTF-8")).await;
        let rows = ask(&explorer, "SELECT time FROM flows").await.1;
        println!("| function | s | without it s | M rows/s of the function alone, {:.1} M rows |", rows as f64 / 1e6);
        println!("|---|---|---|---|");
        for (call, without) in FUNCTIONS {
            let (with, without) =
                pair(&explorer, [format!("SELECT {call} FROM flows"), format!("SELECT {without} FROM flows")]).await;
            println!("| `{call}` | {with:.3} | {without:.3} | {:.1} |", rows as f64 / 1e6 / (with - without));
        }
        println!("\n| condition | pushed s | kept above the scan s | ratio |\n|---|---|---|---|");
        for condition in CONDITIONS {
            let ask = |condition: &str| {
                format!("SELECT count(*), max(src_port), max(dst_ip), min(rule) FROM flows WHERE {condition}")
            };
            let (pushed, above) = pair(&explorer, [ask(condition), ask(&hidden(condition))]).await;
            println!("| `{condition}` | {pushed:.3} | {above:.3} | {:.1} |", above / pushed);
        }
    });
}

/// The same condition in a form that the decoder cannot evaluate.
fn hidden(condition: &str) -> String {
    let columns = ["decision", "direction", "protocol", "dst_ip", "src_ip"];
    let text =
        columns.iter().fold(condition.to_owned(), |text, column| text.replace(column, &format!("({column} || '')")));
    text.replace("dst_port", "(dst_port + 0)").replace("time ", "(time + INTERVAL '0 hours') ")
}

/// Best of alternating runs, in seconds.
async fn pair(explorer: &Explorer, queries: [String; 2]) -> (f64, f64) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (query, times) in queries.iter().zip(&mut times) {
            times.push(ask(explorer, query).await.0);
        }
    }
    (best(&times[0]), best(&times[1]))
}

async fn ask(explorer: &Explorer, sql: &str) -> (Duration, usize) {
    let start = Instant::now();
    let statement = explorer.parse(sql).expect("a query").pop().expect("one");
    let planned = explorer.plan(statement, ParamValues::new()).await.expect("a plan").expect("no setting");
    let mut answer = planned.run().expect("it starts");
    let mut rows = 0;
    while let Some(batch) = answer.rows.next().await {
        rows += batch.expect("rows").num_rows();
    }
    (start.elapsed(), rows)
}

async fn open(folder: &str) -> Explorer {
    let service_tags = match std::env::var_os("FLOWGAP_SERVICE_TAGS") {
        Some(path) => ServiceTags::from_json(&std::fs::read(path).expect("a file")),
        None => ServiceTags::from_json(made_up().as_bytes()),
    };
    let scope = Scope::new(Edition::newest().expect("valid")).with_service_tags(Some(service_tags.expect("tags")));
    let options = SessionOptions { partitions: 1, ..SessionOptions::default() };
    let archive = Archive::open(&[folder.parse().expect("a source")], options).await.expect("an archive");
    Explorer::open(Arc::new(archive), Arc::new(scope), 1 << 30).await.expect("an explorer")
}

/// Prefixes spread over all of IPv4, of 17 to 28 bits.
fn made_up() -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut json = "{\"changeNumber\":1,\"cloud\":\"Public\",\"values\":[".to_owned();
    for tag in 0..TAGS {
        let comma = if tag > 0 { "," } else { "" };
        let name = if tag > 0 { format!("Storage.{tag}") } else { "Storage".to_owned() };
        let prefixes: Vec<String> = (0..PREFIXES)
            .map(|_| {
                let bits = random.u32(17..=28);
                let first = std::net::Ipv4Addr::from(random.u32(..) & u32::MAX << (32 - bits));
                format!("\"{first}/{bits}\"")
            })
            .collect();
        let prefixes = prefixes.join(",");
        let _ = write!(
            json,
            "{comma}{{\"name\":\"{name}\",\"properties\":{{\"region\":\"\",\"addressPrefixes\":[{prefixes}]}}}}"
        );
    }
    json + "]}"
}
