//! Blob Storage for real: the same archive from disk and from Azurite gives the same bytes of JSON.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{ObjectStoreExt, path};

use super::http::{self, Answer, Request};
use crate::support::binary::{analyze, flowgap, root, stdout};

pub const ACCOUNT: &str = "devstoreaccount1";
/// The emulator's published key.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
pub const CONTAINER: &str = "insights-logs-flowlogflowevent";
const ODD: &str = "odd \u{e4}~x";

/// Ends with the test, however that ends.
pub struct Azurite {
    process: Child,
    pub port: u16,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.process.kill().expect("Azurite ends");
        self.process.wait().expect("Azurite ends");
    }
}

impl Azurite {
    pub fn start() -> Self {
        let program = root().join("tests/azurite/node_modules/.bin/azurite-blob");
        assert!(program.exists(), "Azurite is not installed: npm ci --prefix tests/azurite");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let process = Command::new(program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--inMemoryPersistence"])
            .args(["--skipApiVersionCheck", "--silent", "--disableTelemetry"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Azurite starts");
        let azurite = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Azurite does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        azurite
    }

    pub fn account(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    pub fn address(&self) -> String {
        format!("{}/{CONTAINER}", self.account())
    }

    /// A request signed with the emulator's key, for what object stores do not know.
    pub fn signed(&self, method: &str, target: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.parse().expect("a method");
        *request.uri_mut() = format!("{}/{target}", self.account()).parse().expect("an address");
        let length = body.len().to_string();
        for (name, value) in headers.iter().chain(&[("content-length", &*length)]) {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).expect("a key"));
        AzureAuthorizer::new(&credential, ACCOUNT).authorize(&mut request);
        let headers = request.headers().iter();
        let request = Request {
            method: method.to_owned(),
            target: request.uri().path_and_query().expect("a path").to_string(),
            headers: headers.map(|(k, v)| (k.to_string(), v.to_str().expect("text").to_owned())).collect(),
            body: body.to_vec(),
        };
        http::ask(self.port, &request).expect("answers")
    }

    pub fn create_container(&self, name: &str, headers: &[(&'static str, &str)]) {
        let answer = self.signed("PUT", &format!("{name}?restype=container"), headers, &[]);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Commits blocks as the service writes them: each named by its number, those known already not sent again.
    pub fn commit(&self, name: &str, blocks: &[&[u8]], sent: usize) {
        let id = |at: usize| format!("D{at:07}");
        let last = blocks.len() - 1;
        for (at, block) in blocks.iter().enumerate().filter(|(at, _)| *at >= sent || *at == last) {
            let target = format!("{CONTAINER}/{name}?comp=block&blockid={}", base64(&id(at)).replace('=', "%3D"));
            assert_eq!(self.signed("PUT", &target, &[], block).status, 201);
        }
        let ids: String = (0..blocks.len()).map(|at| format!("<Latest>{}</Latest>", base64(&id(at)))).collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>");
        let target = format!("{CONTAINER}/{name}?comp=blocklist");
        assert_eq!(self.signed("PUT", &target, &[], list.as_bytes()).status, 201);
    }

    pub fn put(&self, container: &str, name: &str, bytes: Vec<u8>) {
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_container_name(container)
            .with_endpoint(self.account())
            .with_allow_http(true)
            .build()
            .expect("a store");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(store.put(&path::Path::parse(name).expect("a name"), bytes.into())).expect("uploaded");
    }

    pub fn upload(&self, container: &str, folder: &Path) {
        let mut files = Vec::new();
        crate::support::archive::json_files(folder, &mut files);
        for file in files {
            let name = file.strip_prefix(folder).expect("below").to_str().expect("UTF-8");
            self.put(container, name, std::fs::read(&file).expect("readable"));
        }
    }
}

/// Of eight characters: no padding to think of but one `=`.
fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..4)
            .map(|i| if i > chunk.len() { '=' } else { DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char })
            .collect::<String>()
    };
    text.as_bytes().chunks(3).map(digits).collect()
}

/// A SAS for a container, made by Python's own HMAC.
pub fn sas(container: &str, permissions: &str, start: &str, expiry: &str) -> String {
    let script = "import base64, hashlib, hmac, sys, urllib.parse as u
key, account, container, sp, st, se = sys.argv[1:]
text = '\\n'.join([sp, st, se, f'/blob/{account}/{container}', '', '', '', '2022-11-02', 'c'] + [''] * 7)
sig = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
print(u.urlencode({'sv': '2022-11-02', 'sp': sp, 'st': st, 'se': se, 'sr': 'c', 'sig': sig}), end='')";
    let output = Command::new("python3")
        .args(["-c", script, KEY, ACCOUNT, container, permissions, start, expiry])
        .output()
        .expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The planted archive and a blob that is cut, so that the JSON names blobs.
pub fn archive(folder: &Path) -> PathBuf {
    let from = root().join("testdata/apim").join(CONTAINER);
    let to = folder.join(CONTAINER);
    let mut files = Vec::new();
    crate::support::archive::json_files(&from, &mut files);
    for file in files {
        let copy = to.join(file.strip_prefix(&from).expect("below"));
        std::fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
        std::fs::copy(file, copy).expect("copied");
    }
    std::fs::copy(root().join("testdata/broken/cut-in-record.json"), to.join("cut.json")).expect("copied");
    // Names that take escapes in a path or an address.
    std::fs::create_dir(to.join(ODD)).expect("a folder");
    std::fs::copy(root().join("testdata/vnet-v4/plain.json"), to.join(ODD).join("50%.json")).expect("copied");
    to
}

#[test]
fn blob_storage_gives_what_the_disk_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = archive(folder.path());
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &local);
    let local = local.to_str().expect("UTF-8");

    let from_disk = stdout(&analyze(&[local, "--format", "json"]));
    let from_azurite = stdout(&analyze(&[&azurite.address(), "--format", "json"]));
    assert!(from_azurite.contains(&azurite.address()), "a problem names its blob");
    assert_eq!(from_azurite.replace(&azurite.address(), local), from_disk);

    // Without a scope, too.
    let unscoped = |source: &str| stdout(&flowgap(&["analyze", source, "--format", "json"]));
    let from_disk = unscoped(local);
    assert!(from_disk.contains("\"10.20.1.0/24\"") && from_disk.contains("subnet-inferred"), "{from_disk}");
    assert_eq!(unscoped(&azurite.address()).replace(&azurite.address(), local), from_disk);

    let below = |root: &str| {
        let flow_log = std::fs::read_dir(local).expect("a folder").map(|e| e.expect("an entry").file_name());
        let flow_log = flow_log.map(|name| name.into_string().expect("UTF-8")).find(|name| name.starts_with("flowLog"));
        format!("{root}/{}", flow_log.expect("a flow log"))
    };
    let from_disk = stdout(&analyze(&[&below(local), "--format", "json"]));
    assert_eq!(stdout(&analyze(&[&below(&azurite.address()), "--format", "json"])), from_disk);

    let odd = stdout(&analyze(&[&format!("{}/odd%20%C3%A4~x", azurite.address()), "--format", "json"]));
    assert_eq!(odd, stdout(&analyze(&[&format!("{local}/{ODD}"), "--format", "json"])));
    assert!(odd.contains("\"tuples\": 3,"), "{odd}");

    let check = |address: &str, says: &str| {
        let start = Instant::now();
        let output = analyze(&[address]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{address}: {said}");
        assert!(said.contains(says) && !said.contains("SECRETSIG"), "{address} says: {said}");
        assert!(start.elapsed() < Duration::from_secs(20), "{address} took {:?}", start.elapsed());
    };
    check(&format!("{}/no-such-container", azurite.account()), "no such container");
    check(&format!("{}/no/such/prefix", azurite.address()), "no flow log blob (*.json) in http://127.0.0.1");
    check(
        &format!("{}?sv=2023-11-03&sp=rl&sr=c&se=2030-01-01T00%3A00%3A00Z&sig=SECRETSIG", azurite.address()),
        "the SAS lacks read and list or is damaged",
    );
}
