//! Scan units: the input of one opener call, many small blobs or a piece of a big one. They are plain serialisable
//! values, so that another machine can scan them.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::decode;
use crate::decode::{SplitHint, TimeRange, probe_head};
use crate::source::read::ranges;
use crate::source::{Blob, BlobList, BlobPath, Members, Shown, is_packed};

/// A unit of work for one opener call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanUnit {
    /// Rule for the names of blobs in `flows.blob`.
    pub shown: Shown,
    /// Blobs, or part of a blob, to read.
    pub reading: Reading,
}

/// The bytes of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
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
            Reading::Whole(blobs) => blobs.size(),
            Reading::Start { blobs, limit } => blobs.iter().map(|blob| blob.size.min(*limit)).sum(),
            Reading::Piece { blob, start, end, .. } => end.unwrap_or(blob.size) - start,
            Reading::Members(members) => members.size(),
        }
    }

    /// Returns the unit without the blobs whose path excludes all of `times`.
    pub fn within(self: Arc<Self>, times: TimeRange) -> Arc<Self> {
        let may_hold =
            |location: &str| BlobPath::parse(location).is_none_or(|path| path.may_hold(times.from, times.to));
        let reading = match &self.reading {
            _ if times == TimeRange::default() => return self,
            Reading::Whole(blobs) => Reading::Whole(blobs.iter().filter(|blob| may_hold(&blob.location)).collect()),
            Reading::Start { blobs, limit } => {
                Reading::Start { blobs: blobs.iter().filter(|blob| may_hold(&blob.location)).collect(), limit: *limit }
            }
            Reading::Piece { blob, .. } if may_hold(&blob.location) => return self,
            Reading::Piece { .. } => Reading::Whole(BlobList::default()),
            Reading::Members(members) => Reading::Members(members.filter(may_hold)),
        };
        Arc::new(Self { shown: self.shown.clone(), reading })
    }

    /// Returns the blobs of the unit. A piece other than the first has none.
    pub fn blobs(&self) -> Box<dyn Iterator<Item = Blob> + '_> {
        match &self.reading {
            Reading::Whole(blobs) | Reading::Start { blobs, .. } => Box::new(blobs.iter()),
            Reading::Piece { blob, start, .. } => Box::new((*start == 0).then(|| blob.clone()).into_iter()),
            Reading::Members(members) => Box::new(members.iter().map(|member| member.blob)),
        }
    }

    /// Returns the location of its first blob, or of its archive.
    pub fn location(&self) -> String {
        match &self.reading {
            Reading::Whole(blobs) | Reading::Start { blobs, .. } => {
                blobs.iter().next().map(|b| b.location).unwrap_or_default()
            }
            Reading::Piece { blob, .. } => blob.location.clone(),
            Reading::Members(members) => members.archive.location.clone(),
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
pub struct Planner {
    is_local: bool,
    small: Vec<Reading>,
    big: BlobList,
    together: BlobList,
    /// Bytes to decode in `together`.
    weight: u64,
    /// Bytes to decode in all small blobs and archive members so far.
    total: u64,
}

impl Planner {
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
            self.small.push(Reading::Whole(std::mem::take(&mut self.together)));
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
        self.small.extend(members.split(most, unpacked_size).into_iter().map(Reading::Members));
    }

    fn unit(&self) -> u64 {
        if self.is_local { UNIT } else { (self.total / 8).clamp(REMOTE_UNIT.start, REMOTE_UNIT.end) }
    }

    /// Returns the units. Reads the first few KiB of each big blob to find out whether it can be cut.
    pub async fn units(mut self, store: &dyn ObjectStore, shown: &Shown) -> Vec<Arc<ScanUnit>> {
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
            self.small.push(Reading::Whole(self.together));
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

fn cut(blob: Blob, hint: Option<SplitHint>, head: u64, piece: u64) -> Vec<Reading> {
    let Some(hint) = hint else { return vec![Reading::Whole(BlobList::from_iter([blob]))] };
    let count = blob.size.div_ceil(piece);
    let edge = |i: u64| blob.size / count * i;
    (0..count)
        .map(|i| Reading::Piece {
            blob: blob.clone(),
            start: edge(i),
            end: (i + 1 < count).then(|| edge(i + 1)),
            hint: hint.clone(),
            head: Some(head),
        })
        .collect()
}

/// Returns the part of a blob to fetch.
pub fn extent(reading: &Reading) -> ranges::Extent {
    match reading {
        Reading::Whole(_) | Reading::Members(_) => ranges::Extent::Whole,
        Reading::Start { limit, .. } => ranges::Extent::Start { limit: *limit },
        Reading::Piece { start, end, head, .. } => ranges::Extent::Piece { start: *start, end: *end, head: *head },
    }
}

/// Returns the part of a blob that the decoder owns.
pub fn part(reading: &Reading) -> decode::Part {
    match reading {
        Reading::Whole(_) | Reading::Start { .. } | Reading::Members(_) => decode::Part::Whole,
        Reading::Piece { start, end, hint, .. } => decode::Part::Piece { start: *start, end: *end, hint: hint.clone() },
    }
}
