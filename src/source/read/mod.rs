//! Archives as sources: takes a blob, gives its members and their bytes. Knows nothing of what the members mean. Nothing
//! is ever written, so names in an archive are only shown.

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
