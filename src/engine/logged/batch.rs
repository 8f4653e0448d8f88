//! The columns of one call, as slices and codes.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array};
use arrow::datatypes::{TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type};

use crate::engine::groups::batch::Codes;
use crate::flow::{Decision, Direction};
use crate::schema::Column;

/// Columns read from each flow, in the order of the arguments.
pub const ARGUMENTS: [Column; 11] = [
    Column::Time,
    Column::SrcIp,
    Column::DstIp,
    Column::DstPort,
    Column::Protocol,
    Column::Direction,
    Column::Decision,
    Column::PacketsReceived,
    Column::Rule,
    Column::Acl,
    Column::Mac,
];

/// Keys of a row's interface, rule and ACL, valid within one batch. The interface is `None` if the record names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keys {
    pub mac: Option<u32>,
    pub rule: u32,
    pub acl: u32,
}

/// The arguments of one call.
pub struct Batch<'a> {
    pub times: &'a [i64],
    /// Addresses of sources and destinations.
    pub ips: [&'a [[u8; 16]]; 2],
    pub ports: &'a [u16],
    pub protocols: &'a [u8],
    pub directions: Codes<'a>,
    pub decisions: Codes<'a>,
    received: &'a Int64Array,
    rules: &'a DictionaryArray<UInt32Type>,
    acls: &'a DictionaryArray<UInt32Type>,
    macs: &'a DictionaryArray<UInt32Type>,
}

impl<'a> Batch<'a> {
    pub fn new(values: &'a [ArrayRef]) -> Option<Self> {
        let array = |column: Column| values.get(ARGUMENTS.iter().position(|c| *c == column)?);
        let ips = |column| Some(array(column)?.as_fixed_size_binary_opt()?.value_data().as_chunks::<16>().0);
        Some(Self {
            times: array(Column::Time)?.as_primitive_opt::<TimestampMillisecondType>()?.values(),
            ips: [ips(Column::SrcIp)?, ips(Column::DstIp)?],
            ports: array(Column::DstPort)?.as_primitive_opt::<UInt16Type>()?.values(),
            protocols: array(Column::Protocol)?.as_primitive_opt::<UInt8Type>()?.values(),
            directions: Codes::new(array(Column::Direction)?, &Direction::NAMES)?,
            decisions: Codes::new(array(Column::Decision)?, &Decision::NAMES)?,
            received: array(Column::PacketsReceived)?.as_primitive_opt()?,
            rules: array(Column::Rule)?.as_dictionary_opt()?,
            acls: array(Column::Acl)?.as_dictionary_opt()?,
            macs: array(Column::Mac)?.as_dictionary_opt()?,
        })
    }

    #[inline(always)]
    pub fn keys(&self, row: usize) -> Keys {
        let key = |column: &DictionaryArray<UInt32Type>| column.keys().values()[row];
        let mac = self.macs.keys().is_valid(row).then(|| key(self.macs));
        Keys { mac, rule: key(self.rules), acl: key(self.acls) }
    }

    #[inline(always)]
    pub fn is_answered(&self, row: usize) -> bool {
        self.received.is_valid(row) && self.received.value(row) > 0
    }

    /// Returns the interface in upper case; empty if the record names none.
    pub fn mac(&self, key: Option<u32>) -> String {
        key.map(|key| text(self.macs, key).to_uppercase()).unwrap_or_default()
    }

    pub fn rule(&self, keys: &Keys) -> &'a str {
        text(self.rules, keys.rule)
    }

    pub fn acl(&self, keys: &Keys) -> &'a str {
        text(self.acls, keys.acl)
    }
}

fn text(column: &DictionaryArray<UInt32Type>, key: u32) -> &str {
    column.values().as_string_view().value(key as usize)
}
