//! Statements made at random: each is answered, or refused with words for whoever wrote it. None is a fault of ours.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use fastrand::Rng;
use flowgap::catalog::Catalog;
use flowgap::engine::{Archive, Explorer, ParamValues, QueryError, SessionOptions};
use flowgap::findings;
use flowgap::schema::{Column, flows};
use futures::StreamExt;

use crate::sql::{scope, source};

/// What an expression is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Time,
    Truth,
    List,
}

use Kind::{List, Number, Text, Time, Truth};

const KINDS: [Kind; 5] = [Number, Text, Time, Truth, List];

const LITERALS: [(Kind, &str); 39] = [
    (Number, "0"),
    (Number, "1"),
    (Number, "-1"),
    (Number, "2"),
    (Number, "443"),
    (Number, "65536"),
    (Number, "9223372036854775807"),
    (Number, "-9223372036854775808"),
    (Number, "1.5"),
    (Number, "-0.0"),
    (Number, "1e300"),
    (Number, "'NaN'::DOUBLE"),
    (Number, "99999999999999999999999999999999999999"),
    (Text, "NULL"),
    (Truth, "NULL"),
    (Truth, "TRUE"),
    (Truth, "FALSE"),
    (Text, "''"),
    (Text, "'a'"),
    (Text, "'('"),
    (Text, "'%'"),
    (Text, "'10.20.1.4'"),
    (Text, "'10.0.0.0/8'"),
    (Text, "'2026-05-04'"),
    (Text, "'deny'"),
    (Text, "'UTC'"),
    (Text, "'second'"),
    (Text, "'é\u{1F600}'"),
    (Text, "X'00ff'"),
    (Time, "DATE '2026-05-04'"),
    (Time, "TIMESTAMP '2026-05-04 06:00:00'"),
    (Time, "'2026-05-04T06:00:00Z'"),
    (Time, "now()"),
    (Time, "NULL"),
    (Number, "INTERVAL '1 hour'"),
    (List, "[1, 2]"),
    (List, "['a', NULL]"),
    (List, "[]"),
    (List, "{'a': 1}"),
];
const TYPES: [(Kind, &str); 15] = [
    (Number, "INT"),
    (Number, "BIGINT"),
    (Number, "SMALLINT"),
    (Number, "TINYINT UNSIGNED"),
    (Number, "DOUBLE"),
    (Number, "REAL"),
    (Number, "DECIMAL(5, 2)"),
    (Number, "DECIMAL(38, 10)"),
    (Text, "VARCHAR"),
    (Text, "BYTEA"),
    (Truth, "BOOLEAN"),
    (Time, "DATE"),
    (Time, "TIMESTAMP"),
    (Time, "TIMESTAMP(0)"),
    (List, "BIGINT[]"),
];
/// Expressions with a place for others: `#n` for a number, and so on.
const FORMS: [(Kind, &str); 78] = [
    (Number, "#n + #n"),
    (Number, "#n - #n"),
    (Number, "#n * #n"),
    (Number, "#n / #n"),
    (Number, "#n % #n"),
    (Number, "#n & #n"),
    (Number, "#n << #n"),
    (Number, "- #n"),
    (Number, "abs ( #n )"),
    (Number, "round ( #n , #n )"),
    (Number, "power ( #n , #n )"),
    (Number, "ln ( #n )"),
    (Number, "gcd ( src_port , #n )"),
    (Number, "factorial ( src_port % 25 )"),
    (Number, "length ( #t )"),
    (Number, "strpos ( #t , #t )"),
    (Number, "ascii ( #t )"),
    (Number, "levenshtein ( #t , #t )"),
    (Number, "extract ( hour FROM #w )"),
    (Number, "date_part ( #t , #w )"),
    (Number, "array_length ( #l )"),
    (Number, "array_position ( #l , #n )"),
    (Number, "( #l ) [ #n ]"),
    (Number, "CASE WHEN #b THEN #n ELSE #n END"),
    (Number, "coalesce ( #n , #n )"),
    (Number, "nullif ( #n , #n )"),
    (Number, "( SELECT max ( id ) FROM ( VALUES ( 1 ) , ( 2 ) ) AS v ( id ) WHERE id > #n )"),
    (Text, "#t || #t"),
    (Text, "upper ( #t )"),
    (Text, "substr ( #t , #n , #n )"),
    (Text, "left ( #t , #n )"),
    (Text, "split_part ( #t , #t , #n )"),
    (Text, "lpad ( #t , src_port % 90 , #t )"),
    (Text, "repeat ( #t , #n )"),
    (Text, "replace ( #t , #t , #t )"),
    (Text, "regexp_replace ( #t , #t , #t )"),
    (Text, "translate ( #t , #t , #t )"),
    (Text, "chr ( #n )"),
    (Text, "to_char ( #w , #t )"),
    (Text, "concat_ws ( #t , #t , #n )"),
    (Text, "array_to_string ( #l , #t )"),
    (Text, "md5 ( #t )"),
    (Text, "encode ( #t , 'hex' )"),
    (Text, "CASE #t WHEN #t THEN #t ELSE #t END"),
    (Text, "service_tag ( #t )"),
    (Text, "arrow_typeof ( #x )"),
    (Time, "date_trunc ( 'hour' , #w )"),
    (Time, "date_trunc ( #t , #w )"),
    (Time, "date_bin ( INTERVAL '15 minutes' , #w )"),
    (Time, "#w + INTERVAL '1 day'"),
    (Time, "#w - INTERVAL '-1 month'"),
    (Time, "#w + #n * INTERVAL '1 second'"),
    (Time, "to_timestamp ( #t )"),
    (Time, "to_timestamp_millis ( #n )"),
    (Time, "#w AT TIME ZONE 'Europe/Berlin'"),
    (Time, "coalesce ( #w , #w )"),
    (Truth, "#n = #n"),
    (Truth, "#n <= #n"),
    (Truth, "#t <> #t"),
    (Truth, "#w > #w"),
    (Truth, "#n BETWEEN #n AND #n"),
    (Truth, "#w NOT BETWEEN #w AND #w"),
    (Truth, "#t IN ( #t , #t )"),
    (Truth, "#n NOT IN ( #n , #n , NULL )"),
    (Truth, "#t LIKE #t"),
    (Truth, "#t ~ #t"),
    (Truth, "#x IS NULL"),
    (Truth, "#b IS NOT TRUE"),
    (Truth, "#x IS DISTINCT FROM #x"),
    (Truth, "#b AND #b"),
    (Truth, "#b OR #b"),
    (Truth, "NOT #b"),
    (Truth, "ip_in ( #t , #t )"),
    (Truth, "EXISTS ( SELECT 1 FROM requirement_ports r WHERE r.port_low = dst_port )"),
    (Truth, "src_ip IN ( SELECT dst_ip FROM denied_flows )"),
    (List, "range ( #n , src_port % 9 )"),
    (List, "array_append ( #l , #n )"),
    (List, "string_to_array ( #t , #t )"),
];
const AGGREGATES: [&str; 24] = [
    "count ( #x )",
    "count ( DISTINCT #x )",
    "sum ( #n )",
    "sum ( DISTINCT #n )",
    "min ( #x )",
    "max ( #x )",
    "avg ( #n )",
    "stddev ( #n )",
    "median ( #n )",
    "array_agg ( #x )",
    "array_agg ( #x ORDER BY #x )",
    "string_agg ( #t , ',' )",
    "approx_distinct ( #x )",
    "bool_and ( #b )",
    "bit_xor ( #n )",
    "corr ( #n , #n )",
    "first_value ( #x ORDER BY #x )",
    "approx_percentile_cont ( #n , 0.5 )",
    "var_pop ( #n )",
    "nth_value ( #x , 2 )",
    "row_number ( )",
    "lag ( #x , 1 )",
    "ntile ( #n )",
    "count ( * ) FILTER ( WHERE #b )",
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
        if self.chance(20) { self.mutated(&text) } else { text }
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
                    let word = if self.chance(50) {
                        self.one(&WORDS)
                    } else {
                        LITERALS[self.random.usize(..LITERALS.len())].1
                    };
                    words.insert(at, word);
                }
            }
        }
        words.join(" ")
    }

    fn query(&mut self, depth: u32) -> String {
        let from = match self.random.u32(..14) {
            0 if depth > 0 => format!("( SELECT * FROM flows WHERE {} LIMIT 50 ) AS flows", self.typed(Truth, 2)),
            1 => "flows JOIN requirement_ports r ON dst_port BETWEEN r.port_low AND r.port_high".to_owned(),
            2 => "( SELECT * FROM flows LIMIT 3 ) AS flows CROSS JOIN generate_series ( 1 , 3 ) AS g".to_owned(),
            3 => "flows LEFT JOIN ( SELECT time AS t , src_ip AS s FROM denied_flows ) AS d ON t = time AND s = dst_ip"
                .to_owned(),
            4 => self.one(&TABLES).to_owned(),
            _ => self.one(&["flows", "denied_flows"]).to_owned(),
        };
        let is_grouped = self.chance(25);
        let columns = if is_grouped {
            let (aggregate, other) = (self.one(&AGGREGATES), self.one(&AGGREGATES));
            format!("{} AS a , {} , {}", self.expression(1), self.filled(aggregate, 2), self.filled(other, 1))
        } else {
            let count = self.random.usize(1..4);
            (0..count).map(|_| self.output()).collect::<Vec<_>>().join(" , ")
        };
        let mut text = format!("SELECT {columns} FROM {from}");
        if self.chance(70) {
            text += &format!(" WHERE {}", self.typed(Truth, 3));
        }
        if is_grouped {
            text += self.one(&[" GROUP BY ALL", " GROUP BY 1", " GROUP BY a , decision", ""]);
            if self.chance(20) {
                text += &format!(" HAVING count ( * ) > {}", self.typed(Number, 0));
            }
        }
        if self.chance(20) {
            text += &format!(" ORDER BY {}", if is_grouped { "1".to_owned() } else { self.expression(1) });
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
        match self.random.u32(..12) {
            0 => "*".to_owned(),
            1 | 2 => {
                let (aggregate, by) = (self.one(&AGGREGATES), self.expression(0));
                let frame = self.one(&["", "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "RANGE UNBOUNDED PRECEDING"]);
                let aggregate = self.filled(aggregate, 0);
                format!("{aggregate} OVER ( PARTITION BY {by} ORDER BY {by} {frame} )")
            }
            _ => self.expression(3),
        }
    }

    fn of<'a>(&mut self, kind: Kind, of: &[(Kind, &'a str)]) -> &'a str {
        let fit: Vec<&str> = of.iter().filter(|(of, _)| *of == kind).map(|(_, text)| *text).collect();
        self.one(&fit)
    }

    fn column(&mut self, kind: Kind) -> String {
        let schema = flows(Default::default());
        let is_of = |column: &&Column| match schema.field(**column as usize).data_type() {
            DataType::Timestamp(..) => kind == Time,
            kind_of if kind_of.is_numeric() => kind == Number,
            _ => kind == Text,
        };
        let fit: Vec<&Column> = Column::ALL.iter().filter(is_of).collect();
        match fit.is_empty() {
            true => self.of(kind, &LITERALS).to_owned(),
            false => fit[self.random.usize(..fit.len())].name().to_owned(),
        }
    }

    fn expression(&mut self, depth: u32) -> String {
        let kind = KINDS[self.random.usize(..KINDS.len())];
        self.typed(kind, depth)
    }

    fn typed(&mut self, kind: Kind, depth: u32) -> String {
        // Once in a while it is of any other.
        let kind = if self.chance(2) { KINDS[self.random.usize(..KINDS.len())] } else { kind };
        if depth == 0 || self.chance(20) {
            return if self.chance(65) { self.column(kind) } else { self.of(kind, &LITERALS).to_owned() };
        }
        let depth = depth - 1;
        match self.random.u32(..20) {
            0 => {
                let name = self.functions[self.random.usize(..self.functions.len())].clone();
                let count = self.random.usize(..4);
                let arguments = (0..count).map(|_| self.expression(depth)).collect::<Vec<_>>().join(" , ");
                format!("{name} ( {arguments} )")
            }
            1 | 2 => {
                let (cast, value) = (self.one(&["CAST", "TRY_CAST", "TRY_CAST"]), self.expression(depth));
                format!("{cast} ( {value} AS {} )", self.of(kind, &TYPES))
            }
            _ => {
                let form = self.of(kind, &FORMS);
                let filled = self.filled(form, depth);
                if self.chance(50) { format!("( {filled} )") } else { filled }
            }
        }
    }

    fn filled(&mut self, form: &str, depth: u32) -> String {
        let mut parts = form.split('#');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (kind, rest) = part.split_at(1);
            text += &match kind {
                "n" => self.typed(Number, depth),
                "t" => self.typed(Text, depth),
                "w" => self.typed(Time, depth),
                "b" => self.typed(Truth, depth),
                "l" => self.typed(List, depth),
                _ => self.expression(depth),
            };
            text += rest;
        }
        text
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
    for planned in explorer.plan_all(&[text], &ParamValues::new()).await? {
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
