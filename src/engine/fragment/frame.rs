//! Frames: the answer of a task, as a sequence of messages.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::ipc::{CompressionType, MetadataVersion};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use serde::{Deserialize, Serialize};

use crate::engine::scan::receipt::Receipt;

/// Bytes of rows after which a frame ends.
const FULL: usize = 1 << 20;
/// Number of receipts per frame.
const RECEIPTS: usize = 1000;

/// A message of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number of the task.
    pub task: u32,
    /// Kind of the message.
    pub kind: FrameKind,
    /// Content of the message.
    pub body: Bytes,
}

/// Kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Rows.
    Rows = 0,
    /// Receipts of parts of the input.
    Receipts = 1,
    /// The task ended, and this is what it sent.
    End = 2,
    /// The task failed.
    Failed = 3,
}

/// What a task sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Number of rows.
    pub rows: u64,
    /// Number of receipts.
    pub receipts: u64,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// Reason, as a message.
    pub why: String,
    /// Whether the query failed on a value. Another process would fail on it, too.
    pub is_of_query: bool,
}

impl FrameKind {
    /// Returns the kind with this number.
    pub fn of(number: u8) -> Option<Self> {
        [Self::Rows, Self::Receipts, Self::End, Self::Failed].into_iter().find(|kind| *kind as u8 == number)
    }
}

impl Frame {
    /// Returns the frame of a task that failed.
    pub fn failed(task: u32, failure: &TaskFailure) -> Result<Self> {
        Ok(Self { task, kind: FrameKind::Failed, body: serde_json::to_vec(failure).map_err(external)?.into() })
    }

    /// Returns the frames of receipts.
    pub fn receipts(task: u32, receipts: &[Receipt]) -> Result<Vec<Self>> {
        let frame = |receipts: &[Receipt]| {
            Ok(Self {
                task,
                kind: FrameKind::Receipts,
                body: packed(&serde_json::to_vec(receipts).map_err(external)?)?,
            })
        };
        receipts.chunks(RECEIPTS).map(frame).collect()
    }

    /// Returns the last frame of a task.
    pub fn end(task: u32, sent: Sent) -> Result<Self> {
        Ok(Self { task, kind: FrameKind::End, body: serde_json::to_vec(&sent).map_err(external)?.into() })
    }

    /// Returns the receipts of a frame of them.
    pub fn as_receipts(&self) -> Result<Vec<Receipt>> {
        serde_json::from_slice(&unpacked(&self.body)?).map_err(external)
    }

    /// Returns what the task sent, if this is its last frame.
    pub fn as_end(&self) -> Result<Sent> {
        serde_json::from_slice(&self.body).map_err(external)
    }

    /// Returns why the task failed, if this is the frame of one that did.
    pub fn as_failure(&self) -> Result<TaskFailure> {
        serde_json::from_slice(&self.body).map_err(external)
    }
}

/// Writes rows to frames.
pub struct RowWriter {
    task: u32,
    schema: SchemaRef,
    open: Option<StreamWriter<Vec<u8>>>,
    /// Bytes and rows of the batches in `open`.
    size: (usize, u64),
    /// Number of rows so far.
    pub rows: u64,
}

impl RowWriter {
    pub fn new(task: u32, schema: SchemaRef) -> Self {
        Self { task, schema, open: None, size: (0, 0), rows: 0 }
    }

    /// Adds rows. Returns a frame once there are enough of them.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Option<Frame>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let writer = match &mut self.open {
            Some(writer) => writer,
            open => {
                let options = IpcWriteOptions::try_new(64, false, MetadataVersion::V5)?
                    .try_with_compression(Some(CompressionType::LZ4_FRAME))?;
                open.insert(StreamWriter::try_new_with_options(Vec::new(), &self.schema, options)?)
            }
        };
        let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), batch.columns().to_vec(), &count)?;
        writer.write(&batch)?;
        self.rows += batch.num_rows() as u64;
        self.size = (self.size.0 + batch.get_array_memory_size(), self.size.1 + batch.num_rows() as u64);
        if self.size.0 < FULL { Ok(None) } else { self.finish() }
    }

    /// Returns the last frame, if it has rows.
    pub fn finish(&mut self) -> Result<Option<Frame>> {
        let (_, rows) = std::mem::take(&mut self.size);
        let Some(mut writer) = self.open.take() else { return Ok(None) };
        writer.finish()?;
        let mut body = writer.into_inner()?;
        body.extend_from_slice(&rows.to_le_bytes());
        let body = body.into();
        Ok(Some(Frame { task: self.task, kind: FrameKind::Rows, body }))
    }
}

/// Returns the rows of a frame of them, in batches with the columns of `schema`.
pub fn rows(body: &Bytes, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let (batches, expected) = split(body)?;
    let batch = |batch: Result<RecordBatch, _>| {
        let batch: RecordBatch = batch?;
        let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &count)?)
    };
    let batches: Vec<RecordBatch> = StreamReader::try_new(batches, None)?.map(batch).collect::<Result<_>>()?;
    let found: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    match found == expected {
        true => Ok(batches),
        false => exec_err!("a frame of {expected} rows has {found}"),
    }
}

/// Returns the number of rows that a frame of them promises.
pub fn count(body: &Bytes) -> Result<u64> {
    Ok(split(body)?.1)
}

fn split(body: &Bytes) -> Result<(&[u8], u64)> {
    let parts = body.split_last_chunk::<8>();
    let (batches, rows) = parts.ok_or_else(|| exec_datafusion_err!("a frame that is too short"))?;
    Ok((batches, u64::from_le_bytes(*rows)))
}

/// Level of compression: names of blobs repeat, so a fast level packs them well.
const LEVEL: i32 = 3;

/// Compresses bytes.
pub fn packed(bytes: &[u8]) -> Result<Bytes> {
    Ok(zstd::encode_all(bytes, LEVEL)?.into())
}

/// Decompresses bytes.
pub fn unpacked(bytes: &[u8]) -> Result<Vec<u8>> {
    zstd::decode_all(bytes).map_err(|error| exec_datafusion_err!("a message that is cut or changed: {error}"))
}

/// Converts an error of a message's text.
pub fn external(error: serde_json::Error) -> DataFusionError {
    exec_datafusion_err!("a message of another form: {error}")
}
