//! What networks and services do: a proxy before Azurite that has faults of thirty kinds. Either the answer is the right one,
//! or the exit status and the message are; and nothing hangs.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::storage::{blocks, check_for_secrets};
use crate::support::azurite::{ACCOUNT, Azurite, CONTAINER, archive, sas};
use crate::support::binary::{SUBNET, command, root, stderr, stdout};
use crate::support::http::{Answer, Request, Server, ask, serve};

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// This, in the place of the answer.
    Status(u16, &'static str),
    /// As [`Self::Status`], with a header.
    Asking(u16, &'static str, &'static str),
    /// The connection is reset after so many bytes of the body.
    Reset(usize),
    /// The connection is closed after so many bytes of the body.
    Close(usize),
    /// Nothing comes any more after so many bytes of the body.
    Stall(usize),
    /// No answer at all.
    Silence,
    /// Bytes come so slowly that it takes a while, but they come.
    Slow,
    /// So slowly that it takes for ever.
    Drip,
    /// The body ends early, and the length says it is all.
    Short,
    /// Of the whole blob, in the place of a range.
    Whole,
    /// Another range than was asked for.
    OtherRange,
    /// No HTTP.
    Garbage,
    /// Half of the XML, and the length says it is all.
    HalfXml,
    /// Some other page, as portals of networks show one.
    Page,
    /// Late.
    Late,
    /// The ETag is another one than was listed, with the same bytes.
    NewTag,
}

/// Which requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Lists,
    Gets,
    /// Those for the second blob that is read.
    OneBlob,
}

/// How often: for each address asked, so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Often {
    Times(usize),
    Always,
}

#[derive(Debug, Clone, Copy)]
enum Ends {
    /// As if nothing had happened.
    Right,
    /// With this status, and these words on stderr or among the problems.
    With(i32, &'static str),
}

use Ends::{Right, With};
use Fault::*;
use Often::{Always, Times};
use On::{Gets, Lists, OneBlob};

const BUSY: &str = "<Error><Code>ServerBusy</Code></Error>";
const REFUSED: &str = "<Error><Code>AuthorizationPermissionMismatch</Code></Error>";
const FIREWALL: &str = "<Error><Code>AuthorizationFailure</Code></Error>";
const SKEWED: &str = "<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Request date header too old: 'Mon'</AuthenticationErrorDetail></Error>";
const TENANT: &str = "<Error><Code>InvalidAuthenticationInfo</Code><AuthenticationErrorDetail>Issuer validation failed.</AuthenticationErrorDetail></Error>";
const ARCHIVED: &str = "<Error><Code>BlobArchived</Code></Error>";
const KEYS: &str = "<Error><Code>KeyBasedAuthenticationNotPermitted</Code></Error>";

const FAULTS: [(On, Often, Fault, Ends); 44] = [
    // What passes.
    (Gets, Times(1), Status(500, ""), Right),
    (Gets, Times(2), Status(503, BUSY), Right),
    (Gets, Times(1), Status(429, ""), Right),
    (Gets, Times(1), Asking(503, "retry-after", "1"), Right),
    (Gets, Times(1), Status(408, ""), Right),
    (Gets, Times(1), Status(502, "<html>"), Right),
    (Gets, Times(1), Reset(0), Right),
    (Gets, Times(1), Reset(1000), Right),
    (Gets, Times(2), Close(0), Right),
    (Gets, Times(1), Close(1000), Right),
    (Gets, Times(1), Stall(0), Right),
    (Gets, Times(1), Stall(1000), Right),
    (Gets, Times(1), Silence, Right),
    (Gets, Times(1), Slow, Right),
    (Gets, Times(1), Short, Right),
    (Gets, Times(1), Garbage, Right),
    (Gets, Always, Late, Right),
    (Lists, Times(1), Status(500, ""), Right),
    (Lists, Times(2), Status(503, BUSY), Right),
    (Lists, Times(1), Reset(100), Right),
    (Lists, Times(1), Close(100), Right),
    (Lists, Times(1), Stall(100), Right),
    (Lists, Times(1), Silence, Right),
    (Lists, Always, Slow, Right),
    (Lists, Always, Late, Right),
    // What costs a blob.
    (OneBlob, Always, Status(503, BUSY), With(3, "kept answering 429 or 503")),
    (OneBlob, Always, Status(500, ""), With(3, "the service kept failing")),
    (OneBlob, Always, Status(404, "<Error><Code>BlobNotFound</Code></Error>"), With(3, "no such")),
    (OneBlob, Always, Status(409, ARCHIVED), With(3, "archive tier")),
    (OneBlob, Always, Status(403, REFUSED), With(3, "Storage Blob Data Reader")),
    (OneBlob, Always, Status(412, ""), With(3, "changed while")),
    (OneBlob, Always, Reset(10), With(3, "the connection failed")),
    (OneBlob, Always, Drip, With(3, "no complete response")),
    (OneBlob, Always, Short, With(3, "the response ended")),
    (OneBlob, Always, OtherRange, With(3, "does not match the request")),
    (OneBlob, Always, Whole, With(3, "does not match the request")),
    // Another version of the same bytes, as when somebody sets metadata.
    (OneBlob, Always, NewTag, Right),
    // What costs all.
    (Lists, Always, Status(503, BUSY), With(4, "kept answering 429 or 503")),
    (Lists, Always, Status(403, FIREWALL), With(4, "firewall")),
    (Lists, Always, Status(403, SKEWED), With(4, "clock")),
    (Lists, Always, Status(401, TENANT), With(4, "tenant")),
    (Lists, Always, HalfXml, With(4, "not a list of blobs")),
    (Gets, Always, Status(403, REFUSED), With(4, "Storage Blob Data Reader")),
    (Gets, Always, Status(401, TENANT), With(4, "tenant")),
];

/// Further ones that end everything.
const FATAL: [(On, Often, Fault, Ends); 3] = [
    (Lists, Always, Status(403, KEYS), With(4, "--auth cli")),
    (Lists, Always, Page, With(4, "not a list of blobs")),
    (Lists, Always, Silence, With(4, "no data for")),
];

const NEW_TAG: &str = "\"0x8DEADBEEF000000\"";

/// The second blob of the archive, by name.
const ONE: &str = "d=04/h=07/m=00/macAddress=00005E005304";

/// A little while for what is late or slow; much longer than the binary is told to wait for what stands still.
const WHILE: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(8);

fn proxy(port: u16, on: On, often: Often, fault: Fault) -> (Server, Arc<AtomicUsize>) {
    let happened = Arc::new(AtomicUsize::new(0));
    let (counted, seen) = (Arc::clone(&happened), Mutex::new(HashMap::<String, usize>::new()));
    let server = serve(move |request, stream| {
        let is_list = request.query("comp").is_some();
        let fits = match on {
            Lists => is_list,
            Gets => !is_list,
            OneBlob => !is_list && request.path().contains(ONE),
        };
        let times = {
            let mut seen = seen.lock().expect("no panic");
            let key = format!("{} {:?}", request.target, request.range());
            let times = seen.entry(key).or_default();
            *times += usize::from(fits);
            *times
        };
        if !fits || matches!(often, Times(most) if times > most) {
            return ask(port, request)?.send(request, stream);
        }
        counted.fetch_add(1, Ordering::Relaxed);
        faulty(port, request, stream, fault)
    });
    (server, happened)
}

fn faulty(port: u16, request: &Request, stream: &mut TcpStream, fault: Fault) -> io::Result<()> {
    let over = || Err(io::ErrorKind::ConnectionAborted.into());
    let right = || ask(port, request);
    // The head and a part of the body, as if more were to come.
    let part = |stream: &mut TcpStream, bytes: usize| -> io::Result<()> {
        let answer = right()?;
        stream.write_all(answer.head().as_bytes())?;
        stream.write_all(&answer.body[..bytes.min(answer.body.len().saturating_sub(1))])
    };
    match fault {
        Status(status, body) => Answer::new(status, &[], body).send(request, stream),
        Asking(status, name, value) => Answer::new(status, &[(name, value)], "").send(request, stream),
        Reset(bytes) => {
            part(stream, bytes)?;
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            over()
        }
        Close(bytes) => {
            part(stream, bytes)?;
            over()
        }
        Stall(bytes) => {
            part(stream, bytes)?;
            std::thread::sleep(LONG);
            over()
        }
        Silence => {
            std::thread::sleep(LONG);
            over()
        }
        Slow => {
            let answer = right()?;
            stream.write_all(answer.head().as_bytes())?;
            for part in answer.body.chunks(answer.body.len().div_ceil(3).max(1)) {
                std::thread::sleep(WHILE);
                stream.write_all(part)?;
            }
            Ok(())
        }
        Drip => {
            let answer = right()?;
            stream.write_all(answer.head().as_bytes())?;
            for byte in answer.body.chunks(1) {
                std::thread::sleep(WHILE);
                stream.write_all(byte)?;
            }
            over()
        }
        Short | HalfXml => {
            let mut answer = right()?;
            answer.body.truncate(answer.body.len() / 2);
            answer.send(request, stream)
        }
        Whole => {
            let mut request = request.clone();
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
            Answer::new(200, &[("etag", "\"1\"")], "{\"records\":[]}").send(&request, stream)
        }
        OtherRange => {
            let mut answer = right()?;
            answer.set("content-range", &format!("bytes 1-{}/{}", answer.body.len(), answer.body.len() + 1));
            answer.send(request, stream)
        }
        Garbage => {
            stream.write_all(b"\x00\x01\x02 this is no HTTP\r\n\r\n")?;
            over()
        }
        Page => Answer::new(200, &[("content-type", "text/html")], "<html>Log in to our network</html>")
            .send(request, stream),
        NewTag => {
            let mut request = request.clone();
            let wanted = request.header("if-match").map(str::to_owned);
            if wanted.as_ref().is_some_and(|tag| tag != NEW_TAG) {
                return Answer::new(412, &[], "<Error><Code>ConditionNotMet</Code></Error>").send(&request, stream);
            }
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("if-match"));
            let mut answer = ask(port, &request)?;
            answer.set("etag", NEW_TAG);
            answer.send(&request, stream)
        }
        Late => {
            std::thread::sleep(WHILE / 3);
            right()?.send(request, stream)
        }
    }
}

#[test]
fn faults_of_thirty_kinds_end_right_or_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = archive(folder.path());
    // Nothing but the faults is to make a run incomplete.
    std::fs::remove_file(local.join("cut.json")).expect("removed");
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &local);
    let address = |port: u16| format!("http://127.0.0.1:{port}/{ACCOUNT}/{CONTAINER}");
    let signature = sas(CONTAINER, "rl", "2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z");
    let usual = ["--subnet", SUBNET, "--format", "json", "--exit-zero"];
    let analysis = |port: u16, retries: &str| {
        let address = format!("{}?{signature}", address(port));
        let arguments = ["analyze", &address, "-v", "--timeout", "1", "--retries", retries];
        let output = command(&[&arguments[..], &usual].concat()).output().expect("starts");
        check_for_secrets(&[&address], &[&stdout(&output), &stderr(&output)]);
        output
    };
    let expected = analysis(azurite.port, "3");
    assert_eq!(expected.status.code(), Some(0), "{}", stderr(&expected));
    let expected = stdout(&expected);
    assert!(expected.contains("\"findings\""), "{expected}");
    let from_disk =
        command(&[&["analyze", local.to_str().expect("UTF-8")][..], &usual].concat()).output().expect("starts");
    let from_disk = stdout(&from_disk);
    assert_eq!(from_disk, expected, "the disk and Azurite differ");
    let all: Vec<_> = FAULTS.iter().chain(&FATAL).copied().collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(&(on, often, fault, ends)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let (server, happened) = proxy(azurite.port, on, often, fault);
                    // What never passes need not be tried often.
                    let output = analysis(server.port, if often == Always { "1" } else { "3" });
                    let (status, said) = (output.status.code(), stderr(&output));
                    let answer = stdout(&output);
                    let is_right = match ends {
                        Right => status == Some(0) && answer == expected,
                        With(4, words) => status == Some(4) && said.contains(words) && said.lines().count() == 1,
                        With(wanted, words) => {
                            status == Some(wanted)
                                && answer.contains("\"unreadable_blobs\": 1,")
                                && answer.contains(words)
                        }
                    };
                    let took = start.elapsed();
                    let name = format!("{on:?} {often:?} {fault:?}");
                    if happened.load(Ordering::Relaxed) == 0 {
                        wrong.lock().expect("no panic").push(format!("{name}: did not happen"));
                    } else if !is_right || took > Duration::from_secs(45) {
                        let problems: String = answer.lines().filter(|line| line.contains("reason")).collect();
                        wrong
                            .lock()
                            .expect("no panic")
                            .push(format!("{name}: {status:?} in {took:?}: {said} {problems}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

type Change = fn(&[u8]) -> Vec<u8>;

/// The version of a blob that comes while it is read, and how that ends.
const CHANGES: [(Change, Ends); 4] = [
    (|bytes| bytes.to_vec(), Right),
    (|bytes| [&bytes[..20_000], b" ", &bytes[20_000..]].concat(), With(3, "rewritten")),
    (|bytes| bytes[..bytes.len() / 3].to_vec(), With(3, "rewritten")),
    // Longer than what was read by then.
    (|bytes| bytes[..bytes.len() - 100].to_vec(), With(3, "rewritten")),
];

#[test]
fn an_etag_that_changes_while_a_blob_is_read_ends_right_or_says_so() {
    let azurite = Arc::new(Azurite::start());
    azurite.create_container(CONTAINER, &[]);
    // Three requests long.
    let bytes = Arc::new(blocks(9).concat());
    for (at, (change, ends)) in CHANGES.into_iter().enumerate() {
        azurite.put(CONTAINER, "PT1H.json", bytes.to_vec());
        let chunks = Arc::new(AtomicUsize::new(0));
        let server = {
            let (azurite, bytes, chunks) = (Arc::clone(&azurite), Arc::clone(&bytes), Arc::clone(&chunks));
            serve(move |request, stream| {
                let is_chunk = request.range().is_some_and(|(start, end)| end - start > 1 << 20);
                if is_chunk && chunks.fetch_add(1, Ordering::SeqCst) == 1 {
                    azurite.put(CONTAINER, "PT1H.json", change(&bytes));
                }
                ask(azurite.port, request)?.send(request, stream)
            })
        };
        let address = format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", server.port);
        let output = command(&["inspect", &address, "--concurrency", "1", "--format", "json"]).output();
        let output = output.expect("starts");
        let (answer, status) = (stdout(&output), output.status.code());
        check_for_secrets(&[&address], &[&answer, &stderr(&output)]);
        assert!(chunks.load(Ordering::SeqCst) > 1, "{at}: {answer}");
        match ends {
            Right => {
                assert_eq!(status, Some(0), "{at}: {answer} {}", stderr(&output));
                assert!(answer.contains(&format!("\"bytes\": {},", bytes.len())), "{at}: {answer}");
                assert!(answer.contains("\"records\": 9,"), "{at}: {answer}");
            }
            With(wanted, words) => {
                assert_eq!(status, Some(wanted), "{at}: {answer}");
                assert!(answer.contains(words) && answer.contains("\"unreadable_blobs\": 1,"), "{at}: {answer}");
            }
        }
    }
}

/// The bytes of the archive are in testdata, and stay as they are.
#[test]
fn a_source_is_only_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = archive(folder.path());
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &local);
    let methods = Arc::new(Mutex::new(Vec::new()));
    let server = {
        let (methods, port) = (Arc::clone(&methods), azurite.port);
        serve(move |request, stream| {
            methods.lock().expect("no panic").push(request.method.clone());
            ask(port, request)?.send(request, stream)
        })
    };
    let address = format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", server.port);
    command(&["analyze", &address, "--exit-zero"]).current_dir(root()).output().expect("starts");
    let methods = methods.lock().expect("no panic");
    assert!(methods.len() > 3 && methods.iter().all(|method| method == "GET" || method == "HEAD"), "{methods:?}");
}
