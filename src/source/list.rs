//! Which blobs there are. Nothing is requested of a blob whose path rules it out.

use std::future::ready;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::store::way_out;
use super::{Blob, BlobPath, Source, SourceError};

/// The blobs of one source.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of their names.
    pub blobs: Vec<Blob>,
    /// What stands before the names, with the prefix that it replaces in a location.
    pub shown: Shown,
    /// Folders that could not be listed, and why.
    pub unlisted: Vec<(String, String)>,
    /// Blobs of the source, in the window or not.
    seen: usize,
}

impl Listing {
    /// Takes a blob whose name says it is a flow log.
    fn consider(&mut self, meta: ObjectMeta, is_local: bool, from: Option<i64>, to: Option<i64>) {
        let name = meta.location.as_ref();
        if [".json", ".json.gz", ".json.zst"].into_iter().any(|ending| ends_with(name, ending)) {
            self.seen += 1;
            self.take(meta, is_local, from, to);
        }
    }

    fn take(&mut self, meta: ObjectMeta, is_local: bool, from: Option<i64>, to: Option<i64>) {
        let location = meta.location.to_string();
        if BlobPath::parse(&location).is_some_and(|path| !path.may_hold(from, to)) {
            return;
        }
        let e_tag = meta.e_tag.map(|tag| if is_local { tag } else { quoted(tag) });
        self.blobs.push(Blob { location, size: meta.size, e_tag });
    }
}

/// A list gives ETags without quotes, a request wants them with quotes.
fn quoted(e_tag: String) -> String {
    if e_tag.starts_with('"') || e_tag.starts_with("W/") { e_tag } else { format!("\"{e_tag}\"") }
}

/// How to show the location of a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shown {
    /// Cut off from the front of a location.
    pub cut: String,
    /// Put there instead.
    pub put: String,
}

impl Shown {
    pub fn name(&self, location: &str) -> String {
        match location.strip_prefix(&*self.cut).unwrap_or(location).trim_start_matches('/') {
            "" => self.put.clone(),
            below => format!("{}/{below}", self.put),
        }
    }
}

/// Lists the blobs that may hold flows of `[from, to)`, ms since 1970. A source without any is an error.
pub async fn list(
    store: &dyn ObjectStore,
    source: &Source,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<Listing, SourceError> {
    let failed = |error: object_store::Error| SourceError::Store {
        shown: source.shown.clone(),
        way_out: way_out(&error, &source.shown),
    };
    let prefix = match source.is_local() {
        true => Path::from_absolute_path(&source.prefix).map_err(|e| failed(e.into()))?,
        false => Path::from_url_path(&source.prefix).map_err(|e| failed(e.into()))?,
    };
    let mut listing =
        Listing { shown: Shown { cut: prefix.to_string(), put: source.shown.clone() }, ..Listing::default() };
    let is_file = source.is_local() && std::path::Path::new(&source.prefix).is_file();
    if is_file {
        listing.seen = 1;
        listing.take(store.head(&prefix).await.map_err(failed)?, true, from, to);
    } else {
        let metas: Result<(), _> = store
            .list(Some(&prefix))
            .try_for_each(|meta| {
                listing.consider(meta, source.is_local(), from, to);
                ready(Ok(()))
            })
            .await;
        match metas {
            // One folder that cannot be listed must not hide the others.
            Err(_) if source.is_local() => {
                listing = Listing { shown: listing.shown, ..Listing::default() };
                walk(store, prefix.clone(), &mut listing, from, to).await.map_err(failed)?;
            }
            metas => metas.map_err(failed)?,
        }
        // A prefix may also name one blob.
        if listing.seen == 0
            && !source.is_local()
            && !source.prefix.is_empty()
            && let Ok(meta) = store.head(&prefix).await
        {
            listing.consider(meta, false, from, to);
        }
    }
    if listing.seen == 0 && listing.unlisted.is_empty() {
        return Err(SourceError::Empty { shown: source.shown.clone() });
    }
    listing.blobs.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(listing)
}

/// Folder by folder, and past those that cannot be listed, but for the first.
async fn walk(
    store: &dyn ObjectStore,
    root: Path,
    listing: &mut Listing,
    from: Option<i64>,
    to: Option<i64>,
) -> object_store::Result<()> {
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        match store.list_with_delimiter(Some(&folder)).await {
            Ok(found) => {
                found.objects.into_iter().for_each(|meta| listing.consider(meta, true, from, to));
                folders.extend(found.common_prefixes);
            }
            Err(error) if folder == root => return Err(error),
            Err(error) => {
                let why = way_out(&error, &listing.shown.name(folder.as_ref()));
                listing.unlisted.push((folder.to_string(), why));
            }
        }
    }
    Ok(())
}

fn ends_with(location: &str, ending: &str) -> bool {
    let at = location.len().checked_sub(ending.len());
    at.and_then(|at| location.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}
