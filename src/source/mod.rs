//! Where bytes come from: addresses, credentials, stores, lists of blobs, and ETag-pinned reading. Knows nothing of
//! what the bytes mean.

mod address;
mod auth;
mod azure_cli;
mod blobs;
pub mod fetch;
mod list;
mod local;
mod magic;
mod missed;
mod odd_names;
mod others;
mod pages;
mod path;
pub mod read;
mod request;
mod store;
mod trouble;
mod unpack;

pub use address::{CONTAINERS, Source, StoreKey};
pub use auth::{Auth, Environment};
pub use blobs::{Blob, BlobList, Place};
pub use list::{Listing, Selection, Shown, list, mac};
pub use magic::is_packed;
pub use missed::{Missed, Passed};
pub use others::Others;
pub use path::{BlobPath, cloud_of_path, hour_of};
pub use read::{At, Kind, Member, MemberReader, Members};
pub use request::{Patience, TrafficSummary};
pub use store::{Access, Opened, Stores};
pub use trouble::{SourceError, way_out};
