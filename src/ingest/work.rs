//! Lists the sources, and cuts what is to be read into batches.

use std::collections::HashSet;
use std::sync::Arc;

use object_store::ObjectStore;

use super::{IngestError, Options};
use crate::lake::{Known, LakeError, Seen, is_table};
use crate::source::{
    Blob, BlobList, DisplayPath, Members, Selection, SkippedContainers, Source, SourceError, StoreKey, Stores, list,
};

/// Maximum number of blobs per batch. What is known of each is held until the commit.
const MOST_BLOBS: usize = 16_384;

/// What is to be read of one source.
pub struct Work {
    /// Store of the source.
    pub store: Arc<dyn ObjectStore>,
    /// Key of the store.
    pub key: StoreKey,
    /// Names of its blobs in the lake.
    pub shown: DisplayPath,
    /// Whether it is on this machine.
    pub is_local: bool,
    blobs: BlobList,
    archives: Vec<Members>,
}

/// What is read and committed together.
pub enum Batch {
    /// Whole blobs.
    Blobs(BlobList),
    /// Members of an archive.
    Members(Members),
}

/// What the sources hold.
#[derive(Default)]
pub struct Found {
    /// What is to be read, by source.
    pub works: Vec<Work>,
    /// Blobs whose newest version is known.
    pub unchanged: u64,
    /// Places that cannot be read, each with the reason.
    pub unread: Vec<(String, String)>,
    /// Containers of named accounts that were skipped, in words.
    pub skipped: Vec<String>,
}

/// Lists the sources. Fails if one is a lake.
pub async fn find(sources: &[Source], stores: &Stores, options: &Options, known: &Known) -> Result<Found, IngestError> {
    refuse_lakes(sources, stores, Source::is_local).await?;
    match list_all(sources, stores, options, known).await {
        // Only now, so that a source of blobs costs no request more.
        Err(error @ (SourceError::Empty { .. } | SourceError::NotChosen { .. })) => {
            refuse_lakes(sources, stores, |source| !source.is_local()).await?;
            Err(error.into())
        }
        found => Ok(found?),
    }
}

/// Fails if one of the chosen sources is a lake.
async fn refuse_lakes(
    sources: &[Source],
    stores: &Stores,
    is_chosen: impl Fn(&Source) -> bool,
) -> Result<(), IngestError> {
    for source in sources.iter().filter(|source| is_chosen(source)) {
        if is_table(source, &*stores.open(source)?.objects).await {
            return Err(LakeError::NotLogs { shown: source.shown.clone() }.into());
        }
    }
    Ok(())
}

async fn list_all(sources: &[Source], stores: &Stores, options: &Options, known: &Known) -> Result<Found, SourceError> {
    let selection = Selection {
        from: options.window.from,
        to: options.window.to,
        prefix: options.prefix.clone(),
        macs: options.macs.clone(),
    };
    let (mut found, mut skipped, mut readable) = (Found::default(), SkippedContainers::default(), Vec::new());
    for source in sources {
        let opened = stores.open(source)?;
        let shown = source.canonical();
        let mut blobs = BlobList::default();
        let mut unchanged = 0;
        let is_known = |location: &str, e_tag: Option<&str>, size: u64| {
            !options.reread && matches!(known.compare(&shown.name(location), e_tag, size), Seen::Unchanged(_))
        };
        let take = |blob: Blob| match is_known(&blob.location, blob.e_tag.as_deref(), blob.size) {
            true => unchanged += 1,
            false => blobs.push(&blob),
        };
        let listing = match list(&opened, source, &selection, take).await {
            Ok(listing) => listing,
            Err(error) => {
                skipped.record(source, error)?;
                continue;
            }
        };
        readable.extend(source.account.is_some().then_some(source.shown.as_str()));
        let mut archives = Vec::new();
        for members in listing.archives {
            let (total, e_tag) = (members.len(), members.archive.e_tag.clone());
            let wanted: HashSet<String> = members
                .iter()
                .filter(|member| !is_known(&member.blob.location, e_tag.as_deref(), member.blob.size))
                .map(|member| member.blob.location)
                .collect();
            unchanged += (total - wanted.len()) as u64;
            archives.push(members.filter(|location| wanted.contains(location)));
        }
        found.unchanged += unchanged;
        let not_listed = listing.unlisted.into_iter().map(|(place, why)| (place, format!("not listed: {why}")));
        let not_read =
            not_listed.chain(listing.unread).chain(listing.cuts.into_iter().map(|(place, _, why)| (place, why)));
        found.unread.extend(not_read.map(|(place, why)| (shown.name(&place), why)));
        let key = source.store.clone();
        found.works.push(Work { store: opened.objects, key, shown, is_local: source.is_local(), blobs, archives });
    }
    for lost in skipped.finish(readable.into_iter())? {
        match lost.is_unreadable {
            true => found.unread.push((lost.shown, lost.why)),
            false => found.skipped.push(lost.why),
        }
    }
    Ok(found)
}

impl Work {
    /// Bytes to read.
    pub fn size(&self) -> u64 {
        self.blobs.size() + self.archives.iter().map(Members::stored_size).sum::<u64>()
    }

    /// Returns batches of at most `most` bytes, or of one blob that is larger.
    pub fn batches(&self, most: u64) -> impl Iterator<Item = Batch> {
        let mut blobs = self.blobs.iter().peekable();
        let of_blobs = std::iter::from_fn(move || {
            let mut batch = BlobList::from_iter([blobs.next()?]);
            while batch.len() < MOST_BLOBS
                && let Some(blob) = blobs.next_if(|blob| batch.size() + blob.size <= most)
            {
                batch.push(&blob);
            }
            Some(Batch::Blobs(batch))
        });
        let archives = self.archives.iter().filter(|members| !members.is_empty());
        let of_archives = archives.flat_map(move |members| members.clone().split(most, |blob| blob.size));
        of_blobs.chain(of_archives.map(Batch::Members))
    }
}

impl Batch {
    /// Returns the blobs as listed.
    pub fn blobs(&self) -> Vec<Blob> {
        match self {
            Self::Blobs(blobs) => blobs.iter().collect(),
            Self::Members(members) => members.iter().map(|member| member.blob).collect(),
        }
    }
}
