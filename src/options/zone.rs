//! The time zone of a run.

use std::str::FromStr;

use arrow::array::timezone::Tz;

/// A time zone in which times without an offset are read, and in which times are shown.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Name in the time zone database, or an offset such as `+02:00`.
    pub name: String,
    /// Rules of the zone.
    pub rules: Tz,
}

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone '{0}': write one like UTC, Europe/Berlin or +02:00")]
pub struct ZoneError(String);

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        let rules = name.parse().map_err(|_| ZoneError(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), rules })
    }
}

impl Default for Zone {
    fn default() -> Self {
        let rules = "UTC".parse().expect("the database has UTC");
        Self { name: "UTC".to_owned(), rules }
    }
}

impl Zone {
    /// Returns whether the zone is UTC by its name.
    pub fn is_utc(&self) -> bool {
        ["utc", "etc/utc", "z"].contains(&self.name.to_ascii_lowercase().as_str())
    }

    /// Returns the zone that the variable `TZ` names. `None` if it names none, such as a rule like `CET-1CEST`.
    pub fn of_variable(value: &str) -> Option<Self> {
        value.trim_start_matches(':').parse().ok()
    }
}
