//! `tags fetch` against a local management API, the cache that other verbs use, and `tags show`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flowgap::catalog::ServiceTags;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cases::{SUBNET, TAG_FILE, day};
use crate::support::binary::{SUBNET as APIM, command, root, stderr, stdout};
use crate::support::fake_management::{FakeManagement, Reply, TOKEN, refusal};
use crate::support::http::{Answer, Request};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const PUBLIC: &str = "management.azure.com";

/// The list as the API gives it, with the tags from `from` to `to` of the example.
fn page(cloud: &str, from: usize, to: usize, next: Option<&str>) -> Answer {
    let text = fs::read(root().join(TAG_FILE)).expect("the tag file");
    let mut list: Value = serde_json::from_slice(&text).expect("JSON");
    list["cloud"] = json!(cloud);
    list["changeNumber"] = json!("412");
    list["id"] = json!(format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/serviceTags/public"));
    let tags = list["values"].as_array().expect("a list");
    list["values"] = Value::Array(tags[from..to.min(tags.len())].to_vec());
    if let Some(next) = next {
        list["nextLink"] = json!(next);
    }
    Answer::new(200, &[("content-type", "application/json")], list.to_string())
}

fn whole(cloud: &str) -> Answer {
    page(cloud, 0, usize::MAX, None)
}

/// An API that always answers the same.
fn always(host: &'static str, answer: Answer) -> FakeManagement {
    FakeManagement::start(host, move |_, _| Reply::Page(answer.clone()))
}

/// The management API of the public cloud, which lists the tags of the example.
pub fn example_api() -> FakeManagement {
    always(PUBLIC, whole("Public"))
}

struct Cache(TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("flowgap")
    }

    /// A cache that has the example under a name.
    fn with(names: &[&str]) -> Self {
        let cache = Self::new();
        names.iter().for_each(|name| cache.add(name, &example_of("Public")));
        cache
    }

    fn add(&self, name: &str, content: &str) {
        fs::create_dir_all(self.folder()).expect("a folder");
        fs::write(self.folder().join(name), content).expect("written");
    }

    /// Names of its files, sorted.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, String)]) -> Output {
        let mut command = command(arguments);
        command.env("XDG_CACHE_HOME", self.0.path()).envs(variables.iter().map(|(name, value)| (name, value)));
        let output = command.output().expect("flowgap starts");
        let said = stdout(&output) + &stderr(&output);
        assert!(!said.contains("S3CR3T") && !said.contains("Bearer"), "{arguments:?}: {said}");
        output
    }

    fn fetch(&self, api: &FakeManagement, arguments: &[&str]) -> Output {
        self.run(&[&FETCH[..], arguments].concat(), &api.variables())
    }
}

const FETCH: [&str; 6] = ["tags", "fetch", "--subscription", SUBSCRIPTION, "--location", "westeurope"];

/// The example as a file of a cloud.
fn example_of(cloud: &str) -> String {
    let text = fs::read_to_string(root().join(TAG_FILE)).expect("the tag file");
    text.replace("\"cloud\": \"Public\"", &format!("\"cloud\": \"{cloud}\""))
}

fn today() -> String {
    chrono::Utc::now().format("%Y%m%d").to_string()
}

fn expect(output: &Output, status: i32, says: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    says.iter().for_each(|words| assert!(said.contains(words), "{words}: {said}"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

#[test]
fn every_identity_fetches_into_a_private_cache() {
    let api = always(PUBLIC, whole("Public"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "S3CR3TASSERTION").expect("written");
    let az = folder.path().join("az");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *https://{PUBLIC}/.default*) echo '{{\"accessToken\": \"{TOKEN}\", \"expiresOn\": \"2090-01-01 00:00:00.000000\"}}';; *) exit 1;; esac\n"
    );
    fs::write(&az, script).expect("written");
    fs::set_permissions(&az, fs::Permissions::from_mode(0o755)).expect("set");
    let text = |text: &str| text.to_owned();
    let client = [
        ("AZURE_TENANT_ID", text("tenant")),
        ("AZURE_CLIENT_ID", text("client")),
        ("AZURE_AUTHORITY_HOST", api.address()),
    ];
    let secret = [&client[..], &[("AZURE_CLIENT_SECRET", text("S3CR3T"))]].concat();
    let workload = [&client[..], &[("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string())]].concat();
    let managed = [api.variables()[0].clone()];
    let cli = [("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))];
    for (auth, variables) in [("env", &secret[..]), ("workload", &workload), ("managed", &managed), ("cli", &cli)] {
        for auth in [auth, "auto"] {
            // The machine that runs this may have an identity, which comes before the CLI.
            if (auth, variables.len()) == ("auto", 1) && variables[0].0 == "PATH" {
                continue;
            }
            let cache = Cache::new();
            let variables = [variables, &api.variables()[1..]].concat();
            let output = cache.run(&[&FETCH[..], &["--auth", auth]].concat(), &variables);
            expect(&output, 0, &["service tags of Public, change number 412, 11 tags, 26 prefixes, fetched on"]);
            assert_eq!(stdout(&output), "");
            let name = format!("ServiceTags_Public_{}.json", today());
            assert_eq!(cache.names(), std::slice::from_ref(&name), "{auth}");
            let path = cache.folder().join(name);
            assert_eq!((mode(&path), mode(&cache.folder())), (0o600, 0o700));
            let fetched = ServiceTags::open(&path, None).expect("tags");
            let given = ServiceTags::open(&root().join(TAG_FILE), None).expect("tags");
            let rows = |tags: &ServiceTags| tags.rows().map(|row| format!("{row:?}")).collect::<Vec<_>>();
            assert_eq!(rows(&fetched), rows(&given));
            assert!(!fs::read_to_string(&path).expect("text").contains("subscriptions"));
        }
    }
    let expected =
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/locations/westeurope/serviceTags?");
    let asked = api.asked();
    assert!(asked.len() == 7 && asked.iter().all(|target| target.starts_with(&expected)), "{asked:?}");
}

#[test]
fn a_cloud_is_known_by_its_region() {
    const CHINA: &str = "management.chinacloudapi.cn";
    const GOVERNMENT: &str = "management.usgovcloudapi.net";
    for (location, options, host, cloud, listed) in [
        ("West Europe", &[][..], PUBLIC, "Public", "Public"),
        ("westeurope", &["--cloud", "azurecloud"], PUBLIC, "Public", "AzureCloud"),
        ("chinanorth3", &[], CHINA, "China", "AzureChinaCloud"),
        ("USGovVirginia", &[], GOVERNMENT, "AzureGovernment", "AzureGovernment"),
        ("newregion", &["--cloud", "China"], CHINA, "China", "China"),
    ] {
        let (cache, api) = (Cache::new(), always(host, whole(listed)));
        let arguments = [&["tags", "fetch", "--subscription", SUBSCRIPTION, "--location", location], options].concat();
        expect(&cache.run(&arguments, &api.variables()), 0, &[&format!("of {cloud},")]);
        assert_eq!(cache.names(), [format!("ServiceTags_{cloud}_{}.json", today())]);
        let tags = ServiceTags::open(&cache.folder().join(&cache.names()[0]), None).expect("tags");
        assert_eq!(tags.cloud.as_deref(), Some(cloud));
    }
    // A list of another cloud, and a token for another cloud.
    let cache = Cache::new();
    let other = cache.fetch(&always(PUBLIC, whole("China")), &[]);
    expect(&other, 4, &["of the cloud China, not of Public", "--cloud", "--service-tags FILE"]);
    expect(&cache.fetch(&always(CHINA, whole("Public")), &[]), 4, &["signing in failed"]);
    assert_eq!(cache.names(), [""; 0]);
}

#[test]
fn pages_are_joined_and_followed_only_on_the_same_host() {
    let next = |request: &Request, nr: usize| {
        let host = request.header("host").unwrap_or_default();
        let path = format!("subscriptions/{SUBSCRIPTION}/page{nr}?api-version=1&$skiptoken=x");
        format!("http://{host}/{path}")
    };
    let api = FakeManagement::start(PUBLIC, move |request, nr| {
        let link = next(request, nr);
        Reply::Page(page("Public", nr * 4, nr * 4 + 4, (nr < 2).then_some(&link)))
    });
    let cache = Cache::new();
    expect(&cache.fetch(&api, &[]), 0, &["11 tags, 26 prefixes"]);
    assert_eq!(api.asked().len(), 3, "{:?}", api.asked());
    // A page at another host would be sent the token.
    let stranger = always(PUBLIC, whole("Public"));
    let link = format!("{}/subscriptions/{SUBSCRIPTION}/page", stranger.address());
    let astray = FakeManagement::start(PUBLIC, move |_, _| Reply::Page(page("Public", 0, 4, Some(&link))));
    let cache = Cache::new();
    expect(&cache.fetch(&astray, &[]), 4, &["another host"]);
    assert_eq!((cache.names().len(), stranger.asked().len()), (0, 0));
    let circle =
        FakeManagement::start(PUBLIC, move |request, _| Reply::Page(page("Public", 0, 4, Some(&next(request, 0)))));
    expect(&cache.fetch(&circle, &[]), 4, &["form a loop"]);
    assert_eq!((cache.names().len(), circle.asked().len()), (0, 2));
}

#[test]
fn every_refusal_says_what_to_do() {
    let html = Answer::new(200, &[("content-type", "text/html")], "<html>Sign in S3CR3T</html>");
    let json = |text: &str| Answer::new(200, &[], text);
    for (answer, says) in [
        (refusal(403, "AuthorizationFailed"), "Microsoft.Network/locations/serviceTags/read"),
        (refusal(401, "InvalidAuthenticationTokenTenant"), "AZURE_TENANT_ID"),
        (refusal(401, "ExpiredAuthenticationToken"), "sign in again"),
        (refusal(404, "SubscriptionNotFound"), "there is no subscription 00000000"),
        (refusal(400, "NoRegisteredProviderFound"), "there is no location westeurope"),
        (refusal(400, "LocationNotAvailableForResourceType"), "--location"),
        (refusal(409, "MissingSubscriptionRegistration"), "not registered for Microsoft.Network"),
        (refusal(429, "TooManyRequests"), "too many requests"),
        (refusal(503, "ServerBusy"), "status 503: try again later"),
        (refusal(418, "Odd"), "status 418, Odd"),
        (refusal(418, "S3CR3T said {TOKEN}"), "with status 418 (credential: managed identity)"),
        (Answer::new(302, &[("location", "https://login.example.com/?S3CR3T")], ""), "answered with a redirect"),
        (html, "not JSON"),
        (json("{\"cloud\": \"Public\", \"val"), "not JSON"),
        (json("{}"), "not a list of service tags"),
        (json("{\"values\": []}"), "lists no addresses"),
        (json("{\"values\": [{\"name\": \"Sql\", \"properties\": {\"addressPrefixes\": [\"x\"]}}]}"), "'Sql'"),
    ] {
        let (cache, api) = (Cache::new(), always(PUBLIC, answer));
        let output = cache.fetch(&api, &["--retries", "0"]);
        expect(&output, 4, &[says, "\"Azure IP Ranges and Service Tags", "--service-tags FILE"]);
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert_eq!(cache.names(), [""; 0]);
    }
}

#[test]
fn an_old_version_of_the_api_serves_too() {
    let api = FakeManagement::start(PUBLIC, |request, _| {
        let is_known = request.query("api-version").as_deref() == Some("2023-11-01");
        Reply::Page(if is_known { whole("Public") } else { refusal(400, "InvalidApiVersionParameter") })
    });
    expect(&Cache::new().fetch(&api, &[]), 0, &["11 tags"]);
    assert_eq!(api.asked().len(), 2);
}

#[test]
fn a_bad_line_is_retried_and_leaves_nothing_behind() {
    let slow = || {
        FakeManagement::start(PUBLIC, |_, _| {
            std::thread::sleep(Duration::from_secs(3));
            Reply::Page(whole("Public"))
        })
    };
    let cache = Cache::new();
    expect(
        &cache.fetch(&slow(), &["--timeout", "1", "--retries", "0"]),
        4,
        &["no data for 1 s", "download the file by hand"],
    );
    let cut = FakeManagement::start(PUBLIC, |_, _| Reply::Cut(whole("Public"), 1_000));
    expect(&cache.fetch(&cut, &["--retries", "1"]), 4, &["the connection failed on every attempt"]);
    assert_eq!((cut.asked().len(), cache.names().len()), (2, 0));
    // Nobody listens.
    let port = cut.address();
    drop(cut);
    let variables = [("FLOWGAP_MANAGEMENT_ENDPOINT", port.clone()), ("IDENTITY_ENDPOINT", port)];
    expect(&cache.run(&FETCH, &variables), 4, &["signing in failed: the connection was refused"]);
    // Signed in, but without a network.
    let identity = example_api();
    let offline =
        [identity.variables()[0].clone(), ("FLOWGAP_MANAGEMENT_ENDPOINT", "https://nowhere.invalid".to_owned())];
    expect(&cache.run(&FETCH, &offline), 4, &["there is no such host", "online", "download the file by hand"]);
    // A line that recovers.
    let later = FakeManagement::start(PUBLIC, |_, nr| match nr {
        0 => Reply::Cut(whole("Public"), 1_000),
        1 => Reply::Page(refusal(429, "TooManyRequests")),
        _ => Reply::Page(whole("Public")),
    });
    expect(&cache.fetch(&later, &[]), 0, &["11 tags"]);
    expect(&cache.fetch(&slow(), &[]), 0, &["11 tags"]);
    assert_eq!(cache.names(), [format!("ServiceTags_Public_{}.json", today())]);
}

#[test]
fn a_wrong_command_asks_nobody() {
    let api = always(PUBLIC, whole("Public"));
    let cache = Cache::new();
    let id = ["--subscription", SUBSCRIPTION];
    for (arguments, status, says) in [
        (&["--location", "westeurope"][..], 2, "--subscription"),
        (&id, 2, "--location"),
        (&["--subscription", "mine", "--location", "westeurope"], 2, "az account list"),
        (&[&id[..], &["--location", "../x"]].concat(), 2, "az account list-locations"),
        (&[&id[..], &["--location", "westeurope", "--cloud", "Moon"]].concat(), 2, "AzureGovernment"),
        (&[&id[..], &["--location", "westeurope", "--auth", "sas"]].concat(), 2, "managed"),
        (&[&id[..], &["--location", "westeurope", "--auth", "env"]].concat(), 4, "AZURE_CLIENT_SECRET"),
    ] {
        expect(&cache.run(&[&["tags", "fetch"], arguments].concat(), &api.variables()), status, &[says]);
    }
    // Other machines could read the token.
    let plain = [api.variables()[0].clone(), ("FLOWGAP_MANAGEMENT_ENDPOINT", "http://192.0.2.1".to_owned())];
    expect(&cache.run(&FETCH, &plain), 4, &["write https://"]);
    let odd = [api.variables()[0].clone(), ("FLOWGAP_MANAGEMENT_ENDPOINT", "https://u:S3CR3T@192.0.2.1".to_owned())];
    expect(&cache.run(&FETCH, &odd), 4, &["'FLOWGAP_MANAGEMENT_ENDPOINT'", "write https://HOST"]);
    let nowhere = [&api.variables()[..], &[("XDG_CACHE_HOME", "x".to_owned()), ("HOME", String::new())]].concat();
    let mut homeless = command(&FETCH);
    homeless.envs(nowhere.iter().map(|(name, value)| (name, value)));
    expect(&homeless.output().expect("starts"), 2, &["XDG_CACHE_HOME"]);
    assert_eq!((api.asked().len(), cache.names().len()), (0, 0));
    let from_environment = [&api.variables()[..], &[("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION.to_owned())]].concat();
    expect(&cache.run(&["tags", "fetch", "--location", "westeurope"], &from_environment), 0, &["11 tags"]);
}

#[test]
fn a_file_of_ones_own_gets_no_date() {
    let (cache, api) = (Cache::new(), always(PUBLIC, whole("Public")));
    let own = cache.0.path().join("tags.json");
    let path = own.to_str().expect("UTF-8");
    expect(&cache.fetch(&api, &["-o", path]), 0, &[path, "--service-tags-date"]);
    let quiet = cache.fetch(&api, &["-o", path, "-q"]);
    assert_eq!((quiet.status.code(), stderr(&quiet), cache.names().len()), (Some(0), String::new(), 0));
    assert_eq!(ServiceTags::open(&own, None).expect("tags").len(), 11);
}

#[test]
fn old_files_go_except_the_one_before() {
    let cache = Cache::with(&[
        "ServiceTags_Public_20250101.json",
        "ServiceTags_Public_20250201.json",
        "ServiceTags_China_20240101.json",
    ]);
    expect(&cache.fetch(&always(PUBLIC, whole("Public")), &[]), 0, &[]);
    let new = format!("ServiceTags_Public_{}.json", today());
    assert_eq!(cache.names(), ["ServiceTags_China_20240101.json", "ServiceTags_Public_20250201.json", &new]);
}

fn start(cache: &Cache, arguments: &[&str], variables: &[(&str, String)]) -> Child {
    let mut command = command(arguments);
    command.env("XDG_CACHE_HOME", cache.0.path()).envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

#[test]
fn many_at_once_leave_a_whole_file() {
    let (cache, api) = (Arc::new(Cache::new()), always(PUBLIC, whole("Public")));
    expect(&cache.fetch(&api, &[]), 0, &[]);
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (cache, is_over) = (Arc::clone(&cache), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut reads = 0;
            while !is_over.load(Ordering::Relaxed) || reads == 0 {
                let output = cache.run(&["tags", "show", "192.0.2.33", "--format", "csv"], &[]);
                expect(&output, 0, &[]);
                assert_eq!(stdout(&output).lines().count(), 3, "{}", stdout(&output));
                reads += 1;
            }
        })
    };
    let fetches: Vec<Child> = (0..8).map(|_| start(&cache, &FETCH, &api.variables())).collect();
    let outputs: Vec<Output> = fetches.into_iter().map(|child| child.wait_with_output().expect("ends")).collect();
    is_over.store(true, Ordering::Relaxed);
    reader.join().expect("every read is whole");
    outputs.iter().for_each(|output| expect(output, 0, &["11 tags"]));
    assert_eq!(cache.names(), [format!("ServiceTags_Public_{}.json", today())]);
}

fn analysis(cache: &Cache, arguments: &[&str]) -> Value {
    let output = cache.run(&[&["analyze", "--format", "json"], arguments].concat(), &[]);
    crate::schema::check(&stdout(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
}

fn notice<'a>(analysis: &'a Value, code: &str) -> Option<&'a str> {
    let notices = analysis["notices"].as_array().expect("a list");
    notices.iter().find(|notice| notice["code"] == code)?["message"].as_str()
}

#[test]
fn analyze_uses_the_cache_unless_told_otherwise() {
    let cache = Cache::with(&["ServiceTags_Public_20260504.json", "ServiceTags_Public_20260301.json"]);
    let nothing = Cache::new();
    let read = |cache: &Cache, more: &[&str]| analysis(cache, &[&["--subnet", APIM, ARCHIVE], more].concat());
    let mut cached = read(&cache, &[]);
    let said = notice(&cached, "service-tags-cached").expect("a notice").to_owned();
    assert_eq!(
        said,
        "Service tags come from the cached file ServiceTags_Public_20260504.json, 1 day older than the newest flow."
    );
    let given = read(&nothing, &["--service-tags", TAG_FILE]);
    assert_eq!(given["scope"]["service_tags"]["change_number"], 412);
    // Apart from that notice, the file counts as if it were given.
    cached["notices"].as_array_mut().expect("a list").retain(|notice| notice["code"] != "service-tags-cached");
    assert_eq!(cached, given);
    // A given file comes first, by option or variable; and so does no file.
    assert_eq!(read(&cache, &["--service-tags", TAG_FILE]), given);
    let variable = [("FLOWGAP_SERVICE_TAGS", TAG_FILE.to_owned())];
    let arguments = ["analyze", "--subnet", APIM, ARCHIVE, "--format", "json"];
    let by_variable = |more: &[&str]| -> Value {
        let output = cache.run(&[&arguments[..], more].concat(), &variable);
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    assert_eq!(by_variable(&[])["findings"], given["findings"]);
    let untagged = read(&nothing, &[]);
    assert!(
        notice(&untagged, "service-tags-missing")
            .is_some_and(|text| text.contains("tags fetch") && text.contains("--service-tags FILE"))
    );
    assert_eq!(read(&cache, &["--no-service-tags"]), untagged);
    assert_eq!(by_variable(&["--no-service-tags"])["scope"]["service_tags"], Value::Null);
    assert_eq!(read(&cache, &["--no-service-tags", "--service-tags", TAG_FILE]), untagged);
    let verbose = cache.run(&["analyze", ARCHIVE, "--subnet", APIM, "-v", "--details"], &[]);
    let path = cache.folder().join("ServiceTags_Public_20260504.json");
    assert!(stderr(&verbose).contains(&format!("service tags from {}", path.display())), "{}", stderr(&verbose));
    assert!(stdout(&verbose).contains("Service tags come from the cached file"), "{}", stdout(&verbose));
}

#[test]
fn an_old_cache_says_how_to_renew_it() {
    let cache = Cache::with(&["ServiceTags_Public_20260101.json"]);
    let old = analysis(&cache, &["--subnet", APIM, ARCHIVE]);
    let says = notice(&old, "service-tags-old").expect("a notice");
    assert!(says.contains("124 days older") && says.contains("flowgap tags fetch"), "{says}");
}

#[test]
fn the_cloud_of_the_logs_chooses_the_file() {
    let cache = Cache::with(&["ServiceTags_Public_20260504.json"]);
    let cloud = |region: &'static str| {
        let log = day(&[]).in_region(region).write();
        analysis(&cache, &["--subnet", SUBNET, log.path().to_str().expect("UTF-8")])["scope"]["service_tags"]["cloud"]
            .clone()
    };
    assert_eq!((cloud("WESTEUROPE"), cloud("CHINANORTH3")), (json!("Public"), Value::Null));
    // Logs that do not name their cloud take the only one there is.
    let folder = tempfile::tempdir().expect("a folder");
    let flat = folder.path().join("flows.json");
    fs::copy(root().join("testdata/vnet-v4/plain.json"), &flat).expect("copied");
    let unnamed = || cache.run(&["analyze", flat.to_str().expect("UTF-8"), "--format", "json"], &[]);
    let tags = |output: &Output| -> Value {
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["scope"]["service_tags"]["cloud"].clone()
    };
    assert_eq!(tags(&unnamed()), "Public");
    cache.add("ServiceTags_China_20260504.json", &example_of("China"));
    assert_eq!((cloud("WESTEUROPE"), cloud("CHINANORTH3")), (json!("Public"), json!("China")));
    let output = unnamed();
    assert_eq!(tags(&output), Value::Null);
    assert!(
        stderr(&output).contains("China and Public") && stderr(&output).contains("--service-tags"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_damaged_cache_is_reported_and_left_aside() {
    let cache = Cache::new();
    cache.add("ServiceTags_Public_20260504.json", "{\"cloud\": \"Public\", \"values\": [");
    let (output, plain) = (cache.run(&["analyze", ARCHIVE], &[]), Cache::new().run(&["analyze", ARCHIVE], &[]));
    assert_eq!((output.status.code(), stdout(&output)), (plain.status.code(), stdout(&plain)));
    let said = stderr(&output);
    assert!(said.contains("ServiceTags_Public_20260504.json") && said.contains("ends too early"), "{said}");
    assert_eq!(stderr(&plain), "");
}

#[test]
fn sql_and_queries_use_the_cache() {
    let cache = Cache::with(&["ServiceTags_Public_20260504.json"]);
    let count = "SELECT count(*) AS n, service_tag('192.0.2.33') AS tag FROM service_tags";
    let sql = |cache: &Cache, more: &[&str]| {
        cache.run(&[&["sql", ARCHIVE, "-c", count, "--format", "csv"], more].concat(), &[])
    };
    assert_eq!(stdout(&sql(&cache, &[])).replace('\r', ""), "n,tag\n26,Sql\n");
    let without = sql(&cache, &["--no-service-tags"]);
    assert_eq!(stdout(&without).replace('\r', ""), "n,tag\n0,\n");
    expect(&without, 0, &["flowgap tags fetch", "--service-tags FILE"]);
    assert!(!stderr(&sql(&cache, &[])).contains("no service tags"));
    let query = |cache: &Cache, more: &[&str]| {
        stdout(&cache.run(&[&["query", "top_denied_destinations", ARCHIVE, "--format", "csv"], more].concat(), &[]))
    };
    let given = query(&Cache::new(), &["--service-tags", TAG_FILE]);
    assert_eq!(query(&cache, &[]), given);
    assert_ne!(query(&Cache::new(), &[]), given);
}

#[test]
fn show_lists_the_tags_of_each_address() {
    let cache = Cache::with(&["ServiceTags_Public_20260504.json"]);
    let addresses = ["192.0.2.17", "2001:db8:30::1", "::ffff:192.0.2.33", "203.0.113.9"];
    let show = |more: &[&str]| {
        let output = cache.run(&[&["tags", "show"], &addresses[..], more].concat(), &[]);
        expect(&output, 0, &[]);
        stdout(&output)
    };
    let text = show(&[]);
    let expected = "\
address         tag                 prefix            region
192.0.2.17      Storage.WestEurope  192.0.2.16/29     westeurope
192.0.2.17      Storage             192.0.2.16/29
192.0.2.17      AzureCloud          192.0.2.0/24
2001:db8:30::1  Sql                 2001:db8:30::/48
2001:db8:30::1  AzureCloud          2001:db8::/40
192.0.2.33      Sql                 192.0.2.32/28
192.0.2.33      AzureCloud          192.0.2.0/24
203.0.113.9     (none)

service tags of Public, change number 412, 11 tags, 26 prefixes: of 2026-05-04, ";
    let rest = text.strip_prefix(expected).unwrap_or_else(|| panic!("{text}"));
    let path = cache.folder().join("ServiceTags_Public_20260504.json");
    assert!(rest.ends_with(&format!(" days old\n{}\n", path.display())), "{rest}");
    let json: Value = serde_json::from_str(&show(&["--format", "json"])).expect("JSON");
    assert_eq!(
        json[0],
        json!({"address": "192.0.2.17", "tag": "Storage.WestEurope", "prefix": "192.0.2.16/29", "region": "westeurope",
            "file": "ServiceTags_Public_20260504.json", "file_date": "2026-05-04"})
    );
    assert_eq!((json.as_array().map(Vec::len), &json[7]["tag"]), (Some(8), &json!("")));
    let csv = show(&["--format", "csv"]);
    assert!(csv.starts_with("address,tag,prefix,region,file,file_date\r\n192.0.2.17,Storage.WestEurope,"), "{csv}");
    // The same from a given file, with a cache or without.
    let given = Cache::new().run(&["tags", "show", "192.0.2.17", "--service-tags", TAG_FILE], &[]);
    assert!(stdout(&given).contains("Storage.WestEurope"), "{}", stderr(&given));
}

#[test]
fn show_says_what_it_lacks() {
    let cache = Cache::new();
    let show = |more: &[&str]| cache.run(&[&["tags", "show"], more].concat(), &[]);
    expect(&show(&["192.0.2.1"]), 2, &["flowgap tags fetch", "--service-tags FILE"]);
    expect(&show(&["192.0.2.1/24"]), 2, &["2001:db8::1"]);
    expect(&show(&[]), 2, &["<IP>"]);
    expect(&show(&["192.0.2.1", "--service-tags", "LICENSE"]), 2, &["LICENSE: this is not a JSON list"]);
    cache.add("ServiceTags_Public_20260504.json", &example_of("Public"));
    expect(&show(&["192.0.2.1", "--cloud", "China"]), 2, &["no service tags of China"]);
    cache.add("ServiceTags_China_20260504.json", &example_of("China"));
    expect(&show(&["192.0.2.1"]), 2, &["China and Public", "--cloud"]);
    assert!(stdout(&show(&["192.0.2.1", "--cloud", "china"])).contains("service tags of China"));
}
