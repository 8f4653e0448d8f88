//! Which blobs there are. Nothing is requested of a blob whose path rules it out.

use std::future::ready;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::odd_names::{fault_of, may_be_log};
use super::store::Opened;
use super::trouble::is_forbidden;
use super::{Blob, BlobPath, Source, SourceError, pages, way_out};

/// Which blobs are wanted. What a path does not tell does not rule it out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Flows of `[from, to)`, ms since 1970.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// What names start with, below the source.
    pub prefix: String,
    /// Interfaces, as [`mac`] writes them; none for all.
    pub macs: Vec<String>,
}

impl Selection {
    pub(super) fn has_window(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    fn wants(&self, location: &str) -> bool {
        self.is_of_interface(location) && BlobPath::parse(location).is_none_or(|path| path.may_hold(self.from, self.to))
    }

    fn is_of_interface(&self, location: &str) -> bool {
        let is_chosen = |found: &str| self.macs.iter().any(|mac| found.eq_ignore_ascii_case(mac));
        self.macs.is_empty() || BlobPath::parse(location).and_then(|path| path.mac).is_none_or(is_chosen)
    }
}

/// A MAC address as flow logs write it, whatever stands between its digits: `000D3A12BA87`.
pub fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let is_mac = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_mac.then(|| digits.to_ascii_uppercase())
}

/// Bytes of a blob that are believed. A blob of blocks may have more, and the log of an hour has thousandths of it.
const LARGEST: u64 = 1 << 40;

/// What a list of one source found, besides the blobs.
#[derive(Debug, Default)]
pub struct Listing {
    /// What stands before the names, with the prefix that it replaces in a location.
    pub shown: Shown,
    /// Folders that could not be listed, and why.
    pub unlisted: Vec<(String, String)>,
    /// Whatever was listed.
    pub listed: u64,
    /// Blobs that cannot be read, and why.
    pub unread: Vec<(String, String)>,
    /// Of it, what is to be read.
    pub taken: u64,
    /// Whether there is a flow log with the chosen prefix, of whatever time or interface.
    pub(super) is_log: bool,
    /// Whether there is one of a chosen interface, of whatever time.
    is_chosen: bool,
    /// Whether all that has the prefix was listed, whatever the window.
    pub(super) is_whole: bool,
}

impl Listing {
    /// Passes on a blob whose name says it is a flow log, and one that is wanted.
    pub(super) fn consider(
        &mut self,
        meta: ObjectMeta,
        is_local: bool,
        selection: &Selection,
        take: &mut impl FnMut(Blob),
    ) {
        self.listed += 1;
        let name = meta.location.as_ref();
        let is_log = [".json", ".json.gz", ".json.zst"].into_iter().any(|ending| ends_with(name, ending));
        if is_log && self.is_below(name, &selection.prefix) {
            self.is_log = true;
            self.is_chosen |= selection.is_of_interface(name);
            if selection.wants(name) {
                self.take(meta, is_local, take);
            }
        }
    }

    /// Notes a blob whose name cannot be asked for, if it is wanted.
    fn pass_over(&mut self, name: String, selection: &Selection) {
        self.listed += 1;
        if may_be_log(&name) && self.is_below(&name, &selection.prefix) && selection.wants(&name) {
            let why = format!("not read: its name cannot be asked for, because {}", fault_of(&name));
            self.unread.push((name, why));
        }
    }

    fn take(&mut self, meta: ObjectMeta, is_local: bool, take: &mut impl FnMut(Blob)) {
        if meta.size > LARGEST {
            let why = format!("not read: it is said to have {} bytes, which no flow log has", meta.size);
            self.unread.push((meta.location.to_string(), why));
            return;
        }
        self.taken += 1;
        let e_tag = meta.e_tag.map(|tag| if is_local { tag } else { quoted(tag) });
        take(Blob { location: meta.location.to_string(), size: meta.size, e_tag });
    }

    fn is_below(&self, location: &str, prefix: &str) -> bool {
        prefix.is_empty()
            || location
                .strip_prefix(&*self.shown.cut)
                .is_some_and(|below| below.trim_start_matches('/').starts_with(prefix))
    }
}

/// A list gives ETags without quotes, a request wants them with quotes.
pub(super) fn quoted(e_tag: String) -> String {
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

/// Passes on the blobs of a source that are wanted: of a local source in the order of their names, of a remote one as
/// they come. A source without any blob is an error.
pub async fn list(
    opened: &Opened,
    source: &Source,
    selection: &Selection,
    mut take: impl FnMut(Blob),
) -> Result<Listing, SourceError> {
    let failed = |error: object_store::Error| opened.error(&error, &source.shown);
    let prefix = match source.is_local() {
        true => Path::from_absolute_path(&source.prefix).map_err(|e| failed(e.into()))?,
        false => Path::from_url_path(&source.prefix).map_err(|e| failed(e.into()))?,
    };
    let mut listing =
        Listing { shown: Shown { cut: prefix.to_string(), put: source.shown.clone() }, ..Listing::default() };
    match &opened.pages {
        Some(pages) => {
            let (mut first, mut last) = (None, None);
            let mut take = |blob: Blob| {
                let place = if first.is_none() { &mut first } else { &mut last };
                *place = Some(blob.location.clone());
                take(blob);
            };
            let most = opened.concurrency;
            pages::list(&*pages.store, most, &prefix, selection, &mut listing, &mut take).await.map_err(failed)?;
            // A prefix may also name one blob.
            if listing.listed == 0
                && !source.prefix.is_empty()
                && let Ok(meta) = opened.objects.head(&prefix).await
            {
                listing.consider(meta, false, selection, &mut take);
            }
            pages.odd_names.take().into_iter().for_each(|name| listing.pass_over(name, selection));
            let samples: Vec<String> = first.into_iter().chain(last).collect();
            may_read(&*opened.objects, &samples).await.map_err(failed)?;
        }
        None => {
            listing.is_whole = true;
            let mut blobs = Vec::new();
            local(&*opened.objects, source, &prefix, selection, &mut listing, |blob| blobs.push(blob))
                .await
                .map_err(failed)?;
            blobs.sort_unstable_by(|a: &Blob, b: &Blob| a.location.cmp(&b.location));
            blobs.into_iter().for_each(take);
        }
    }
    let shown = source.shown.clone();
    let is_known = listing.unlisted.is_empty() && listing.unread.is_empty();
    if is_known && !listing.is_log {
        let has_prefix = !selection.prefix.is_empty();
        return Err(if has_prefix { SourceError::NotChosen { shown } } else { SourceError::Empty { shown } });
    }
    // Where only a window was listed, the interface may be known at other times.
    if is_known && listing.is_whole && !listing.is_chosen {
        return Err(SourceError::NotChosen { shown });
    }
    Ok(listing)
}

/// Fails when whoever lists blobs may not read them: one message then, in the place of one for each blob. A single blob
/// may be refused for itself, two of them are refused for all.
async fn may_read(store: &dyn ObjectStore, samples: &[String]) -> object_store::Result<()> {
    let mut refused = Ok(());
    for location in samples {
        let Ok(path) = Path::parse(location) else { continue };
        match store.get_range(&path, 0..1).await {
            Err(error) if is_forbidden(&error) => refused = Err(error),
            // Other trouble is noted where the blob is read.
            _ => return Ok(()),
        }
    }
    refused
}

async fn local(
    store: &dyn ObjectStore,
    source: &Source,
    prefix: &Path,
    selection: &Selection,
    listing: &mut Listing,
    mut take: impl FnMut(Blob),
) -> object_store::Result<()> {
    if std::path::Path::new(&source.prefix).is_file() {
        (listing.listed, listing.is_log) = (1, true);
        let meta = store.head(prefix).await?;
        listing.is_chosen = selection.is_of_interface(meta.location.as_ref());
        // Whatever it is called.
        if selection.wants(meta.location.as_ref()) {
            listing.take(meta, true, &mut take);
        }
        return Ok(());
    }
    let mut metas = Vec::new();
    let all = store.list(Some(prefix)).try_for_each(|meta| {
        metas.push(meta);
        ready(Ok(()))
    });
    // One folder that cannot be listed must not hide the others.
    if all.await.is_err() {
        metas = walk(store, prefix.clone(), listing).await?;
    }
    metas.into_iter().for_each(|meta| listing.consider(meta, true, selection, &mut take));
    Ok(())
}

/// Folder by folder, and past those that cannot be listed, but for the first.
async fn walk(store: &dyn ObjectStore, root: Path, listing: &mut Listing) -> object_store::Result<Vec<ObjectMeta>> {
    let (mut folders, mut metas) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        match store.list_with_delimiter(Some(&folder)).await {
            Ok(found) => {
                metas.extend(found.objects);
                folders.extend(found.common_prefixes);
            }
            Err(error) if folder == root => return Err(error),
            Err(error) => {
                let why = way_out(&error, &listing.shown.name(folder.as_ref()));
                listing.unlisted.push((folder.to_string(), why));
            }
        }
    }
    Ok(metas)
}

fn ends_with(location: &str, ending: &str) -> bool {
    let at = location.len().checked_sub(ending.len());
    at.and_then(|at| location.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}
