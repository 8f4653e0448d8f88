//! What one opener call reads: many small blobs, or a piece of a big one. Plain serialisable values, so that
//! another machine can read them too.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::decode;
use crate::decode::{SplitHint, TimeRange, probe_head};
use crate::source::read::ranges;
use crate::source::{Blob, BlobList, BlobPath, Members, Shown, is_packed};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanUnit {
    /// How the names of the blobs show in `flows.blob`.
    pub shown: Shown,
    pub reading: Reading,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// Whole blobs, one after the other.
    Whole(BlobList),
    /// The beginnings of blobs, for a look that leaves no trace in what is counted: of each at most `limit` bytes as they
    /// are stored, and at most `LOOK` once unpacked.
    Start { blobs: BlobList, limit: u64 },
    /// The records that start in `[start, end)` of one blob; `end` is `None` for the last piece.
    /// `head` tells the blob's beginning, and what stands before its end, from others.
    Piece { blob: Blob, start: u64, end: Option<u64>, hint: SplitHint, head: Option<u64> },
    /// Members of one archive, whole, one after the other.
    Members(Members),
}

impl ScanUnit {
    /// Bytes that the unit owns.
    pub fn size(&self) -> u64 {
        match &self.reading {
            Reading::Whole(blobs) => blobs.size(),
            Reading::Start { blobs, limit } => blobs.iter().map(|blob| blob.size.min(*limit)).sum(),
            Reading::Piece { blob, start, end, .. } => end.unwrap_or(blob.size) - start,
            Reading::Members(members) => members.size(),
        }
    }

    /// Without the blobs whose path rules them out of `times`.
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

    /// The blobs that start in it.
    pub fn blobs(&self) -> Box<dyn Iterator<Item = Blob> + '_> {
        match &self.reading {
            Reading::Whole(blobs) | Reading::Start { blobs, .. } => Box::new(blobs.iter()),
            Reading::Piece { blob, start, .. } => Box::new((*start == 0).then(|| blob.clone()).into_iter()),
            Reading::Members(members) => Box::new(members.iter().map(|member| member.blob)),
        }
    }

    /// Location of its first blob.
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

/// Bytes of one blob that a look takes at most, fetched and unpacked.
pub const LOOK: u64 = 16 << 20;
/// Small blobs are read together up to so many bytes.
const UNIT: u64 = 16 << 20;
/// Of a remote source: first little, so that every core has something to do soon, then more, for between two units
/// nothing is on its way to whoever reads them.
const REMOTE_UNIT: std::ops::Range<u64> = 8 << 20..64 << 20;
/// Bigger blobs are cut into pieces.
const BIG: u64 = 32 << 20;
/// Big blobs that are looked at together.
const TOGETHER: usize = 8;

/// Makes units of blobs, as they come.
pub struct Planner {
    is_local: bool,
    small: Vec<Reading>,
    big: BlobList,
    together: BlobList,
    /// Bytes to decode in `together`, and in all small ones.
    weight: u64,
    total: u64,
}

impl Planner {
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

    /// Members are cut into units as they are stored, so that each reads a part of its archive.
    pub fn take_members(&mut self, members: Members) {
        self.total += members.size();
        let most = self.unit();
        self.small.extend(members.split(most, unpacked_size).into_iter().map(Reading::Members));
    }

    fn unit(&self) -> u64 {
        if self.is_local { UNIT } else { (self.total / 8).clamp(REMOTE_UNIT.start, REMOTE_UNIT.end) }
    }

    /// Needs a few KiB of each big blob.
    pub async fn units(mut self, store: &dyn ObjectStore, shown: &Shown) -> Vec<Arc<ScanUnit>> {
        let piece = if self.is_local { UNIT } else { REMOTE_UNIT.end };
        let pieces = stream::iter(self.big.iter())
            .map(|blob| async move {
                // A blob that cannot be read now will say so when it is scanned.
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

/// About how many bytes there are to decode; by the name, which mostly is right.
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

/// The part of a blob that is to be fetched.
pub fn extent(reading: &Reading) -> ranges::Extent {
    match reading {
        Reading::Whole(_) | Reading::Members(_) => ranges::Extent::Whole,
        Reading::Start { limit, .. } => ranges::Extent::Start { limit: *limit },
        Reading::Piece { start, end, head, .. } => ranges::Extent::Piece { start: *start, end: *end, head: *head },
    }
}

/// The part of a blob that a decoder is to own.
pub fn part(reading: &Reading) -> decode::Part {
    match reading {
        Reading::Whole(_) | Reading::Start { .. } | Reading::Members(_) => decode::Part::Whole,
        Reading::Piece { start, end, hint, .. } => decode::Part::Piece { start: *start, end: *end, hint: hint.clone() },
    }
}
