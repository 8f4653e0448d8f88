//! Defines the columns of `flows`. Knows Arrow types, but neither builders nor DataFusion.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// Encoding of text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Text {
    /// String views, which share bytes between rows.
    #[default]
    View,
    /// Plain strings, which can be sent to other machines.
    Plain,
    /// Dictionaries of plain strings.
    Dictionary,
    /// Compact values for functions that read every row. Addresses are the 16 bytes of their (IPv4-mapped) IPv6 form,
    /// protocols are numbers, and repeated texts are dictionaries.
    Coded,
}

/// A column of `flows`; the discriminant is its index in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Column {
    /// Time of the tuple, ms since 1970, UTC.
    Time,
    /// Address of the initiator.
    SrcIp,
    /// Address of the peer.
    DstIp,
    /// Port of the initiator.
    SrcPort,
    /// Port of the peer.
    DstPort,
    /// Protocol: `TCP`, `UDP`, or an IANA number as text.
    Protocol,
    /// Direction as the logging interface sees it.
    Direction,
    /// Decision: `allow` or `deny`.
    Decision,
    /// Flow state: `begin`, `continue` or `end`. Null if the log has none.
    State,
    /// Encryption status of virtual network encryption. Null if the log has none.
    Encryption,
    /// Packets from source to destination. Null if the log does not count them.
    PacketsSent,
    /// Bytes from source to destination. Null if the log does not count them.
    BytesSent,
    /// Packets from destination to source. Null if the log does not count them.
    PacketsReceived,
    /// Bytes from destination to source. Null if the log does not count them.
    BytesReceived,
    /// Rule that decided; empty if the log names none.
    Rule,
    /// Resource id of the ACL that contains the rule; empty if the log names none.
    Acl,
    /// Last segment of [`Column::Acl`]. A copy of the table need not store it, because `decode::columns` computes it.
    Nsg,
    /// MAC address of the logging interface. Null if the log names none.
    Mac,
    /// Resource id of the flow log. Always null in NSG flow logs.
    FlowLog,
    /// Resource id of the logged resource. Null if the log names none.
    Target,
    /// Kind of the flow log: `nsg` or `vnet`.
    LogKind,
    /// Version of the log format: 1, 2 or 4.
    LogVersion,
    /// Time of the record that contains the tuple, ms since 1970. Null if the record has none.
    RecordTime,
    /// Blob that contains the tuple, as shown to the user.
    Blob,
}

use Column::*;

impl Column {
    /// All columns, in the order of the table.
    pub const ALL: [Column; 24] = [
        Time,
        SrcIp,
        DstIp,
        SrcPort,
        DstPort,
        Protocol,
        Direction,
        Decision,
        State,
        Encryption,
        PacketsSent,
        BytesSent,
        PacketsReceived,
        BytesReceived,
        Rule,
        Acl,
        Nsg,
        Mac,
        FlowLog,
        Target,
        LogKind,
        LogVersion,
        RecordTime,
        Blob,
    ];

    /// Returns the name of the column in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Time => "time",
            SrcIp => "src_ip",
            DstIp => "dst_ip",
            SrcPort => "src_port",
            DstPort => "dst_port",
            Protocol => "protocol",
            Direction => "direction",
            Decision => "decision",
            State => "state",
            Encryption => "encryption",
            PacketsSent => "packets_sent",
            BytesSent => "bytes_sent",
            PacketsReceived => "packets_received",
            BytesReceived => "bytes_received",
            Rule => "rule",
            Acl => "acl",
            Nsg => "nsg",
            Mac => "mac",
            FlowLog => "flow_log",
            Target => "target",
            LogKind => "log_kind",
            LogVersion => "log_version",
            RecordTime => "record_time",
            Blob => "blob",
        }
    }

    /// Returns whether the column is a packet or byte counter.
    pub fn is_counter(self) -> bool {
        matches!(self, PacketsSent | BytesSent | PacketsReceived | BytesReceived)
    }

    fn field(self, text: Text) -> Field {
        let data_type = match self {
            Time | RecordTime => timestamp(),
            SrcPort | DstPort => DataType::UInt16,
            PacketsSent | BytesSent | PacketsReceived | BytesReceived => DataType::Int64,
            LogVersion => DataType::UInt8,
            _ => match (text, self) {
                (Text::Plain, _) => DataType::Utf8,
                (Text::Dictionary, _) => dictionary(DataType::UInt32, DataType::Utf8),
                (Text::View, _) | (_, Encryption) => DataType::Utf8View,
                (_, SrcIp | DstIp) => address_number(),
                (_, Protocol) => DataType::UInt8,
                (_, Direction | Decision | State | LogKind) => dictionary(DataType::UInt8, DataType::Utf8View),
                _ => dictionary(DataType::UInt32, DataType::Utf8View),
            },
        };
        let nullable = matches!(
            self,
            State
                | Encryption
                | PacketsSent
                | BytesSent
                | PacketsReceived
                | BytesReceived
                | Mac
                | FlowLog
                | Target
                | RecordTime
        );
        Field::new(self.name(), data_type, nullable)
    }
}

fn dictionary(key: DataType, value: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(value))
}

/// Returns the name of a type in documents and answers.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp, {zone}"),
        DataType::List(field) => format!("list of {}", type_name(field.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("({})", fields.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// Returns the type of a time: ms since 1970, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// Returns the type of an address as a number: the 16 bytes of its IPv6 form.
pub fn address_number() -> DataType {
    DataType::FixedSizeBinary(16)
}

/// Columns of the two ends of a flow. A pair of flags has one flag per end, in this order.
pub const ENDS: [Column; 2] = [SrcIp, DstIp];

/// Returns the schema of `flows` in which the addresses of the flagged ends are numbers, independent of the encoding of
/// other text.
pub fn flows_with_numbers(text: Text, numbers: [bool; 2]) -> SchemaRef {
    if numbers == [false; 2] {
        return flows(text);
    }
    let is_number = |column: Column| ENDS.into_iter().zip(numbers).any(|(end, flag)| flag && end == column);
    let field = |column: Column| column.field(if is_number(column) { Text::Coded } else { text });
    Arc::new(Schema::new(Column::ALL.map(field).to_vec()))
}

/// Returns the schema of `flows`, with columns in the order of [`Column::ALL`].
pub fn flows(text: Text) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
        [Text::View, Text::Plain, Text::Dictionary, Text::Coded]
            .map(|text| Arc::new(Schema::new(Column::ALL.map(|c| c.field(text)).to_vec())))
    });
    Arc::clone(&SCHEMAS[text as usize])
}
