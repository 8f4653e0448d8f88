//! Reading: every byte of every input comes through here, pinned to the version that was listed.

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

use super::list::quoted;
use super::trouble::is_changed;
use super::unpack::unpacked;
use super::{Blob, way_out};

/// Bytes of one request, of a file and of a remote blob: where a request has to travel, fewer are better.
const CHUNK: u64 = 512 << 10;
const REMOTE_CHUNK: u64 = 8 << 20;
/// Bytes of one request behind the end of a piece, where only the rest of a record is wanted.
const TAIL_CHUNK: u64 = 128 << 10;
/// Bytes that are asked for before they are needed, at most, for each of those who read.
const AHEAD: u64 = 48 << 20;
/// A blob is committed about once a minute in its hour; nothing but a fault changes it more often while it is read.
const MOST_CHANGES: u32 = 50;

/// Why a blob could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// It is compressed, and not as it should be.
    #[error("{0}")]
    Packed(String),
    #[error("it was rewritten while it was read, and the part read before has changed: run again")]
    Rewritten,
}

impl ReadError {
    /// In words that say what to do; `shown` names the blob.
    pub fn way_out(&self, shown: &str) -> String {
        match self {
            Self::Store(error) => way_out(error, shown),
            Self::Packed(_) | Self::Rewritten => self.to_string(),
        }
    }
}

/// What is asked for before it is needed. Nothing, where asking costs nothing.
#[derive(Debug)]
pub struct Ahead {
    most_requests: usize,
    requests: AtomicUsize,
    bytes: AtomicU64,
}

impl Ahead {
    pub fn new(most_requests: usize) -> Arc<Self> {
        Arc::new(Self { most_requests, requests: AtomicUsize::new(0), bytes: AtomicU64::new(0) })
    }

    /// Whether another request may be made before it is needed.
    pub fn has_room(&self) -> bool {
        self.requests.load(Ordering::Relaxed) < self.most_requests && self.bytes.load(Ordering::Relaxed) < AHEAD
    }

    fn claim(self: &Arc<Self>, bytes: u64) -> Claim {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Claim { ahead: Arc::clone(self), bytes }
    }
}

/// Room that a request takes, until its answer is used.
#[derive(Debug)]
struct Claim {
    ahead: Arc<Ahead>,
    bytes: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ahead.requests.fetch_sub(1, Ordering::Relaxed);
        self.ahead.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What turned out while a blob was read.
#[derive(Debug, Default)]
pub struct AsRead {
    pub is_packed: AtomicBool,
    /// Bytes that it has grown by since it was listed.
    pub grown: AtomicU64,
    /// Whether all of it is read or on its way, so that there is room for the next one.
    pub is_asked_for: AtomicBool,
}

/// The part of a blob that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// The first bytes, at most `limit`.
    Start {
        limit: u64,
    },
    /// From `start` on. What lies behind `end` comes in small chunks: the reader stops when it has enough. `head` is the
    /// number of [`head_of`].
    Piece {
        start: u64,
        end: Option<u64>,
        head: Option<u64>,
    },
    /// As a piece, of a blob in which every byte has its place, such as an archive: one that changes is not read on.
    Range {
        start: u64,
        end: u64,
    },
}

/// A blob, or a part of one, as chunks in order. What is remote is asked for before it is needed.
pub struct Reader {
    store: Arc<dyn ObjectStore>,
    location: String,
    e_tag: Option<String>,
    size: u64,
    /// Of a piece, what [`head_of`] the listed blob gave, and the size that it had.
    head: Option<u64>,
    listed: u64,
    /// Whether it must stay the version that was listed.
    is_fixed: bool,
    /// Nothing from this place on is read.
    limit: u64,
    ranges: Ranges,
    under_way: VecDeque<UnderWay>,
    /// Of an answer, what is to be given out.
    ready: VecDeque<Bytes>,
    /// What was given out, to tell whether a blob that changed still begins with it. Of remote blobs only.
    given: Vec<(Range<u64>, u64)>,
    changes: u32,
    file: Option<OpenFile>,
    ahead: Option<Arc<Ahead>>,
    as_read: Arc<AsRead>,
}

/// A request that is made, and goes on whoever waits for it.
struct UnderWay {
    range: Range<u64>,
    task: JoinHandle<object_store::Result<Vec<Bytes>>>,
    _claim: Claim,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Asks for nothing yet. `ahead` is for what is remote.
    pub fn new(store: Arc<dyn ObjectStore>, blob: &Blob, extent: Extent, ahead: Option<Arc<Ahead>>) -> Self {
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

    pub fn as_read(&self) -> Arc<AsRead> {
        Arc::clone(&self.as_read)
    }

    /// Asks for what comes next, as far as there is room.
    pub fn go_ahead(&mut self) {
        let Some(ahead) = &self.ahead else { return };
        while ahead.has_room()
            && self.ranges.is_wanted()
            && let Some(range) = self.ranges.next()
        {
            let (store, location, e_tag) = (Arc::clone(&self.store), self.location.clone(), self.e_tag.clone());
            let asked = range.clone();
            let task = tokio::spawn(async move { bytes(&*store, &location, asked, e_tag).await });
            self.under_way.push_back(UnderWay { _claim: ahead.claim(range.end - range.start), range, task });
        }
        self.as_read.is_asked_for.store(!self.ranges.is_wanted(), Ordering::Relaxed);
    }

    /// The next chunk. Fails when the blob is no longer the one that was listed, nor one that only grew.
    pub async fn next(&mut self) -> Option<Result<Bytes, ReadError>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            self.go_ahead();
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
                    if let Err(error) = self.go_on_at(range.start).await {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }

    /// The bytes of a range, wherever [`Self::next`] is.
    pub async fn at(&mut self, range: Range<u64>) -> Result<Bytes, ReadError> {
        let mut parts = self.read(range).await?;
        Ok(if parts.len() == 1 { parts.remove(0) } else { parts.concat().into() })
    }

    /// A file stays open, and is read into memory that nobody clears first, by the thread that uses it: the bytes are in
    /// its cache then, nobody has to be woken, and the system reads ahead by itself.
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

    /// Takes up the version that is there now at `start`, if everything before is as it was given out.
    async fn go_on_at(&mut self, start: u64) -> Result<(), ReadError> {
        loop {
            self.changes += 1;
            if self.changes > MOST_CHANGES {
                return Err(ReadError::Rewritten);
            }
            let meta = self.store.head(&Path::parse(&self.location).map_err(object_store::Error::from)?).await?;
            // A piece has not seen all that came before: it takes up nothing but a blob that grew.
            if meta.size < start || self.head.is_some() && meta.size <= self.size {
                return Err(ReadError::Rewritten);
            }
            let e_tag = meta.e_tag.map(quoted);
            match self.is_as_given(&e_tag).await {
                // It changed once more.
                Err(error) if is_changed(&error) => continue,
                Err(error) => return Err(error.into()),
                Ok(false) => return Err(ReadError::Rewritten),
                Ok(true) => {}
            }
            // Pieces have their ends; what was added belongs to the last one.
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

    async fn is_as_given(&self, e_tag: &Option<String>) -> object_store::Result<bool> {
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

/// All that is in a blob, unpacked if it is packed. `count` is told how many bytes were read, as they come.
pub fn contents(reader: Reader, count: impl Fn(u64) + Send + 'static) -> BoxStream<'static, Result<Bytes, ReadError>> {
    let as_read = reader.as_read();
    unpacked(chunks(reader, count), move || as_read.is_packed.store(true, Ordering::Relaxed))
}

/// The bytes of a blob as they are stored. `count` is told how many, as they come.
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

/// What is left to ask for.
#[derive(Debug)]
struct Ranges {
    at: u64,
    /// Up to where everything is wanted.
    end: u64,
    size: u64,
    /// Bytes of one range, and how many may be one where they are the last.
    chunk: u64,
    largest: u64,
}

impl Ranges {
    /// Whether the next range is wanted for sure; the first behind the end mostly is.
    fn is_wanted(&self) -> bool {
        self.at < self.size && self.at <= self.end
    }

    fn next(&mut self) -> Option<Range<u64>> {
        let next = match self.end.checked_sub(self.at) {
            // No small rest: a request costs more than its bytes, and a growing blob ends with the bytes that change.
            Some(left) if left > 0 => self.at + if left <= self.largest { left } else { self.chunk },
            _ => self.size.min(self.at + TAIL_CHUNK),
        };
        let range = self.at..next;
        self.at = next;
        (!range.is_empty()).then_some(range)
    }
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

/// Bytes that tell one blob from another: flow logs start with the time and interface of their first record. Those before
/// the end tell whether what follows was added to what was there.
const HEAD: u64 = 16 << 10;
const BEFORE_END: u64 = 1 << 10;
/// Closes a flow log, and is written anew behind what is added.
const CLOSER: u64 = 16;

/// The first bytes of `blob`, and a number that tells them, and those before its end, from others.
pub async fn head_of(store: &dyn ObjectStore, blob: &Blob) -> object_store::Result<(Bytes, u64)> {
    let (head, end) = ends(store, &blob.location, blob.size, &blob.e_tag).await?;
    Ok((head.concat().into(), hash(head.iter().chain(&end))))
}

/// The first bytes, and those before the end, of a blob that has or had `size`.
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

/// However the bytes are cut.
fn hash<'a>(parts: impl IntoIterator<Item = &'a Bytes>) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    parts.into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

fn pinned(range: Range<u64>, e_tag: Option<String>) -> GetOptions {
    GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag, ..GetOptions::default() }
}
