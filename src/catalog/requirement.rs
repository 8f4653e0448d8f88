//! The port table: which ports API Management needs, in every edition that Microsoft printed.
//!
//! `requirements.csv` lies beside this file. Its `source_document` column names the page, and its commit,
//! each row was taken from; `printed_*` hold that page's words where they differ.

use std::collections::HashSet;
use std::str::FromStr;

use serde::Deserialize;

use super::Tag;
use crate::flow::Protocol;
use crate::net::{PortSet, PortSetError};

const BUILT_IN: &str = include_str!("requirements.csv");

/// All editions, in the order of the file.
#[derive(Debug, Clone)]
pub struct Catalog {
    rows: Vec<Requirement>,
}

/// One dated row. Notes (`analyzed` false) are prose that no flow is matched with.
#[derive(Debug, Clone)]
pub struct Requirement {
    pub edition: String,
    pub id: String,
    pub analyzed: bool,
    pub direction: RowDirection,
    pub source: Tag,
    pub destination: Tag,
    /// As printed, for reports.
    pub ports: String,
    pub destination_ports: PortSet,
    pub source_ports: PortSet,
    pub protocols: Vec<Protocol>,
    pub vnet_mode: VnetMode,
    pub necessity: Necessity,
    /// Thousandths: 950 when an instance is nearly dead without it.
    pub impact: u16,
    pub purpose: String,
    pub condition: String,
}

/// A way for a flow to fit a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub protocol: Protocol,
    pub source_ports: PortSet,
    /// Not as the edition prints it, but as a later edition corrected it.
    pub corrected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowDirection {
    Inbound,
    Outbound,
    Both,
    /// States that a rule is not needed.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VnetMode {
    External,
    Internal,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Necessity {
    Required,
    Conditional,
    Optional,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the port table cannot be read: {0}")]
    Csv(#[from] csv::Error),
    #[error("port table row {row}, column '{column}': {reason}")]
    Cell { row: u64, column: &'static str, reason: String },
    #[error("there is no edition '{given}' of the port table; known are {known}")]
    UnknownEdition { given: String, known: String },
}

/// A row as written.
#[derive(Deserialize)]
struct Raw {
    edition: String,
    id: String,
    analyzed: String,
    direction: String,
    source: String,
    source_ports: String,
    destination: String,
    destination_ports: String,
    protocol: String,
    vnet_mode: String,
    necessity: String,
    impact: String,
    purpose: String,
    condition: String,
}

impl Catalog {
    /// The edition that counts when none is named.
    pub const NEWEST: &'static str = "2026-04-30";

    /// The table that is shipped. An error here fails a test, never a user.
    pub fn built_in() -> Result<Self, CatalogError> {
        Self::from_csv(BUILT_IN)
    }

    /// Columns as in the shipped `requirements.csv`; rows count from 2, behind the header.
    pub fn from_csv(text: &str) -> Result<Self, CatalogError> {
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        for (nr, raw) in csv::Reader::from_reader(text.as_bytes()).deserialize().enumerate() {
            let row = nr as u64 + 2;
            let requirement = Requirement::from_raw(raw?, row)?;
            if !seen.insert((requirement.edition.clone(), requirement.id.clone())) {
                let reason = format!("'{}' occurs twice in edition '{}'", requirement.id, requirement.edition);
                return Err(CatalogError::Cell { row, column: "id", reason });
            }
            rows.push(requirement);
        }
        Ok(Self { rows })
    }

    pub fn rows(&self) -> &[Requirement] {
        &self.rows
    }

    /// Ids of the editions, in the order of the table.
    pub fn editions(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.rows.iter().map(|r| r.edition.as_str()).filter(|e| seen.insert(*e)).collect()
    }

    /// The rows of one edition that flows are matched with.
    pub fn analyzed(&self, edition: &str) -> Result<Vec<&Requirement>, CatalogError> {
        if !self.rows.iter().any(|r| r.edition == edition) {
            let known = self.editions().join(", ");
            return Err(CatalogError::UnknownEdition { given: edition.to_owned(), known });
        }
        Ok(self.rows.iter().filter(|r| r.edition == edition && r.analyzed).collect())
    }

    /// The ways to fit `row`. A row that constrains source ports is also matched as the next edition that
    /// prints the same dependency without them has it: the constraint was a mistake of the document.
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
    /// The tag that the other end of a flow must be in.
    pub fn peer_tag(&self) -> &Tag {
        match self.direction {
            RowDirection::Inbound => &self.source,
            RowDirection::Outbound => &self.destination,
            RowDirection::Both | RowDirection::None => &Tag::VirtualNetwork,
        }
    }

    pub fn protocol_text(&self) -> String {
        self.protocols.iter().map(|p| p.name()).collect::<Vec<_>>().join("+")
    }

    fn from_raw(raw: Raw, row: u64) -> Result<Self, CatalogError> {
        let cell = |column, reason: String| CatalogError::Cell { row, column, reason };
        let ports = |column, text: &str| text.parse::<PortSet>().map_err(|e: PortSetError| cell(column, e.to_string()));
        let analyzed = one_of(&raw.analyzed, &[("yes", true), ("no", false)]).map_err(|e| cell("analyzed", e))?;
        let necessity = raw.necessity.parse::<Necessity>().map_err(|e| cell("necessity", e))?;
        // Prose that only annotates may name hosts and no port.
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
        Ok(Self {
            analyzed,
            direction: raw.direction.parse().map_err(|e| cell("direction", e))?,
            source: Tag::from_name(&raw.source),
            destination: Tag::from_name(&raw.destination),
            source_ports: ports("source_ports", &raw.source_ports)?,
            destination_ports,
            protocols: one_of(&raw.protocol, &protocols).map_err(|e| cell("protocol", e))?,
            vnet_mode: raw.vnet_mode.parse().map_err(|e| cell("vnet_mode", e))?,
            necessity,
            impact,
            edition: raw.edition,
            id: raw.id,
            ports: raw.destination_ports,
            purpose: raw.purpose,
            condition: raw.condition,
        })
    }
}

/// `0.95` is 950; at most three decimals.
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
        format!("'{text}' is none of {}", names.join(", "))
    })
}

macro_rules! named {
    ($type:ty, $($name:literal = $variant:ident),+) => {
        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                one_of(text, &[$(($name, Self::$variant)),+])
            }
        }

        impl $type {
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

named!(RowDirection, "inbound" = Inbound, "outbound" = Outbound, "both" = Both, "none" = None);
named!(VnetMode, "external" = External, "internal" = Internal, "both" = Both);
named!(Necessity, "required" = Required, "conditional" = Conditional, "optional" = Optional);

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
    use super::*;

    #[test]
    fn the_shipped_table_is_valid() {
        let catalog = Catalog::built_in().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(catalog.rows().len(), 510);
        assert_eq!(catalog.editions().len(), 23);
        assert_eq!(catalog.rows().iter().filter(|r| r.analyzed).count(), 330);
        let oldest = catalog.analyzed("2016-12").expect("an edition");
        assert_eq!((oldest.len(), catalog.analyzed(Catalog::NEWEST).expect("an edition").len()), (14, 19));
    }

    #[test]
    fn a_mistake_of_the_document_is_also_matched_as_corrected() {
        let catalog = Catalog::built_in().expect("valid");
        let rows = catalog.analyzed("2016-12").expect("an edition");
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
        check("inbound", "in", "port table row 3, column 'direction': 'in' is none of inbound, outbound, both, none");
        check(
            ",443,",
            ",4x3,",
            "port table row 3, column 'destination_ports': '4x3' is not a list of ports such as 443, 80;443, 6381-6383 or *",
        );
        check("1.0", "1.5", "port table row 3, column 'impact': '1.5' is not a number from 0 to 1");
        check("e,B", "e,A", "port table row 3, column 'id': 'A' occurs twice in edition 'e'");
    }
}
