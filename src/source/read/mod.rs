//! Reads blobs and archives: pinned byte ranges, decompression, and archive members. Does not interpret the content.
//! Because archives are never extracted to disk, member names are only displayed.

mod archive;
mod cut;
pub(super) mod decompress;
mod entry;
pub(super) mod error;
pub(super) mod magic;
mod members;
pub mod ranges;
mod tar;
mod window;
mod zip;

pub use archive::{Found, entries, recognise};
pub use cut::MemberReader;
pub use error::ReadError;
pub use magic::Kind;
pub use members::{At, Member, Members};
