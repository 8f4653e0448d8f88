//! Random access to the bytes of an archive, for reading its headers.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;

use super::error::ReadError;
use super::ranges::{Extent, Reader};
use crate::source::Blob;

/// Minimum bytes per read, because headers are often close together.
const STEP: u64 = 256 << 10;

/// A buffered part of an archive.
pub struct Window {
    input: Input,
    /// Offset of `bytes` in the archive.
    at: u64,
    bytes: Bytes,
}

enum Input {
    /// A blob, which allows any order.
    Blob { reader: Box<Reader>, size: u64 },
    /// A stream, which only moves forward.
    Stream(BoxStream<'static, Result<Bytes, ReadError>>),
}

impl Window {
    /// Creates a window over a blob. Fails with `Rewritten` if the blob changes.
    pub fn of_blob(store: Arc<dyn ObjectStore>, blob: &Blob) -> Self {
        let reader = Box::new(Reader::new(store, blob, Extent::Range { start: 0, end: blob.size }, None));
        Self { input: Input::Blob { reader, size: blob.size }, at: 0, bytes: Bytes::new() }
    }

    /// Creates a window over a stream.
    pub fn of_stream(chunks: BoxStream<'static, Result<Bytes, ReadError>>) -> Self {
        Self { input: Input::Stream(chunks.fuse().boxed()), at: 0, bytes: Bytes::new() }
    }

    /// Returns up to `length` bytes from `at`, fewer only at the end. In a stream, `at` must never decrease.
    pub async fn get(&mut self, at: u64, length: usize) -> Result<Bytes, ReadError> {
        match &mut self.input {
            Input::Blob { reader, size } => {
                let end = at.saturating_add(length as u64).min(*size);
                if at >= end {
                    return Ok(Bytes::new());
                }
                if at < self.at || end > self.at + self.bytes.len() as u64 {
                    self.bytes = reader.at(at..end.max(at.saturating_add(STEP).min(*size))).await?;
                    self.at = at;
                }
            }
            Input::Stream(chunks) => loop {
                let passed = at.saturating_sub(self.at).min(self.bytes.len() as u64);
                self.bytes.advance(passed as usize);
                self.at += passed;
                if self.at == at && self.bytes.len() >= length {
                    break;
                }
                match chunks.next().await {
                    Some(chunk) if self.bytes.is_empty() => self.bytes = chunk?,
                    Some(chunk) => self.bytes = [&self.bytes[..], &chunk?].concat().into(),
                    None => break,
                }
            },
        }
        let start = at.checked_sub(self.at).and_then(|start| usize::try_from(start).ok()).unwrap_or(usize::MAX);
        let start = start.min(self.bytes.len());
        Ok(self.bytes.slice(start..start.saturating_add(length).min(self.bytes.len())))
    }

    /// Returns the size of a blob, or the offset up to which a stream was read.
    pub fn end(&self) -> u64 {
        match &self.input {
            Input::Blob { size, .. } => *size,
            Input::Stream(_) => self.at + self.bytes.len() as u64,
        }
    }
}

/// Returns a little-endian number of at most eight bytes, or 0 if `bytes` is too short.
pub fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let number = bytes.get(at..at + length).unwrap_or_default();
    number.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
