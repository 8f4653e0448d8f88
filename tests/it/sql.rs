//! The engine: golden SQL, queries against their slow references, pushdown, scan units, counters.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use flowgap::catalog::{Catalog, Edition, ServiceTags};
use flowgap::decode::{Options, TimeRange, probe_head};
use flowgap::engine::{
    Control, Receipt, Receipts, ScanUnit, Scanned, Scope, Session, SessionOptions, UnitContents, UnitPlanner, read_unit,
};
use flowgap::findings::{self, Gate};
use flowgap::queries;
use flowgap::schema::Text;
use flowgap::source::read::ranges;
use flowgap::source::{Blob, BlobList, DisplayPath, Selection, Source, Stores, list};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use proptest::prelude::*;

use crate::support::binary::root;

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";

pub fn scope(edition: &str, tags: bool) -> Scope {
    let tags = tags.then(|| {
        let json = std::fs::read(root().join("testdata/tags/ServiceTags_Example_20260504.json")).expect("tags");
        ServiceTags::from_json(&json).expect("valid")
    });
    let edition = Edition::new(Arc::new(Catalog::built_in().expect("valid")), edition).expect("an edition");
    Scope::new(edition).with_subnets(vec!["10.20.1.0/24".parse().expect("valid")]).with_service_tags(tags)
}

pub fn source(path: &str) -> Source {
    root().join(path).to_str().expect("UTF-8").parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

async fn session(path: &str, scope: Scope, options: SessionOptions) -> Session {
    Session::open(&[source(path)], scope, options).await.unwrap_or_else(|e| panic!("{path}: {e}"))
}

async fn open(path: &str) -> Session {
    session(path, scope(Catalog::NEWEST, false), SessionOptions::default()).await
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("prints")).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | "));
        }
    }
    lines
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    lines(&session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")))
}

#[tokio::test]
async fn golden_sql() {
    let path = root().join("tests/golden/sql.txt");
    let mut text = String::new();
    for (source, sql) in [
        (
            "testdata/nsg-v2",
            "SELECT log_kind, log_version, decision, state, count(*) FROM flows GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        ),
        (
            "testdata/nsg-v2",
            "SELECT min(time), max(time), count(DISTINCT rule), count(DISTINCT mac), sum(bytes_sent) FROM flows",
        ),
        (
            "testdata/nsg-v1",
            "SELECT blob, count(*) FROM (SELECT split_part(blob, '/testdata/', 2) AS blob FROM flows) GROUP BY 1 ORDER BY 1",
        ),
        (
            "testdata/vnet-v4",
            "SELECT blob, count(*) FROM (SELECT split_part(blob, '/testdata/', 2) AS blob FROM flows) GROUP BY 1 ORDER BY 1",
        ),
        ("testdata/vnet-v4", "SELECT encryption, protocol, count(*) FROM flows GROUP BY 1, 2 ORDER BY 1, 2"),
        ("testdata/vnet-v4/ipv6.json", "SELECT src_ip, dst_ip, dst_port FROM flows ORDER BY 1, 2, 3"),
        (ARCHIVE, "SELECT rule, decision, count(*) FROM flows GROUP BY 1, 2 ORDER BY 1, 2"),
        (
            "testdata",
            "SELECT nsg, count(*) FROM flows WHERE nsg LIKE '%nsg%' AND decision = 'deny' GROUP BY nsg ORDER BY nsg",
        ),
        (
            ARCHIVE,
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'flows'",
        ),
        (ARCHIVE, "SELECT id, ports, necessity, impact FROM requirements ORDER BY id"),
    ] {
        let session = open(source).await;
        text += &format!("-- {source}\n{sql}\n{}\n\n", rows(&session, sql).await.join("\n"));
    }
    if std::env::var_os("FLOWGAP_BLESS").is_some() {
        std::fs::write(&path, &text).expect("golden is written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(golden == text, "{} differs; FLOWGAP_BLESS=1 rewrites it. Now:\n{text}", path.display());
}

#[tokio::test]
async fn findings_equal_the_literal_join() {
    let mut compared = 0;
    for path in [ARCHIVE, "testdata/nsg-v2", "testdata/vnet-v4"] {
        for edition in ["2016-12", "2023-11-stv2", "2026-04-30"] {
            for tags in [false, true] {
                let mut session = session(path, scope(edition, tags), SessionOptions::default()).await;
                let analysis =
                    findings::analyze(&mut session, &Gate::default()).await.unwrap_or_else(|e| panic!("{path}: {e}"));
                let mut found: Vec<String> = analysis
                    .findings
                    .iter()
                    .filter(|f| f.identity.kind.is_denial() && !f.subject.candidates.is_empty())
                    .map(|f| {
                        let [acl, rule] = [&f.blame.acl, &f.blame.rule].map(|name| name.as_deref().unwrap_or_default());
                        let key = [f.subject.direction.name(), f.subject.vantage.name(), &f.subject.subnet, acl, rule]
                            .join(" | ");
                        format!("{} | {key} | {}", f.subject.candidates.join(","), f.denials.denied_tuples)
                    })
                    .collect();
                found.sort();
                compared += found.len();
                let mut literal =
                    lines(&session.collect(queries::REFERENCE, vec![]).await.expect("the reference runs"));
                literal.sort();
                assert_eq!(found, literal, "{path} {edition} tags {tags}");
            }
        }
    }
    assert!(compared > 40, "only {compared} findings compared");
}

#[tokio::test]
async fn pushed_conditions_keep_the_same_rows() {
    let mut pushed = 0;
    for path in [ARCHIVE, "testdata/nsg-v2", "testdata/broken"] {
        let session = open(path).await;
        // Each with the same condition in a form that the decoder cannot evaluate.
        for (plain, hidden, shows) in [
            ("decision = 'deny'", "decision || '' = 'deny'", "decision=deny"),
            ("decision <> 'deny'", "decision || '' <> 'deny'", "decision=allow"),
            ("'inbound' = direction", "direction || '' = 'inbound'", "direction=inbound"),
            ("direction != 'inbound'", "direction || '' != 'inbound'", "direction=outbound"),
            ("protocol = 'UDP'", "protocol || '' = 'UDP'", "protocol=UDP"),
            ("protocol IN ('TCP', '1', 'none')", "protocol || '' IN ('TCP', '1', 'none')", "protocol=TCP;1"),
            ("dst_port = 443", "dst_port + 0 = 443", "dst_port=443"),
            ("dst_port IN (53, 443, 1433)", "dst_port + 0 IN (53, 443, 1433)", "dst_port=53;443;1433"),
            ("dst_port BETWEEN 1000 AND 4000", "dst_port + 0 BETWEEN 1000 AND 4000", "dst_port=1000-4000"),
            ("src_port < 50000", "src_port + 0 < 50000", "src_port=0-49999"),
            ("src_port >= 50000", "src_port + 0 >= 50000", "src_port=50000-65535"),
            ("443 > dst_port", "443 > dst_port + 0", "dst_port=0-442"),
            ("dst_port <= 443 AND dst_port > 80", "dst_port + 0 <= 443 AND dst_port + 0 > 80", "dst_port=81-443"),
            (
                "decision = 'deny' AND direction = 'outbound' AND dst_port = 1433 AND protocol = 'TCP'",
                "decision || '' = 'deny' AND direction || '' = 'outbound' AND dst_port + 0 = 1433 AND protocol || '' = 'TCP'",
                "decision=deny direction=outbound protocol=TCP dst_port=1433",
            ),
            ("decision = 'maybe'", "decision || '' = 'maybe'", ""),
            ("dst_port = 443 AND rule LIKE 'User%'", "dst_port + 0 = 443 AND rule LIKE 'User%'", "dst_port=443"),
        ] {
            let count =
                |condition: &str| format!("SELECT count(*), min(time), max(dst_ip) FROM flows WHERE {condition}");
            assert_eq!(rows(&session, &count(plain)).await, rows(&session, &count(hidden)).await, "{path}: {plain}");
            let plan = rows(&session, &format!("EXPLAIN {}", count(plain))).await.join("\n");
            assert!(shows.is_empty() || plan.contains(&format!("pushed=[{shows}]")), "{plain}: {plan}");
            let plan = rows(&session, &format!("EXPLAIN {}", count(hidden))).await.join("\n");
            assert!(plan.contains("pushed=[]"), "{hidden}: {plan}");
            pushed += usize::from(!shows.is_empty());
        }
    }
    assert!(pushed > 40);
}

/// Conditions, each with the same one in a form that the decoder cannot evaluate. States and addresses first.
const CONDITIONS: [(&str, &str, &str); 22] = [
    ("state = 'begin'", "state || '' = 'begin'", "state=begin"),
    ("state IN ('end', 'continue', 'none')", "state || '' IN ('end', 'continue', 'none')", "state=end;continue"),
    ("dst_ip = '10.20.1.4'", "dst_ip || '' = '10.20.1.4'", "dst_ip=10.20.1.4/32"),
    ("'2001:db8::5' = src_ip", "'2001:db8::5' = src_ip || ''", "src_ip=2001:db8::5/128"),
    // Addresses are compared as text: these are spelled in another way.
    ("dst_ip IN ('010.20.1.4', '2001:DB8::5')", "dst_ip || '' IN ('010.20.1.4', '2001:DB8::5')", "dst_ip="),
    (
        "src_ip IN ('10.20.1.4', '10.20.1.5', 'x')",
        "src_ip || '' IN ('10.20.1.4', '10.20.1.5', 'x')",
        "src_ip=10.20.1.4/32;10.20.1.5/32",
    ),
    ("ip_in(dst_ip, '10.20.1.0/24')", "ip_in(dst_ip || '', '10.20.1.0/24')", "dst_ip=10.20.1.0/24"),
    (
        "ip_in(src_ip, '192.0.2.0/25; 10.20.0.0/16;10.20.1.0/24')",
        "ip_in(src_ip || '', '192.0.2.0/25; 10.20.0.0/16;10.20.1.0/24')",
        "src_ip=10.20.0.0/16;192.0.2.0/25",
    ),
    (
        "ip_in(src_ip, '10.20.1.0/24') OR ip_in(dst_ip, '10.20.1.0/24')",
        "ip_in(src_ip || '', '10.20.1.0/24') OR ip_in(dst_ip || '', '10.20.1.0/24')",
        "src_ip|dst_ip=10.20.1.0/24",
    ),
    (
        "src_ip = '168.63.129.16' OR dst_ip = '168.63.129.16'",
        "src_ip || '' = '168.63.129.16' OR dst_ip || '' = '168.63.129.16'",
        "src_ip|dst_ip=168.63.129.16/32",
    ),
    ("ip_in(dst_ip, '2001:db8::/32')", "ip_in(dst_ip || '', '2001:db8::/32')", "dst_ip=2001:db8::/32"),
    ("ip_in(dst_ip, '::/0')", "ip_in(dst_ip || '', '::/0')", ""),
    ("decision = 'deny'", "decision || '' = 'deny'", "decision=deny"),
    ("direction <> 'inbound'", "direction || '' <> 'inbound'", "direction=outbound"),
    ("protocol = 'TCP'", "protocol || '' = 'TCP'", "protocol=TCP"),
    ("dst_port BETWEEN 400 AND 4000", "dst_port + 0 BETWEEN 400 AND 4000", "dst_port=400-4000"),
    ("src_port >= 50000", "src_port + 0 >= 50000", "src_port=50000-65535"),
    (
        "time >= '2026-05-04T10:00:00Z'",
        "time + INTERVAL '0 hours' >= '2026-05-04T10:00:00Z'",
        "time>=2026-05-04T10:00:00.000Z",
    ),
    (
        "time < TIMESTAMP '2026-05-04 12:30:00' AND time > '2026-03-11T08:00:00+01:00'",
        "time + INTERVAL '0 hours' < TIMESTAMP '2026-05-04 12:30:00' AND time + INTERVAL '0 hours' > '2026-03-11T08:00:00+01:00'",
        "time>=2026-03-11T07:00:00.001Z time<2026-05-04T12:30:00.000Z",
    ),
    (
        "time BETWEEN '2026-05-04' AND '2026-05-04T23:59:59.999Z'",
        "time + INTERVAL '0 hours' BETWEEN '2026-05-04' AND '2026-05-04T23:59:59.999Z'",
        "time>=2026-05-04T00:00:00.000Z time<2026-05-05T00:00:00.000Z",
    ),
    (
        "TIMESTAMP '2026-03-11 09:00:00' >= time",
        "TIMESTAMP '2026-03-11 09:00:00' >= time + INTERVAL '0 hours'",
        "time<2026-03-11T09:00:00.001Z",
    ),
    (
        "time = '2026-05-04T06:04:26.095Z'",
        "time + INTERVAL '0 hours' = '2026-05-04T06:04:26.095Z'",
        "time>=2026-05-04T06:04:26.095Z time<2026-05-04T06:04:26.096Z",
    ),
];

#[tokio::test]
async fn pushed_states_and_addresses_keep_the_same_rows() {
    let mut kept = BTreeMap::new();
    for path in [ARCHIVE, "testdata/nsg-v2", "testdata/broken"] {
        let session = open(path).await;
        for (plain, hidden, shows) in CONDITIONS {
            let count =
                |condition: &str| format!("SELECT count(*), min(time), max(dst_ip) FROM flows WHERE {condition}");
            let found = rows(&session, &count(plain)).await;
            assert_eq!(found, rows(&session, &count(hidden)).await, "{path}: {plain}");
            *kept.entry(plain).or_insert(0) += usize::from(!found[0].starts_with("0 "));
            let plan = rows(&session, &format!("EXPLAIN {}", count(plain))).await.join("\n");
            assert!(plan.contains(&format!("pushed=[{shows}]")), "{plain}: {plan}");
            let plan = rows(&session, &format!("EXPLAIN {}", count(hidden))).await.join("\n");
            assert!(plan.contains("pushed=[]"), "{hidden}: {plan}");
        }
    }
    // Otherwise it would prove little.
    assert!(kept.values().filter(|found| **found > 0).count() > 13, "{kept:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pushed_or_not_any_conditions_keep_the_same_rows(
        path in prop::sample::select(vec![ARCHIVE, "testdata/nsg-v2", "testdata/broken"]),
        asked in prop::collection::vec((0..CONDITIONS.len(), any::<bool>(), any::<bool>()), 1..5),
    ) {
        let condition = |is_plain: bool| {
            let mut text = "true".to_owned();
            for &(nr, is_negated, is_or) in &asked {
                let (plain, hidden, _) = CONDITIONS[nr];
                let (one, not) = (if is_plain { plain } else { hidden }, if is_negated { "NOT " } else { "" });
                text = format!("({text}) {} {not}({one})", if is_or && text != "true" { "OR" } else { "AND" });
            }
            format!("SELECT count(*), min(time), max(time), max(src_ip), sum(dst_port) FROM flows WHERE {text}")
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let session = open(path).await;
            let expected = rows(&session, &condition(false)).await;
            prop_assert_eq!(rows(&session, &condition(true)).await, expected, "{}", condition(true));
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_a_join_finds_out_reaches_the_decoder() {
    let session = open(ARCHIVE).await;
    // Ports of another type than ours, addresses as text, and columns under each other's names.
    for (join, hidden, decoded) in [
        ("few.port = f.dst_port", "few.port = f.dst_port + 0", "dst_port IN (443, 1433)"),
        ("few.ip = f.dst_ip", "few.ip = f.dst_ip || ''", "dst_ip IN ('10.20.1.4', '10.20.1.5')"),
        ("few.port = f.turned", "few.port = f.turned + 0", "src_port IN (443, 1433)"),
    ] {
        let ask = |join: &str| {
            format!(
                "SELECT count(*), sum(f.src_port), max(f.time)
                FROM (VALUES (443, '10.20.1.4'), (1433, '10.20.1.5')) few (port, ip)
                JOIN (SELECT *, src_port AS turned FROM flows) f ON {join}"
            )
        };
        assert_eq!(rows(&session, &ask(join)).await, rows(&session, &ask(hidden)).await, "{join}");
        let plan = rows(&session, &format!("EXPLAIN ANALYZE {}", ask(join))).await.join("\n");
        let scan = plan.lines().find(|line| line.contains("DataSourceExec: file_groups")).expect("a scan");
        assert!(scan.contains("dynamic=["), "{plan}");
        let count = rows(&session, &format!("SELECT count(*) FROM flows WHERE {decoded}")).await;
        let shown = match count[0].parse::<f64>().expect("a number") {
            few if few < 1000.0 => count[0].clone(),
            many => format!("{:.2} K", many / 1000.0),
        };
        assert!(scan.contains(&format!("output_rows={shown},")), "{join}: not {shown} rows: {plan}");
    }
}

#[tokio::test]
async fn ip_in_takes_prefixes_and_nothing_else() {
    let session = open(ARCHIVE).await;
    let is_in = |ip: &str, list: &str| format!("SELECT ip_in({ip}, {list})");
    for (ip, list, expected) in [
        ("'10.20.1.4'", "'10.20.1.0/24'", "true"),
        ("'10.20.2.4'", "'10.20.1.0/24; 10.20.2.4'", "true"),
        ("'::ffff:10.20.1.4'", "'10.20.1.0/24'", "true"),
        ("'2001:db8::1'", "'10.20.1.0/24;2001:db8::/64'", "true"),
        ("'10.20.3.4'", "'10.20.1.0/24'", "false"),
        ("'no address'", "'10.20.1.0/24'", "null"),
        ("NULL", "'10.20.1.0/24'", "null"),
        ("'10.20.1.4'", "NULL", "null"),
    ] {
        assert_eq!(rows(&session, &is_in(ip, list)).await, [expected], "{ip} in {list}");
    }
    for list in ["'10.20.1.0/33'", "''", "'10.20.1.0/24,10.20.2.0/24'", "'net'"] {
        let asked = format!("SELECT count(*) FROM flows WHERE ip_in(dst_ip, {list})");
        let error = session.sql(&asked).await.expect_err("no prefix").to_string();
        assert!(
            error.contains("ip_in: ") && error.contains("is not a CIDR block such as 10.0.0.0/24"),
            "{list}: {error}"
        );
    }
}

#[tokio::test]
async fn contradictions_keep_nothing() {
    let session = open(ARCHIVE).await;
    for condition in ["decision = 'deny' AND decision = 'allow'", "dst_port = 1 AND dst_port = 2", "protocol = 'x'"] {
        assert_eq!(
            rows(&session, &format!("SELECT count(*) FROM flows WHERE {condition}")).await,
            ["0"],
            "{condition}"
        );
    }
}

/// All rows of units, in order, as text.
async fn scan(units: &[Arc<ScanUnit>], options: &Options) -> Vec<String> {
    let stores = Stores::default();
    let store = stores.open(&source(ARCHIVE)).expect("the file system").objects;
    let mut rows = Vec::new();
    for unit in units {
        let mut scanned = read_unit(Arc::clone(&store), Arc::clone(unit), options.clone(), 0, Control::default());
        while let Some(item) = scanned.next().await {
            if let Scanned::Batch(batch) = item {
                rows.extend(lines(&[batch]));
            }
        }
    }
    rows
}

/// The units of a source, members of archives included.
pub async fn planned(source: &Source) -> Vec<Arc<ScanUnit>> {
    let opened = Stores::default().open(source).expect("the file system");
    let mut planner = UnitPlanner::new(true);
    let listing = list(&opened, source, &Selection::default(), |blob| planner.take(&blob)).await.expect("listed");
    listing.archives.into_iter().for_each(|members| planner.take_members(members));
    planner.units(&*opened.objects, &listing.shown).await
}

#[tokio::test]
async fn units_and_options_travel_as_plain_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let packed = ["deflated", "gnu", "tgz"].map(|kind| {
        let archive = folder.path().join(kind);
        crate::members::pack(kind, &root().join(ARCHIVE), &archive);
        archive.to_str().expect("UTF-8").to_owned()
    });
    let options = Options {
        window: TimeRange { from: Some(1_777_874_400_000), to: None },
        text: Text::Plain,
        numbers: [false, true],
        batch_size: 100,
        hour: Some(1_777_874_400_000),
        ..Options::default()
    };
    for place in [ARCHIVE].into_iter().chain(packed.iter().map(String::as_str)) {
        let units = planned(&source(place)).await;
        let has_members = units.iter().any(|unit| matches!(unit.reading, UnitContents::Members(_)));
        assert_eq!(has_members, place != ARCHIVE, "{place}");
        let here = scan(&units, &options).await;
        assert!(here.len() > 5000, "{place}: {} rows", here.len());
        let plain: Vec<&ScanUnit> = units.iter().map(|unit| &**unit).collect();
        let wire = serde_json::to_vec(&(&plain, &options)).expect("encodes");
        let (arrived, options): (Vec<ScanUnit>, Options) = serde_json::from_slice(&wire).expect("decodes");
        assert!(arrived.iter().eq(plain), "{place}");
        let arrived: Vec<_> = arrived.into_iter().map(Arc::new).collect();
        assert_eq!(scan(&arrived, &options).await, here, "{place}");
        // Of a part of the members, as a condition on times leaves it, too.
        let times = TimeRange { from: Some(1_777_932_000_000), to: Some(1_777_939_200_000) };
        let some: Vec<_> = arrived.into_iter().map(|unit| unit.within(times)).collect();
        let wire = serde_json::to_vec(&some.iter().map(|unit| &**unit).collect::<Vec<_>>()).expect("encodes");
        let arrived: Vec<ScanUnit> = serde_json::from_slice(&wire).expect("decodes");
        let arrived: Vec<_> = arrived.into_iter().map(Arc::new).collect();
        let (rows, expected) = (scan(&arrived, &options).await, scan(&some, &options).await);
        assert!(!rows.is_empty() && rows.len() < here.len() && rows == expected, "{place}: {} rows", rows.len());
    }
}

#[tokio::test]
async fn pieces_of_one_blob_are_its_rows() {
    let stores = Stores::default();
    let source = source(ARCHIVE);
    let opened = stores.open(&source).expect("the file system");
    let store = Arc::clone(&opened.objects);
    let mut blobs: Vec<Blob> = Vec::new();
    let listing = list(&opened, &source, &Selection::default(), |blob| blobs.push(blob)).await.expect("listed");
    let (blob, shown) = (blobs.swap_remove(0), listing.shown);
    let mut planner = UnitPlanner::new(true);
    planner.take(&blob);
    let units = planner.units(&*store, &shown).await;
    let (_, head_hash) = ranges::head_of(&*store, &blob).await.expect("a head");
    let options = Options::default();
    let whole = scan(&units, &options).await;
    let head = std::fs::read(Path::new("/").join(&blob.location)).expect("readable");
    let hint = probe_head(&head).expect("a usual head");
    for count in [2, 3, 7, 40] {
        let edge = |i: u64| blob.size * i / count;
        let piece = |i: u64| ScanUnit {
            shown: shown.clone(),
            reading: UnitContents::Piece {
                blob: blob.clone(),
                start: edge(i),
                end: (i + 1 < count).then(|| edge(i + 1)),
                hint: hint.clone(),
                head: Some(head_hash),
            },
        };
        let pieces: Vec<Arc<ScanUnit>> = (0..count).map(piece).map(Arc::new).collect();
        assert_eq!(scan(&pieces, &options).await, whole, "{count} pieces");
        // Counted once however often they are scanned, and as one blob.
        let mut log = Receipts::default();
        let mut ends = Vec::new();
        for unit in pieces.iter().chain(&pieces) {
            let mut scanned = read_unit(Arc::clone(&store), Arc::clone(unit), options.clone(), 0, Control::default());
            let mut last = None;
            while let Some(item) = scanned.next().await {
                last = Some(item);
            }
            let Some(Scanned::Receipt(receipt)) = last else { panic!("a unit ends with its receipt: {last:?}") };
            let wire = serde_json::to_vec(&receipt).expect("encodes");
            assert_eq!(serde_json::from_slice::<Receipt>(&wire).expect("decodes"), *receipt);
            assert!(receipt.is_whole && receipt.is_piece, "{receipt:?}");
            ends.push((receipt.start, receipt.end));
            log.add(*receipt);
        }
        let pieces = &ends[..count as usize];
        assert!(pieces.iter().all(|(start, end)| start <= end), "{pieces:?}");
        // The last record of the blob ends before its closing brackets.
        let (_, end) = pieces.iter().max_by_key(|(_, end)| *end).expect("pieces");
        assert!(head[*end as usize - 1] == b'}' && head[*end as usize..].trim_ascii() == b"]}", "{end}");
        let read = log.summary();
        assert_eq!((read.blobs, read.bytes, read.counts.tuples), (1, blob.size, whole.len() as u64), "{count} pieces");
    }
}

#[tokio::test]
async fn the_start_of_a_blob_has_its_first_rows_and_leaves_no_trace() {
    let stores = Stores::default();
    let plain = source("testdata/vnet-v4/plain.json");
    let opened = stores.open(&plain).expect("the file system");
    let store = Arc::clone(&opened.objects);
    let text = std::fs::read(root().join("testdata/vnet-v4/plain.json")).expect("readable");
    let folder = tempfile::tempdir().expect("a folder");
    // The same, and something that is no flow log, which a scan would count.
    let packed = folder.path().join("packed.json.gz");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&text).expect("packs");
    std::fs::write(&packed, packer.finish().expect("packs")).expect("written");
    for (path, is_packed) in [(root().join("testdata/vnet-v4/plain.json"), false), (packed, true)] {
        let location = path.to_str().expect("UTF-8").trim_start_matches('/').to_owned();
        let size = path.metadata().expect("metadata").len();
        let blobs = BlobList::from_iter([Blob { location, size, e_tag: None }]);
        let unit = |reading| Arc::new(ScanUnit { shown: DisplayPath::default(), reading });
        let options = Options::default();
        let whole = scan(&[unit(UnitContents::Whole(blobs.clone()))], &options).await;
        for limit in [0, 1, size / 3, size - 1, size, size + 1, u64::MAX] {
            let start = unit(UnitContents::Start { blobs: blobs.clone(), limit });
            let wire = serde_json::to_vec(&*start).expect("encodes");
            assert_eq!(serde_json::from_slice::<ScanUnit>(&wire).expect("decodes"), *start);
            let rows = scan(&[Arc::clone(&start)], &options).await;
            assert_eq!(rows, whole[..rows.len()], "{limit} of {size}, packed {is_packed}");
            assert!(limit < size || rows.len() == whole.len(), "{limit} of {size}, packed {is_packed}");
            let control = Control::default();
            let scanned: Vec<Scanned> =
                read_unit(Arc::clone(&store), start, options.clone(), 0, control.clone()).collect().await;
            assert!(scanned.iter().all(|item| matches!(item, Scanned::Batch(_))), "a look has no receipt");
            assert_eq!(control.progress.bytes(), 0);
        }
    }
}

#[tokio::test]
async fn one_analysis_reads_every_byte_once() {
    let mut files = Vec::new();
    crate::support::archive::json_files(&root().join(ARCHIVE), &mut files);
    let size: u64 = files.iter().map(|f| f.metadata().expect("metadata").len()).sum();
    let mut session = open(ARCHIVE).await;
    let store = Arc::new(Metered::default());
    session.put_store(&source(ARCHIVE), Arc::clone(&store) as Arc<dyn ObjectStore>);
    findings::analyze(&mut session, &Gate::default()).await.expect("analyzes");
    assert_eq!(store.bytes(), size, "fetched");
    let read = session.input();
    assert_eq!((read.blobs, read.bytes), (files.len() as u64, size));
    rows(&session, "SELECT count(*) FROM flows").await;
    assert_eq!(session.input(), read, "a second scan counts nothing");
}

#[tokio::test]
async fn a_panic_over_a_blob_costs_that_blob_and_is_a_problem() {
    let whole = findings::analyze(&mut open(ARCHIVE).await, &Gate::default()).await.expect("analyzes");
    let mut session = open(ARCHIVE).await;
    let store = Arc::new(Metered { panics_on: "/h=05/", ..Metered::default() });
    session.put_store(&source(ARCHIVE), store as Arc<dyn ObjectStore>);
    let analysis = findings::analyze(&mut session, &Gate::default()).await.expect("analyzes");
    let problems = &analysis.input.problems;
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(problem.blob.contains("/h=05/") && problem.reason.contains("please report"), "{problem:?}");
    }
    assert_eq!(analysis.input.blobs, whole.input.blobs);
    assert!(analysis.input.tuples > whole.input.tuples / 2 && analysis.input.tuples < whole.input.tuples);
    assert_eq!(analysis.findings.is_empty(), whole.findings.is_empty());
}

#[tokio::test]
async fn threads_never_show() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for partitions in [1, 2, 5] {
        for text in [Text::View, Text::Plain] {
            let options = SessionOptions { partitions, text, ..SessionOptions::default() };
            let mut session = session(ARCHIVE, scope(Catalog::NEWEST, true), options).await;
            let analysis = findings::analyze(&mut session, &Gate::default()).await.expect("analyzes");
            *seen.entry(serde_json::to_string(&analysis).expect("prints")).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 1, "{:?}", seen.values());
}

/// Counts the bytes asked of the local file system.
#[derive(Debug, Default)]
pub struct Metered {
    /// Part of a location that it panics on.
    panics_on: &'static str,
    files: object_store::local::LocalFileSystem,
    fetched: std::sync::atomic::AtomicU64,
}

impl Metered {
    pub fn bytes(&self) -> u64 {
        self.fetched.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl std::fmt::Display for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metered")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Metered {
    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> object_store::Result<GetResult> {
        let is_good = self.panics_on.is_empty() || !location.as_ref().contains(self.panics_on);
        assert!(is_good, "a fault of ours, made for a test");
        let result = self.files.get_opts(location, options).await?;
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        self.fetched.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        // Not as a file, which would be read on without asking.
        let payload = GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn put_opts(&self, _: &StorePath, _: PutPayload, _: PutOptions) -> object_store::Result<PutResult> {
        panic!("sources are never written")
    }

    async fn put_multipart_opts(
        &self,
        _: &StorePath,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        panic!("sources are never written")
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<StorePath>>,
    ) -> BoxStream<'static, object_store::Result<StorePath>> {
        panic!("sources are never written")
    }

    async fn copy_opts(&self, _: &StorePath, _: &StorePath, _: CopyOptions) -> object_store::Result<()> {
        panic!("sources are never written")
    }
}
