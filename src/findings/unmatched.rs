//! Counts denied flows that no requirement asks for by rule, and lists the busiest with a guess at their purpose.

use std::collections::BTreeMap;

use tokio::try_join;

use super::analysis::{Coverage, Unmatched, UnmatchedDenied, UnmatchedRule};
use super::hints::{Hint, hints};
use crate::engine::{ResultRows, Row, Session, SessionError};
use crate::flow::ScopeDirection;
use crate::queries;

/// Direction and subnet of flows with a hint, keyed by the number of the hint.
type Places = BTreeMap<i64, (ScopeDirection, String)>;

/// Rows of the queries about refusals that no requirement asks for.
pub struct Refused {
    listed: ResultRows,
    rules: ResultRows,
    hints: ResultRows,
}

impl Refused {
    /// Makes the table `unmatched`, and reads the other queries.
    pub async fn read(session: &Session) -> Result<Self, SessionError> {
        let (listed, rules) =
            try_join!(session.materialize_table(queries::UNMATCHED), session.table(queries::UNMATCHED_RULES))?;
        Ok(Self { listed, rules, hints: session.table(queries::HINTS).await? })
    }

    /// Returns the hints of the rows of the table `findings`, by the number of the finding.
    pub fn hints_of_findings(
        &self,
        findings: &ResultRows,
        coverage: &[Coverage],
    ) -> Result<BTreeMap<i64, Hint>, SessionError> {
        // The query gives findings negative numbers, so that they differ from listed flows.
        let places = places(findings, "finding", |number| -number)?;
        Ok(hints(&self.hints, coverage, &places)?.into_iter().map(|(number, hint)| (-number, hint)).collect())
    }

    /// Returns the counts and the listed flows. `coverage` shows which services were seen working.
    pub fn unmatched(
        &self,
        coverage: &[Coverage],
        inbound_internet_tuples: i64,
    ) -> Result<UnmatchedDenied, SessionError> {
        let places = places(&self.listed, "nr", |number| number)?;
        let mut hints = hints(&self.hints, coverage, &places)?;
        let listed = self.listed.rows().map(|row| {
            let hint = hints.remove(&row.int("nr")?).unwrap_or_default();
            listed(row, &hint)
        });
        // Every row has the sums of all.
        let (tuples, peers) = match self.rules.rows().next() {
            Some(first) => (first.int("all_tuples")?, first.int("all_peers")?),
            None => (0, 0),
        };
        let by_rule = self.rules.rows().map(by_rule).collect::<Result<_, _>>()?;
        Ok(UnmatchedDenied {
            inbound_internet_tuples,
            tuples,
            peers,
            by_rule,
            listed: listed.collect::<Result<_, _>>()?,
        })
    }
}

fn places(rows: &ResultRows, column: &str, number: fn(i64) -> i64) -> Result<Places, SessionError> {
    let place = |row: Row| Ok((number(row.int(column)?), (row.named("direction")?, row.text("subnet")?)));
    rows.rows().map(place).collect()
}

fn listed(row: Row, hint: &Hint) -> Result<Unmatched, SessionError> {
    Ok(Unmatched {
        direction: row.named("direction")?,
        remote: row.text("remote")?,
        name: None,
        port: row.int("port")?,
        protocol: row.text("protocol")?,
        rule: row.text("rule")?,
        acl: row.text("acl")?,
        denied_tuples: row.int("denied_tuples")?,
        first_denied: row.time_or_null("first_denied")?,
        last_denied: row.time_or_null("last_denied")?,
        last_allowed_before: row.time_or_null("last_allowed_before")?,
        hint: hint.words(),
    })
}

fn by_rule(row: Row) -> Result<UnmatchedRule, SessionError> {
    Ok(UnmatchedRule {
        direction: row.named("direction")?,
        rule: row.text("rule")?,
        acl: row.text("acl")?,
        ports: row.int("ports")?,
        tuples: row.int("tuples")?,
        peers: row.int("peers")?,
    })
}
