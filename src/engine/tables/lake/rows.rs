//! Conversion of the rows in the files of a lake to rows of `flows`, in any of its encodings.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, StringViewArray, TimestampMillisecondArray, UInt8Array,
};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType, UInt8Type};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::dictionary::{OfDictionary, Texts};
use crate::decode::{Options, last_part};
use crate::flow::{Decision, Direction, FlowState, LogKind, Protocol};
use crate::lake::TextColumn;
use crate::net::{number, parse_ip};
use crate::schema::{self, Column};

/// Returns the column of a lake from which a column of `flows` is made.
pub fn stored_column(column: Column) -> Column {
    if column == Column::Nsg { Column::Acl } else { column }
}

/// Converts the batches of one stream.
#[derive(Debug)]
pub struct Rows {
    /// Columns of the batches.
    stored: Vec<Column>,
    /// Columns to make.
    wanted: Vec<Column>,
    schema: SchemaRef,
    made: HashMap<Column, Made>,
}

/// What was made of the dictionary of one column.
#[derive(Debug, Default)]
struct Made {
    texts: Texts,
    views: OfDictionary<Option<ArrayRef>>,
    codes: OfDictionary<Vec<u8>>,
    addresses: OfDictionary<Vec<[u8; 16]>>,
}

impl Rows {
    /// Creates a converter from the columns `stored` to the projection of `options`.
    pub fn new(stored: Vec<Column>, options: &Options) -> Result<Self, ArrowError> {
        let wanted = options.projection.0.clone();
        let indices: Vec<usize> = wanted.iter().map(|column| *column as usize).collect();
        let schema = schema::flows_with_numbers(options.text, options.numbers).project(&indices)?;
        Ok(Self { stored, wanted, schema: Arc::new(schema), made: HashMap::new() })
    }

    /// Returns the schema of the rows that it makes.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Converts a batch.
    pub fn convert(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let Self { stored, wanted, schema, made } = self;
        let convert = |(column, field): (&Column, &Arc<arrow::datatypes::Field>)| {
            let from = stored.iter().position(|stored| *stored == stored_column(*column));
            let from = from.ok_or_else(|| ArrowError::SchemaError(format!("no column for {}", column.name())))?;
            made.entry(*column).or_default().convert(*column, batch.column(from), field.data_type())
        };
        let columns = wanted.iter().zip(schema.fields()).map(convert).collect::<Result<_, _>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &count)
    }
}

impl Made {
    fn convert(&mut self, column: Column, from: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
        if from.data_type() == to {
            return Ok(Arc::clone(from));
        }
        match to {
            DataType::Timestamp(..) => return milliseconds(from),
            to if !matches!(from.data_type(), DataType::Dictionary(..)) => {
                return cast_with_options(from, to, &CastOptions { safe: false, ..CastOptions::default() });
            }
            _ => {}
        }
        let texts = TextColumn::of(from)?;
        match to {
            DataType::FixedSizeBinary(_) => self.addresses(&texts),
            DataType::UInt8 => self.protocols(&texts),
            DataType::Dictionary(key, _) if **key == DataType::UInt8 => self.named(column, &texts),
            DataType::Dictionary(..) => Ok(self.texts.coded(&texts, text_of(column))),
            _ if column == Column::Nsg => {
                // Names of a few dozen NSGs: the detour costs little.
                let names = self.texts.coded(&texts, text_of(column));
                cast_with_options(&names, to, &CastOptions::default())
            }
            DataType::Utf8View => texts.views(&mut self.views),
            _ => texts.plain(),
        }
    }

    fn addresses(&mut self, texts: &TextColumn) -> Result<ArrayRef, ArrowError> {
        let address = |text: Option<&str>| text.and_then(parse_ip).map_or([0; 16], |ip| number(ip).to_be_bytes());
        let addresses = self.addresses.get(texts, |texts| texts.iter().map(address).collect());
        let bytes: Vec<[u8; 16]> = texts.gather(addresses).collect();
        Ok(Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes.into_flattened()), None)?))
    }

    fn protocols(&mut self, texts: &TextColumn) -> Result<ArrayRef, ArrowError> {
        let code = |text: Option<&str>| text.and_then(Protocol::from_name).map_or(0, |protocol| protocol.0);
        let codes = self.codes.get(texts, |texts| texts.iter().map(code).collect());
        Ok(Arc::new(UInt8Array::from_iter_values(texts.gather(codes))))
    }

    /// Returns a column of a few known names.
    fn named(&mut self, column: Column, texts: &TextColumn) -> Result<ArrayRef, ArrowError> {
        let (known, names): (&[&str], &LazyLock<ArrayRef>) = match column {
            Column::Direction => (&Direction::NAMES, &DIRECTIONS),
            Column::Decision => (&Decision::NAMES, &DECISIONS),
            Column::State => (&FlowState::NAMES, &STATES),
            _ => (&LogKind::NAMES, &KINDS),
        };
        let code = |text: Option<&str>| known.iter().position(|name| Some(*name) == text).unwrap_or_default() as u8;
        let codes = self.codes.get(texts, |texts| texts.iter().map(code).collect());
        Ok(texts.coded::<UInt8Type>(codes, Arc::clone(names)))
    }
}

// All batches share these arrays, so that readers can keep what they know about them.
static DIRECTIONS: LazyLock<ArrayRef> = LazyLock::new(|| names(&Direction::NAMES));
static DECISIONS: LazyLock<ArrayRef> = LazyLock::new(|| names(&Decision::NAMES));
static STATES: LazyLock<ArrayRef> = LazyLock::new(|| names(&FlowState::NAMES));
static KINDS: LazyLock<ArrayRef> = LazyLock::new(|| names(&LogKind::NAMES));

fn names(names: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(names))
}

/// Returns the function from the stored text of a column to its text in `flows`.
fn text_of(column: Column) -> fn(&str) -> &str {
    if column == Column::Nsg { last_part } else { |text| text }
}

/// Converts µs to ms.
fn milliseconds(times: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let micros = times.as_primitive_opt::<TimestampMicrosecondType>();
    let micros = micros.ok_or_else(|| ArrowError::SchemaError(format!("a time of type {}", times.data_type())))?;
    let times: TimestampMillisecondArray = micros.unary(|time| time.div_euclid(1000));
    Ok(Arc::new(times.with_timezone("UTC")))
}

#[cfg(test)]
mod tests {
    use arrow::compute::{cast, concat_batches};

    use super::*;
    use crate::decode::{Decoder, Part, Projection};
    use crate::lake::columns::{STORED, to_held};
    use crate::schema::Text;

    fn decoded(path: &str, options: &Options) -> RecordBatch {
        let text = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut decoder = Decoder::new(path, Part::Whole, options.clone());
        let mut batches = Vec::new();
        decoder.push(&text);
        batches.extend(std::iter::from_fn(|| decoder.flush()));
        decoder.finish();
        batches.extend(std::iter::from_fn(|| decoder.flush()));
        let schema = batches.first().expect("rows").schema();
        concat_batches(&schema, &batches).expect("one schema")
    }

    /// Texts in place of dictionaries, to compare rows and not their encoding.
    fn plain(batch: &RecordBatch) -> Vec<ArrayRef> {
        let text = |column: &ArrayRef| match column.data_type() {
            DataType::Dictionary(..) => cast(column, &DataType::Utf8).expect("text"),
            _ => Arc::clone(column),
        };
        batch.columns().iter().map(text).collect()
    }

    #[test]
    fn rows_are_those_of_the_decoder_in_any_encoding() {
        for path in [
            "testdata/vnet-v4/ipv6.json",
            "testdata/vnet-v4/alphabetical-keys.json",
            "testdata/nsg-v1/several-macs.json",
            "testdata/shapes/lists-of-one.json",
        ] {
            let stored =
                Options { projection: Projection(STORED.to_vec()), text: Text::Dictionary, ..Options::default() };
            let read = to_held(&decoded(path, &stored)).expect("rows");
            for (text, numbers) in [
                (Text::View, [false; 2]),
                (Text::Plain, [false; 2]),
                (Text::Coded, [false; 2]),
                (Text::View, [true, false]),
                (Text::Plain, [false, true]),
            ] {
                let options = Options { text, numbers, ..Options::default() };
                let mut rows = Rows::new(STORED.to_vec(), &options).expect("a converter");
                let (expected, first) = (decoded(path, &options), read.num_rows() / 2);
                let parts = [read.slice(0, first), read.slice(first, read.num_rows() - first)];
                let found = parts.map(|part| rows.convert(&part).expect("rows"));
                assert_eq!(found[0].schema(), expected.schema(), "{path} {text:?}");
                let halves = [expected.slice(0, first), expected.slice(first, expected.num_rows() - first)];
                for (found, expected) in found.iter().zip(&halves) {
                    assert_eq!(plain(found), plain(expected), "{path} {text:?} {numbers:?}");
                }
            }
        }
    }
}
