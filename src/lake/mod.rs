//! The lake: one Delta table with the rows of all flow logs that were ingested, each once. Knows Arrow, Parquet, the
//! Delta log and stores; must not know SQL or findings. In reading order:
//!
//! - `columns`: the columns of the table; `place`: the address of a lake and its store; `durable`: the local store.
//! - `snapshot`: one version of the table: its files and its cursors; `cursor`: how far each blob was read.

pub mod columns;
mod cursor;
mod durable;
mod error;
mod place;
mod snapshot;

pub use cursor::{Cursors, Entry, EntryProblem, Known, Place, Seen};
pub use error::LakeError;
pub use place::{Lake, is_table, source_root};
pub use snapshot::{DataFile, Snapshot};
