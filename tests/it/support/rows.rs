//! Rows as text, from the decoder and from its reference decoder, to be compared.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type};
use arrow::record_batch::RecordBatch;
use flowgap::decode::{Counts, Decoder, Options, Part, Problem};
use flowgap::flow::Protocol;
use flowgap::schema::Column;

use super::reference::Row;

/// A row as text, absent values as `None`, in the order of the columns.
pub type Cells = Vec<Option<String>>;

fn cell(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = batch.column(column);
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::FixedSizeBinary(16) => {
            let bytes: [u8; 16] = array.as_fixed_size_binary().value(row).try_into().expect("16 bytes");
            std::net::Ipv6Addr::from(bytes).to_canonical().to_string()
        }
        DataType::Dictionary(..) => {
            let text = cast(&array.slice(row, 1), &DataType::Utf8).expect("text");
            text.as_string::<i32>().value(0).to_owned()
        }
        DataType::UInt8 if batch.schema_ref().field(column).name() == "protocol" => {
            Protocol(array.as_primitive::<UInt8Type>().value(row)).name().into_owned()
        }
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
        other => panic!("no column of flows is {other}"),
    })
}

pub fn reference_cell(row: &Row, column: Column) -> Option<String> {
    let number = |n: Option<i64>| n.map(|n| n.to_string());
    match column {
        Column::Time => Some(row.time.to_string()),
        Column::SrcIp => Some(row.src_ip.clone()),
        Column::DstIp => Some(row.dst_ip.clone()),
        Column::SrcPort => Some(row.src_port.to_string()),
        Column::DstPort => Some(row.dst_port.to_string()),
        Column::Protocol => Some(row.protocol.clone()),
        Column::Direction => Some(row.direction.clone()),
        Column::Decision => Some(row.decision.clone()),
        Column::State => row.state.clone(),
        Column::Encryption => row.encryption.clone(),
        Column::PacketsSent => number(row.packets_sent),
        Column::BytesSent => number(row.bytes_sent),
        Column::PacketsReceived => number(row.packets_received),
        Column::BytesReceived => number(row.bytes_received),
        Column::Rule => Some(row.rule.clone()),
        Column::Acl => Some(row.acl.clone()),
        Column::Nsg => Some(row.acl.split('/').next_back().unwrap_or_default().to_owned()),
        Column::Mac => row.mac.clone(),
        Column::FlowLog => row.flow_log.clone(),
        Column::Target => row.target.clone(),
        Column::LogKind => Some(row.log_kind.clone()),
        Column::LogVersion => Some(row.log_version.to_string()),
        Column::RecordTime => number(row.record_time),
        Column::Blob => Some("the blob".to_owned()),
    }
}

#[derive(Debug, PartialEq)]
pub struct Decoded {
    pub rows: Vec<Cells>,
    pub counts: Counts,
    pub problems: Vec<Problem>,
}

/// The one place that touches the decoder: pushes `bytes` in chunks of `chunk`.
pub fn decode(bytes: &[u8], part: Part, chunk: usize, options: &Options) -> Decoded {
    let mut decoder = Decoder::new("the blob", part, options.clone());
    let mut rows = Vec::new();
    let mut drain = |decoder: &mut Decoder| {
        while let Some(batch) = decoder.flush() {
            assert!((1..=options.batch_size).contains(&batch.num_rows()), "{} rows", batch.num_rows());
            assert_eq!(batch.num_columns(), options.projection.0.len());
            for row in 0..batch.num_rows() {
                rows.push((0..batch.num_columns()).map(|column| cell(&batch, column, row)).collect());
            }
        }
    };
    for piece in bytes.chunks(chunk.max(1)) {
        decoder.push(piece);
        drain(&mut decoder);
        if decoder.is_done() {
            break;
        }
    }
    decoder.finish();
    drain(&mut decoder);
    Decoded { rows, counts: decoder.counts().clone(), problems: decoder.take_problems() }
}
