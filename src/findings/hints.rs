//! What a refusal that no requirement asks for may be, by elimination.

use std::collections::BTreeMap;

use super::analysis::{Coverage, CoverageVerdict};
use crate::catalog::dependency;
use crate::engine::Table;

/// What a refusal may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hint {
    /// The private endpoint of the only required service on that port that was not seen working.
    Endpoint(String),
    /// The private endpoint of one of several; ids.
    Endpoints(Vec<String>),
    /// The private endpoint of optional services that were not seen working; ids.
    Optional(Vec<String>),
    /// A row of another edition.
    OtherEdition { edition: String, id: String, purpose: String },
    /// Purposes that the edition names in prose.
    Notes(String),
    /// Azure's own host address.
    Platform,
    /// Another machine of the network calls.
    Neighbour,
    /// Several of these at once.
    Several,
    #[default]
    Backend,
}

impl Hint {
    /// The hint of several refusals together.
    pub fn of_many() -> Self {
        Self::Several
    }

    /// The requirement that it comes down to.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Endpoint(id) => Some(id),
            _ => None,
        }
    }

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

/// Reads the hints by their numbers. `place` gives the direction and subnet of a number; `coverage` tells what was seen working.
pub fn hints<'a>(
    rows: &Table,
    coverage: &[Coverage],
    place: impl Fn(i64) -> Option<(&'a str, &'a str)>,
) -> BTreeMap<i64, Hint> {
    let of = |row| {
        let number = rows.int("nr", row)?;
        let (direction, subnet) = place(number)?;
        Some((number, hint(rows, row, coverage, direction, subnet)))
    };
    rows.rows().filter_map(of).collect()
}

/// The nearest explanation first.
fn hint(rows: &Table, row: usize, coverage: &[Coverage], direction: &str, subnet: &str) -> Hint {
    if rows.flag("is_platform", row) {
        return Hint::Platform;
    }
    // A service that was seen working has its traffic elsewhere.
    let left = |name: &str| -> Vec<String> {
        let is_left = |id: &&str| {
            let row = coverage.iter().find(|row| row.requirement == **id && row.subnet == subnet);
            row.is_some_and(|row| {
                !matches!(row.verdict, CoverageVerdict::Allowed | CoverageVerdict::Partial | CoverageVerdict::Recovered)
            })
        };
        rows.text(name, row).split(',').filter(is_left).map(str::to_owned).collect()
    };
    let text = |name: &str| rows.text(name, row);
    match (left("required"), left("optional")) {
        (mut required, _) if required.len() == 1 => Hint::Endpoint(required.remove(0)),
        (required, _) if !required.is_empty() => Hint::Endpoints(required),
        (_, optional) if !optional.is_empty() => Hint::Optional(optional),
        _ if !text("edition").is_empty() => {
            Hint::OtherEdition { edition: text("edition"), id: text("id"), purpose: text("purpose") }
        }
        _ if !text("notes").is_empty() => Hint::Notes(text("notes")),
        _ if direction == "inbound" => Hint::Neighbour,
        _ => Hint::Backend,
    }
}

/// `a, b or c`
fn either(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
