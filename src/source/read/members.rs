//! Compact, serialisable list of the members of an archive.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Stored};
use super::magic::Kind;
use crate::source::{Blob, BlobList, Place};

/// Distance in bytes above which members are read by separate requests.
pub(super) const GAP: u64 = 1 << 20;
/// Typical size in bytes of a local header in a zip archive, with the usual extra fields.
const HEADER: u64 = 128;

/// Members of one archive, in stored order. Together with the store, they are all that is needed to read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The archive as listed.
    pub archive: Blob,
    /// Format of the archive.
    pub kind: Kind,
    /// Members as blobs: the location is `ARCHIVE!NAME`, the size that of the file. ETags are omitted.
    blobs: BlobList,
    stored: Vec<Stored>,
}

/// A member, as a blob with the ETag of its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Location, size and ETag as a blob.
    pub blob: Blob,
    /// Place and compression in the archive.
    pub stored: Stored,
    /// End of the run of members that is read in one go from this one on.
    pub(super) reach: u64,
}

/// Position in [`Members`].
#[derive(Debug, Clone, Default)]
pub struct At {
    place: Place,
    nr: usize,
    reach: u64,
}

impl Members {
    /// Creates an empty list for an archive.
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

    /// Number of members.
    pub fn len(&self) -> usize {
        self.blobs.len()
    }

    /// Returns whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Sum of the file sizes in bytes, as the archive gives them.
    pub fn size(&self) -> u64 {
        self.blobs.size()
    }

    /// Bytes of the archive needed to read all members.
    pub fn stored_size(&self) -> u64 {
        match self.kind {
            Kind::PackedTar => self.archive.size,
            Kind::Zip | Kind::Tar => self.stored.iter().fold(0, |sum: u64, stored| sum.saturating_add(stored.length)),
        }
    }

    /// Iterates over the members in stored order.
    pub fn iter(&self) -> impl Iterator<Item = Member> {
        let mut at = At::default();
        std::iter::from_fn(move || self.next(&mut at))
    }

    /// Returns the member at `at` and advances it. Meant for callers that cannot hold a borrow.
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

    /// Returns the members whose location is wanted.
    pub fn filter(&self, is_wanted: impl Fn(&str) -> bool) -> Self {
        let mut some = Self::new(self.archive.clone(), self.kind);
        self.iter().filter(|member| is_wanted(&member.blob.location)).for_each(|member| some.push_member(&member));
        some
    }

    /// Splits the list into parts that can be read in parallel. A part weighs at most `most` bytes by `weight`, or is
    /// a single member. A compressed tar archive is not split.
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

/// Returns the location of a member as a blob.
pub(super) fn location(archive: &Blob, name: &str) -> String {
    format!("{}!{name}", archive.location)
}
