//! The port table: which ports API Management needs, in every edition that Microsoft published.
//!
//! `requirements.csv` is beside this file. Its column `source_document` names the page and commit of each row; the
//! columns `printed_*` have the words of that page where they differ. `editions.csv` has the dates of the editions.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Tag;
use crate::flow::Protocol;
use crate::names::{UnknownName, names};
use crate::net::{PortSet, PortSetError};

const BUILT_IN: &str = include_str!("requirements.csv");
/// Ports of general web traffic.
const SHARED_PORTS: [u16; 2] = [80, 443];
const EDITIONS: &str = include_str!("editions.csv");

/// All editions, in the order of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    rows: Vec<Requirement>,
    editions: Vec<EditionHead>,
}

/// Identity, date and summary of an edition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditionHead {
    /// Id of the edition, such as `2026-04-30`.
    #[serde(rename = "edition")]
    pub id: String,
    /// Date as printed on the page, `2026-04-30`; empty in a user's own table.
    pub date: String,
    /// Instances that the edition is for.
    pub generation: String,
    /// Changes since the edition before.
    pub summary: String,
}

/// One dated row. Rows with `analyzed` false are notes, which match no flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Id of the edition.
    pub edition: String,
    /// Id of the dependency, equal in all editions.
    pub id: String,
    /// False for a note.
    pub analyzed: bool,
    /// Direction of its flows.
    pub direction: RowDirection,
    /// Tag of the initiators.
    pub source: Tag,
    /// Tag of the peers.
    pub destination: Tag,
    /// Destination ports as published, for reports.
    pub ports: String,
    /// Source ports as published, for reports.
    pub printed_source_ports: String,
    /// Destination ports.
    pub destination_ports: PortSet,
    /// Source ports.
    pub source_ports: PortSet,
    /// Protocols; never empty.
    pub protocols: Vec<Protocol>,
    /// Modes of an instance that the row applies to.
    pub vnet_mode: RowMode,
    /// Degree to which an instance needs it.
    pub necessity: Necessity,
    /// Impact in thousandths: 950 means that an instance is nearly unusable without it.
    pub impact: u16,
    /// Purpose as published.
    pub purpose: String,
    /// Condition under which a conditional row applies; may be empty.
    pub condition: String,
}

/// A way in which a flow can match a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Protocol of the flow.
    pub protocol: Protocol,
    /// Source ports of the flow.
    pub source_ports: PortSet,
    /// True if the match follows the correction of a later edition instead of this edition.
    pub corrected: bool,
}

/// Direction of a row as the instance sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowDirection {
    /// Towards the instance.
    Inbound,
    /// From the instance.
    Outbound,
    /// Both directions, between interfaces of the network.
    Both,
    /// No direction: the row states that a rule is not needed.
    None,
}

/// Modes that a row applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowMode {
    /// Only external mode.
    External,
    /// Only internal mode.
    Internal,
    /// Both modes.
    Both,
}

/// Mode in which an instance is joined to its virtual network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceMode {
    /// Reachable from the Internet.
    External,
    /// Reachable only from the virtual network.
    Internal,
}

/// Degree to which an instance needs a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Necessity {
    /// Always needed.
    Required,
    /// Needed under the condition of the row.
    Conditional,
    /// Not needed for operation.
    Optional,
}

/// Reason why a port table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The table is not valid CSV.
    #[error("the port table cannot be read: {0}")]
    Csv(#[from] csv::Error),
    /// The table lacks a required column.
    #[error(
        "the port table lacks the column '{0}': required are id, direction, source, destination, destination_ports, protocol"
    )]
    Column(&'static str),
    /// The table has no analyzed row.
    #[error("the port table has no row to analyze")]
    Empty,
    /// A cell is invalid.
    #[error("port table row {row}, column '{column}': {reason}")]
    Cell {
        /// Number of the row, from 2, because the header is row 1.
        row: u64,
        /// Name of the column.
        column: &'static str,
        /// Reason why the cell is invalid.
        reason: String,
    },
    /// The table has no edition with this id.
    #[error("the port table has no edition '{given}': known editions are {known}")]
    UnknownEdition {
        /// Id as given.
        given: String,
        /// Known ids, separated by commas.
        known: String,
    },
}

/// A row as written. In a user's table, some columns may be missing.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    edition: String,
    id: String,
    #[serde(default)]
    analyzed: String,
    direction: String,
    source: String,
    #[serde(default)]
    source_ports: String,
    destination: String,
    destination_ports: String,
    protocol: String,
    #[serde(default)]
    vnet_mode: String,
    #[serde(default)]
    necessity: String,
    #[serde(default)]
    impact: String,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    condition: String,
}

/// Columns that every table must have.
const NEEDED: [&str; 6] = ["id", "direction", "source", "destination", "destination_ports", "protocol"];

/// Returns the text of a cell, or the default of an empty cell or missing column.
fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

impl Catalog {
    /// Edition used when none is named.
    pub const NEWEST: &'static str = "2026-04-30";
    /// Edition of rows that name none.
    pub const UNNAMED: &'static str = "own";

    /// Returns the built-in table. An error here fails a test and never reaches a user.
    pub fn built_in() -> Result<Self, CatalogError> {
        let editions: Result<Vec<EditionHead>, csv::Error> = reader(EDITIONS).into_deserialize().collect();
        Ok(Self { editions: editions?, ..Self::from_csv(BUILT_IN)? })
    }

    /// Parses a table with the columns of the built-in `requirements.csv`. Only the six `NEEDED` columns are required.
    /// By default, any source port and both modes match, a row is required, and its impact follows from that. Rows
    /// count from 2, after the header.
    pub fn from_csv(text: &str) -> Result<Self, CatalogError> {
        let mut csv = reader(text.trim_start_matches('\u{feff}'));
        let headers = csv.headers()?.clone();
        if let Some(missing) = NEEDED.into_iter().find(|needed| !headers.iter().any(|header| header == *needed)) {
            return Err(CatalogError::Column(missing));
        }
        let mut seen = HashSet::new();
        let mut rows: Vec<Requirement> = Vec::new();
        for (nr, raw) in csv.deserialize().enumerate() {
            let row = nr as u64 + 2;
            let requirement = Requirement::from_raw(raw?, row)?;
            if !seen.insert((requirement.edition.clone(), requirement.id.clone())) {
                let reason = format!("'{}' occurs twice in edition '{}'", requirement.id, requirement.edition);
                return Err(CatalogError::Cell { row, column: "id", reason });
            }
            rows.push(requirement);
        }
        if !rows.iter().any(|row| row.analyzed) {
            return Err(CatalogError::Empty);
        }
        let mut editions: Vec<EditionHead> = Vec::new();
        for row in &rows {
            if !editions.iter().any(|known| known.id == row.edition) {
                let none = String::new;
                editions.push(EditionHead {
                    id: row.edition.clone(),
                    date: none(),
                    generation: none(),
                    summary: none(),
                });
            }
        }
        Ok(Self { rows, editions })
    }

    /// Returns all rows in table order, including notes.
    pub fn rows(&self) -> &[Requirement] {
        &self.rows
    }

    /// Returns the editions in table order.
    pub fn editions(&self) -> &[EditionHead] {
        &self.editions
    }

    /// Returns the edition used when none is named: the newest built-in one, or the only one of a user's table.
    pub fn default_edition(&self) -> Option<&str> {
        let newest = self.editions.iter().find(|edition| edition.id == Self::NEWEST);
        let only = self.editions.first().filter(|_| self.editions.len() == 1);
        newest.or(only).map(|edition| edition.id.as_str())
    }

    /// Returns the ways to match `row`. A row with source ports also matches as in the next edition that lists the
    /// dependency without them. The restriction was a mistake in the document.
    pub fn matches(&self, row: &Requirement) -> Vec<Match> {
        let printed = row.protocols.iter().map(|&protocol| Match {
            protocol,
            source_ports: row.source_ports.clone(),
            corrected: false,
        });
        let later = (!row.source_ports.is_all())
            .then(|| self.rows.iter().skip_while(|r| r.edition != row.edition))
            .and_then(|mut rows| rows.find(|r| r.id == row.id && r.source_ports.is_all()));
        let corrected = later.into_iter().flat_map(|later| &later.protocols).map(|&protocol| Match {
            protocol,
            source_ports: PortSet::all(),
            corrected: true,
        });
        printed.chain(corrected).collect()
    }
}

impl Requirement {
    /// Returns the tag that must contain the other end of a flow.
    pub fn peer_tag(&self) -> &Tag {
        match self.direction {
            RowDirection::Inbound => &self.source,
            RowDirection::Outbound => &self.destination,
            RowDirection::Both | RowDirection::None => &Tag::VirtualNetwork,
        }
    }

    /// Returns whether the row applies in this mode. While the mode is unknown, every row applies.
    pub fn applies_in(&self, mode: Option<InstanceMode>) -> bool {
        match (self.vnet_mode, mode) {
            (RowMode::Both, _) | (_, None) => true,
            (RowMode::External, Some(mode)) => mode == InstanceMode::External,
            (RowMode::Internal, Some(mode)) => mode == InstanceMode::Internal,
        }
    }

    /// Returns whether almost only API Management uses its ports: the row is required, names the other end, and has
    /// ports other than web ports.
    pub fn is_identifying(&self) -> bool {
        let is_named = !self.destination_ports.is_all() && !self.own_ports().is_empty();
        self.necessity == Necessity::Required && *self.peer_tag() != Tag::Any && is_named
    }

    /// Returns its port ranges without general web ports.
    pub fn own_ports(&self) -> Vec<(u16, u16)> {
        let ranges = self.destination_ports.ranges().iter();
        ranges.filter(|(low, high)| low != high || !SHARED_PORTS.contains(low)).copied().collect()
    }

    /// Returns the ports and ranges that must be open, as published. Bracketed ones are optional.
    pub fn printed_ports(&self) -> Vec<String> {
        self.ports.split(';').map(str::trim).filter(|port| !port.starts_with('[')).map(str::to_owned).collect()
    }

    /// Returns the protocols joined by `+`.
    pub fn protocol_text(&self) -> String {
        self.protocols.iter().map(|p| p.name()).collect::<Vec<_>>().join("+")
    }

    fn from_raw(raw: Raw, row: u64) -> Result<Self, CatalogError> {
        let cell = |column, reason: String| CatalogError::Cell { row, column, reason };
        let filled = |column, text: &str| match text {
            "" => Err(cell(column, "it is empty".to_owned())),
            text => Ok(text.to_owned()),
        };
        let ports = |column, text: &str| text.parse::<PortSet>().map_err(|e: PortSetError| cell(column, e.to_string()));
        let tag = |column, text: &str| match filled(column, text)? {
            range if range.contains('/') => Err(cell(column, format!("'{range}' is not a service tag"))),
            name => Ok(Tag::from_name(&name)),
        };
        let analyzed =
            one_of(or(&raw.analyzed, "yes"), &[("yes", true), ("no", false)]).map_err(|e| cell("analyzed", e))?;
        let necessity =
            or(&raw.necessity, "required").parse::<Necessity>().map_err(|e| cell("necessity", e.to_string()))?;
        // Notes may name hosts and no port.
        let destination_ports = match raw.destination_ports.as_str() {
            "" if !analyzed => PortSet::from_ranges([]),
            text => ports("destination_ports", text)?,
        };
        let impact = match raw.impact.as_str() {
            "" => necessity.default_impact(),
            text => thousandths(text).ok_or_else(|| cell("impact", format!("'{text}' is not a number from 0 to 1")))?,
        };
        let protocols = [
            ("TCP", vec![Protocol::TCP]),
            ("UDP", vec![Protocol::UDP]),
            ("TCP+UDP", vec![Protocol::TCP, Protocol::UDP]),
        ];
        let id = filled("id", &raw.id)?;
        Ok(Self {
            analyzed,
            direction: raw.direction.parse().map_err(|e: UnknownName| cell("direction", e.to_string()))?,
            source: tag("source", &raw.source)?,
            destination: tag("destination", &raw.destination)?,
            source_ports: ports("source_ports", or(&raw.source_ports, "*"))?,
            destination_ports,
            protocols: one_of(&raw.protocol, &protocols).map_err(|e| cell("protocol", e))?,
            vnet_mode: or(&raw.vnet_mode, "both").parse().map_err(|e: UnknownName| cell("vnet_mode", e.to_string()))?,
            necessity,
            impact,
            edition: or(&raw.edition, Catalog::UNNAMED).to_owned(),
            printed_source_ports: or(&raw.source_ports, "*").to_owned(),
            purpose: or(&raw.purpose, &id).to_owned(),
            id,
            ports: raw.destination_ports,
            condition: raw.condition,
        })
    }
}

fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// Parses a number with at most three decimals into thousandths: `0.95` is 950.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.len() != 1 || !digits(whole) || decimals.len() > 3 || !digits(decimals) {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse().ok().filter(|&n| n <= 1000)
}

fn one_of<T: Clone>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone()).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("'{text}' is not one of {}", names.join(", "))
    })
}

names!(RowDirection { Inbound = "inbound", Outbound = "outbound", Both = "both", None = "none" });
names!(RowMode { External = "external", Internal = "internal", Both = "both" });
names!(InstanceMode { External = "external", Internal = "internal" });
names!(Necessity { Required = "required", Conditional = "conditional", Optional = "optional" });

impl Necessity {
    fn default_impact(self) -> u16 {
        match self {
            Necessity::Required => 800,
            Necessity::Conditional => 500,
            Necessity::Optional => 300,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::Edition;

    #[test]
    fn the_shipped_table_is_valid() {
        let catalog = Catalog::built_in().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(catalog.rows().len(), 510);
        let dated: Vec<&str> = catalog.editions().iter().map(|e| e.id.as_str()).collect();
        assert_eq!(dated.len(), 23);
        assert!(catalog.editions().iter().all(|e| !e.date.is_empty() && !e.generation.is_empty()));
        assert!(catalog.rows().iter().all(|r| dated.contains(&r.edition.as_str())));
        assert_eq!(catalog.rows().iter().filter(|r| r.analyzed).count(), 330);
        let catalog = Arc::new(catalog);
        let rows = |id| Edition::new(Arc::clone(&catalog), id).map(|edition| edition.rows().len());
        assert_eq!((rows("2016-12").ok(), rows(Catalog::NEWEST).ok()), (Some(14), Some(19)));
    }

    #[test]
    fn a_mistake_of_the_document_is_also_matched_as_corrected() {
        let catalog = Arc::new(Catalog::built_in().expect("valid"));
        let edition = Edition::new(Arc::clone(&catalog), "2016-12").expect("an edition");
        let rows = edition.rows();
        let cache = rows.iter().find(|r| r.id == "APIM-VNET-CACHE-INTERNAL").expect("printed");
        let ports: PortSet = "6381-6383".parse().expect("valid");
        let printed = Match { protocol: Protocol::UDP, source_ports: ports, corrected: false };
        let corrected = Match { protocol: Protocol::TCP, source_ports: PortSet::all(), corrected: true };
        assert_eq!(catalog.matches(cache), [printed, corrected]);
        assert!(rows.iter().filter(|r| r.id != cache.id).flat_map(|r| catalog.matches(r)).all(|m| !m.corrected));
    }

    #[test]
    fn a_wrong_cell_is_named() {
        let header = BUILT_IN.lines().next().expect("a header");
        let good = "e,A,yes,table,inbound,Internet,*,VirtualNetwork,443,TCP,both,required,1.0,p,,,,,";
        let check = |from: &str, to: &str, message: &str| {
            let text = format!("{header}\n{good}\n{}\n", good.replacen("e,A", "e,B", 1).replacen(from, to, 1));
            let error = Catalog::from_csv(&text).map(|_| ()).map_err(|e| e.to_string());
            assert_eq!(error, Err(message.to_owned()));
        };
        check(
            "inbound",
            "in",
            "port table row 3, column 'direction': 'in' is not one of inbound, outbound, both, none",
        );
        check(
            ",443,",
            ",4x3,",
            "port table row 3, column 'destination_ports': '4x3' is not a list of ports such as 443, 80;443, 6381-6383 or *",
        );
        check("1.0", "1.5", "port table row 3, column 'impact': '1.5' is not a number from 0 to 1");
        check("e,B", "e,A", "port table row 3, column 'id': 'A' occurs twice in edition 'e'");
        check("e,B", "e,", "port table row 3, column 'id': it is empty");
        check("Internet", "10.0.0.0/8", "port table row 3, column 'source': '10.0.0.0/8' is not a service tag");
    }

    #[test]
    fn a_table_of_ones_own_needs_six_columns() {
        let text = "\u{feff}id, direction ,source,destination,destination_ports,protocol\n\
                    LEDGER,outbound,VirtualNetwork,Storage,443; 8443,TCP\n";
        let catalog = Catalog::from_csv(text).expect("valid");
        assert_eq!(catalog.default_edition(), Some(Catalog::UNNAMED));
        let row = &catalog.rows()[0];
        assert_eq!((row.impact, row.vnet_mode, row.source_ports.is_all()), (800, RowMode::Both, true));
        assert_eq!(row.destination_ports.ranges(), [(443, 443), (8443, 8443)]);
        let error = |text: &str| Catalog::from_csv(text).map(|_| ()).map_err(|e| e.to_string());
        let lacks = "the port table lacks the column 'protocol': required are id, direction, source, destination, \
                     destination_ports, protocol";
        assert_eq!(error(&text.replace("protocol", "protocols")), Err(lacks.to_owned()));
        let header = text.lines().next().expect("a header");
        assert_eq!(error(&format!("{header}\n")), Err("the port table has no row to analyze".to_owned()));
    }
}
