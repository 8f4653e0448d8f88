//! Makes conditions, each as we write it and as DuckDB does.

mod times;

use std::collections::BTreeMap;
use std::net::IpAddr;

use fastrand::Rng;
use times::naive;

/// A part of a query in both dialects; `None` where DuckDB has no equal of it.
#[derive(Debug, Clone)]
pub struct Part {
    ours: String,
    duck: Option<String>,
}

pub struct Query {
    pub ours: String,
    pub duck: Option<String>,
}

fn same(text: impl Into<String>) -> Part {
    let ours = text.into();
    Part { duck: Some(ours.clone()), ours }
}

fn both(ours: impl Into<String>, duck: impl Into<String>) -> Part {
    Part { ours: ours.into(), duck: Some(duck.into()) }
}

fn only(ours: impl Into<String>) -> Part {
    Part { ours: ours.into(), duck: None }
}

/// Puts parts into the places `{}` of a template.
fn put(template: &str, parts: &[&Part]) -> Part {
    put_both(template, template, parts)
}

fn put_both(ours: &str, duck: &str, parts: &[&Part]) -> Part {
    let ours = parts.iter().fold(ours.to_owned(), |text, part| text.replacen("{}", &part.ours, 1));
    let duck = parts.iter().try_fold(duck.to_owned(), |text, part| Some(text.replacen("{}", part.duck.as_ref()?, 1)));
    Part { ours, duck }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

const TEXTS: [&str; 14] = [
    "src_ip",
    "dst_ip",
    "protocol",
    "direction",
    "decision",
    "state",
    "encryption",
    "rule",
    "acl",
    "nsg",
    "mac",
    "flow_log",
    "target",
    "log_kind",
];
const NUMBERS: [&str; 7] =
    ["src_port", "dst_port", "packets_sent", "bytes_sent", "packets_received", "bytes_received", "log_version"];
/// Of comparisons.
const OPERATORS: [&str; 8] = ["=", "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"];

pub struct Maker {
    random: Rng,
    values: BTreeMap<&'static str, Vec<String>>,
    is_utc: bool,
}

impl Maker {
    pub fn new(values: BTreeMap<&'static str, Vec<String>>, seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), values, is_utc: true }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    /// A value of a column, as text.
    fn value(&mut self, column: &str) -> String {
        let at = self.random.usize(..1 << 16);
        match self.values.get(column) {
            Some(values) if !values.is_empty() => values[at % values.len()].clone(),
            _ => String::new(),
        }
    }

    /// A count of rows, and a sum over them.
    pub fn query(&mut self, key: &str, is_utc: bool) -> Query {
        self.is_utc = is_utc;
        let from = match self.random.u32(..20) {
            0..7 => put("flows WHERE {}", &[&self.condition(3)]),
            7..14 => put("flows WHERE {} AND {}", &[&self.plain(), &self.condition(2)]),
            14..16 => self.joined(),
            16..18 => self.among(),
            18 => {
                let order = self.one(&["time DESC", "time", "src_port", "dst_port DESC, time", "src_port DESC"]);
                let limit = self.random.u32(1..200);
                let condition = self.condition(1);
                // Rows that tie have the same key.
                let template = format!(
                    "(SELECT * FROM flows WHERE {{}} ORDER BY {order}, time, src_port, dst_port LIMIT {limit}) AS flows"
                );
                put(&template, &[&condition])
            }
            _ => {
                let column = self.one(&["dst_port", "src_ip", "protocol", "time", "src_port"]);
                let (outer, inner) = (self.condition(1), self.condition(1));
                let template = format!(
                    "flows JOIN (SELECT DISTINCT {column} AS x FROM flows WHERE {{}}) few ON {column} = few.x WHERE {{}}"
                );
                put(&template, &[&inner, &outer])
            }
        };
        Query {
            ours: format!("SELECT count(*), sum({key}) FROM {}", from.ours),
            duck: from.duck.map(|from| format!("SELECT count(*), sum(k) FROM {from}")),
        }
    }

    /// A condition of the forms that the decoder evaluates.
    fn plain(&mut self) -> Part {
        let (a, b) = match self.random.u32(..5) {
            0..2 => (same("time"), [self.time_constant("time"), self.time_constant("time")]),
            2 => {
                let column = self.one(&["src_port", "dst_port"]);
                (same(column), [(); 2].map(|()| same(self.integer(column).to_string())))
            }
            3 => {
                let column = self.one(&["src_ip", "dst_ip", "protocol", "state", "decision", "direction"]);
                (same(column), [(); 2].map(|()| same(quoted(&self.value(column)))))
            }
            _ => return self.in_prefixes(),
        };
        let [low, high] = &b;
        match self.random.u32(..6) {
            0..3 => {
                let operator = self.one(&OPERATORS[..7]);
                put(&format!("{{}} {operator} {{}}"), &[&a, low])
            }
            3 => put("{} BETWEEN {} AND {}", &[&a, low, high]),
            4 => put("{} IN ({}, {})", &[&a, low, high]),
            _ => put("({} = {} OR {} = {})", &[&a, low, &a, high]),
        }
    }

    /// A join with constants: what it finds out reaches the scan while it runs.
    fn joined(&mut self) -> Part {
        let (left, values) = self.with_constants();
        let rows: Vec<&Part> = values.iter().collect();
        let list = vec!["({})"; rows.len()].join(", ");
        let rest = self.condition(1);
        let kind = self.one(&["JOIN", "JOIN", "RIGHT JOIN"]);
        let template = format!("flows {kind} (VALUES {list}) AS few(x) ON {{}} = few.x WHERE {{}}");
        put(&template, &[&rows[..], &[&left, &rest]].concat())
    }

    fn among(&mut self) -> Part {
        let (left, values) = self.with_constants();
        let rows: Vec<&Part> = values.iter().collect();
        let list = vec!["({})"; rows.len()].join(", ");
        // The engine takes a cast of what is never null for never null there, and so keeps rows where it is.
        let kind = if left.ours.contains(' ') { "IN" } else { self.one(&["IN", "IN", "NOT IN"]) };
        let template = format!("flows WHERE {{}} {kind} (SELECT x FROM (VALUES {list}) AS few(x))");
        put(&template, &[&[&left], &rows[..]].concat())
    }

    /// A side of a comparison and constants of one type for it.
    fn with_constants(&mut self) -> (Part, Vec<Part>) {
        let count = self.random.usize(1..5);
        match self.random.u32(..3) {
            0 => {
                let column = self.one(&["src_port", "dst_port", "bytes_sent"]);
                let numbers = (0..count).map(|_| same(self.integer(column).to_string())).collect();
                (self.number_side(column), numbers)
            }
            1 => {
                let column = self.one(&TEXTS);
                let texts = (0..count).map(|_| same(quoted(&self.value(column)))).collect();
                (self.text_side(column), texts)
            }
            _ => {
                let ms = |maker: &mut Self| same(format!("TIMESTAMP '{}'", naive(maker.instant("time").0, 3)));
                let times = (0..count).map(|_| ms(self)).collect();
                (self.time_side("time"), times)
            }
        }
    }

    pub fn condition(&mut self, depth: u32) -> Part {
        if depth == 0 || self.chance(35) {
            return self.comparison();
        }
        let (a, b) = (self.condition(depth - 1), self.condition(depth - 1));
        match self.random.u32(..12) {
            0..4 => put("({} AND {})", &[&a, &b]),
            4..7 => put("({} OR {})", &[&a, &b]),
            7..9 => put("NOT ({})", &[&a]),
            9 => {
                let test = self.one(&["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "NULL", "NOT NULL"]);
                put(&format!("(({{}}) IS {test})"), &[&a])
            }
            10 => {
                let c = self.comparison();
                put("(CASE WHEN {} THEN {} ELSE {} END)", &[&a, &b, &c])
            }
            _ => put("coalesce({}, {})", &[&a, &b]),
        }
    }

    fn comparison(&mut self) -> Part {
        match self.random.u32(..10) {
            0..3 => {
                let column = self.one(&["time", "time", "record_time"]);
                self.compare(column, Self::time_side, Self::time_constant)
            }
            3..6 => {
                let column = self.one(&NUMBERS);
                let column = if self.chance(50) { self.one(&["src_port", "dst_port"]) } else { column };
                self.compare(column, Self::number_side, Self::number_constant)
            }
            6 => self.in_prefixes(),
            7 => self.pattern(),
            _ => {
                let column = self.one(&TEXTS);
                self.compare(column, Self::text_side, Self::text_constant)
            }
        }
    }

    fn compare(
        &mut self,
        column: &'static str,
        side: fn(&mut Self, &'static str) -> Part,
        constant: fn(&mut Self, &'static str) -> Part,
    ) -> Part {
        let left = side(self, column);
        let a = constant(self, column);
        let not = self.one(&["", "", "NOT "]);
        match self.random.u32(..12) {
            0..5 => {
                let operator = self.one(&OPERATORS);
                put(&format!("{{}} {operator} {{}}"), &[&left, &a])
            }
            5 => {
                let operator = self.one(&OPERATORS);
                put(&format!("{{}} {operator} {{}}"), &[&a, &left])
            }
            6..8 => {
                let b = constant(self, column);
                put(&format!("{{}} {not}BETWEEN {{}} AND {{}}"), &[&left, &a, &b])
            }
            8..10 => {
                let count = self.random.usize(0..6);
                let mut all = vec![left, a];
                all.extend((0..count).map(|_| constant(self, column)));
                let list = vec!["{}"; all.len() - 1].join(", ");
                put(&format!("{{}} {not}IN ({list})"), &all.iter().collect::<Vec<_>>())
            }
            10 => put(&format!("{{}} IS {not}NULL"), &[&left]),
            _ => {
                let (b, c) = (constant(self, column), constant(self, column));
                put("(CASE WHEN {} = {} THEN {} ELSE {} END) = {}", &[&left, &a, &left, &b, &c])
            }
        }
    }

    fn number_side(&mut self, column: &'static str) -> Part {
        let n = self.random.u32(2..2000);
        match self.random.u32(..12) {
            0..6 => same(column),
            6 => same(format!("{column} + {n}")),
            7 => same(format!("{column} % {n}")),
            8 => same(format!("{column} * 2")),
            9 => same(format!("{} - {column}", n * 20)),
            10 => {
                let kind = self.one(&["INT", "BIGINT", "DOUBLE", "DECIMAL(18, 2)"]);
                same(format!("CAST({column} AS {kind})"))
            }
            _ => {
                let kind = self.one(&["SMALLINT", "TINYINT", "INT"]);
                same(format!("TRY_CAST({column} AS {kind})"))
            }
        }
    }

    fn integer(&mut self, column: &'static str) -> i64 {
        let near = self.value(column).parse().unwrap_or(0) + self.random.i64(-1..2);
        let edge = self.one(&[-1, 0, 1, 443, 1023, 1024, 32_767, 65_534, 65_535, 65_536, 70_000, 1 << 31]);
        if self.chance(70) { near } else { edge }
    }

    fn number_constant(&mut self, column: &'static str) -> Part {
        let n = self.integer(column);
        match self.random.u32(..12) {
            0..7 => same(n.to_string()),
            7 => same(format!("{n}.5")),
            8 => same(quoted(&n.to_string())),
            9 => {
                let kind = self.one(&["BIGINT", "DOUBLE", "DECIMAL(20, 3)"]);
                same(format!("CAST({n} AS {kind})"))
            }
            10 => {
                let kind = self.one(&[("UInt64", "UBIGINT"), ("Int64", "BIGINT"), ("UInt32", "UINTEGER")]);
                both(format!("arrow_cast({}, '{}')", n.abs(), kind.0), format!("CAST({} AS {})", n.abs(), kind.1))
            }
            _ => same("NULL"),
        }
    }

    fn text_side(&mut self, column: &'static str) -> Part {
        let n = self.random.u32(1..12);
        match self.random.u32(..12) {
            0..7 => same(column),
            7 => same(format!("lower({column})")),
            8 => same(format!("upper({column})")),
            9 => same(format!("substr({column}, 1, {n})")),
            10 => same(format!("coalesce({column}, 'none')")),
            _ => same(format!("nullif({column}, {})", quoted(&self.value(column)))),
        }
    }

    fn text_constant(&mut self, column: &'static str) -> Part {
        let value = self.value(column);
        let shortened: String = value.chars().take(self.random.usize(..20)).collect();
        match self.random.u32(..12) {
            0..7 => same(quoted(&value)),
            7 => same(quoted(&value.to_uppercase())),
            8 => same(quoted(&shortened)),
            9 => same(quoted(self.one(&["", "x", "allow", "deny", "outbound", "6", "TCP", "::ffff:10.20.1.4", "é"]))),
            10 => {
                let kind = self.one(&["LargeUtf8", "Utf8", "Dictionary(Int32, Utf8)"]);
                both(format!("arrow_cast({}, '{kind}')", quoted(&value)), quoted(&value))
            }
            _ => same("NULL"),
        }
    }

    fn pattern(&mut self) -> Part {
        let column = self.one(&TEXTS);
        let value = self.value(column);
        let part: String = value.chars().skip(self.random.usize(..8)).take(self.random.usize(..10)).collect();
        let not = self.one(&["", "NOT "]);
        let pattern = match self.random.u32(..6) {
            0 => format!("%{part}%"),
            1 => format!("{part}%"),
            2 => format!("%{part}"),
            3 => format!("%{}_%", part.chars().take(3).collect::<String>()),
            4 => part,
            _ => value,
        };
        match self.random.u32(..6) {
            0..3 => same(format!("{column} {not}LIKE {}", quoted(&pattern))),
            3 => same(format!("{column} {not}ILIKE {}", quoted(&pattern))),
            4 => same(format!("starts_with({column}, {})", quoted(pattern.trim_matches('%')))),
            _ => {
                let n = self.random.u32(..40);
                same(format!("length({column}) {} {n}", self.one(&OPERATORS)))
            }
        }
    }

    /// In DuckDB, the addresses of the archive that lie in the prefixes, found bit by bit.
    fn in_prefixes(&mut self) -> Part {
        let column = self.one(&["src_ip", "dst_ip"]);
        let count = self.random.usize(1..4);
        let prefixes: Vec<(IpAddr, u32)> = (0..count)
            .filter_map(|_| {
                let ip: IpAddr = self.value(column).parse().ok()?;
                let width = if ip.is_ipv4() { 32 } else { 128 };
                Some((ip, self.random.u32(0..=width)))
            })
            .collect();
        let text = |&(ip, bits): &(IpAddr, u32)| match ip {
            IpAddr::V4(ip) => {
                let first = u32::from(ip) & u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv4Addr::from(first))
            }
            IpAddr::V6(ip) => {
                let first = u128::from(ip) & u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv6Addr::from(first))
            }
        };
        // IPv4 lies within IPv6.
        let in_v6 = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => (u128::from(ip.to_ipv6_mapped()), 96),
            IpAddr::V6(ip) => (u128::from(ip), 0),
        };
        let holds = |ip: &str| {
            let Ok(ip) = ip.parse::<IpAddr>() else { return false };
            prefixes.iter().any(|&(first, bits)| {
                let (first, before) = in_v6(first);
                (first ^ in_v6(ip).0).leading_zeros() >= bits + before
            })
        };
        let list = prefixes.iter().map(text).collect::<Vec<_>>().join(";");
        let held: Vec<String> = self.values[column].iter().filter(|ip| holds(ip)).map(|ip| quoted(ip)).collect();
        both(format!("ip_in({column}, '{list}')"), format!("{column} IN ('', {})", held.join(", ")).replace(", )", ")"))
    }
}
