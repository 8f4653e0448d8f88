//! Lists the blobs of a source. A blob whose path rules it out causes no request.

pub(super) mod account;
mod files;
pub(super) mod odd_names;
pub(super) mod others;
pub(super) mod pattern;
pub(super) mod selection;

use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::azure::pages;
use super::error::is_forbidden;
use super::local::Unlisted;
use super::read::ReadError;
use super::read::ranges::Prefetch;
use super::read::{self, Found};
use super::store::Opened;
use super::{Blob, Source, SourceError};

use files::Files;
use others::{is_log, is_sidecar};
use selection::blob;
pub use selection::{DisplayPath, Listing, Selection, mac};

/// Passes the selected blobs of a source to `take`: local ones in name order, remote ones in order of arrival. A
/// source without any flow log is an error.
pub async fn list(
    opened: &Opened,
    source: &Source,
    selection: &Selection,
    mut take: impl FnMut(Blob),
) -> Result<Listing, SourceError> {
    let failed = |error: object_store::Error| opened.error(&error, &source.shown);
    let unread = |error: ReadError| match error {
        ReadError::Store(error) => failed(error),
        error => SourceError::unread(&source.shown, &error.to_string()),
    };
    let prefix = match source.is_local() {
        true => Path::from_absolute_path(&source.prefix).map_err(|e| failed(e.into()))?,
        false => Path::from_url_path(&source.prefix).map_err(|e| failed(e.into()))?,
    };
    let shown = DisplayPath { cut: prefix.to_string(), put: source.base().to_owned() };
    let mut listing = Listing { shown, ..Listing::default() };
    match &opened.pages {
        Some(pages) => {
            let (mut first, mut last) = (None, None);
            let mut take = |blob: Blob| {
                let place = if first.is_none() { &mut first } else { &mut last };
                *place = Some(blob.location.clone());
                take(blob);
            };
            let most = opened.concurrency;
            if let Err(error) = pages::list(&*pages.store, most, &prefix, selection, &mut listing, &mut take).await {
                return Err(opened.unlisted(&error, source).await);
            }
            // A prefix may also be the full name of one blob.
            if listing.listed == 0
                && !source.prefix.is_empty()
                && let Ok(meta) = opened.objects.head(&prefix).await
            {
                let archive = blob(meta.clone(), false);
                match read::recognise(&opened.objects, &archive).await.map_err(unread)? {
                    Some(kind) => open_archive(&mut listing, opened, archive, kind, selection).await.map_err(unread)?,
                    None => listing.consider(meta, false, selection, &mut take),
                }
            }
            pages.odd_names.take().into_iter().for_each(|name| listing.pass_over_name(name, selection));
            let samples: Vec<String> = first.into_iter().chain(last).collect();
            may_read(&*opened.objects, &samples).await.map_err(|error| opened.unread(&error, &source.shown))?;
        }
        None => {
            listing.is_whole = true;
            let found = source.find().await?;
            local(opened, source, found, &prefix, selection, &mut listing, take).await.map_err(unread)?;
        }
    }
    let shown = source.shown.clone();
    let is_known = listing.unlisted.is_empty() && listing.unread.is_empty() && listing.cuts.is_empty();
    if is_known && !listing.is_log {
        let has_prefix = !selection.prefix.is_empty();
        return Err(if has_prefix {
            SourceError::NotChosen { shown }
        } else {
            SourceError::empty(shown, &listing.others)
        });
    }
    // If only a window was listed, the interface may occur at other times, so this is an error only for a full list.
    if is_known && listing.is_whole && !listing.is_chosen {
        return Err(SourceError::NotChosen { shown });
    }
    Ok(listing)
}

/// Lists the members of an archive.
async fn open_archive(
    listing: &mut Listing,
    opened: &Opened,
    archive: Blob,
    kind: read::Kind,
    selection: &Selection,
) -> Result<(), ReadError> {
    let ahead = opened.pages.is_some().then(|| Prefetch::new(opened.concurrency));
    let place = archive.location.clone();
    let is_wanted = |location: &str| listing.wants(location, is_log(location), selection);
    let Found { members, unread, cut } = read::entries(&opened.objects, archive, kind, ahead, is_wanted).await?;
    listing.taken += (members.len() + unread.len()) as u64;
    listing.unread.extend(unread);
    listing.cuts.extend(cut.map(|(at, why)| (place, at, why)));
    listing.archives.push(members);
    Ok(())
}

/// Fails if the listed blobs may not be read, which replaces one message per blob by a single one. One refused sample
/// may be an exception; two mean that all are refused.
async fn may_read(store: &dyn ObjectStore, samples: &[String]) -> object_store::Result<()> {
    let mut refused = Ok(());
    for location in samples {
        let Ok(path) = Path::parse(location) else { continue };
        match store.get_range(&path, 0..1).await {
            Err(error) if is_forbidden(&error) => refused = Err(error),
            // Other errors are reported when the blob is read.
            _ => return Ok(()),
        }
    }
    refused
}

/// Lists a file, or the blobs below a folder or of a pattern. They come in name order, each file once.
async fn local(
    opened: &Opened,
    source: &Source,
    found: Option<pattern::Found>,
    prefix: &Path,
    selection: &Selection,
    listing: &mut Listing,
    mut take: impl FnMut(Blob),
) -> Result<(), ReadError> {
    let mut files = Files::default();
    match found {
        Some(pattern::Found { files: metas, folders, unlisted }) => {
            metas.into_iter().for_each(|meta| files.push(!is_sidecar(meta.location.as_ref()), meta));
            unlisted.iter().for_each(|unlisted| listing.pass_over(unlisted, true));
            for folder in folders {
                below(&*opened.objects, &folder, false, listing, &mut files).await?;
            }
        }
        None if std::path::Path::new(&source.prefix).is_file() => {
            let meta = opened.objects.head(prefix).await?;
            files.push(true, meta);
        }
        None => below(&*opened.objects, prefix, true, listing, &mut files).await?,
    }
    let files = files.once();
    let is_alone = files.len() == 1 && source.is_file();
    for (blob, is_named_so) in files.iter() {
        // The name usually shows the type, and a look inside costs as much as reading a small blob.
        let may_be_archive = is_named_so && (is_alone || !is_log(&blob.location));
        match if may_be_archive { read::recognise(&opened.objects, &blob).await } else { Ok(None) } {
            Ok(Some(kind)) => open_archive(listing, opened, blob, kind, selection).await?,
            Err(error) if is_alone => return Err(error),
            // An error is reported again when the file is read.
            Ok(None) | Err(_) if listing.wants(&blob.location, is_named_so, selection) => listing.take(blob, &mut take),
            Ok(None) | Err(_) => {}
        }
    }
    Ok(())
}

/// Lists the files below a folder. Entries that the system cannot list are recorded as passed over.
async fn below(
    store: &dyn ObjectStore,
    folder: &Path,
    is_source: bool,
    listing: &mut Listing,
    files: &mut Files,
) -> object_store::Result<()> {
    let mut found = store.list(Some(folder));
    while let Some(item) = found.next().await {
        match item {
            Ok(meta) => files.push(is_log(meta.location.as_ref()), meta),
            // A subfolder that cannot be listed must not hide the others.
            Err(error) => match Unlisted::of(&error) {
                Some(unlisted) if !is_source || unlisted.location() != folder.as_ref() => {
                    listing.pass_over(unlisted, false);
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}
