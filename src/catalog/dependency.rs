//! Names and effects of dependencies, for reports. Keyed by the ids that rows of all editions share.
//!
//! `dependencies.csv` is beside this file. Its words follow Microsoft's documentation and public reports.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::names::names;

/// One dependency. Rows of a user's table may have none.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// Id that rows of all editions share.
    pub id: String,
    /// Short name, for sentences.
    pub name: String,
    /// Special role, if it has one.
    pub role: Option<Role>,
    /// Effect while it is blocked, as a clause.
    pub breaks: String,
    /// Symptom that users see and search for; may be empty.
    pub symptom: String,
}

/// Special role of a dependency in an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The control plane calls it, so the called address is API Management.
    Management,
    /// The platform probes it, so the probed address is API Management.
    Probe,
    /// The configuration database. If it is unreachable although allowed, the route is the cause.
    Configuration,
    /// Name resolution. Other outbound dependencies fail without it.
    Dns,
    /// Calls from the Internet, which only an instance in external mode answers.
    Client,
    /// Calls from inside the network.
    ClientVnet,
}

names!(Role {
    Management = "management",
    Probe = "probe",
    Configuration = "configuration",
    Dns = "dns",
    Client = "client",
    ClientVnet = "client-vnet",
});

impl Role {
    /// Returns whether its flows show which addresses belong to the instance.
    pub fn shows_scope(self) -> bool {
        matches!(self, Self::Management | Self::Probe)
    }
}

/// Returns the dependency with this id, if it is known.
pub fn dependency(id: &str) -> Option<&'static Dependency> {
    static ALL: LazyLock<HashMap<String, Dependency>> = LazyLock::new(|| {
        let rows = csv::Reader::from_reader(include_str!("dependencies.csv").as_bytes()).into_deserialize();
        let rows = rows.map(|row: csv::Result<Dependency>| row.expect("a test reads every row"));
        rows.map(|row| (row.id.clone(), row)).collect()
    });
    ALL.get(id)
}

/// Returns the role of the dependency with this id, if it has one.
pub fn role(id: &str) -> Option<Role> {
    dependency(id)?.role
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn every_analyzed_row_of_every_edition_says_what_breaks() {
        let catalog = Catalog::built_in().unwrap_or_else(|e| panic!("{e}"));
        for row in catalog.rows().iter().filter(|r| r.analyzed) {
            let known = dependency(&row.id).unwrap_or_else(|| panic!("{}", row.id));
            assert!(!known.breaks.is_empty() && !known.breaks.ends_with('.'), "{}", row.id);
        }
        assert_eq!(role("APIM-OUT-DNS"), Some(Role::Dns));
        assert_eq!(role("APIM-OUT-STORAGE"), None);
    }
}
