//! Parses the faults file: takes its text and the port table, and returns the faults to plant. Knows neither addresses
//! nor tuples.

use serde_json::{Map, Value};

use super::addresses::Addresses;
use super::{Kind, Plan};
use crate::catalog::{Edition, Requirement, RowDirection, Tag};
use crate::flow::Protocol;
use crate::names::{UnknownName, names};

/// One entry of the file.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Kind of the fault.
    pub kind: FaultKind,
    /// Requirement whose flows are affected.
    pub requirement: Requirement,
    /// First hour, counted from the start of the archive.
    pub from_hour: u32,
    /// Hour after the last; > `from_hour`. `None` for the end of the archive.
    pub to_hour: Option<u32>,
    /// Rule that denies. For unanswered flows, the rule that allows, or `None` for the usual one.
    pub rule: Option<String>,
    /// Denied attempts per thousand, 1 to 999; only for partial faults.
    pub share: u32,
    /// Attempts per hour and interface of the instance.
    pub per_hour: u32,
}

/// Kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Every attempt is denied from an hour on.
    Blocked,
    /// A share of the attempts is denied.
    Partial,
    /// Denied for some hours, allowed before and after.
    Recovered,
    /// Attempts are allowed, but no packet comes back.
    Unanswered,
    /// Internet addresses are denied on the requirement's port, while healthy flows continue.
    Scanners,
    /// Denied by the NSG of the other end, and logged only there.
    FarEnd,
}

/// Reason why a faults file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The file is not a JSON array of objects.
    #[error("it is not a JSON array of faults: {0}")]
    Json(#[from] serde_json::Error),
    /// The file has more entries than allowed; the value is their number.
    #[error("it has {0} entries, and an archive can have at most {MOST_FAULTS}")]
    TooMany(usize),
    /// An entry is invalid, or does not fit the archive.
    #[error("entry {entry}, '{key}': {reason}")]
    Entry {
        /// Number of the entry, from 1.
        entry: usize,
        /// Key in the entry.
        key: String,
        /// Reason why its value is invalid.
        reason: String,
    },
}

const KEYS: [&str; 7] = ["fault", "requirement", "from_hour", "to_hour", "rule", "share", "per_hour"];
const MOST_FAULTS: usize = 1_000;
const MOST_PER_HOUR: u64 = 100_000;
/// Limit for all interfaces together, because one far end logs them all.
const MOST_PER_HOUR_FAR: u64 = 1_000_000;

names!(FaultKind {
    Blocked = "blocked",
    Partial = "partial",
    Recovered = "recovered",
    Unanswered = "unanswered",
    Scanners = "scanners",
    FarEnd = "far-end",
});

impl Fault {
    /// Reads the whole file; entries count from 1. Requirements are the analyzed rows of `edition`.
    pub fn parse_file(text: &str, edition: &Edition) -> Result<Vec<Self>, FaultError> {
        let entries: Vec<Map<String, Value>> = serde_json::from_str(text)?;
        if entries.len() > MOST_FAULTS {
            return Err(FaultError::TooMany(entries.len()));
        }
        entries.iter().enumerate().map(|(at, keys)| Self::parse(Entry { nr: at + 1, keys }, edition.rows())).collect()
    }

    fn parse(entry: Entry, rows: &[Requirement]) -> Result<Self, FaultError> {
        if let Some(unknown) = entry.keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(entry.error(unknown, format!("there is no such key: known keys are {}", KEYS.join(", "))));
        }
        let name = entry.needed_text("fault")?;
        let kind: FaultKind = name.parse().map_err(|e: UnknownName| entry.error("fault", e.to_string()))?;
        let id = entry.needed_text("requirement")?;
        let Some(requirement) = rows.iter().find(|row| row.id == id) else {
            let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            return Err(entry.error("requirement", format!("'{id}' is not one of {}", ids.join(", "))));
        };
        fits(kind, requirement).map_err(|reason| entry.error("requirement", reason))?;
        let from_hour = entry.number("from_hour", 0, u64::from(Plan::MOST_HOURS))?.unwrap_or(0);
        let to_hour = entry.number("to_hour", 1, u64::from(Plan::MOST_HOURS))?;
        if to_hour.is_some_and(|to| to <= from_hour) {
            return Err(entry.error("to_hour", format!("it must be more than from_hour, which is {from_hour}")));
        }
        if kind == FaultKind::Recovered && to_hour.is_none() {
            return Err(entry.error("to_hour", "a recovered fault needs it".to_owned()));
        }
        Ok(Self {
            kind,
            requirement: requirement.clone(),
            from_hour,
            to_hour,
            rule: entry.rule(kind, requirement)?,
            share: entry.share(kind)?,
            per_hour: entry.number("per_hour", 1, MOST_PER_HOUR)?.unwrap_or(60),
        })
    }

    /// Checks a fault against the plan of the archive.
    pub(super) fn check(&self, entry: usize, plan: &Plan, addresses: &Addresses) -> Result<(), FaultError> {
        let error = |key: &str, reason: String| Err(FaultError::Entry { entry, key: key.to_owned(), reason });
        let last = plan.hours - 1;
        if self.from_hour > last {
            return error("from_hour", format!("the last hour of the archive is {last}"));
        }
        let latest_end = if self.kind == FaultKind::Recovered { last } else { plan.hours };
        if self.to_hour.is_some_and(|to| to > latest_end) {
            return error("to_hour", format!("it can be at most {latest_end} in an archive of {} hours", plan.hours));
        }
        if self.kind == FaultKind::Unanswered && plan.kind == Kind::Nsg1 {
            return error("fault", "logs of kind nsg1 count no packets, so they cannot show it".to_owned());
        }
        if self.kind == FaultKind::FarEnd && u64::from(self.per_hour) * u64::from(plan.interfaces) > MOST_PER_HOUR_FAR {
            return error("per_hour", format!("for all interfaces together it can be at most {MOST_PER_HOUR_FAR}"));
        }
        match self.requirement.peer_tag() {
            Tag::Named(name) if self.kind != FaultKind::Scanners && !addresses.knows(name) => {
                error("requirement", format!("the service-tag file has no IPv4 address that belongs only to {name}"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_active(&self, hour: u32) -> bool {
        hour >= self.from_hour && self.to_hour.is_none_or(|to| hour < to)
    }

    /// Returns whether the ordinary flows of its requirement are missing.
    pub(super) fn mutes(&self, hour: u32) -> bool {
        match self.kind {
            FaultKind::Blocked | FaultKind::FarEnd => hour >= self.from_hour,
            FaultKind::Partial | FaultKind::Recovered | FaultKind::Unanswered => self.is_active(hour),
            FaultKind::Scanners => false,
        }
    }
}

/// Checks that this kind of fault can be planted for the requirement.
fn fits(kind: FaultKind, row: &Requirement) -> Result<(), String> {
    let direction = row.direction;
    let needed = match kind {
        FaultKind::Unanswered if !row.protocols.contains(&Protocol::TCP) => Some("a TCP requirement"),
        FaultKind::Unanswered if direction != RowDirection::Outbound => Some("an outbound requirement"),
        FaultKind::FarEnd if !matches!(direction, RowDirection::Outbound | RowDirection::Both) => {
            Some("an outbound requirement")
        }
        FaultKind::Scanners if direction != RowDirection::Inbound => Some("an inbound requirement"),
        _ if direction == RowDirection::None => Some("a requirement with a direction"),
        _ if !row.source_ports.is_all() => Some("a requirement for any source port"),
        _ => None,
    };
    needed.map_or(Ok(()), |needed| Err(format!("'{}' does not fit: {} needs {needed}", row.id, kind.name())))
}

struct Entry<'a> {
    /// Number of the entry, from 1.
    nr: usize,
    keys: &'a Map<String, Value>,
}

impl Entry<'_> {
    fn error(&self, key: &str, reason: String) -> FaultError {
        FaultError::Entry { entry: self.nr, key: key.to_owned(), reason }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, FaultError> {
        match self.keys.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.error(key, format!("{other} is not a non-empty string"))),
        }
    }

    fn needed_text(&self, key: &str) -> Result<&str, FaultError> {
        self.text(key)?.ok_or_else(|| self.error(key, "it is missing".to_owned()))
    }

    /// Parses a whole number from `least` to `most`; `most` must fit into u32.
    fn number(&self, key: &str, least: u64, most: u64) -> Result<Option<u32>, FaultError> {
        let Some(value) = self.keys.get(key) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number)).map(|number| number as u32);
        number.map(Some).ok_or_else(|| self.error(key, format!("{value} is not a whole number from {least} to {most}")))
    }

    fn rule(&self, kind: FaultKind, row: &Requirement) -> Result<Option<String>, FaultError> {
        if let Some(rule) = self.text("rule")? {
            return Ok(Some(rule.to_owned()));
        }
        Ok(match (kind, row.direction) {
            (FaultKind::Unanswered, _) => None,
            (FaultKind::FarEnd, _) | (_, RowDirection::Inbound) => Some("UserRule_deny-all-inbound".to_owned()),
            _ => Some("UserRule_deny-all-outbound".to_owned()),
        })
    }

    fn share(&self, kind: FaultKind) -> Result<u32, FaultError> {
        let Some(value) = self.keys.get("share") else { return Ok(500) };
        if kind != FaultKind::Partial {
            return Err(self.error("share", "only a partial fault has it".to_owned()));
        }
        let thousandths = value.as_f64().map(|share| (share * 1000.0).round());
        match thousandths.filter(|share| (1.0..=999.0).contains(share)) {
            Some(share) => Ok(share as u32),
            None => Err(self.error("share", format!("{value} is not a number from 0.001 to 0.999"))),
        }
    }
}
