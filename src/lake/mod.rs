//! The lake: one Delta table with the rows of all flow logs that were ingested, each once. Knows Arrow, Parquet, the
//! Delta log and stores; must not know SQL or findings. In reading order:
//!
//! - `columns`: the columns of the table; `text`: text columns in memory; `place`: the address of a lake and its store; `durable` and
//!   `remote`: the stores.
//! - `snapshot`: one version of the table: its files and its cursors; `cursor`: how far each blob was read.
//! - `write`: rows to files, with their statistics in `stats`; `read`: files to rows; `replace`: files without some blobs.
//! - `totals`: sums by which rows and cursors are compared.
//! - `commit`: how a change becomes a version, exactly once; `failpoint`: where tests kill it; `unwritten`: failed writes.
//! - `compact`, `verify`, `vacuum`, `delete`, `status`: housekeeping.

pub mod columns;
mod commit;
mod compact;
mod cursor;
mod delete;
mod durable;
mod error;
mod failpoint;
mod place;
mod read;
mod remote;
mod replace;
mod snapshot;
mod stats;
mod status;
mod text;
mod totals;
mod unwritten;
mod vacuum;
mod verify;
mod write;

pub use commit::{ATTEMPTS, Change, Committed, commit, open_or_create};
pub use compact::{Compacted, Compaction, compact};
pub use cursor::{Changes, Cursors, Entry, EntryProblem, KEPT, Known, Place, Seen};
pub use delete::{Deleted, deletable, delete_before};
pub use error::LakeError;
pub use place::{Lake, is_table, source_root};
pub use replace::{Replaced, without};
pub use snapshot::{DataFile, Snapshot};
pub use status::{Status, status};
pub use text::TextColumn;
pub use totals::Totals;
pub use vacuum::{Vacuumed, now, unneeded, vacuum};
pub use verify::{Mismatch, totals, verify};
pub use write::Writer;
