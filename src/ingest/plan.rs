//! Decides how each blob of a batch is read: whole, or from where it ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;

use super::work::{Batch, Work};
use crate::decode::{SplitHint, probe_head};
use crate::engine::{EDGE, ScanUnit, UnitContents};
use crate::lake::{Cursors, Entry, Known, LakeError, Place, Seen};
use crate::source::read::ranges::{Extent, Reader, head_of};
use crate::source::{Blob, BlobList, hash};

/// Maximum bytes of small blobs per unit, local and remote.
const UNIT: [u64; 2] = [16 << 20, 64 << 20];

/// How a blob is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For the first time.
    New,
    /// From the end of its last whole record on.
    Grown,
    /// Whole, in place of what was read before.
    Rewritten,
}

/// How the blobs of a batch are read.
#[derive(Default)]
pub struct Plan {
    /// Units to scan.
    pub units: Vec<Arc<ScanUnit>>,
    /// Blobs of the batch that another run has read since they were listed.
    pub unchanged: u64,
    blobs: HashMap<String, Planned>,
}

/// How one blob is read.
pub struct Planned {
    /// The blob as listed.
    pub blob: Blob,
    /// What the lake has of it.
    pub before: Option<Entry>,
    /// Its first bytes, if it is read on from where it ended.
    pub head: Option<Bytes>,
}

impl Planned {
    /// Returns how the blob is read.
    pub fn kind(&self) -> Kind {
        match (&self.before, &self.head) {
            (None, _) => Kind::New,
            (Some(_), Some(_)) => Kind::Grown,
            (Some(_), None) => Kind::Rewritten,
        }
    }
}

impl Plan {
    /// Compares a batch with the cursors. Blobs that are excluded are not read.
    pub async fn of(
        work: &Work,
        batch: &Batch,
        cursors: &Cursors,
        known: &Known,
        rereads: bool,
        excluded: &HashMap<String, String>,
    ) -> Result<Self, LakeError> {
        let mut plan = Self::default();
        let mut places = Vec::new();
        let mut wanted = Vec::new();
        for blob in batch.blobs() {
            let name = work.shown.name(&blob.location);
            if excluded.contains_key(&name) {
                continue;
            }
            match known.compare(&name, blob.e_tag.as_deref(), blob.size) {
                Seen::Unchanged(place) if rereads => places.push(place),
                Seen::Unchanged(_) => {
                    plan.unchanged += 1;
                    continue;
                }
                Seen::Changed(place) => places.push(place),
                Seen::New => {}
            }
            wanted.push((name, blob));
        }
        let mut entries = cursors.at(places)?;
        let mut whole = HashSet::new();
        for (name, blob) in wanted {
            let before = entries.remove(&name);
            let growth = match &before {
                Some(entry) if !rereads && matches!(batch, Batch::Blobs(_)) => growth(&work.store, &blob, entry).await,
                _ => None,
            };
            let head = match (growth, &before) {
                (Some((head, check, hint)), Some(entry)) => {
                    let (start, blob) = (entry.end, blob.clone());
                    plan.add(work, UnitContents::Piece { blob, start, end: None, hint, head: Some(check) });
                    Some(head)
                }
                _ => {
                    whole.insert(blob.location.clone());
                    None
                }
            };
            plan.blobs.insert(name, Planned { blob, before, head });
        }
        plan.add_whole(work, batch, &whole);
        Ok(plan)
    }

    /// Reads all blobs of a batch whole, whatever the lake has of them.
    pub fn whole(work: &Work, batch: &Batch) -> Self {
        let mut plan = Self::default();
        let mut whole = HashSet::new();
        for blob in batch.blobs() {
            whole.insert(blob.location.clone());
            plan.blobs.insert(work.shown.name(&blob.location), Planned { blob, before: None, head: None });
        }
        plan.add_whole(work, batch, &whole);
        plan
    }

    /// Adds units of the blobs of a batch that are read whole.
    fn add_whole(&mut self, work: &Work, batch: &Batch, whole: &HashSet<String>) {
        let most = UNIT[usize::from(!work.is_local)];
        match batch {
            Batch::Blobs(blobs) => {
                let mut unit = BlobList::default();
                for blob in blobs.iter().filter(|blob| whole.contains(&blob.location)) {
                    if !unit.is_empty() && unit.size() + blob.size > most {
                        self.add(work, UnitContents::Whole(std::mem::take(&mut unit)));
                    }
                    unit.push(&blob);
                }
                if !unit.is_empty() {
                    self.add(work, UnitContents::Whole(unit));
                }
            }
            Batch::Members(members) => {
                let members = members.filter(|location| whole.contains(location));
                if !members.is_empty() {
                    self.add(work, UnitContents::Members(members));
                }
            }
        }
    }

    fn add(&mut self, work: &Work, reading: UnitContents) {
        self.units.push(Arc::new(ScanUnit { shown: work.shown.clone(), reading }));
    }

    /// Returns how a blob is read.
    pub fn planned(&self, name: &str) -> Option<&Planned> {
        self.blobs.get(name)
    }

    /// Returns whether the lake has of each of these blobs what the plan was made on.
    pub fn holds<'a>(
        &self,
        mut names: impl Iterator<Item = &'a String>,
        cursors: &Cursors,
        known: &Known,
    ) -> Result<bool, LakeError> {
        let mut places: Vec<Place> = Vec::new();
        let is_same = names.all(|name| {
            let before = self.blobs.get(name).and_then(|planned| planned.before.as_ref());
            match (before, known.compare(name, None, 0)) {
                (None, Seen::New) => true,
                (Some(_), Seen::Changed(place) | Seen::Unchanged(place)) => {
                    places.push(place);
                    true
                }
                _ => false,
            }
        });
        let entries = if is_same { cursors.at(places)? } else { return Ok(false) };
        Ok(entries
            .iter()
            .all(|(name, entry)| self.blobs.get(name).and_then(|planned| planned.before.as_ref()) == Some(entry)))
    }
}

/// Returns the first bytes of a blob that grew since `before`, with their hash and how its records begin. Returns `None`
/// if it must be read from its start.
async fn growth(store: &Arc<dyn ObjectStore>, blob: &Blob, before: &Entry) -> Option<(Bytes, u64, SplitHint)> {
    if !before.can_grow || before.end == 0 || blob.size < before.end {
        return None;
    }
    // A blob that cannot be read now is reported by its scan.
    let (head, check) = head_of(&**store, blob).await.ok()?;
    let hint = probe_head(&head).filter(SplitHint::is_in_records)?;
    let first = head.get(..head.len().min(EDGE).min(usize::try_from(before.end).unwrap_or(usize::MAX)))?;
    let is_same = hash(first) == before.hashes[0] && hash(&last(store, blob, before.end).await?) == before.hashes[1];
    is_same.then_some((head, check, hint))
}

/// Reads the last bytes before `end`.
pub async fn last(store: &Arc<dyn ObjectStore>, blob: &Blob, end: u64) -> Option<Bytes> {
    let start = end.saturating_sub(EDGE as u64);
    let mut reader = Reader::new(Arc::clone(store), blob, Extent::Range { start, end }, None);
    reader.at(start..end).await.ok()
}
