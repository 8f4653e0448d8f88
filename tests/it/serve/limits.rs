//! Limits of connections, time and memory, and answers in parts.

use super::Server;
use super::raw::{Raw, message, text};
use crate::support::binary::flowgap;

#[test]
fn clients_and_time_are_limited() {
    let server = Server::over_archive(&["--max-connections", "2", "--statement-timeout", "1s"]);
    let (mut first, second) = (Raw::connect(server.port), Raw::connect(server.port));
    let refused = Raw::with(server.port, &[("user", "ann")]).err().expect("refused");
    assert_eq!(refused[&'C'], "53300");
    let endless = "SELECT count(*) FROM flows a, flows b, flows c WHERE a.src_port + b.src_port < c.src_port";
    assert_eq!(first.query(endless).code(), "57014");
    first.query("SET statement_timeout = 100");
    assert_eq!(first.query(endless).code(), "57014");
    drop(second);
    server.until("sessions", 1.0);
    assert_eq!(Raw::connect(server.port).query("SELECT 2").one(), "2");
}

#[test]
fn answers_come_in_parts() {
    let server = Server::over_archive(&[]);
    let mut client = Raw::connect(server.port);
    let all: usize = client.query("SELECT count(*) FROM flows").one().parse().expect("a number");
    client.query("BEGIN");
    client.send(&message(b'P', &[text("s"), text("SELECT time FROM flows"), vec![0, 0]].concat()));
    client.send(&message(b'B', &[text("p"), text("s"), vec![0; 6]].concat()));
    let execute = |most: i32| message(b'E', &[text("p"), most.to_be_bytes().to_vec()].concat());
    let sync = message(b'S', &[]);
    client.send(&[execute(10), sync.clone()].concat());
    let part = client.answer();
    assert_eq!((part.rows.len(), &part.tags[..]), (10, &["suspended".to_owned()][..]));
    client.send(&[execute(i32::MAX), sync.clone()].concat());
    assert_eq!(client.answer().rows.len(), all - 10);
    client.send(&[execute(-1), sync.clone()].concat());
    assert_eq!(client.answer().rows.len(), 0);
    client.query("COMMIT");
    // Without a transaction, the end of a group ends its portals.
    client.send(&[execute(1), sync.clone()].concat());
    assert_eq!(client.answer().code(), "34000");
    // After an error, the rest of the group is skipped.
    client.send(&message(b'P', &[text("bad"), text("SELECT nope"), vec![0, 0]].concat()));
    client.send(&message(b'P', &[text("good"), text("SELECT 1"), vec![0, 0]].concat()));
    client.send(&sync);
    assert_eq!(client.answer().code(), "42703");
    client.send(&message(b'D', &[vec![b'S'], text("good")].concat()));
    client.send(&sync);
    assert_eq!(client.answer().code(), "26000");
    let several = client.query("SELECT 1; SELECT 2; SELECT nope; SELECT 3");
    assert_eq!((several.rows.len(), several.code()), (2, "42703"));
    assert_eq!(client.query(" ; ").tags.len(), 0);
    for number in 0..1100 {
        let name = format!("s{number}");
        client.send(&message(b'P', &[text(&name), text("SELECT 1"), vec![0, 0]].concat()));
    }
    client.send(&sync);
    assert_eq!(client.answer().code(), "53400");
}

/// FLOWGAP_LOAD sets the seconds.
#[test]
fn many_clients_share_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("a").display().to_string();
    assert!(flowgap(&["generate", &archive, "--seed", "1"]).status.success());
    let server = Server::start(&[&archive, "--memory", "256MB", "--statement-timeout", "5m"]);
    let seconds = std::env::var("FLOWGAP_LOAD").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(8.0);
    let until = std::time::Instant::now() + std::time::Duration::from_secs_f64(seconds);
    let (port, mut times) = (server.port, Vec::new());
    std::thread::scope(|scope| {
        let ask = |number: usize| {
            let (mut client, mut times) = (Raw::connect(port), Vec::new());
            let queries = [
                "SELECT count(*) FROM flows WHERE decision = 'deny'",
                "SELECT dst_ip, count(*) AS n FROM flows GROUP BY dst_ip ORDER BY n DESC LIMIT 10",
                "SELECT rule, date_trunc('hour', time) AS hour, count(*) FROM flows GROUP BY ALL ORDER BY 1, 2",
                "SELECT * FROM flows ORDER BY time DESC LIMIT 100",
                "SELECT * FROM findings",
                "SELECT * FROM flows WHERE dst_port = 1433",
                "SELECT count(DISTINCT src_ip) FROM flows",
                "SELECT * FROM query.top_denied_rules",
            ];
            for at in number.. {
                let begun = std::time::Instant::now();
                let answer = client.query(queries[at % queries.len()]);
                assert!(answer.error.is_none(), "{}: {:?}", queries[at % queries.len()], answer.error);
                times.push(begun.elapsed().as_secs_f64());
                if std::time::Instant::now() > until {
                    return times;
                }
            }
            times
        };
        let clients: Vec<_> = (0..32).map(|number| scope.spawn(move || ask(number))).collect();
        clients.into_iter().for_each(|client| times.extend(client.join().expect("no error")));
    });
    server.until("reserved_bytes", 0.0);
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{} queries, median {:.3} s, 99th percentile {:.3} s", times.len(), at(0.5), at(0.99));
    #[cfg(target_os = "linux")]
    {
        println!("peak {} MiB", server.peak() >> 20);
        assert!(server.peak() < 800 << 20, "{}", server.peak());
    }
}
