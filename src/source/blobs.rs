//! Compact list of many blobs.

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use twox_hash::XxHash64;

/// Adds the quotes that a list omits and a request needs. An ETag that no header can hold becomes an empty one, which
/// no blob has. The service then rejects it, and the reader requests the current one.
pub(super) fn quoted(e_tag: String) -> String {
    let quoted = if e_tag.starts_with('"') || e_tag.starts_with("W/") { e_tag } else { format!("\"{e_tag}\"") };
    if HeaderValue::from_str(&quoted).is_ok() { quoted } else { "\"\"".to_owned() }
}

use super::local;

/// A blob as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Path in the store.
    pub location: String,
    /// Size in bytes.
    pub size: u64,
    /// Version of the blob, if the store gives one.
    pub e_tag: Option<String>,
}

impl Blob {
    /// Returns a key that is equal for all names of one local file; for a remote blob, its location.
    pub fn identity(&self, is_local: bool) -> &str {
        if is_local { local::identity(&self.location, self.e_tag.as_deref()) } else { &self.location }
    }
}

/// Returns the first 16 bytes of the SHA-256 hash of `text`, as a compact key.
pub fn digest(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    key
}

/// Returns a hash of bytes, to recognise them again. It does not protect against forgery.
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// Blobs in the order they were added. Consecutive names share their prefixes, so a blob in the usual layout takes
/// well under 100 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobList {
    /// Text of all blobs: per blob the new part of its location, then its ETag.
    text: String,
    /// Sum of the blob sizes in bytes.
    size: u64,
    entries: Vec<Entry>,
    /// Location of the last blob, against which the next one is compared.
    last: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Bytes shared with the location before.
    shared: u16,
    added: u16,
    /// Length of the ETag in bytes, or [`NO_E_TAG`].
    e_tag: u16,
    size: u64,
}

const NO_E_TAG: u16 = u16::MAX;

impl BlobList {
    /// Appends a blob.
    pub fn push(&mut self, blob: &Blob) {
        let mut shared = self.last.bytes().zip(blob.location.bytes()).take_while(|(a, b)| a == b).count();
        while shared > usize::from(u16::MAX) || !blob.location.is_char_boundary(shared) {
            shared -= 1;
        }
        let added = &blob.location[shared..];
        self.text.push_str(added);
        let e_tag = blob.e_tag.as_deref().filter(|tag| tag.len() < usize::from(NO_E_TAG));
        self.text.push_str(e_tag.unwrap_or_default());
        self.entries.push(Entry {
            shared: shared as u16,
            added: added.len() as u16,
            e_tag: e_tag.map_or(NO_E_TAG, |tag| tag.len() as u16),
            size: blob.size,
        });
        self.size += blob.size;
        self.last.truncate(shared);
        self.last.push_str(added);
    }

    /// Number of blobs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sum of the blob sizes in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Iterates over the blobs in insertion order.
    pub fn iter(&self) -> BlobIter<'_> {
        BlobIter { list: self, place: Place::default() }
    }

    /// Returns the blob at `place` and advances it. Meant for callers that cannot hold a borrow.
    pub fn next(&self, place: &mut Place) -> Option<Blob> {
        let entry = self.entries.get(place.entry)?;
        let added = place.text..place.text + usize::from(entry.added);
        place.location.truncate(usize::from(entry.shared));
        place.location.push_str(&self.text[added.clone()]);
        let has_e_tag = entry.e_tag != NO_E_TAG;
        let e_tag = added.end..added.end + if has_e_tag { usize::from(entry.e_tag) } else { 0 };
        place.text = e_tag.end;
        place.entry += 1;
        Some(Blob {
            location: place.location.clone(),
            size: entry.size,
            e_tag: has_e_tag.then(|| self.text[e_tag].to_owned()),
        })
    }
}

impl FromIterator<Blob> for BlobList {
    fn from_iter<I: IntoIterator<Item = Blob>>(blobs: I) -> Self {
        let mut list = Self::default();
        for blob in blobs {
            list.push(&blob);
        }
        list
    }
}

/// Position in a [`BlobList`].
#[derive(Debug, Clone, Default)]
pub struct Place {
    entry: usize,
    text: usize,
    location: String,
}

/// Iterator over a [`BlobList`].
pub struct BlobIter<'a> {
    list: &'a BlobList,
    place: Place,
}

impl Iterator for BlobIter<'_> {
    type Item = Blob;

    fn next(&mut self) -> Option<Blob> {
        self.list.next(&mut self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gives_back_what_was_pushed(
            blobs in proptest::collection::vec(("[aé/]{0,6}(PT1H.json)?", any::<u64>(), proptest::option::of("\"?[0-9é]{0,5}")), 0..20),
        ) {
            let blobs: Vec<Blob> =
                blobs.into_iter().map(|(location, size, e_tag)| Blob { location, size: size / 64, e_tag }).collect();
            let list: BlobList = blobs.iter().cloned().collect();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), blobs);
        }
    }

    #[test]
    fn a_blob_of_the_usual_layout_takes_less_than_100_bytes() {
        let list: BlobList = (0..720)
            .map(|hour| Blob {
                location: format!(
                    "insights-logs-flowlogflowevent/flowLogResourceID=/SUBSCRIPTION_NETWORKWATCHERRG/NETWORKWATCHER_NAME/y=2026/m=05/d={:02}/h={:02}/m=00/macAddress=000D3A12BA87/PT1H.json",
                    1 + hour / 24,
                    hour % 24,
                ),
                size: 15_000_000,
                e_tag: Some("0x8DC0123456789AB".to_owned()),
            })
            .collect();
        let bytes = list.text.len() + list.entries.len() * size_of::<Entry>() + list.last.len();
        assert!(bytes < 100 * list.len(), "{} bytes a blob", bytes / list.len());
    }
}
