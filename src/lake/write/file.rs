//! One Parquet file that is being written, and its entry in the log.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{NaiveDate, Utc};
use deltalake_core::kernel::Add;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tokio::runtime::Handle;

use super::super::columns::{PARTITION, stored};
use super::super::error::{LakeError, Result};
use super::super::failpoint;
use super::super::place::Lake;
use super::super::stats;
use arrow::record_batch::RecordBatch;

/// Bytes per request of an upload.
const PART: usize = 4 << 20;

/// A data file that is not complete. It must be used on a thread that may block.
pub struct OpenFile {
    shown: String,
    path: Path,
    day: String,
    writer: ArrowWriter<Buffer>,
    buffer: Buffer,
    upload: Box<dyn MultipartUpload>,
    size: u64,
}

/// Bytes that the Parquet writer made and that are not uploaded.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OpenFile {
    /// Creates a file for rows of `day`, in days since 1970.
    pub fn create(lake: &Lake, day: i32) -> Result<Self> {
        let shown = lake.shown().to_owned();
        let day = NaiveDate::from_epoch_days(day).map(|day| day.to_string());
        let day = day.ok_or_else(|| LakeError::failed(&shown, "a row is outside the calendar"))?;
        let path = Path::from(format!("{PARTITION}={day}/part-{:032x}.parquet", fastrand::u128(..)));
        let buffer = Buffer::default();
        let writer = ArrowWriter::try_new_with_options(buffer.clone(), stored(), options(&shown)?)
            .map_err(|error| failed(&shown, &error))?;
        let upload = Handle::current().block_on(lake.objects().put_multipart(&path));
        let upload = upload.map_err(|error| LakeError::of_store(&shown, &error))?;
        failpoint::pass("file-created");
        Ok(Self { shown, path, day, writer, buffer, upload, size: 0 })
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|error| failed(&self.shown, &error))
    }

    /// Ends a row group.
    pub fn end_group(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| failed(&self.shown, &error))?;
        self.send(PART)
    }

    /// Number of bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Completes the file and returns its entry.
    pub fn close(mut self) -> Result<Add> {
        let metadata = self.writer.finish().map_err(|error| failed(&self.shown, &error))?;
        self.send(1)?;
        failpoint::pass("file-written");
        let done = Handle::current().block_on(self.upload.complete());
        done.map_err(|error| LakeError::of_store(&self.shown, &error))?;
        failpoint::pass("file-complete");
        Ok(Add {
            path: self.path.to_string(),
            partition_values: HashMap::from([(PARTITION.to_owned(), Some(self.day))]),
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            modification_time: Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(stats::of(&metadata)),
            ..Add::default()
        })
    }

    /// Uploads what is there if it is at least `least` bytes.
    fn send(&mut self, least: usize) -> Result<()> {
        let bytes = {
            let mut buffer = self.buffer.0.lock().unwrap_or_else(PoisonError::into_inner);
            if buffer.len() < least { return Ok(()) } else { std::mem::take(&mut *buffer) }
        };
        self.size += bytes.len() as u64;
        let sent = Handle::current().block_on(self.upload.put_part(PutPayload::from(Bytes::from(bytes))));
        sent.map_err(|error| LakeError::of_store(&self.shown, &error))
    }
}

fn failed(shown: &str, error: &ParquetError) -> LakeError {
    LakeError::failed(shown, format_args!("cannot write a Parquet file: {error}"))
}

fn options(shown: &str) -> Result<ArrowWriterOptions> {
    let level = ZstdLevel::try_new(3).map_err(|error| failed(shown, &error))?;
    let long = ["acl", "flow_log", "target"];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        // Groups are ended by hand.
        .set_max_row_group_row_count(None)
        // Statistics decide which files may have a blob.
        .set_statistics_truncate_length(None)
        .set_column_dictionary_enabled("time".into(), false)
        .set_column_encoding("time".into(), Encoding::DELTA_BINARY_PACKED)
        // These are random, so that a dictionary only adds to them.
        .set_column_dictionary_enabled("src_port".into(), false)
        .set_column_encoding("src_port".into(), Encoding::BYTE_STREAM_SPLIT);
    // Resource ids are long, and nearly the same in every row, so that bounds of them rule nothing out.
    let properties = long.into_iter().fold(properties, |properties, column| {
        properties.set_column_statistics_enabled(column.into(), EnabledStatistics::None)
    });
    let properties = properties.build();
    // Without it, readers see plain strings.
    Ok(ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true))
}
