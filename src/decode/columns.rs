//! Phase two: the asked columns of the kept rows, one column at a time.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, StringArray, StringBuilder, StringViewArray, StringViewBuilder, TimestampMillisecondArray,
    UInt8Array, UInt16Array, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::Projection;
use super::record::{Head, Pending, Row, Run, TextId};
use super::tuple;
use crate::flow::{Decision, Direction, FlowState, LogKind, Protocol};
use crate::net::parse_ip;
use crate::schema::{self, Column, Text};

pub struct Columns {
    projection: Projection,
    text: Text,
    schema: SchemaRef,
    names: Names,
    blob: ArrayRef,
}

/// The texts of columns that know only a few, in the order of their codes.
struct Names {
    protocols: ArrayRef,
    directions: ArrayRef,
    decisions: ArrayRef,
    states: ArrayRef,
    kinds: ArrayRef,
}

impl Columns {
    pub fn new(blob: &str, projection: Projection, text: Text) -> Self {
        let indices: Vec<usize> = projection.0.iter().map(|&c| c as usize).collect();
        let schema = Arc::new(schema::flows(text).project(&indices).expect("columns are columns of flows"));
        let names = |names: &[&str]| texts(names.iter().map(|n| Some(*n)), text);
        let protocols: Vec<_> = (0..=u8::MAX).map(|number| Protocol(number).name()).collect();
        let names = Names {
            protocols: texts(protocols.iter().map(|n| Some(n.as_ref())), text),
            directions: names(&Direction::NAMES),
            decisions: names(&Decision::NAMES),
            states: names(&FlowState::NAMES),
            kinds: names(&LogKind::NAMES),
        };
        Self { projection, text, schema, names, blob: texts([Some(blob)], text) }
    }

    pub fn decode(&self, pending: &Pending) -> RecordBatch {
        let shared = texts(pending.texts.all().iter().map(|t| Some(&**t)), self.text);
        let arrays = self.projection.0.iter().map(|&column| self.array(column, pending, &shared)).collect();
        let count = RecordBatchOptions::new().with_row_count(Some(pending.rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &count).expect("arrays fit the schema")
    }

    fn array(&self, column: Column, pending: &Pending, shared: &ArrayRef) -> ArrayRef {
        let rows = pending.rows;
        let of_run = |id: fn(&Run) -> Option<TextId>| {
            gather(shared, rows.iter().map(|row| id(pending.run(row)).map(TextId::index)))
        };
        let of_head = |id: fn(&Head) -> Option<TextId>| {
            gather(shared, rows.iter().map(|row| id(pending.head(row)).map(TextId::index)))
        };
        let code = |names: &ArrayRef, code: fn(&Row) -> u32| gather(names, rows.iter().map(|row| Some(code(row))));
        match column {
            Column::Time => times(rows.iter().map(|row| Some(row.key.time))),
            Column::SrcIp => self.addresses(pending, 1),
            Column::DstIp => self.addresses(pending, 2),
            Column::SrcPort => Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.key.src_port))),
            Column::DstPort => Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.key.dst_port))),
            Column::Protocol => code(&self.names.protocols, |row| row.key.protocol.0.into()),
            Column::Direction => code(&self.names.directions, |row| row.key.direction as u32),
            Column::Decision => code(&self.names.decisions, |row| row.key.decision as u32),
            Column::State => gather(
                &self.names.states,
                rows.iter().map(|row| row.key.state.filter(|_| pending.head(row).version != 1).map(|s| s as u32)),
            ),
            Column::Encryption => self.encryptions(pending),
            Column::PacketsSent => counters(pending, 9),
            Column::BytesSent => counters(pending, 10),
            Column::PacketsReceived => counters(pending, 11),
            Column::BytesReceived => counters(pending, 12),
            Column::Rule => of_run(|run| run.rule),
            Column::Acl => of_run(|run| run.acl),
            Column::Mac => of_run(|run| run.mac),
            Column::FlowLog => of_head(|head| head.flow_log),
            Column::Target => of_head(|head| head.target),
            Column::LogKind => gather(&self.names.kinds, rows.iter().map(|row| Some(pending.head(row).kind as u32))),
            Column::LogVersion => {
                Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| pending.head(row).version)))
            }
            Column::RecordTime => times(rows.iter().map(|row| pending.head(row).record_time)),
            Column::Blob => gather(&self.blob, rows.iter().map(|_| Some(0))),
        }
    }

    fn addresses(&self, pending: &Pending, field: usize) -> ArrayRef {
        let mut builder = Builder::new(self.text, pending.rows.len(), 16);
        for row in pending.rows {
            let text = pending.text(row, field);
            if !row.key.is_v6[field - 1] {
                builder.append(Some(text));
            } else if let Some(ip) = parse_ip(text) {
                builder.append(Some(&ip.to_string()));
            } else {
                builder.append(Some(text));
            }
        }
        builder.finish()
    }

    fn encryptions(&self, pending: &Pending) -> ArrayRef {
        let mut builder = Builder::new(self.text, pending.rows.len(), 2);
        for row in pending.rows {
            let code = if row.key.numbers { pending.text(row, 8) } else { "" };
            let code = unescaped(code);
            builder.append((!code.is_empty()).then_some(&*code));
        }
        builder.finish()
    }
}

fn times(times: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC"))
}

/// A field as its JSON text means it. Only encryption codes are any text: all others are checked letters and digits.
fn unescaped(field: &str) -> Cow<'_, str> {
    match field.contains('\\') {
        true => serde_json::from_str(&format!("\"{field}\"")).map_or(Cow::Borrowed(field), Cow::Owned),
        false => Cow::Borrowed(field),
    }
}

fn counters(pending: &Pending, field: usize) -> ArrayRef {
    let value = |row: &Row| {
        let key = &row.key;
        let counted = key.decision == Decision::Allow && key.state != Some(FlowState::Begin);
        (counted && pending.head(row).version != 1)
            .then(|| tuple::number(pending.text(row, field).as_bytes()))
            .flatten()
    };
    Arc::new(Int64Array::from_iter(pending.rows.iter().map(value)))
}

/// One of `values` for each index, null for none. Views share the bytes of `values`.
fn gather(values: &ArrayRef, indices: impl Iterator<Item = Option<u32>>) -> ArrayRef {
    take(values, &UInt32Array::from_iter(indices), None).expect("every index lies in its values")
}

fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>, text: Text) -> ArrayRef {
    match text {
        Text::View => Arc::new(StringViewArray::from_iter(values)),
        Text::Plain => Arc::new(StringArray::from_iter(values)),
    }
}

enum Builder {
    View(StringViewBuilder),
    Plain(StringBuilder),
}

impl Builder {
    fn new(text: Text, rows: usize, width: usize) -> Self {
        match text {
            Text::View => Self::View(StringViewBuilder::with_capacity(rows)),
            Text::Plain => Self::Plain(StringBuilder::with_capacity(rows, rows * width)),
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
