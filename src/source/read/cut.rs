//! Streams the bytes of members out of their archive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use flate2::Crc;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;
use tokio::sync::Mutex;

use super::archive;
use super::decompress;
use super::entry::Method;
use super::error::ReadError;
use super::magic::Format;
use super::magic::Kind;
use super::members::{GAP, Member, Members};
use super::ranges;
use super::ranges::{Extent, Prefetch, ReadState, Reader};
use super::zip;
use crate::source::Blob;

type Chunks = BoxStream<'static, Result<Bytes, ReadError>>;

/// Reads members of one archive, one after the other in the order of [`Members`]. Bytes between them are skipped.
pub struct MemberReader {
    archive: Arc<Mutex<Archive>>,
    /// Unpacking limit that all members share, if the archive is compressed as a whole.
    allowance: Option<Arc<Allowance>>,
}

impl MemberReader {
    /// Creates a reader. `count` is called with the number of archive bytes read, as they arrive.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        members: &Members,
        ahead: Option<Arc<Prefetch>>,
        count: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        let allowance = (members.kind == Kind::PackedTar).then(Arc::<Allowance>::default);
        let told = allowance.clone();
        let count = move |bytes| {
            told.iter().for_each(|allowance| allowance.take(bytes));
            count(bytes);
        };
        let (blob, kind) = (members.archive.clone(), members.kind);
        let archive =
            Archive { store, blob, kind, ahead, count: Arc::new(count), open: None, at: 0, rest: Bytes::new() };
        Self { archive: Arc::new(Mutex::new(archive)), allowance }
    }

    /// Streams the content of a member, unpacked if the file itself is compressed.
    pub fn contents(&self, member: &Member) -> (Chunks, Arc<ReadState>) {
        let allowance = self.allowance.clone().unwrap_or_default();
        let told = self.allowance.is_none().then(|| Arc::clone(&allowance));
        let stored = self.stored(member.clone()).inspect(move |chunk| {
            if let (Some(allowance), Ok(chunk)) = (&told, chunk) {
                allowance.take(chunk.len() as u64);
            }
        });
        let file = match member.stored.method {
            Method::Stored => stored.boxed(),
            Method::Deflate => decompress::unpack(Format::Deflate, stored.boxed()),
            Method::Zstd => decompress::unpack(Format::Zstd, stored.boxed()),
        };
        let as_read = Arc::<ReadState>::default();
        let noted = Arc::clone(&as_read);
        let contents =
            decompress::unpacked(checked(file, member), move || noted.is_packed.store(true, Ordering::Relaxed));
        (allowed(contents, allowance), as_read)
    }

    /// Streams the bytes of a member as they are stored.
    fn stored(&self, member: Member) -> Chunks {
        let state = (Arc::clone(&self.archive), member, None);
        let step = |state: Option<(Arc<Mutex<Archive>>, Member, Option<u64>)>| async move {
            let (archive, member, left) = state?;
            let mut open = archive.lock().await;
            let left = match left {
                Some(left) => left,
                None => match open.start(&member).await {
                    Ok(()) => member.stored.length,
                    Err(error) => return Some((Err(error), None)),
                },
            };
            if left == 0 {
                return None;
            }
            match open.take(left).await {
                Ok(bytes) => {
                    drop(open);
                    let left = left - bytes.len() as u64;
                    Some((Ok(bytes), Some((archive, member, Some(left)))))
                }
                Err(error) => Some((Err(error), None)),
            }
        };
        stream::unfold(Some(state), step).boxed()
    }
}

/// An archive that is being read.
struct Archive {
    store: Arc<dyn ObjectStore>,
    blob: Blob,
    kind: Kind,
    ahead: Option<Arc<Prefetch>>,
    count: Arc<dyn Fn(u64) + Send + Sync>,
    open: Option<Chunks>,
    /// Offset of `rest` in the archive, unpacked if it is a compressed tar archive.
    at: u64,
    rest: Bytes,
}

impl Archive {
    /// Moves to the first data byte of a member.
    async fn start(&mut self, member: &Member) -> Result<(), ReadError> {
        let offset = member.stored.offset;
        let is_near = offset >= self.at && (self.kind == Kind::PackedTar || offset - self.at <= GAP);
        if self.open.is_none() || !is_near {
            self.open_at(offset, member.reach);
        }
        self.pass(offset - self.at.min(offset)).await?;
        if self.kind != Kind::Zip {
            return Ok(());
        }
        let mut header = BytesMut::with_capacity(zip::LOCAL_LENGTH);
        while header.len() < zip::LOCAL_LENGTH {
            header.extend_from_slice(&self.take((zip::LOCAL_LENGTH - header.len()) as u64).await?);
        }
        match zip::names_length(&header) {
            Some(length) => self.pass(length).await,
            None => Err(ReadError::Packed(format!(
                "it does not start at byte {offset} of the archive, as it should: copy the archive again"
            ))),
        }
    }

    fn open_at(&mut self, start: u64, end: u64) {
        let count = Arc::clone(&self.count);
        let count = move |bytes| count(bytes);
        let (chunks, at) = match self.kind {
            Kind::PackedTar => (archive::stream(&self.store, &self.blob, self.ahead.clone(), count), 0),
            Kind::Zip | Kind::Tar => {
                let extent = Extent::Range { start, end };
                let reader = Reader::new(Arc::clone(&self.store), &self.blob, extent, self.ahead.clone());
                (ranges::chunks(reader, count), start)
            }
        };
        (self.open, self.at, self.rest) = (Some(chunks.fuse().boxed()), at, Bytes::new());
    }

    async fn pass(&mut self, mut bytes: u64) -> Result<(), ReadError> {
        while bytes > 0 {
            bytes -= self.take(bytes).await?.len() as u64;
        }
        Ok(())
    }

    /// Returns the next bytes, at least one and at most `most`.
    async fn take(&mut self, most: u64) -> Result<Bytes, ReadError> {
        while self.rest.is_empty() {
            let next = match &mut self.open {
                Some(chunks) => chunks.next().await,
                None => None,
            };
            self.rest = match next {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    // A new request may succeed for the next member.
                    if self.kind != Kind::PackedTar {
                        self.open = None;
                    }
                    return Err(error);
                }
                None => {
                    // A header may give an offset after the end.
                    let at = if self.kind == Kind::PackedTar { self.at } else { self.at.min(self.blob.size) };
                    return Err(ReadError::Packed(format!(
                        "its archive ends at byte {at}, before the end of this member: copy the archive again for the rest"
                    )));
                }
            };
        }
        let taken = self.rest.split_to(usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len()));
        self.at += taken.len() as u64;
        Ok(taken)
    }
}

/// Streams a file up to the size in its header. Fails if its size or checksum differs from the header.
fn checked(chunks: Chunks, member: &Member) -> Chunks {
    let (size, crc) = (member.blob.size, member.stored.crc);
    let step = move |state: Option<(Chunks, Crc, u64)>| async move {
        let (mut chunks, mut sum, given) = state?;
        let damaged = |what: &str| {
            let words = format!("{what}: the archive is damaged, copy it again");
            Some((Err(ReadError::Packed(words)), None))
        };
        match chunks.next().await {
            Some(Ok(chunk)) => {
                let left = usize::try_from(size - given).unwrap_or(usize::MAX);
                if left == 0 && !chunk.is_empty() {
                    return damaged("it is longer than its archive says");
                }
                let wanted = chunk.slice(..left.min(chunk.len()));
                let given = given + wanted.len() as u64;
                if crc.is_some() {
                    sum.update(&wanted);
                }
                let is_longer = wanted.len() < chunk.len();
                let chunks = if is_longer { stream::iter([Ok(chunk)]).boxed() } else { chunks };
                Some((Ok(wanted), Some((chunks, sum, given))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if given < size => damaged("it is shorter than its archive says"),
            None if crc.is_some_and(|crc| crc != sum.sum()) => damaged("its checksum is wrong"),
            None => None,
        }
    };
    stream::unfold(Some((chunks, Crc::new(), 0)), step).boxed()
}

/// Bytes taken as stored and bytes given after all layers of unpacking. Their ratio is limited.
#[derive(Debug, Default)]
struct Allowance {
    taken: AtomicU64,
    given: AtomicU64,
}

impl Allowance {
    fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    fn gives(&self, bytes: u64) -> bool {
        let given = self.given.fetch_add(bytes, Ordering::Relaxed) + bytes;
        given <= decompress::FREE.saturating_add(decompress::MOST.saturating_mul(self.taken.load(Ordering::Relaxed)))
    }
}

fn allowed(chunks: Chunks, allowance: Arc<Allowance>) -> Chunks {
    let step = |state: Option<(Chunks, Arc<Allowance>)>| async move {
        let (mut chunks, allowance) = state?;
        match chunks.next().await? {
            Ok(chunk) if !allowance.gives(chunk.len() as u64) => {
                Some((Err(ReadError::Packed(decompress::too_much())), None))
            }
            Ok(chunk) => Some((Ok(chunk), Some((chunks, allowance)))),
            Err(error) => Some((Err(error), None)),
        }
    };
    stream::unfold(Some((chunks, allowance)), step).boxed()
}
