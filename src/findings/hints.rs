//! Guesses at refused flows that no requirement asks for, by elimination.

use std::collections::BTreeMap;

use super::analysis::{Coverage, CoverageVerdict};
use crate::catalog::dependency;
use crate::engine::{ResultRows, Row, SessionError};
use crate::flow::ScopeDirection;

/// Best guess at a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hint {
    /// The private endpoint of the only required service on that port that was not seen working, by its id.
    Endpoint(String),
    /// The private endpoint of one of these required services, which were not seen working. Contains their ids.
    Endpoints(Vec<String>),
    /// The private endpoint of one of these optional services, which were not seen working. Contains their ids.
    Optional(Vec<String>),
    /// A row of another edition.
    OtherEdition { edition: String, id: String, purpose: String },
    /// Purposes that the edition names in prose.
    Notes(String),
    /// Azure's own host address.
    Platform,
    /// A call from another machine of the network.
    Neighbour,
    /// Several ports and services at once.
    Several,
    /// A backend, because nothing else fits.
    #[default]
    Backend,
}

impl Hint {
    /// Returns the id of the requirement if only one is left.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Endpoint(id) => Some(id),
            _ => None,
        }
    }

    /// Returns the guess in words.
    pub fn words(&self) -> String {
        let name = |id: &String| dependency(id).map_or(id.to_owned(), |known| known.name.clone());
        let names = |ids: &[String]| either(&ids.iter().map(name).collect::<Vec<_>>());
        match self {
            Self::Endpoint(id) => format!("probably the private endpoint of {}", name(id)),
            Self::Endpoints(ids) => format!("a private endpoint of {}, or a backend?", names(ids)),
            Self::Optional(ids) => format!("a private endpoint of {} (optional), or a backend?", names(ids)),
            Self::OtherEdition { edition, id, purpose } => {
                format!("edition {edition} has a row for it: {id} ({purpose})")
            }
            Self::Notes(notes) => format!("the edition names hosts on this port in its notes: {notes}"),
            Self::Platform => "Azure's own host, the platform's agent and probes".to_owned(),
            Self::Neighbour => "another machine of the network".to_owned(),
            Self::Several => "several ports and services".to_owned(),
            Self::Backend => "a backend?".to_owned(),
        }
    }
}

/// Returns the hints by their numbers. `places` has the direction and subnet per number, and other numbers are left
/// out. `coverage` shows which services were seen working.
pub fn hints(
    rows: &ResultRows,
    coverage: &[Coverage],
    places: &BTreeMap<i64, (ScopeDirection, String)>,
) -> Result<BTreeMap<i64, Hint>, SessionError> {
    let mut hints = BTreeMap::new();
    for row in rows.rows() {
        let number = row.int("nr")?;
        if let Some((direction, subnet)) = places.get(&number) {
            hints.insert(number, hint(row, coverage, *direction, subnet)?);
        }
    }
    Ok(hints)
}

/// Returns the most specific guess.
fn hint(row: Row, coverage: &[Coverage], direction: ScopeDirection, subnet: &str) -> Result<Hint, SessionError> {
    if row.flag_or_null("is_platform")? == Some(true) {
        return Ok(Hint::Platform);
    }
    let mut required = left(row.text_or_null("required")?, coverage, subnet);
    if required.len() == 1 {
        return Ok(Hint::Endpoint(required.remove(0)));
    }
    let optional = left(row.text_or_null("optional")?, coverage, subnet);
    Ok(match (row.text_or_null("edition")?, row.text_or_null("notes")?) {
        _ if !required.is_empty() => Hint::Endpoints(required),
        _ if !optional.is_empty() => Hint::Optional(optional),
        (Some(edition), _) => Hint::OtherEdition { edition, id: row.text("id")?, purpose: row.text("purpose")? },
        (None, Some(notes)) => Hint::Notes(notes),
        (None, None) if direction == ScopeDirection::Inbound => Hint::Neighbour,
        (None, None) => Hint::Backend,
    })
}

/// Returns the services of a list that were not seen working. The others are ruled out, because their traffic is
/// elsewhere.
fn left(ids: Option<String>, coverage: &[Coverage], subnet: &str) -> Vec<String> {
    let is_left = |id: &&str| {
        let row = coverage.iter().find(|row| row.requirement == **id && row.subnet == subnet);
        row.is_some_and(|row| {
            !matches!(row.verdict, CoverageVerdict::Allowed | CoverageVerdict::Partial | CoverageVerdict::Recovered)
        })
    };
    ids.iter().flat_map(|ids| ids.split(',')).filter(is_left).map(str::to_owned).collect()
}

/// Joins names: `a, b or c`.
fn either(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
