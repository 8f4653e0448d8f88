//! The columns of one call, as slices and codes.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array};
use arrow::datatypes::{TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type};

use crate::flow::{Decision, Direction, FlowState, LogKind};
use crate::schema::Column;

/// Columns read from each flow, in the order of the arguments.
pub const ARGUMENTS: [Column; 15] = [
    Column::Time,
    Column::SrcIp,
    Column::DstIp,
    Column::SrcPort,
    Column::DstPort,
    Column::Protocol,
    Column::Direction,
    Column::Decision,
    Column::State,
    Column::PacketsSent,
    Column::PacketsReceived,
    Column::Rule,
    Column::Acl,
    Column::LogKind,
    Column::Mac,
];

/// Names of the answers: whether the destination sent packets back. A flow has none at its beginning, and where the log
/// has no counters.
pub const ANSWERS: [&str; 3] = ["unanswered", "heard", "answered"];
pub const UNANSWERED: u8 = 0;
/// Code of a missing state or answer.
pub const NONE: u8 = 3;

/// A rule, its ACL, and the kind of log that names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    pub rule: Box<str>,
    pub acl: Box<str>,
    pub kind: Box<str>,
}

impl Rule {
    /// Returns whether the platform itself decided, not a rule of the user.
    pub fn is_platform(&self) -> bool {
        self.rule.starts_with("PlatformRule")
    }

    pub fn is_vnet(&self) -> bool {
        *self.kind == *LogKind::Vnet.name()
    }
}

/// The arguments of one call.
pub struct Batch<'a> {
    pub times: &'a [i64],
    /// Addresses of sources and destinations.
    pub ips: [&'a [[u8; 16]]; 2],
    pub ports: [&'a [u16]; 2],
    pub protocols: &'a [u8],
    pub directions: Codes<'a>,
    pub decisions: Codes<'a>,
    pub states: Codes<'a>,
    pub sent: &'a Int64Array,
    pub received: &'a Int64Array,
    pub rules: &'a DictionaryArray<UInt32Type>,
    pub acls: &'a DictionaryArray<UInt32Type>,
    pub kinds: Codes<'a>,
    pub macs: &'a DictionaryArray<UInt32Type>,
}

impl<'a> Batch<'a> {
    pub fn new(values: &'a [ArrayRef]) -> Option<Self> {
        let array = |column: Column| values.get(ARGUMENTS.iter().position(|c| *c == column)?);
        let ips = |column| Some(array(column)?.as_fixed_size_binary_opt()?.value_data().as_chunks::<16>().0);
        let ports = |column| Some(&**array(column)?.as_primitive_opt::<UInt16Type>()?.values());
        Some(Self {
            times: array(Column::Time)?.as_primitive_opt::<TimestampMillisecondType>()?.values(),
            ips: [ips(Column::SrcIp)?, ips(Column::DstIp)?],
            ports: [ports(Column::SrcPort)?, ports(Column::DstPort)?],
            protocols: array(Column::Protocol)?.as_primitive_opt::<UInt8Type>()?.values(),
            directions: Codes::new(array(Column::Direction)?, &Direction::NAMES)?,
            decisions: Codes::new(array(Column::Decision)?, &Decision::NAMES)?,
            states: Codes::new(array(Column::State)?, &FlowState::NAMES)?,
            sent: array(Column::PacketsSent)?.as_primitive_opt()?,
            received: array(Column::PacketsReceived)?.as_primitive_opt()?,
            rules: array(Column::Rule)?.as_dictionary_opt()?,
            acls: array(Column::Acl)?.as_dictionary_opt()?,
            kinds: Codes::new(array(Column::LogKind)?, &LogKind::NAMES)?,
            macs: array(Column::Mac)?.as_dictionary_opt()?,
        })
    }

    #[inline(always)]
    pub fn answer(&self, row: usize) -> u8 {
        if self.received.is_null(row) {
            return NONE;
        }
        match (self.received.value(row), self.sent.is_valid(row) && self.sent.value(row) > 0) {
            (1.., true) => 2,
            (1.., false) => 1,
            (_, true) => UNANSWERED,
            (_, false) => NONE,
        }
    }

    /// Returns whether both ends sent at least two packets.
    #[inline(always)]
    pub fn is_conversation(&self, row: usize) -> bool {
        let counts = |column: &Int64Array| column.is_valid(row) && column.value(row) >= 2;
        counts(self.sent) && counts(self.received)
    }

    /// Returns a key of the flow's interface, valid within this batch. Returns `None` if the record names no interface.
    #[inline(always)]
    pub fn mac_key(&self, row: usize) -> Option<u32> {
        self.macs.keys().is_valid(row).then(|| self.macs.keys().values()[row])
    }

    pub fn mac(&self, key: u32) -> &str {
        self.macs.values().as_string_view().value(key as usize)
    }

    /// Returns a key of the flow's rule, ACL and log kind, valid within this batch.
    #[inline(always)]
    pub fn rule_key(&self, row: usize) -> u128 {
        let [rule, acl] = [self.rules, self.acls].map(|column| column.keys().values()[row]);
        u128::from(self.kinds.keys[row]) << 64 | u128::from(rule) << 32 | u128::from(acl)
    }

    /// Returns the dictionaries that the keys of rules and interfaces refer to.
    pub fn texts(&self) -> [&'a ArrayRef; 4] {
        [self.rules.values(), self.acls.values(), self.kinds.names, self.macs.values()]
    }

    pub fn rule(&self, row: usize) -> Rule {
        let text = |texts: &ArrayRef, key: usize| texts.as_string_view().value(key).into();
        let of = |column: &DictionaryArray<UInt32Type>| text(column.values(), column.keys().values()[row] as usize);
        Rule { rule: of(self.rules), acl: of(self.acls), kind: text(self.kinds.names, self.kinds.keys[row].into()) }
    }
}

/// A dictionary column of a few known names.
pub struct Codes<'a> {
    keys: &'a [u8],
    names: &'a ArrayRef,
    /// Index of each row's name in the known names, or [`NONE`].
    codes: Cow<'a, [u8]>,
}

impl<'a> Codes<'a> {
    pub fn new(array: &'a ArrayRef, known: &[&str]) -> Option<Self> {
        let array = array.as_dictionary_opt::<UInt8Type>()?;
        let names = array.values().as_string_view_opt()?;
        let mut places = [NONE; 256];
        for (place, name) in places.iter_mut().zip(names.iter()) {
            *place = known.iter().position(|n| Some(*n) == name)? as u8;
        }
        let keys: &[u8] = array.keys().values();
        let place = |key: &u8| places[usize::from(*key)];
        let codes = match array.keys().nulls() {
            None if names.iter().eq(known.iter().copied().map(Some)) => Cow::Borrowed(keys),
            None => keys.iter().map(place).collect(),
            Some(nulls) => {
                keys.iter().zip(nulls).map(|(key, is_valid)| if is_valid { place(key) } else { NONE }).collect()
            }
        };
        Some(Self { keys, names: array.values(), codes })
    }

    /// Returns the index of a row's name in the known names, or [`NONE`].
    #[inline(always)]
    pub fn code(&self, row: usize) -> u8 {
        self.codes[row]
    }
}
