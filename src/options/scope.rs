//! Options of the scope that flows are compared with: subnets, port table, service tags.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::{
    AddressNames, AddressNamesError, Catalog, CatalogError, Edition, InstanceMode, ServiceTags, ServiceTagsError,
};
use crate::engine::Scope;
use crate::net::Prefix;
use crate::time::Timestamp;

/// The scope of a run, with the files that it names still to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScopeOptions {
    /// Subnets of the API Management instance. Empty to infer them from the flows.
    pub subnets: Vec<Prefix>,
    /// Address space of the tag `VirtualNetwork`. Empty for the private address ranges.
    pub vnet: Vec<Prefix>,
    /// How the instance is connected; `None` to infer it from the flows.
    pub vnet_mode: Option<InstanceMode>,
    /// Edition of the port table; `None` for the newest.
    pub edition: Option<String>,
    /// A port table of the user; `None` for the built-in one.
    pub requirements: Option<PathBuf>,
    /// Microsoft's service tags; `None` without them.
    pub service_tags: Option<TagFile>,
    /// Files with names of addresses. Earlier ones take precedence.
    pub names: Vec<PathBuf>,
}

/// A service-tag file, and its date if its name has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Date on which Microsoft published the file.
    pub date: Option<Timestamp>,
}

/// An option of the scope that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// The user's port table cannot be read as text.
    #[error("{}: {error}", .path.display())]
    Requirements {
        /// The port table.
        path: PathBuf,
        /// Cause.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The built-in port table does not have the edition.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The port table has several editions and none is the default. Contains their ids.
    #[error("the port table has several editions: {}", .editions.join(", "))]
    SeveralEditions {
        /// The user's port table, if it is one.
        path: Option<PathBuf>,
        /// The ids of the editions.
        editions: Vec<String>,
    },
    /// The service-tag file cannot be read.
    #[error("{}: {error}", .path.display())]
    ServiceTags {
        /// The file.
        path: PathBuf,
        /// Cause.
        error: ServiceTagsError,
    },
    /// A file with names of addresses cannot be read.
    #[error("{}: {error}", .path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// Cause.
        error: AddressNamesError,
    },
}

impl ScopeOptions {
    /// Reads the files and returns the scope.
    pub fn open(self) -> Result<Scope, ScopeError> {
        let edition = open_edition(self.requirements.as_deref(), self.edition.as_deref())?;
        let service_tags = self.service_tags.map(TagFile::open).transpose()?;
        let names = open_names(&self.names)?;
        let mut subnets = self.subnets;
        subnets.sort_unstable();
        subnets.dedup();
        let scope = Scope::new(edition).with_subnets(subnets).with_vnet_mode(self.vnet_mode);
        let scope = scope.with_service_tags(service_tags).with_names(names);
        Ok(if self.vnet.is_empty() { scope } else { scope.with_vnet(self.vnet) })
    }
}

impl TagFile {
    fn open(self) -> Result<ServiceTags, ScopeError> {
        let Self { path, date } = self;
        ServiceTags::open(&path, date.map(|date| date.0)).map_err(|error| ScopeError::ServiceTags { path, error })
    }
}

/// Reads files with names of addresses.
pub fn open_names(paths: &[PathBuf]) -> Result<AddressNames, ScopeError> {
    paths.iter().try_fold(AddressNames::default(), |names, path| {
        names.add_file(path).map_err(|error| ScopeError::Names { path: path.clone(), error })
    })
}

/// Opens an edition of the port table `own`, or of the built-in one. `edition` is `None` for the default edition.
pub fn open_edition(own: Option<&Path>, edition: Option<&str>) -> Result<Edition, ScopeError> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>, path: &Path| ScopeError::Requirements {
        path: path.to_owned(),
        error,
    };
    let of_catalog = |error: CatalogError| match own {
        Some(path) => refused(error.into(), path),
        None => error.into(),
    };
    let catalog = match own {
        None => Catalog::built_in(),
        Some(path) => Catalog::from_csv(&std::fs::read_to_string(path).map_err(|error| refused(error.into(), path))?),
    };
    let catalog = Arc::new(catalog.map_err(of_catalog)?);
    let Some(edition) = edition.or(catalog.default_edition()) else {
        let editions = catalog.editions().iter().map(|edition| edition.id.clone()).collect();
        return Err(ScopeError::SeveralEditions { path: own.map(Path::to_owned), editions });
    };
    Edition::new(Arc::clone(&catalog), edition).map_err(of_catalog)
}
