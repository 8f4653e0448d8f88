//! Clients that mean harm: nothing is written, read or reached, nothing is held, and others are served.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Server;
use super::raw::{Raw, first, message, text};

/// A query without an end in sight.
const ENDLESS: &str = "SELECT count(*) FROM flows a, flows b, flows c WHERE a.src_port + b.src_port < c.src_port";

#[test]
fn nothing_is_written_read_or_reached() {
    let server = Server::over_archive(&[]);
    let mut client = Raw::connect(server.port);
    let flows = client.query("SELECT count(*) FROM flows").one().to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.csv").display().to_string();
    for attempt in [
        "INSERT INTO flows SELECT * FROM flows",
        "UPDATE flows SET dst_port = 1",
        "DELETE FROM flows",
        "TRUNCATE flows",
        "DROP TABLE flows",
        "DROP VIEW findings",
        "ALTER TABLE flows RENAME TO gone",
        "CREATE TABLE mine AS SELECT * FROM flows",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE SCHEMA mine",
        "CREATE DATABASE mine",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "CREATE EXTERNAL TABLE mine STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE EXTENSION dblink",
        "COPY flows TO 'OUT'",
        "COPY (SELECT 1) TO 'OUT' STORED AS CSV",
        "COPY (SELECT 1) TO STDOUT",
        "COPY flows FROM STDIN",
        "COPY flows FROM PROGRAM 'id'",
        "EXPLAIN ANALYZE INSERT INTO flows SELECT * FROM flows",
        "EXPLAIN COPY (SELECT 1) TO 'OUT'",
        "WITH x AS (DELETE FROM flows RETURNING *) SELECT * FROM x",
        "SELECT * INTO mine FROM flows",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT dblink('host=127.0.0.1', 'SELECT 1')",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_sleep(100)",
        "DO $$ BEGIN END $$",
        "CALL f()",
        "GRANT ALL ON flows TO ann",
        "PREPARE p AS DELETE FROM flows",
        "EXECUTE p",
        "LOCK TABLE flows",
        "VACUUM flows",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SET datafusion.runtime.memory_limit = '1K'",
        "SET datafusion.catalog.location = '/etc'",
        "RESET datafusion.runtime.memory_limit",
    ] {
        let attempt = attempt.replace("OUT", &out);
        let answer = client.query(&attempt);
        assert!(answer.error.is_some(), "{attempt}: {answer:?}");
        assert!(!answer.code().starts_with("XX"), "{attempt}: {answer:?}");
        // The same, prepared.
        client.send(&message(b'P', &[text(""), text(&attempt), vec![0, 0]].concat()));
        client.send(&message(b'B', &[0; 8]));
        client.send(&message(b'E', &[0; 5]));
        client.send(&message(b'S', &[]));
        assert!(client.answer().error.is_some(), "{attempt}, prepared");
    }
    assert_eq!(client.query("SELECT count(*) FROM flows").one(), flows);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn garbage_is_turned_away() {
    let server = Server::over_archive(&[]);
    let mut random = fastrand::Rng::with_seed(11);
    let start = first(&[("user", "eve")]);
    let parts: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &start,
        &80_877_103_u64.to_be_bytes(),
        &[0, 0, 0, 8, 4, 210, 22, 47],
        &[0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2],
        &[0xff; 64],
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
        &[0; 64],
    ];
    for _ in 0..400 {
        let Ok(mut client) = Raw::silent(server.port) else { continue };
        for _ in 0..random.usize(1..4) {
            let mut part = parts[random.usize(..parts.len())].to_vec();
            if random.bool() {
                part.truncate(random.usize(..part.len()));
            }
            if random.bool() {
                part.extend((0..random.usize(..200)).map(|_| random.u8(..)));
            }
            // The server may have hung up.
            client.stream.write_all(&part).unwrap_or_default();
        }
    }
    // After the start, too.
    for _ in 0..200 {
        let mut client = Raw::connect(server.port);
        for _ in 0..random.usize(1..5) {
            let body: Vec<u8> = (0..random.usize(..100)).map(|_| random.u8(..) % [255, 3][random.usize(..2)]).collect();
            let bytes = message(b"QPBDECHSpdcfFX"[random.usize(..14)], &body);
            client.stream.write_all(&bytes).unwrap_or_default();
        }
    }
    let mut huge = Raw::connect(server.port);
    huge.send(&[b'Q', 0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(huge.reply().expect("an error").0, b'E');
    let mut chain = Raw::connect(server.port);
    assert!(chain.query(&format!("SELECT {}1", "1 + ".repeat(200_000))).error.is_some());
    assert!(chain.query(&format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))).error.is_some());
    assert_eq!(chain.query("SELECT 1").one(), "1");
    drop((huge, chain));
    server.until("connections", 0.0);
    server.until("reserved_bytes", 0.0);
}

/// FLOWGAP_SILENT sets how many; the system must allow as many files.
#[test]
fn silent_connections_keep_nobody_out() {
    let server = Server::over_archive(&[]);
    let count = std::env::var("FLOWGAP_SILENT").ok().and_then(|count| count.parse().ok()).unwrap_or(600);
    let mut silent = Vec::new();
    for number in 0..count {
        let Ok(mut client) = Raw::silent(server.port) else { break };
        match number % 3 {
            0 => {}
            1 => client.stream.write_all(&[0, 0, 0, 50, 0, 3]).unwrap_or_default(),
            _ => client.stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap_or_default(),
        }
        silent.push(client);
    }
    assert_eq!(silent.len(), count, "the system allows fewer connections");
    let begun = Instant::now();
    let mut client = Raw::connect(server.port);
    assert_eq!(client.query("SELECT 1").one(), "1");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(server.metric("connections") < 300.0);
    drop((silent, client));
    server.until("connections", 0.0);
}

/// FLOWGAP_MESSAGES sets how many.
#[test]
fn changed_messages_do_no_harm() {
    const GROUP: usize = 100;
    const STATEMENTS: usize = 5;
    let server = Server::over_archive(&["--statement-timeout", "5s"]);
    let count = std::env::var("FLOWGAP_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let bind = |values: &[u8]| message(b'B', &[text("p"), text("s"), values.to_vec()].concat());
    let parse = |query: &str| message(b'P', &[text("s"), text(query), vec![0, 1, 0, 0, 0, 23]].concat());
    let valid = [
        message(b'Q', &text("SELECT 1; SELECT 'x'")),
        message(b'Q', &text("SELECT time, src_ip FROM flows LIMIT 2")),
        message(b'Q', &text("SET timezone = 'UTC'; SHOW timezone; BEGIN; ROLLBACK")),
        parse("SELECT $1::int4 + 1"),
        parse("SELECT relname FROM pg_catalog.pg_class WHERE oid = $1"),
        bind(&[0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 0, 1, 0, 1]),
        bind(&[0, 0, 0, 1, 0, 0, 0, 1, b'7', 0, 0]),
        message(b'D', &[b"S".to_vec(), text("s")].concat()),
        message(b'D', &[b"P".to_vec(), text("p")].concat()),
        message(b'E', &[text("p"), vec![0, 0, 0, 1]].concat()),
        message(b'C', &[b"S".to_vec(), text("s")].concat()),
        message(b'H', &[]),
        message(b'S', &[]),
        message(b'd', b"data"),
        message(b'F', &[0; 12]),
    ];
    let (port, next) = (server.port, AtomicUsize::new(0));
    let send = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        while next.fetch_add(GROUP, Ordering::Relaxed) < count {
            let mut client = Raw::connect(port);
            let (mut bytes, mut is_whole) = (Vec::new(), true);
            for _ in 0..GROUP {
                // Statements take far longer than other messages, so they are rare. After an error, only Sync lets one run.
                let is_statement = random.usize(..100) == 0;
                if is_statement {
                    bytes.extend(message(b'S', &[]));
                }
                let first = if is_statement { 0 } else { STATEMENTS };
                let last = if is_statement { STATEMENTS } else { valid.len() };
                let mut changed = valid[random.usize(first..last)].clone();
                for _ in 0..random.usize(..3).min(changed.len() - 5) {
                    let at = random.usize(5..changed.len());
                    changed[at] = [random.u8(..), 0, 0xff, changed[at] ^ 1][random.usize(..4)];
                }
                // A wrong length ends the connection, so it is rare.
                if random.usize(..1000) == 0 {
                    let at = random.usize(..5);
                    changed[at] = random.u8(..);
                    is_whole = false;
                }
                bytes.extend(changed);
            }
            bytes.extend(message(b'X', &[]));
            // The server may have hung up.
            client.stream.write_all(&bytes).unwrap_or_default();
            if !is_whole {
                client.stream.shutdown(Shutdown::Write).unwrap_or_default();
            }
            client.stream.read_to_end(&mut Vec::new()).unwrap_or_default();
        }
    };
    std::thread::scope(|scope| {
        let send = &send;
        (0..8).for_each(|seed| _ = scope.spawn(move || send(seed)));
    });
    assert_eq!(Raw::connect(port).query("SELECT 1").one(), "1");
    server.until("connections", 0.0);
    server.until("reserved_bytes", 0.0);
    let statements = server.metric("statement_seconds_count");
    println!("{count} messages, {statements} statements, peak {:?}", server.memory("VmHWM:"));
    assert!(statements > count as f64 / 2000.0, "{statements} statements ran");
}

#[test]
fn a_client_that_is_killed_frees_what_it_held() {
    let server = Server::over_archive(&[]);
    let mut clients: Vec<Raw> = (0..4).map(|_| Raw::connect(server.port)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let sorted = "SELECT a.* FROM flows a, flows b ORDER BY a.dst_ip, b.dst_ip, a.time";
        client.send(&message(b'Q', &text(if number % 2 == 0 { ENDLESS } else { sorted })));
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.metric("sessions"), 4.0);
    drop(clients);
    server.until("sessions", 0.0);
    server.until("reserved_bytes", 0.0);
    assert!(server.metric("statements_total{result=\"abandoned\"}") >= 4.0);
}

#[test]
fn a_slow_reader_holds_nothing_after_the_timeout() {
    let server = Server::over_archive(&["--statement-timeout", "2s"]);
    let mut slow = Raw::connect(server.port);
    slow.send(&message(b'Q', &text("SELECT a.*, b.* FROM flows a, flows b, flows c")));
    std::thread::sleep(Duration::from_millis(500));
    let mut other = Raw::connect(server.port);
    assert_eq!(other.query("SELECT 1").one(), "1");
    server.until("statements_total{result=\"timed_out\"}", 1.0);
    server.until("reserved_bytes", 0.0);
    #[cfg(target_os = "linux")]
    assert!(server.peak() < 600 << 20, "{}", server.peak());
    let mut part = [0; 1000];
    assert!(slow.stream.read(&mut part).is_ok_and(|count| count > 0));
    slow.stream.shutdown(Shutdown::Both).expect("closed");
}

#[test]
fn a_query_is_cancelled_by_its_secret_alone() {
    let server = Server::over_archive(&[]);
    let mut client = Raw::connect(server.port);
    client.send(&message(b'Q', &text(ENDLESS)));
    let (number, secret) = client.key;
    let cancel = |secret: i32| {
        let mut other = Raw::silent(server.port).expect("connects");
        let words = [16, 80_877_102, number, secret].map(i32::to_be_bytes);
        other.send(&words.concat());
        assert_eq!(other.stream.read(&mut [0]).expect("closed"), 0);
    };
    std::thread::sleep(Duration::from_millis(300));
    cancel(secret.wrapping_add(1));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.metric("statements_total{result=\"cancelled\"}"), 0.0);
    cancel(secret);
    assert_eq!(client.answer().code(), "57014");
    assert_eq!(client.query("SELECT 1").one(), "1");
    server.until("reserved_bytes", 0.0);
}
