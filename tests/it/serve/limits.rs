//! Limits of connections, time and memory, and answers in parts.

use super::Server;
use super::raw::{Raw, message, text};

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
