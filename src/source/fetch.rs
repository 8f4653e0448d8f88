//! Reading: every byte of every input comes through here, pinned to the version that was listed.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use super::unpack::unpacked;
use super::{Blob, way_out};

/// Bytes of one request. Two are under way at a time.
const CHUNK: u64 = 512 << 10;
/// Bytes of one request behind the end of a piece, where only the rest of a record is wanted.
const TAIL_CHUNK: u64 = 128 << 10;

/// Why a blob could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// It is compressed, and not as it should be.
    #[error("{0}")]
    Packed(String),
}

impl ReadError {
    /// In words that say what to do; `shown` names the blob.
    pub fn way_out(&self, shown: &str) -> String {
        match self {
            Self::Store(error) => way_out(error, shown),
            Self::Packed(words) => words.clone(),
        }
    }
}

/// All that is in `blob`, unpacked if it is packed. `count` is told how many bytes were read, as they come.
pub fn contents(
    store: Arc<dyn ObjectStore>,
    blob: &Blob,
    count: impl Fn(u64) + Send + 'static,
) -> BoxStream<'static, Result<Bytes, ReadError>> {
    unpacked(chunks(store, blob, 0, None, count))
}

/// The bytes of `blob` from `start` on, in order. Where `end` is given, what lies behind comes in small chunks:
/// the reader stops when it has enough. Fails when the blob is no longer the one that was listed.
pub fn chunks(
    store: Arc<dyn ObjectStore>,
    blob: &Blob,
    start: u64,
    end: Option<u64>,
    count: impl Fn(u64) + Send + 'static,
) -> BoxStream<'static, Result<Bytes, ReadError>> {
    let location = blob.location.clone();
    let e_tag = blob.e_tag.clone();
    stream::iter(ranges(start, end.unwrap_or(blob.size), blob.size))
        .map(move |range| get(Arc::clone(&store), location.clone(), range, e_tag.clone()))
        .buffered(2)
        .map(move |chunk| {
            let chunk = chunk?;
            count(chunk.len() as u64);
            Ok(chunk)
        })
        .boxed()
}

/// The first bytes of `blob`, at most `length`.
pub async fn head(store: &dyn ObjectStore, blob: &Blob, length: u64) -> object_store::Result<Bytes> {
    store.get_range(&Path::parse(&blob.location)?, 0..length.min(blob.size)).await
}

async fn get(
    store: Arc<dyn ObjectStore>,
    location: String,
    range: Range<u64>,
    e_tag: Option<String>,
) -> object_store::Result<Bytes> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag, ..GetOptions::default() };
    store.get_opts(&Path::parse(&location)?, options).await?.bytes().await
}

fn ranges(start: u64, end: u64, size: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = start;
    std::iter::from_fn(move || {
        let next = if at < end { end.min(at + CHUNK) } else { size.min(at + TAIL_CHUNK) };
        let range = at..next;
        at = next;
        (!range.is_empty()).then_some(range)
    })
}
