//! The scope where no subnet is given: who is in it, what it costs to find, and that nothing else depends on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowgap::catalog::{Catalog, InstanceMode};
use flowgap::engine::{InputSummary, Scope, Session, SessionOptions};
use flowgap::findings::{self, Analysis, Basis, Gate};
use object_store::ObjectStore;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cases::{A, DENY, PROBE, SQL, SUBNET, TAG_FILE, check, day, deny_sql, planted, run};
use crate::sql::{Metered, scope};
use crate::support::archive::json_files;
use crate::support::archive::{Log, hours, inbound, minutes, outbound};
use crate::support::binary::{flowgap, root, stdout};
use crate::support::fake_storage::{Contents, Distance, Fake};

const TAGS: [&str; 2] = ["--service-tags", TAG_FILE];

fn open_scope() -> Scope {
    scope(Catalog::NEWEST, true).with_subnets(Vec::new())
}

struct Analyzed {
    analysis: Analysis,
    /// The scope in the end.
    scope: Scope,
    input: InputSummary,
    /// Bytes read of files, after planning.
    bytes: u64,
}

async fn analyzed(folder: &Path, scope: Scope) -> Analyzed {
    let source = folder.to_str().expect("UTF-8").parse().expect("a folder");
    let mut session =
        Session::open(std::slice::from_ref(&source), scope, SessionOptions::default()).await.expect("opens");
    let store = Arc::new(Metered::default());
    session.put_store(&source, Arc::clone(&store) as Arc<dyn ObjectStore>);
    let analysis = findings::analyze(&mut session, &Gate::default()).await.expect("analyzes");
    Analyzed { analysis, scope: (**session.scope()).clone(), input: session.input(), bytes: store.bytes() }
}

/// An analysis without what tells how its scope was found, nor where its blobs lie.
fn comparable(analysis: &Analysis) -> Value {
    let mut analysis = serde_json::to_value(analysis).expect("prints");
    analysis["scope"]["subnets_inferred"] = Value::Null;
    analysis["subnets_seen"] = Value::Null;
    // By the names of blobs.
    analysis["archive"] = Value::Null;
    analysis["notices"].as_array_mut().expect("a list").retain(|notice| notice["code"] != "subnet-inferred");
    let problems = analysis["input"]["problems"].as_array_mut().expect("a list");
    problems.iter_mut().for_each(|problem| problem["blob"] = Value::Null);
    analysis
}

/// 73 MB of two interfaces, with damage in the beginning of the first blob.
struct Large {
    _folder: TempDir,
    path: PathBuf,
    files: Vec<PathBuf>,
    size: u64,
}

impl Large {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("archive");
        let dir = path.to_str().expect("UTF-8");
        let options = ["--hours", "24", "--interfaces", "2", "--tuples-per-minute", "350"];
        let made = flowgap(&[&["generate", dir], &options[..], &TAGS].concat());
        assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
        let mut files = Vec::new();
        json_files(&path, &mut files);
        files.retain(|file| file.ends_with("PT1H.json"));
        files.sort();
        let first = files.first().expect("a blob");
        let mut bytes = std::fs::read(first).expect("readable");
        bytes[20_000..20_040].fill(b'x');
        std::fs::write(first, bytes).expect("written");
        let size = files.iter().map(|file| file.metadata().expect("metadata").len()).sum();
        Self { _folder: folder, path, files, size }
    }

    fn name<'a>(&self, file: &'a Path) -> &'a str {
        file.strip_prefix(&self.path).expect("below").to_str().expect("UTF-8")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_costs_little_and_changes_nothing_but_the_scope() {
    let large = Large::new();
    let size = large.size;
    assert!(size > 64 << 20, "{size} bytes are too few for a look");
    let found = analyzed(&large.path, open_scope()).await;
    assert_eq!(found.analysis.basis(), Basis::Inferred);
    assert_eq!(found.analysis.scope.subnets, ["10.20.1.0/24"]);
    assert_eq!(found.scope.members().len(), 2);
    // Both show themselves in their first blobs, which ends the search: their other blobs are not looked at.
    let look = found.bytes - size;
    assert!(look > 0 && look <= size / 25 / 2, "{look} bytes more than {size}");
    let [seen] = found.analysis.subnets_seen.as_slice() else { panic!("{:?}", found.analysis.subnets_seen) };
    assert_eq!((&*seen.cidr, seen.machines, seen.looks_like_apim), ("10.20.1.0/24", 2, true));

    let given = analyzed(&large.path, found.scope.clone()).await;
    assert_eq!((given.analysis.basis(), given.bytes), (Basis::Given, size));
    assert!(given.input.problem_count > 0, "damage in the part that was looked at");
    assert_eq!(found.input, given.input, "what was looked at counts once");
    assert_eq!(comparable(&found.analysis), comparable(&given.analysis));

    // Where no path names an interface, one scan keeps all of them.
    let flat = large.path.with_file_name("flat");
    std::fs::create_dir(&flat).expect("a folder");
    for (nr, file) in large.files.iter().enumerate() {
        std::fs::hard_link(file, flat.join(format!("{nr:03}.json"))).expect("linked");
    }
    let kept = analyzed(&flat, open_scope()).await;
    assert_eq!((kept.analysis.basis(), kept.bytes), (Basis::Inferred, size));
    assert_eq!(kept.scope.members(), found.scope.members());
    assert_eq!(comparable(&kept.analysis), comparable(&found.analysis));
}

#[test]
fn remote_archives_are_looked_at_likewise() {
    let large = Large::new();
    let names: Vec<String> = large.files.iter().map(|file| large.name(file).to_owned()).collect();
    let bodies = large.files.iter().map(|file| Arc::new(std::fs::read(file).expect("readable"))).collect();
    let fetched = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetched);
    let fake = Fake::guarded(Contents { names, bodies }, Distance::default(), move |request| {
        if let Some((start, end)) = request.range() {
            counted.fetch_add(end + 1 - start, Ordering::Relaxed);
        }
        None
    });
    let analyze = |source: &str| stdout(&flowgap(&[&["analyze", source, "--format", "json"], &TAGS[..]].concat()));
    let remote = analyze(&fake.address());
    let local = analyze(large.path.to_str().expect("UTF-8"));
    assert!(remote.contains("\"subnets_inferred\": true"), "{remote}");
    let comparable = |text: &str| {
        let mut analysis: Value = serde_json::from_str(text).expect("JSON");
        // On disk other files lie beside the blobs.
        analysis["archive"]["blobs_listed"] = Value::Null;
        analysis
    };
    assert_eq!(comparable(&remote.replace(&fake.address(), large.path.to_str().expect("UTF-8"))), comparable(&local));
    let fetched = fetched.load(Ordering::Relaxed) as u64;
    assert!((large.size..=large.size + large.size / 20).contains(&fetched), "{fetched} bytes of {}", large.size);
    // One round of one request for each interface, and one that asks whether reading is allowed.
    assert!(fake.gets() <= large.files.len() + 2 + 1, "{} requests", fake.gets());
}

/// Probes of an interface, decided by an NSG.
fn probed(log: &mut Log, ip: &str, acl: &str) {
    (0..3).for_each(|hour| log.allowed(inbound(hours(hour) + minutes(1), PROBE, ip, 6390).acl(acl)));
}

fn nsg(name: &str) -> String {
    format!("/subscriptions/x/resourceGroups/rg-example/providers/Microsoft.Network/networkSecurityGroups/{name}")
}

#[test]
fn units_of_an_instance_are_one_scope() {
    let mut log = Log::vnet();
    let units: Vec<String> = (4..16).map(|unit| format!("10.30.1.{unit}")).collect();
    for (nr, unit) in units.iter().enumerate() {
        // Names of ACLs differ in case.
        probed(&mut log, unit, &if nr % 2 == 0 { nsg("nsg-apim") } else { nsg("NSG-APIM").to_uppercase() });
        (0..3).for_each(|hour| log.denied(outbound(planted(hour), unit, SQL, 1433).acl(&nsg("nsg-apim")), DENY));
    }
    let run = run(&log, &TAGS);
    run.expect(1, 1);
    check(&run.analysis["scope"], json!({"subnets": [SUBNET], "subnets_inferred": true}));
    check(run.find("APIM-OUT-SQL"), json!({"subnet": SUBNET, "denied_tuples": 36}));
}

#[test]
fn instances_with_nsgs_of_their_own_are_scopes_of_their_own() {
    let mut log = Log::vnet();
    for ip in ["10.30.1.4", "10.30.1.5"] {
        probed(&mut log, ip, &nsg("nsg-one"));
    }
    for ip in ["10.30.1.36", "10.30.1.38"] {
        probed(&mut log, ip, &nsg("nsg-two"));
    }
    for ip in ["10.30.1.4", "10.30.1.36"] {
        // What the platform or an admin decides says nothing about the subnet.
        let zero = "00000000-0000-0000-0000-000000000000";
        log.allowed(inbound(minutes(3), "198.51.100.1", ip, 50_000).acl(zero).rule("PlatformRule"));
        log.denied(inbound(minutes(3), "198.51.100.1", ip, 445).acl(&nsg("admin")), "BlockHighRiskPorts");
        (0..3).for_each(|hour| {
            log.denied(
                outbound(planted(hour), ip, SQL, 1433).acl(&nsg(if ip.ends_with(".4") {
                    "nsg-one"
                } else {
                    "nsg-two"
                })),
                DENY,
            )
        });
    }
    let run = run(&log, &TAGS);
    check(&run.analysis["scope"], json!({"subnets": ["10.30.1.4/31", "10.30.1.36/30"], "subnets_inferred": true}));
    let sql = |subnet: &str| {
        run.findings().iter().filter(|f| f["requirement"] == "APIM-OUT-SQL" && f["subnet"] == subnet).count()
    };
    assert_eq!([sql("10.30.1.4/31"), sql("10.30.1.36/30")], [1, 1]);
}

/// Findings as they are under any subnet, which explanations name.
fn without_subnets(analysis: &Value) -> Vec<String> {
    let text = |finding: &Value| {
        let subnet = finding["subnet"].as_str().expect("a subnet").to_owned();
        // Commands describe and name their rule by the id.
        let id = finding["id"].as_str().and_then(|id| id.strip_prefix("F-")).expect("an id").to_owned();
        let mut finding = finding.clone();
        for key in ["id", "fingerprint", "rank"] {
            finding[key] = Value::Null;
        }
        finding.to_string().replace(&subnet, "SUBNET").replace(&id, "ID")
    };
    let mut findings: Vec<String> = analysis["findings"].as_array().expect("a list").iter().map(text).collect();
    findings.sort();
    findings
}

#[test]
fn given_addresses_find_what_inferred_ones_do() {
    let mut log = day(&["APIM-OUT-SQL"]);
    let other = "10.30.2.9";
    probed(&mut log, other, &nsg("nsg-other"));
    deny_sql(&mut log, 0..24);
    for hour in 0..24 {
        let time = planted(hour);
        // Between both, and refused or unanswered where others logged it.
        log.denied(outbound(time, A, other, 6381), DENY);
        log.denied(outbound(time, A, other, 6382).far(), "UserRule_deny-others");
        log.denied(outbound(time, other, "10.30.9.9", 53).udp().far(), "UserRule_deny-spokes");
        log.unanswered(outbound(time, other, "10.30.9.9", 53).far());
        log.denied(inbound(time, "10.30.9.9", A, 443).far(), "UserRule_deny-apim");
        // Nobody's.
        log.denied(outbound(time, "10.30.9.9", SQL, 1433), DENY);
    }
    let inferred = run(&log, &TAGS);
    check(&inferred.analysis["scope"], json!({"subnets": [SUBNET, "10.30.2.0/24"], "subnets_inferred": true}));
    let given = run(&log, &[&TAGS[..], &["--subnet", "10.30.1.4/32", "--subnet", "10.30.2.9/32"]].concat());
    let findings = without_subnets(&inferred.analysis);
    assert!(findings.len() >= 5, "{}", findings.join("\n"));
    assert_eq!(findings, without_subnets(&given.analysis));
    for key in ["input", "unmatched_denied"] {
        assert_eq!(inferred.analysis[key], given.analysis[key], "{key}");
    }
}

#[tokio::test]
async fn subnets_with_flows_are_named_if_the_given_one_has_none() {
    let mut log = day(&[]);
    (0..24).for_each(|hour| log.allowed(outbound(planted(hour), "10.99.7.7", SQL, 1433)));
    let folder = log.write();
    let wrong = open_scope().with_subnets(vec!["10.31.0.0/24".parse().expect("valid")]);
    let wrong = analyzed(folder.path(), wrong).await;
    let seen = |analysis: &Analysis| {
        let seen = analysis.subnets_seen.iter();
        seen.map(|s| (s.cidr.clone(), s.machines, s.flows, s.looks_like_apim, s.why.clone())).collect::<Vec<_>>()
    };
    let why = Some("the load balancer of Azure probes 10.30.1.4 on port 6390".to_owned());
    // Nine connections an hour, each with its begin and its end.
    let expected =
        [("10.30.1.0/24".to_owned(), 1, 24 * 9 * 2, true, why), ("10.99.7.0/24".to_owned(), 1, 48, false, None)];
    assert_eq!(seen(&wrong.analysis), expected);
    assert_eq!(wrong.input.counts.tuples, 24 * 10 * 2);
    assert_eq!(seen(&analyzed(folder.path(), open_scope()).await.analysis), expected);
    let right = analyzed(folder.path(), scope(Catalog::NEWEST, true)).await;
    assert_eq!(right.analysis.basis(), Basis::Given);
}

#[tokio::test]
async fn many_interfaces_that_do_not_show_themselves_are_grouped_soon() {
    let mut log = Log::vnet();
    for nr in 0..2000_u32 {
        let ip = std::net::Ipv4Addr::from(0x0a28_0000 + nr);
        log.denied(
            outbound(minutes(i64::from(nr % 50)), &ip.to_string(), SQL, 1433).acl(&nsg(&format!("n{}", nr / 300))),
            DENY,
        );
    }
    let folder = log.write();
    let analyzed = analyzed(folder.path(), open_scope()).await;
    assert_eq!(analyzed.analysis.basis(), Basis::Unknown);
    assert_eq!((analyzed.scope.members().len(), analyzed.analysis.subnets_seen.len()), (2000, 8));
    // Blocks with two NSGs are two scopes.
    assert!((8..=16).contains(&analyzed.scope.subnets().len()), "{:?}", analyzed.analysis.scope.subnets);
    let denied: i64 = analyzed.analysis.findings.iter().map(|f| f.denials.denied_tuples).sum();
    assert_eq!(denied, 2000);
}

/// The case that people brought, where it is at hand.
#[test]
fn twelve_units_have_one_cause() {
    let case = root().join("../shared/cases/43-twelve-units/insights-logs-flowlogflowevent");
    let tags = root().join("../shared/data/ServiceTags_Public.json");
    if !case.exists() || !tags.exists() {
        return println!("not run: {} is not there", case.display());
    }
    let [case, tags] = [&case, &tags].map(|path| path.to_str().expect("UTF-8"));
    let output = flowgap(&["analyze", case, "--service-tags", tags, "--format", "json"]);
    let analysis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    check(&analysis["scope"], json!({"subnets": ["10.50.1.0/24"], "subnets_inferred": true}));
    assert_eq!(analysis["findings"].as_array().expect("a list").len(), 5, "{:#}", analysis["findings"]);
    assert_eq!(analysis["causes"].as_array().expect("a list").len(), 1, "{:#}", analysis["causes"]);
}

#[test]
fn a_scope_reads_back_as_it_was_written() {
    let member = ("10.30.1.4".parse().expect("an address"), 0);
    let scope = scope("2023-11-stv2", true)
        .with_members(vec!["10.30.1.0/24".parse().expect("valid")], vec![member])
        .with_vnet_mode(Some(InstanceMode::Internal));
    let written = serde_json::to_string(&scope).expect("JSON");
    let read: Scope = serde_json::from_str(&written).expect("a scope");
    assert_eq!(serde_json::to_string(&read).expect("JSON"), written);
    assert_eq!((read.members(), read.blocks()), (scope.members(), scope.blocks()));
    assert_eq!((read.requirements(), read.edition().id()), (scope.requirements(), "2023-11-stv2"));
    let tag = |scope: &Scope| scope.service_tags().and_then(|tags| tags.tag(SQL.parse().ok()?)).map(str::to_owned);
    assert!(tag(&scope).is_some());
    assert_eq!(tag(&read), tag(&scope));
    let unknown = written.replace("\"edition\":{\"edition\":\"2023-11-stv2\"", "\"edition\":{\"edition\":\"2016-13\"");
    assert_ne!(unknown, written);
    let error = serde_json::from_str::<Scope>(&unknown).expect_err("no such edition");
    assert!(error.to_string().contains("the port table has no edition '2016-13'"), "{error}");
}
