//! Denied flows that no requirement asks for: what each rule refused, and the busiest of them with what they may be.

use super::analysis::{Coverage, Unmatched, UnmatchedDenied, UnmatchedRule};
use super::hints::hints;
use crate::engine::Table;
use crate::time::Timestamp;

/// `listed` has the rows of [`UNMATCHED`](crate::queries::UNMATCHED), `rules` those of
/// [`UNMATCHED_RULES`](crate::queries::UNMATCHED_RULES), `hinted` those of [`HINTS`](crate::queries::HINTS).
pub fn unmatched(
    listed: &Table,
    rules: &Table,
    hinted: &Table,
    coverage: &[Coverage],
    inbound_internet_tuples: i64,
) -> UnmatchedDenied {
    let places: Vec<(i64, String, String)> = (listed.rows())
        .filter_map(|row| Some((listed.int("nr", row)?, listed.text("direction", row), listed.text("subnet", row))))
        .collect();
    let place = |number: i64| {
        let found = places.iter().find(|(nr, ..)| *nr == number);
        found.map(|(_, direction, subnet)| (direction.as_str(), subnet.as_str()))
    };
    let mut hints = hints(hinted, coverage, place);
    let row = |row: usize| {
        let time = |name: &str| listed.int(name, row).map(Timestamp);
        Unmatched {
            direction: listed.text("direction", row),
            remote: listed.text("remote", row),
            port: listed.int("port", row).unwrap_or_default(),
            protocol: listed.text("protocol", row),
            rule: listed.text("rule", row),
            acl: listed.text("acl", row),
            denied_tuples: listed.int("denied_tuples", row).unwrap_or_default(),
            first_denied: time("first_denied"),
            last_denied: time("last_denied"),
            last_allowed_before: time("last_allowed_before"),
            hint: listed.int("nr", row).and_then(|nr| hints.remove(&nr)).unwrap_or_default().words(),
        }
    };
    let listed: Vec<Unmatched> = listed.rows().map(row).collect();
    let count = |name: &str, row: usize| rules.int(name, row).unwrap_or_default();
    let by_rule = rules.rows().map(|row| UnmatchedRule {
        direction: rules.text("direction", row),
        rule: rules.text("rule", row),
        acl: rules.text("acl", row),
        ports: count("ports", row),
        tuples: count("tuples", row),
        peers: count("peers", row),
    });
    UnmatchedDenied {
        inbound_internet_tuples,
        tuples: count("all_tuples", 0),
        peers: count("all_peers", 0),
        by_rule: by_rule.collect(),
        listed,
    }
}
