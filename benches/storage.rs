//! `flowgap analyze` over Blob Storage, as a whole process and against what could be had at best: a server that is 30 ms away
//! and sends 300 MB/s, and Azurite next to a plain parallel downloader.
//!
//! `cargo bench --bench storage -- [CASE]`: `big`, `small` or `azurite`; all unless said. Azurite is installed by README's
//! test command.

mod archive;
#[path = "../tests/it/support/fake_storage.rs"]
mod fake;
#[path = "../tests/it/support/http.rs"]
mod http;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use archive::median;
use fake::{Contents, Distance, Fake};
use flowgap::generate::Kind;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{ObjectStore, ObjectStoreExt, path};

const RUNS: usize = 5;
const FAR: Distance = Distance { delay: Duration::from_millis(30), rate: 300_000_000 };
const ACCOUNT: &str = "devstoreaccount1";
/// The emulator's published key.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let wants = |case: &str| only.as_deref().is_none_or(|only| only == case);
    if wants("big") {
        let bodies = big_blobs(4);
        let (plain, seconds) = far(100, &bodies);
        let megabytes = 25.0 * bodies.iter().map(|body| body.len()).sum::<usize>() as f64 / 1e6;
        println!(
            "100 blobs of 20 MB, 30 ms away: {:.0} MB/s of 300, {:.2}; a plain parallel downloader {:.0}",
            megabytes / seconds,
            megabytes / seconds / 300.0,
            megabytes / plain
        );
    }
    if wants("small") {
        let (plain, seconds) = far(20_000, &small_blobs());
        println!(
            "20,000 blobs of 20 kB, 30 ms away: {:.0} blobs/s, listing included; a plain parallel downloader {:.0}",
            20_000.0 / seconds,
            20_000.0 / plain
        );
    }
    if wants("azurite") {
        azurite();
    }
}

/// Blobs of 20 MB: hours of a generated archive, one after the other.
fn big_blobs(count: usize) -> Vec<Arc<Vec<u8>>> {
    let files = archive::blobs(&archive::many_blobs(Kind::Vnet4, 0.5));
    let mut texts = files.iter().map(|(path, _)| std::fs::read_to_string(path).expect("reads"));
    let blob = |_| {
        let mut blob = String::from("{\"records\":[");
        while blob.len() < 20_000_000 {
            let text = texts.next().expect("enough hours");
            let comma = if blob.ends_with('[') { "" } else { "," };
            blob += &format!("{comma}{}", text.trim_start_matches("{\"records\":[").trim_end_matches("]}"));
        }
        Arc::new((blob + "]}").into_bytes())
    };
    (0..count).map(blob).collect()
}

/// Blobs of 20 kB.
fn small_blobs() -> Vec<Arc<Vec<u8>>> {
    let files = archive::blobs(&archive::small_blobs(Kind::Vnet4, 64, 250));
    files.iter().map(|(path, _)| Arc::new(std::fs::read(path).expect("reads"))).collect()
}

/// The medians of runs over so many blobs that are far away: of a plain downloader, and of `flowgap`.
fn far(count: usize, bodies: &[Arc<Vec<u8>>]) -> (f64, f64) {
    let names = (0..count).map(|at| {
        let (hour, mac) = (at % 24, at / 24);
        let log =
            "flowLogResourceID=/00000000-0000-0000-0000-000000000001_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_LOG";
        format!("{log}/y=2026/m=05/d=04/h={hour:02}/m=00/macAddress=00005E{mac:06X}/PT1H.json")
    });
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    let fake = Fake::start(Contents { names, bodies: bodies.to_vec() }, FAR);
    let account = format!("http://127.0.0.1:{}/{ACCOUNT}", fake.port());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        plain.push(runtime.block_on(download(&store(&account), 64)));
        ours.push(analyze(&fake.address()));
    }
    (median(&plain), median(&ours))
}

fn store(account: &str) -> impl ObjectStore {
    MicrosoftAzureBuilder::new()
        .with_account(ACCOUNT)
        .with_access_key(KEY)
        .with_container_name("logs")
        .with_endpoint(account.to_owned())
        .with_allow_http(true)
        .build()
        .expect("a store")
}

fn analyze(address: &str) -> Duration {
    flowgap(&["analyze", address, "--subnet", archive::SUBNET, "--exit-zero", "--format", "json", "-v"])
}

/// Reads and checks every tuple, and asks for nothing more.
fn count(address: &str) -> Duration {
    flowgap(&["sql", address, "-c", "SELECT count(*) FROM flows", "-v"])
}

fn flowgap(arguments: &[&str]) -> Duration {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_flowgap"))
        .args(arguments)
        .env_remove("FLOWGAP_SERVICE_TAGS")
        .output()
        .expect("flowgap starts");
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(" 0 retries"), "{said}");
    eprintln!("{:.2} s: {}", time.as_secs_f64(), said.lines().last().unwrap_or_default());
    time
}

struct Azurite(Child);

impl Drop for Azurite {
    fn drop(&mut self) {
        self.0.kill().expect("Azurite ends");
    }
}

fn azurite() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azurite/node_modules/.bin/azurite-blob");
    let folder = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let child = Command::new(program)
        .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--location"])
        .arg(folder.path())
        .args(["--skipApiVersionCheck", "--silent", "--disableTelemetry"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Azurite is installed: npm ci --prefix tests/azurite");
    let _azurite = Azurite(child);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let account = format!("http://127.0.0.1:{port}/{ACCOUNT}");
    create_container(port, &format!("{account}/logs?restype=container"));
    let store = store(&account);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bodies = big_blobs(4);
    for at in 0..40 {
        let name = path::Path::from(format!("log/{at:03}.json"));
        let body = bytes::Bytes::from(bodies[at % bodies.len()].to_vec());
        runtime.block_on(store.put(&name, body.into())).expect("uploaded");
    }
    let (mut plain, mut analyses, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        plain.push(runtime.block_on(download(&store, 16)));
        analyses.push(analyze(&format!("{account}/logs")));
        counts.push(count(&format!("{account}/logs")));
    }
    let plain = median(&plain);
    let megabytes = 10.0 * bodies.iter().map(|body| body.len()).sum::<usize>() as f64 / 1e6;
    for (what, times) in [("analyze", analyses), ("every tuple counted", counts)] {
        let ours = median(&times);
        println!(
            "40 blobs of 20 MB in Azurite, {what}: {:.0} MB/s, a plain parallel downloader {:.0} MB/s, {:.2}",
            megabytes / ours,
            megabytes / plain,
            plain / ours
        );
    }
}

/// Every blob whole, so many at a time.
async fn download(store: &dyn ObjectStore, together: usize) -> Duration {
    let start = Instant::now();
    let metas: Vec<_> = store.list(None).try_collect().await.expect("listed");
    let sizes = stream::iter(metas)
        .map(|meta| async move { store.get(&meta.location).await.expect("there").bytes().await.expect("read").len() });
    let bytes: usize = sizes.buffer_unordered(together).fold(0, async |sum, size| sum + size).await;
    assert!(bytes > 100_000_000, "{bytes}");
    start.elapsed()
}

fn create_container(port: u16, address: &str) {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = "PUT".parse().expect("a method");
    *request.uri_mut() = address.parse().expect("an address");
    let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).expect("a key"));
    AzureAuthorizer::new(&credential, ACCOUNT).authorize(&mut request);
    let headers = request.headers().iter().map(|(k, v)| (k.to_string(), v.to_str().expect("text").to_owned()));
    let request = http::Request {
        method: "PUT".to_owned(),
        target: request.uri().path_and_query().expect("a path").to_string(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    assert_eq!(http::ask(port, &request).expect("answers").status, 201);
}
