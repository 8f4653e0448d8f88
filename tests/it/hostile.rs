//! What a service may answer that no honest one does, and what stands between it and us: redirects, odd names, lists that
//! do not end, answers longer than what was asked for, certificates, proxies.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::storage::check_for_secrets;
use crate::support::binary::{command, root, stderr, stdout};
use crate::support::fake_storage::{Contents, Distance, Fake};
use crate::support::http::{Answer, Request, Server, ask, serve};

pub const SAS: &str = "sv=2024-11-04&sp=rl&se=2090-01-01T00:00:00Z&sig=S3CR3TS3CR3T";

fn sample() -> Arc<Vec<u8>> {
    Arc::new(std::fs::read(root().join("testdata/vnet-v4/plain.json")).expect("a sample"))
}

fn honest(guard: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Fake {
    let contents = Contents { names: vec!["a/PT1H.json".into(), "b/PT1H.json".into()], bodies: vec![sample()] };
    Fake::guarded(contents, Distance::default(), guard)
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(arguments).envs(variables.iter().copied()).output().expect("flowgap starts");
    check_for_secrets(arguments, &[&stdout(&output), &stderr(&output)]);
    output
}

fn check(arguments: &[&str], variables: &[(&str, &str)], status: i32, says: &str) {
    let output = run(arguments, variables);
    let said = format!("{}{}", stderr(&output), stdout(&output)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(status), "{arguments:?} {variables:?}: {said}");
    assert!(said.contains(says), "{arguments:?} {variables:?} says: {said}");
}

fn inspected(address: &str) -> (Option<i32>, Value) {
    let output = run(&["inspect", address, "--format", "json"], &[]);
    let inspection = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (output.status.code(), inspection)
}

/// What came to the place that a redirect leads to.
fn trap() -> (Server, Arc<Mutex<Vec<Request>>>) {
    let caught = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&caught);
    let server = serve(move |request, stream| {
        seen.lock().expect("no panic").push(request.clone());
        Answer::new(404, &[], "").send(request, stream)
    });
    (server, caught)
}

#[test]
fn no_redirect_is_followed() {
    let (trap, caught) = trap();
    let target = format!("http://127.0.0.1:{}/elsewhere?x=1", trap.port);
    for status in [301, 302, 303, 307, 308] {
        let answer = Answer::new(status, &[("location", &target)], "");
        for is_list in [true, false] {
            let answer = answer.clone();
            let fake = honest(move |request| (request.query("comp").is_some() == is_list).then(|| answer.clone()));
            let by = format!("http://127.0.0.1:{} answered with a redirect ({status})", fake.port());
            let address = format!("{}?{SAS}", fake.address());
            check(&["inspect", &address], &[], if is_list { 4 } else { 3 }, &by);
            assert_eq!(if is_list { fake.lists() } else { fake.gets() }, 0, "asked once more");
        }
        // A token: of a service principal, and of the identity of a machine.
        let tokens = {
            let answer = answer.clone();
            serve(move |request, stream| answer.send(request, stream))
        };
        let at = format!("http://127.0.0.1:{}", tokens.port);
        let fake = honest(|_| None);
        let principal = [
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_CLIENT_SECRET", "S3CR3T"),
            ("AZURE_AUTHORITY_HOST", &at),
        ];
        let identity = [("IDENTITY_ENDPOINT", &*at), ("IDENTITY_HEADER", "S3CR3T")];
        for (auth, variables) in [("env", &principal[..]), ("managed", &identity)] {
            let by = format!("{at} answered with a redirect ({status})");
            check(&["inspect", &fake.address(), "--auth", auth], variables, 4, &by);
        }
    }
    assert!(caught.lock().expect("no panic").is_empty(), "{:?}", caught.lock());
}

/// A page of a list with these names, as they stand in XML.
pub fn page(names: &[&str], next: &str) -> String {
    let length = sample().len();
    let blob = |name: &&str| {
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Mon, 04 May 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>{length}</Content-Length><Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
        )
    };
    let blobs: String = names.iter().map(blob).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
    )
}

pub fn xml(page: String) -> Answer {
    Answer::new(200, &[("content-type", "application/xml")], page)
}

pub fn range_of(request: &Request) -> Answer {
    let body = sample();
    let (start, end) = request.range().unwrap_or((0, body.len() - 1));
    let end = end.min(body.len() - 1);
    let range = format!("bytes {start}-{end}/{}", body.len());
    let headers = [("content-range", &*range), ("etag", "\"0x1\""), ("last-modified", "Mon, 04 May 2026 00:00:00 GMT")];
    Answer::new(206, &headers, &body[start..=end])
}

#[test]
fn one_odd_name_costs_one_blob() {
    let odd = [
        ("c//PT1H.json", "c//PT1H.json", "empty"),
        ("/PT1H.json", "PT1H.json", "empty"),
        ("../PT1H.json", "../PT1H.json", ". or .."),
        ("d/./PT1H.json", "d/./PT1H.json", ". or .."),
        ("..", "..", ". or .."),
        (".", ".", ". or .."),
        ("e&#27;[2J/PT1H.json", "e\u{1b}[2J/PT1H.json", "control"),
        ("e\u{1b}[31m.json", "e\u{1b}[31m.json", "control"),
        ("f&#x0a;g.json", "f\ng.json", "control"),
    ];
    for (name, shown, why) in odd {
        let names = page(&["a/PT1H.json", name, "b/PT1H.json"], "");
        let fake = serve(move |request, stream| match request.query("comp") {
            Some(_) => xml(names.clone()).send(request, stream),
            None => range_of(request).send(request, stream),
        });
        let address = format!("http://127.0.0.1:{}/devstoreaccount1/logs", fake.port);
        let (status, found) = inspected(&address);
        assert_eq!((status, &found["input"]["problem_count"]), (Some(3), &1.into()), "{name:?}: {found:#}");
        let problem = &found["input"]["problems"][0];
        assert_eq!(problem["blob"], format!("{address}/{shown}"), "{name:?}");
        assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{name:?}: {problem}");
        assert_eq!(found["interfaces"][0]["tuples"].as_u64().map(|n| n > 0), Some(true), "{name:?}");
        assert_eq!(found["storage"]["blobs_read"], 2, "{name:?}");
        for verb in ["inspect", "analyze"] {
            let output = run(&[verb, &address], &[]);
            let said = stdout(&output) + &stderr(&output);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                said.contains("of this name cannot be requested") && !said.contains('\u{1b}'),
                "{name:?}: {said:?}"
            );
        }
    }
}

#[test]
fn an_etag_that_no_header_can_hold_is_asked_for_again() {
    let names = page(&["a/PT1H.json", "b/PT1H.json"], "").replace("<Etag>0x1</Etag>", "<Etag>0x\n1</Etag>");
    let fake = serve(move |request, stream| match request.query("comp") {
        Some(_) => xml(names.clone()).send(request, stream),
        None if request.header("if-match").is_some_and(|tag| tag != "\"0x1\"") => {
            Answer::new(412, &[("x-ms-error-code", "ConditionNotMet")], "").send(request, stream)
        }
        None => range_of(request).send(request, stream),
    });
    let (status, found) = inspected(&format!("http://127.0.0.1:{}/devstoreaccount1/logs", fake.port));
    assert_eq!(status, Some(0), "{found:#}");
    assert_eq!(found["storage"]["blobs_read"], 2, "{found:#}");
}

#[test]
fn an_implausible_size_costs_only_that_blob() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.json"), &*sample()).expect("written");
    let sparse = std::fs::File::create(folder.path().join("b.json")).expect("a file");
    if let Err(error) = sparse.set_len(1 << 42) {
        return println!("not looked at: no file is that large here: {error}");
    }
    for source in [folder.path().to_path_buf(), folder.path().join("b.json")] {
        let source = source.to_str().expect("UTF-8");
        check_in_little_memory(&["inspect", source], &[], 3, "which no flow log has");
    }
}

#[test]
fn a_list_whose_pages_form_a_loop_is_an_error() {
    for markers in [&["m"][..], &["m", "n", "o"]] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let fake = serve(move |request, stream| match request.query("comp") {
            Some(_) => {
                let at = count.fetch_add(1, Ordering::Relaxed);
                xml(page(&["a/PT1H.json"], markers[at % markers.len()])).send(request, stream)
            }
            None => range_of(request).send(request, stream),
        });
        let address = format!("http://127.0.0.1:{}/devstoreaccount1/logs", fake.port);
        let start = Instant::now();
        for window in [&[][..], &["--from", "2026-05-04T00:00:00Z", "--to", "2026-05-05T00:00:00Z"]] {
            check(&[&["inspect", &*address], window].concat(), &[], 4, "form a loop");
        }
        assert!(start.elapsed() < Duration::from_secs(10) && asked.load(Ordering::Relaxed) < 20, "{asked:?}");
    }
}

/// Sends a head and then bytes for ever.
fn flood(stream: &mut TcpStream, head: &str) -> io::Result<()> {
    stream.write_all(head.as_bytes())?;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    loop {
        stream.write_all(chunk.as_bytes())?;
    }
}

/// Runs it with little memory: what takes in a flood does not come to its end.
fn check_in_little_memory(arguments: &[&str], variables: &[(&str, &str)], status: i32, says: &str) {
    let flowgap = command(arguments);
    let mut limited = Command::new("bash");
    limited.current_dir(root()).args(["-c", "ulimit -v 6000000; exec \"$@\"", "bash"]);
    limited.arg(flowgap.get_program()).args(flowgap.get_args()).envs(variables.iter().copied());
    let start = Instant::now();
    let output = limited.output().expect("bash starts");
    let said = format!("{}{}", stderr(&output), stdout(&output)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(says), "{arguments:?}: {said}");
    assert!(start.elapsed() < Duration::from_secs(20), "{arguments:?} took {:?}", start.elapsed());
}

#[test]
fn responses_are_limited_to_what_was_requested() {
    const LENGTHS: [&str; 2] = ["transfer-encoding: chunked", "content-length: 4000000000000"];
    let too_long = "it is longer than";
    for length in LENGTHS {
        let list = serve(move |_, stream| flood(stream, &format!("HTTP/1.1 200 X\r\n{length}\r\n\r\n")));
        let address = |port: u16| format!("http://127.0.0.1:{port}/devstoreaccount1/logs");
        check_in_little_memory(&["inspect", &address(list.port)], &[], 4, too_long);
        let refused = serve(move |_, stream| {
            let body = "<Error><Code>AuthorizationPermissionMismatch</Code></Error>";
            flood(stream, &format!("HTTP/1.1 403 X\r\n{length}\r\n\r\n{:x}\r\n{body}\r\n", body.len()))
        });
        check_in_little_memory(&["inspect", &address(refused.port)], &[], 4, "Storage Blob Data Reader");
        let range = serve(move |request, stream| match request.query("comp") {
            Some(_) => xml(page(&["a/PT1H.json"], "")).send(request, stream),
            // The first byte of each, which tells whether it may be read.
            None if request.range() == Some((0, 0)) => range_of(request).send(request, stream),
            None => {
                let answer = range_of(request);
                let range = answer.header("content-range").unwrap_or_default();
                flood(
                    stream,
                    &format!(
                        "HTTP/1.1 206 X\r\n{length}\r\ncontent-range: {range}\r\netag: \"0x1\"\r\nlast-modified: Mon, 04 May 2026 00:00:00 GMT\r\n\r\n"
                    ),
                )
            }
        });
        check_in_little_memory(&["inspect", &address(range.port)], &[], 3, "1 blob");
        let token = serve(move |_, stream| flood(stream, &format!("HTTP/1.1 200 X\r\n{length}\r\n\r\n")));
        let at = format!("http://127.0.0.1:{}", token.port);
        let identity = [("IDENTITY_ENDPOINT", &*at), ("IDENTITY_HEADER", "S3CR3T")];
        check_in_little_memory(&["inspect", &address(list.port), "--auth", "managed"], &identity, 4, too_long);
    }
}

/// A certificate of `localhost` in `folder`, by an authority of its own, whose certificate is `ca.pem`.
pub fn certificates(folder: &Path) {
    let script = "set -e; cd \"$1\"
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
        for name in localhost elsewhere; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=DNS:%s\\nbasicConstraints=CA:FALSE\\n' $name > $name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 -extfile $name.ext
        done
        openssl x509 -req -in localhost.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out expired.pem \\
            -not_before 20200101000000Z -not_after 20200102000000Z -extfile localhost.ext || true
        cp localhost.key expired.key; cp ca.key self.key; cp ca.pem self.pem";
    let output = Command::new("bash").args(["-c", script, "bash"]).arg(folder).output().expect("bash starts");
    assert!(output.status.success(), "openssl: {}", stderr(&output));
}

/// TLS before a server, with a certificate of a folder. Ends when it is dropped.
struct Tls(Child, u16);

impl Tls {
    fn start(folder: &Path, name: &str, port: u16) -> Self {
        let mut relay = Command::new("python3");
        relay.current_dir(root()).arg("tests/it/support/tls.py");
        relay.arg(folder.join(format!("{name}.pem"))).arg(folder.join(format!("{name}.key"))).arg(port.to_string());
        let mut relay = relay.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let mut line = String::new();
        BufReader::new(relay.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        Self(relay, line.trim().parse().expect("a port"))
    }

    fn address(&self) -> String {
        format!("https://localhost:{}/devstoreaccount1/logs", self.1)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

#[test]
fn a_certificate_is_trusted_or_the_message_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let fake = honest(|_| None);
    let authority = folder.path().join("ca.pem");
    let trusted = [("SSL_CERT_FILE", authority.to_str().expect("UTF-8"))];
    let good = Tls::start(folder.path(), "localhost", fake.port());
    check(&["inspect", &good.address()], &[], 4, "its certificate is not trusted");
    check(&["inspect", &good.address()], &trusted, 0, "2 blobs");
    assert!(fake.gets() > 0);
    let own = Tls::start(folder.path(), "self", fake.port());
    check(&["inspect", &own.address()], &[], 4, "its certificate is not trusted");
    let other = Tls::start(folder.path(), "elsewhere", fake.port());
    check(&["inspect", &other.address()], &trusted, 4, "its certificate belongs to another host");
    if folder.path().join("expired.pem").metadata().is_ok_and(|file| file.len() > 0) {
        let expired = Tls::start(folder.path(), "expired", fake.port());
        check(&["inspect", &expired.address()], &trusted, 4, "its certificate has expired or");
    }
    // No TLS at all.
    let plain = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = plain.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap_or_default();
        }
    });
    check(&["inspect", &format!("https://localhost:{port}/devstoreaccount1/logs")], &[], 4, "does not speak TLS");
}

/// A proxy for plain requests and tunnels, which wants a password.
fn proxy(seen: Arc<Mutex<Vec<String>>>) -> Server {
    serve(move |request, stream| {
        seen.lock().expect("no panic").push(format!("{} {}", request.method, request.target));
        // user:S3CR3T
        if request.header("proxy-authorization") != Some("Basic dXNlcjpTM0NSM1Q=") {
            return Answer::new(407, &[("proxy-authenticate", "Basic")], "").send(request, stream);
        }
        if request.method == "CONNECT" {
            let port: u16 = request.target.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
            let mut behind = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(b"HTTP/1.1 200 X\r\n\r\n")?;
            let (mut from, mut to) = (behind.try_clone()?, stream.try_clone()?);
            std::thread::spawn(move || io::copy(&mut from, &mut to));
            io::copy(stream, &mut behind)?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let (_, rest) = request.target.split_once("://").ok_or(io::ErrorKind::InvalidData)?;
        let (host, path) = rest.split_once('/').ok_or(io::ErrorKind::InvalidData)?;
        let port = host.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(80);
        ask(port, &Request { target: format!("/{path}"), ..request.clone() })?.send(request, stream)
    })
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let fake = honest(|_| None);
    let tls = Tls::start(folder.path(), "localhost", fake.port());
    let authority = folder.path().join("ca.pem");
    let trusted = ("SSL_CERT_FILE", authority.to_str().expect("UTF-8"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let proxy = proxy(Arc::clone(&seen));
    let at = format!("http://user:S3CR3T@127.0.0.1:{}", proxy.port);
    let asked = || std::mem::take(&mut *seen.lock().expect("no panic"));

    check(&["inspect", &fake.address()], &[("HTTP_PROXY", &at)], 0, "2 blobs");
    assert!(asked().iter().any(|line| line.starts_with("GET http://127.0.0.1:")));
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        check(&["inspect", &tls.address()], &[(variable, &at), trusted], 0, "2 blobs");
        let lines = asked();
        assert!(!lines.is_empty() && lines.iter().all(|line| line.starts_with("CONNECT localhost:")), "{lines:?}");
    }
    check(&["inspect", &fake.address()], &[("HTTP_PROXY", &at), ("NO_PROXY", "127.0.0.1")], 0, "2 blobs");
    check(&["inspect", &tls.address()], &[("HTTPS_PROXY", &at), ("no_proxy", "localhost"), trusted], 0, "2 blobs");
    assert!(asked().is_empty());

    let wrong = format!("http://user:S3CR3TS3CR3T@127.0.0.1:{}", proxy.port);
    check(&["inspect", &fake.address()], &[("HTTP_PROXY", &wrong)], 4, "the proxy");
    check(&["inspect", &tls.address()], &[("HTTPS_PROXY", &wrong), trusted], 4, "the proxy");
    let dead = "http://user:S3CR3T@127.0.0.1:9";
    check(&["inspect", &fake.address()], &[("HTTP_PROXY", dead)], 4, "proxy");
    check(&["inspect", &tls.address()], &[("HTTPS_PROXY", dead), trusted], 4, "proxy");
    // The identity of a machine is asked on the machine.
    asked();
    let token = serve(|request, stream| {
        let token = "{\"access_token\":\"S3CR3T\",\"expires_on\":\"4102444800\"}";
        Answer::new(200, &[("content-type", "application/json")], token).send(request, stream)
    });
    let identity = format!("http://127.0.0.1:{}", token.port);
    let variables = [("HTTP_PROXY", &*at), ("IDENTITY_ENDPOINT", &identity), ("IDENTITY_HEADER", "S3CR3T")];
    check(&["inspect", &fake.address(), "--auth", "managed"], &variables, 0, "2 blobs");
    assert!(asked().iter().all(|line| line.contains("devstoreaccount1")));
}
