//! Names of addresses that the user gives: a CSV file of prefixes and names, or JSON that az prints.

mod csv;
mod error;
mod json;

pub use error::AddressNamesError;

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::text_file;
use crate::net::{MapBounds, Prefix, PrefixMap, number, parse_ip};

/// Maximum number of names over all files.
const MOST_NAMES: usize = 200_000;
/// Maximum length of a name in characters. Host names are not longer.
const LONGEST: usize = 253;
const BOUNDS: MapBounds = MapBounds { depth: 128, values: 8_000_000 };

/// Names of prefixes. An address has the name of its longest prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<Entry>", try_from = "Vec<Entry>")]
pub struct AddressNames {
    entries: Vec<Entry>,
    /// Maps an address to the indices of its entries, the longest prefix first.
    map: PrefixMap<u32>,
}

/// A prefix and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    prefix: Prefix,
    name: String,
}

impl From<AddressNames> for Vec<Entry> {
    fn from(names: AddressNames) -> Self {
        names.entries
    }
}

impl TryFrom<Vec<Entry>> for AddressNames {
    type Error = AddressNamesError;

    fn try_from(entries: Vec<Entry>) -> Result<Self, AddressNamesError> {
        if entries.len() > MOST_NAMES {
            return Err(AddressNamesError::TooMany);
        }
        let numbered = entries.iter().zip(0..).map(|(entry, place)| (entry.prefix, place));
        let map = PrefixMap::bounded(numbered, BOUNDS).ok_or(AddressNamesError::Overlap)?;
        Ok(Self { entries, map })
    }
}

impl Default for AddressNames {
    fn default() -> Self {
        Self { entries: Vec::new(), map: PrefixMap::new([]) }
    }
}

impl AddressNames {
    /// Reads a file of at most 64 MiB, and adds its names. A prefix that already has a name keeps it.
    pub fn add_file(self, path: &Path) -> Result<Self, AddressNamesError> {
        self.add_text(&text_file::decode(&text_file::read(path)?)?)
    }

    /// Adds the names of the content of a file, as [`Self::add_file`] does.
    pub fn add_text(self, text: &str) -> Result<Self, AddressNamesError> {
        let mut entries = self.entries;
        match text.trim_start().starts_with(['{', '[']) {
            true => json::read(text, &mut entries)?,
            false => csv::read(text, &mut entries)?,
        }
        entries.try_into()
    }

    /// Returns whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the name of an address: that of the longest prefix, and among equal prefixes the first.
    pub fn name(&self, ip: IpAddr) -> Option<&str> {
        self.at(number(ip))
    }

    /// Returns the name of an address as text; `None` if the text is not an address.
    pub fn name_of_text(&self, ip: &str) -> Option<&str> {
        self.name(parse_ip(ip)?)
    }

    /// Returns the name that all addresses of a block have, as far as its ends show.
    pub fn name_of_block(&self, block: Prefix) -> Option<&str> {
        let [first, last] = [block.first(), block.last()].map(|number| self.at(number));
        first.filter(|_| first == last)
    }

    fn at(&self, number: u128) -> Option<&str> {
        let place = self.map.set(self.map.find_number(number)).first()?;
        Some(self.entries.get(*place as usize)?.name.as_str())
    }
}

/// Returns the entry of a prefix and a name. `place` is for errors, such as `line 3`.
fn entry(prefix: &str, name: &str, place: &dyn Fn() -> String) -> Result<Entry, AddressNamesError> {
    let prefix = prefix.parse::<Prefix>().map_err(|error| AddressNamesError::prefix(place(), error))?;
    let name = name.trim();
    match name.chars().count() {
        0 => Err(AddressNamesError::NoName { place: place(), prefix }),
        1..=LONGEST => Ok(Entry { prefix, name: name.to_owned() }),
        _ => Err(AddressNamesError::LongName { place: place() }),
    }
}

/// Adds an entry, unless there are too many.
fn push(entries: &mut Vec<Entry>, entry: Entry) -> Result<(), AddressNamesError> {
    if entries.len() >= MOST_NAMES {
        return Err(AddressNamesError::TooMany);
    }
    entries.push(entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> AddressNames {
        AddressNames::default().add_text(text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn check(text: &str, expected: &[(&str, Option<&str>)]) {
        let names = load(text);
        for (ip, name) in expected {
            assert_eq!(names.name_of_text(ip), *name, "{ip} in {text}");
        }
    }

    #[test]
    fn the_longest_prefix_names_an_address() {
        let table =
            "prefix,name\n192.0.2.0/24,lab\n192.0.2.16/28,\"web, front\"\n192.0.2.17,gateway\n2001:db8::/32,six\n";
        let expected = [
            ("192.0.2.1", Some("lab")),
            ("192.0.2.18", Some("web, front")),
            ("192.0.2.17", Some("gateway")),
            ("::ffff:192.0.2.17", Some("gateway")),
            ("2001:db8::1", Some("six")),
            ("198.51.100.1", None),
            ("lab", None),
        ];
        check(table, &expected);
        check(table.split_once('\n').map(|(_, rows)| rows).expect("rows"), &expected);
        check("name;ignored;CIDR\r\nlab;x;192.0.2.0/24\r\n", &[("192.0.2.1", Some("lab"))]);
        check("# mine\n\n192.0.2.0/24\tlab\n", &[("192.0.2.1", Some("lab"))]);
        check("192.0.2.1,first\n192.0.2.1,second\n", &[("192.0.2.1", Some("first"))]);
    }

    #[test]
    fn blocks_have_a_name_if_both_ends_have_it() {
        let names = load("192.0.2.0/24,lab\n192.0.2.128/25,upper\n");
        let block = |text: &str| names.name_of_block(text.parse().expect("a prefix"));
        assert_eq!(
            [block("192.0.2.0/25"), block("192.0.2.0/24"), block("192.0.2.192/26")],
            [Some("lab"), None, Some("upper")]
        );
    }

    #[test]
    fn names_survive_a_trip() {
        let text = serde_json::to_string(&load("192.0.2.0/24,lab\n")).expect("JSON");
        let back: AddressNames = serde_json::from_str(&text).expect("names");
        assert_eq!(back.name_of_text("192.0.2.9"), Some("lab"));
    }

    #[test]
    fn the_number_of_names_is_limited() {
        let rows =
            |count: u32| (0..count).map(|n| format!("{},n{n}\n", std::net::Ipv4Addr::from(n))).collect::<String>();
        let limit = MOST_NAMES as u32;
        assert!(!load(&rows(limit)).is_empty());
        let error = AddressNames::default().add_text(&rows(limit + 1)).map(|_| ()).expect_err("too many");
        assert!(error.to_string().contains("200,000"), "{error}");
        let same = "192.0.2.0/24,x\n".repeat(1000);
        let error = AddressNames::default().add_text(&same).map(|_| ()).expect_err("too deep");
        assert!(error.to_string().contains("the same address"), "{error}");
    }
}
