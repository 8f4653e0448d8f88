//! Cursors: what the lake holds of each blob, and how far it was read. A commit `t` of flowgap writes the file
//! `_flowgap/cursors/<t>.parquet` with the blobs that it changed and the commit before it. Some files hold all blobs, so
//! that the chain from the newest file back to one of them stays short.

mod columns;
mod write;

use std::collections::HashMap;

use bytes::Bytes;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use serde::{Deserialize, Serialize};

use super::error::{LakeError, Result};
use super::place::Lake;
use super::totals::Totals;
use crate::decode::Counts;
use crate::source::digest;

pub use write::Changes;
pub(super) use write::write;

/// Maximum number of problems that are kept per blob.
pub const KEPT: usize = 100;
/// Maximum number of files in a chain.
const LONGEST: usize = 32;
/// Rows per batch of a cursor file.
const BATCH: usize = 8192;

/// What the lake holds of one blob.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name of the blob: the value of the column `blob`.
    pub blob: String,
    /// Version that was read; `None` if the store has none.
    pub e_tag: Option<String>,
    /// Size when listed, or read, in bytes.
    pub size: u64,
    /// Size after decompression; `None` if it is not compressed.
    pub unpacked: Option<u64>,
    /// Offset after the last whole record, in the blob's UTF-8 text.
    pub end: u64,
    /// Hash of the first bytes, and of those before `end`.
    pub hashes: [u64; 2],
    /// Whether the blob can be read on from `end`: it is not compressed, and has no problem after `end`.
    pub can_grow: bool,
    /// Sums over its rows in the table.
    pub totals: Totals,
    /// Counts of the decoder, over the whole blob.
    pub counts: Counts,
    /// The first [`KEPT`] problems, by offset. `counts.problems` has the number of all.
    pub problems: Vec<EntryProblem>,
}

/// A located problem of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryProblem {
    /// Byte offset in the blob's unpacked text.
    pub offset: u64,
    /// Number of records of the blob before the problem.
    pub record: u64,
    /// Reason, as a message.
    pub reason: String,
}

/// The cursors of one version of a lake.
pub struct Cursors {
    shown: String,
    /// Files of the chain, newest first. The last one holds all blobs of its time.
    chain: Vec<CursorFile>,
    /// Days before this one were deleted, in days since 1970; rows of them are not taken again.
    pub kept_from: Option<i32>,
    /// Number of blobs.
    pub blobs: u64,
}

struct CursorFile {
    path: Path,
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    head: Head,
}

/// What a cursor file says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    t: i64,
    /// The commit before; `None` if this file holds all blobs.
    before: Option<i64>,
    /// Number of blobs of the lake, in this file and those before it.
    blobs: u64,
    kept_from: Option<i32>,
}

/// Key of the head in the metadata of a cursor file.
const HEAD: &str = "flowgap.cursor";

/// Place of an entry in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: u32,
    row: u32,
}

/// The version of each blob, by the digest of its name. Takes under 60 bytes per blob.
#[derive(Debug, Default)]
pub struct Known(HashMap<[u8; 16], (u64, Place)>);

/// How a listed blob compares with the cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was never read.
    New,
    /// Its newest version was read.
    Unchanged(Place),
    /// Another version was read.
    Changed(Place),
}

/// Returns the path of the cursor file of a commit.
pub(super) fn path(t: i64) -> Path {
    Path::from(format!("{FOLDER}/{t:019}.parquet"))
}

/// Folder of the cursor files.
pub(super) const FOLDER: &str = "_flowgap/cursors";

impl Cursors {
    /// Reads the cursor files of commit `t`.
    pub(super) async fn load(lake: &Lake, t: i64) -> Result<Self> {
        let mut chain: Vec<CursorFile> = Vec::new();
        let mut next = Some(t);
        while let Some(t) = next {
            if chain.len() >= LONGEST {
                return Err(bad(lake, &path(t), "its chain does not end"));
            }
            let file = CursorFile::load(lake, t).await?;
            next = file.head.before;
            chain.push(file);
        }
        let newest = chain.first().map(|file| &file.head);
        let (kept_from, blobs) = newest.map_or((None, 0), |head| (head.kept_from, head.blobs));
        Ok(Self { shown: lake.shown().to_owned(), chain, kept_from, blobs })
    }

    /// Returns the commit before `t` whose cursor file is needed to read the cursors of `t`.
    pub(super) async fn before(lake: &Lake, t: i64) -> Result<Option<i64>> {
        Ok(CursorFile::load(lake, t).await?.head.before)
    }

    /// Returns the version of each blob.
    pub fn known(&self) -> Result<Known> {
        let mut known = HashMap::with_capacity(usize::try_from(self.blobs).unwrap_or_default());
        for (nr, file) in self.chain.iter().enumerate() {
            let mut row = 0;
            for batch in self.reader(file, Some(&columns::VERSION), None)? {
                let batch = batch.map_err(|error| self.damaged(file, &error))?;
                columns::versions(&batch, |blob, version| {
                    let place = Place { file: nr as u32, row };
                    known.entry(digest(blob)).or_insert((version, place));
                    row += 1;
                })
                .map_err(|error| self.damaged(file, &error))?;
            }
        }
        Ok(Known(known))
    }

    /// Reads the entries at `places`, by the names of their blobs.
    pub fn at(&self, mut places: Vec<Place>) -> Result<HashMap<String, Entry>> {
        places.sort_unstable();
        let mut found = HashMap::with_capacity(places.len());
        for same in places.chunk_by(|a, b| a.file == b.file) {
            let Some(file) = same.first().and_then(|place| self.chain.get(place.file as usize)) else { continue };
            let rows = same.iter().map(|place| place.row as usize..place.row as usize + 1);
            let total = file.metadata.metadata().file_metadata().num_rows() as usize;
            let selection = RowSelection::from_consecutive_ranges(rows, total);
            for batch in self.reader(file, None, Some(selection))? {
                let entries = batch
                    .map_err(|error| self.damaged(file, &error))
                    .and_then(|batch| columns::entries(&batch).map_err(|error| self.damaged(file, &error)))?;
                found.extend(entries.into_iter().map(|entry| (entry.blob.clone(), entry)));
            }
        }
        Ok(found)
    }

    /// Calls `each` with the newest entry of every blob. The order is that of the files.
    pub fn for_each(&self, mut each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        let known = self.known()?;
        for (nr, file) in self.chain.iter().enumerate() {
            let mut row = 0;
            for batch in self.reader(file, None, None)? {
                let batch = batch.map_err(|error| self.damaged(file, &error))?;
                for entry in columns::entries(&batch).map_err(|error| self.damaged(file, &error))? {
                    let place = Place { file: nr as u32, row };
                    row += 1;
                    if known.0.get(&digest(&entry.blob)).is_some_and(|(_, newest)| *newest == place) {
                        each(entry)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the id of the commit.
    fn t(&self) -> i64 {
        self.chain.first().map_or(0, |file| file.head.t)
    }

    /// Number of files in the chain, and of entries in those that do not hold all blobs.
    fn chain_size(&self) -> (usize, u64) {
        let rows = |file: &CursorFile| file.metadata.metadata().file_metadata().num_rows() as u64;
        (self.chain.len(), self.chain.iter().filter(|file| file.head.before.is_some()).map(rows).sum())
    }

    /// Returns the paths of the files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.chain.iter().map(|file| &file.path)
    }

    fn reader(
        &self,
        file: &CursorFile,
        columns: Option<&[&str]>,
        rows: Option<RowSelection>,
    ) -> Result<ParquetRecordBatchReader> {
        let schema = file.metadata.parquet_schema();
        let mask =
            columns.map_or_else(ProjectionMask::all, |names| ProjectionMask::columns(schema, names.iter().copied()));
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.bytes.clone(), file.metadata.clone())
            .with_projection(mask)
            .with_batch_size(BATCH);
        let builder = match rows {
            Some(rows) => builder.with_row_selection(rows),
            None => builder,
        };
        builder.build().map_err(|error| self.damaged(file, &error))
    }

    fn damaged(&self, file: &CursorFile, error: &dyn std::fmt::Display) -> LakeError {
        LakeError::Cursor { shown: self.shown.clone(), name: file.path.to_string(), reason: error.to_string() }
    }
}

impl CursorFile {
    async fn load(lake: &Lake, t: i64) -> Result<Self> {
        let path = path(t);
        let bytes = match lake.get(&path).await {
            Err(object_store::Error::NotFound { .. }) => return Err(bad(lake, &path, "it is missing")),
            bytes => bytes.map_err(|error| LakeError::of_store(lake.shown(), &error))?,
        };
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&bytes, options).map_err(|error| bad(lake, &path, error))?;
        let head = columns::head(&metadata).map_err(|why| bad(lake, &path, why))?;
        if head.t != t {
            return Err(bad(lake, &path, format_args!("it is the file of commit {}", head.t)));
        }
        Ok(Self { path, bytes, metadata, head })
    }
}

fn bad(lake: &Lake, path: &Path, reason: impl std::fmt::Display) -> LakeError {
    LakeError::Cursor { shown: lake.shown().to_owned(), name: path.to_string(), reason: reason.to_string() }
}

impl Known {
    /// Compares a listed blob with the version that was read.
    pub fn compare(&self, blob: &str, e_tag: Option<&str>, size: u64) -> Seen {
        match self.0.get(&digest(blob)) {
            None => Seen::New,
            // Without an ETag, equal sizes do not mean equal versions.
            Some((known, place)) if e_tag.is_some() && *known == columns::version(e_tag, size) => {
                Seen::Unchanged(*place)
            }
            Some((_, place)) => Seen::Changed(*place),
        }
    }
}
