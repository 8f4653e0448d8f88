//! Conditions made at random mean the same above the scan, in the decoder, in the scan of a lake, and in DuckDB.

mod made;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use flowgap::catalog::Catalog;
use flowgap::engine::{Archive, Explorer, ParamValues, QueryError, SessionOptions};
use flowgap::schema::Column;
use flowgap::source::Source;
use futures::StreamExt;

use crate::lake_read::Pair;
use crate::sql::{scope, source};
use crate::sql_cli::python;
use crate::support::binary::{flowgap, root, stderr, stdout};
use made::{Maker, Query};

/// Every version of the logs, and hours of the example, whose times have milliseconds.
const SOURCES: [&str; 4] = [
    "testdata/vnet-v4",
    "testdata/nsg-v1",
    "testdata/nsg-v2",
    concat!(
        "testdata/apim/insights-logs-flowlogflowevent/flowLogResourceID=/5E1F0A6C-2B7D-4C39-9A84-D30B6E7715F2_NETWORKWATCHERRG/",
        "NETWORKWATCHER_WESTEUROPE_FL-APIM-EXAMPLE/y=2026/m=05/d=04/h=06"
    ),
];

/// A number that tells rows apart.
const KEY: &str = "(CAST(time AS BIGINT) % 1000003) * 7 + src_port * 3 + dst_port";

const MEMORY: usize = 1 << 30;

async fn explorer(sources: &[Source], pushdown: bool, zone: &str) -> Explorer {
    let options = SessionOptions { pushdown, partitions: 2, ..SessionOptions::default() };
    let archive = Archive::open(sources, options).await.expect("an archive");
    let scope = scope(Catalog::NEWEST, true);
    let explorer = Explorer::open(Arc::new(archive), Arc::new(scope), MEMORY).await.expect("an explorer");
    rows(&explorer, &format!("SET TIME ZONE '{zone}'")).await.expect("a setting");
    explorer
}

/// Rows as text, with `|` between values.
async fn rows(explorer: &Explorer, sql: &str) -> Result<Vec<String>, QueryError> {
    let mut lines = Vec::new();
    for planned in explorer.plan_all(&[sql], &ParamValues::new()).await? {
        let mut answer = planned.run()?;
        while let Some(batch) = answer.rows.next().await {
            let batch = batch?;
            lines.extend((0..batch.num_rows()).map(|row| {
                let value = |column| match batch.column(column).is_null(row) {
                    true => "NULL".to_owned(),
                    false => array_value_to_string(batch.column(column), row).expect("printable"),
                };
                (0..batch.num_columns()).map(value).collect::<Vec<_>>().join("|")
            }));
        }
    }
    Ok(lines)
}

/// Some values of each column, as text; times as milliseconds.
async fn values(explorer: &Explorer) -> BTreeMap<&'static str, Vec<String>> {
    let mut values = BTreeMap::new();
    for column in Column::ALL {
        let name = column.name();
        let shown = match column {
            Column::Time | Column::RecordTime => format!("CAST({name} AS BIGINT)"),
            _ => name.to_owned(),
        };
        let limit = if matches!(column, Column::SrcIp | Column::DstIp) { "" } else { "LIMIT 60" };
        let sql = format!("SELECT DISTINCT {shown} AS v FROM flows WHERE {name} IS NOT NULL ORDER BY v {limit}");
        values.insert(name, rows(explorer, &sql).await.expect("values"));
    }
    values
}

#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    /// Refused above the scan: a cast of a value that has no place, say.
    refused: usize,
    /// Conditions of which a part reached the decoder.
    pushed: usize,
    pushed_of: usize,
    /// Keep some rows and not all.
    telling: usize,
    duckdb: usize,
}

/// Compares conditions in the scan of `sources`, which hold the flows of [`SOURCES`], with those above the scan.
async fn compare(sources: &[Source], count: usize, seed: u64) -> Tally {
    let zones = ["UTC", "Europe/Berlin"];
    let mut pairs = Vec::new();
    for zone in zones {
        pairs.push((explorer(sources, true, zone).await, explorer(&SOURCES.map(source), false, zone).await));
    }
    let all = rows(&pairs[0].0, &format!("SELECT count(*), sum({KEY}) FROM flows")).await.expect("rows").join("");
    let mut maker = Maker::new(values(&pairs[0].1).await, seed);
    let started = std::time::Instant::now();
    let mut tally = Tally { asked: count, ..Tally::default() };
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    for nr in 0..count {
        let zone = usize::from(nr % 4 == 3);
        let Query { ours, duck } = maker.query(KEY, zone == 0);
        let (pushed, above) = &pairs[zone];
        let expected = rows(above, &ours).await;
        let found = rows(pushed, &ours).await;
        let expected = match (expected, found) {
            (Ok(expected), Ok(found)) => {
                assert_eq!(found, expected, "seed {seed}, {nr}, {}: not as above the scan\n{ours}", zones[zone]);
                expected.join("")
            }
            (Ok(_), Err(error)) => panic!("seed {seed}, {nr}: only with pushdown: {error}\n{ours}"),
            (Err(error), _) => {
                assert!(matches!(error, QueryError::Wrong(_)), "seed {seed}, {nr}: {error:?}\n{ours}");
                tally.refused += 1;
                continue;
            }
        };
        if nr % 10 == 0 {
            let plan = rows(pushed, &format!("EXPLAIN {ours}")).await.expect("a plan").join("\n");
            tally.pushed_of += 1;
            tally.pushed += usize::from(plan.split("pushed=[").skip(1).any(|rest| !rest.starts_with(']')));
        }
        tally.telling += usize::from(expected != all && !expected.starts_with("0|"));
        if let Some(duck) = duck {
            asked.push(duck);
            answers.push((ours, expected));
        }
    }
    println!("asked in {:.1} s", started.elapsed().as_secs_f64());
    let mut different = Vec::new();
    for ((ours, expected), (sql, found)) in answers.iter().zip(asked.iter().zip(duckdb(&asked))) {
        if found.starts_with("error") {
            continue;
        }
        tally.duckdb += 1;
        if &found != expected {
            different.push(format!("{expected} and not {found}\n{ours}\n{sql}"));
        }
    }
    assert!(different.is_empty(), "{} differ from DuckDB: {}", different.len(), different.join("\n\n"));
    tally
}

/// What DuckDB answers to queries over the same rows.
fn duckdb(queries: &[String]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let export = folder.path().join("flows.parquet");
    let sql = format!("SELECT *, {KEY} AS k FROM flows");
    let mut arguments = vec!["sql"];
    arguments.extend(SOURCES);
    arguments.extend(["-q", "-c", &sql, "-o", export.to_str().expect("UTF-8")]);
    let output = flowgap(&arguments);
    assert!(output.status.code() == Some(0) || output.status.code() == Some(3), "{}", stderr(&output));
    let path = |name: &str| -> std::path::PathBuf { folder.path().join(name) };
    std::fs::write(path("queries.json"), serde_json::to_vec(queries).expect("JSON")).expect("a file");
    let script: &Path = &root().join("tests/readers/conditions.py");
    let output = Command::new(python()).arg(script).arg(folder.path()).output().expect("python starts");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let answers = std::fs::read(path("answers.json")).expect("answers");
    serde_json::from_slice(&answers).expect("a list of texts")
}

fn check(tally: &Tally) {
    println!("{tally:?}");
    assert!(tally.refused * 10 < tally.asked, "{tally:?}: too many are refused");
    assert!(tally.pushed * 6 > tally.pushed_of, "{tally:?}: too few reach the decoder");
    assert!(tally.telling * 3 > tally.asked, "{tally:?}: too few tell rows apart");
    assert!(tally.duckdb * 2 > tally.asked, "{tally:?}: DuckDB answers too few");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_mean_the_same_wherever_they_are_evaluated() {
    check(&compare(&SOURCES.map(source), 500, 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_mean_the_same_over_a_lake() {
    let pair = Pair::new(&SOURCES);
    check(&compare(&[pair.lake().parse().expect("a lake")], 500, 3).await);
}

/// Minutes: `cargo test --release --test it -- --ignored many_conditions`; CONDITIONS and SEED choose others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "20,000 conditions take many minutes"]
async fn many_conditions_mean_the_same_wherever_they_are_evaluated() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("CONDITIONS").unwrap_or(20_000);
    let (count, seed) = (usize::try_from(count).expect("a number"), number("SEED").unwrap_or(2));
    check(&compare(&SOURCES.map(source), count, seed).await);
    let pair = Pair::new(&SOURCES);
    check(&compare(&[pair.lake().parse().expect("a lake")], count, seed).await);
}
