//! Bytes of an archive by their place, for reading its headers.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;

use super::error::ReadError;
use super::ranges::{Extent, Reader};
use crate::source::Blob;

/// Bytes that one read takes. Headers are often close to one another.
const STEP: u64 = 256 << 10;

pub struct Window {
    input: Input,
    /// Place of `bytes`.
    at: u64,
    bytes: Bytes,
}

enum Input {
    /// Goes anywhere.
    Blob { reader: Box<Reader>, size: u64 },
    /// Goes on only.
    Stream(BoxStream<'static, Result<Bytes, ReadError>>),
}

impl Window {
    pub fn of_blob(store: Arc<dyn ObjectStore>, blob: &Blob) -> Self {
        let reader = Box::new(Reader::new(store, blob, Extent::Range { start: 0, end: blob.size }, None));
        Self { input: Input::Blob { reader, size: blob.size }, at: 0, bytes: Bytes::new() }
    }

    pub fn of_stream(chunks: BoxStream<'static, Result<Bytes, ReadError>>) -> Self {
        Self { input: Input::Stream(chunks.fuse().boxed()), at: 0, bytes: Bytes::new() }
    }

    /// Up to `length` bytes from `at` on: fewer only at the end. A stream is never asked for earlier bytes again.
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

    /// Bytes of a blob; of a stream, as far as it has been read.
    pub fn end(&self) -> u64 {
        match &self.input {
            Input::Blob { size, .. } => *size,
            Input::Stream(_) => self.at + self.bytes.len() as u64,
        }
    }
}

/// A little-endian number of at most eight bytes; 0 where `bytes` ends before it.
pub fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let number = bytes.get(at..at + length).unwrap_or_default();
    number.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
