//! Phase two: builds the projected columns of the kept rows, one column at a time.

use std::borrow::Cow;
use std::iter::repeat_n;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int64Array, PrimitiveArray, StringArray, StringBuilder,
    StringViewArray, StringViewBuilder, TimestampMillisecondArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{ArrowDictionaryKeyType, SchemaRef, UInt8Type, UInt32Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::Projection;
use super::distinct::Distinct;
use super::record::{Head, Pending, Row, Run, TextId};
use super::tuple::NO_COUNTER;
use crate::flow::{Decision, Direction, FlowState, LogKind, Protocol};
use crate::net::{V4_FIRST, number, parse_ip};
use crate::schema::{self, Column, Text};

/// Builder of record batches for one blob.
pub struct Columns {
    projection: Projection,
    text: Text,
    /// True if source or destination addresses are returned as numbers.
    numbers: [bool; 2],
    schema: SchemaRef,
    names: &'static Names,
    blob: ArrayRef,
}

/// Texts of the enumerated columns, indexed by code.
struct Names {
    protocols: ArrayRef,
    directions: ArrayRef,
    decisions: ArrayRef,
    states: ArrayRef,
    kinds: ArrayRef,
}

impl Names {
    /// Returns the shared instance. It is built once, because archives have many small blobs.
    fn of(text: Text) -> &'static Self {
        static NAMES: LazyLock<[Names; 4]> =
            LazyLock::new(|| [Text::View, Text::Plain, Text::Dictionary, Text::Coded].map(Names::new));
        &NAMES[text as usize]
    }

    fn new(text: Text) -> Self {
        let names = |names: &[&str]| texts(names.iter().map(|n| Some(*n)), text);
        let protocols: Vec<_> = (0..=u8::MAX).map(|number| Protocol(number).name()).collect();
        Self {
            protocols: texts(protocols.iter().map(|n| Some(n.as_ref())), text),
            directions: names(&Direction::NAMES),
            decisions: names(&Decision::NAMES),
            states: names(&FlowState::NAMES),
            kinds: names(&LogKind::NAMES),
        }
    }
}

impl Columns {
    pub fn new(blob: &str, projection: Projection, text: Text, numbers: [bool; 2]) -> Self {
        let indices: Vec<usize> = projection.0.iter().map(|&c| c as usize).collect();
        let schema = schema::flows_with_numbers(text, numbers);
        let schema = Arc::new(schema.project(&indices).expect("columns are columns of flows"));
        let numbers = numbers.map(|is_number| is_number || text == Text::Coded);
        Self { projection, text, numbers, schema, names: Names::of(text), blob: texts([Some(blob)], text) }
    }

    pub fn decode(&self, pending: &Pending) -> RecordBatch {
        let shared = pending.texts.column(|| texts(pending.texts.all().iter().map(|t| Some(&**t)), self.text));
        let arrays = self.projection.0.iter().map(|&column| self.array(column, pending, shared)).collect();
        let count = RecordBatchOptions::new().with_row_count(Some(pending.rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &count).expect("arrays fit the schema")
    }

    fn array(&self, column: Column, pending: &Pending, shared: &ArrayRef) -> ArrayRef {
        let rows = pending.rows;
        let of_runs =
            |id: fn(&Run) -> Option<TextId>| self.shared_texts(shared, pending, |run| id(run).map(TextId::index));
        let of_heads = |id: fn(&Head) -> Option<TextId>| {
            self.shared_texts(shared, pending, |run| id(pending.head(run)).map(TextId::index))
        };
        let code = |names: &ArrayRef, code: fn(&Row) -> u8| self.coded(names, rows.iter().map(code).collect(), None);
        match column {
            Column::Time => times(rows.iter().map(|row| row.tuple.time).collect(), None),
            Column::SrcIp => self.addresses(pending, 0),
            Column::DstIp => self.addresses(pending, 1),
            Column::SrcPort => Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.tuple.ports[0]))),
            Column::DstPort => Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.tuple.ports[1]))),
            Column::Protocol if self.text == Text::Coded => {
                Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| row.tuple.protocol.0)))
            }
            Column::Protocol => code(&self.names.protocols, |row| row.tuple.protocol.0),
            Column::Direction => code(&self.names.directions, |row| row.tuple.code.direction()),
            Column::Decision => code(&self.names.decisions, |row| row.tuple.code.decision()),
            Column::State => self.states(pending),
            Column::Encryption => self.encryptions(pending),
            Column::PacketsSent => counters(pending, 0),
            Column::BytesSent => counters(pending, 1),
            Column::PacketsReceived => counters(pending, 2),
            Column::BytesReceived => counters(pending, 3),
            Column::Rule => of_runs(|run| run.rule),
            Column::Acl => of_runs(|run| run.acl),
            Column::Nsg => {
                let names = texts(pending.texts.all().iter().map(|acl| Some(last_part(acl))), self.text);
                self.shared_texts(&names, pending, |run| run.acl.map(TextId::index))
            }
            Column::Mac => of_runs(|run| run.mac),
            Column::FlowLog => of_heads(|head| head.flow_log),
            Column::Target => of_heads(|head| head.target),
            Column::LogKind => {
                let kinds = pending.spans().flat_map(|(run, rows)| repeat_n(pending.head(run).kind as u8, rows));
                self.coded(&self.names.kinds, kinds.collect(), None)
            }
            Column::LogVersion => {
                let versions = pending.spans().flat_map(|(run, rows)| repeat_n(pending.head(run).version, rows));
                Arc::new(UInt8Array::from_iter_values(versions))
            }
            Column::RecordTime => {
                let record_times = pending.spans().map(|(run, rows)| (pending.head(run).record_time, rows));
                let values = record_times.clone().flat_map(|(time, rows)| repeat_n(time.unwrap_or(0), rows)).collect();
                times(values, nulls(record_times.map(|(time, rows)| (time.is_some(), rows))))
            }
            Column::Blob => self.shared_texts(&self.blob, pending, |_| Some(0)),
        }
    }

    /// Builds a column with one text of `values` per run, null where `index` is `None`.
    fn shared_texts(
        &self,
        values: &ArrayRef,
        pending: &Pending,
        index: impl Fn(&Run) -> Option<u32> + Copy,
    ) -> ArrayRef {
        let spans = pending.spans().map(|(run, rows)| (index(run), rows));
        let mut indices = Vec::with_capacity(pending.rows.len());
        spans.clone().for_each(|(index, rows)| indices.extend(repeat_n(index.unwrap_or(0), rows)));
        let nulls = nulls(spans.map(|(index, rows)| (index.is_some(), rows)));
        match self.text {
            Text::Dictionary | Text::Coded => dictionary::<UInt32Type>(values, indices, nulls),
            Text::View | Text::Plain => gather(values, UInt32Array::new(indices.into(), nulls)),
        }
    }

    /// Builds a column with one of a few names per row.
    fn coded(&self, names: &ArrayRef, codes: Vec<u8>, nulls: Option<NullBuffer>) -> ArrayRef {
        match self.text {
            Text::Dictionary => dictionary::<UInt32Type>(names, codes.into_iter().map(u32::from).collect(), nulls),
            Text::Coded => dictionary::<UInt8Type>(names, codes, nulls),
            Text::View | Text::Plain => gather(names, UInt8Array::new(codes.into(), nulls)),
        }
    }

    fn states(&self, pending: &Pending) -> ArrayRef {
        /// Code of a missing state.
        const NONE: u8 = 3;
        let mut states: Vec<u8> = pending.rows.iter().map(|row| row.tuple.code.state()).collect();
        let mut row = 0;
        for (run, rows) in pending.spans() {
            if pending.head(run).version == 1 {
                states[row..row + rows].fill(NONE);
            }
            row += rows;
        }
        let valid = BooleanBuffer::collect_bool(states.len(), |row| states[row] != NONE);
        states.iter_mut().for_each(|state| *state %= NONE);
        self.coded(&self.names.states, states, Some(NullBuffer::new(valid)))
    }

    fn addresses(&self, pending: &Pending, end: usize) -> ArrayRef {
        if self.numbers[end] {
            return coded_addresses(pending, end);
        }
        if self.text == Text::Dictionary {
            return address_dictionary(pending, end);
        }
        let mut builder = Builder::new(self.text, pending.rows.len(), 16);
        for row in pending.rows {
            builder.append(Some(&address(pending, row, end)));
        }
        builder.finish()
    }

    fn encryptions(&self, pending: &Pending) -> ArrayRef {
        if self.text == Text::Dictionary {
            let mut texts = Distinct::new(pending.rows.len());
            let texts_or_null = pending.rows.iter().map(|row| {
                let code = unescaped(pending.encryption(row));
                (!code.is_empty()).then(|| texts.index(code))
            });
            let indices: UInt32Array = texts_or_null.collect();
            return texts.column(indices);
        }
        let mut builder = Builder::new(self.text, pending.rows.len(), 2);
        for row in pending.rows {
            let code = unescaped(pending.encryption(row));
            builder.append((!code.is_empty()).then_some(&*code));
        }
        builder.finish()
    }
}

/// Returns an address, in the canonical form if it has one.
fn address<'a>(pending: &Pending<'a>, row: &Row, end: usize) -> Cow<'a, str> {
    let text = pending.address(row, end);
    match row.tuple.code.is_v6(end).then(|| parse_ip(text)).flatten() {
        Some(ip) => Cow::Owned(ip.to_string()),
        None => Cow::Borrowed(text),
    }
}

fn address_dictionary(pending: &Pending, end: usize) -> ArrayRef {
    let mut texts = Distinct::new(pending.rows.len());
    let indices = pending.rows.iter().map(|row| match row.tuple.code.is_v6(end) {
        false => texts.index_of_number(row.tuple.ips[end], pending.address(row, end)),
        true => texts.index(address(pending, row, end)),
    });
    let indices = UInt32Array::from_iter_values(indices);
    texts.column(indices)
}

fn coded_addresses(pending: &Pending, end: usize) -> ArrayRef {
    let number = |row: &Row| match row.tuple.code.is_v6(end) {
        false => V4_FIRST | u128::from(row.tuple.ips[end]),
        true => parse_ip(pending.address(row, end)).map_or(0, number),
    };
    let bytes: Vec<[u8; 16]> = pending.rows.iter().map(|row| number(row).to_be_bytes()).collect();
    Arc::new(FixedSizeBinaryArray::new(16, Buffer::from_vec(bytes.into_flattened()), None))
}

/// Builds a null buffer from (valid, rows) runs. Returns `None` if all rows are valid.
fn nulls(valid: impl Iterator<Item = (bool, usize)> + Clone) -> Option<NullBuffer> {
    let has_nulls = valid.clone().any(|(is_valid, _)| !is_valid);
    has_nulls.then(|| valid.flat_map(|(is_valid, rows)| repeat_n(is_valid, rows)).collect())
}

fn times(times: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::new(times.into(), nulls).with_timezone("UTC"))
}

/// Returns a field with its JSON escapes resolved. Only encryption codes can contain any; other fields are checked
/// letters and digits.
fn unescaped(field: &str) -> Cow<'_, str> {
    match field.contains('\\') {
        true => serde_json::from_str(&format!("\"{field}\"")).map_or(Cow::Borrowed(field), Cow::Owned),
        false => Cow::Borrowed(field),
    }
}

/// Returns the last segment of a resource id, by which `nsg` differs from `acl`.
pub fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Builds a counter column. Values are null for denied and beginning flows, for version 1, and for empty fields.
fn counters(pending: &Pending, nr: usize) -> ArrayRef {
    let rows = pending.rows;
    let begins = FlowState::Begin as u8;
    let values: Vec<i64> = rows.iter().map(|row| row.tuple.counters[nr]).collect();
    let mut valid = BooleanBuffer::collect_bool(rows.len(), |row| {
        let code = rows[row].tuple.code;
        !code.is_denied() & (code.state() != begins) & (values[row] != NO_COUNTER)
    });
    if pending.spans().any(|(run, _)| pending.head(run).version == 1) {
        let counted = pending.spans().flat_map(|(run, rows)| repeat_n(pending.head(run).version != 1, rows));
        valid = &valid & &counted.collect();
    }
    Arc::new(Int64Array::new(values.into(), Some(NullBuffer::new(valid))))
}

/// Builds a column with the value at each index, null for a null index. Views share the bytes of `values`.
fn gather<K: ArrowDictionaryKeyType>(values: &ArrayRef, indices: PrimitiveArray<K>) -> ArrayRef {
    take(values, &indices, None).expect("every index lies in its values")
}

fn dictionary<K: ArrowDictionaryKeyType>(
    values: &ArrayRef,
    keys: Vec<K::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(DictionaryArray::<K>::new(PrimitiveArray::new(keys.into(), nulls), Arc::clone(values)))
}

fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>, text: Text) -> ArrayRef {
    match text {
        Text::View | Text::Coded => Arc::new(StringViewArray::from_iter(values)),
        Text::Plain | Text::Dictionary => Arc::new(StringArray::from_iter(values)),
    }
}

enum Builder {
    View(StringViewBuilder),
    Plain(StringBuilder),
}

impl Builder {
    fn new(text: Text, rows: usize, width: usize) -> Self {
        match text {
            Text::View | Text::Coded => Self::View(StringViewBuilder::with_capacity(rows)),
            Text::Plain | Text::Dictionary => Self::Plain(StringBuilder::with_capacity(rows, rows * width)),
        }
    }

    fn append(&mut self, value: Option<&str>) {
        match self {
            Self::View(builder) => builder.append_option(value),
            Self::Plain(builder) => builder.append_option(value),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::View(mut builder) => Arc::new(builder.finish()),
            Self::Plain(mut builder) => Arc::new(builder.finish()),
        }
    }
}
