//! One Parquet file that is being written, and its entry in the log.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Int32Type as ArrowInt32, Int64Type as ArrowInt64, TimestampMicrosecondType};
use bytes::Bytes;
use chrono::{NaiveDate, Utc};
use deltalake_core::kernel::Add;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{DataType as PhysicalType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use tokio::runtime::Handle;
use zstd::bulk::Compressor;

use super::super::columns::{PARTITION, STORED, stored};
use super::super::error::{LakeError, Result};
use super::super::failpoint;
use super::super::place::Lake;
use super::super::stats;
use super::chunk::{self, LEVEL};
use super::sort::Sorted;
use crate::schema::Column;
/// Bytes per request of an upload.
const PART: usize = 4 << 20;

/// A data file that is not complete. It must be used on a thread that may block.
pub struct OpenFile {
    shown: String,
    path: Path,
    day: String,
    writer: SerializedFileWriter<Buffer>,
    compressor: Compressor<'static>,
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
        let writer = writer(buffer.clone()).map_err(|error| failed(&shown, &error))?;
        let compressor = Compressor::new(LEVEL).map_err(|error| failed(&shown, &error.into()))?;
        let upload = Handle::current().block_on(lake.objects().put_multipart(&path));
        let upload = upload.map_err(|error| LakeError::of_store(&shown, &error))?;
        failpoint::pass("file-created");
        Ok(Self { shown, path, day, writer, compressor, buffer, upload, size: 0 })
    }

    /// Adds a range of rows as a row group.
    pub fn write(&mut self, rows: &Sorted, range: Range<usize>) -> Result<()> {
        let written = write_group(&mut self.writer, &mut self.compressor, rows, range);
        written.map_err(|error| failed(&self.shown, &error))?;
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

/// Columns of resource ids, which are long and nearly the same in every row, so that bounds of them rule nothing out.
const UNBOUNDED: [Column; 3] = [Column::Acl, Column::FlowLog, Column::Target];

fn writer(buffer: Buffer) -> ParquetResult<SerializedFileWriter<Buffer>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        .set_data_page_row_count_limit(chunk::PAGE);
    // A dictionary of numbers that are nearly all different only adds to them.
    let encodings = [
        ("time", Encoding::DELTA_BINARY_PACKED),
        ("src_port", Encoding::BYTE_STREAM_SPLIT),
        ("bytes_sent", Encoding::BYTE_STREAM_SPLIT),
        ("bytes_received", Encoding::BYTE_STREAM_SPLIT),
    ];
    let properties = encodings.into_iter().fold(properties, |properties, (column, encoding)| {
        properties.set_column_dictionary_enabled(column.into(), false).set_column_encoding(column.into(), encoding)
    });
    let schema = ArrowSchemaConverter::new().convert(&stored())?.root_schema_ptr();
    SerializedFileWriter::new(buffer, schema, Arc::new(properties.build()))
}

fn write_group(
    writer: &mut SerializedFileWriter<Buffer>,
    compressor: &mut Compressor,
    rows: &Sorted,
    range: Range<usize>,
) -> ParquetResult<()> {
    let compression = Compression::ZSTD(ZstdLevel::try_new(LEVEL)?);
    let descriptors = writer.schema_descr().columns().to_vec();
    let mut group = writer.next_row_group()?;
    for (nr, (column, field)) in STORED.iter().zip(stored().fields()).enumerate() {
        let (is_nullable, range) = (field.is_nullable(), range.clone());
        match field.data_type() {
            DataType::Int32 => {
                write_numbers::<Int32Type>(&mut group, is_nullable, rows.numbers::<ArrowInt32>(nr, range)?)?;
            }
            DataType::Int64 => {
                write_numbers::<Int64Type>(&mut group, is_nullable, rows.numbers::<ArrowInt64>(nr, range)?)?;
            }
            DataType::Timestamp(..) => {
                let times = rows.numbers::<TimestampMicrosecondType>(nr, range)?;
                write_numbers::<Int64Type>(&mut group, is_nullable, times)?;
            }
            _ => {
                let texts = rows.texts(nr, range)?;
                let has_bounds = !UNBOUNDED.contains(column);
                let (bytes, close) = chunk::encode(&texts, &descriptors[nr], compression, has_bounds, compressor)?;
                group.append_column(&bytes, close)?;
            }
        }
    }
    group.close().map(|_| ())
}

/// Writes a column of numbers, and for each row whether it has one.
fn write_numbers<T: PhysicalType>(
    group: &mut SerializedRowGroupWriter<Buffer>,
    is_nullable: bool,
    (values, is_valid): (Vec<T::T>, Vec<bool>),
) -> ParquetResult<()> {
    let missing = || ParquetError::General("the schema has too few columns".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    let levels: Vec<i16> = match is_valid.is_empty() {
        true => vec![1; values.len()],
        false => is_valid.into_iter().map(i16::from).collect(),
    };
    column.typed::<T>().write_batch(&values, is_nullable.then_some(&levels), None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, TimestampMicrosecondArray};
    use arrow::compute::{cast, concat_batches};
    use arrow::record_batch::RecordBatch;
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::page_index::column_index::ColumnIndexMetaData;

    use super::*;
    use crate::lake::columns::held;

    /// Rows with texts of all kinds: a few, many, none, long ones, and some that differ only after their first 16 bytes.
    fn batch(random: &mut fastrand::Rng, rows: usize) -> RecordBatch {
        let schema = held();
        let columns = schema.fields().iter().enumerate().map(|(nr, field)| -> ArrayRef {
            let distinct = [1, 2, 40, 30_000][nr % 4];
            let nulls = if field.is_nullable() { [0.0, 0.3, 1.0][nr % 3] } else { 0.0 };
            let numbers: Vec<Option<i64>> =
                (0..rows).map(|_| (random.f64() >= nulls).then(|| random.i64(0..distinct))).collect();
            match field.data_type() {
                DataType::Int32 => Arc::new(numbers.iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>()),
                DataType::Int64 => Arc::new(numbers.into_iter().collect::<Int64Array>()),
                DataType::Timestamp(..) => {
                    let times =
                        numbers.iter().map(|n| n.map(|n| n * 5_000_000_000)).collect::<TimestampMicrosecondArray>();
                    Arc::new(times.with_timezone("UTC"))
                }
                texts => {
                    let text = |number: i64| match field.name().as_str() {
                        "decision" => ["allow", "deny"][number as usize % 2].to_owned(),
                        "direction" => ["inbound", "outbound"][number as usize % 2].to_owned(),
                        _ => format!("{}{number}é", "a long beginning".repeat(nr % 3)),
                    };
                    let plain: arrow::array::StringArray = numbers.iter().map(|n| n.map(text)).collect();
                    cast(&plain, texts).expect("dictionaries")
                }
            }
        });
        RecordBatch::try_new(held(), columns.collect()).expect("a batch")
    }

    fn lines(batch: &RecordBatch) -> Vec<String> {
        let options = FormatOptions::new().with_null("∅");
        let columns: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a formatter"))
            .collect();
        let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
        let mut lines: Vec<String> = (0..batch.num_rows()).map(line).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn other_readers_find_every_row_and_true_bounds() {
        let mut random = fastrand::Rng::with_seed(22);
        for sizes in [vec![1], vec![7, 8192, 3], vec![8192; 4]] {
            let batches: Vec<RecordBatch> = sizes.iter().map(|rows| batch(&mut random, *rows)).collect();
            let buffer = Buffer::default();
            let mut writer = writer(buffer.clone()).expect("a writer");
            let mut compressor = Compressor::new(LEVEL).expect("a compressor");
            let sorted = Sorted::new(batches.clone()).expect("rows");
            for (_, rows) in sorted.days() {
                write_group(&mut writer, &mut compressor, &sorted, rows).expect("a group");
            }
            writer.finish().expect("a file");
            let file = Bytes::from(std::mem::take(&mut *buffer.0.lock().expect("bytes")));

            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
            let reader =
                ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).expect("a reader");
            let metadata = Arc::clone(reader.metadata());
            let read: Vec<RecordBatch> = reader.build().expect("rows").collect::<Result<_, _>>().expect("rows");
            let read = concat_batches(&read[0].schema(), &read).expect("one schema");
            let expected = concat_batches(&held(), &batches).expect("one schema");
            assert_eq!(lines(&read), lines(&expected));

            let mut first = 0;
            for (nr, group) in metadata.row_groups().iter().enumerate() {
                let rows = read.slice(first, group.num_rows() as usize);
                first += rows.num_rows();
                for (at, column) in STORED.iter().enumerate() {
                    let Some(texts) = rows.column(at).as_string_opt::<i32>() else { continue };
                    let index = &metadata.column_index().expect("bounds of pages")[nr][at];
                    let pages = metadata.offset_index().expect("places of pages")[nr][at].page_locations();
                    let ColumnIndexMetaData::BYTE_ARRAY(index) = index else {
                        assert!(UNBOUNDED.contains(column), "{column:?}");
                        continue;
                    };
                    for (page, place) in pages.iter().enumerate() {
                        let end = pages.get(page + 1).map_or(rows.num_rows() as i64, |next| next.first_row_index);
                        let of_page =
                            texts.slice(place.first_row_index as usize, (end - place.first_row_index) as usize);
                        let bounds = [of_page.iter().flatten().min(), of_page.iter().flatten().max()];
                        let stored = [index.min_value(page), index.max_value(page)];
                        assert_eq!(stored, bounds.map(|bound| bound.map(str::as_bytes)), "{column:?} page {page}");
                        assert_eq!(index.null_count(page), Some(of_page.null_count() as i64));
                    }
                }
            }
        }
    }
}
