//! What a dependency means to people: what stops working without it. Keyed by the ids that rows of all editions share.
//!
//! `dependencies.csv` lies beside this file; its words follow Microsoft's documentation and public reports.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::names::names;

/// One dependency. Rows of a user's own table may have none.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    pub id: String,
    /// Short, for sentences.
    pub name: String,
    pub role: Option<Role>,
    /// What stops working while it is blocked; a clause.
    pub breaks: String,
    /// What people see and search for; may be empty.
    pub symptom: String,
}

/// What else a dependency tells an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who is called by the control plane is API Management.
    Management,
    /// Who is probed is API Management.
    Probe,
    /// The configuration database: cut off entirely though allowed, the route is to blame.
    Configuration,
    /// Other outbound dependencies fail with it.
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
    /// Its flows show which addresses are those of the instance.
    pub fn shows_scope(self) -> bool {
        matches!(self, Self::Management | Self::Probe)
    }
}

/// The dependency of an id, if it is a known one.
pub fn dependency(id: &str) -> Option<&'static Dependency> {
    static ALL: LazyLock<HashMap<String, Dependency>> = LazyLock::new(|| {
        let rows = csv::Reader::from_reader(include_str!("dependencies.csv").as_bytes()).into_deserialize();
        let rows = rows.map(|row: csv::Result<Dependency>| row.expect("a test reads every row"));
        rows.map(|row| (row.id.clone(), row)).collect()
    });
    ALL.get(id)
}

/// The role of an id, if it has one.
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
