//! Writes the cursor file of a commit.

use std::collections::BTreeMap;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{BATCH, Cursors, Entry, HEAD, Head, LONGEST, Seen, columns};
use crate::lake::error::{LakeError, Result};

/// What a commit changes of the cursors.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// New entries of blobs, by name.
    pub entries: BTreeMap<String, Entry>,
    /// Day from which rows are kept from now on, if that changes.
    pub kept_from: Option<i32>,
}

/// Returns the bytes of the cursor file of commit `t`, made on the cursors `before`; `None` for a file that forgets
/// everything before. It holds all blobs if the chain would otherwise be too long.
pub fn write(shown: &str, before: Option<&Cursors>, t: i64, changes: &Changes) -> Result<Vec<u8>> {
    let failed = |error: ParquetError| LakeError::failed(shown, format_args!("cannot write a cursor file: {error}"));
    let changed = changes.entries.len() as u64;
    let Some(before) = before else {
        let head = Head { t, before: None, blobs: changed, kept_from: changes.kept_from };
        let mut file = Writer::new(&head).map_err(failed)?;
        changes.entries.values().try_for_each(|entry| file.push(entry.clone())).map_err(failed)?;
        return file.finish().map_err(failed);
    };
    let known = before.known()?;
    let is_new = |name: &&String| known.compare(name, None, 0) == Seen::New;
    let blobs = before.blobs + changes.entries.keys().filter(is_new).count() as u64;
    let (files, rows) = before.chain_size();
    let is_full = files + 1 >= LONGEST || rows + changed > blobs / 4;
    let kept_from = changes.kept_from.max(before.kept_from);
    let head = Head { t, before: (!is_full).then_some(before.t()), blobs, kept_from };
    let mut file = Writer::new(&head).map_err(failed)?;
    if is_full {
        before.for_each(|entry| match changes.entries.contains_key(&entry.blob) {
            true => Ok(()),
            false => file.push(entry).map_err(failed),
        })?;
    }
    changes.entries.values().try_for_each(|entry| file.push(entry.clone())).map_err(failed)?;
    file.finish().map_err(failed)
}

/// A cursor file that is being written.
struct Writer {
    file: ArrowWriter<Vec<u8>>,
    held: Vec<Entry>,
}

impl Writer {
    fn new(head: &Head) -> ParquetResult<Self> {
        let json = serde_json::to_string(head).map_err(|error| ParquetError::External(Box::new(error)))?;
        // Names come in order and begin alike.
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_column_dictionary_enabled("blob".into(), false)
            .set_column_encoding("blob".into(), Encoding::DELTA_BYTE_ARRAY)
            .set_key_value_metadata(Some(vec![KeyValue::new(HEAD.to_owned(), json)]))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let file = ArrowWriter::try_new_with_options(Vec::new(), columns::schema(), options)?;
        Ok(Self { file, held: Vec::new() })
    }

    fn push(&mut self, entry: Entry) -> ParquetResult<()> {
        self.held.push(entry);
        if self.held.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> ParquetResult<()> {
        self.file.write(&columns::batch(&self.held)?)?;
        self.held.clear();
        Ok(())
    }

    fn finish(mut self) -> ParquetResult<Vec<u8>> {
        self.flush()?;
        self.file.into_inner()
    }
}
