//! Streaming decompression of blobs in bounded memory. The format is recognised by the first bytes, not by the name.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder};
use futures::stream::{self, BoxStream, StreamExt};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use super::error::ReadError;
use super::magic::{Format, HEAD, remedy_for};

type Chunks = BoxStream<'static, Result<Bytes, ReadError>>;

/// Approximate size in bytes of the chunks that are returned.
const CHUNK: usize = 512 << 10;
/// Bytes of gzip data unpacked per step. Because they may expand a thousandfold, a step is small.
const GZIP_STEP: usize = 4 << 10;
/// Bytes of zstd data unpacked per step: the maximum size of a block.
const ZSTD_STEP: usize = 128 << 10;
/// Maximum ratio of unpacked to packed size, with [`FREE`] bytes added to the unpacked limit.
pub(in crate::source) const MOST: u64 = 200;
pub(in crate::source) const FREE: u64 = 64 << 20;
/// Window limit of a zstd frame, as a power of two; the default limit of the `zstd` tool.
const ZSTD_WINDOW: u32 = 27;

/// Streams the bytes of a blob, unpacked if it is compressed; `note` is called in that case. Ends after the first
/// error. An unsupported format gives an error as the first item.
pub fn unpacked(packed: Chunks, note: impl FnOnce() + Send + 'static) -> Chunks {
    let chunks = async move {
        let (head, chunks) = peek(packed).await;
        match Format::of(&head) {
            None => refused(&head, chunks),
            Some(format) => {
                note();
                let (head, chunks) = peek(unpack(format, chunks)).await;
                match Format::of(&head) {
                    Some(_) => failed("it is compressed more than once: unpack it once"),
                    None => refused(&head, chunks),
                }
            }
        }
    };
    stream::once(chunks).flatten().boxed()
}

/// Streams the bytes of a blob, unpacked if it is compressed. The unpacked content is not checked.
pub(in crate::source) fn layer(packed: Chunks) -> Chunks {
    let chunks = async move {
        let (head, chunks) = peek(packed).await;
        match Format::of(&head) {
            Some(format) => unpack(format, chunks),
            None => chunks,
        }
    };
    stream::once(chunks).flatten().boxed()
}

/// Unpacks a stream of the given format.
pub(in crate::source) fn unpack(format: Format, packed: Chunks) -> Chunks {
    match Unpacker::new(format) {
        Ok(unpacker) => {
            // The stream is polled again after its end.
            let packed = packed.fuse().boxed();
            let (coming, step) = (Bytes::new(), Bytes::new());
            Unpacking { packed, format, unpacker, coming, step, broken: None, taken: 0, given: 0, failed: None }
                .chunks()
        }
        Err(error) => failed(&error.to_string()),
    }
}

/// Returns the first bytes, up to at least [`HEAD`] if there are enough, and all chunks unchanged.
async fn peek(chunks: Chunks) -> (Bytes, Chunks) {
    let mut chunks = chunks.fuse();
    let (mut first, mut length) = (Vec::new(), 0);
    while length < HEAD {
        match chunks.next().await {
            Some(chunk) => {
                length += chunk.as_ref().map_or(HEAD, Bytes::len);
                first.push(chunk);
            }
            None => break,
        }
    }
    let mut parts = first.iter().filter_map(|chunk| chunk.as_ref().ok());
    let head = match (first.len(), parts.next()) {
        (1, Some(only)) => only.clone(),
        (_, Some(part)) => parts.fold(part.to_vec(), |head, part| [&head[..], part].concat()).into(),
        (_, None) => Bytes::new(),
    };
    (head, stream::iter(first).chain(chunks).boxed())
}

/// Passes on the chunks, or fails if `head` shows an unsupported format. One error replaces thousands of bad records.
fn refused(head: &[u8], chunks: Chunks) -> Chunks {
    match remedy_for(head) {
        Some(words) => failed(words),
        None => chunks,
    }
}

fn failed(words: &str) -> Chunks {
    stream::iter([Err(ReadError::Packed(words.to_owned()))]).boxed()
}

/// Returns the message for a decompression bomb.
pub(in crate::source) fn too_much() -> String {
    format!("it unpacks to more than {MOST} times its size, unlike any flow log: unpack it yourself if it is one")
}

/// Decompression state of one blob.
struct Unpacking {
    packed: Chunks,
    format: Format,
    unpacker: Unpacker,
    /// Rest of the last chunk that is in no step yet.
    coming: Bytes,
    /// Rest of the current step. Steps end at multiples of a fixed length, regardless of chunk boundaries. Damage
    /// therefore always costs the same bytes and is reported in the same words.
    step: Bytes,
    /// Read error that ended the packed stream.
    broken: Option<ReadError>,
    /// Packed bytes consumed so far.
    taken: u64,
    /// Unpacked bytes returned so far.
    given: u64,
    /// Error to return after the bytes just given.
    failed: Option<ReadError>,
}

impl Unpacking {
    fn chunks(self) -> Chunks {
        let step = |unpacking: Option<Self>| async move {
            let mut unpacking = unpacking?;
            match unpacking.next().await {
                Ok(bytes) if bytes.is_empty() => None,
                Ok(bytes) => Some((Ok(bytes), Some(unpacking))),
                Err(error) => Some((Err(error), None)),
            }
        };
        stream::unfold(Some(self), step).boxed()
    }

    /// Returns the next bytes, empty at the end. Bytes unpacked before an error are returned before it.
    async fn next(&mut self) -> Result<Bytes, ReadError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut out = Vec::new();
        let result = self.fill(&mut out).await;
        self.given += out.len() as u64;
        match result {
            Err(error) if out.is_empty() => return Err(error),
            Err(error) => self.failed = Some(error),
            Ok(()) => {}
        }
        Ok(out.into())
    }

    async fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        while out.len() < CHUNK {
            self.fill_step().await;
            if self.step.is_empty() {
                if let Some(error) = self.broken.take() {
                    return Err(error);
                }
                let name = self.format.name();
                let early = format!("its {name} data ends early: copy it again for the rest");
                return self.unpacker.end(out).map_err(|_| ReadError::Packed(early));
            }
            let taken = self.unpacker.step(&self.step, out).map_err(|error| self.damaged(&error))?;
            self.taken += taken as u64;
            self.step = self.step.slice(taken..);
            if self.given + out.len() as u64 > FREE + MOST * self.taken {
                return Err(ReadError::Packed(too_much()));
            }
        }
        Ok(())
    }

    /// Fills the step to its length, unless the packed bytes end first.
    async fn fill_step(&mut self) {
        let length = self.unpacker.step_length();
        let wanted = length - (self.taken % length as u64) as usize;
        while self.step.len() < wanted && self.broken.is_none() {
            if self.coming.is_empty() {
                match self.packed.next().await {
                    Some(Ok(chunk)) => self.coming = chunk,
                    Some(Err(error)) => self.broken = Some(error),
                    None => return,
                }
            }
            let more = self.coming.split_to(self.coming.len().min(wanted - self.step.len()));
            self.step = if self.step.is_empty() { more } else { [&self.step[..], &more].concat().into() };
        }
    }

    fn damaged(&self, error: &io::Error) -> ReadError {
        let (name, at) = (self.format.name(), self.taken);
        ReadError::Packed(format!("its {name} data is damaged near byte {at}: copy it again for the rest ({error})"))
    }
}

enum Unpacker {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
    Zstd {
        decoder: Box<ZstdDecoder<'static>>,
        /// True between frames.
        is_whole: bool,
    },
}

impl Unpacker {
    fn new(format: Format) -> io::Result<Self> {
        Ok(match format {
            Format::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Format::Deflate => Self::Deflate(Box::new(DeflateDecoder::new(Vec::new()))),
            Format::Zstd => {
                let mut decoder = ZstdDecoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))?;
                Self::Zstd { decoder: Box::new(decoder), is_whole: false }
            }
        })
    }

    fn step_length(&self) -> usize {
        match self {
            Self::Gzip(_) | Self::Deflate(_) => GZIP_STEP,
            Self::Zstd { .. } => ZSTD_STEP,
        }
    }

    /// Unpacks part of a step, appends it to `out`, and returns the number of bytes consumed.
    fn step(&mut self, step: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => {
                let result = decoder.write_all(step);
                out.append(decoder.get_mut());
                result.map(|()| step.len())
            }
            Self::Deflate(decoder) => {
                let result = decoder.write_all(step);
                out.append(decoder.get_mut());
                result.map(|()| step.len())
            }
            Self::Zstd { decoder, is_whole } => {
                let start = out.len();
                out.resize(start + CHUNK, 0);
                let mut input = InBuffer::around(step);
                let mut output = OutBuffer::around_pos(out, start);
                let result = decoder.run(&mut input, &mut output);
                let end = output.pos();
                out.truncate(end);
                *is_whole = result? == 0;
                Ok(input.pos())
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => {
                let result = decoder.try_finish();
                out.append(decoder.get_mut());
                result
            }
            Self::Deflate(decoder) => {
                let result = decoder.try_finish();
                out.append(decoder.get_mut());
                result
            }
            Self::Zstd { is_whole, .. } if *is_whole => Ok(()),
            Self::Zstd { .. } => {
                // The decoder may hold back output that did not fit in the last step.
                let start = out.len();
                self.step(&[], out)?;
                match self {
                    Self::Zstd { is_whole: false, .. } if out.len() == start => {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    }
                    _ => self.end(out),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"{\"records\":[]}";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(bytes).expect("memory takes all");
        packer.finish().expect("memory takes all")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).expect("memory takes all")
    }

    /// Unpacks everything; returns the result and the longest chunk.
    fn unpack(packed: &[u8], chunk: usize) -> (Result<Vec<u8>, String>, usize) {
        let (all, error, longest) = unpack_all(packed, chunk);
        (error.map_or(Ok(all), Err), longest)
    }

    /// Unpacks everything; returns the bytes, the error after them, and the longest chunk.
    fn unpack_all(packed: &[u8], chunk: usize) -> (Vec<u8>, Option<String>, usize) {
        let chunks: Vec<_> = packed.chunks(chunk.max(1)).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let mut stream = unpacked(stream::iter(chunks).boxed(), || ());
        let (mut all, mut longest) = (Vec::new(), 0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        while let Some(next) = runtime.block_on(stream.next()) {
            match next {
                Ok(bytes) => {
                    longest = longest.max(bytes.len());
                    all.extend_from_slice(&bytes);
                }
                Err(error) => return (all, Some(error.to_string()), longest),
            }
        }
        (all, None, longest)
    }

    #[test]
    fn damage_costs_the_same_at_any_cut() {
        let text: Vec<u8> =
            (0..200_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 22).to_le_bytes()).collect();
        for packed in [gzip(&text), zstd(&text)] {
            for at in [12, 20, 5_000, packed.len() / 2, packed.len() - 6] {
                let mut spoilt = packed.clone();
                spoilt[at..at + 4].fill(0xff);
                let (whole, error, _) = unpack_all(&spoilt, spoilt.len());
                for chunk in [7, 1000, 4096, 100_000] {
                    let (some, same, _) = unpack_all(&spoilt, chunk);
                    assert!(some == whole && same == error, "{at} by {chunk}: {same:?}, {error:?}");
                }
            }
        }
    }

    #[test]
    fn gives_what_was_packed_at_any_cut() {
        let long: Vec<u8> =
            (0..3_000_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        for text in [TEXT, &long] {
            for packed in [
                text.to_vec(),
                gzip(text),
                [gzip(&text[..5]), gzip(&text[5..])].concat(),
                zstd(text),
                [zstd(&text[..5]), zstd(&text[5..])].concat(),
            ] {
                for chunk in [7, 4_000, packed.len()] {
                    if chunk > 7 || packed.len() < 1000 {
                        assert_eq!(unpack(&packed, chunk).0.as_deref(), Ok(text), "{} bytes by {chunk}", packed.len());
                    }
                }
            }
        }
        assert_eq!(unpack(b"", 1).0, Ok(Vec::new()));
    }

    #[test]
    fn says_what_is_wrong_with_it() {
        let long = TEXT.repeat(10_000);
        for packed in [gzip(&long), zstd(&long)] {
            for length in 5..packed.len() {
                let (result, _) = unpack(&packed[..length], 64);
                assert!(result.as_ref().is_err_and(|e| e.contains("ends early")), "{length}: {result:?}");
            }
            let mut spoilt = packed.clone();
            let middle = packed.len() / 2;
            spoilt[middle..middle + 4].fill(0xff);
            assert!(unpack(&spoilt, 64).0.is_err());
        }
        assert!(unpack(&[gzip(TEXT), b"junk".repeat(10)].concat(), 64).0.is_err_and(|e| e.contains("damaged")));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let zeros = vec![0; 200 << 20];
        for packed in [gzip(&zeros), zstd(&zeros)] {
            let (result, longest) = unpack(&packed, 64 << 10);
            assert!(result.is_err_and(|e| e.contains("200 times")));
            assert!(longest < 8 << 20, "{longest}");
        }
    }
}
