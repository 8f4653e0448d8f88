//! Many members of an archive in little memory, as plain values.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Stored};
use super::magic::Kind;
use crate::source::{Blob, BlobList, Place};

/// Members that are further apart than this are read by requests of their own.
pub(super) const GAP: u64 = 1 << 20;
/// The header of a member in a zip archive, with the extra fields that are usual.
const HEADER: u64 = 128;

/// Members of one archive, in the order in which they are stored: with its store, all that it takes to read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub archive: Blob,
    pub kind: Kind,
    /// What they are as blobs: their place is `ARCHIVE!NAME`, their size that of the file. ETags are left out.
    blobs: BlobList,
    stored: Vec<Stored>,
}

/// A member, as a blob with the ETag of its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub blob: Blob,
    pub stored: Stored,
    /// Where the members end that are read in one go from this one on.
    pub(super) reach: u64,
}

/// Where one is in [`Members`].
#[derive(Debug, Clone, Default)]
pub struct At {
    place: Place,
    nr: usize,
    reach: u64,
}

impl Members {
    pub fn new(archive: Blob, kind: Kind) -> Self {
        Self { archive, kind, blobs: BlobList::default(), stored: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        let location = location(&self.archive, &entry.name);
        self.blobs.push(&Blob { location, size: entry.size, e_tag: None });
        self.stored.push(entry.stored);
    }

    fn push_member(&mut self, member: &Member) {
        self.blobs.push(&Blob { e_tag: None, ..member.blob.clone() });
        self.stored.push(member.stored);
    }

    pub fn len(&self) -> usize {
        self.blobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Bytes of the files.
    pub fn size(&self) -> u64 {
        self.blobs.size()
    }

    /// Bytes of the archive that reading them takes.
    pub fn stored_size(&self) -> u64 {
        match self.kind {
            Kind::PackedTar => self.archive.size,
            Kind::Zip | Kind::Tar => self.stored.iter().fold(0, |sum: u64, stored| sum.saturating_add(stored.length)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Member> {
        let mut at = At::default();
        std::iter::from_fn(move || self.next(&mut at))
    }

    /// The member at `at`, which then is the next one's. For those that cannot hold a borrow.
    pub fn next(&self, at: &mut At) -> Option<Member> {
        let stored = *self.stored.get(at.nr)?;
        let blob = self.blobs.next(&mut at.place)?;
        if stored.offset >= at.reach {
            at.reach = self.reach(at.nr);
        }
        at.nr += 1;
        let blob = Blob { e_tag: self.archive.e_tag.clone(), ..blob };
        Some(Member { blob, stored, reach: at.reach })
    }

    fn reach(&self, first: usize) -> u64 {
        let end = |stored: &Stored| stored.offset.saturating_add(stored.length).saturating_add(HEADER);
        let mut reach = 0_u64;
        for stored in self.stored.iter().skip(first) {
            if reach > 0 && stored.offset > reach.saturating_add(GAP) {
                break;
            }
            reach = reach.max(end(stored));
        }
        reach
    }

    /// Those whose location is wanted.
    pub fn filter(&self, is_wanted: impl Fn(&str) -> bool) -> Self {
        let mut some = Self::new(self.archive.clone(), self.kind);
        self.iter().filter(|member| is_wanted(&member.blob.location)).for_each(|member| some.push_member(&member));
        some
    }

    /// In parts that can be read beside one another, each of at most `most` bytes as `weight` has them, or of one member.
    pub fn split(self, most: u64, weight: impl Fn(&Blob) -> u64) -> Vec<Self> {
        if self.kind == Kind::PackedTar {
            return vec![self];
        }
        let mut parts = Vec::new();
        let (mut part, mut total) = (Self::new(self.archive.clone(), self.kind), 0_u64);
        for member in self.iter() {
            let weight = weight(&member.blob);
            if !part.is_empty() && total.saturating_add(weight) > most {
                let next = Self::new(self.archive.clone(), self.kind);
                parts.push(std::mem::replace(&mut part, next));
                total = 0;
            }
            total = total.saturating_add(weight);
            part.push_member(&member);
        }
        parts.push(part);
        parts.retain(|part| !part.is_empty());
        parts
    }
}

/// The name of a member as that of a blob.
pub(super) fn location(archive: &Blob, name: &str) -> String {
    format!("{}!{name}", archive.location)
}
