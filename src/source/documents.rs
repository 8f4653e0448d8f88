//! Reads documents whole: exports in a folder, or in blobs. Reads no flow logs.

use futures::StreamExt;

use super::list::{Selection, list};
use super::read::ReadError;
use super::read::ranges::{Extent, Prefetch, Reader, contents};
use super::store::Opened;
use super::{Blob, Source, SourceError};

/// Documents that are read at a time from a store.
const TOGETHER: usize = 8;

/// A document, or why it could not be read.
#[derive(Debug)]
pub struct Document {
    /// Place as shown to the user.
    pub name: String,
    /// Its bytes, unpacked if it is compressed.
    pub bytes: Result<Vec<u8>, SourceError>,
}

/// Passes the selected documents of a source to `take`, in the order of their locations. Each may have `most` bytes.
/// Returns the first hour in the paths of the source, in ms since 1970.
pub async fn documents(
    opened: &Opened,
    source: &Source,
    selection: &Selection,
    most: usize,
    mut take: impl FnMut(Document),
) -> Result<Option<i64>, SourceError> {
    let mut blobs: Vec<Blob> = Vec::new();
    let none = || SourceError::NoDocument { shown: source.shown.clone() };
    let listing = match list(opened, source, selection, |blob| blobs.push(blob)).await {
        Err(SourceError::Empty { .. }) => return Err(none()),
        listing => listing?,
    };
    let lost = |name: String, why: &str| Document { bytes: Err(SourceError::unread(&name, why)), name };
    for (location, why) in listing.unlisted.iter().chain(&listing.unread) {
        take(lost(listing.shown.name(location), why));
    }
    for members in &listing.archives {
        take(lost(listing.shown.name(&members.archive.location), "this is an archive: unpack it first"));
    }
    blobs.sort_unstable_by(|one, other| one.location.cmp(&other.location));
    let read = blobs.into_iter().map(|blob| async {
        let name = listing.shown.name(&blob.location);
        Document { bytes: whole(opened, blob, most, &name).await, name }
    });
    let mut read = futures::stream::iter(read).buffered(TOGETHER.min(opened.concurrency));
    while let Some(document) = read.next().await {
        take(document);
    }
    Ok(listing.hours.map(|(first, _)| first))
}

async fn whole(opened: &Opened, blob: Blob, most: usize, name: &str) -> Result<Vec<u8>, SourceError> {
    let too_long = || SourceError::unread(name, &format!("it is longer than {} MiB", most >> 20));
    let ahead = opened.pages.is_some().then(|| Prefetch::new(1));
    let mut chunks = contents(Reader::new(opened.objects.clone(), &blob, Extent::Whole, ahead), |_| ());
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| match error {
            ReadError::Store(error) => opened.error(&error, name),
            error => SourceError::unread(name, &error.to_string()),
        })?;
        if bytes.len() + chunk.len() > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
