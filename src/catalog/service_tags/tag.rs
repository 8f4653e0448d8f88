use serde::{Deserialize, Serialize};

use crate::net::Prefix;

/// One tag of a file.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct ServiceTag {
    pub name: String,
    /// Empty if the tag covers all regions, or the file does not say.
    pub region: String,
    pub prefixes: Vec<Prefix>,
}

/// One row of the table `service_tags`.
#[derive(Debug, Clone, Copy)]
pub struct TagPrefix<'a> {
    /// Name of the tag.
    pub tag: &'a str,
    /// One prefix of the tag.
    pub prefix: Prefix,
    /// Region; empty if the tag covers all regions or the file does not say.
    pub region: &'a str,
}

impl ServiceTag {
    /// Returns every prefix of the tag as a row.
    pub fn rows(&self) -> impl Iterator<Item = TagPrefix<'_>> {
        self.prefixes.iter().map(|&prefix| TagPrefix { tag: &self.name, prefix, region: &self.region })
    }

    /// Returns whether the tag covers one region, or another part, of a service.
    pub fn is_part(&self) -> bool {
        !self.region.is_empty() || self.name.contains('.')
    }
}

/// Returns whether the tag `whole` contains the tag `name`: the same name or `whole.Region`, ignoring case.
pub fn is_within(name: &str, whole: &str) -> bool {
    let (Some(start), Some(rest)) = (name.get(..whole.len()), name.get(whole.len()..)) else { return false };
    start.eq_ignore_ascii_case(whole) && (rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_within_its_service() {
        for (name, whole, is) in [
            ("Storage", "storage", true),
            ("Storage.WestEurope", "Storage", true),
            ("StorageSyncService", "Storage", false),
            ("Storage", "Storage.WestEurope", false),
            ("Storage.WestEurope", "Storage.West", false),
            ("Sé", "S\u{301}", false),
        ] {
            assert_eq!(is_within(name, whole), is, "{name} {whole}");
        }
    }
}
