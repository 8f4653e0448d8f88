//! A storage account whose containers all hold what it is told to, in the form of an emulator: lists with prefix,
//! delimiter and pages, and ranges pinned by ETag. As far away and as fast as wanted.

#![allow(dead_code, reason = "the benchmarks use a part")]

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::http::{Answer, Request, Server, serve};

/// Names that a list page has at most, as the service does.
const PAGE: usize = 5000;

/// What is in the container, in the order of names.
pub struct Contents {
    pub names: Vec<String>,
    /// Of each blob, or of all.
    pub bodies: Vec<Arc<Vec<u8>>>,
}

impl Contents {
    fn body(&self, at: usize) -> &[u8] {
        &self.bodies[at % self.bodies.len()]
    }
}

/// How far away it is, and how much it sends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Distance {
    /// Added to every request.
    pub delay: Duration,
    /// Bytes a second, all connections together; 0 for as many as there are.
    pub rate: u64,
}

#[derive(Default)]
pub struct Counts {
    pub lists: AtomicUsize,
    pub gets: AtomicUsize,
}

pub struct Fake {
    server: Server,
    pub counts: Arc<Counts>,
}

impl Fake {
    pub fn start(contents: Contents, distance: Distance) -> Self {
        Self::guarded(contents, distance, |_| None)
    }

    /// As [`Self::start`]; what `guard` answers is answered.
    pub fn guarded(
        contents: Contents,
        distance: Distance,
        guard: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        assert!(contents.names.is_sorted(), "a container lists in order");
        let counts = Arc::new(Counts::default());
        let (counted, free) = (Arc::clone(&counts), Mutex::new(Instant::now()));
        let server = serve(move |request, stream| {
            std::thread::sleep(distance.delay);
            if let Some(answer) = guard(request) {
                return answer.send(request, stream);
            }
            match request.query("comp").as_deref() {
                Some("list") => {
                    counted.lists.fetch_add(1, Ordering::Relaxed);
                    list(&contents, request).send(request, stream)
                }
                _ => {
                    counted.gets.fetch_add(1, Ordering::Relaxed);
                    get(&contents, request, stream, distance.rate, &free)
                }
            }
        });
        Self { server, counts }
    }

    pub fn account(&self) -> String {
        format!("http://127.0.0.1:{}/devstoreaccount1", self.server.port)
    }

    pub fn address(&self) -> String {
        format!("{}/logs", self.account())
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn lists(&self) -> usize {
        self.counts.lists.load(Ordering::Relaxed)
    }

    pub fn gets(&self) -> usize {
        self.counts.gets.load(Ordering::Relaxed)
    }
}

fn list(contents: &Contents, request: &Request) -> Answer {
    let prefix = request.query("prefix").unwrap_or_default();
    let delimiter = request.query("delimiter");
    let names = &contents.names;
    let start = request.query("marker").map_or_else(
        || names.partition_point(|name| name.as_str() < prefix.as_str()),
        |marker| marker.parse().expect("a marker of ours"),
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>");
    let (mut at, mut found) = (start, 0);
    while let Some(name) = names.get(at).filter(|name| name.starts_with(&prefix)) {
        if found == PAGE {
            break;
        }
        found += 1;
        let folder = delimiter.as_ref().and_then(|_| name[prefix.len()..].find('/')).map(|end| prefix.len() + end + 1);
        match folder {
            Some(end) => {
                let folder = &name[..end];
                xml += &format!("<BlobPrefix><Name>{folder}</Name></BlobPrefix>");
                at += names[at..].partition_point(|name| name.starts_with(folder));
            }
            None => {
                let (length, tag) = (contents.body(at).len(), e_tag(contents, at));
                xml += &format!(
                    "<Blob><Name>{name}</Name><Properties><Last-Modified>Mon, 04 May 2026 00:00:00 GMT</Last-Modified><Etag>{tag}</Etag><Content-Length>{length}</Content-Length><Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
                );
                at += 1;
            }
        }
    }
    let has_more = names.get(at).is_some_and(|name| name.starts_with(&prefix));
    let marker = if has_more { at.to_string() } else { String::new() };
    xml += &format!("</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>");
    Answer::new(200, &[("content-type", "application/xml")], xml)
}

fn e_tag(contents: &Contents, at: usize) -> String {
    format!("0x8DC{:012X}", contents.body(at).len())
}

fn get(
    contents: &Contents,
    request: &Request,
    stream: &mut TcpStream,
    rate: u64,
    free: &Mutex<Instant>,
) -> io::Result<()> {
    let path = request.path();
    let name = path.splitn(4, '/').nth(3).unwrap_or_default();
    let Ok(at) = contents.names.binary_search_by(|known| known.as_str().cmp(name)) else {
        return Answer::new(404, &[], "<Error><Code>BlobNotFound</Code></Error>").send(request, stream);
    };
    let (body, tag) = (contents.body(at), format!("\"{}\"", e_tag(contents, at)));
    if request.header("if-match").is_some_and(|wanted| wanted != tag) {
        return Answer::new(412, &[], "<Error><Code>ConditionNotMet</Code></Error>").send(request, stream);
    }
    let (start, end) = request.range().unwrap_or((0, body.len() - 1));
    let end = end.min(body.len() - 1);
    let range = format!("bytes {start}-{end}/{}", body.len());
    let wanted = &body[start..=end];
    let mut answer = Answer::new(
        if request.range().is_some() { 206 } else { 200 },
        &[
            ("etag", &tag),
            ("last-modified", "Mon, 04 May 2026 00:00:00 GMT"),
            ("content-type", "application/octet-stream"),
            ("content-length", &wanted.len().to_string()),
        ],
        [],
    );
    if answer.status == 206 {
        answer.set("content-range", &range);
    }
    answer.send(request, stream)?;
    if request.method == "HEAD" {
        return Ok(());
    }
    for part in wanted.chunks(64 << 10) {
        if rate > 0 {
            // Each part takes its time on the one line that there is.
            let sent = {
                let mut free = free.lock().expect("no panic");
                *free = (*free).max(Instant::now()) + Duration::from_secs_f64(part.len() as f64 / rate as f64);
                *free
            };
            std::thread::sleep(sent.saturating_duration_since(Instant::now()));
        }
        stream.write_all(part)?;
    }
    Ok(())
}
