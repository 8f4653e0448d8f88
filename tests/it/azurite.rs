//! Blob Storage for real: the same archive from disk and from Azurite gives the same bytes of JSON.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{ObjectStoreExt, path};

use crate::cli::{analyze, flowgap, root, stdout};

const ACCOUNT: &str = "devstoreaccount1";
/// The emulator's published key.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "insights-logs-flowlogflowevent";
const ODD: &str = "odd \u{e4}~x";

/// Ends with the test, however that ends.
struct Azurite {
    process: Child,
    port: u16,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.process.kill().expect("Azurite ends");
        self.process.wait().expect("Azurite ends");
    }
}

impl Azurite {
    fn start() -> Self {
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

    fn account(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    fn address(&self) -> String {
        format!("{}/{CONTAINER}", self.account())
    }

    /// Object stores know blobs only: a container takes a request of its own.
    fn create_container(&self) {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = "PUT".parse().expect("a method");
        *request.uri_mut() = format!("{}?restype=container", self.address()).parse().expect("an address");
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).expect("a key"));
        AzureAuthorizer::new(&credential, ACCOUNT).authorize(&mut request);
        let target = request.uri().path_and_query().expect("a path").as_str();
        let mut text = format!("PUT {target} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: 0\r\n", self.port);
        for (name, value) in request.headers() {
            text += &format!("{name}: {}\r\n", value.to_str().expect("text"));
        }
        text += "connection: close\r\n\r\n";
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream.write_all(text.as_bytes()).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn upload(&self, folder: &Path) {
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_container_name(CONTAINER)
            .with_endpoint(self.account())
            .with_allow_http(true)
            .build()
            .expect("a store");
        let mut files = Vec::new();
        super::decode::json_files(folder, &mut files);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        for file in files {
            let name = file.strip_prefix(folder).expect("below").to_str().expect("UTF-8");
            let bytes = std::fs::read(&file).expect("readable");
            runtime.block_on(store.put(&path::Path::parse(name).expect("a name"), bytes.into())).expect("uploaded");
        }
    }
}

/// The planted archive and a blob that is cut, so that the JSON names blobs.
fn archive(folder: &Path) -> PathBuf {
    let from = root().join("testdata/apim").join(CONTAINER);
    let to = folder.join(CONTAINER);
    let mut files = Vec::new();
    super::decode::json_files(&from, &mut files);
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
    azurite.create_container();
    azurite.upload(&local);
    let local = local.to_str().expect("UTF-8");

    let from_disk = stdout(&analyze(&[local, "--format", "json"]));
    let from_azurite = stdout(&analyze(&[&azurite.address(), "--format", "json"]));
    assert!(from_azurite.contains(&azurite.address()), "a problem names its blob");
    assert_eq!(from_azurite.replace(&azurite.address(), local), from_disk);

    // Without a scope, local input is read twice and remote input once: with equal results.
    let unscoped = |source: &str| stdout(&flowgap(&["analyze", source, "--format", "json"]));
    let from_disk = unscoped(local);
    assert!(from_disk.contains("\"10.20.1.4/32\"") && from_disk.contains("subnet-inferred"), "{from_disk}");
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
        "Storage Blob Data Reader",
    );
}
