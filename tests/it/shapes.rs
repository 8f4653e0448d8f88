//! Records of every shape against the reference decoder: what cannot be read is counted and located, and nothing is passed over
//! in silence. Through the decoder at every cut here, and through the binary in `shapes/binary.rs`.

mod binary;

use std::collections::BTreeMap;

use flowgap::decode::{Counts, Instructions, Options, Part, Reason, probe_head};
use serde_json::{Map, Value, json};

use crate::support::reference;
use crate::support::rows::{Cells, Decoded, decode, reference_cell};

const MAC: &str = "00005E005301";
const TUPLE: &str = "1777874440000,10.50.1.4,192.0.2.7,50440,1433,6,O,D,NX,0,0,0,0";
const NSG_TUPLE: &str = "1777874440,10.50.1.4,192.0.2.7,50440,1433,T,O,D,B,,,,";

/// ParamValues that may stand where a list, or the object around lists, is due.
fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(7),
        json!(true),
        json!("System.Object[]"),
        json!(""),
        json!([]),
        json!({}),
        json!({"x": 1}),
        json!([null]),
        json!([7]),
        json!(["x"]),
        json!([[]]),
        json!([{}]),
        json!([{}, {"y": []}]),
    ]
}

/// The keys of a record under which its tuples are, outermost first, and a tuple of its kind.
const KINDS: [([&str; 4], &str); 2] = [
    (["flowRecords", "flows", "flowGroups", "flowTuples"], TUPLE),
    (["properties", "flows", "flows", "flowTuples"], NSG_TUPLE),
];

/// What stands under the key of a level: as it should be, but for `value` at level `odd`. `None` leaves its key out.
fn below(keys: [&str; 4], level: usize, odd: usize, value: &Option<Value>) -> Option<Value> {
    if level == odd {
        return value.clone();
    }
    let mut object = Map::from_iter([("rule".to_owned(), json!("UserRule_x"))]);
    object.extend(below(keys, level + 1, odd, value).map(|inner| (keys[level + 1].to_owned(), inner)));
    Some(if level == 0 { object.into() } else { json!([object]) })
}

/// A record with `value` under the key of a level.
fn record(keys: [&str; 4], odd: usize, value: Option<Value>) -> String {
    let mut record = json!({"category": "FlowLogFlowEvent", "macAddress": MAC, "time": "2026-05-04T06:01:07Z"});
    if let Some(body) = below(keys, 0, odd, &value) {
        record[keys[0]] = body;
    }
    record.to_string()
}

/// A record with one refused flow.
fn good() -> String {
    record(KINDS[0].0, 3, Some(json!([TUPLE])))
}

fn wrapped(records: &[String]) -> String {
    format!("{{\"records\":[{}]}}", records.join(","))
}

/// Decodes a text at many cuts and batch sizes, all alike and as the reference decoder has it.
fn read(blob: &[u8], options: &Options) -> Decoded {
    let macs: Vec<&str> = options.macs.iter().map(String::as_str).collect();
    let expected = reference::decode_of_macs(blob, None, &macs);
    let columns = &options.projection.0;
    let rows: Vec<Cells> =
        expected.rows.iter().map(|row| columns.iter().map(|&column| reference_cell(row, column)).collect()).collect();
    let whole = decode(blob, Part::Whole, blob.len(), options);
    let shown = || String::from_utf8_lossy(blob);
    assert_eq!(whole.rows, rows, "{}", shown());
    let Counts { records, bad_records, malformed_tuples, problems, .. } = whole.counts;
    assert_eq!((records, bad_records), (expected.records, expected.bad_records), "{}", shown());
    assert_eq!(
        (malformed_tuples, whole.counts.foreign.records()),
        (expected.malformed, expected.foreign),
        "{}",
        shown()
    );
    assert_eq!(problems, whole.problems.len() as u64, "{}", shown());
    assert!(whole.problems.is_sorted_by_key(|problem| problem.offset), "{}", shown());
    for (nr, chunk) in (1..blob.len().min(80)).chain([blob.len() / 2 + 1]).enumerate() {
        let batch_size = [1, 2, 8192][nr % 3];
        let instructions = [Instructions::Portable, Instructions::Avx2, Instructions::Avx512][nr / 3 % 3];
        let options = Options { batch_size, instructions, ..options.clone() };
        assert_eq!(decode(blob, Part::Whole, chunk, &options), whole, "chunk {chunk}: {}", shown());
    }
    for cut in 1..blob.len() {
        let mut decoder = flowgap::decode::Decoder::new("the blob", Part::Whole, options.clone());
        for part in [&blob[..cut], &blob[cut..]] {
            decoder.push(part);
            while decoder.flush().is_some() {}
        }
        decoder.finish();
        while decoder.flush().is_some() {}
        assert_eq!(decoder.counts(), &whole.counts, "cut at {cut}: {}", shown());
        assert_eq!(decoder.take_problems(), whole.problems, "cut at {cut}: {}", shown());
    }
    whole
}

fn read_text(text: &str) -> Decoded {
    read(text.as_bytes(), &Options::default())
}

/// The same text, in which no quote is escaped, with its keys spelled otherwise.
fn respelled(text: &str, spell: fn(&str) -> String) -> String {
    let part = |(nr, part): (usize, &str)| match nr % 2 == 1 && text.contains(&format!("\"{part}\":")) {
        true => spell(part),
        false => part.to_owned(),
    };
    text.split('"').enumerate().map(part).collect::<Vec<_>>().join("\"")
}

fn pascal(text: &str) -> String {
    respelled(text, |key| format!("{}{}", key[..1].to_uppercase(), &key[1..]))
}

fn utf16(text: &str, is_big: bool) -> Vec<u8> {
    let units = [0xFEFF].into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

/// How often each reason occurs.
fn reasons(decoded: &Decoded) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    decoded.problems.iter().for_each(|problem| *reasons.entry(problem.reason.to_string()).or_default() += 1);
    reasons
}

#[test]
fn a_record_without_a_list_of_tuples_is_bad_at_every_level() {
    let mut bad = 0;
    for (keys, _) in KINDS {
        for level in 0..keys.len() {
            for value in values().into_iter().map(Some).chain([None]) {
                let text = record(keys, level, value.clone());
                let decoded = read_text(&text);
                let Counts { records, bad_records, tuples, malformed_tuples, .. } = decoded.counts;
                let malformed = match (level, &value) {
                    // One text, or each element of a list, is a tuple as it may be.
                    (3, Some(Value::String(_))) => 1,
                    (3, Some(Value::Array(elements))) => elements.len() as u64,
                    (_, Some(Value::Array(elements))) if elements.is_empty() => 0,
                    _ => {
                        assert_eq!((records, bad_records, tuples, malformed_tuples), (0, 1, 0, 0), "{text}");
                        assert_eq!((decoded.problems[0].offset, decoded.problems[0].record), (0, 0), "{text}");
                        bad += 1;
                        continue;
                    }
                };
                assert_eq!((records, bad_records, tuples, malformed_tuples), (1, 0, 0, malformed), "{text}");
            }
        }
    }
    assert!(bad > 80, "{bad}");
    // Neither body nor category, and two such records: each for itself, because they are of a flow log.
    let bare = format!(r#"{{"time":"2026-05-04T06:01:07Z","macAddress":"{MAC}"}}"#);
    let decoded = read_text(&wrapped(&[bare.clone(), good(), bare]));
    assert_eq!((decoded.counts.records, decoded.counts.bad_records), (1, 2));
    let places: Vec<u64> = decoded.problems.iter().map(|problem| problem.record).collect();
    assert_eq!(places, [0, 1]);
}

#[test]
fn what_can_be_read_of_a_record_counts_beside_what_cannot() {
    let good = |tuple: &str| json!({"rule": "UserRule_y", "flowTuples": [tuple]});
    for (keys, tuple) in KINDS {
        for value in values().into_iter().filter(|value| *value != json!([])) {
            let tuples = json!([good(tuple), {"rule": "UserRule_x", "flowTuples": value.clone()}, good(tuple)]);
            let text = record(keys, 2, Some(tuples));
            let decoded = read_text(&text);
            let Counts { records, bad_records, tuples, malformed_tuples, .. } = decoded.counts;
            assert_eq!((records, tuples), (1, 2), "{text}");
            assert!(bad_records + malformed_tuples > 0, "{text}");
            // In a list of scopes.
            let lists = json!([good(tuple), value.clone(), good(tuple)]);
            let text = record(keys, 2, Some(lists));
            let decoded = read_text(&text);
            assert_eq!(
                (decoded.counts.records, decoded.counts.tuples, decoded.counts.bad_records),
                (1, 2, 1),
                "{text}"
            );
            let [problem] = &decoded.problems[..] else { panic!("{text}: {:?}", decoded.problems) };
            assert_eq!(problem.reason, Reason::NoListInPart);
            assert!(text[problem.offset as usize..].starts_with(&value.to_string()), "{text}: {}", problem.offset);
        }
    }
}

/// The spellings of one record that mean the same: lists of one as what is in them, keys in other case, other encodings.
fn variants(keys: [&str; 4], tuple: &str) -> Vec<Vec<u8>> {
    let group = |tuples: Value| json!({"rule": "UserRule_x", keys[3]: tuples});
    let flow = |groups: Value| json!({"aclID": "/a/nsg", keys[2]: groups});
    let tuples = [json!([tuple]), json!(tuple)];
    let groups = tuples.iter().flat_map(|tuples| [json!([group(tuples.clone())]), group(tuples.clone())]);
    let flows = groups.flat_map(|groups| [json!([flow(groups.clone())]), flow(groups)]);
    let bodies = flows.flat_map(|flows| [json!({keys[1]: flows.clone()}), json!([{keys[1]: flows}])]);
    let records = bodies.map(|body| {
        let body = body.to_string();
        format!(r#"{{"time":"2026-05-04T06:01:07Z","macAddress":"{MAC}","resourceId":"/R","{}":{body}}}"#, keys[0])
    });
    let mut variants: Vec<Vec<u8>> = Vec::new();
    for record in records {
        let wraps = [
            format!("{{\"records\":[{record}]}}"),
            format!("{{\"records\":{record}}}"),
            format!("{{ \"records\" : {{\"records\":{record}}} }}\r\n"),
            record.clone(),
        ];
        for text in wraps {
            let loud = respelled(&text, str::to_uppercase).into_bytes();
            variants.extend([pascal(&text).into_bytes(), utf16(&text, false), utf16(&text, true), loud]);
            variants.push(text.into_bytes());
        }
    }
    variants
}

#[test]
fn plain_variants_of_a_record_mean_the_same() {
    for (keys, tuple) in KINDS {
        let expected = read(&variants(keys, tuple)[4], &Options::default()).rows;
        assert_eq!(expected.len(), 1);
        // Every cut of every variant would take long: each variant at a few, and every ninth at all.
        for (nr, blob) in variants(keys, tuple).iter().enumerate() {
            for chunk in [1, 2, 3, 7, blob.len()] {
                let options = Options { batch_size: 1 + nr % 3, ..Options::default() };
                let decoded = decode(blob, Part::Whole, chunk, &options);
                let shown = String::from_utf8_lossy(blob);
                assert_eq!((&decoded.rows, decoded.counts.problems), (&expected, 0), "{shown}");
                assert_eq!((decoded.counts.records, decoded.counts.denied_tuples), (1, 1), "{shown}");
            }
            if nr % 9 == 0 {
                assert_eq!(read(blob, &Options::default()).rows, expected);
            }
        }
    }
}

#[test]
fn places_in_utf16_are_those_of_the_text() {
    let text = wrapped(&[good(), record(KINDS[0].0, 3, Some(json!(["x", TUPLE]))), record(KINDS[1].0, 1, None)]);
    let text = text.replace("UserRule_x", "UserRule_ä\u{1F600}");
    let plain = read_text(&text);
    assert_eq!((plain.counts.records, plain.counts.problems), (2, 2));
    for is_big in [false, true] {
        let blob = utf16(&text, is_big);
        assert_eq!(read(&blob, &Options::default()), plain);
        // Without its mark it is one problem, whatever it holds.
        for chunk in [1, 2, 3, 5, blob.len()] {
            let decoded = decode(&blob[2..], Part::Whole, chunk, &Options::default());
            let Counts { records, bad_records, problems, .. } = decoded.counts;
            assert_eq!((records, bad_records, problems, decoded.rows.len()), (0, 1, 1, 0));
            assert_eq!((decoded.problems[0].offset, decoded.problems[0].reason), (0, Reason::Utf16));
        }
        // Cut anywhere, whole records count, and the cut is a problem.
        for cut in 2..blob.len() {
            let decoded = decode(&blob[..cut], Part::Whole, 100, &Options::default());
            assert!(decoded.counts.records + decoded.counts.bad_records > 0 || cut < 4, "{cut}");
            assert!(decoded.problems.iter().all(|problem| problem.offset <= text.len() as u64), "{cut}");
        }
        assert_eq!(probe_head(&blob), None);
        assert_eq!(probe_head(&blob[2..]), None);
    }
}

/// Records of other logs, as Azure writes them, with their kinds.
fn foreign() -> Vec<(String, &'static str)> {
    let time = "2026-05-04T06:01:07Z";
    let metric = json!({
        "count": 4, "total": 9, "minimum": 1, "maximum": 3, "average": 2.25, "resourceId": "/X", "time": time,
        "metricName": "Transactions", "timeGrain": "PT1M",
    });
    let audit = json!({"time": time, "category": "AuditEvent", "operationName": "VaultGet", "properties": {"id": "x"}});
    let gateway = json!({
        "time": time, "category": "GatewayLogs", "level": 4,
        "properties": {"method": "GET", "version": "1.1", "cache": "none", "requestSize": 30, "flows": null},
    });
    let counter = json!({
        "time": time, "systemId": "s", "category": "NetworkSecurityGroupRuleCounter", "resourceId": "/X",
        "properties": {"ruleName": "UserRule_x", "direction": "In", "type": "allow", "matchedConnections": 7},
    });
    let exported = json!({"TimeGenerated": time, "Category": "StorageRead", "Uri": "https://x/?\"\\y"});
    [(metric, "metrics"), (audit, "AuditEvent"), (gateway, "GatewayLogs"), (exported, "StorageRead")]
        .into_iter()
        .chain([(counter, "NetworkSecurityGroupRuleCounter")])
        .map(|(record, kind)| (record.to_string(), kind))
        .collect()
}

#[test]
fn records_of_other_logs_are_counted_by_kind_and_are_no_problem() {
    let mut records: Vec<String> =
        foreign().into_iter().flat_map(|(record, _)| [record.clone(), good(), record]).collect();
    records.push(foreign().remove(0).0);
    let decoded = read_text(&wrapped(&records));
    assert_eq!((decoded.counts.records, decoded.counts.problems, decoded.counts.tuples), (5, 0, 5));
    assert_eq!(decoded.counts.foreign.kinds()[0], ("metrics", 3));
    let mut kinds: Vec<&str> = decoded.counts.foreign.kinds().into_iter().map(|(kind, _)| kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["AuditEvent", "GatewayLogs", "NetworkSecurityGroupRuleCounter", "StorageRead", "metrics"]);
    for (record, kind) in foreign() {
        assert_eq!(read_text(&record).counts.foreign.kinds(), [(kind, 1)]);
    }
    // A flow record is one whatever category it names, and one without flows is bad.
    let named = |category: &str| good().replace("FlowLogFlowEvent", category);
    assert_eq!(read_text(&named("Other")).counts.records, 1);
    let bodiless = record(KINDS[1].0, 0, None);
    assert_eq!(read_text(&bodiless).counts.bad_records, 1);
    assert_eq!(read_text(&bodiless.replace("FlowLogFlowEvent", "Other")).counts.foreign.records(), 1);
    let flowless = record(KINDS[0].0, 1, None).replace("FlowLogFlowEvent", "Other");
    assert_eq!(read_text(&flowless).counts.bad_records, 1);
    assert_eq!(
        read_text(&record(KINDS[0].0, 3, Some(json!(null))).replace("FlowLogFlowEvent", "Other")).counts.bad_records,
        1
    );
}

#[test]
fn pieces_of_a_blob_lose_no_record_that_is_bad_or_foreign() {
    let bare = format!(r#"{{"category":"FlowLogFlowEvent","macAddress":"{MAC}"}}"#);
    let audit = json!({"category": "AuditEvent", "properties": {"category": 1}}).to_string();
    let records = [
        good(),
        record(KINDS[1].0, 1, Some(Value::Null)),
        record(KINDS[0].0, 2, None),
        audit.clone(),
        bare,
        good(),
        audit,
        record(KINDS[0].0, 3, Some(json!({}))),
    ];
    for text in
        [wrapped(&records), records.join("\n"), format!("[{}]", records.join(" ,\n")), pascal(&wrapped(&records))]
    {
        let bytes = text.as_bytes();
        let hint = probe_head(bytes).expect("it begins with a flow record");
        let whole = decode(bytes, Part::Whole, bytes.len(), &Options::default());
        assert_eq!((whole.counts.records, whole.counts.bad_records), (2, 4), "{text}");
        // A piece that begins with an object inside a record cannot tell it from a record.
        let is_inside = |cut: usize| text[cut..].to_lowercase().starts_with("{\"category\":1");
        for cut in (1..bytes.len()).filter(|&cut| !is_inside(cut)) {
            let parts = [(0, Some(cut as u64)), (cut as u64, None)];
            let (mut counts, mut offsets) = (Counts::default(), Vec::new());
            for (start, end) in parts {
                let part = Part::Piece { start, end, hint: hint.clone() };
                let piece = decode(&bytes[start as usize..], part, 97, &Options::default());
                counts.add(&piece.counts);
                offsets.extend(piece.problems.into_iter().map(|problem| problem.offset));
            }
            // Records are not compared across the edges.
            let Counts { split_records, unordered_records, .. } = whole.counts;
            let counts = Counts { split_records, unordered_records, ..counts };
            assert_eq!(counts, whole.counts, "cut at {cut}: {text}");
            let expected: Vec<u64> = whole.problems.iter().map(|problem| problem.offset).collect();
            assert_eq!(offsets, expected, "cut at {cut}: {text}");
        }
    }
    assert_eq!(probe_head(foreign()[1].0.as_bytes()), None, "logs of another kind are read from their start");
}

#[test]
fn a_file_of_another_kind_is_one_problem() {
    let package = json!({"name": "x", "scripts": {"a": "b"}, "dependencies": {"c": "1"}}).to_string();
    let lines = format!("{package}\n{package}\n\n{package}\n");
    for text in [
        "<!DOCTYPE html>\n<html>\n<body>{ x }</body>\n</html>\n",
        "time,level,message\n1,2,[x]\n3,4,{y: 1}\n",
        "a line\nand another\n",
        &lines,
        "[1, 2]\n[3]\n\"x\"\n",
    ] {
        for chunk in 1..=text.len() {
            let decoded = decode(text.as_bytes(), Part::Whole, chunk, &Options::default());
            assert_eq!((decoded.counts.problems, decoded.counts.bad_records), (1, 1), "{text}");
            assert_eq!(
                decoded.problems.iter().map(|p| (p.record, p.reason)).collect::<Vec<_>>(),
                [(0, Reason::OtherKind)]
            );
        }
        // Beside a flow record each is damage for itself.
        let both = decode(format!("{text}{}", good()).as_bytes(), Part::Whole, 64, &Options::default());
        assert!(both.counts.records == 1 && both.counts.bad_records > 1, "{text}: {:?}", reasons(&both));
    }
    read_text(&lines);
}

#[test]
fn records_of_other_interfaces_are_passed_over() {
    let of = |mac: &str| good().replace(MAC, mac);
    let without = good().replace(&format!(r#""macAddress":"{MAC}","#), "");
    assert!(!without.contains("macAddress"), "{without}");
    let behind = format!(r#"{},"macAddress":"00005E005309"}}"#, without.strip_suffix('}').expect("an object"));
    let inner = without.replace("\"rule\"", r#""mac":"00005E005301","rule""#);
    let bad = record(KINDS[0].0, 1, None);
    let records = [
        of(MAC),
        of("00005E005309"),
        of("00-00-5e-00-53-01"),
        of("0000.5E00.5301"),
        behind,
        without,
        inner,
        bad.clone(),
        bad.replace(MAC, "00005E005309"),
        foreign()[1].0.clone(),
    ];
    for (macs, expected) in [
        (vec![], (7, 2)),
        (vec![MAC], (4, 1)),
        (vec!["00005E005309"], (2, 1)),
        (vec!["00005E005309", MAC], (6, 2)),
        (vec!["00005E00530A"], (0, 0)),
    ] {
        let macs: Vec<String> = macs.into_iter().map(str::to_owned).collect();
        let options = Options { macs: macs.clone(), ..Options::default() };
        let decoded = read(wrapped(&records).as_bytes(), &options);
        assert_eq!((decoded.counts.records, decoded.counts.bad_records), expected, "{macs:?}");
        assert_eq!((decoded.counts.tuples, decoded.counts.problems), expected, "{macs:?}");
        assert_eq!(decoded.counts.foreign.records(), 1, "{macs:?}");
    }
}
