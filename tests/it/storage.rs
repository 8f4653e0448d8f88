//! Blob Storage by every address and credential, pruned lists, growing blobs: the real binary against Azurite, and
//! against containers of a hundred thousand names.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::azurite::{ACCOUNT, Azurite, CONTAINER, KEY, archive, sas};
use crate::support::binary::{SUBNET, analyze, command, root, stderr, stdout};
use crate::support::fake_storage::{Contents, Distance, Fake};
use crate::support::http::{Answer, Request, ask, serve};

/// What must never print.
const SECRETS: [&str; 6] = ["S3CR3T", "Eby8vdM02x", "sig=", "a2V5", "SharedKey", "Bearer"];

/// Runs `flowgap` with variables, and looks for secrets in whatever it says: what no secret may look like, and those
/// that the arguments and variables hold.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(arguments).envs(variables.iter().copied()).output().expect("flowgap starts");
    let given: Vec<&str> = arguments.iter().copied().chain(variables.iter().map(|(_, value)| *value)).collect();
    check_for_secrets(&given, &[&stdout(&output), &stderr(&output)]);
    output
}

/// That nothing `said` has a secret in it, such as a signature of what was `given`, escaped or not.
pub fn check_for_secrets(given: &[&str], said: &[&str]) {
    let signatures = given.iter().filter_map(|text| text.split_once("sig=")).map(|(_, sig)| {
        let escaped = sig.split(['&', ';']).next().unwrap_or_default();
        escaped.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
    });
    let escaped = |sig: &String| sig.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let secrets: Vec<String> = signatures
        .flat_map(|sig| [escaped(&sig), sig])
        .filter(|sig| sig.len() > 6)
        .chain(SECRETS.map(str::to_owned))
        .collect();
    for said in said {
        for secret in &secrets {
            assert!(!said.contains(secret.as_str()), "{secret} is in {said}");
        }
    }
}

fn check(arguments: &[&str], variables: &[(&str, &str)], status: i32, says: &str) {
    let output = run(arguments, variables);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments:?} {variables:?}: {said}");
    assert!(said.contains(says), "{arguments:?} says: {said}");
}

fn inspected(arguments: &[&str]) -> Value {
    let output = run(&[&["inspect", "--format", "json"], arguments].concat(), &[]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", stderr(&output)))
}

#[test]
fn every_address_and_credential_opens_the_same_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = archive(folder.path());
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &local);
    azurite.create_container("public", &[("x-ms-blob-public-access", "container")]);
    azurite.upload("public", &local);
    let (account, address) = (azurite.account(), azurite.address());
    let port = azurite.port;
    let expected = stdout(&analyze(&[local.to_str().expect("UTF-8"), "--format", "csv"]));
    assert!(expected.lines().count() > 3, "{expected}");

    let connection = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={account};");
    let (long_ago, ahead) = ("2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z");
    let valid = sas(CONTAINER, "rl", long_ago, ahead);
    let sas_connection = format!("BlobEndpoint={account};SharedAccessSignature={valid}");
    let wrong = [("AZURE_STORAGE_ACCOUNT_KEY", "a2V5a2V5")];
    // A key that does not fit proves that what comes before it served.
    for (address, variables, credential) in [
        (address.clone(), vec![], "published key of the emulator"),
        (account.clone(), vec![], "published key of the emulator"),
        (format!("http://localhost:{port}/{ACCOUNT}/{CONTAINER}"), vec![], "published key"),
        (
            format!("az://{CONTAINER}"),
            vec![("AZURE_STORAGE_CONNECTION_STRING", &*connection)],
            "key of AZURE_STORAGE_CONN",
        ),
        (
            format!("az://{CONTAINER}"),
            vec![("AZURE_STORAGE_CONNECTION_STRING", &*sas_connection)],
            "SAS of AZURE_STORAGE_CONN",
        ),
        (address.clone(), vec![("AZURE_STORAGE_KEY", KEY)], "account key of AZURE_STORAGE_KEY"),
        (format!("{address}?{valid}"), wrong.to_vec(), "SAS in the address"),
        (address.clone(), [&wrong[..], &[("AZURE_STORAGE_SAS_TOKEN", &*format!("?{valid}"))]].concat(), "SAS of AZURE"),
    ] {
        let arguments = ["analyze", "--subnet", SUBNET, &address, "--format", "csv", "-v"];
        let output = run(&arguments, &variables);
        assert_eq!(stdout(&output), expected, "{address}: {}", stderr(&output));
        assert!(stderr(&output).contains(credential), "{address}: {}", stderr(&output));
    }
    let public = format!("{account}/public");
    let output = run(&["analyze", "--subnet", SUBNET, &public, "--format", "csv", "--auth", "anonymous"], &wrong);
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));

    // What an account was found to have.
    let found = run(&["inspect", &account], &[]);
    let said = stderr(&found);
    assert!(said.contains(&format!("found {address} (")) && said.contains("there is no"), "{said}");
    assert_eq!(stderr(&run(&["inspect", "-q", &account], &[])), "");

    let expired = sas(CONTAINER, "rl", long_ago, "2021-01-01T00:00:00Z");
    let early = sas(CONTAINER, "rl", ahead, "2091-01-01T00:00:00Z");
    let weak = sas(CONTAINER, "w", long_ago, ahead);
    for (arguments, variables, says) in [
        (vec![&*address], wrong.to_vec(), "key"),
        (vec![&*format!("{address}?{expired}")], vec![], "expired"),
        (vec![&*format!("{address}?{early}")], vec![], "valid"),
        (vec![&*format!("{address}?{weak}")], vec![], "reading and listing"),
        (vec![&*address, "--auth", "anonymous"], vec![], "http"),
        (vec![&*address, "--auth", "env"], vec![], "AZURE_CLIENT_SECRET"),
        (vec![&*format!("{account}/no-such-container")], vec![], "there is no such container"),
        (vec![&*format!("{address}/no/such/prefix")], vec![], "no flow log blob (*.json) in http://127.0.0.1"),
        (vec![&*address, "--prefix", "no"], vec![], "prefix or interface"),
        (vec!["az://logs"], vec![], "AZURE_STORAGE_ACCOUNT_NAME"),
        (vec!["az://logs"], vec![("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=S3CR3T")], "AZURE_STORAGE_CONNECTION"),
        (vec!["http://acct.blob.core.windows.net/logs"], vec![], "https://"),
        (vec!["abfss://acct.dfs.core.windows.net/logs"], vec![], "abfss://CONTAINER@"),
        (vec!["https://acct.blob.core.windows.net/logs"], vec![("PATH", "/nowhere")], "az login"),
        (vec!["https://acct.blob.core.windows.net/logs"], vec![("AZURE_STORAGE_KEY", "S3CR3T!")], "AZURE_STORAGE_KEY"),
        (vec!["http://127.0.0.1:9/devstoreaccount1/logs"], vec![], "the connection was refused"),
        (vec!["https://no-such-account.invalid.blob.example.invalid/x"], vec![("AZURE_STORAGE_KEY", "a2V5")], "host"),
    ] {
        for verb in ["analyze", "inspect"] {
            let start = Instant::now();
            check(&[&[verb, "-v"][..], &arguments].concat(), &variables, 4, says);
            assert!(start.elapsed() < Duration::from_secs(10), "{arguments:?} took {:?}", start.elapsed());
        }
    }
    let empty = Azurite::start();
    check(&["analyze", &empty.account()], &[], 4, "has neither of the containers");
}

#[test]
fn no_report_of_any_kind_holds_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    // With problems, which name blobs.
    let local = archive(folder.path());
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &local);
    let signature = sas(CONTAINER, "rl", "2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z");
    let signed = format!("{}?{signature}", azurite.address());
    let connection = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={};", azurite.account());
    let file = folder.path().join("report");
    let file = file.to_str().expect("UTF-8");
    for (address, variables) in [
        (signed.clone(), vec![]),
        (azurite.address(), vec![("AZURE_STORAGE_SAS_TOKEN", &*signature)]),
        (azurite.address(), vec![("AZURE_STORAGE_KEY", KEY)]),
        (format!("az://{CONTAINER}"), vec![("AZURE_STORAGE_CONNECTION_STRING", &*connection)]),
    ] {
        for (verb, formats) in [("analyze", &["text", "json", "csv", "markdown"][..]), ("inspect", &["text", "json"])] {
            for format in formats {
                for manner in [&[][..], &["-v"], &["-q"], &["--progress", "always"]] {
                    let arguments = [&[verb, &*address, "--format", format], manner].concat();
                    let output = run(&arguments, &variables);
                    assert!(output.stdout.len() > 20, "{arguments:?}: {}", stderr(&output));
                    run(&[&arguments[..], &["-o", file]].concat(), &variables);
                    let report = std::fs::read_to_string(file).expect("a report");
                    check_for_secrets(&[&signed], &[&report]);
                    assert!(report.len() > 20, "{arguments:?}");
                }
            }
        }
    }
}

/// A container as Azure fills it: so many flow logs, days and interfaces, a blob for each hour.
fn names(logs: usize, days: usize, macs: usize, layout: impl Fn(usize) -> String) -> Vec<String> {
    let mut names = Vec::with_capacity(logs * days * 24 * macs);
    for log in 0..logs {
        for day in 0..days {
            for (hour, mac) in (0..24).flat_map(|hour| (0..macs).map(move |mac| (hour, mac))) {
                let (root, month, day) = (layout(log), 5 + day / 30, 1 + day % 30);
                names.push(format!(
                    "{root}/y=2026/m={month:02}/d={day:02}/h={hour:02}/m=00/macAddress=000D3A{mac:06X}/PT1H.json"
                ));
            }
        }
    }
    names.sort_unstable();
    names
}

fn vnet(log: usize) -> String {
    format!(
        "flowLogResourceID=/00000000-0000-0000-0000-000000000001_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_LOG{log:03}"
    )
}

fn vnet_long(log: usize) -> String {
    let subscription = "flowLogResourceID=/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000001";
    format!(
        "{subscription}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_WESTEUROPE/FLOWLOGS/LOG{log:03}"
    )
}

fn nsg(log: usize) -> String {
    let subscription = "resourceId=/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000001";
    format!("{subscription}/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/NSG{log:03}")
}

fn blob() -> Arc<Vec<u8>> {
    Arc::new(std::fs::read(root().join("testdata/vnet-v4/plain.json")).expect("a sample"))
}

#[test]
fn a_window_of_one_interface_takes_few_lists() {
    // 100,800 blobs each: logs, days, interfaces.
    for (layout, logs, days, macs) in
        [(&vnet as &dyn Fn(usize) -> String, 5, 30, 28), (&vnet_long, 1, 60, 70), (&nsg, 5, 30, 28), (&nsg, 1, 3, 1400)]
    {
        let fake =
            Fake::start(Contents { names: names(logs, days, macs, layout), bodies: vec![blob()] }, Distance::default());
        let day = ["--from", "2026-05-02T00:00:00Z", "--to", "2026-05-03T00:00:00Z", "--mac", "00-0d-3a-00-00-07"];
        let found = inspected(&[&[&*fake.address()][..], &day].concat());
        let storage = &found["storage"];
        // The day's hours and the one after, when the last of them is flushed.
        let wanted = (logs * 25) as u64;
        assert_eq!((storage["blobs_read"].as_u64(), found["input"]["blobs"].as_u64()), (Some(wanted), Some(wanted)));
        assert_eq!(storage["list_calls"].as_u64(), Some(fake.lists() as u64));
        assert!(fake.lists() <= 30 * logs, "{} lists for {}", fake.lists(), layout(0));
        assert_eq!(storage["requests"].as_u64(), Some((fake.lists() + fake.gets()) as u64));
        // One more asks whether reading is allowed.
        assert_eq!(fake.gets() as u64, wanted + 1);
        let (listed, skipped) = (storage["blobs_listed"].as_u64(), storage["blobs_skipped"].as_u64());
        assert_eq!(listed.zip(skipped).map(|(listed, skipped)| listed - skipped), Some(wanted));
    }
}

#[test]
fn every_selection_equals_a_filter() {
    let mut all = names(2, 40, 3, vnet);
    all.extend(names(1, 40, 2, nsg));
    // Another layout, another spelling, and what is no flow log.
    all.extend(["loose.json".to_owned(), "y=2026/notes.txt".to_owned()]);
    all.extend(names(1, 35, 1, |_| "FLOWLOGRESOURCEID=/X/Y".to_owned()).iter().map(|name| name.to_uppercase()));
    all.sort_unstable();
    let fake = Fake::start(Contents { names: all.clone(), bodies: vec![blob()] }, Distance::default());
    let hour = |name: &str| {
        let upper = name.to_uppercase();
        let at = upper.find("Y=2026/M=")?;
        let number = |start: usize| upper.get(start..start + 2)?.parse::<u32>().ok();
        Some((number(at + 9)?, number(at + 14)?, number(at + 19)?))
    };
    for (arguments, first, last, mac, prefix) in [
        (vec![], (0, 0, 0), (99, 0, 0), "", ""),
        (vec!["--from", "2026-05-07T05:10:00Z", "--to", "2026-05-07T05:20:00Z"], (5, 7, 5), (5, 7, 6), "", ""),
        (vec!["--from", "2026-05-07T05:10:00Z", "--to", "2026-05-09T01:00:00Z"], (5, 7, 5), (5, 9, 1), "", ""),
        (vec!["--from", "2026-05-07T22:00:00Z", "--to", "2026-05-08T00:00:00Z"], (5, 7, 22), (5, 8, 0), "000002", ""),
        (vec!["--from", "2026-04-07T05:00:00Z", "--to", "2026-06-02T00:00:00Z"], (4, 7, 5), (6, 2, 0), "000001", ""),
        (vec!["--from", "2026-06-01T00:00:00Z"], (6, 1, 0), (99, 0, 0), "", ""),
        (vec!["--to", "2026-05-02T00:00:00Z"], (0, 0, 0), (5, 2, 0), "", ""),
        (vec![], (0, 0, 0), (99, 0, 0), "000001", ""),
        (
            vec!["--from", "2026-05-07T00:00:00Z", "--to", "2026-05-08T00:00:00Z"],
            (5, 7, 0),
            (5, 8, 0),
            "",
            "flowLogResourceID=/0",
        ),
        (vec!["--from", "2026-05-07T00:00:00Z", "--to", "2026-05-08T00:00:00Z"], (5, 7, 0), (5, 8, 0), "", "res"),
    ] {
        let is_wanted = |name: &&String| {
            name.to_lowercase().ends_with(".json")
                && name.starts_with(prefix)
                && (mac.is_empty() || !name.contains('=') || name.contains(&format!("=000D3A{mac}")))
                && hour(name).is_none_or(|hour| first <= hour && hour <= last)
        };
        let wanted = all.iter().filter(is_wanted).count() as u64;
        let interface = format!("000D3A{mac}");
        let mut arguments =
            [&[&*fake.address()][..], &arguments].concat().iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
        if !mac.is_empty() {
            arguments.extend(["--mac".to_owned(), interface]);
        }
        if !prefix.is_empty() {
            arguments.extend(["--prefix".to_owned(), prefix.to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = inspected(&arguments);
        // A loose blob lies in no folder of a year, and is found all the same.
        assert_eq!(found["storage"]["blobs_read"].as_u64(), Some(wanted), "{arguments:?}");
    }
}

/// So many interfaces in each hour of a day, as `spell` writes them.
fn crowded(macs: usize, spell: impl Fn(usize) -> String) -> Vec<String> {
    let hours = (0..24).flat_map(|hour| (0..macs).map(move |mac| (hour, mac)));
    let name = |(hour, mac)| {
        let mac = spell(mac);
        format!("{}/y=2026/m=05/d=04/h={hour:02}/m=00/macAddress={mac}/PT1H.json", vnet(0))
    };
    let mut names: Vec<String> = hours.map(name).collect();
    names.sort_unstable();
    names
}

fn upper(mac: usize) -> String {
    format!("000D3A{mac:06X}")
}

fn lower(mac: usize) -> String {
    upper(mac).to_lowercase()
}

#[test]
fn hours_that_do_not_fit_a_page_are_read_once() {
    let names = crowded(1400, upper);
    let fake = Fake::start(Contents { names, bodies: vec![blob()] }, Distance::default());
    for (from, to, hours) in
        [("01:00", "03:30", 4), ("00:00", "03:00", 4), ("03:00", "05:00", 3), ("02:59", "23:00", 22)]
    {
        let (from, to) = (format!("2026-05-04T{from}:00Z"), format!("2026-05-04T{to}:00Z"));
        let found = inspected(&[&fake.address(), "--from", &from, "--to", &to]);
        let wanted = Some(hours * 1400);
        let read = (found["storage"]["blobs_read"].as_u64(), found["input"]["blobs"].as_u64());
        assert_eq!(read, (wanted, wanted), "{from} {to}");
        let interfaces = found["interfaces"].as_array().expect("a list");
        assert!(interfaces.iter().all(|i| i["missing_hours"].as_array().is_some_and(Vec::is_empty)), "{from} {to}");
    }
}

#[test]
fn a_short_window_finds_an_interface_however_it_is_written() {
    let mut old = crowded(30, upper);
    // As in 2017: no interface in the path.
    old.extend((0..24).map(|hour| format!("{}/y=2026/m=05/d=04/h={hour:02}/m=00/PT1H.json", nsg(0))));
    old.sort_unstable();
    let mixed = crowded(30, |mac| if mac % 2 == 0 { upper(mac) } else { lower(mac) });
    let many_mixed = crowded(6000, |mac| if mac % 2 == 0 { upper(mac) } else { lower(mac) });
    let loud: Vec<String> =
        crowded(11_000, upper).iter().map(|name| name.replace("macAddress", "MACADDRESS")).collect();
    // Four lists lead to the years of a flow log of this form; then there is one for each hour.
    for (names, each, most) in [
        (crowded(30, lower), 1, 4 + 2),
        (old, 2, 20),
        (mixed, 1, 4 + 2),
        // Three pages hold an hour: after the first, the interface is asked for as they are spelled.
        (crowded(11_000, upper), 1, 4 + 4),
        (crowded(11_000, lower), 1, 4 + 4),
        (loud, 1, 4 + 4),
        (many_mixed, 1, 4 + 4),
    ] {
        let first = names[0].clone();
        let fake = Fake::start(Contents { names, bodies: vec![blob()] }, Distance::default());
        for mac in ["00-0D-3A-00-00-0A", "000d3a00000b"] {
            let window = ["--from", "2026-05-04T06:10:00Z", "--to", "2026-05-04T06:50:00Z", "--mac", mac];
            let before = fake.lists();
            let found = inspected(&[&[&*fake.address()][..], &window].concat());
            let read = (found["storage"]["blobs_read"].as_u64(), found["input"]["blobs"].as_u64());
            assert_eq!(read, (Some(2 * each), Some(2 * each)), "{mac} of {first}");
            let lists = fake.lists() - before;
            assert!(lists <= most, "{lists} lists of {first}");
        }
    }
    // A whole day of one: no more requests than are promised, in either case.
    for spell in [upper as fn(usize) -> String, lower] {
        let fake = Fake::start(Contents { names: crowded(4166, spell), bodies: vec![blob()] }, Distance::default());
        let day = ["--from", "2026-05-04T00:00:00Z", "--to", "2026-05-05T00:00:00Z", "--mac", "000D3A00100B"];
        let found = inspected(&[&[&*fake.address()][..], &day].concat());
        assert_eq!(found["storage"]["blobs_read"].as_u64(), Some(24), "{}", found["storage"]);
        assert!(fake.lists() <= 30, "{} lists", fake.lists());
    }
}

/// An account, of whose second container `answer` tells what it says.
fn account(answer: fn(&Request) -> Option<Answer>) -> Fake {
    let contents = Contents { names: names(1, 1, 2, vnet), bodies: vec![blob()] };
    Fake::guarded(contents, Distance::default(), move |request| {
        let is_second = request.path().contains("insights-logs-networksecuritygroupflowevent");
        if is_second { answer(request) } else { None }
    })
}

fn listing(names: &[&str]) -> Option<Answer> {
    let blob = |name: &&str| {
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Mon, 04 May 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>9</Content-Length><Content-Type>application/json</Content-Type></Properties></Blob>"
        )
    };
    let blobs: String = names.iter().map(blob).collect();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker></NextMarker></EnumerationResults>"
    );
    Some(Answer::new(200, &[("content-type", "application/xml")], xml))
}

#[test]
fn an_account_with_one_empty_container_is_read() {
    const OTHER: &str = "resourceId=/A/y=2026/m=05/d=01/h=00/m=00/macAddress=00005E00530A/PT1H.json";
    const REFUSED: &str = "<Error><Code>AuthorizationPermissionMismatch</Code></Error>";
    let absent = |_: &Request| Some(Answer::new(404, &[], "<Error><Code>ContainerNotFound</Code></Error>"));
    let refused = |_: &Request| Some(Answer::new(403, &[], REFUSED));
    let unread = |request: &Request| match request.query("comp") {
        Some(_) => listing(&[OTHER]),
        None => Some(Answer::new(403, &[], REFUSED)),
    };
    let mac = ["--mac", "000D3A000001"];
    let prefix = ["--prefix", "flowLogResourceID=/0"];
    for (answer, options, status, says) in [
        (absent as fn(&Request) -> Option<Answer>, &[][..], 0, "there is no http"),
        (|_| listing(&[]), &[], 0, "no flow log blob"),
        (|_| listing(&[OTHER]), &mac, 0, "has the chosen prefix or interface"),
        (|_| listing(&[]), &mac, 0, "no flow log blob"),
        (|_| listing(&[]), &prefix, 0, "has the chosen prefix or interface"),
        (absent, &mac, 0, "there is no http"),
        // What is there and may not be read is missed.
        (refused, &[], 3, "Storage Blob Data Reader on http"),
        (unread, &[], 3, "Storage Blob Data Reader on http"),
        (refused, &mac, 3, "Storage Blob Data Reader on http"),
    ] {
        let fake = account(answer);
        let account = fake.account();
        let arguments = [&["inspect", &*account, "--format", "json"][..], options].concat();
        let output = run(&arguments, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{options:?} {says}: {said}");
        assert!(said.contains(says) && said.contains(&format!("found {account}/{CONTAINER} (")), "{says}: {said}");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found["storage"]["blobs_read"].as_u64(), Some(if options == mac { 24 } else { 48 }));
        let problems = found["input"]["problems"].to_string();
        assert_eq!(problems.contains("Storage Blob Data Reader"), status == 3, "{problems}");
        let quiet = run(&[&arguments[..], &["-q"]].concat(), &[]);
        assert_eq!((stderr(&quiet), quiet.status.code()), (String::new(), Some(status)));
    }
    // Where no container gives anything, it ends.
    for (answer, options, says) in [
        (absent as fn(&Request) -> Option<Answer>, &["--mac", "000D3AFFFFFF"][..], "prefix or interface"),
        (|_| listing(&[OTHER]), &["--mac", "000D3AFFFFFF"], "prefix or interface"),
        (absent, &["--prefix", "no"], "prefix or interface"),
        (refused, &["--prefix", "no"], "Storage Blob Data Reader on http"),
    ] {
        check(&[&["inspect", &*account(answer).account()][..], options].concat(), &[], 4, says);
    }
}

#[test]
fn an_empty_window_is_not_a_bad_selection() {
    let fake = Fake::start(Contents { names: names(1, 2, 2, vnet), bodies: vec![blob()] }, Distance::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!("{}/y=2026/m=05/d=01/h=00/m=00/macAddress=000D3A000001", vnet(0)));
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::write(path.join("PT1H.json"), &*blob()).expect("written");
    let local = folder.path().to_str().expect("UTF-8");
    let (mac, other) = (["--mac", "000D3A000001"], ["--mac", "000D3AFFFFFF"]);
    let (prefix, no_prefix) = (["--prefix", "flowLog"], ["--prefix", "no"]);
    let window = ["--from", "2026-05-20T00:00:00Z", "--to", "2026-05-21T00:00:00Z"];
    for source in [&*fake.address(), local] {
        for verb in ["analyze", "inspect"] {
            for chosen in [&mac[..], &prefix, &[]] {
                check(&[&[verb, source][..], chosen, &window].concat(), &[], 3, "");
            }
            check(&[&[verb, source][..], &no_prefix, &window].concat(), &[], 4, "prefix or interface");
            check(&[&[verb, source][..], &other].concat(), &[], 4, "prefix or interface");
        }
    }
    // Of a local source it is known that the interface is nowhere; of a remote one, only what lies in the window.
    check(&[&["inspect", local][..], &other, &window].concat(), &[], 4, "prefix or interface");
    check(&[&["inspect", &*fake.address()][..], &other, &window].concat(), &[], 3, "");
}

#[test]
fn an_outage_of_seconds_costs_few_blobs() {
    let (gets, start) = (AtomicUsize::new(0), Mutex::new(None));
    let contents = Contents { names: names(1, 30, 4, vnet), bodies: vec![blob()] };
    let fake = Fake::guarded(contents, Distance::default(), move |request| {
        if request.query("comp").is_some() || gets.fetch_add(1, Ordering::SeqCst) < 100 {
            return None;
        }
        let start = *start.lock().expect("no panic").get_or_insert_with(Instant::now);
        (start.elapsed() < Duration::from_secs(3)).then(|| Answer::new(503, &[], ""))
    });
    let output = run(&["inspect", "--format", "json", &fake.address(), "--retries", "0"], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lost = found["input"]["unreadable_blobs"].as_u64().expect("a count");
    // Those given up before the service was known to be gone, those under way by then, and those that found out.
    assert!((32..200).contains(&lost), "{lost} of 2880 lost");
}

#[test]
fn gives_up_on_a_dead_service() {
    let gets = AtomicUsize::new(0);
    let contents = Contents { names: names(1, 30, 4, vnet), bodies: vec![blob()] };
    let fake = Fake::guarded(contents, Distance::default(), move |request| {
        let is_gone = request.query("comp").is_none() && gets.fetch_add(1, Ordering::SeqCst) >= 100;
        is_gone.then(|| Answer::new(503, &[], ""))
    });
    let start = Instant::now();
    let output = run(&["inspect", "--format", "json", &fake.address(), "--retries", "1", "--timeout", "2"], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(found["input"]["unreadable_blobs"].as_u64() > Some(2700), "{}", found["input"]["unreadable_blobs"]);
}

#[test]
fn missing_read_permission_is_reported_once() {
    let contents = || Contents { names: names(1, 2, 2, vnet), bodies: vec![blob()] };
    let refused = |request: &Request| {
        let is_read = request.query("comp").is_none();
        is_read.then(|| Answer::new(403, &[], "<Error><Code>AuthorizationPermissionMismatch</Code></Error>"))
    };
    let fake = Fake::guarded(contents(), Distance::default(), refused);
    for verb in ["analyze", "inspect"] {
        check(&[verb, &fake.address()], &[], 4, "Storage Blob Data Reader on http");
    }
    // One of a stored policy does not say what it allows.
    check(&["inspect", &format!("{}?sig=S3CR3T&si=policy&sr=c", fake.address())], &[], 4, "read and list");
    let asked = fake.gets() + fake.lists();
    for permissions in ["l", "r", "w"] {
        let address = format!("{}?sp={permissions}&sr=c&sig=S3CR3T", fake.address());
        check(&["inspect", &address], &[], 4, "create one with sp=rl");
    }
    assert_eq!(fake.gets() + fake.lists(), asked, "what a signature lacks is known without asking");
    // One blob that is refused is a problem of its own.
    let one = names(1, 2, 2, vnet)[0].clone();
    let fake = Fake::guarded(contents(), Distance::default(), move |request| {
        if request.path().ends_with(&one) { refused(request) } else { None }
    });
    let output = run(&["inspect", "--format", "json", &fake.address()], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stdout(&output).contains("\"unreadable_blobs\": 1,"), "{}", stdout(&output));
}

#[test]
fn two_signatures_for_one_container_are_refused() {
    let fake = Fake::start(Contents { names: names(1, 1, 2, vnet), bodies: vec![blob()] }, Distance::default());
    let signed = |sig: &str| format!("{}?sp=rl&sr=c&sig=S3CR3T{sig}", fake.address());
    for auth in ["auto", "sas"] {
        check(&["inspect", &signed("1"), &signed("2"), "--auth", auth], &[], 4, "two different SAS tokens");
        check(&["inspect", &signed("1"), &signed("1"), "--auth", auth], &[], 0, "");
    }
}

#[test]
fn a_million_names_take_little_memory() {
    let fake = Fake::start(Contents { names: names(10, 60, 70, vnet), bodies: vec![blob()] }, Distance::default());
    let all = command(&["inspect", &fake.address(), "--timeout", "100"]).stdout(std::process::Stdio::null()).spawn();
    let mut all = all.expect("starts");
    let peak = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let mut peaks = 0;
    // Everything is listed when the first blob is read.
    while fake.gets() == 0 && all.try_wait().expect("waits").is_none() {
        peaks = peak(all.id()).unwrap_or(peaks);
        std::thread::sleep(Duration::from_millis(2));
    }
    all.kill().expect("ends");
    all.wait().expect("ends");
    assert!(fake.lists() >= 201, "{} lists", fake.lists());
    assert!(peaks > 20_000 && peaks < 150_000, "{peaks} kB");
}

#[test]
fn tokens_are_fetched_once_and_serve_every_container() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let guard = {
        let (tokens, asked) = (Arc::clone(&tokens), Arc::clone(&asked));
        move |request: &Request| {
            let expires = "\"expires_in\": 3600, \"expires_on\": \"4070908800\"";
            if request.target.starts_with("/tenant/oauth2") || request.target.starts_with("/identity") {
                tokens.fetch_add(1, Ordering::Relaxed);
                let body = String::from_utf8_lossy(&request.body).into_owned();
                asked.lock().expect("no panic").push(format!("{} {body}", request.target));
                return Some(Answer::new(200, &[], format!("{{\"access_token\": \"S3CR3TTOKEN\", {expires}}}")));
            }
            if request.target.starts_with("/refusing/") {
                let body = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: S3CR3T\"}";
                return Some(Answer::new(401, &[], body));
            }
            let is_known = request.header("authorization") == Some("Bearer S3CR3TTOKEN");
            (!is_known).then(|| Answer::new(401, &[], "<Error><Code>InvalidAuthenticationInfo</Code></Error>"))
        }
    };
    let contents = || Contents { names: names(1, 1, 2, vnet), bodies: vec![blob()] };
    let fake = Fake::guarded(contents(), Distance::default(), guard);
    let address = fake.address();
    let authority = format!("http://127.0.0.1:{}", fake.port());
    let identity = format!("{authority}/identity");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "S3CR3TASSERTION").expect("written");
    let file = file.to_str().expect("UTF-8");
    // A login, as the Azure CLI prints it.
    let az = folder.path().join("az");
    std::fs::write(
        &az,
        format!(
            "#!/bin/sh\necho az >> {0}/calls\necho '{{\"accessToken\": \"S3CR3TTOKEN\", \"expiresOn\": \"2090-01-01 00:00:00.000000\", \"tokenType\": \"Bearer\"}}'\n",
            folder.path().display()
        ),
    )
    .expect("written");
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).expect("set");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let client = [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client"), ("AZURE_AUTHORITY_HOST", &*authority)];
    let secret = [&client[..], &[("AZURE_CLIENT_SECRET", "S3CR3T")]].concat();
    let workload = [&client[..], &[("AZURE_FEDERATED_TOKEN_FILE", file)]].concat();
    for (auth, variables, says, asks) in [
        ("env", &secret[..], "service principal", "client_secret=S3CR3T"),
        ("workload", &workload, "workload identity", "S3CR3TASSERTION"),
        ("managed", &[("IDENTITY_ENDPOINT", &*identity)], "managed identity", "resource=https"),
        ("cli", &[("PATH", &*path)], "Azure CLI", ""),
    ] {
        tokens.store(0, Ordering::Relaxed);
        asked.lock().expect("no panic").clear();
        // Two containers of one account.
        let output = run(&["inspect", "-v", &address, &format!("{address}2"), "--auth", auth], variables);
        assert!(stderr(&output).contains(says), "{auth}: {}", stderr(&output));
        let many = asked.lock().expect("no panic").clone();
        match auth {
            "cli" => {
                let calls = std::fs::read_to_string(folder.path().join("calls")).expect("it was asked");
                assert_eq!(calls.lines().count(), 1, "{calls}");
            }
            _ => assert!(many.len() == 1 && many[0].contains(asks), "{auth}: {many:?}"),
        }
    }
    let refused = [("AZURE_TENANT_ID", "refusing"), secret[1], secret[2], secret[3]];
    check(&["inspect", &address, "--auth", "env"], &refused, 4, "AZURE_CLIENT_SECRET");
    let missing = [&client[..], &[("AZURE_FEDERATED_TOKEN_FILE", "/no/such/file")]].concat();
    check(&["inspect", &address, "--auth", "workload"], &missing, 4, "AZURE_FEDERATED_TOKEN_FILE");
    std::fs::write(&az, "#!/bin/sh\necho 'Please run az login to setup account. S3CR3T' >&2\nexit 1\n")
        .expect("written");
    check(&["inspect", &address, "--auth", "cli"], &[("PATH", &*path)], 4, "run az login");
    check(&["inspect", &address, "--auth", "cli"], &[("PATH", "/nowhere")], 4, "install the Azure CLI");
    // A token of another tenant.
    check(&["inspect", &address, "--auth", "key"], &[("AZURE_STORAGE_KEY", KEY)], 4, "tenant");
}

/// Azurite behind a server that does something before it passes on a request.
fn before(azurite: &Azurite, act: impl Fn(&Request) + Send + Sync + 'static) -> crate::support::http::Server {
    let port = azurite.port;
    serve(move |request, stream| {
        act(request);
        ask(port, request)?.send(request, stream)
    })
}

/// Whether it is for more of a blob than the byte that tells whether reading is allowed.
fn is_read(request: &Request) -> bool {
    request.method == "GET" && request.query("comp").is_none() && request.range() != Some((0, 0))
}

/// A flow log as it is written: a head, records, a closing block.
pub fn blocks(records: usize) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(root().join("testdata/vnet-v4/plain.json")).expect("a sample");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let record = value["records"][0].to_string();
    let tuple = value["records"][0]["flowRecords"]["flows"][0]["flowGroups"][0]["flowTuples"][0].as_str();
    // Each about 2.6 MB, so that a blob takes several requests.
    let tuple = format!("\"{}\"", tuple.expect("a tuple"));
    let many = vec![&*tuple; 36_000].join(",");
    let record = record.replacen(&tuple, &many, 1);
    let mut blocks = vec![b"{\"records\":[".to_vec()];
    blocks.extend((0..records).map(|at| format!("{}{record}", if at > 0 { "," } else { "" }).into_bytes()));
    blocks.push(b"]}".to_vec());
    blocks
}

/// The first so many records, and the closing block.
fn committed(blocks: &[Vec<u8>], records: usize) -> Vec<&[u8]> {
    let closer = blocks.last().expect("a closer");
    blocks[..=records].iter().chain([closer]).map(Vec::as_slice).collect()
}

#[test]
fn a_blob_that_grows_while_it_is_read_is_read_to_its_new_end() {
    let azurite = Arc::new(Azurite::start());
    azurite.create_container(CONTAINER, &[]);
    let all = Arc::new(blocks(18));
    // Read as a whole, and as a piece, as big ones are.
    for (is_whole, records) in [(true, 9), (false, 15)] {
        let name = format!("{}/y=2026/m=05/d=04/h=07/m=00/macAddress=000D3A12BA87/PT1H.json", vnet(0));
        azurite.commit(&name, &committed(&all, records), 0);
        let grown = Arc::new(AtomicUsize::new(records));
        let server = {
            let (azurite, all, grown) = (Arc::clone(&azurite), Arc::clone(&all), Arc::clone(&grown));
            let gets = AtomicUsize::new(0);
            before(&azurite.clone(), move |request| {
                // A range is asked for, then it grows; and once more, while what was read is compared.
                if is_read(request) && [2, 3].contains(&(gets.fetch_add(1, Ordering::SeqCst) + usize::from(is_whole))) {
                    let count = grown.fetch_add(1, Ordering::SeqCst) + 1;
                    azurite.commit(&name, &committed(&all, count), count);
                }
            })
        };
        let address = format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", server.port);
        let found = &inspected(&[&address, "--concurrency", "1"])["input"];
        let count = grown.load(Ordering::SeqCst);
        assert_eq!(count, records + 2, "it did not grow");
        assert_eq!(found["records"].as_u64(), Some(count as u64), "{found}");
        assert_eq!(found["problem_count"].as_u64(), Some(0), "{found}");
        let size = |count| committed(&all, count).iter().map(|block| block.len()).sum::<usize>();
        assert_eq!(found["bytes"].as_u64(), Some(size(count) as u64), "{found}");
    }
}

#[test]
fn a_blob_rewritten_while_it_is_read_is_a_problem() {
    let azurite = Arc::new(Azurite::start());
    azurite.create_container(CONTAINER, &[]);
    let name = "log/PT1H.json";
    let bytes = blocks(9).concat();
    azurite.put(CONTAINER, name, bytes.clone());
    azurite.put(CONTAINER, "other/PT1H.json", std::fs::read(root().join("testdata/vnet-v4/plain.json")).expect("read"));
    let server = {
        let azurite = Arc::clone(&azurite);
        let gets = AtomicUsize::new(0);
        before(&azurite.clone(), move |request| {
            if is_read(request) && request.path().contains("/log/") && gets.fetch_add(1, Ordering::SeqCst) == 1 {
                let mut other = bytes.clone();
                // One digit of the first record.
                let at = other.windows(9).position(|w| w == b"flowTuple").expect("tuples") + 20;
                other[at] = if other[at] == b'1' { b'2' } else { b'1' };
                azurite.put(CONTAINER, name, other);
            }
        })
    };
    let address = format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", server.port);
    let output = run(&["inspect", "--format", "json", &address, "--concurrency", "1"], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let problems = found["input"]["problems"].to_string();
    assert!(problems.contains("rewritten") && problems.contains("log/PT1H.json"), "{problems}");
    assert_eq!(found["input"]["unreadable_blobs"].as_u64(), Some(1), "{found}");
    // The other blob is read, and what came before.
    assert!(found["input"]["tuples"].as_u64() > Some(1000), "{found}");
}

#[test]
fn pieces_of_a_rewritten_blob_are_not_mixed() {
    let azurite = Arc::new(Azurite::start());
    azurite.create_container(CONTAINER, &[]);
    let name = "log/PT1H.json";
    let all = blocks(31);
    let bytes = committed(&all, 30).concat();
    assert!(bytes.len() > 64 << 20, "it is read in one piece");
    // Where nobody has been when it changes: in the middle, and before the end with something added.
    let digit = |bytes: &mut Vec<u8>, near: usize| {
        let at = near + bytes[near..].windows(5).position(|w| w == b",443,").expect("tuples") + 1;
        bytes[at] = b'5';
    };
    let mut in_the_middle = bytes.clone();
    digit(&mut in_the_middle, bytes.len() / 2 - (1 << 20));
    let mut added = committed(&all, 31).concat();
    digit(&mut added, bytes.len() - 800);
    for (other, what) in [(in_the_middle, "in the middle"), (added, "before the end")] {
        azurite.put(CONTAINER, name, bytes.clone());
        let server = {
            let (azurite, gets, other) = (Arc::clone(&azurite), AtomicUsize::new(0), Mutex::new(Some(other)));
            before(&azurite.clone(), move |request| {
                // The first of the chunks, behind what tells how the blob begins and ends.
                let is_chunk = is_read(request) && request.range().is_some_and(|(start, end)| end - start > 1 << 20);
                if is_chunk
                    && gets.fetch_add(1, Ordering::SeqCst) == 1
                    && let Some(other) = other.lock().expect("no panic").take()
                {
                    azurite.put(CONTAINER, name, other);
                }
            })
        };
        let address = format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}", server.port);
        let output = run(&["inspect", "--format", "json", &address, "--concurrency", "1"], &[]);
        assert_eq!(output.status.code(), Some(3), "{what}: {} {}", stderr(&output), stdout(&output));
        assert!(stdout(&output).contains("rewritten"), "{what}: {}", stdout(&output));
    }
}

/// An Azure CLI of its own, in a folder that goes into the PATH.
fn az(folder: &std::path::Path, script: &str) -> String {
    let az = folder.join("az");
    std::fs::write(&az, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).expect("set");
    format!("{}:/usr/bin:/bin", folder.display())
}

#[test]
fn a_hanging_azure_cli_does_not_block_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = folder.path().join("started");
    let path = az(folder.path(), &format!("sleep 20 &\necho $! > {0}.new; mv {0}.new {0}; wait", started.display()));
    let address = "http://127.0.0.1:9/devstoreaccount1/logs";
    // A Ctrl-C at a terminal is for all that run there.
    for is_terminal in [false, true] {
        std::fs::remove_file(&started).ok();
        let child = command(&["inspect", address, "--auth", "cli"])
            .env("PATH", &path)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !started.exists() {
            assert!(Instant::now() < deadline, "az was not started");
            std::thread::sleep(Duration::from_millis(5));
        }
        let start = Instant::now();
        let whom = format!("{}{}", if is_terminal { "-" } else { "" }, child.id());
        let kill = std::process::Command::new("kill").args(["-INT", "--", &whom]).status();
        assert!(kill.expect("kill").success());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(130), "{is_terminal}: {}", stderr(&output));
        assert!(start.elapsed() < Duration::from_secs(3), "{is_terminal}: it took {:?}", start.elapsed());
        // What it had started has ended, too, whether anybody took note or not.
        let id = std::fs::read_to_string(&started).expect("a process");
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        // It was told to before we ended; on a busy machine it gets to it a little later, and by itself after 20 s only.
        let is_gone = || state().is_empty() || state().contains(") Z ");
        while !is_gone() {
            assert!(start.elapsed() < Duration::from_secs(6), "{is_terminal}: {}", state());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let start = Instant::now();
    check(&["inspect", address, "--auth", "cli", "--timeout", "1"], &[("PATH", &path)], 4, "--timeout");
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    let path = az(folder.path(), "echo S3CR3T; exit 0");
    check(&["inspect", address, "--auth", "cli"], &[("PATH", &path)], 4, "run az login");
    let path = az(folder.path(), "echo 'AADSTS700016: S3CR3T' >&2; exit 1");
    check(&["inspect", address, "--auth", "cli"], &[("PATH", &path)], 4, "run az login");
}

#[test]
fn both_containers_of_an_account_are_read() {
    const NSG: &str = "insights-logs-networksecuritygroupflowevent";
    let azurite = Azurite::start();
    let account = azurite.account();
    let sample = |path: &str| std::fs::read(root().join(path)).expect("a sample");
    let mut files = Vec::new();
    crate::support::archive::json_files(&root().join("testdata/nsg-v2"), &mut files);
    let nsg_file = files[0].to_str().expect("UTF-8");
    for (container, log, file) in [(CONTAINER, vnet(0), "testdata/vnet-v4/plain.json"), (NSG, nsg(0), nsg_file)] {
        azurite.create_container(container, &[]);
        let name = format!("{log}/y=2026/m=05/d=04/h=07/m=00/macAddress=000D3A12BA87/PT1H.json");
        azurite.put(container, &name, sample(file));
    }
    let tuples = |source: &str| {
        let found = inspected(&[source]);
        let versions = &found["input"]["versions"];
        let count = |name: &str| versions[name].as_u64().unwrap_or_default();
        (found["input"]["tuples"].as_u64().unwrap_or_default(), count("nsg2"), count("vnet4"))
    };
    let (vnet, nsg) = (tuples("testdata/vnet-v4/plain.json"), tuples(nsg_file));
    assert!(vnet.2 > 0 && nsg.1 > 0, "{vnet:?} {nsg:?}");
    assert_eq!(tuples(&account), (vnet.0 + nsg.0, nsg.1, vnet.2));
    let said = stderr(&run(&["inspect", &account], &[]));
    for container in [CONTAINER, NSG] {
        assert!(said.contains(&format!("found {account}/{container} (1 blobs)")), "{said}");
    }
}

#[test]
fn concurrency_is_respected() {
    for limit in [1, 4, 16] {
        // Lists, and reads.
        let most = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let (seen, now) = (Arc::clone(&most), AtomicUsize::new(0));
        let contents = Contents { names: names(3, 20, 3, vnet), bodies: vec![blob()] };
        let fake = Fake::guarded(contents, Distance::default(), move |request| {
            let count = now.fetch_add(1, Ordering::SeqCst) + 1;
            seen[usize::from(request.query("comp").is_none())].fetch_max(count, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(3));
            now.fetch_sub(1, Ordering::SeqCst);
            None
        });
        // Each day of its own, so that there is much to list.
        let window = ["--from", "2026-05-02T05:00:00Z", "--to", "2026-05-19T05:00:00Z"];
        let count = limit.to_string();
        inspected(&[&[&*fake.address(), "--concurrency", &count][..], &window].concat());
        let [lists, reads] = [0, 1].map(|at| most[at].load(Ordering::SeqCst));
        assert!(lists <= limit && reads <= limit, "{lists} lists and {reads} reads at a time, of {limit}");
        assert!(limit == 1 || lists > 1 && reads > 1, "{lists} lists and {reads} reads at a time, of {limit}");
    }
}

#[test]
fn ctrl_c_ends_a_stalled_list_and_a_stalled_read() {
    for is_list in [true, false] {
        let waits = Arc::new(AtomicUsize::new(0));
        let contents = Contents { names: names(1, 1, 2, vnet), bodies: vec![blob()] };
        let fake = {
            let waits = Arc::clone(&waits);
            Fake::guarded(contents, Distance::default(), move |request| {
                if (request.query("comp").is_some() == is_list) && (is_list || waits.load(Ordering::SeqCst) > 5) {
                    waits.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_secs(20));
                }
                waits.fetch_add(1, Ordering::SeqCst);
                None
            })
        };
        let child = command(&["inspect", &fake.address(), "--concurrency", "1"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while waits.load(Ordering::SeqCst) < if is_list { 1 } else { 7 } {
            assert!(Instant::now() < deadline, "nothing was asked");
            std::thread::sleep(Duration::from_millis(5));
        }
        let start = Instant::now();
        let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("kill").success());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
        match is_list {
            true => assert!(stderr(&output).contains("before anything was read"), "{}", stderr(&output)),
            false => assert!(stdout(&output).contains("blob"), "{}", stdout(&output)),
        }
    }
}
