//! One edition of the port table, with its rows and the table it belongs to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogError, Requirement};

/// An edition that exists in its table. Serialised with the whole table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Edition {
    id: String,
    /// Analyzed rows of `id`, in the order of the table.
    rows: Vec<Requirement>,
    catalog: Arc<Catalog>,
}

impl Edition {
    /// Finds an edition in a table. Fails if it has no edition `id`; the error names the known ones.
    pub fn new(catalog: Arc<Catalog>, id: &str) -> Result<Self, CatalogError> {
        if !catalog.editions().iter().any(|known| known.id == id) {
            let known = catalog.editions().iter().map(|e| e.id.as_str()).collect::<Vec<_>>().join(", ");
            return Err(CatalogError::UnknownEdition { given: id.to_owned(), known });
        }
        let rows = catalog.rows().iter().filter(|row| row.analyzed && row.edition == id).cloned().collect();
        Ok(Self { id: id.to_owned(), rows, catalog })
    }

    /// Returns the newest edition of the shipped table.
    pub fn newest() -> Result<Self, CatalogError> {
        Self::new(Arc::new(Catalog::built_in()?), Catalog::NEWEST)
    }

    /// Returns the id of the edition.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the rows that flows are matched with, in the order of the table.
    pub fn rows(&self) -> &[Requirement] {
        &self.rows
    }

    /// Returns the table with all editions.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }
}

/// Serialised form. The rows are selected again when it is read.
#[derive(Serialize, Deserialize)]
struct Written {
    edition: String,
    catalog: Catalog,
}

impl From<Edition> for Written {
    fn from(Edition { id, catalog, .. }: Edition) -> Self {
        Self { edition: id, catalog: Arc::unwrap_or_clone(catalog) }
    }
}

impl TryFrom<Written> for Edition {
    type Error = CatalogError;

    fn try_from(Written { edition, catalog }: Written) -> Result<Self, CatalogError> {
        Self::new(Arc::new(catalog), &edition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_edition_is_refused_with_the_known_ones() {
        let catalog = Arc::new(Catalog::built_in().expect("valid"));
        let error = Edition::new(catalog, "2016-13").expect_err("there is no such edition").to_string();
        assert!(
            error.contains("'2016-13'") && error.contains("2016-12, ") && error.contains(Catalog::NEWEST),
            "{error}"
        );
    }
}
