//! A service that answers anything: a run ends as the contract says, and one that ends well has read everything.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use super::{each, wanted};
use crate::hostile::{SAS, page, range_of, xml};
use crate::storage::check_for_secrets;
use crate::support::binary::{command, stderr, stdout};
use crate::support::http::{Answer, Request, serve};

const STATUSES: [u16; 22] =
    [100, 199, 200, 201, 204, 206, 301, 304, 307, 400, 401, 403, 404, 405, 409, 412, 413, 416, 429, 500, 503, 599];
const HEADERS: [(&str, &str); 17] = [
    ("etag", "\"0x2\""),
    ("etag", ""),
    ("etag", "W/\"0x1\""),
    ("content-range", "bytes 0-0/1"),
    ("content-range", "bytes 5-1/0"),
    ("content-range", "nonsense"),
    ("content-range", "bytes 0-99999999999/99999999999"),
    ("content-length", "0"),
    ("content-length", "18446744073709551615"),
    ("content-length", "-1"),
    ("content-encoding", "gzip"),
    ("transfer-encoding", "chunked"),
    ("retry-after", "0"),
    ("x-ms-error-code", "\u{1b}[2J"),
    ("last-modified", "yesterday"),
    ("location", "http://127.0.0.1:1/?x"),
    ("connection", "close"),
];
const MARKERS: [&str; 5] = ["", "again", "&#0;", "<![CDATA[x]]>", "a&amp;b"];

/// One answer, as it is or not. False where it may be wrong in a way that nobody can tell.
fn answer(
    honest: Answer,
    is_list: bool,
    random: &mut Rng,
    request: &Request,
    stream: &mut TcpStream,
) -> io::Result<bool> {
    let mut answer = honest;
    let mut can_tell = true;
    match random.u8(..8) {
        0 => answer.status = STATUSES[random.usize(..STATUSES.len())],
        1 => {
            let (name, value) = HEADERS[random.usize(..HEADERS.len())];
            answer.set(name, value);
        }
        2 => {
            // What it promises stays.
            answer.set("content-length", &answer.body.len().to_string());
            answer.body.truncate(random.usize(..=answer.body.len()));
        }
        3 => {
            answer.set("content-length", &answer.body.len().to_string());
            answer.body.extend(std::iter::repeat_n(b'x', random.usize(..1000)));
        }
        4 if !answer.body.is_empty() => {
            can_tell = false;
            let at = random.usize(..answer.body.len());
            answer.body[at] = random.u8(..);
        }
        5 if is_list => {
            can_tell = false;
            let name = ["a/PT1H.json", "a//PT1H.json", "&#27;.json", "b/<x/>", "..", ""][random.usize(..6)];
            answer = xml(page(&[name, "b/PT1H.json"], MARKERS[random.usize(..MARKERS.len())]));
        }
        6 => {
            let text = answer.head();
            let bytes = [text.as_bytes(), &answer.body].concat();
            stream.write_all(&bytes[..random.usize(..=bytes.len())])?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        _ => std::thread::sleep(Duration::from_millis(random.u64(..40))),
    }
    answer.send(request, stream)?;
    Ok(can_tell)
}

/// What a run over a service ends with, whose answers are wrong one time in `seldom`, and whether each fault can be told.
fn inspected(seldom: u8, seed: u64) -> (Option<i32>, Option<Value>, bool) {
    let random = Mutex::new(Rng::with_seed(seed));
    let can_tell = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&can_tell);
    let server = serve(move |request, stream| {
        let mut random = random.lock().expect("no panic").fork();
        let is_list = request.query("comp").is_some();
        let honest = if is_list { xml(page(&["a/PT1H.json", "b/PT1H.json"], "")) } else { range_of(request) };
        if seldom == 0 || random.u8(..seldom) > 0 {
            return honest.send(request, stream);
        }
        let can_tell = answer(honest, is_list, &mut random, request, stream);
        // Before the next request comes.
        told.fetch_and(can_tell.as_ref().map_or(true, |can_tell| *can_tell), Ordering::Relaxed);
        can_tell.map(|_| ())
    });
    let address = format!("http://127.0.0.1:{}/devstoreaccount1/logs?{SAS}", server.port);
    let start = Instant::now();
    let arguments = ["inspect", &address, "--format", "json", "--retries", "2", "--timeout", "1"];
    let output = command(&arguments).output().expect("flowgap starts");
    let (said, text) = (stderr(&output), stdout(&output));
    check_for_secrets(&arguments, &[&said, &text]);
    assert!(!said.contains("internal error") && !said.contains("panicked"), "seed {seed}: {said}");
    assert!(!said.contains('\u{1b}'), "seed {seed}: {said:?}");
    let status = output.status.code();
    assert!(matches!(status, Some(0 | 3 | 4)), "seed {seed}: {status:?} {said}");
    assert!(start.elapsed() < Duration::from_secs(60), "seed {seed} took {:?}", start.elapsed());
    let inspection = serde_json::from_str::<Value>(&text).ok();
    assert!(status == Some(4) || inspection.is_some(), "seed {seed}: {text}");
    (status, inspection, can_tell.load(Ordering::Relaxed))
}

fn run(runs: usize, threads: usize, seed: u64) {
    let (status, expected, _) = inspected(0, 0);
    assert_eq!(status, Some(0));
    let expected = expected.expect("an honest answer");
    each(runs, threads, |nr| {
        let seed = seed << 32 | nr as u64;
        let (status, found, can_tell) = inspected([2, 3, 6][nr % 3], seed);
        if status == Some(0) && can_tell {
            let found = found.expect("a whole answer");
            for key in ["formats", "interfaces", "rules", "input"] {
                assert_eq!(without_addresses(&found[key]), without_addresses(&expected[key]), "seed {seed}: {key}");
            }
        }
    });
}

/// Each run has a service of its own, with a port of its own.
fn without_addresses(value: &Value) -> String {
    let text = value.to_string();
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn a_service_that_answers_anything_ends_no_run_badly() {
    run(60, 8, 17);
}

#[test]
#[ignore = "a long run: CHANCE_RUNS services, with CHANCE_SEED"]
fn many_services_that_answer_anything() {
    let (runs, seed) = wanted();
    run(runs, 12, seed);
}
