//! Recognises an archive and lists its files in one pass over the headers.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::BoxStream;
use object_store::ObjectStore;

use super::decompress;
use super::entry::{Cut, Entry};
use super::error::ReadError;
use super::magic::Kind;
use super::magic::{HEAD, is_packed, is_tar, is_zip};
use super::members::{Members, location};
use super::ranges;
use super::ranges::{Extent, Prefetch, Reader};
use super::window::Window;
use super::{tar, zip};
use crate::source::Blob;

/// Returns the kind of archive that a blob is, judged by its content; `None` if it is none.
pub async fn recognise(store: &Arc<dyn ObjectStore>, blob: &Blob) -> Result<Option<Kind>, ReadError> {
    let head = Window::of_blob(Arc::clone(store), blob).get(0, HEAD).await?;
    Ok(if is_zip(&head) {
        Some(Kind::Zip)
    } else if is_tar(&head) {
        Some(Kind::Tar)
    } else if is_packed(&head) {
        let unpacked = Window::of_stream(stream(store, blob, None, |_| ())).get(0, HEAD).await;
        // Damage is reported when the blob is read.
        unpacked.is_ok_and(|head| is_tar(&head)).then_some(Kind::PackedTar)
    } else {
        None
    })
}

/// Streams the unpacked bytes of an archive that is compressed as a whole.
pub(super) fn stream(
    store: &Arc<dyn ObjectStore>,
    archive: &Blob,
    ahead: Option<Arc<Prefetch>>,
    count: impl Fn(u64) + Send + 'static,
) -> BoxStream<'static, Result<bytes::Bytes, ReadError>> {
    let extent = Extent::Range { start: 0, end: archive.size };
    decompress::layer(ranges::chunks(Reader::new(Arc::clone(store), archive, extent, ahead), count))
}

/// Selected contents of an archive.
#[derive(Debug)]
pub struct Found {
    /// Members that can be read, in stored order.
    pub members: Members,
    /// Selected members that cannot be read, each with the reason.
    pub unread: Vec<(String, String)>,
    /// Offset and reason if the archive ends early, unless reading a selected member will report the same.
    pub cut: Option<(u64, String)>,
}

/// Lists the members of an archive that `is_wanted` selects by location. If several files have the same name, the last
/// one counts, as it would after unpacking.
pub async fn entries(
    store: &Arc<dyn ObjectStore>,
    archive: Blob,
    kind: Kind,
    ahead: Option<Arc<Prefetch>>,
    mut is_wanted: impl FnMut(&str) -> bool,
) -> Result<Found, ReadError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut is_last_wanted = false;
    let found = |entry: Entry| {
        is_last_wanted = is_wanted(&location(&archive, &entry.name)) && entry.trouble.is_none();
        if is_last_wanted || entry.trouble.is_some() && is_wanted(&location(&archive, &entry.name)) {
            entries.push(entry);
        }
    };
    let cut = match kind {
        Kind::Zip => zip::walk(&mut Window::of_blob(Arc::clone(store), &archive), found).await?,
        Kind::Tar => tar::walk(&mut Window::of_blob(Arc::clone(store), &archive), found).await,
        Kind::PackedTar => tar::walk(&mut Window::of_stream(stream(store, &archive, ahead, |_| ())), found).await,
    };
    let cut = cut.filter(|cut| !(cut.is_inside && is_last_wanted)).map(|Cut { at, why, .. }| (at, why));
    let mut last: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    for (nr, entry) in entries.iter().enumerate() {
        last.insert(entry.name.clone(), nr);
    }
    let mut nr = 0;
    entries.retain(|entry| {
        nr += 1;
        last.get(&entry.name) == Some(&(nr - 1))
    });
    entries.sort_by_key(|entry| entry.stored.offset);
    let mut found = Found { members: Members::new(archive, kind), unread: Vec::new(), cut };
    let mut end = 0;
    for mut entry in entries {
        let limit = decompress::FREE.saturating_add(decompress::MOST.saturating_mul(entry.stored.length));
        if entry.stored.offset < end {
            entry.trouble.get_or_insert_with(|| "its bytes also belong to another member".to_owned());
        } else if entry.size > limit {
            entry.trouble.get_or_insert_with(decompress::too_much);
        }
        match entry.trouble {
            Some(why) => found.unread.push((location(&found.members.archive, &entry.name), why)),
            None => {
                end = entry.stored.offset.saturating_add(entry.stored.length);
                found.members.push(&entry);
            }
        }
    }
    Ok(found)
}
