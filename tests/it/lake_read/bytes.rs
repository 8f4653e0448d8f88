//! How much of a lake a query reads.

use super::{Pair, generated};
use crate::support::binary::{flowgap, stderr, stdout};

/// Bytes that the scan of a query reads, by EXPLAIN ANALYZE.
fn scanned(lake: &str, sql: &str) -> f64 {
    let sql = format!("EXPLAIN ANALYZE {sql}");
    let output = flowgap(&["sql", lake, "-c", &sql, "--format", "csv", "--maxrows", "0"]);
    let plan = stdout(&output);
    let bytes = plan.split("bytes_scanned=").nth(1).unwrap_or_else(|| panic!("{}{plan}", stderr(&output)));
    let number: String = bytes.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let unit = bytes[number.len()..].trim_start();
    let factor = [("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("K", 1e3), ("M", 1e6)];
    let factor = factor.into_iter().find(|(name, _)| unit.starts_with(name)).map_or(1.0, |(_, factor)| factor);
    number.parse::<f64>().expect("a number") * factor
}

#[test]
fn a_condition_reads_a_part() {
    let (_folder, logs) = generated(&["--hours", "48", "--interfaces", "4", "--tuples-per-minute", "100"]);
    let pair = Pair::new(&[logs]);
    let lake = pair.lake();
    let all = "SELECT max(time), max(src_ip), max(dst_ip), max(src_port), max(bytes_sent), max(rule) FROM flows";
    let day = "time >= '2026-05-05' AND time < '2026-05-06'";
    let (both, one) = (scanned(lake, all), scanned(lake, &format!("{all} WHERE {day}")));
    assert!(one < 0.6 * both, "{one} of {both} bytes for one of two days");
    let denied = scanned(lake, &format!("{all} WHERE {day} AND decision = 'deny'"));
    println!("denied flows of a day: {:.2} of its bytes", denied / one);
    // Less in a lake of a usual size, whose dictionaries weigh less.
    assert!(denied < 0.7 * one, "{denied} of {one} bytes for the denied flows of a day");
}

#[test]
fn explain_begins_with_what_is_read_of_a_lake() {
    let (_folder, logs) = generated(&["--hours", "48", "--interfaces", "1", "--tuples-per-minute", "10"]);
    let pair = Pair::new(&[logs]);
    for (condition, first) in [
        ("", "reads every flow; files of the lake: 2"),
        ("WHERE time < '2026-05-05'", "reads time<2026-05-05T00:00:00.000Z; files of the lake: 1"),
    ] {
        let sql = format!("EXPLAIN SELECT dst_port FROM flows {condition}");
        let output = flowgap(&["sql", pair.lake(), "-c", &sql]);
        assert_eq!(stdout(&output).lines().next(), Some(first), "{}", stderr(&output));
    }
}
