//! `flowgap sql`, the real binary, against queries that ask for too much, or for what cannot be.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::binary::{check_status, command, flowgap, stderr, stdout};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";

fn count_where(condition: &str) -> String {
    let sql = format!("SELECT count(*) AS n FROM flows WHERE {condition}");
    let output = flowgap(&["sql", ARCHIVE, "-q", "--format", "csv", "-c", &sql]);
    assert_eq!(output.status.code(), Some(0), "{condition}: {}", stderr(&output));
    stdout(&output).lines().nth(1).expect("a row").to_owned()
}

#[test]
fn a_cast_of_time_means_the_same_in_the_decoder() {
    // The one flow of that second is some milliseconds after it.
    let second = "TIMESTAMP '2026-05-04 06:04:26'";
    for condition in [
        format!("date_trunc('second', time) = {second}"),
        format!("CAST(time AS TIMESTAMP(0)) = {second}"),
        format!("arrow_cast(time, 'Timestamp(Second, None)') = {second}"),
        format!("CAST(time AS TIMESTAMP(0)) IN ({second})"),
        format!("CAST(time AS TIMESTAMP(0)) BETWEEN {second} AND {second}"),
        format!("CAST(time AS TIMESTAMP(0)) <= {second} AND CAST(time AS TIMESTAMP(0)) >= {second}"),
        format!("time >= {second} AND NOT CAST(time AS TIMESTAMP(0)) > {second}"),
        format!("{second} = CAST(time AS TIMESTAMP(0))"),
    ] {
        assert_eq!(count_where(&condition), "1", "{condition}");
    }
    assert_eq!(count_where(&format!("time = {second}")), "0");
}

#[test]
fn constants_finer_than_a_millisecond_are_not_cut() {
    let all = count_where("true");
    let time = "2026-05-04 00:04:36.350";
    assert_eq!(count_where(&format!("time = TIMESTAMP '{time}'")), "1");
    for finer in
        ["TIMESTAMP '2026-05-04 00:04:36.3504'", "'2026-05-04T00:04:36.3504Z'", "to_timestamp_micros(1777853076350400)"]
    {
        assert_eq!(count_where(&format!("time = {finer}")), "0", "{finer}");
        assert_eq!(count_where(&format!("time <> {finer}")), all, "{finer}");
        assert_eq!(count_where(&format!("time < {finer}")), "1", "{finer}");
        assert_eq!(count_where(&format!("time IN ({finer}, '{time}')")), "1", "{finer}");
    }
}

#[test]
fn what_a_query_cannot_mean_is_not_a_fault_of_ours() {
    for (sql, says) in [
        ("SELECT count(*) FROM flows WHERE dst_port BETWEEN 1 AND true", "coerce"),
        ("SELECT regexp_like('a', '(')", "unclosed group"),
        ("SELECT regexp_like(rule, '(') FROM flows", "unclosed group"),
        ("SELECT CAST(rule AS INT) FROM flows", "Cannot cast string"),
    ] {
        check_status(&["sql", ARCHIVE, "-c", sql], 2, says);
        let words = stderr(&flowgap(&["sql", ARCHIVE, "-c", sql])).to_lowercase();
        assert!(!words.contains("internal error"), "{sql}: {words}");
    }
}

#[test]
fn functions_that_need_a_row_do_without() {
    assert_eq!(count_where("rule IN (to_char(time, acl), 'a')"), "0");
}

#[test]
fn functions_make_no_more_than_their_bound() {
    for (call, name) in [
        ("repeat('x', 1000000000)", "repeat"),
        ("lpad('x', 2000000000)", "lpad"),
        ("range(0, 10000000000)", "range"),
        ("array_sort(range(0, 50000000))", "range"),
        ("generate_series(0, 50000000)", "generate_series"),
        ("array_repeat('x', 100000000)", "array_repeat"),
        ("array_resize([1], 100000000)", "array_resize"),
        ("replace(repeat('a', 1000000), 'a', repeat('b', 1000))", "replace"),
        ("repeat(rule, 100000) FROM flows", "repeat"),
        ("rpad(rule, 9000000) || rpad(acl, 9000000) FROM flows LIMIT 1", "||"),
    ] {
        let output = flowgap(&["sql", ARCHIVE, "-c", &format!("SELECT {call}")]);
        assert_eq!(output.status.code(), Some(2), "{call}: {}", stderr(&output));
        let words = stderr(&output);
        assert!(words.contains(&format!("{name} makes ")) && words.contains(" the limit is "), "{call}: {words}");
    }
    let usual = "SELECT repeat('ab', 3) || 'c' AS x, range(0, 3) AS y, lpad('7', 3, '0') AS z";
    let output = flowgap(&["sql", ARCHIVE, "-q", "--format", "csv", "-c", usual]);
    assert_eq!(stdout(&output), "x,y,z\r\nabababc,\"[0, 1, 2]\",007\r\n");
}

#[cfg(unix)]
#[test]
fn signals_end_a_query_that_is_being_planned() {
    let sql = "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("deaf.sql"), format!("-- id: deaf\n-- title: Deaf\n{sql}\n")).expect("a file");
    let queries = folder.path().to_str().expect("UTF-8");
    for arguments in [vec!["sql", ARCHIVE, "-c", sql], vec!["query", "deaf", "--queries", queries, ARCHIVE]] {
        for signal in ["INT", "TERM"] {
            let mut child = command(&arguments).stderr(Stdio::piped()).spawn().expect("flowgap starts");
            std::thread::sleep(Duration::from_millis(700));
            assert!(child.try_wait().expect("a status").is_none(), "{arguments:?} has ended");
            let pid = child.id().to_string();
            let killed = std::process::Command::new("kill").args(["-s", signal, &pid]).status().expect("kill");
            assert!(killed.success());
            let begun = Instant::now();
            let status = child.wait().expect("it ends");
            assert_eq!(status.code(), Some(130), "{signal} {arguments:?}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{signal} {arguments:?}: {:?}", begun.elapsed());
        }
    }
}

/// The greatest memory that a process held, in bytes, while it ran to its end.
#[cfg(target_os = "linux")]
fn peak(arguments: &[&str]) -> (std::process::Output, u64) {
    let mut child = command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("flowgap starts");
    let place = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("a status").is_none() {
        let status = std::fs::read_to_string(&place).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().expect("it ends"), peak)
}

#[cfg(target_os = "linux")]
#[test]
fn what_can_go_to_disk_stays_within_its_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::explore::generate(folder.path(), 10);
    let out = folder.path().join("out.parquet");
    let (source, out) = (folder.path().to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let columns: Vec<&str> = flowgap::schema::Column::ALL.iter().map(|column| column.name()).collect();
    for sql in [
        format!("SELECT * FROM flows ORDER BY {}", columns.join(", ")),
        "SELECT count(*), max(a.rule || b.acl) FROM flows a JOIN flows b USING (src_ip, src_port, dst_ip, time)"
            .to_owned(),
        "SELECT count(*) FROM (SELECT DISTINCT * FROM flows)".to_owned(),
        "SELECT count(DISTINCT src_ip || dst_ip || src_port || time) FROM flows".to_owned(),
    ] {
        let (output, peak) = peak(&["sql", source, "-q", "--memory", "128MB", "-o", out, "-c", &sql]);
        assert_eq!(output.status.code(), Some(0), "{sql}: {}", stderr(&output));
        assert!(peak < (128 + 150) << 20, "{sql}: {} MiB", peak >> 20);
    }
}

/// Sorts of two partitions compete for memory, so that which one spills differs from run to run. After their first rows
/// were given out, a merge that runs out of memory cannot be tried again.
#[test]
fn a_sort_that_filled_its_memory_can_still_merge() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::explore::generate(folder.path(), 40);
    let out = folder.path().join("out.parquet");
    let (source, out) = (folder.path().to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    for order in ["src_ip, dst_ip, time, blob", "time", "rule, packets_sent"] {
        let sql = format!("SELECT * FROM flows ORDER BY {order}");
        for memory in ["128MB", "256MB", "256MB"] {
            let output =
                crate::support::binary::flowgap(&["sql", source, "-q", "--memory", memory, "-o", out, "-c", &sql]);
            assert_eq!(output.status.code(), Some(0), "{order} in {memory}: {}", stderr(&output));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_go_to_disk_ends_within_its_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::explore::generate(folder.path(), 10);
    let source = folder.path().to_str().expect("UTF-8");
    for (sql, name) in [
        ("SELECT max(b) FROM (SELECT unnest(range(0, 900000)) AS n, blob || rule AS b FROM flows LIMIT 20)", "unnest"),
        ("SELECT unnest(a) AS n, a FROM (SELECT range(0, 900000) AS a)", "unnest"),
        (
            "SELECT *, max(rule || blob) OVER (ORDER BY time ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) FROM flows",
            "WindowAggExec",
        ),
        (
            "SELECT count(DISTINCT blob || src_port || time), count(DISTINCT blob || dst_ip || time) FROM flows",
            "Aggregate",
        ),
        (
            "SELECT max(length(a)) FROM (SELECT array_agg(blob || time || src_port) AS a FROM flows) GROUP BY a",
            "Aggregate",
        ),
        ("SELECT a.*, b.* FROM flows a CROSS JOIN flows b ORDER BY a.time LIMIT 100000", "CROSS JOIN"),
    ] {
        let (output, peak) = peak(&["sql", source, "-q", "--memory", "32MB", "-c", sql]);
        let words = stderr(&output);
        assert!(output.status.code() == Some(2) && words.contains(name), "{sql}: {words}");
        assert!(peak < (32 + 150) << 20, "{sql}: {} MiB", peak >> 20);
    }
}
