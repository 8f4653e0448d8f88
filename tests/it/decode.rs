//! The decoder against its reference decoder: any cut, any batch size, any projection and predicate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use flowgap::decode::{
    Counts, Instructions, KEPT_PROBLEMS, OffTime, Options, Part, Predicate, Projection, Reason, Term, TimeRange,
    probe_head,
};
use flowgap::flow::{Decision, Direction, FlowState, Protocol};
use flowgap::net::{IpSet, Prefix, number};
use flowgap::schema::{Column, Text};
use flowgap::source::BlobPath;

use crate::support::archive::json_files;
use crate::support::reference::{self, Row};
use crate::support::rows::{Cells, decode, reference_cell};

fn keeps(row: &Row, options: &Options) -> bool {
    let Predicate { decision, direction, states, protocols, src_ports, dst_ports, src_ips, dst_ips, .. } =
        &options.predicate;
    let Predicate { either_ips, times, .. } = &options.predicate;
    let lies_in = |ips: &IpSet, text: &str| ips.contains(number(text.parse().expect("an address")));
    options.window.contains(row.time)
        && times.contains(row.time)
        && decision.is_none_or(|d| d.name() == row.decision)
        && direction.is_none_or(|d| d.name() == row.direction)
        && protocols.as_ref().is_none_or(|p| p.iter().any(|p| p.name() == row.protocol))
        && src_ports.as_ref().is_none_or(|p| p.contains(row.src_port))
        && dst_ports.as_ref().is_none_or(|p| p.contains(row.dst_port))
        && states.as_ref().is_none_or(|s| s.iter().any(|s| Some(s.name()) == row.state.as_deref()))
        && src_ips.as_ref().is_none_or(|ips| lies_in(ips, &row.src_ip))
        && dst_ips.as_ref().is_none_or(|ips| lies_in(ips, &row.dst_ip))
        && either_ips.iter().all(|ips| lies_in(ips, &row.src_ip) || lies_in(ips, &row.dst_ip))
}

fn predicate(terms: impl IntoIterator<Item = Term>) -> Predicate {
    let mut predicate = Predicate::default();
    for term in terms {
        predicate.narrow(term);
    }
    predicate
}

fn ports(text: &str) -> flowgap::net::PortSet {
    text.parse().expect("ports")
}

fn ips(prefixes: &[&str]) -> IpSet {
    prefixes.iter().map(|prefix| prefix.parse::<Prefix>().expect("a prefix")).collect()
}

fn all_options() -> Vec<Options> {
    let all = Options::default();
    vec![
        all.clone(),
        Options { text: Text::Plain, ..all.clone() },
        Options { text: Text::Dictionary, ..all.clone() },
        Options { text: Text::Coded, ..all.clone() },
        Options { numbers: [true, false], ..all.clone() },
        Options { text: Text::Plain, numbers: [false, true], ..all.clone() },
        Options { instructions: Instructions::Avx2, ..all.clone() },
        Options { instructions: Instructions::Portable, ..all.clone() },
        Options {
            text: Text::Coded,
            predicate: predicate([
                Term::States(vec![FlowState::Continue, FlowState::End]),
                Term::EitherIps(ips(&["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"])),
            ]),
            ..all.clone()
        },
        Options {
            projection: Projection(vec![Column::SrcIp, Column::DstIp, Column::PacketsSent]),
            predicate: predicate([
                Term::SrcIps(ips(&["10.0.0.0/8", "2001:db8::/33"])),
                Term::DstIps(ips(&["192.0.0.0/4", "10.0.0.0/9", "2001:db8::/32"])),
            ]),
            ..all.clone()
        },
        Options { projection: Projection(vec![]), ..all.clone() },
        Options {
            projection: Projection(vec![Column::Rule, Column::DstIp, Column::Time]),
            predicate: predicate([Term::Decision(Decision::Deny)]),
            ..all.clone()
        },
        Options {
            projection: Projection(vec![Column::BytesReceived, Column::State, Column::Encryption, Column::Mac]),
            predicate: predicate([
                Term::Direction(Direction::Outbound),
                Term::Protocols(vec![Protocol::TCP]),
                Term::DstPorts(ports("443;1024-65535")),
            ]),
            ..all.clone()
        },
        Options {
            predicate: predicate([Term::SrcPorts(ports("1024-49151"))]),
            window: TimeRange { from: Some(1_487_282_400_000), to: Some(1_754_331_900_000) },
            ..all.clone()
        },
        Options {
            predicate: predicate([
                Term::Times(TimeRange { from: Some(1_487_282_400_000), to: None }),
                Term::Times(TimeRange { from: None, to: Some(1_754_331_900_000) }),
            ]),
            ..all
        },
    ]
}

/// Well-formed inputs: ours, and the real samples where the machine has them.
fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["nsg-v1", "nsg-v2", "vnet-v4", "shapes"] {
        json_files(&root.join("testdata").join(folder), &mut files);
    }
    let ours = files.len();
    assert!(ours >= 15, "only {ours} files in testdata");
    let samples = root.join("../shared/data/flow-log-samples");
    if samples.is_dir() {
        json_files(&samples, &mut files);
    } else {
        println!("{} is not there: {ours} own files only", samples.display());
    }
    files.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("readable"))).collect()
}

fn hour_of(path: &Path) -> Option<i64> {
    BlobPath::parse(path.to_str().expect("UTF-8")).map(|path| path.hour)
}

#[test]
fn equals_the_reference_decoder_at_any_cut() {
    for (path, bytes) in corpus() {
        let hour = hour_of(&path);
        let expected = reference::decode_of_hour(&bytes, hour);
        for (nr, options) in all_options().into_iter().enumerate() {
            let options = Options { hour, ..options };
            let rows: Vec<Cells> = expected
                .rows
                .iter()
                .filter(|row| keeps(row, &options))
                .map(|row| options.projection.0.iter().map(|&column| reference_cell(row, column)).collect())
                .collect();
            let inside: Vec<&Row> = expected.rows.iter().filter(|row| options.window.contains(row.time)).collect();
            for batch_size in [1, 3, 8192] {
                let options = Options { batch_size, ..options.clone() };
                let mut problems = None;
                for chunk in [1, 3, 7, 4096, bytes.len()] {
                    let case = format!("{} options {nr} batch {batch_size} chunk {chunk}", path.display());
                    let decoded = decode(&bytes, Part::Whole, chunk, &options);
                    if !options.projection.0.is_empty() {
                        assert_eq!(decoded.rows, rows, "{case}");
                    }
                    assert_eq!(decoded.rows.len(), rows.len(), "{case}");
                    let Counts { records, bad_records, tuples, denied_tuples, malformed_tuples, times, .. } =
                        decoded.counts;
                    assert_eq!((records, bad_records), (expected.records, expected.bad_records), "{case}");
                    assert_eq!(tuples, inside.len() as u64, "{case}");
                    assert_eq!(denied_tuples, inside.iter().filter(|r| r.decision == "deny").count() as u64, "{case}");
                    assert_eq!(malformed_tuples, expected.malformed, "{case}");
                    let first = inside.iter().map(|r| r.time).min();
                    let last = inside.iter().map(|r| r.time).max();
                    assert_eq!(times, first.zip(last), "{case}");
                    assert_eq!(*problems.get_or_insert(decoded.problems.clone()), decoded.problems, "{case}");
                }
            }
        }
    }
}

/// What `testdata/count.py` prints for a folder, by file.
fn counted_by_script(folder: Option<&Path>) -> serde_json::Map<String, serde_json::Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/count.py");
    let output = std::process::Command::new("python3").arg(script).args(folder).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn counts_are_those_of_an_independent_script() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let kept: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(testdata.join("counts.json")).expect("counts")).expect("JSON");
    assert_eq!(counted_by_script(None), kept, "python3 testdata/count.py --write");
    assert!(kept.len() > 100, "{} files", kept.len());
    let samples = testdata.join("../../shared/data/flow-log-samples");
    let folders = match samples.is_dir() {
        true => vec![(&testdata, kept), (&samples, counted_by_script(Some(&samples)))],
        false => {
            println!("{} is not there: own files only", samples.display());
            vec![(&testdata, kept)]
        }
    };
    for (folder, counts) in folders {
        for (name, expected) in counts {
            let bytes = std::fs::read(folder.join(&name)).expect("readable");
            let options = Options { hour: hour_of(Path::new(&name)), ..Options::default() };
            let counts = decode(&bytes, Part::Whole, 1000, &options).counts;
            let (first, last) = counts.times.unzip();
            let got = serde_json::json!({
                "records": counts.records,
                // Of a text that is no JSON, how many problems there are is the reader's choice.
                "bad_records": expected["bad_records"].as_u64().map(|_| counts.bad_records),
                "foreign": counts.foreign.records(), "tuples": counts.tuples, "denied": counts.denied_tuples, "malformed_tuples": counts.malformed_tuples,
                "nsg1": counts.versions.nsg1, "nsg2": counts.versions.nsg2, "vnet4": counts.versions.vnet4,
                "first": first, "last": last,
            });
            assert_eq!(got, expected, "{name}");
        }
    }
}

#[test]
fn the_general_way_gives_what_the_fast_one_gives() {
    let mut slow = 0;
    for (path, bytes) in corpus() {
        let Ok(text) = String::from_utf8(bytes) else { continue };
        // An escape that text can do without, in most texts of a record. The order of keys stays as it is.
        let escaped = text.replace('/', "\\/").replace("User", "\\u0055ser");
        if text.contains('\\') || escaped == text {
            continue;
        }
        for chunk in [13, escaped.len()] {
            let fast = decode(text.as_bytes(), Part::Whole, text.len(), &Options::default());
            let general = decode(escaped.as_bytes(), Part::Whole, chunk, &Options::default());
            assert_eq!(general.rows, fast.rows, "{}", path.display());
            assert!(general.counts.slow_records > 0, "{}", path.display());
            slow += general.counts.slow_records;
            let counts = Counts { slow_records: fast.counts.slow_records, ..general.counts };
            assert_eq!(counts, fast.counts, "{}", path.display());
        }
    }
    assert!(slow > 50, "only {slow} records took the general way");
}

#[test]
fn pieces_of_a_blob_make_the_whole() {
    let mut split = 0;
    for (path, bytes) in corpus() {
        let Some(hint) = probe_head(&bytes[..bytes.len().min(4096)]) else { continue };
        split += 1;
        let options = Options::default();
        let whole = decode(&bytes, Part::Whole, bytes.len(), &options);
        let length = bytes.len() as u64;
        let step = (bytes.len() / 200).max(1);
        for cut in (1..bytes.len()).step_by(step) {
            let second = (cut + bytes.len() / 3).min(bytes.len() - 1).max(cut);
            let edges = [0, cut as u64, second as u64, length];
            let mut rows = Vec::new();
            let mut counts = Counts::default();
            for edge in edges.windows(2) {
                let end = (edge[1] < length).then_some(edge[1]);
                let part = Part::Piece { start: edge[0], end, hint: hint.clone() };
                let piece = decode(&bytes[edge[0] as usize..], part, 97, &options);
                rows.extend(piece.rows);
                counts.add(&piece.counts);
            }
            assert_eq!(rows, whole.rows, "{} cut at {cut} and {second}", path.display());
            // Records are not compared across the edges.
            let Counts { split_records, unordered_records, .. } = whole.counts;
            assert!(counts.split_records <= split_records && counts.unordered_records <= unordered_records);
            let counts = Counts { split_records, unordered_records, ..counts };
            assert_eq!(counts, whole.counts, "{} cut at {cut} and {second}", path.display());
        }
    }
    assert!(split >= 5, "only {split} files could be split");
}

const MAY_4TH: i64 = 1_777_878_000_000;
const DAY: i64 = 86_400_000;

/// A VNet record with a tuple of each of these times, its own time (the 4th of May) before them, after them, or nowhere.
fn record_of(times: &[i64], has_time: Option<IsFirst>) -> String {
    let tuples: Vec<String> =
        times.iter().map(|time| format!(r#""{time},10.20.1.4,192.0.2.7,50000,443,6,O,D,NX,0,0,0,0""#)).collect();
    let body = format!(r#""flowRecords":{{"flows":[{{"flowGroups":[{{"flowTuples":[{}]}}]}}]}}"#, tuples.join(","));
    let time = r#""time":"2026-05-04T07:00:00Z""#;
    match has_time {
        Some(IsFirst(true)) => format!("{{{time},{body}}}"),
        Some(IsFirst(false)) => format!("{{{body},{time}}}"),
        None => format!("{{{body}}}"),
    }
}

#[derive(Clone, Copy)]
struct IsFirst(bool);

/// Reads records of one wrapper with every set of instructions, chunk and batch size, with escapes and without.
fn read_alike(records: &[String], options: &Options, expected: &[(Reason, u64)]) -> Counts {
    let blob = format!("{{\"records\":[{}]}}", records.join(","));
    let reasons = |escapes: &str, options: &Options, chunk: usize| {
        let blob = blob.replace(",NX,", escapes);
        let decoded = decode(blob.as_bytes(), Part::Whole, chunk, options);
        assert_eq!(decoded.rows.len() as u64, decoded.counts.tuples);
        (decoded.counts, decoded.problems)
    };
    let (counts, problems) = reasons(",NX,", options, blob.len());
    let mut of_reasons: Vec<(Reason, u64)> = Vec::new();
    for problem in &problems {
        match of_reasons.last_mut() {
            Some((reason, count)) if *reason == problem.reason => *count += 1,
            _ => of_reasons.push((problem.reason, 1)),
        }
    }
    assert_eq!(of_reasons, expected, "{blob}");
    for instructions in [Instructions::Avx512, Instructions::Avx2, Instructions::Portable] {
        for (batch_size, chunk) in [(1, 1), (3, 7), (8192, 100)] {
            for projection in [Projection::all(), Projection(vec![]), Projection(vec![Column::Rule])] {
                let options = Options { instructions, batch_size, projection, ..options.clone() };
                assert_eq!(reasons(",NX,", &options, chunk), (counts.clone(), problems.clone()));
                let (escaped, _) = reasons(",\\u004eX,", &options, chunk);
                assert_eq!(escaped.slow_records, counts.records);
                assert_eq!(Counts { slow_records: 0, ..escaped }, counts);
            }
        }
    }
    counts
}

#[test]
fn a_time_far_from_its_records_time_makes_a_tuple_malformed() {
    let first = Some(IsFirst(true));
    let read = |times: &[i64], has_time, hour, expected: &[(Reason, u64)]| {
        let options = Options { hour, ..Options::default() };
        let record = record_of(times, has_time);
        let counts = read_alike(std::slice::from_ref(&record), &options, expected);
        let slow = reference::decode_of_hour(record.as_bytes(), hour);
        assert_eq!((counts.tuples, counts.malformed_tuples), (slow.rows.len() as u64, slow.malformed), "{record}");
        assert_eq!(counts.problems, expected.iter().map(|(_, count)| count).sum::<u64>(), "{record}");
        counts
    };
    let far = Reason::OffTime(OffTime::FarFromRecord);
    // Digits too many make the year 2533: neither the last flow nor a row.
    let counts = read(&[MAY_4TH, 17_778_816_000, MAY_4TH + 1], first, None, &[(far, 1)]);
    assert_eq!((counts.times, counts.denied_tuples), (Some((MAY_4TH, MAY_4TH + 1)), 2));
    assert_eq!(read(&[17_778_816_000], first, None, &[(far, 1)]).times, None);
    read(&[MAY_4TH - 90 * DAY, MAY_4TH + 90 * DAY], first, Some(0), &[]);
    read(&[MAY_4TH - 90 * DAY - 1, MAY_4TH, MAY_4TH + 90 * DAY + 1], first, None, &[(far, 2)]);

    // A time behind the tuples comes too late, then the path tells, or nothing does.
    let far = Reason::OffTime(OffTime::FarFromPath);
    let far_times = [MAY_4TH + 91 * DAY, MAY_4TH];
    read(&far_times, Some(IsFirst(false)), None, &[]);
    read(&far_times, Some(IsFirst(false)), Some(MAY_4TH), &[(far, 1)]);
    read(&far_times, None, Some(MAY_4TH), &[(far, 1)]);
    let years = Reason::OffTime(OffTime::Years);
    let (first_ms, last_ms) = (1_420_070_400_000, 4_102_444_800_000);
    read(&[first_ms - 1, first_ms, last_ms, last_ms + 1, 0, 7000], None, None, &[(years, 4)]);
    // Over 9999 it is no time at all.
    read(&[MAY_4TH, 253_402_300_800_000], None, None, &[(Reason::Time, 1)]);
}

#[test]
fn a_record_of_which_every_time_is_off_is_one_problem() {
    let first = Some(IsFirst(true));
    let shifted: Vec<i64> = (0..240).map(|n| MAY_4TH - 1000 * DAY + n).collect();
    let all_far = Reason::AllTimesOff(OffTime::FarFromRecord, 240);
    let records = [record_of(&shifted, first), record_of(&[MAY_4TH], first), record_of(&shifted, first)];
    let counts = read_alike(&records, &Options::default(), &[(all_far, 2)]);
    assert_eq!((counts.records, counts.tuples, counts.malformed_tuples, counts.problems), (3, 1, 480, 2));
    assert!(
        all_far.to_string().starts_with("240 tuples skipped, all times of this record are wrong: each is more than")
    );

    // The window hides well-formed tuples, but they are there.
    let window = TimeRange { from: Some(MAY_4TH + DAY), to: None };
    let outside = record_of(&[&shifted[..], &[MAY_4TH]].concat(), first);
    let options = Options { window, ..Options::default() };
    let far = Reason::OffTime(OffTime::FarFromRecord);
    let counts = read_alike(&[outside], &options, &[(far, 240)]);
    assert_eq!((counts.tuples, counts.malformed_tuples), (0, 240));
    let counts = read_alike(&[record_of(&[0, 0], None)], &options, &[(Reason::AllTimesOff(OffTime::Years, 2), 1)]);
    assert_eq!((counts.malformed_tuples, counts.problems), (2, 1));
}

#[test]
fn problems_are_held_up_to_a_limit_and_counted_beyond_it() {
    let times: Vec<i64> = (0..50_000).map(|n| MAY_4TH + if n == 25_000 { 0 } else { 1000 * DAY }).collect();
    let blob = format!("[{0},{0}]", record_of(&times, Some(IsFirst(true))));
    let decoded = decode(blob.as_bytes(), Part::Whole, 4096, &Options::default());
    let Counts { tuples, malformed_tuples, problems, .. } = decoded.counts;
    assert_eq!((tuples, malformed_tuples, problems), (2, 99_998, 99_998));
    assert_eq!(decoded.problems.len(), KEPT_PROBLEMS);
    assert!(decoded.problems.is_sorted_by_key(|problem| problem.offset));
}

#[test]
fn nsg_is_the_last_part_of_acl() {
    let record = |acl: &str| {
        format!(
            r#"{{"flowRecords":{{"flows":[{{"aclID":"{acl}","flowGroups":[{{"flowTuples":["{MAY_4TH},10.20.1.4,192.0.2.7,50000,443,6,O,B,NX"]}}]}}]}}}}"#
        )
    };
    let blob =
        ["/subscriptions/s/networkSecurityGroups/nsg-a", "nsg-b", "", "/x/nsg-a", "\\/x\\/é"].map(record).join("\n");
    for text in [Text::View, Text::Plain, Text::Dictionary, Text::Coded] {
        let options = Options { projection: Projection(vec![Column::Nsg]), text, ..Options::default() };
        let rows = decode(blob.as_bytes(), Part::Whole, 100, &options).rows;
        let names: Vec<&str> = rows.iter().map(|row| row[0].as_deref().expect("never null")).collect();
        assert_eq!(names, ["nsg-a", "nsg-b", "", "nsg-a", "é"], "{text:?}");
    }
}

/// Always the same numbers, each below what is asked.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

/// How often each row occurs.
fn census(rows: impl IntoIterator<Item = Cells>) -> HashMap<Cells, usize> {
    let mut census = HashMap::new();
    rows.into_iter().for_each(|row| *census.entry(row).or_default() += 1);
    census
}

/// Records of the corpus, each as compact JSON, with the rows that are in it.
fn records() -> Vec<(String, HashMap<Cells, usize>)> {
    let whole = |record: &serde_json::Value| {
        let text = record.to_string();
        let decoded = decode(text.as_bytes(), Part::Whole, text.len(), &Options::default());
        (decoded.counts.records == 1 && !decoded.rows.is_empty()).then(|| (text, census(decoded.rows)))
    };
    corpus()
        .iter()
        .filter_map(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(bytes).ok())
        .flat_map(|blob| blob["records"].as_array().into_iter().flatten().filter_map(whole).collect::<Vec<_>>())
        .filter(|(text, _)| text.len() < 4_000 && !text.contains("\"records\":["))
        .collect()
}

#[test]
fn a_record_outside_of_the_damage_is_never_lost() {
    let records = records();
    assert!(records.len() > 20, "{} records", records.len());
    let mut random = numbers();
    let (mut kept, mut damaged_records) = (0, 0);
    for round in 0..20_000 {
        let chosen: Vec<_> = (0..2 + random(6)).map(|_| &records[random(records.len())]).collect();
        let mut blob = b"{\"records\":[".to_vec();
        let mut spans = Vec::new();
        for (nr, (text, _)) in chosen.iter().enumerate() {
            if nr > 0 {
                blob.push(b',');
            }
            spans.push(blob.len()..blob.len() + text.len());
            blob.extend_from_slice(text.as_bytes());
        }
        blob.extend_from_slice(b"]}");
        let at = random(blob.len());
        let longest = if random(4) == 0 { 6_000 } else { 40 };
        let end = (at + random(longest)).min(blob.len());
        let other = random(blob.len());
        let junk: Vec<u8> = match random(4) {
            0 => Vec::new(),
            1 => (0..random(12)).map(|_| b"\"\\{}[],:0a\x00\xff\n "[random(14)]).collect(),
            2 => blob[other..(other + random(3_000)).min(blob.len())].to_vec(),
            _ => b"{\"records\":[".to_vec(),
        };
        let mut damaged = blob.clone();
        damaged.splice(at..end, junk.iter().copied());
        let decoded = decode(&damaged, Part::Whole, 1 + random(damaged.len()), &Options::default());
        let found = census(decoded.rows);
        // What touches the damage, be it with the comma before, may be lost.
        for ((text, rows), span) in chosen.iter().zip(&spans) {
            let is_outside = span.end <= at || span.start > end;
            damaged_records += usize::from(!is_outside);
            kept += usize::from(is_outside);
            let has_all = rows.iter().all(|(row, count)| found.get(row).is_some_and(|n| n >= count));
            assert!(
                !is_outside || has_all,
                "round {round}: {at}..{end} became {:?}: lost {span:?} {text}\nof {}",
                String::from_utf8_lossy(&junk),
                String::from_utf8_lossy(&damaged)
            );
        }
    }
    assert!(kept > 5_000 && damaged_records > 2_000, "{kept} kept, {damaged_records} damaged");
}

/// Records that are values of an unknown key of another one, `{"x":{"k0":{...},...}, BODY`.
fn with_inner_records(count: usize, body: &str) -> String {
    let inner = |n| format!(r#""k{n}":{{"time":"2026-05-04T08:05:41Z","flowLogVersion":4,{}}}"#, flow_records(n));
    let inner: Vec<String> = (0..count).map(inner).collect();
    format!(r#"{{"records":[{{"x":{{{}}},{body}"#, inner.join(","))
}

fn flow_records(n: usize) -> String {
    format!(
        r#""flowRecords":{{"flows":[{{"flowGroups":[{{"rule":"r","flowTuples":["{},10.0.0.1,10.0.0.2,1,2,6,O,B,NX"]}}]}}]}}"#,
        1_777_881_900_000 + n
    )
}

#[test]
fn records_that_are_values_of_a_record_count_only_without_it() {
    // So many that looking at all for each would take minutes.
    const COUNT: usize = 100_000;
    let whole = with_inner_records(COUNT, &format!("{}}}]}}", flow_records(COUNT)));
    let other = with_inner_records(COUNT, "\"nothing\":0}]}");
    let cut = with_inner_records(COUNT, "\"nothing\":");
    for (blob, records, bad, reason) in
        [(whole, 1, 0, None), (other, COUNT, 1, Some(Reason::UnknownRecord)), (cut, COUNT, 1, Some(Reason::Cut))]
    {
        let options = Options { projection: Projection(vec![]), ..Options::default() };
        let decoded = decode(blob.as_bytes(), Part::Whole, 64 << 10, &options);
        let Counts { records: read, bad_records, tuples, .. } = decoded.counts;
        assert_eq!((read, bad_records, tuples), (records as u64, bad, records as u64), "{reason:?}");
        assert_eq!(decoded.problems.first().map(|problem| problem.reason), reason);
    }
}

#[test]
fn a_blob_cut_at_any_byte_keeps_its_whole_records() {
    let records: Vec<String> = records().into_iter().take(6).map(|(text, _)| text).collect();
    let blob = format!("{{\"records\":[{}]}}", records.join(","));
    let ends: Vec<usize> = records
        .iter()
        .scan("{\"records\":[".len(), |at, record| {
            let end = *at + record.len();
            *at = end + 1;
            Some(end)
        })
        .collect();
    for cut in 0..blob.len() {
        let decoded = decode(&blob.as_bytes()[..cut], Part::Whole, 100, &Options::default());
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        assert_eq!((decoded.counts.records, decoded.counts.bad_records), (whole, u64::from(cut > 0)), "cut at {cut}");
        assert!(decoded.problems.iter().all(|problem| problem.offset <= cut as u64), "cut at {cut}");
    }
}

/// Damage at a few random places: bytes changed, cut out, or written twice.
fn damage(bytes: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..1 + random(3) {
        let at = random(damaged.len().max(1)).min(damaged.len());
        let end = (at + random(200)).min(damaged.len());
        match random(4) {
            0 => damaged.truncate(at),
            1 => drop(damaged.drain(at..end)),
            2 => {
                let twice = damaged[at..end].to_vec();
                damaged.splice(at..at, twice);
            }
            _ if at < damaged.len() => damaged[at] = b"\"\\{}[],:0a\x00\xff"[random(12)],
            _ => {}
        }
    }
    damaged
}

#[test]
fn damage_never_panics_and_reads_alike_at_any_cut() {
    let mut random = numbers();
    let mut problems = 0;
    for (path, bytes) in corpus().into_iter().filter(|(_, bytes)| bytes.len() < 20_000) {
        for round in 0..60 {
            let damaged = damage(&bytes, &mut random);
            let options = Options { batch_size: 1 + random(50), ..Options::default() };
            let whole = decode(&damaged, Part::Whole, damaged.len(), &options);
            for chunk in [1, 1 + random(500)] {
                let pieces = decode(&damaged, Part::Whole, chunk, &options);
                assert_eq!(pieces, whole, "{} round {round} chunk {chunk}", path.display());
            }
            problems += whole.problems.len();
        }
    }
    assert!(problems > 500, "only {problems} problems found");
}
