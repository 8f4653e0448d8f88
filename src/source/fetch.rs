//! Reading: every byte of every input comes through here, pinned to the version that was listed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::FutureExt;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt};

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
    let (location, e_tag, size) = (blob.location.clone(), blob.e_tag.clone(), blob.size);
    let mut ranges = ranges(start, end.unwrap_or(size), size);
    let chunks = async move {
        let Some(first) = ranges.next() else { return stream::empty().boxed() };
        let result = match get(&*store, &location, first.clone(), e_tag.clone()).await {
            Ok(result) => result,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        // A file stays open, and is read into memory that nobody clears first.
        if let GetResultPayload::File(file, _) = result.payload {
            return file_chunks(OpenFile::new(file, location), [first].into_iter().chain(ranges)).boxed();
        }
        let rest = ranges.map(move |range| {
            let (store, location, e_tag) = (Arc::clone(&store), location.clone(), e_tag.clone());
            async move { get(&*store, &location, range, e_tag).await?.bytes().await }.boxed()
        });
        stream::iter([result.bytes().boxed()].into_iter().chain(rest)).buffered(2).boxed()
    };
    stream::once(chunks)
        .flatten()
        .map(move |chunk| {
            let chunk = chunk?;
            count(chunk.len() as u64);
            Ok(chunk)
        })
        .boxed()
}

/// The ranges of an open file, one after the other. They are read by the thread that uses them: the bytes are in its
/// cache then, nobody has to be woken, and the system reads ahead by itself.
fn file_chunks(
    file: OpenFile,
    ranges: impl Iterator<Item = Range<u64>> + Send + 'static,
) -> impl Stream<Item = object_store::Result<Bytes>> + Send {
    stream::iter(ranges.scan(Some(file), |file, range| {
        let chunk = file.as_mut()?.read(range);
        if chunk.is_err() {
            *file = None;
        }
        Some(chunk)
    }))
}

/// A file as it was when it was opened.
struct OpenFile {
    file: File,
    location: String,
    version: Option<(u64, SystemTime)>,
}

impl OpenFile {
    fn new(file: File, location: String) -> Self {
        let version = version(&file);
        Self { file, location, version }
    }

    fn read(&mut self, range: Range<u64>) -> object_store::Result<Bytes> {
        let length = range.end - range.start;
        let mut bytes = Vec::with_capacity(length as usize);
        let read = self
            .file
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| (&self.file).take(length).read_to_end(&mut bytes));
        match read {
            Err(error) => Err(object_store::Error::Generic { store: "LocalFileSystem", source: error.into() }),
            Ok(read) if (read as u64) < length || version(&self.file) != self.version => {
                let source = "the file changed while it was read".into();
                Err(object_store::Error::Precondition { path: self.location.clone(), source })
            }
            Ok(_) => Ok(bytes.into()),
        }
    }
}

/// What changes when a file is written to.
fn version(file: &File) -> Option<(u64, SystemTime)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// The first bytes of `blob`, at most `length`.
pub async fn head(store: &dyn ObjectStore, blob: &Blob, length: u64) -> object_store::Result<Bytes> {
    store.get_range(&Path::parse(&blob.location)?, 0..length.min(blob.size)).await
}

async fn get(
    store: &dyn ObjectStore,
    location: &str,
    range: Range<u64>,
    e_tag: Option<String>,
) -> object_store::Result<GetResult> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag, ..GetOptions::default() };
    store.get_opts(&Path::parse(location)?, options).await
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
