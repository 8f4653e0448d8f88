//! Encodes a column of text as a column chunk of a Parquet file: a dictionary of its texts in ascending order, and pages of
//! indices. A general writer looks each row's text up. Here that was done once per text of a batch.

use std::io::Write;

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::distinct::Distinct;
use super::hybrid;

/// Rows per page.
pub const PAGE: usize = 8192;
/// Levels of compression: of pages, and of dictionaries, which are a small part of the work.
pub const LEVEL: i32 = 3;
const DICTIONARY_LEVEL: i32 = 6;

/// Bytes that compression must save of a chunk. A reader sets up a decompressor for each chunk, which takes longer than
/// reading a few bytes more.
const WORTH: usize = 512;

/// A page of indices before compression.
struct Indices {
    rows: usize,
    nulls: usize,
    body: Vec<u8>,
    /// Least and greatest index, if a row has a text.
    ends: Option<(u32, u32)>,
}

/// Returns the bytes of a chunk and its metadata, whose offsets start at 0. `compression` is that of `compressor`. Without
/// `has_bounds`, no least and greatest texts are stored.
pub fn encode(
    column: &Distinct,
    descriptor: &ColumnDescPtr,
    compression: Compression,
    has_bounds: bool,
    compressor: &mut Compressor,
) -> Result<(Bytes, ColumnCloseResult)> {
    let Distinct { texts, indices, is_valid } = column;
    let rows = if is_valid.is_empty() { indices.len() } else { is_valid.len() };
    let dictionary = plain(texts);
    let data = pages(column, rows, descriptor.max_def_level() > 0);

    compressor.set_compression_level(DICTIONARY_LEVEL)?;
    let mut packed = vec![compressor.compress(&dictionary)?];
    compressor.set_compression_level(LEVEL)?;
    for page in &data {
        packed.push(compressor.compress(&page.body)?);
    }
    let plain_size = dictionary.len() + data.iter().map(|page| page.body.len()).sum::<usize>();
    let is_packed = packed.iter().map(Vec::len).sum::<usize>() + WORTH <= plain_size;
    let compression = if is_packed { compression } else { Compression::UNCOMPRESSED };

    let mut sink = TrackedWrite::new(Vec::new());
    let mut pages = SerializedPageWriter::new(&mut sink);
    let (mut compressed, mut uncompressed) = (0, 0);
    let mut packed = packed.into_iter();
    let mut write = |page: &dyn Fn(Bytes) -> Page, plain: Vec<u8>| -> Result<(i64, i32)> {
        let size = plain.len();
        let bytes = packed.next().filter(|_| is_packed).unwrap_or(plain);
        let written = pages.write_page(CompressedPage::new(page(bytes.into()), size))?;
        compressed += written.compressed_size as i64;
        uncompressed += written.uncompressed_size as i64;
        Ok((written.offset as i64, written.compressed_size as i32))
    };
    let (num_values, encoding) = (texts.len() as u32, Encoding::PLAIN);
    write(&|buf| Page::DictionaryPage { buf, num_values, encoding, is_sorted: true }, dictionary)?;
    let mut bounds = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
    let mut offsets = OffsetIndexBuilder::new();
    let (mut data_page_offset, mut data_pages, mut last) = (None, 0, None);
    let mut is_ascending = true;
    for Indices { rows, nulls, body, ends } in data {
        let page = |buf| Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (offset, size) = write(&page, body)?;
        data_page_offset.get_or_insert(offset);
        data_pages += 1;
        offsets.append_row_count(rows as i64);
        offsets.append_offset_and_size(offset, size);
        let text = |index: u32| texts[index as usize].as_bytes().to_vec();
        let (least, greatest) = ends.map(|(least, greatest)| (text(least), text(greatest))).unwrap_or_default();
        bounds.append(ends.is_none(), least, greatest, nulls as i64);
        if let Some((least, greatest)) = ends {
            is_ascending &= last.is_none_or(|(before, after)| before <= least && after <= greatest);
            last = ends;
        }
    }
    bounds.set_boundary_order(if is_ascending { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED });

    pages.close()?;
    let nulls = (rows - indices.len()) as u64;
    let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
    let mut metadata = ColumnChunkMetaData::builder(descriptor.clone())
        .set_compression(compression)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
        .set_page_encoding_stats(vec![
            stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
            stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, data_pages),
        ])
        .set_total_compressed_size(compressed)
        .set_total_uncompressed_size(uncompressed)
        .set_num_values(rows as i64)
        .set_dictionary_page_offset(Some(0))
        .set_data_page_offset(data_page_offset.unwrap_or(compressed));
    if has_bounds {
        let [least, greatest] =
            [texts.first(), texts.last()].map(|text| text.map(|text| ByteArray::from(text.as_bytes().to_vec())));
        metadata = metadata.set_statistics(Statistics::byte_array(least, greatest, None, Some(nulls), false));
    }
    let close = ColumnCloseResult {
        bytes_written: compressed as u64,
        rows_written: rows as u64,
        metadata: metadata.build()?,
        bloom_filter: None,
        column_index: has_bounds.then(|| bounds.build()).transpose()?,
        offset_index: Some(offsets.build()),
    };
    sink.flush().map_err(ParquetError::from)?;
    Ok((sink.into_inner()?.into(), close))
}

/// Returns texts as the pages of dictionaries have them: each after its length.
fn plain(texts: &[&str]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(texts.iter().map(|text| text.len() + 4).sum());
    for text in texts {
        plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
        plain.extend_from_slice(text.as_bytes());
    }
    plain
}

/// Encodes the indices of a column of `rows` rows.
fn pages(column: &Distinct, rows: usize, is_nullable: bool) -> Vec<Indices> {
    let Distinct { texts, indices, is_valid } = column;
    let width = hybrid::width(texts.len().saturating_sub(1) as u32);
    let mut from = 0;
    let page = |start: usize| {
        let end = (start + PAGE).min(rows);
        let valid = is_valid.get(start..end);
        let count = valid.map_or(end - start, |valid| valid.iter().filter(|is_valid| **is_valid).count());
        let of_page = &indices[from..from + count];
        from += count;
        let mut body = Vec::new();
        if is_nullable {
            let levels: Vec<u32> =
                valid.map_or_else(|| vec![1; end - start], |valid| valid.iter().copied().map(u32::from).collect());
            body.extend_from_slice(&[0; 4]);
            hybrid::encode(&levels, 1, &mut body);
            let length = body.len() as u32 - 4;
            body[..4].copy_from_slice(&length.to_le_bytes());
        }
        body.push(width as u8);
        hybrid::encode(of_page, width, &mut body);
        let ends = of_page.iter().min().copied().zip(of_page.iter().max().copied());
        Indices { rows: end - start, nulls: end - start - count, body, ends }
    };
    (0..rows).step_by(PAGE).map(page).collect()
}
