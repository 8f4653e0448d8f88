//! Scan units: the input of one opener call, many small blobs or a piece of a big one. They are plain serialisable
//! values, so that another machine can scan them.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::decode;
use crate::decode::{SplitHint, TimeRange, probe_head};
use crate::source::read::ranges;
use crate::source::{Blob, BlobList, BlobPath, DisplayPath, Members, is_packed};

/// A unit of work for one opener call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanUnit {
    /// Rule for the names of blobs in `flows.blob`.
    pub shown: DisplayPath,
    /// Blobs, or part of a blob, to read.
    pub reading: UnitContents,
}

/// The bytes of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitContents {
    /// Whole blobs, in order.
    Whole(BlobList),
    /// The beginnings of blobs, for a look. At most `LOOK` unpacked bytes per blob are read. The input summary does not
    /// count them.
    Start {
        /// Blobs to read, in order.
        blobs: BlobList,
        /// Maximum stored bytes to read per blob.
        limit: u64,
    },
    /// The records that start in `[start, end)` of one blob: a piece of a big blob.
    Piece {
        /// Blob that the piece belongs to.
        blob: Blob,
        /// First offset at which a record of the piece may start.
        start: u64,
        /// Offset after the last one at which a record of the piece may start; `None` for the last piece.
        end: Option<u64>,
        /// Key that records start with, by which the decoder finds the first record.
        hint: SplitHint,
        /// Hash of the blob's first bytes and of those before its end, to detect a rewritten blob.
        head: Option<u64>,
    },
    /// Whole members of one archive, in order.
    Members(Members),
}

impl ScanUnit {
    /// Returns the stored bytes of the unit.
    pub fn size(&self) -> u64 {
        match &self.reading {
            UnitContents::Whole(blobs) => blobs.size(),
            UnitContents::Start { blobs, limit } => blobs.iter().map(|blob| blob.size.min(*limit)).sum(),
            UnitContents::Piece { blob, start, end, .. } => end.unwrap_or(blob.size) - start,
            UnitContents::Members(members) => members.size(),
        }
    }

    /// Returns the unit without the blobs whose path excludes all of `times`.
    pub fn within(self: Arc<Self>, times: TimeRange) -> Arc<Self> {
        let may_hold =
            |location: &str| BlobPath::parse(location).is_none_or(|path| path.may_hold(times.from, times.to));
        let reading = match &self.reading {
            _ if times == TimeRange::default() => return self,
            UnitContents::Whole(blobs) => {
                UnitContents::Whole(blobs.iter().filter(|blob| may_hold(&blob.location)).collect())
            }
            UnitContents::Start { blobs, limit } => UnitContents::Start {
                blobs: blobs.iter().filter(|blob| may_hold(&blob.location)).collect(),
                limit: *limit,
            },
            UnitContents::Piece { blob, .. } if may_hold(&blob.location) => return self,
            UnitContents::Piece { .. } => UnitContents::Whole(BlobList::default()),
            UnitContents::Members(members) => UnitContents::Members(members.filter(may_hold)),
        };
        Arc::new(Self { shown: self.shown.clone(), reading })
    }

    /// Returns the blobs of the unit. A piece other than the first has none.
    pub fn blobs(&self) -> Box<dyn Iterator<Item = Blob> + '_> {
        match &self.reading {
            UnitContents::Whole(blobs) | UnitContents::Start { blobs, .. } => Box::new(blobs.iter()),
            UnitContents::Piece { blob, start, .. } => Box::new((*start == 0).then(|| blob.clone()).into_iter()),
            UnitContents::Members(members) => Box::new(members.iter().map(|member| member.blob)),
        }
    }

    /// Returns the location of its first blob, or of its archive.
    pub fn location(&self) -> String {
        match &self.reading {
            UnitContents::Whole(blobs) | UnitContents::Start { blobs, .. } => {
                blobs.iter().next().map(|b| b.location).unwrap_or_default()
            }
            UnitContents::Piece { blob, .. } => blob.location.clone(),
            UnitContents::Members(members) => members.archive.location.clone(),
        }
    }
}

/// Maximum bytes per blob of a look, both fetched and unpacked.
pub const LOOK: u64 = 16 << 20;
/// Maximum bytes of small local blobs per unit.
const UNIT: u64 = 16 << 20;
/// Range of the bytes per unit of a remote source. Units start small, so that every core soon has work. Later ones are
/// larger, because no request is in flight between two units of a reader.
const REMOTE_UNIT: std::ops::Range<u64> = 8 << 20..64 << 20;
/// Blobs above this size, in bytes, are cut into pieces.
const BIG: u64 = 32 << 20;
/// Number of big blobs whose heads are fetched concurrently.
const TOGETHER: usize = 8;

/// Cuts blobs into scan units as they are listed.
pub struct UnitPlanner {
    is_local: bool,
    small: Vec<UnitContents>,
    big: BlobList,
    together: BlobList,
    /// Bytes to decode in `together`.
    weight: u64,
    /// Bytes to decode in all small blobs and archive members so far.
    total: u64,
}

impl UnitPlanner {
    /// Creates a planner for one source. Local sources get smaller units.
    pub fn new(is_local: bool) -> Self {
        Self {
            is_local,
            small: Vec::new(),
            big: BlobList::default(),
            together: BlobList::default(),
            weight: 0,
            total: 0,
        }
    }

    /// Adds a listed blob.
    pub fn take(&mut self, blob: &Blob) {
        if blob.size > BIG {
            self.big.push(blob);
            return;
        }
        let weight = unpacked_size(blob);
        if !self.together.is_empty() && self.weight + weight > self.unit() {
            self.small.push(UnitContents::Whole(std::mem::take(&mut self.together)));
            self.weight = 0;
        }
        self.weight += weight;
        self.total += weight;
        self.together.push(blob);
    }

    /// Adds the members of an archive. Each unit gets members stored next to each other, so that it reads one range of
    /// the archive.
    pub fn take_members(&mut self, members: Members) {
        self.total += members.size();
        let most = self.unit();
        self.small.extend(members.split(most, unpacked_size).into_iter().map(UnitContents::Members));
    }

    fn unit(&self) -> u64 {
        if self.is_local { UNIT } else { (self.total / 8).clamp(REMOTE_UNIT.start, REMOTE_UNIT.end) }
    }

    /// Returns the units. Reads the first few KiB of each big blob to find out whether it can be cut.
    pub async fn units(mut self, store: &dyn ObjectStore, shown: &DisplayPath) -> Vec<Arc<ScanUnit>> {
        let piece = if self.is_local { UNIT } else { REMOTE_UNIT.end };
        let pieces = stream::iter(self.big.iter())
            .map(|blob| async move {
                // A blob that cannot be read now is reported by its scan.
                match ranges::head_of(store, &blob).await {
                    Ok((head, hash)) => cut(blob, if is_packed(&head) { None } else { probe_head(&head) }, hash, piece),
                    Err(_) => cut(blob, None, 0, piece),
                }
            })
            .buffered(TOGETHER)
            .collect::<Vec<_>>()
            .await;
        if !self.together.is_empty() {
            self.small.push(UnitContents::Whole(self.together));
        }
        let readings = pieces.into_iter().flatten().chain(self.small);
        readings.map(|reading| Arc::new(ScanUnit { shown: shown.clone(), reading })).collect()
    }
}

/// Estimates the bytes to decode. Goes by the extension of the name, which is usually right.
fn unpacked_size(blob: &Blob) -> u64 {
    let is_named_packed = blob.location.ends_with(".gz") || blob.location.ends_with(".zst");
    blob.size * if is_named_packed { 8 } else { 1 }
}

fn cut(blob: Blob, hint: Option<SplitHint>, head: u64, piece: u64) -> Vec<UnitContents> {
    let Some(hint) = hint else { return vec![UnitContents::Whole(BlobList::from_iter([blob]))] };
    let count = blob.size.div_ceil(piece);
    let edge = |i: u64| blob.size / count * i;
    (0..count)
        .map(|i| UnitContents::Piece {
            blob: blob.clone(),
            start: edge(i),
            end: (i + 1 < count).then(|| edge(i + 1)),
            hint: hint.clone(),
            head: Some(head),
        })
        .collect()
}

/// Returns the part of a blob to fetch.
pub fn extent(reading: &UnitContents) -> ranges::Extent {
    match reading {
        UnitContents::Whole(_) | UnitContents::Members(_) => ranges::Extent::Whole,
        UnitContents::Start { limit, .. } => ranges::Extent::Start { limit: *limit },
        UnitContents::Piece { start, end, head, .. } => ranges::Extent::Piece { start: *start, end: *end, head: *head },
    }
}

/// Returns the part of a blob that the decoder owns.
pub fn part(reading: &UnitContents) -> decode::Part {
    match reading {
        UnitContents::Whole(_) | UnitContents::Start { .. } | UnitContents::Members(_) => decode::Part::Whole,
        UnitContents::Piece { start, end, hint, .. } => {
            decode::Part::Piece { start: *start, end: *end, hint: hint.clone() }
        }
    }
}
