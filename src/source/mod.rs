//! Finds and reads blobs: addresses, credentials, stores, listings, and ETag-pinned reading. Does not know the meaning
//! of the bytes.

mod address;
mod azure;
mod blobs;
mod documents;
mod error;
mod list;
mod local;
mod path;
pub mod read;
mod store;

pub use address::{Source, redacted};
pub use azure::auth::{Auth, Environment};
pub use azure::endpoint::{Cloud, StoreKey};
pub use azure::http::{RetryPolicy, TrafficSummary};
pub use azure::sign_in::sign_in;
pub use azure::tag_list::TagListRequest;
pub use blobs::{Blob, BlobList, Place, digest, hash};
pub use documents::{Document, documents};
pub use error::{SourceError, remedy_for};
pub use list::account::{Skipped, SkippedContainers};
pub use list::others::Others;
pub use list::{DisplayPath, Listing, Selection, list, mac};
pub use path::{BlobPath, CONTAINERS, cloud_of_path, hour_of};
pub use read::magic::is_packed;
pub use read::{At, Kind, Member, MemberReader, Members};
pub use store::{Access, Opened, Stores};
