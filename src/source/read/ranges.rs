//! Pinned reading. Every byte of every flow log is read here, from the version that was listed.

use std::collections::VecDeque;
use std::fs::File;
use std::hash::Hasher;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::try_join;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt};
use tokio::task::JoinHandle;
use twox_hash::XxHash64;

use super::decompress::unpacked;
use super::error::ReadError;
use crate::source::Blob;
use crate::source::blobs::quoted;
use crate::source::error::is_changed;

/// Bytes per request to a local file.
const CHUNK: u64 = 512 << 10;
/// Bytes per request to a remote blob; more than for a local file because of the round trip.
pub const REMOTE_CHUNK: u64 = 8 << 20;
/// Bytes per request after the end of a piece, where only the rest of a record is needed.
const TAIL_CHUNK: u64 = 128 << 10;
/// Prefetch limit per reader task, in bytes.
const AHEAD: u64 = 48 << 20;
/// Maximum number of versions followed while a blob is read. A blob is committed about once a minute in its hour, so
/// only a fault changes it more often.
const MOST_CHANGES: u32 = 50;

/// Prefetch budget that readers share. Only remote readers have one.
#[derive(Debug)]
pub struct Prefetch {
    most_requests: usize,
    requests: AtomicUsize,
    bytes: AtomicU64,
}

impl Prefetch {
    /// Creates a budget of `most_requests` requests in flight.
    pub fn new(most_requests: usize) -> Arc<Self> {
        Arc::new(Self { most_requests, requests: AtomicUsize::new(0), bytes: AtomicU64::new(0) })
    }

    /// Returns whether another request may be prefetched.
    pub fn has_room(&self) -> bool {
        self.requests.load(Ordering::Relaxed) < self.most_requests && self.bytes.load(Ordering::Relaxed) < AHEAD
    }

    fn claim(self: &Arc<Self>, bytes: u64) -> PrefetchPermit {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        PrefetchPermit { ahead: Arc::clone(self), bytes }
    }
}

/// Share of the budget that a request holds until its response is used.
#[derive(Debug)]
struct PrefetchPermit {
    ahead: Arc<Prefetch>,
    bytes: u64,
}

impl Drop for PrefetchPermit {
    fn drop(&mut self) {
        self.ahead.requests.fetch_sub(1, Ordering::Relaxed);
        self.ahead.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Facts that are known only once a blob is read.
#[derive(Debug, Default)]
pub struct ReadState {
    /// True if the blob is compressed.
    pub is_packed: AtomicBool,
    /// Bytes by which the blob grew since it was listed.
    pub grown: AtomicU64,
    /// True if all of the blob is read or in flight, so that the next blob may be prefetched.
    pub is_asked_for: AtomicBool,
}

/// Part of a blob to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All bytes.
    Whole,
    /// The first bytes, at most `limit`.
    Start {
        /// Maximum number of bytes.
        limit: u64,
    },
    /// A byte range of a log. Bytes after `end` come in small chunks, because the caller stops when it has enough.
    Piece {
        /// First byte.
        start: u64,
        /// Byte after the last one, or `None` for the end of the blob.
        end: Option<u64>,
        /// Hash that [`head_of`] returned for the blob.
        head: Option<u64>,
    },
    /// A byte range of a blob with fixed offsets, such as an archive. If the blob changes, reading fails.
    Range {
        /// First byte.
        start: u64,
        /// Byte after the last one.
        end: u64,
    },
}

/// Reads a blob, or a part of one, as chunks in order. Remote chunks are prefetched.
pub struct Reader {
    store: Arc<dyn ObjectStore>,
    location: String,
    e_tag: Option<String>,
    size: u64,
    /// Hash of the listed blob's first and last bytes, from [`head_of`]. Pieces only.
    head: Option<u64>,
    /// Size when listed.
    listed: u64,
    /// True if the blob must stay the version that was listed.
    is_fixed: bool,
    /// Offset at which reading ends.
    limit: u64,
    ranges: Ranges,
    under_way: VecDeque<InFlight>,
    /// Received chunks that `next` will return.
    ready: VecDeque<Bytes>,
    /// Range and hash of each chunk returned, with which a changed blob is compared. Remote blobs only.
    given: Vec<(Range<u64>, u64)>,
    changes: u32,
    file: Option<OpenFile>,
    ahead: Option<Arc<Prefetch>>,
    as_read: Arc<ReadState>,
}

/// A request in flight. Its task runs even while no caller waits; it is aborted on drop.
struct InFlight {
    range: Range<u64>,
    task: JoinHandle<object_store::Result<Vec<Bytes>>>,
    _claim: PrefetchPermit,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Creates a reader without starting a request. `ahead` is the prefetch budget, for a remote blob only.
    pub fn new(store: Arc<dyn ObjectStore>, blob: &Blob, extent: Extent, ahead: Option<Arc<Prefetch>>) -> Self {
        let is_fixed = matches!(extent, Extent::Range { .. });
        let (start, end, head, limit) = match extent {
            Extent::Whole => (0, None, None, u64::MAX),
            Extent::Start { limit } => (0, None, None, limit),
            Extent::Piece { start, end, head } => (start, end, head, u64::MAX),
            Extent::Range { start, end } => (start, Some(end.min(blob.size)), None, u64::MAX),
        };
        let size = blob.size.min(limit);
        let (chunk, largest) = if ahead.is_some() { (REMOTE_CHUNK, 2 * REMOTE_CHUNK) } else { (CHUNK, CHUNK) };
        Self {
            store,
            location: blob.location.clone(),
            e_tag: blob.e_tag.clone(),
            size: blob.size,
            head,
            listed: blob.size,
            is_fixed,
            limit,
            ranges: Ranges { at: start, end: end.unwrap_or(size), size, chunk, largest },
            under_way: VecDeque::new(),
            ready: VecDeque::new(),
            given: Vec::new(),
            changes: 0,
            file: None,
            ahead,
            as_read: Arc::default(),
        }
    }

    /// Returns the facts that reading reveals, shared with this reader.
    pub fn as_read(&self) -> Arc<ReadState> {
        Arc::clone(&self.as_read)
    }

    /// Starts the next requests, as far as the budget allows.
    pub fn prefetch(&mut self) {
        let Some(ahead) = &self.ahead else { return };
        while ahead.has_room()
            && self.ranges.is_wanted()
            && let Some(range) = self.ranges.next()
        {
            let (store, location, e_tag) = (Arc::clone(&self.store), self.location.clone(), self.e_tag.clone());
            let asked = range.clone();
            let task = tokio::spawn(async move { bytes(&*store, &location, asked, e_tag).await });
            self.under_way.push_back(InFlight { _claim: ahead.claim(range.end - range.start), range, task });
        }
        self.as_read.is_asked_for.store(!self.ranges.is_wanted(), Ordering::Relaxed);
    }

    /// Returns the next chunk. If a remote blob changed, continues with the new version if it is no shorter and has the
    /// same bytes up to here. A local file or a member of an archive that changed is an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, ReadError>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            self.prefetch();
            let (range, answer) = match self.under_way.pop_front() {
                Some(mut asked) => {
                    let answer = (&mut asked.task).await;
                    (asked.range.clone(), answer.unwrap_or_else(|error| Err(error.into())))
                }
                None => {
                    let range = self.ranges.next()?;
                    (range.clone(), self.read(range).await)
                }
            };
            match answer {
                Ok(parts) => {
                    if self.ahead.is_some() {
                        self.given.push((range, hash(&parts)));
                    }
                    self.ready.extend(parts);
                }
                Err(error) if self.is_fixed && is_changed(&error) => return Some(Err(ReadError::Rewritten)),
                Err(error) if self.ahead.is_some() && is_changed(&error) => {
                    self.under_way.clear();
                    if let Err(error) = self.resume_at(range.start).await {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }

    /// Reads a range, regardless of the position of [`Self::next`].
    pub async fn at(&mut self, range: Range<u64>) -> Result<Bytes, ReadError> {
        let mut parts = self.read(range).await?;
        Ok(if parts.len() == 1 { parts.remove(0) } else { parts.concat().into() })
    }

    /// Reads a range. Local files are kept open and read on the decoding thread, into uninitialised memory. The bytes
    /// stay in that core's cache, no other thread is woken, and the kernel reads ahead.
    async fn read(&mut self, range: Range<u64>) -> object_store::Result<Vec<Bytes>> {
        if let Some(file) = &mut self.file {
            return Ok(vec![file.read(range)?]);
        }
        let options = pinned(range.clone(), self.e_tag.clone());
        let result = self.store.get_opts(&Path::parse(&self.location)?, options).await?;
        match result.payload {
            GetResultPayload::File(file, _) => {
                Ok(vec![self.file.insert(OpenFile::new(file, self.location.clone())).read(range)?])
            }
            GetResultPayload::Stream(parts) => parts.try_collect().await,
        }
    }

    /// Switches to the current version at offset `start`, if everything before it is unchanged.
    async fn resume_at(&mut self, start: u64) -> Result<(), ReadError> {
        loop {
            self.changes += 1;
            if self.changes > MOST_CHANGES {
                return Err(ReadError::Rewritten);
            }
            let meta = self.store.head(&Path::parse(&self.location).map_err(object_store::Error::from)?).await?;
            // Flow logs only grow. A piece cannot check the bytes before it, so it accepts only a longer version.
            if meta.size < self.size.max(start) || self.head.is_some() && meta.size == self.size {
                return Err(ReadError::Rewritten);
            }
            let e_tag = meta.e_tag.map(quoted);
            match self.prefix_unchanged(&e_tag).await {
                // The blob changed again.
                Err(error) if is_changed(&error) => continue,
                Err(error) => return Err(error.into()),
                Ok(false) => return Err(ReadError::Rewritten),
                Ok(true) => {}
            }
            // Only the last piece is extended, because the others have a fixed end.
            let size = meta.size.min(self.limit);
            if self.ranges.end == self.ranges.size {
                self.ranges.end = size;
                self.as_read.grown.fetch_add(meta.size.saturating_sub(self.size), Ordering::Relaxed);
            }
            (self.e_tag, self.size) = (e_tag, meta.size);
            (self.ranges.at, self.ranges.size) = (start, size);
            return Ok(());
        }
    }

    async fn prefix_unchanged(&self, e_tag: &Option<String>) -> object_store::Result<bool> {
        if let Some(known) = self.head {
            let (head, end) = ends(&*self.store, &self.location, self.listed, e_tag).await?;
            if hash(head.iter().chain(&end)) != known {
                return Ok(false);
            }
        }
        for (range, known) in &self.given {
            let parts = bytes(&*self.store, &self.location, range.clone(), e_tag.clone()).await?;
            if hash(&parts) != *known {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Streams a blob, unpacked if it is compressed. `count` is called with the number of stored bytes read, as they
/// arrive.
pub fn contents(reader: Reader, count: impl Fn(u64) + Send + 'static) -> BoxStream<'static, Result<Bytes, ReadError>> {
    let as_read = reader.as_read();
    unpacked(chunks(reader, count), move || as_read.is_packed.store(true, Ordering::Relaxed))
}

/// Streams a blob as it is stored. `count` is called with the number of bytes, as they arrive.
pub fn chunks(reader: Reader, count: impl Fn(u64) + Send + 'static) -> BoxStream<'static, Result<Bytes, ReadError>> {
    stream::unfold((reader, count), |(mut reader, count)| async {
        let chunk = reader.next().await?;
        if let Ok(chunk) = &chunk {
            count(chunk.len() as u64);
        }
        Some((chunk, (reader, count)))
    })
    .fuse()
    .boxed()
}

/// Ranges that are still to be requested.
#[derive(Debug)]
struct Ranges {
    at: u64,
    /// End of the bytes that are all needed. Bytes after it are read only on demand.
    end: u64,
    size: u64,
    /// Bytes per range, and the maximum for the last one.
    chunk: u64,
    largest: u64,
}

impl Ranges {
    /// Returns whether the next range should be prefetched. The first range after the end is included because it is
    /// usually needed.
    fn is_wanted(&self) -> bool {
        self.at < self.size && self.at <= self.end
    }

    fn next(&mut self) -> Option<Range<u64>> {
        let next = match self.end.checked_sub(self.at) {
            // A small rest is merged into the last range, because a request costs more than its bytes. Besides, a
            // growing blob changes at its end.
            Some(left) if left > 0 => self.at + if left <= self.largest { left } else { self.chunk },
            _ => self.size.min(self.at + TAIL_CHUNK),
        };
        let range = self.at..next;
        self.at = next;
        (!range.is_empty()).then_some(range)
    }
}

/// An open file and the version it had when opened.
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

/// Returns length and modification time, which change when a file is written to.
fn version(file: &File) -> Option<(u64, SystemTime)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Bytes at the start that identify a blob, because a flow log starts with the time and interface of its first record.
/// The bytes before the end show whether later content was appended.
const HEAD: u64 = 16 << 10;
const BEFORE_END: u64 = 1 << 10;
/// Bytes that close a flow log. They are overwritten when records are appended.
const CLOSER: u64 = 16;

/// Returns the first bytes of `blob` and a hash of them and of the bytes before its end.
pub async fn head_of(store: &dyn ObjectStore, blob: &Blob) -> object_store::Result<(Bytes, u64)> {
    let (head, end) = ends(store, &blob.location, blob.size, &blob.e_tag).await?;
    Ok((head.concat().into(), hash(head.iter().chain(&end))))
}

/// Reads the first bytes, and those before the end, of a blob that has or had `size`.
async fn ends(
    store: &dyn ObjectStore,
    location: &str,
    size: u64,
    e_tag: &Option<String>,
) -> object_store::Result<(Vec<Bytes>, Vec<Bytes>)> {
    let end = size.saturating_sub(CLOSER);
    let (head, before_end) = (0..HEAD.min(size), end.saturating_sub(BEFORE_END)..end);
    let read = |range: Range<u64>| async move {
        if range.is_empty() { Ok(Vec::new()) } else { bytes(store, location, range, e_tag.clone()).await }
    };
    try_join(read(head), read(before_end)).await
}

async fn bytes(
    store: &dyn ObjectStore,
    location: &str,
    range: Range<u64>,
    e_tag: Option<String>,
) -> object_store::Result<Vec<Bytes>> {
    store.get_opts(&Path::parse(location)?, pinned(range, e_tag)).await?.into_stream().try_collect().await
}

/// Returns a hash that does not depend on chunk boundaries.
fn hash<'a>(parts: impl IntoIterator<Item = &'a Bytes>) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    parts.into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

fn pinned(range: Range<u64>, e_tag: Option<String>) -> GetOptions {
    GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag, ..GetOptions::default() }
}
