//! `flowgap sql` and `flowgap query`, the real binary: formats, files, statuses, messages, every ready-made query.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cases::{A, DENY, SQL, STORAGE, planted};
use crate::support::archive::{Log, hours, inbound, minutes, outbound};
use crate::support::binary::{check_golden, check_status, command, flowgap, root, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const TAGS: &str = "testdata/tags/ServiceTags_Example_20260504.json";
const QUERY: &str = "SELECT time, dst_port, rule, packets_sent, [dst_port, src_port] AS ports FROM flows
    WHERE dst_port IN (1433, 443) ORDER BY time, src_port LIMIT 3";

fn sql(arguments: &[&str]) -> Output {
    flowgap(&[&["sql", ARCHIVE], arguments].concat())
}

fn answered(arguments: &[&str]) -> String {
    let output = sql(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn formats_equal_their_golden() {
    let mut text = String::new();
    for format in ["table", "lines", "csv", "tsv", "json", "ndjson", "markdown"] {
        text += &format!("-- {format}\n{}\n", answered(&["-c", QUERY, "--format", format]).replace('\r', "\\r"));
    }
    check_golden("sql-formats.txt", &text);
    let array: Value = serde_json::from_str(&answered(&["-c", QUERY, "--format", "json"])).expect("JSON");
    let lines = answered(&["-c", QUERY, "--format", "ndjson"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(array.as_array(), Some(&lines));
    assert_eq!(lines[0]["packets_sent"], Value::Null, "keys stay");
    for (format, empty) in [("json", "[\n\n]\n"), ("ndjson", ""), ("csv", "x\r\n"), ("table", "x\n-\n(no rows)\n")] {
        assert_eq!(answered(&["-c", "SELECT 1 AS x WHERE false", "--format", format]), empty, "{format}");
    }
}

#[test]
fn values_that_would_break_a_format_do_not() {
    let nasty = "SELECT 'a,\"b\"' || chr(10) || chr(9) || '\\|' || chr(27) || '[2J' AS x, NULL AS y";
    let printed = |format: &str| answered(&["-c", nasty, "--format", format]);
    assert_eq!(printed("csv"), "x,y\r\n\"a,\"\"b\"\"\u{fffd}\u{fffd}\\|\u{fffd}[2J\",\r\n");
    assert_eq!(printed("tsv"), "x\ty\na,\"b\"\\n\\t\\\\|\u{fffd}[2J\t\n");
    for format in ["table", "lines", "markdown"] {
        let text = printed(format);
        assert!(!text.contains('\u{1b}') && text.lines().count() <= 3, "{format}: {text:?}");
    }
    let json: Value = serde_json::from_str(&printed("json")).expect("JSON");
    assert_eq!(json[0]["x"], "a,\"b\"\n\t\\|\u{1b}[2J");
}

#[test]
fn queries_come_from_options_a_file_or_a_pipe() {
    let piped = |arguments: &[&str], input: &str| {
        let mut child = command(&[&["sql", ARCHIVE], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("flowgap starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), stdout(&output))
    };
    let both = (Some(0), "1\r\n1\r\n2\r\n2\r\n".to_owned());
    assert_eq!(answered(&["-c", "SELECT 1 AS \"1\"", "-c", "SELECT 2 AS \"2\"", "--format", "csv"]), both.1);
    assert_eq!(piped(&["--format", "csv"], "SELECT 1 AS \"1\"; SELECT 2 AS \"2\";"), both);
    assert_eq!(piped(&["--format", "csv", "-f", "-"], "SELECT 1 AS \"1\"; -- why\n SELECT 2 AS \"2\""), both);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("q.sql");
    std::fs::write(&file, "/* two */ SELECT 1 AS \"1\";\nSELECT 2 AS \"2\"").expect("a file");
    assert_eq!(answered(&["-f", file.to_str().expect("UTF-8"), "--format", "csv"]), both.1);
    assert_eq!(piped(&[], ""), (Some(0), String::new()));
    // The pipe may hold the flow log, too.
    let log = root().join("testdata/vnet-v4/plain.json");
    let count = ["-c", "SELECT count(*) AS n FROM flows", "--format", "csv"];
    let read = command(&[&["sql", "-"], &count[..]].concat())
        .stdin(std::fs::File::open(&log).expect("a flow log"))
        .output()
        .expect("flowgap starts");
    let from_file = flowgap(&[&["sql", log.to_str().expect("UTF-8")], &count[..]].concat());
    assert_eq!((read.status.code(), stdout(&read)), (Some(0), stdout(&from_file)));
    assert_ne!(stdout(&read), "n\r\n0\r\n");
    check_status(&["sql", ARCHIVE, "-f", "nowhere.sql"], 2, "--file nowhere.sql: No such file");
    check_status(&["sql", "-"], 2, "give the query with -c or -f");
    check_status(&["sql", ARCHIVE, "-c", "SELECT 1", "-f", "x"], 2, "cannot be used with");
    // A setting holds for the queries after it.
    let text = answered(&["-c", "SET TIME ZONE 'Europe/Berlin'; SELECT min(time) AS t FROM flows", "--format", "csv"]);
    assert_eq!(text, "t\r\n2026-05-04T02:04:36.350+02:00\r\n");
    let text = answered(&["-c", "SET datafusion.format.null = '-'", "-c", "SELECT NULL AS x", "--format", "csv"]);
    assert_eq!(text, "x\r\n-\r\n");
}

#[test]
fn a_table_shows_some_rows_and_says_so() {
    let text = answered(&["-c", "SELECT time FROM flows"]);
    assert_eq!(text.lines().count(), 2 + 40 + 1);
    assert!(text.ends_with("(the first 40 rows; --maxrows N or LIMIT shows more)\n"), "{text}");
    let rows =
        |n: &str| answered(&["-c", "SELECT value FROM generate_series(1, 1500)", "--maxrows", n]).lines().count();
    assert_eq!((rows("3"), rows("1500"), rows("0")), (2 + 3 + 1, 2 + 1500, 2 + 1500));
    let output = sql(&["-c", "SELECT 1"]);
    assert!(stderr(&output).starts_with("1 row in 0."), "{}", stderr(&output));
    assert_eq!(stderr(&sql(&["-c", "SELECT 1", "-q"])), "");
    let verbose = stderr(&sql(&["-c", "SELECT count(*) FROM flows", "-v"]));
    assert!(verbose.contains(" blobs, ") && verbose.contains(" tuples\n"), "{verbose}");
}

#[test]
fn windows_narrow_what_is_seen() {
    let count =
        |arguments: &[&str]| answered(&[&["-c", "SELECT count(*) FROM flows", "--format", "csv"], arguments].concat());
    let all = count(&[]);
    let hour = count(&["--from", "2026-05-04T06:00:00Z", "--to", "2026-05-04T07:00:00Z"]);
    assert!(hour.len() < all.len(), "{hour} {all}");
    assert_eq!(hour, count(&["--last", "1h", "--now", "2026-05-04T07:00:00Z"]));
    let asked = "SELECT count(*) FROM flows WHERE time >= '2026-05-04T06:00:00Z' AND time < '2026-05-04T07:00:00Z'";
    assert_eq!(hour.lines().nth(1), answered(&["-c", asked, "--format", "csv"]).lines().nth(1));
}

#[test]
fn statuses_and_messages() {
    check_status(&["sql", ARCHIVE, "-c", "SELECT dst_prt FROM flows"], 2, "did you mean dst_port?");
    check_status(&["sql", ARCHIVE, "-c", "DROP TABLE flows"], 2, "is refused, because flowgap only reads");
    check_status(
        &["sql", ARCHIVE, "-c", "SELECT 1", "--format", "parquet"],
        2,
        "parquet can only be written to a file",
    );
    check_status(&["sql", ARCHIVE, "-c", "SELECT 1", "-o", "x.dat"], 2, "is not a known format");
    check_status(&["sql", ARCHIVE, "-c", "SELECT 1", "-o", "nowhere/x.csv"], 2, "cannot write to nowhere/x.csv");
    check_status(&["sql", ARCHIVE, "-c", "SELECT 1", "--memory", "lots"], 2, "write a size such as 512MB");
    check_status(&["sql", "testdata/nothing", "-c", "SELECT 1"], 4, "testdata/nothing");
    check_status(&["sql", "testdata/broken", "-c", "SELECT count(*) FROM flows"], 3, "results may be incomplete");
    check_status(&["sql"], 2, "SOURCE");
    let sum = "SELECT array_agg(a.src_ip || b.dst_ip) FROM flows a CROSS JOIN (SELECT dst_ip FROM flows LIMIT 400) b";
    check_status(&["sql", ARCHIVE, "-c", sum, "--memory", "8MB"], 2, "needs more than the 8 MiB of --memory");
    // A wrong query behind a right one: nothing ran.
    let output = sql(&["-c", "SELECT 1 AS one", "-c", "SELECT x FROM nothing"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
    let output = sql(&["-c", "SELECT service_tag('192.0.2.40') AS tag"]);
    assert!(stderr(&output).contains("no service tags are loaded"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "tag\n----\nNULL\n");
}

#[test]
fn a_file_appears_only_when_it_is_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.csv");
    let out = path.to_str().expect("UTF-8");
    std::fs::write(&path, "old").expect("a file");
    check_status(
        &["sql", ARCHIVE, "-c", "SELECT 1 / (src_port - src_port) FROM flows", "-o", out],
        2,
        "division by zero",
    );
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "old");
    check_status(
        &["sql", ARCHIVE, "-c", "SELECT 1 AS x; SELECT 2 AS x", "-o", out],
        2,
        "takes the result of one query",
    );
    assert_eq!(stdout(&sql(&["-c", "SELECT 1 AS x", "-o", out])), "");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "x\r\n1\r\n");
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("one").file_name()).collect();
    assert_eq!(names, ["out.csv"]);
    // What is no plain file is written as it is.
    assert_eq!(stdout(&sql(&["-c", "SELECT 1 AS x", "-o", "/dev/stdout", "--format", "csv"])), "x\r\n1\r\n");
    // A folder in memory that looks like one of devices.
    #[cfg(target_os = "linux")]
    {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let path = folder.path().join("out.csv");
        assert_eq!(stdout(&sql(&["-c", "SELECT 1 AS x", "-o", path.to_str().expect("UTF-8")])), "");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "x\r\n1\r\n");
    }
}

#[test]
fn an_interrupted_or_unread_query_ends_and_leaves_no_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "SELECT sum(a.src_port * b.src_port % 7 + c.src_port) FROM flows a, flows b, flows c";
    for signal in ["INT", "TERM"] {
        let out = folder.path().join("out.parquet");
        let mut child = command(&["sql", ARCHIVE, "-c", long, "-o", out.to_str().expect("UTF-8")])
            .env("TMPDIR", folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("flowgap starts");
        let spill = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("one").file_name().to_string_lossy().contains(".part")
        };
        let begun = Instant::now();
        while !std::fs::read_dir(folder.path()).expect("a folder").any(spill) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it did not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("kill").success());
        let begun = Instant::now();
        let status = child.wait().expect("it ends");
        assert!(begun.elapsed() < Duration::from_secs(10), "{signal}: it took {:?}", begun.elapsed());
        assert_eq!(status.code(), Some(130), "{signal}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
    }
    let mut child = command(&["sql", ARCHIVE, "-c", "SELECT * FROM flows a, flows b", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowgap starts");
    let mut first = [0; 1000];
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut first).expect("rows");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

/// Parameters that have no default.
fn needed(id: &str) -> &'static [&'static str] {
    match id {
        "about_address" => &["--param", "ip=10.20.1.5"],
        "new_destinations" => &["--param", "since=2026-05-05T00:00:00Z"],
        "port_matrix" => &["--param", "subnet=10.20.1.0/24"],
        "rules_not_matched" => &["--param", "from=2026-05-04T12:00:00Z"],
        _ => &[],
    }
}

/// Configured rules and recorded changes of the archive of testdata.
const TRUTH: [&str; 4] =
    ["--nsg", "testdata/policy/nsg-apim.json", "--activity-log", "testdata/policy/activity-log.json"];

/// What the archives of testdata lack: somebody who does not answer, an interface that falls silent, refused backends.
fn planted_archive() -> tempfile::TempDir {
    let mut log = Log::vnet();
    for hour in [0, 1, 2, 3, 8, 9] {
        log.allowed(outbound(hours(hour), A, STORAGE, 443));
        log.unanswered(outbound(planted(hour), A, SQL, 1433));
        log.denied(outbound(hours(hour) + minutes(5), A, "10.9.8.7", 8443), DENY);
        log.denied(inbound(hours(hour) + minutes(7), "203.0.113.9", A, 22), "DefaultRule_DenyAllInBound");
    }
    log.write()
}

#[test]
fn every_ready_made_query_equals_its_golden() {
    let queries = flowgap::queries::shipped().expect("headers");
    assert!(queries.len() >= 16);
    let planted = planted_archive();
    let planted = planted.path().to_str().expect("UTF-8");
    let mut answered = 0;
    for query in &queries {
        let mut text = String::new();
        for source in [ARCHIVE, "testdata/vnet-v4", "testdata/nsg-v2", planted] {
            let arguments = [
                &["query", &query.id, source, "--service-tags", TAGS, "--format", "csv"],
                &TRUTH[..],
                needed(&query.id),
            ];
            let output = flowgap(&arguments.concat());
            assert_eq!(output.status.code(), Some(0), "{}: {}", query.id, stderr(&output));
            let printed = stdout(&output).replace("\r\n", "\n");
            let columns: Vec<&str> = printed.lines().next().unwrap_or_default().split(',').collect();
            assert_eq!(columns.join(", "), query.columns, "{}: columns as its header says", query.id);
            let rows: Vec<&str> = printed.lines().take(21).collect();
            text += &format!("-- {}\n{}\n", if source == planted { "planted" } else { source }, rows.join("\n"));
        }
        assert!(text.lines().count() > 8, "{}: no source has an answer", query.id);
        answered += 1;
        check_golden(&format!("explore/{}.csv", query.id), &text);
    }
    let goldens = std::fs::read_dir(root().join("tests/golden/explore")).expect("goldens").count();
    assert_eq!((goldens, answered), (queries.len(), queries.len()), "one golden for each query");
}

#[test]
fn queries_are_listed_named_and_given_values() {
    let list = stdout(&flowgap(&["query", "--list"]));
    for query in flowgap::queries::shipped().expect("headers") {
        assert!(list.contains(&format!("{:24}{}", query.id, query.title)), "{}", query.id);
        assert!(!query.title.is_empty() && !query.order.is_empty(), "{}", query.id);
    }
    assert_eq!(stdout(&flowgap(&["query", "east_west", "--list"])).lines().count(), 2);
    check_status(&["query", "top_denied_rule", ARCHIVE], 2, "did you mean top_denied_rules?");
    check_status(&["query", "zzz", ARCHIVE], 2, "flowgap query --list shows them");
    check_status(&["query", "about_address", ARCHIVE], 2, "about_address needs --param ip=10.20.1.5");
    check_status(&["query", "about_address", ARCHIVE, "--param", "ip=x"], 2, "x is not a valid address for ip");
    check_status(&["query", "about_address", ARCHIVE, "--param", "ipp=10.0.0.1"], 2, "did you mean ip?");
    check_status(&["query", "about_address", ARCHIVE, "--param", "ip"], 2, "write NAME=VALUE");
    check_status(&["query", "top_denied_rules"], 2, "SOURCE");
    check_status(&["query"], 2, "NAME");
    // Bound, never pasted: it is no address, and as text it closes no quote.
    check_status(&["query", "about_address", ARCHIVE, "--param", "ip=' OR '1'='1"], 2, "is not a valid address");
    let spelled = flowgap(&["query", "about-address", ARCHIVE, "--param", "ip=::ffff:10.20.1.5", "--format", "csv"]);
    assert!(stdout(&spelled).lines().count() > 10, "{}", stderr(&spelled));
}

#[test]
fn user_queries_replace_built_in_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    let own = folder.path().to_str().expect("UTF-8");
    put("mine.sql", "-- title: Mine\n-- params: $name text: whose\nSELECT $name AS mine");
    put("east_west.sql", "SELECT 'own' AS east_west");
    put("notes.txt", "no query");
    let named = |name: &str, rest: &[&str]| {
        let arguments = [&["query", name, ARCHIVE, "--queries", own, "--format", "csv"], rest].concat();
        stdout(&flowgap(&arguments))
    };
    assert_eq!(named("mine", &["--param", "name=it's; DROP TABLE flows --"]), "mine\r\nit's; DROP TABLE flows --\r\n");
    assert_eq!(named("east_west", &[]), "east_west\r\nown\r\n");
    assert!(stdout(&flowgap(&["query", "--list", "--queries", own])).contains("Mine"));
    put("bad.sql", "-- params: $x int: what\nSELECT $x");
    check_status(&["query", "mine", ARCHIVE, "--queries", own], 2, "write one of integer, text, time, address, prefix");
    check_status(&["query", "mine", ARCHIVE, "--queries", "nowhere"], 2, "--queries nowhere: No such file");
}

/// Python with the engines that read our files, in an environment of its own.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| python_with("reader-venv", &root().join("tests/readers/requirements.txt")))
}

/// Python with the packages that a file lists, in an environment of this name.
pub fn python_with(name: &str, wanted: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let cache = home.join(".cache/flowgap").join(name);
    let run = |command: &mut Command| {
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let mark = cache.join("installed.txt");
    if std::fs::read(&mark).ok() != std::fs::read(wanted).ok() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&cache));
        run(Command::new(cache.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(wanted));
        std::fs::copy(wanted, &mark).expect("a mark");
    }
    cache.join("bin/python")
}

#[test]
fn other_engines_read_parquet_and_arrow() {
    let folder = tempfile::tempdir().expect("a folder");
    let columns =
        "SELECT *, service_tags(dst_ip) AS tags FROM flows ORDER BY time, src_ip, src_port, dst_ip, blob, state";
    for ending in ["parquet", "arrow", "csv"] {
        let out = folder.path().join(format!("flows.{ending}"));
        let columns =
            if ending == "csv" { columns.replace(", service_tags(dst_ip) AS tags", "") } else { columns.to_owned() };
        let output = sql(&["-c", &columns, "--service-tags", TAGS, "-o", out.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let output = Command::new(python())
        .arg(root().join("tests/readers/read.py"))
        .arg(folder.path())
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}
