//! Where bytes come from: addresses, stores, lists of blobs, and ETag-pinned reading. Knows nothing of what
//! the bytes mean.

mod blobs;
pub mod fetch;
mod list;
mod local;
mod path;
mod store;
mod unpack;

pub use blobs::{Blob, BlobList, Place};
pub use list::{Listing, Shown, list};
pub use path::{BlobPath, cloud_of_path, hour_of};
pub use store::{Source, SourceError, StoreKey, Stores, way_out};
pub use unpack::is_packed;
