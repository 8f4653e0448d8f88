//! The explorer: read only, pruned by time, bounded in memory, ended at any time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use flowgap::catalog::Catalog;
use flowgap::engine::{Archive, Explorer, ParamValues, QueryError, SessionOptions};
use flowgap::findings;
use futures::StreamExt;

use crate::sql::{scope, source};

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";
const MIB: usize = 1 << 20;

async fn explorer(path: &str, memory: usize) -> Explorer {
    let archive = Archive::open(&[source(path)], SessionOptions::default()).await.expect("an archive");
    let mut explorer =
        Explorer::open(Arc::new(archive), Arc::new(scope(Catalog::NEWEST, true)), memory).await.expect("an explorer");
    findings::tables::provide(&mut explorer).await.expect("tables");
    explorer
}

async fn ask(explorer: &Explorer, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    let mut batches = Vec::new();
    for statement in explorer.parse(sql)? {
        if let Some(planned) = explorer.plan(statement, ParamValues::new()).await? {
            let mut answer = planned.run()?;
            while let Some(batch) = answer.rows.next().await {
                batches.push(batch?);
            }
        }
    }
    Ok(batches)
}

async fn count(explorer: &Explorer, sql: &str) -> usize {
    let batches = ask(explorer, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_queries_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("there.csv");
    std::fs::write(&there, "a\n1\n").expect("a file");
    let (there, target) = (there.display(), folder.path().join("new"));
    let target = target.display();
    let explorer = explorer(ARCHIVE, 256 * MIB).await;
    for sql in [
        "CREATE TABLE t (x INT)".to_owned(),
        "CREATE TABLE t AS SELECT * FROM flows".to_owned(),
        "CREATE OR REPLACE TABLE flows AS SELECT 1".to_owned(),
        "CREATE MATERIALIZED VIEW v AS SELECT 1".to_owned(),
        "CREATE VIEW flows AS SELECT 1".to_owned(),
        "CREATE VIEW v AS SELECT * FROM 'x.csv'".to_owned(),
        "EXPLAIN CREATE VIEW v AS SELECT 1".to_owned(),
        "DROP VIEW flows".to_owned(),
        "CREATE SCHEMA s".to_owned(),
        "CREATE DATABASE d".to_owned(),
        "CREATE INDEX i ON flows (time)".to_owned(),
        "CREATE FUNCTION f() RETURNS INT RETURN 1".to_owned(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{there}'"),
        format!("CREATE UNBOUNDED EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION '{there}'"),
        "DROP TABLE flows".to_owned(),
        "DROP VIEW denied_flows".to_owned(),
        "DROP SCHEMA public CASCADE".to_owned(),
        "DROP FUNCTION ip_in".to_owned(),
        "ALTER TABLE flows ADD COLUMN x INT".to_owned(),
        "TRUNCATE TABLE flows".to_owned(),
        "INSERT INTO requirements VALUES (1)".to_owned(),
        "INSERT INTO flows SELECT * FROM flows".to_owned(),
        "WITH x AS (SELECT 1) INSERT INTO requirements SELECT * FROM x".to_owned(),
        "UPDATE requirements SET id = 'x'".to_owned(),
        "DELETE FROM requirements".to_owned(),
        "MERGE INTO requirements USING flows ON true WHEN MATCHED THEN DELETE".to_owned(),
        "SELECT * INTO t FROM flows".to_owned(),
        format!("COPY flows TO '{target}'"),
        format!("COPY (SELECT 1) TO '{target}' STORED AS CSV"),
        format!("EXPLAIN COPY (SELECT 1) TO '{target}' STORED AS CSV"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}' STORED AS CSV"),
        "EXPLAIN ANALYZE INSERT INTO requirements VALUES (1)".to_owned(),
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "EXECUTE p".to_owned(),
        "DEALLOCATE p".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "ROLLBACK".to_owned(),
        "ANALYZE TABLE flows COMPUTE STATISTICS".to_owned(),
        "GRANT ALL ON flows TO x".to_owned(),
        "USE other".to_owned(),
        "KILL 1".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "SET datafusion.runtime.memory_limit = '100G'".to_owned(),
        format!("SET datafusion.runtime.temp_directory = '{target}'"),
        "SET datafusion.catalog.location = '/'".to_owned(),
        "SET x = 1".to_owned(),
        "RESET datafusion.runtime.memory_limit".to_owned(),
        format!("SELECT * FROM '{there}'"),
        format!("SELECT * FROM \"{there}\""),
        format!("SELECT * FROM read_csv('{there}')"),
        format!("SELECT * FROM read_parquet('{there}')"),
        "SELECT * FROM parquet_metadata('x')".to_owned(),
        "SELECT * FROM http_get('http://127.0.0.1:1')".to_owned(),
        "SELECT read_text('/etc/hostname')".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        // Behind an allowed one.
        format!("SELECT 1; COPY (SELECT 1) TO '{target}' STORED AS CSV"),
    ] {
        let error = ask(&explorer, &sql).await.expect_err(&sql);
        assert!(matches!(error, QueryError::Refused(_) | QueryError::Wrong(_)), "{sql}: {error:?}");
        assert!(error.to_string().len() > 15, "{sql}: {error}");
    }
    assert_eq!(explorer.archive().input().blobs, 0, "nothing was read");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing was written");
    // What may run, does.
    for sql in [
        "SELECT 1; SELECT 2",
        "EXPLAIN SELECT * FROM flows",
        "EXPLAIN ANALYZE SELECT count(*) FROM flows",
        "EXPLAIN FORMAT TREE SELECT * FROM flows",
        "DESCRIBE flows",
        "SHOW TABLES",
        "SHOW COLUMNS FROM flows",
        "SHOW FUNCTIONS",
        "SHOW datafusion.execution.time_zone",
        "SELECT * FROM information_schema.columns",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1), (2)",
        "SELECT * FROM generate_series(1, 3)",
    ] {
        assert!(count(&explorer, sql).await > 0, "{sql}");
    }
    for sql in ["SET datafusion.format.null = '-'", "SET TIME ZONE 'Europe/Berlin'", "SET timezone = 'UTC'"] {
        ask(&explorer, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_was_meant_and_read_nothing() {
    let explorer = explorer(ARCHIVE, 256 * MIB).await;
    for (sql, says) in [
        (
            "SELECT dst_prt FROM flows",
            "there is no column dst_prt: did you mean dst_port?\n  SELECT dst_prt FROM flows\n         ^",
        ),
        (
            "SELECT time\nFROM flows\nWHERE desision = 'deny'",
            "did you mean decision?\nline 3: WHERE desision = 'deny'\n              ^",
        ),
        ("SELECT * FROM flow", "there is no table flow: did you mean flows?\n  SELECT * FROM flow\n                ^"),
        ("SELECT * FROM denied", "there is no table denied: did you mean denied_flows?"),
        ("SELECT servicetag(dst_ip) FROM flows", "there is no function servicetag: did you mean service_tag?"),
        ("SELECT count(* FROM flows", "this is not valid SQL: "),
        ("SELECT time FROM flows WHERE", "this is not valid SQL: "),
        ("SELECT 'open", "this is not valid SQL: unterminated string literal"),
        ("SELECT * FROM 'logs/x.csv'", "a query cannot open files; name it as a SOURCE"),
        ("SELECT * FROM read_csv('x')", "a query reads only the sources that were opened"),
        ("SELECT ip_in(src_ip, '10.0.0.1/8') FROM flows", "did you mean 10.0.0.0/8?"),
        (
            "SELECT in_service_tag(dst_ip, 'Storge') FROM flows",
            "the service-tag file has no tag 'Storge': did you mean 'Storage'?",
        ),
        ("SELECT src_ip + 1 FROM flows", "cannot coerce"),
        ("SELECT 1 / 0", "division by zero"),
        (
            "SELECT rule, count(*) FROM flows",
            "rule must be in GROUP BY or inside an aggregate function; GROUP BY ALL adds all such columns\n  SELECT rule, count(*) FROM flows\n         ^",
        ),
        ("SELECT * FROM flows WHERE dst_ip = $ip", "$ip has no value here"),
        ("SELECT CAST('x' AS INT)", "cannot cast"),
        ("SELECT * FROM flows WHERE decision = \"deny\"", "there is no column deny: text goes in single quotes"),
        ("SET TIME ZONE 'Nowhere/Land'", "there is no time zone 'Nowhere/Land'"),
    ] {
        let error = ask(&explorer, sql).await.expect_err(sql);
        assert!(matches!(error, QueryError::Wrong(_)), "{sql}: {error:?}");
        assert!(error.to_string().to_lowercase().contains(&says.to_lowercase()), "{sql} says: {error}");
    }
    assert_eq!(explorer.archive().input().blobs, 0, "nothing was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_deep_query_is_refused_or_answered() {
    let explorer = explorer(ARCHIVE, 256 * MIB).await;
    let nested = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(ask(&explorer, &nested).await, Err(QueryError::Wrong(_))));
    let chains = |links: usize| {
        [
            format!("SELECT count(*) FROM flows WHERE {}", vec!["dst_port = 1"; links].join(" OR ")),
            format!("SELECT max({}) FROM flows", vec!["dst_port"; links].join(" + ")),
            vec!["SELECT 1"; links].join(" UNION ALL "),
        ]
    };
    for sql in chains(900) {
        assert!(count(&explorer, &sql).await > 0);
    }
    for sql in chains(100_000) {
        let error = ask(&explorer, &sql).await.expect_err("too deep").to_string();
        assert!(error.contains("operators, and at most"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_rules_out_blobs_by_their_paths() {
    let flows = "SELECT time, src_port FROM flows WHERE";
    let (hour, hidden) =
        ("time >= '2026-05-04T06:00:00Z' AND time < '2026-05-04T07:00:00Z'", "time + INTERVAL '0 hours'");
    let pushed = explorer(ARCHIVE, 256 * MIB).await;
    let all = explorer(ARCHIVE, 256 * MIB).await;
    let expected = count(&all, &format!("{flows} {}", hour.replace("time", hidden))).await;
    assert!(expected > 100);
    assert_eq!(count(&pushed, &format!("{flows} {hour}")).await, expected);
    // Two interfaces, the hour and the one after it.
    assert_eq!(pushed.archive().input().blobs, 4);
    assert!(all.archive().input().blobs > 50);
    // The latest rows: what the operator finds out while it runs rules blobs out, too.
    let latest = "SELECT time FROM flows ORDER BY time DESC LIMIT 5";
    assert_eq!(count(&pushed, latest).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_stops_reading() {
    let folder = tempfile::tempdir().expect("a folder");
    generate(folder.path(), 40);
    let explorer = explorer(folder.path().to_str().expect("UTF-8"), 256 * MIB).await;
    assert_eq!(count(&explorer, "SELECT * FROM flows LIMIT 10").await, 10);
    let (read, size) = (explorer.archive().progress().bytes(), explorer.archive().size());
    assert!(size > 60 << 20, "{size}");
    assert!(read < size / 2, "{read} of {size} bytes were read");
}

/// An archive of so many hours, about 2 MB each.
pub fn generate(folder: &Path, hours: u32) {
    let hours = hours.to_string();
    let folder = folder.to_str().expect("UTF-8");
    let arguments = ["generate", folder, "--hours", &hours, "--interfaces", "2", "--tuples-per-minute", "240"];
    let output = crate::support::binary::flowgap(&arguments);
    assert!(output.status.success(), "{}", crate::support::binary::stderr(&output));
}

/// Sorts ten million rows, each of a flow.
const SORTED: &str = "SELECT max(place), count(DISTINCT rule) FROM (
    SELECT f.rule, row_number() OVER (ORDER BY (g.value * 7919) % 2003, f.dst_ip, f.src_port, g.value) AS place
    FROM (SELECT * FROM flows LIMIT 5000) f CROSS JOIN generate_series(1, 2000) g
)";

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_query_releases_memory_and_files() {
    let explorer = explorer(ARCHIVE, 64 * MIB).await;
    let statement = explorer.parse(SORTED).expect("a query").pop().expect("one");
    let planned = explorer.plan(statement, ParamValues::new()).await.expect("a plan").expect("no setting");
    let mut answer = planned.run().expect("it starts");
    let spills = || walk(explorer.spill_folder());
    let begun = Instant::now();
    while spills() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never spilled");
        let next = tokio::time::timeout(Duration::from_millis(20), answer.rows.next()).await;
        assert!(next.is_err(), "it ended before it spilled");
    }
    assert!(explorer.reserved() > 0);
    drop(answer);
    let begun = Instant::now();
    while explorer.reserved() > 0 || spills() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} bytes, {} files", explorer.reserved(), spills());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let folder = explorer.spill_folder().to_owned();
    assert!(folder.is_dir());
    assert_eq!(count(&explorer, "SELECT 1").await, 1);
    drop(explorer);
    assert!(!folder.exists(), "{} is left", folder.display());
}

/// Files below a folder.
fn walk(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_million_rows_are_sorted_in_little_memory() {
    let explorer = explorer(ARCHIVE, 128 * MIB).await;
    let batches = ask(&explorer, SORTED).await.expect("it spills");
    let place = batches[0].column(0).as_primitive::<arrow::datatypes::UInt64Type>().value(0);
    assert_eq!(place, 10_000_000);
    assert_eq!(explorer.reserved(), 0);
    assert_eq!(walk(explorer.spill_folder()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_and_groups_that_are_larger_go_to_disk() {
    let explorer = explorer(ARCHIVE, 64 * MIB).await;
    let side = |name: &str| {
        format!(
            "(SELECT value AS {name}, 'padding that takes room ' || value AS text_{name} FROM generate_series(1, 1200000))"
        )
    };
    for (sql, expected) in [
        (
            format!("SELECT count(*), max(length(text_a || text_b)) FROM {} JOIN {} ON a = b", side("a"), side("b")),
            1_200_000,
        ),
        (
            format!(
                "SELECT count(*), max(n) FROM (SELECT text_a, text_a || 'x', count(*) AS n FROM {} GROUP BY 1, 2)",
                side("a")
            ),
            1_200_000,
        ),
        ("SELECT count(DISTINCT value || ' of many') FROM generate_series(1, 900000)".to_owned(), 900_000),
    ] {
        let batches = ask(&explorer, &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let count = batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0);
        assert_eq!(count, expected, "{sql}");
        assert_eq!((explorer.reserved(), walk(explorer.spill_folder())), (0, 0), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_beyond_its_memory_names_the_operator() {
    let explorer = explorer(ARCHIVE, 8 * MIB).await;
    let sql = "SELECT array_agg(a.src_ip || b.dst_ip) FROM flows a CROSS JOIN (SELECT dst_ip FROM flows LIMIT 400) b";
    let error = ask(&explorer, sql).await.expect_err("too large");
    assert!(matches!(error, QueryError::TooLarge(_)), "{error:?}");
    let words = error.to_string();
    assert!(
        words.starts_with("aggregating all rows, in AggregateStream, needs more than the 8 MiB of --memory"),
        "{words}"
    );
    assert_eq!(count(&explorer, "SELECT 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_counts_once_however_many_plans_read_it() {
    let whole = explorer(ARCHIVE, 256 * MIB).await;
    count(&whole, "SELECT count(*) FROM flows").await;
    let whole = whole.archive().input();
    let explorer = explorer(ARCHIVE, 256 * MIB).await;
    let input = || explorer.archive().input();
    assert_eq!(count(&explorer, "SELECT * FROM flows LIMIT 1").await, 1);
    // The scan ends a little after the answer. What it read of a part counts, although the part was not read to its end.
    let started = Instant::now();
    while input().blobs == 0 && started.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let part = input();
    assert!(part.blobs > 0 && part.counts.tuples > 0 && part.counts.tuples < whole.counts.tuples, "{part:?}");
    count(&explorer, "SELECT * FROM flows WHERE time < TIMESTAMP '2026-05-04T06:00:00Z'").await;
    assert!(input().blobs > part.blobs && input().blobs < whole.blobs, "{:?}", input());
    count(&explorer, "SELECT count(*) FROM flows UNION ALL SELECT count(src_ip) FROM flows").await;
    assert_eq!(input(), whole);
    count(&explorer, "SELECT * FROM flows LIMIT 1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(input(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_tables_say_what_the_reports_say() {
    let explorer = explorer(ARCHIVE, 256 * MIB).await;
    assert_eq!(explorer.archive().input().blobs, 0);
    // Their columns are known before they are made.
    assert_eq!(count(&explorer, "EXPLAIN SELECT severity FROM findings").await, 3);
    assert_eq!(explorer.archive().input().blobs, 0);
    assert_eq!(count(&explorer, "SELECT * FROM findings").await, 5);
    assert!(count(&explorer, "SELECT * FROM coverage").await >= 11);
    assert!(count(&explorer, "SELECT unnest(hours) FROM flow_groups").await > 100);
    assert_eq!(count(&explorer, "SELECT * FROM blobs").await, explorer.archive().input().blobs as usize);
    let broken = self::explorer("testdata/broken", 256 * MIB).await;
    assert!(count(&broken, "SELECT * FROM problems").await > 10);
    assert_eq!(broken.archive().input().problem_count as usize, count(&broken, "SELECT * FROM problems").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_tags_of_addresses() {
    let explorer = explorer(ARCHIVE, 256 * MIB).await;
    // Each function against the table that it stands on.
    let sql = "WITH ips AS (SELECT DISTINCT dst_ip AS ip FROM flows UNION SELECT DISTINCT src_ip FROM flows),
        listed AS (
            SELECT ip, tag FROM ips JOIN service_tags ON ip_in(ip, prefix) GROUP BY ip, tag
        ),
        sets AS (SELECT ip, unnest(service_tags(ip)) AS tag FROM ips)
        (SELECT ip, tag FROM listed EXCEPT SELECT ip, tag FROM sets)
        UNION ALL (SELECT ip, tag FROM sets EXCEPT SELECT ip, tag FROM listed)
        UNION ALL (SELECT ip, tag FROM listed WHERE NOT in_service_tag(ip, tag) OR NOT in_service_tag(ip, upper(tag)))
        UNION ALL (SELECT ip, 'first' FROM ips WHERE service_tag(ip) IS DISTINCT FROM service_tags(ip)[1])
        UNION ALL (SELECT ip, 'private' FROM ips WHERE is_private(ip) <> starts_with(ip, '10.') AND ip <> '168.63.129.16')";
    assert_eq!(count(&explorer, sql).await, 0, "differences");
    assert!(count(&explorer, "SELECT DISTINCT dst_ip FROM flows WHERE service_tag(dst_ip) IS NOT NULL").await > 20);
    assert_eq!(
        count(&explorer, "SELECT 1 WHERE service_tag('no address') IS NULL AND is_private(NULL) IS NULL").await,
        1
    );
}
