//! Habits of DuckDB and other engines in SQL.

use super::{check, line, piped};

#[test]
fn short_forms_and_functions_of_other_engines_work() {
    check(
        "sql",
        12,
        &[
            line(&["sql", "EX", "-c", "FROM requirements SELECT id LIMIT 2"]),
            line(&["sql", "EX", "-c", "FROM requirement_ports WHERE port_low = 1433"]),
            line(&[
                "sql",
                "EX",
                "-c",
                "SUMMARIZE SELECT rule, dst_port, time, is_private(dst_ip) AS p FROM denied_flows",
            ]),
            line(&["sql", "EX", "-c", "DESCRIBE requirement_ports"]),
            line(&["sql", "EX", "-c", "SELECT 1, round(2.55, 1), count(*) FROM flows"]),
            line(&["sql", "EX", "-c", "SELECT version()"]),
            line(&["sql", "EX", "-c", "SELECT arg_max(rule, time), arg_min(rule, time) FROM flows"]),
            line(&["sql", "EX", "-c", "SELECT mode(rule), histogram(protocol) FROM flows WHERE decision = 'deny'"]),
            line(&["sql", "EX", "-c", "SELECT mode(rule), histogram(protocol) FROM flows WHERE dst_port = 1"]),
            line(&[
                "sql",
                "EX",
                "-c",
                "SELECT time_bucket(INTERVAL '6 hours', time) AS t, strftime(min(time), '%H:%M') AS first, count(*) AS n \
                 FROM flows GROUP BY ALL ORDER BY t LIMIT 2",
            ]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE src_ip <<= '10.20.1.0/24'"]),
            line(&[
                "sql",
                "EX",
                "-c",
                "CREATE TEMP VIEW sql_flows AS FROM flows WHERE dst_port = 1433; SELECT count(*) FROM sql_flows; \
                 CREATE OR REPLACE VIEW sql_flows AS SELECT 7 AS seven; FROM sql_flows; DROP VIEW sql_flows",
            ]),
            line(&["sql", "EX", "-c", "CREATE VIEW v AS SELECT 1; CREATE VIEW v AS SELECT 2"]),
            line(&["sql", "EX", "-c", "CREATE VIEW flows AS SELECT 1"]),
            line(&["sql", "EX", "-c", "DROP VIEW v"]),
            line(&["sql", "-c", "SELECT count(*) AS rows FROM requirements"]),
            line(&["sql", "-c", "FROM flows"]),
        ],
    );
}

#[test]
fn macros_are_written_out_before_a_query_is_planned() {
    check(
        "sql-macros",
        6,
        &[
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "SELECT is_web(dst_port), count(*) AS n FROM flows GROUP BY ALL ORDER BY n; \
                 SELECT mib(3 << 20), mib(1500000 + 0, digits := 3) + 1 AS more",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "SELECT rule, count(*) AS n FROM of_port(1400 + 33) WHERE is_web(443) GROUP BY ALL ORDER BY n",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "SELECT max(o.dst_port) FROM of_port(53) AS o JOIN of_port(53) AS p ON o.time = p.time",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE MACRO both(a) AS is_web(a) OR is_web(a + 1); SELECT both(79), both(78); DROP MACRO both; SELECT both(1)",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE TEMP VIEW web AS FROM flows WHERE is_web(dst_port); SELECT count(*) FROM web; SUMMARIZE SELECT mib(bytes_sent) FROM web",
            ]),
            // A parameter is a whole argument, and not a piece of text.
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE MACRO twice(x) AS x * 2; SELECT twice(1 + 2), twice((SELECT 3))",
            ]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "EXPLAIN SELECT count(*) FROM of_port(22)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "SELECT is_web()"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "SELECT is_web(1, 2)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "SELECT mib(1, figures := 2)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "SELECT is_web(DISTINCT 1)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "SELECT of_port(1)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "FROM is_web(1)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "SELECT is_web(dst_prt) FROM flows"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "CREATE MACRO is_web(x) AS x"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "CREATE MACRO round(x) AS x"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "CREATE MACRO again(x) AS again(x - 1)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "CREATE OR REPLACE MACRO is_web(x) AS NOT is_web(x)"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "CREATE MACRO other(x) AS missing(x)"]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE MACRO grow(x) AS [x, x, x, x, x, x, x, x]; SELECT grow(grow(grow(grow(1))))",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE MACRO sum_up(x) AS x + x + x + x + x + x + x + x; SELECT sum_up(sum_up(sum_up(1)))",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE MACRO writes(x) AS (INSERT INTO flows VALUES (x)); SELECT writes(1)",
            ]),
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "MACROS",
                "-c",
                "CREATE MACRO files(x) AS TABLE SELECT * FROM read_csv(x); FROM files('/etc/passwd')",
            ]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "DROP MACRO missing"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "DROP MACRO IF EXISTS missing"]),
            line(&["sql", "EX", "-q", "-c", "MACROS", "-c", "CREATE FUNCTION f(x INT) RETURNS INT RETURN x"]),
        ],
    );
}

#[test]
fn explain_begins_with_what_is_read() {
    check(
        "sql-explain",
        1,
        &[
            line(&[
                "sql",
                "EX",
                "-q",
                "-c",
                "EXPLAIN SELECT 1 FROM flows WHERE dst_port = 1433 AND time < '2026-05-04 02:00'",
            ]),
            line(&["sql", "EX", "-q", "-c", "EXPLAIN SELECT count(*) FROM flows"]),
            line(&["sql", "EX", "-q", "-c", "EXPLAIN SELECT count(*) FROM requirements"]),
        ],
    );
}

#[test]
fn what_can_never_hold_and_what_is_no_number_or_time_is_said() {
    check(
        "sql-notes",
        4,
        &[
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE decision = 'Deny'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM denied_flows WHERE direction IN ('in', 'outbound')"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE state = 'E' OR protocol = 'tcp'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows f WHERE f.dst_ip = '10.20.1.300'"]),
            line(&["sql", "EX", "-q", "-c", "SELECT count(*) FROM flows WHERE decision = 'Deny'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE decision = 'deny' AND protocol = 'TCP'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE dst_port = 'https'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE dst_port = '70000'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE time > 'soon'"]),
        ],
    );
}

#[test]
fn times_are_read_as_people_write_them() {
    check(
        "sql-times",
        4,
        &[
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE time >= '2026-05-05'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE time >= '2026-05-05 05:30'"]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE time >= '2026-05-05T05:30'"]),
            line(&[
                "sql",
                "EX",
                "-c",
                "SELECT count(*) FROM flows WHERE time BETWEEN '2026-05-05 07:30+02:00' AND 'yesterday'",
            ]),
            line(&["sql", "EX", "-c", "SELECT count(*) FROM flows WHERE time < '-2h'"]),
            line(&["sql", "EX", "--from", "2026-05-05 05:30", "-c", "SELECT count(*) FROM flows"]),
            line(&[
                "sql",
                "EX",
                "--from",
                "2026-05-05 07:30",
                "--tz",
                "Europe/Berlin",
                "-c",
                "SELECT min(time) FROM flows",
            ]),
            line(&["sql", "EX", "--from", "-2h", "--now", "2026-05-05 07:30", "-c", "SELECT count(*) FROM flows"]),
            line(&["sql", "EX", "--last", "1 day", "--now", "2026-05-05 07:30", "-c", "SELECT count(*) FROM flows"]),
            line(&["sql", "EX", "--last", "2w", "--now", "2026-05-05 07:30", "-c", "SELECT count(*) FROM flows"]),
            line(&["sql", "EX", "--from", "soon", "-c", "SELECT 1"]),
            line(&["sql", "EX", "--last", "7", "-c", "SELECT 1"]),
            line(&["sql", "EX", "--tz", "Berlin", "-c", "SELECT 1"]),
            super::with(&[("TZ", "Asia/Tokyo")], &["sql", "EX", "-c", "SELECT min(time) FROM flows"]),
        ],
    );
}

#[test]
fn commands_of_the_shell_run_in_scripts() {
    check(
        "sql-scripts",
        6,
        &[
            line(&["sql", "EX", "-c", ".tables"]),
            line(&["sql", "EX", "-c", "\\d requirement_ports"]),
            line(&["sql", "EX", "-c", ".run top_denied_rules limit=1"]),
            piped(
                ".mode csv\nSELECT 1 AS one;\n.nullvalue none\nSELECT NULL AS x;\n.timer off\nSELECT 2 AS two",
                &["sql", "EX"],
            ),
            piped("SELECT 1;\n.tabels\nSELECT 2;\n", &["sql", "EX"]),
            piped("SELECT 1;\nSELECT nothing;\n.tables\n", &["sql", "EX"]),
            piped(".quit\nSELECT 1;\n", &["sql", "EX"]),
            piped(".read no-such-file.sql\n", &["sql", "EX"]),
            line(&["sql", "EX", "-c", ".tables", "-o", "out.csv"]),
        ],
    );
}

#[test]
fn results_go_to_files_and_small_tables_come_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(path("owners.csv"), "prefix,owner,nr\n10.20.1.0/24,api team,007\n192.0.2.0/24,,1\n")
        .expect("a file");
    let script = format!(
        ".once {}\nSELECT owner, nr FROM owners ORDER BY nr;\n.output {}\nSELECT 1 AS a;\nSELECT 2 AS b;\n.output\n\
         .once {}\nSELECT * FROM owners;\n.read {}\n",
        path("once.csv"),
        path("both.csv"),
        path("owners.parquet"),
        path("more.sql")
    );
    std::fs::write(path("more.sql"), ".mode csv\nSELECT 3 AS c;\n").expect("a file");
    std::fs::write(path("script.sql"), script).expect("a file");
    let run =
        |arguments: &[&str]| crate::support::binary::flowgap(&[&["sql", super::ARCHIVE, "-q"], arguments].concat());
    let owners = format!("owners={}", path("owners.csv"));
    let output = run(&["--table", &owners, "-f", &path("script.sql")]);
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(read("once.csv"), "owner,nr\r\napi team,007\r\n,1\r\n");
    assert_eq!(read("both.csv"), "a\r\n1\r\nb\r\n2\r\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "c\r\n3\r\n");
    let again = format!("owners={}", path("owners.parquet"));
    let joined =
        "SELECT owner, count(*) AS flows FROM flows JOIN owners ON ip_in(src_ip, prefix) GROUP BY owner ORDER BY owner";
    for owners in [&owners, &again] {
        let output = run(&["--table", owners, "--format", "csv", "-c", joined]);
        let rows = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(rows.starts_with("owner,flows\r\napi team,"), "{rows}: {output:?}");
    }
    std::fs::write(path("twice.csv"), "a,a\n1,2\n").expect("a file");
    for (table, says) in [
        ("flows=owners.csv".to_owned(), "there is a table flows: choose another name"),
        ("x".to_owned(), "write NAME=FILE.csv"),
        ("X=a.csv".to_owned(), "lower-case letters"),
        (format!("x={}", path("script.sql")), "must end with .csv or .parquet"),
        (format!("x={}", path("absent.csv")), "No such file"),
        (format!("x={}", path("twice.csv")), "the header names a twice"),
    ] {
        let output = run(&["--table", &table, "-c", "SELECT 1"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{table}: {said}");
    }
}
