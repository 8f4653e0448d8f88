//! The columns of `flows`, said once. Knows Arrow types, but neither builders nor DataFusion.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// How text columns are held: views share bytes between rows, plain strings travel between machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Text {
    #[default]
    View,
    Plain,
}

/// A column of `flows`; the discriminant is its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Column {
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
    Mac,
    FlowLog,
    Target,
    LogKind,
    LogVersion,
    RecordTime,
    Blob,
}

use Column::*;

impl Column {
    pub const ALL: [Column; 23] = [
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
        Mac,
        FlowLog,
        Target,
        LogKind,
        LogVersion,
        RecordTime,
        Blob,
    ];

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
            Mac => "mac",
            FlowLog => "flow_log",
            Target => "target",
            LogKind => "log_kind",
            LogVersion => "log_version",
            RecordTime => "record_time",
            Blob => "blob",
        }
    }

    fn field(self, text: Text) -> Field {
        let data_type = match self {
            Time | RecordTime => timestamp(),
            SrcPort | DstPort => DataType::UInt16,
            PacketsSent | BytesSent | PacketsReceived | BytesReceived => DataType::Int64,
            LogVersion => DataType::UInt8,
            _ => match text {
                Text::View => DataType::Utf8View,
                Text::Plain => DataType::Utf8,
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

/// Milliseconds since 1970, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The schema of `flows`, columns in the order of [`Column::ALL`].
pub fn flows(text: Text) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 2]> = LazyLock::new(|| {
        [Text::View, Text::Plain].map(|text| Arc::new(Schema::new(Column::ALL.map(|c| c.field(text)).to_vec())))
    });
    Arc::clone(&SCHEMAS[text as usize])
}
