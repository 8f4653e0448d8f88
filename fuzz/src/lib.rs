//! What must hold for any input. Each function takes the bytes of one try and panics where something does not hold;
//! `fuzz_targets` hands them to libFuzzer, and the test below runs what `corpus` and `testdata` keep.

mod shape;

#[path = "../../tests/it/support/reference.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "what its own tests use"))]
mod reference;
#[path = "../../tests/it/support/rows.rs"]
mod rows;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::sync::{Arc, LazyLock};

use flowgap::catalog::{Catalog, Edition, ServiceTags, Tag};
use flowgap::decode::{Counts, KEPT_PROBLEMS, Options, Part, probe_head};
use flowgap::engine::{Scope, Session, SessionOptions};
use flowgap::platform::{Recordings, read_status};
use flowgap::policy::{End, Policy, Step, shadowed, stations};
use flowgap::source::Blob;
use flowgap::source::read::{Kind, MemberReader, Members, entries, recognise};
use futures::StreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use rows::{Cells, decode, reference_cell};

/// A blob of any bytes reads alike however it is cut, and what is counted fits what comes out.
pub fn decoder(input: &[u8]) {
    let Some((&choice, blob)) = input.split_first() else { return };
    let options = Options { batch_size: 1 + usize::from(choice >> 4), ..Options::default() };
    let whole = decode(blob, Part::Whole, blob.len(), &options);
    let cut = decode(blob, Part::Whole, 1 + usize::from(choice & 15) * 3, &options);
    assert_eq!(whole, cut);
    let counts = &whole.counts;
    assert_eq!(counts.tuples, whole.rows.len() as u64);
    // Two bytes of UTF-16 are at most three of UTF-8, in which places are counted.
    let is_utf16 = matches!(blob, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
    let length = if is_utf16 { blob.len() * 3 / 2 } else { blob.len() } as u64;
    assert!(whole.problems.iter().all(|problem| problem.offset <= length));
    // All problems of a record with needless escapes have one place, and one of them is listed.
    if counts.problems < KEPT_PROBLEMS as u64 && counts.slow_records == 0 {
        assert_eq!(counts.problems, whole.problems.len() as u64);
        let skipped = || whole.problems.iter().map(|problem| problem.reason.tuples());
        assert_eq!(skipped().sum::<u64>(), counts.malformed_tuples);
        assert_eq!(skipped().filter(|tuples| *tuples == 0).count() as u64, counts.bad_records);
    }
    // Pieces may see damage differently, but they end.
    if let Some(hint) = probe_head(blob) {
        let middle = blob.len() as u64 / 2;
        let edges = [(0, Some(middle)), (middle, None)];
        for (start, end) in edges {
            let part = Part::Piece { start, end, hint: hint.clone() };
            decode(&blob[start as usize..], part, 11, &options);
        }
    }
}

/// Tuples of any text, in records of every kind, mean what the reference decoder says.
pub fn tuples(input: &[u8]) {
    let Some((&choice, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let tuples: Vec<Value> = text.split('\n').map(|tuple| Value::from(complete(tuple, choice))).collect();
    let group = json!({"rule": "UserRule_x", "flowTuples": tuples});
    let record = match choice & 3 {
        0 => json!({"macAddress": "00005E005321", "flowLogVersion": 4,
            "flowRecords": {"flows": [{"aclID": "/a", "flowGroups": [group]}]}}),
        nr => json!({"resourceId": "/A",
            "properties": {"Version": if nr == 1 { 1 } else { 2 }, "flows": [{"rule": "r", "flows": [group]}]}}),
    };
    let record = record.to_string();
    // The time before the tuples, after them, or in the path alone: tuples far from it are malformed.
    let time = r#""time":"2026-05-04T08:05:41.73Z""#;
    let (keys, hour) = (&record[1..record.len() - 1], 1_777_878_000_000);
    let (record, hour) = match choice & 3 {
        0 | 3 => (format!("{time},{keys}"), None),
        1 => (format!("{keys},{time}"), None),
        _ => (format!("{keys},{time}"), Some(hour)),
    };
    let blob = format!("{{\"records\":[{{{record}}}]}}");
    let expected = reference::decode_of_hour(blob.as_bytes(), hour);
    let options = Options { hour, ..Options::default() };
    let decoded = decode(blob.as_bytes(), Part::Whole, 1 + usize::from(choice), &options);
    let rows: Vec<Cells> = expected
        .rows
        .iter()
        .map(|row| options.projection.0.iter().map(|&column| reference_cell(row, column)).collect())
        .collect();
    assert_eq!(decoded.rows, rows, "{blob}");
    assert_eq!(decoded.counts.malformed_tuples, expected.malformed, "{blob}");
    assert_eq!((decoded.counts.records, decoded.counts.bad_records), (expected.records, expected.bad_records));
}

/// Records of any shape, in any encoding, mean what the reference decoder says.
pub fn shapes(input: &[u8]) {
    let shape::Shape { blob, chunk, batch_size, macs } = shape::Shape::of(input);
    let expected = reference::decode_of_macs(&blob, None, &macs);
    let macs = macs.into_iter().map(str::to_owned).collect();
    let options = Options { batch_size, macs, ..Options::default() };
    let decoded = decode(&blob, Part::Whole, chunk, &options);
    let text = || String::from_utf8_lossy(&blob);
    // The reference decoder visits the lists of an object in an order of its own.
    let sorted = |mut rows: Vec<Cells>| {
        rows.sort();
        rows
    };
    let rows = expected
        .rows
        .iter()
        .map(|row| options.projection.0.iter().map(|&column| reference_cell(row, column)).collect());
    let rows = sorted(rows.collect());
    let Counts { records, bad_records, malformed_tuples, problems, slow_records, ref foreign, .. } = decoded.counts;
    assert_eq!((records, bad_records), (expected.records, expected.bad_records), "{}", text());
    assert_eq!((malformed_tuples, foreign.records()), (expected.malformed, expected.foreign), "{}", text());
    // All problems of a record with needless escapes have one place.
    assert!(slow_records > 0 || problems == decoded.problems.len() as u64, "{}", text());
    let is_empty = decoded.rows.is_empty();
    assert_eq!(sorted(decoded.rows), rows, "{}", text());
    // Nothing is passed over in silence.
    let is_silent = is_empty && problems == 0 && foreign.is_empty() && options.macs.is_empty();
    assert!(
        !is_silent || text().contains("[]") || text().contains("[\0]\0") || text().contains("\0[\0]"),
        "{}",
        text()
    );
}

/// Mostly a tuple as it should be, but for the field that the input gives: few random texts come that far.
fn complete(tuple: &str, choice: u8) -> String {
    if choice & 4 == 0 {
        return tuple.to_owned();
    }
    let fields = match choice & 8 {
        0 => "1777881900000,10.20.1.4,192.0.2.7,50000,443,6,O,E,NX,7,1158,12,8143",
        _ => "1777881900,10.20.1.4,192.0.2.7,50000,443,T,O,A,E,7,1158,12,8143",
    };
    let at = usize::from(choice >> 4) % 13;
    let mut fields: Vec<&str> = fields.split(',').collect();
    fields[at] = tuple;
    fields.join(",")
}

/// A service-tag file is read or refused with a sentence.
pub fn service_tags(input: &[u8]) {
    match ServiceTags::from_json(input) {
        Ok(tags) => {
            for ip in ["192.0.2.7", "2001:db8::1", "0.0.0.0", "::", "255.255.255.255"] {
                let ip = ip.parse().expect("an address");
                let found = tags.tag(ip);
                assert!(found.is_none() || !tags.is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A port table is read, and then every edition has its rows, or it is refused with a sentence.
pub fn port_table(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Catalog::from_csv(&text) {
        Ok(catalog) => {
            let catalog = Arc::new(catalog);
            for head in catalog.editions() {
                let edition = Edition::new(Arc::clone(&catalog), &head.id).expect("it is listed");
                for row in edition.rows() {
                    assert!(!row.id.is_empty() && !catalog.matches(row).is_empty());
                    row.peer_tag();
                    row.printed_ports();
                    row.own_ports();
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The port table that the rules of a file are compared with.
static EDITION: LazyLock<Edition> = LazyLock::new(|| Edition::newest().expect("valid"));

/// A file of rules and routes is read, and then every question has an answer, or it is refused with a sentence.
pub fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let policy = match Policy::default().add_text("x.json", &text) {
        Ok(policy) => policy,
        Err(error) => return assert!(error.to_string().starts_with("x.json: ")),
    };
    assert!(!policy.acls.is_empty() || !policy.routes.is_empty());
    let edition = &*EDITION;
    let subnet = "10.20.1.0/24".parse().expect("a block");
    let vnet = "10.20.0.0/16".parse().expect("a block");
    let tags: Vec<Tag> = edition.rows().iter().map(|row| row.peer_tag().clone()).collect();
    let space = policy.space(&[vnet], &[subnet], None, &tags);
    let subnets = End::of_addresses([subnet].into_iter().collect());
    for station in stations(&policy.acls) {
        for row in edition.rows() {
            let need = space.need(&station, row, &subnets, &policy.routes);
            for acl in &station.acls {
                need.answers.iter().for_each(|(question, _)| drop(space.near_misses(acl, question)));
            }
            let Some(planned) = space.plan(&station.acls, &need.answers, &BTreeSet::new()) else { continue };
            if let Step::Add { priority } = planned.step {
                let last = priority + planned.questions.len() as u32 - 1;
                let is_free = |number| {
                    planned
                        .acl
                        .rules
                        .iter()
                        .all(|rule| rule.priority != Some(number) || !rule.is_for(planned.questions[0].direction))
                };
                assert!(priority >= 100 && last <= 4096 && is_free(priority), "{planned:?}");
            }
            assert!(space.changed(&planned).is_none_or(|acl| acl.rules.len() >= planned.acl.rules.len()));
        }
    }
    policy.acls.iter().for_each(|acl| assert!(shadowed(acl).len() <= acl.rules.len()));
}

/// A file of changes, and one of network status, is read or refused with a sentence.
pub fn changes(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut recordings = Recordings::default();
    match recordings.add_text("x.json", &text) {
        Ok(()) => {
            let sorted = recordings.sorted();
            assert!(sorted.changes.is_sorted_by_key(|change| change.time));
            assert!(sorted.changes.iter().all(|change| change.operation == change.operation.to_ascii_lowercase()));
        }
        Err(error) => assert!(error.to_string().starts_with("x.json: ")),
    }
    if let Err(error) = read_status("x.json", &text) {
        assert!(error.to_string().starts_with("x.json: "));
    }
}

/// A condition that the scan evaluates keeps the rows that it keeps above the scan, whatever it is compared with.
pub fn literals(input: &[u8]) {
    let Some((&choice, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let quoted = format!("'{}'", text.replace('\'', "''"));
    let number: i64 = text.bytes().take(9).fold(0, |n, b| n * 11 + i64::from(b) - 48);
    let (column, value, neutral) = match choice & 7 {
        0 => ("decision", quoted, " || ''"),
        1 => ("direction", quoted, " || ''"),
        2 => ("protocol", quoted, " || ''"),
        3 => ("dst_port", number.to_string(), " + 0"),
        4 => ("src_port", number.to_string(), " + 0"),
        5 => ("dst_port", (number & 0x3ff).to_string(), " + 0"),
        6 => ("src_port", (number & 0xffff).to_string(), " + 0"),
        _ => ("rule", quoted, " || ''"),
    };
    let operator = ["=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN"][usize::from(choice >> 3) % 8];
    let value = if operator.ends_with("IN") { format!("({value}, {value})") } else { value };
    let count = |column: String| rows_where(&format!("{column} {operator} {value}"));
    assert_eq!(count(column.to_owned()), count(format!("({column}{neutral})")), "{column} {operator} {value}");
}

/// Bytes that one member may give, by the rule for all that is compressed: 64 MiB, 200 times its size, and one step more.
fn most_of(input: &[u8]) -> u64 {
    (72 << 20) + 200 * input.len() as u64
}

/// An archive is recognised or not; its members are within it, read alike in one go and one by one, and stay bounded.
pub fn members(input: &[u8]) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let blob = Blob { location: "logs".to_owned(), size: input.len() as u64, e_tag: None };
    runtime.block_on(async {
        store.put(&"logs".into(), input.to_vec().into()).await.expect("memory takes all");
        let Some(kind) = recognise(&store, &blob).await.expect("memory is read") else { return };
        let mut files = 0;
        let Ok(found) = entries(&store, blob, kind, None, |_| true).await else { return };
        let all = found.members;
        let parts = all.clone().split(1, |blob| blob.size);
        assert_eq!(parts.iter().map(Members::len).sum::<usize>(), all.len());
        let mut alone = Vec::new();
        for part in &parts {
            alone.extend(contents(&store, part, most_of(input)).await);
        }
        let together = contents(&store, &all, most_of(input)).await;
        assert_eq!(alone, together);
        for member in all.iter() {
            files += 1;
            assert!(member.blob.location.starts_with("logs!") && member.blob.location.len() < 5000);
        }
        // Each has a header of its own, but where they are compressed together.
        assert!(kind == Kind::PackedTar || files <= input.len() / 30, "{files} of {} bytes", input.len());
    });
}

/// The bytes of each member, hashed, and what went wrong.
async fn contents(store: &Arc<dyn ObjectStore>, members: &Members, most: u64) -> Vec<(u64, u64, Option<String>)> {
    let reader = MemberReader::new(Arc::clone(store), members, None, |_| ());
    let mut contents = Vec::new();
    for member in members.iter() {
        let (mut chunks, _) = reader.contents(&member);
        let (mut hasher, mut bytes, mut trouble) = (DefaultHasher::new(), 0, None);
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => {
                    hasher.write(&chunk);
                    bytes += chunk.len() as u64;
                }
                Err(error) => trouble = Some(error.to_string()),
            }
        }
        assert!(bytes <= most, "{bytes} bytes of {}", member.blob.location);
        contents.push((hasher.finish(), bytes, trouble));
    }
    contents
}

thread_local! {
    static SESSION: OnceCell<(tokio::runtime::Runtime, Session)> = const { OnceCell::new() };
}

const BLOB: &[u8] = include_bytes!("../../testdata/vnet-v4/plain.json");

/// How many rows of a small blob a condition keeps; `None` where it is refused.
fn rows_where(condition: &str) -> Option<usize> {
    SESSION.with(|session| {
        let (runtime, session) = session.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let mut file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
            file.write_all(BLOB).expect("written");
            let (_, path) = file.keep().expect("kept");
            let source = path.to_str().expect("UTF-8").parse().expect("a source");
            let scope = Scope::new(Edition::newest().expect("valid"));
            let options = SessionOptions { partitions: 1, ..SessionOptions::default() };
            let session = runtime.block_on(Session::open(&[source], scope, options)).expect("opens");
            (runtime, session)
        });
        runtime.block_on(async {
            let batches = session.sql(&format!("SELECT time FROM flows WHERE {condition}")).await.ok()?;
            Some(batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(folder: &Path, run: &mut dyn FnMut(&[u8])) {
        for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, run);
            } else {
                println!("{}", path.display());
                run(&std::fs::read(path).expect("readable"));
            }
        }
    }

    /// Every file of a corpus, and how many they are.
    fn corpus(name: &str, target: fn(&[u8])) -> usize {
        let mut count = 0;
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name), &mut |bytes| {
            target(bytes);
            count += 1;
        });
        count
    }

    #[test]
    fn decoder_holds_for_its_corpus_and_testdata() {
        assert!(corpus("decoder", decoder) > 10);
        let mut count = 0;
        let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        for folder in ["broken", "nsg-v1", "vnet-v4", "shapes"] {
            files(&testdata.join(folder), &mut |bytes| {
                for choice in [0, 1, 35, 255] {
                    decoder(&[&[choice], bytes].concat());
                }
                count += 1;
            });
        }
        assert!(count > 40, "{count}");
    }

    #[test]
    fn policy_and_changes_hold_for_their_corpora_and_testdata() {
        assert!(corpus("policy", policy) > 10 && corpus("changes", changes) > 5);
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/policy"), &mut |bytes| {
            policy(bytes);
            changes(bytes);
        });
    }

    #[test]
    fn tuples_hold_for_their_corpus() {
        assert!(corpus("tuples", tuples) > 10);
    }

    #[test]
    fn shapes_hold_for_their_corpus() {
        assert!(corpus("shapes", shapes) > 10);
    }

    #[test]
    fn service_tags_hold_for_their_corpus() {
        assert!(corpus("service_tags", service_tags) > 2);
    }

    #[test]
    fn port_table_holds_for_its_corpus() {
        assert!(corpus("port_table", port_table) > 2);
        port_table(include_bytes!("../../src/catalog/requirements.csv"));
    }

    #[test]
    fn members_hold_for_their_corpus_and_its_cuts() {
        assert!(corpus("members", members) > 10);
        corpus("members", |bytes| (0..bytes.len()).step_by(97).for_each(|length| members(&bytes[..length])));
    }

    #[test]
    fn literals_hold_for_their_corpus() {
        assert!(corpus("literals", literals) > 10);
    }
}
