//! The dated port table, service tags, the test of an address against a tag, and names of addresses. Knows no flows and no SQL.

mod address_names;
mod dependency;
mod edition;
mod requirement;
mod service_tags;
mod tag;
pub mod text_file;

pub use address_names::{AddressNames, AddressNamesError};
pub use dependency::{Dependency, Role, dependency, role};
pub use edition::Edition;
pub use requirement::{
    Catalog, CatalogError, EditionHead, InstanceMode, Match, Necessity, Requirement, RowDirection, RowMode,
};
pub use service_tags::{
    CachedFile, DateOrigin, Published, ServiceTags, ServiceTagsError, TagAge, TagList, TagPrefix, cached_files,
    date_in_name, file_name, is_within,
};
pub use tag::{Answer, Side, Tag, TagTest, is_private, platform_addresses, private_ranges, probe_addresses};
