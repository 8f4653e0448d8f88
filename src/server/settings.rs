//! Settings of one connection, such as its time zone. Clients of PostgreSQL set them and ask for them.
//!
//! No setting reaches another connection, and none but the time zone and the timeout changes what a query does.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::timezone::Tz;

use super::error::{Fault, code};

/// Settings that a client may see, with their defaults. Clients are told of changes to those that are reported.
const KNOWN: [(&str, &str); 30] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C.UTF-8"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
];

/// Version of PostgreSQL whose behaviour clients may expect, and ours.
pub const SERVER_VERSION: &str = concat!("16.6 (flowgap ", env!("CARGO_PKG_VERSION"), ")");

/// Settings that PostgreSQL reports to its clients, as it spells them.
const REPORTED: [&str; 14] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "search_path",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// Settings with one possible value, in lower case.
const FIXED: [(&str, &[&str]); 8] = [
    ("client_encoding", &["utf8", "utf-8", "unicode"]),
    ("standard_conforming_strings", &["on", "true", "1", "yes"]),
    ("default_transaction_read_only", &["on", "true", "1", "yes", "off", "false", "0", "no"]),
    ("server_version", &[]),
    ("server_version_num", &[]),
    ("server_encoding", &[]),
    ("is_superuser", &[]),
    ("session_authorization", &[]),
];

/// Limits on the names and values that a connection may keep.
const MOST: usize = 100;
const MOST_OF_A_VALUE: usize = 1024;

/// Settings of one connection.
#[derive(Debug)]
pub struct Settings {
    values: BTreeMap<String, String>,
    /// Values that RESET restores: those of the start of the connection.
    first: BTreeMap<String, String>,
    most: Duration,
}

impl Settings {
    /// Returns the settings of a new connection of `user`. A statement may run for at most `most`.
    pub fn new(user: &str, most: Duration) -> Self {
        let mut values: BTreeMap<String, String> =
            KNOWN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        values.insert("session_authorization".to_owned(), user.to_owned());
        Self { first: values.clone(), values, most }
    }

    /// Makes the values of now those that RESET restores.
    pub fn begin(&mut self) {
        self.first = self.values.clone();
    }

    /// Sets a value. Returns the name and value to report to the client, if it is to know.
    pub fn set(&mut self, name: &str, value: &str) -> Result<Option<(&'static str, String)>, Fault> {
        let name = name.to_lowercase();
        if name == "datafusion.execution.time_zone" || name == "time zone" {
            return self.set("timezone", value);
        }
        let is_known = self.values.contains_key(&name);
        if name.starts_with("datafusion.") || !is_known && !is_plain(&name) {
            let message = format!("the setting {name} cannot be changed here");
            return Err(Fault::new(code::UNKNOWN_OBJECT, message));
        }
        if value.len() > MOST_OF_A_VALUE || !is_known && self.values.len() >= KNOWN.len() + MOST {
            return Err(Fault::new(code::LIMIT_EXCEEDED, "there are too many settings, or one is too long"));
        }
        // Some clients send quotes along.
        let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
        let value = self.checked(&name, value)?;
        self.values.insert(name.clone(), value.clone());
        Ok(reported(&name).map(|name| (name, value)))
    }

    fn checked(&self, name: &str, value: &str) -> Result<String, Fault> {
        let wrong = |hint: &str| {
            let message = format!("invalid value for the setting {name}: {value}");
            Err(Fault::new(code::INVALID_VALUE, message).hint(hint))
        };
        if let Some((_, possible)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            if !possible.contains(&value.to_lowercase().as_str()) {
                return wrong("the server has one value for it");
            }
            return Ok(self.values.get(name).cloned().unwrap_or_default());
        }
        match name {
            "timezone" if value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local") => {
                Ok("UTC".to_owned())
            }
            "timezone" => match zone(value) {
                Some(zone) => Ok(zone),
                None => wrong("write one like UTC, Europe/Berlin or +02:00"),
            },
            "datestyle" if !value.to_lowercase().split(',').any(|part| part.trim() == "iso") => {
                // Orders of day and month alone leave the style as it is.
                match value.to_lowercase().as_str() {
                    "mdy" | "dmy" | "ymd" => Ok(format!("ISO, {}", value.to_uppercase())),
                    _ => wrong("dates are written as ISO 8601 has them"),
                }
            }
            "statement_timeout" => match milliseconds(value) {
                Some(time) => Ok(time.to_string()),
                None => wrong("write ms, or a time such as 30s"),
            },
            _ => Ok(value.to_owned()),
        }
    }

    /// Returns a value.
    pub fn show(&self, name: &str) -> Result<String, Fault> {
        let name = match name.to_lowercase().as_str() {
            "time zone" | "time.zone" => "timezone".to_owned(),
            "transaction isolation level" | "transaction.isolation.level" => "transaction_isolation".to_owned(),
            "session authorization" | "session.authorization" => "session_authorization".to_owned(),
            name => name.to_owned(),
        };
        match (self.values.get(&name), name.as_str()) {
            (Some(time), "statement_timeout") if time != "0" => Ok(format!("{time}ms")),
            (Some(value), _) => Ok(value.clone()),
            (None, _) => {
                Err(Fault::new(code::UNKNOWN_OBJECT, format!("unrecognized configuration parameter \"{name}\"")))
            }
        }
    }

    /// Restores a value, or all of them. Returns what to report.
    pub fn reset(&mut self, name: Option<&str>) -> Result<Vec<(&'static str, String)>, Fault> {
        let before = self.values.clone();
        match name.map(str::to_lowercase) {
            None => self.values = self.first.clone(),
            Some(name) => {
                let name = if name == "time zone" { "timezone".to_owned() } else { name };
                match self.first.get(&name) {
                    Some(first) => _ = self.values.insert(name, first.clone()),
                    None if self.values.remove(&name).is_some() || is_plain(&name) => {}
                    None => {
                        let message = format!("unrecognized configuration parameter \"{name}\"");
                        return Err(Fault::new(code::UNKNOWN_OBJECT, message));
                    }
                }
            }
        }
        let changed = self.reports().filter(|(name, value)| before.get(&name.to_lowercase()) != Some(value));
        Ok(changed.collect())
    }

    /// Returns the names and values that a client is told at the start.
    pub fn reports(&self) -> impl Iterator<Item = (&'static str, String)> {
        REPORTED.into_iter().filter_map(|name| Some((name, self.values.get(&name.to_lowercase())?.clone())))
    }

    /// Returns every name and value.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the time zone.
    pub fn time_zone(&self) -> &str {
        self.values.get("timezone").map_or("UTC", String::as_str)
    }

    /// Returns how long a statement may run: the server's limit, or less if the client asks for less.
    pub fn timeout(&self) -> Duration {
        let own = self.values.get("statement_timeout").and_then(|time| time.parse().ok()).unwrap_or(0);
        if own == 0 { self.most } else { self.most.min(Duration::from_millis(own)) }
    }
}

fn reported(name: &str) -> Option<&'static str> {
    REPORTED.into_iter().find(|reported| reported.eq_ignore_ascii_case(name))
}

/// Returns whether a name may be one of PostgreSQL's, or of an extension's.
fn is_plain(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    name.len() <= 63 && name.split('.').count() <= 2 && name.split('.').all(is_word)
}

/// Returns the zone as the engine spells it.
fn zone(text: &str) -> Option<String> {
    // PostgreSQL also takes hours, such as 2 or -5.5.
    if let Ok(hours) = text.parse::<f64>() {
        let minutes = (hours * 60.0) as i32;
        let is_possible = hours.abs() <= 14.0;
        let sign = if minutes < 0 { '-' } else { '+' };
        return is_possible.then(|| format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60));
    }
    let known = ["UTC", "GMT", "Etc/UTC"].into_iter().find(|known| known.eq_ignore_ascii_case(text));
    let text = known.unwrap_or(text);
    text.parse::<Tz>().is_ok().then(|| text.to_owned())
}

fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("ann", Duration::from_secs(60))
    }

    #[test]
    fn values_are_set_shown_and_reset() {
        let mut settings = settings();
        assert_eq!(
            settings.set("TimeZone", "Europe/Berlin").ok(),
            Some(Some(("TimeZone", "Europe/Berlin".to_owned())))
        );
        assert_eq!(settings.show("time zone").ok(), Some("Europe/Berlin".to_owned()));
        assert_eq!(settings.set("extra_float_digits", "3").ok(), Some(None));
        assert_eq!(settings.set("my.name", "x").ok(), Some(None));
        assert!(settings.show("my.other").is_err());
        assert_eq!(settings.reset(None).ok(), Some(vec![("TimeZone", "UTC".to_owned())]));
        for (name, value) in [
            ("timezone", "Nowhere/Town"),
            ("client_encoding", "LATIN1"),
            ("server_version", "9"),
            ("datestyle", "German"),
            ("datafusion.runtime.memory_limit", "1G"),
            ("a b", "c"),
            ("statement_timeout", "soon"),
        ] {
            assert!(settings.set(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn a_client_only_shortens_the_timeout() {
        let mut settings = settings();
        for (asked, given) in [("0", 60_000), ("2s", 2_000), ("250", 250), ("10min", 60_000)] {
            settings.set("statement_timeout", asked).expect("a time");
            assert_eq!(settings.timeout(), Duration::from_millis(given), "{asked}");
        }
    }
}
