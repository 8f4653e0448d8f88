//! Which blobs there are. Nothing is requested of a blob whose path rules it out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use futures::StreamExt;
use http::HeaderValue;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::fetch::{Ahead, ReadError};
use super::local::{self, Unlisted};
use super::odd_names::{fault_of, may_be_log};
use super::others::{Others, is_log, is_sidecar};
use super::read::{self, Found, Members};
use super::store::Opened;
use super::trouble::is_forbidden;
use super::{Blob, BlobPath, Source, SourceError, pages, pattern};

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
    /// Archives that the source names, with the members that are wanted.
    pub archives: Vec<Members>,
    /// Blobs that cannot be read, and why: members of archives, files that the system does not give, and names that cannot be
    /// asked for.
    pub unread: Vec<(String, String)>,
    /// Archives that end too early, where, and why.
    pub cuts: Vec<(String, u64, String)>,
    /// What was listed, and is not read for its name.
    pub others: Others,
    /// Whatever was listed.
    pub listed: u64,
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
        if self.wants(meta.location.as_ref(), is_log(meta.location.as_ref()), selection) {
            self.take(meta, is_local, take);
        }
    }

    /// Notes a blob whose name cannot be asked for, if it is wanted.
    fn pass_over_name(&mut self, name: String, selection: &Selection) {
        if self.wants(&name, may_be_log(&name), selection) {
            let why = format!("not read: a blob of this name cannot be requested, because {}", fault_of(&name));
            self.unread.push((name, why));
        }
    }

    /// Counts a file, and says whether it is to be read.
    fn wants(&mut self, location: &str, is_log: bool, selection: &Selection) -> bool {
        self.listed += 1;
        if !is_log {
            self.others.add(&self.shown.name(location));
            return false;
        }
        if !self.is_below(location, &selection.prefix) {
            return false;
        }
        self.is_log = true;
        self.is_chosen |= selection.is_of_interface(location);
        selection.wants(location)
    }

    fn take(&mut self, meta: ObjectMeta, is_local: bool, take: &mut impl FnMut(Blob)) {
        if meta.size > LARGEST {
            let why = format!("not read: its listed size is {} bytes, which no flow log has", meta.size);
            self.unread.push((meta.location.to_string(), why));
            return;
        }
        self.taken += 1;
        take(blob(meta, is_local));
    }

    /// Notes a file or folder that the system does not give. A file of another name matters only if it `is_named`.
    fn pass_over(&mut self, unlisted: &Unlisted, is_named: bool) {
        let (location, why) = (unlisted.location(), unlisted.way_out());
        if unlisted.is_folder {
            self.unlisted.push((location, why));
        } else if is_named || is_log(&location) {
            self.unread.push((location, why));
        } else {
            self.listed += 1;
            self.others.add(&self.shown.name(&location));
        }
    }

    /// Lists the members of an archive.
    async fn open(
        &mut self,
        opened: &Opened,
        archive: Blob,
        kind: read::Kind,
        selection: &Selection,
    ) -> Result<(), ReadError> {
        let ahead = opened.pages.is_some().then(|| Ahead::new(opened.concurrency));
        let place = archive.location.clone();
        let is_wanted = |location: &str| self.wants(location, is_log(location), selection);
        let Found { members, unread, cut } = read::entries(&opened.objects, archive, kind, ahead, is_wanted).await?;
        self.taken += (members.len() + unread.len()) as u64;
        self.unread.extend(unread);
        self.cuts.extend(cut.map(|(at, why)| (place, at, why)));
        self.archives.push(members);
        Ok(())
    }

    fn is_below(&self, location: &str, prefix: &str) -> bool {
        prefix.is_empty()
            || location
                .strip_prefix(&*self.shown.cut)
                .is_some_and(|below| below.trim_start_matches(['/', '!']).starts_with(prefix))
    }
}

/// Adds the quotes that a list leaves out and a request needs. An ETag that no header can hold becomes one that no blob has:
/// the service then refuses it, and the reader asks for the true one.
pub(super) fn quoted(e_tag: String) -> String {
    let quoted = if e_tag.starts_with('"') || e_tag.starts_with("W/") { e_tag } else { format!("\"{e_tag}\"") };
    if HeaderValue::from_str(&quoted).is_ok() { quoted } else { "\"\"".to_owned() }
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
        let below = location.strip_prefix(&*self.cut).unwrap_or(location).trim_start_matches('/');
        let between = if self.put.is_empty() || self.put.ends_with('/') || below.starts_with('!') { "" } else { "/" };
        match below {
            "" => self.put.clone(),
            below => format!("{}{between}{below}", self.put),
        }
    }
}

fn blob(meta: ObjectMeta, is_local: bool) -> Blob {
    let e_tag = meta.e_tag.map(|tag| if is_local { tag } else { quoted(tag) });
    Blob { location: meta.location.to_string(), size: meta.size, e_tag }
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
    let unread = |error: ReadError| match error {
        ReadError::Store(error) => failed(error),
        error => SourceError::unread(&source.shown, &error.to_string()),
    };
    let prefix = match source.is_local() {
        true => Path::from_absolute_path(&source.prefix).map_err(|e| failed(e.into()))?,
        false => Path::from_url_path(&source.prefix).map_err(|e| failed(e.into()))?,
    };
    let shown = Shown { cut: prefix.to_string(), put: source.base().to_owned() };
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
            pages::list(&*pages.store, most, &prefix, selection, &mut listing, &mut take).await.map_err(failed)?;
            // A prefix may also name one blob.
            if listing.listed == 0
                && !source.prefix.is_empty()
                && let Ok(meta) = opened.objects.head(&prefix).await
            {
                let archive = blob(meta.clone(), false);
                match read::recognise(&opened.objects, &archive).await.map_err(unread)? {
                    Some(kind) => listing.open(opened, archive, kind, selection).await.map_err(unread)?,
                    None => listing.consider(meta, false, selection, &mut take),
                }
            }
            pages.odd_names.take().into_iter().for_each(|name| listing.pass_over_name(name, selection));
            let samples: Vec<String> = first.into_iter().chain(last).collect();
            may_read(&*opened.objects, &samples).await.map_err(failed)?;
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

/// A file or the blobs below a folder, or of a pattern, in the order of their names and each file once.
async fn local(
    opened: &Opened,
    source: &Source,
    found: Option<pattern::Found>,
    prefix: &Path,
    selection: &Selection,
    listing: &mut Listing,
    mut take: impl FnMut(Blob),
) -> Result<(), ReadError> {
    let mut files = Vec::new();
    match found {
        Some(pattern::Found { files: metas, folders, unlisted }) => {
            files.extend(metas.into_iter().map(|meta| File { is_log: !is_sidecar(meta.location.as_ref()), meta }));
            unlisted.iter().for_each(|unlisted| listing.pass_over(unlisted, true));
            for folder in folders {
                below(&*opened.objects, &folder, false, listing, &mut files).await?;
            }
        }
        None if std::path::Path::new(&source.prefix).is_file() => {
            let meta = opened.objects.head(prefix).await?;
            files.push(File { is_log: true, meta });
        }
        None => below(&*opened.objects, prefix, true, listing, &mut files).await?,
    }
    let is_alone = files.len() == 1 && source.is_file();
    for File { meta, is_log: is_named_so } in once(files) {
        let location = meta.location.as_ref();
        // The names of most tell what they are, and each look costs as much as reading a small blob.
        let may_be_archive = is_named_so && (is_alone || !is_log(location));
        let archive = blob(meta.clone(), true);
        match if may_be_archive { read::recognise(&opened.objects, &archive).await } else { Ok(None) } {
            Ok(Some(kind)) => listing.open(opened, archive, kind, selection).await?,
            Err(error) if is_alone => return Err(error),
            // It says so when it is read.
            Ok(None) | Err(_) if listing.wants(location, is_named_so, selection) => {
                listing.take(meta, true, &mut take);
            }
            Ok(None) | Err(_) => {}
        }
    }
    Ok(())
}

/// A file that was listed.
struct File {
    meta: ObjectMeta,
    /// Whether it is a flow log by its name, or because it was named by itself.
    is_log: bool,
}

/// Each file under one of its names, in the order of the names: links lead to files that may have others. A name in the
/// layout of Azure says most, else the first one is taken.
fn once(mut files: Vec<File>) -> Vec<File> {
    files.sort_unstable_by(|a, b| a.meta.location.cmp(&b.meta.location));
    let mut is_kept = vec![true; files.len()];
    let mut known: HashMap<&str, usize> = HashMap::with_capacity(files.len());
    for (nr, File { meta, .. }) in files.iter().enumerate().filter(|(_, file)| file.is_log) {
        match known.entry(local::identity(meta.location.as_ref(), meta.e_tag.as_deref())) {
            Entry::Vacant(place) => _ = place.insert(nr),
            Entry::Occupied(mut place) => {
                let says_when = |nr: usize| BlobPath::parse(files[nr].meta.location.as_ref()).is_some();
                let is_better = !says_when(*place.get()) && says_when(nr);
                let other = if is_better { place.insert(nr) } else { nr };
                is_kept[other] = false;
            }
        }
    }
    let mut is_kept = is_kept.into_iter();
    files.retain(|_| is_kept.next().unwrap_or_default());
    files
}

/// The files below a folder. Those in it that the system does not give are noted.
async fn below(
    store: &dyn ObjectStore,
    folder: &Path,
    is_source: bool,
    listing: &mut Listing,
    files: &mut Vec<File>,
) -> object_store::Result<()> {
    let mut found = store.list(Some(folder));
    while let Some(item) = found.next().await {
        match item {
            Ok(meta) => files.push(File { is_log: is_log(meta.location.as_ref()), meta }),
            // One folder that cannot be listed must not hide the others.
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
