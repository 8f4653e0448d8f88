//! Many clients at a time over a lake, which changes meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use super::Server;
use super::raw::Raw;
use crate::support::binary::{flowgap, stderr};

const CLIENTS: usize = 32;

const QUERIES: [&str; 10] = [
    "SELECT count(*) FROM flows WHERE decision = 'deny'",
    "SELECT dst_ip, count(*) AS n FROM flows GROUP BY dst_ip ORDER BY n DESC LIMIT 10",
    "SELECT rule, date_trunc('hour', time) AS hour, count(*) FROM flows GROUP BY ALL ORDER BY 1, 2",
    "SELECT * FROM flows ORDER BY time DESC LIMIT 100",
    "SELECT * FROM findings",
    "SELECT * FROM flows WHERE dst_port = 1433",
    "SELECT count(DISTINCT src_ip) FROM flows",
    "SELECT * FROM query.top_denied_rules",
    "SELECT status, analysis_time FROM analysis",
    "SELECT c.relname FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1",
];

/// FLOWGAP_LOAD sets the seconds.
#[test]
fn many_clients_share_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ingest = |seed: &str| {
        let archive = path(seed);
        assert!(flowgap(&["generate", &archive, "--seed", seed]).status.success());
        let output = flowgap(&["ingest", &archive, "--to", &path("lake")]);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    ingest("1");
    let arguments = [&path("lake")[..], "--memory", "512MB", "--statement-timeout", "5m", "--refresh", "2s"];
    let server = Server::start(&arguments);
    let seconds = std::env::var("FLOWGAP_LOAD").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(8.0);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut times = Vec::new();
    let mut resident: Vec<u64> = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || ask(server.port, number, until))).collect();
        ingest("2");
        while Instant::now() < until {
            resident.extend(server.memory("VmRSS:"));
            thread::sleep(Duration::from_secs_f64(seconds / 100.0));
        }
        clients.into_iter().for_each(|client| times.extend(client.join().expect("no error")));
    });
    assert_eq!(server.metric("failed_refreshes_total"), 0.0);
    assert_ne!(
        Raw::connect(server.port).query("SELECT count(*) FROM blobs").one(),
        "50",
        "the lake is not listed again"
    );
    server.until("sessions", 0.0);
    server.until("reserved_bytes", 0.0);
    report("all", times.iter().map(|(_, time)| *time).collect());
    for query in QUERIES {
        report(query, times.iter().filter(|(asked, _)| *asked == query).map(|(_, time)| *time).collect());
    }
    if let Some(peak) = server.memory("VmHWM:") {
        let largest = |part: &[u64]| part.iter().max().copied().unwrap_or_default() >> 20;
        let (early, late) = resident.split_at(resident.len() / 2);
        println!("peak {} MiB; of the first half {}, of the second {}", peak >> 20, largest(early), largest(late));
        assert!(peak < 800 << 20, "{peak}");
        assert!(seconds < 60.0 || largest(late) < largest(early) * 5 / 4, "memory grows");
    }
}

fn report(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(0.0);
    let (count, median, high) = (times.len(), at(0.5), at(0.99));
    println!("{count} queries, median {median:.3} s, 99th percentile {high:.3} s: {what}");
}

/// Asks one question after another, and returns their times.
fn ask(port: u16, number: usize, until: Instant) -> Vec<(&'static str, f64)> {
    let (mut client, mut times) = (Raw::connect(port), Vec::new());
    for query in QUERIES.into_iter().cycle().skip(number) {
        let begun = Instant::now();
        let answer = client.query(query);
        assert!(answer.error.is_none(), "{query}: {:?}", answer.error);
        times.push((query, begun.elapsed().as_secs_f64()));
        if Instant::now() > until {
            break;
        }
    }
    times
}
