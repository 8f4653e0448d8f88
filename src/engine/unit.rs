//! What one opener call reads: many small blobs, or a piece of a big one. Plain serialisable values, so that
//! another machine can read them too.

use futures::stream::{self, StreamExt};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::decode::{self, SplitHint, probe_head};
use crate::source::{Blob, BlobList, Listing, Shown, fetch, is_packed};

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
    /// The records that start in `[start, end)` of one blob; `end` is `None` for the last piece.
    Piece { blob: Blob, start: u64, end: Option<u64>, hint: SplitHint },
}

impl ScanUnit {
    /// Bytes that the unit owns.
    pub fn size(&self) -> u64 {
        match &self.reading {
            Reading::Whole(blobs) => blobs.size(),
            Reading::Piece { blob, start, end, .. } => end.unwrap_or(blob.size) - start,
        }
    }

    /// Locations of the blobs that start in it.
    pub fn locations(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match &self.reading {
            Reading::Whole(blobs) => Box::new(blobs.iter().map(|blob| blob.location)),
            Reading::Piece { blob, start, .. } => Box::new((*start == 0).then(|| blob.location.clone()).into_iter()),
        }
    }

    /// Location of its first blob.
    pub fn location(&self) -> String {
        match &self.reading {
            Reading::Whole(blobs) => blobs.iter().next().map(|b| b.location).unwrap_or_default(),
            Reading::Piece { blob, .. } => blob.location.clone(),
        }
    }
}

/// Small blobs are read together up to so many bytes.
const UNIT: u64 = 16 << 20;
/// Bigger blobs are cut into pieces.
const BIG: u64 = 32 << 20;
/// So much of a big blob tells how to cut it.
const HEAD: u64 = 16 << 10;

/// Cuts a listing into units. Needs a few KiB of each big blob.
pub async fn plan_units(store: &dyn ObjectStore, listing: Listing) -> Vec<ScanUnit> {
    let Listing { blobs, shown, .. } = listing;
    let (big, small): (Vec<Blob>, Vec<Blob>) = blobs.into_iter().partition(|blob| blob.size > BIG);
    let pieces = stream::iter(big)
        .map(|blob| async move {
            // A blob that cannot be read now will say so when it is scanned.
            let head = fetch::head(store, &blob, HEAD).await.unwrap_or_default();
            cut(blob, if is_packed(&head) { None } else { probe_head(&head) })
        })
        .buffered(8)
        .collect::<Vec<_>>()
        .await;
    let mut units: Vec<Reading> = pieces.into_iter().flatten().collect();
    let (mut together, mut weight) = (BlobList::default(), 0);
    for blob in small {
        if !together.is_empty() && weight + unpacked_size(&blob) > UNIT {
            units.push(Reading::Whole(std::mem::take(&mut together)));
            weight = 0;
        }
        weight += unpacked_size(&blob);
        together.push(&blob);
    }
    if !together.is_empty() {
        units.push(Reading::Whole(together));
    }
    units.into_iter().map(|reading| ScanUnit { shown: shown.clone(), reading }).collect()
}

/// About how many bytes there are to decode; by the name, which mostly is right.
fn unpacked_size(blob: &Blob) -> u64 {
    let is_named_packed = blob.location.ends_with(".gz") || blob.location.ends_with(".zst");
    blob.size * if is_named_packed { 8 } else { 1 }
}

fn cut(blob: Blob, hint: Option<SplitHint>) -> Vec<Reading> {
    let Some(hint) = hint else { return vec![Reading::Whole(BlobList::from_iter([blob]))] };
    let count = blob.size.div_ceil(UNIT);
    let edge = |i: u64| blob.size / count * i;
    (0..count)
        .map(|i| Reading::Piece {
            blob: blob.clone(),
            start: edge(i),
            end: (i + 1 < count).then(|| edge(i + 1)),
            hint: hint.clone(),
        })
        .collect()
}

/// The part of a blob that a decoder is to own.
pub fn part(reading: &Reading) -> decode::Part {
    match reading {
        Reading::Whole(_) => decode::Part::Whole,
        Reading::Piece { start, end, hint, .. } => decode::Part::Piece { start: *start, end: *end, hint: hint.clone() },
    }
}
