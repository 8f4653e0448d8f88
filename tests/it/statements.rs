//! Statements made at random: each is answered, or refused with words for whoever wrote it. None is a fault of ours.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use flowgap::catalog::Catalog;
use flowgap::engine::{Archive, Explorer, QueryError, SessionOptions, Values};
use flowgap::findings;
use flowgap::schema::Column;
use futures::StreamExt;

use crate::sql::{scope, source};

const LITERALS: [&str; 34] = [
    "0",
    "1",
    "-1",
    "2",
    "443",
    "65536",
    "9223372036854775807",
    "1.5",
    "-0.0",
    "1e300",
    "NULL",
    "TRUE",
    "FALSE",
    "''",
    "'a'",
    "'('",
    "'%'",
    "'10.20.1.4'",
    "'10.0.0.0/8'",
    "'2026-05-04'",
    "'2026-05-04T06:00:00Z'",
    "'deny'",
    "'UTC'",
    "'second'",
    "'é\u{1F600}'",
    "DATE '2026-05-04'",
    "TIMESTAMP '2026-05-04 06:00:00'",
    "INTERVAL '1 hour'",
    "INTERVAL '-1 month'",
    "[1, 2]",
    "['a', NULL]",
    "{'a': 1}",
    "X'00ff'",
    "now()",
];
const TYPES: [&str; 14] = [
    "INT",
    "BIGINT",
    "SMALLINT",
    "TINYINT UNSIGNED",
    "DOUBLE",
    "REAL",
    "DECIMAL(5, 2)",
    "DECIMAL(38, 10)",
    "VARCHAR",
    "BOOLEAN",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP(0)",
    "BYTEA",
];
const OPERATORS: [&str; 26] = [
    "=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "AND",
    "OR",
    "LIKE",
    "NOT LIKE",
    "ILIKE",
    "~",
    "!~*",
    "&",
    "|",
    "^",
    "<<",
    "IS DISTINCT FROM",
    "@>",
    "SIMILAR TO",
];
const AGGREGATES: [&str; 18] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "stddev",
    "median",
    "array_agg",
    "string_agg",
    "approx_distinct",
    "bool_and",
    "bit_xor",
    "corr",
    "first_value",
    "approx_percentile_cont",
    "var_pop",
    "nth_value",
    "row_number",
];
const TABLES: [&str; 8] =
    ["flows", "denied_flows", "requirements", "requirement_ports", "service_tags", "blobs", "problems", "flows"];
/// What a mutation puts anywhere.
const WORDS: [&str; 24] = [
    "SELECT", "FROM", "WHERE", "GROUP", "BY", "ORDER", "LIMIT", "(", ")", ",", "CASE", "WHEN", "END", "NOT", "BETWEEN",
    "AND", "IN", "OVER", "UNION", "JOIN", "ON", "AS", ";", "*",
];

struct Maker {
    random: Rng,
    functions: Vec<String>,
}

impl Maker {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.usize(..of.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn statement(&mut self) -> String {
        let mut text = self.query(2);
        if self.chance(10) {
            text = format!("EXPLAIN {text}");
        }
        if self.chance(30) { self.mutated(&text) } else { text }
    }

    /// Some words dropped, doubled, swapped or put in.
    fn mutated(&mut self, text: &str) -> String {
        let mut words: Vec<&str> = text.split(' ').collect();
        for _ in 0..self.random.usize(1..4) {
            let at = self.random.usize(..words.len());
            match self.random.u32(..4) {
                0 if words.len() > 1 => drop(words.remove(at)),
                1 => words.insert(at, words[at]),
                2 => {
                    let other = self.random.usize(..words.len());
                    words.swap(at, other);
                }
                _ => {
                    let word = if self.chance(50) { self.one(&WORDS) } else { self.one(&LITERALS) };
                    words.insert(at, word);
                }
            }
        }
        words.join(" ")
    }

    fn query(&mut self, depth: u32) -> String {
        let count = self.random.usize(1..4);
        let columns = (0..count).map(|_| self.output()).collect::<Vec<_>>().join(" , ");
        let from = match self.random.u32(..12) {
            0 if depth > 0 => format!("( {} ) AS flows", self.query(depth - 1)),
            1 => "flows JOIN requirement_ports r ON dst_port BETWEEN r.port_low AND r.port_high".to_owned(),
            2 => "( SELECT * FROM flows LIMIT 3 ) AS flows CROSS JOIN generate_series ( 1 , 3 ) AS g".to_owned(),
            _ => self.one(&TABLES).to_owned(),
        };
        let mut text = format!("SELECT {columns} FROM {from}");
        if self.chance(70) {
            text += &format!(" WHERE {}", self.expression(3));
        }
        if self.chance(20) {
            let by = if self.chance(50) { "ALL".to_owned() } else { self.expression(1) };
            text += &format!(" GROUP BY {by}");
        }
        if self.chance(10) {
            text += &format!(" HAVING {}", self.expression(2));
        }
        if self.chance(20) {
            text += &format!(" ORDER BY {}", self.expression(1));
        }
        if self.chance(5) && depth > 0 {
            text += &format!(" {} {}", self.one(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]), self.query(0));
        }
        if self.chance(40) {
            text + &format!(" LIMIT {}", self.one(&["0", "1", "5", "-1", "NULL", "1 OFFSET 2"]))
        } else {
            text
        }
    }

    fn output(&mut self) -> String {
        match self.random.u32(..10) {
            0 => "*".to_owned(),
            1 => {
                let (name, argument) = (self.one(&AGGREGATES), self.expression(1));
                format!("{name} ( {argument} )")
            }
            2 => {
                let (name, argument, by) = (self.one(&AGGREGATES), self.expression(0), self.expression(0));
                let frame = self.one(&["", "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "RANGE UNBOUNDED PRECEDING"]);
                format!("{name} ( {argument} ) OVER ( PARTITION BY {by} ORDER BY {by} {frame} )")
            }
            _ => self.expression(3),
        }
    }

    fn column(&mut self) -> String {
        Column::ALL[self.random.usize(..Column::ALL.len())].name().to_owned()
    }

    fn expression(&mut self, depth: u32) -> String {
        if depth == 0 || self.chance(20) {
            return if self.chance(55) { self.column() } else { self.one(&LITERALS).to_owned() };
        }
        let depth = depth - 1;
        let a = self.expression(depth);
        match self.random.u32(..16) {
            0..5 => format!("{a} {} {}", self.one(&OPERATORS), self.expression(depth)),
            5..9 => {
                let name = self.functions[self.random.usize(..self.functions.len())].clone();
                let count = self.random.usize(..4);
                let arguments = (0..count).map(|_| self.expression(depth)).collect::<Vec<_>>().join(" , ");
                format!("{name} ( {arguments} )")
            }
            9 => format!("{} ( {a} AS {} )", self.one(&["CAST", "TRY_CAST"]), self.one(&TYPES)),
            10 => {
                let (b, c) = (self.expression(depth), self.expression(0));
                format!("{a} {} {b} AND {c}", self.one(&["BETWEEN", "NOT BETWEEN"]))
            }
            11 => format!("{a} {} ( {} , {} )", self.one(&["IN", "NOT IN"]), self.expression(0), self.expression(0)),
            12 => format!("CASE WHEN {a} THEN {} ELSE {} END", self.expression(depth), self.expression(0)),
            13 => format!("{} {a}", self.one(&["NOT", "-", "~"])),
            14 => format!("{a} IS {}", self.one(&["NULL", "NOT NULL", "TRUE", "NOT FALSE", "UNKNOWN"])),
            _ => {
                let end = self.one(&["[ 1 ]", "[ 'a' ]", ":: BIGINT", ":: TEXT", "AT TIME ZONE 'Europe/Berlin'"]);
                format!("( {a} ) {end}")
            }
        }
    }
}

/// How long a statement may take. Some are meant to take for ever.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    wrong: usize,
    refused: usize,
    too_large: usize,
    too_long: usize,
    faults: Vec<String>,
}

async fn ask(explorer: Arc<Explorer>, text: String) -> Result<(), QueryError> {
    for planned in explorer.plan_all(&[text], &Values::new()).await? {
        let mut answer = planned.run()?;
        while let Some(batch) = answer.rows.next().await {
            batch?;
        }
    }
    Ok(())
}

async fn run(count: usize, seed: u64) -> Tally {
    let archive = Archive::open(&[source("testdata/vnet-v4")], SessionOptions::default()).await.expect("an archive");
    let scope = Arc::new(scope(Catalog::NEWEST, true));
    let mut explorer = Explorer::open(Arc::new(archive), scope, 64 << 20).await.expect("an explorer");
    findings::tables::provide(&mut explorer).await.expect("tables");
    let explorer = Arc::new(explorer);
    let mut functions = explorer.names().functions.clone();
    // They are ours, and so they come up more often.
    functions.extend(
        flowgap::engine::FUNCTIONS.iter().flat_map(|f| vec![f.call.split('(').next().expect("a name").to_owned(); 4]),
    );
    let mut maker = Maker { random: Rng::with_seed(seed), functions };
    let mut tally = Tally::default();
    for nr in 0..count {
        let text = maker.statement();
        // A task of its own, so that a panic is told from an answer.
        let mut task = tokio::spawn(ask(Arc::clone(&explorer), text.clone()));
        match tokio::time::timeout(PATIENCE, &mut task).await {
            Err(_) => {
                task.abort();
                tally.too_long += 1;
            }
            Ok(Ok(Ok(()))) => tally.answered += 1,
            Ok(Ok(Err(QueryError::Wrong(_)))) => tally.wrong += 1,
            Ok(Ok(Err(QueryError::Refused(_)))) => tally.refused += 1,
            Ok(Ok(Err(QueryError::TooLarge(_)))) => tally.too_large += 1,
            Ok(Ok(Err(error))) => tally.faults.push(format!("{nr}: {error}\n{text}")),
            Ok(Err(panic)) => tally.faults.push(format!("{nr}: {panic}\n{text}")),
        }
    }
    tally
}

fn check(count: usize, tally: &Tally) {
    let Tally { answered, wrong, refused, too_large, too_long, faults } = tally;
    println!("{answered} answered, {wrong} wrong, {refused} refused, {too_large} too large, {too_long} too long");
    assert!(faults.is_empty(), "{} faults of {count}: {}", faults.len(), faults.join("\n\n"));
    assert!(answered * 10 > count, "few are answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_answered_or_the_users_to_fix() {
    check(1000, &run(1000, 1).await);
}

/// Minutes: `cargo test --release --test it -- --ignored many_statements`; STATEMENTS and SEED choose others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "100,000 statements take many minutes"]
async fn many_statements_are_answered_or_the_users_to_fix() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = usize::try_from(number("STATEMENTS").unwrap_or(100_000)).expect("a number");
    check(count, &run(count, number("SEED").unwrap_or(2)).await);
}
