//! Located bad input. It is data, not an error: decoding goes on.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Byte of the blob where the bad tuple, record or gap starts.
    pub offset: u64,
    /// How many records came before in this part of the blob.
    pub record: u64,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    TooFewColumns,
    Time,
    Address,
    Port,
    Protocol,
    Direction,
    Decision,
    State,
    Counter,
    NotText,
    Json,
    Broken,
    UnknownRecord,
    TwoBodies,
    UnknownVersion,
    TooDeep,
    TooLong,
    Cut,
    CutBetweenRecords,
    Garbage,
}

impl Reason {
    /// True for a tuple that was skipped, false for a record or a stretch of bytes.
    pub fn is_tuple(self) -> bool {
        use Reason::*;
        matches!(
            self,
            TooFewColumns | Time | Address | Port | Protocol | Direction | Decision | State | Counter | NotText
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Reason::*;
        f.write_str(match self {
            TooFewColumns => "tuple skipped: fewer than 8 columns",
            Time => "tuple skipped: the time is not a number of seconds or milliseconds since 1970",
            Address => "tuple skipped: an address is neither IPv4 nor IPv6",
            Port => "tuple skipped: a port is not a number from 0 to 65535",
            Protocol => "tuple skipped: the protocol is neither T, U nor an IANA number",
            Direction => "tuple skipped: the direction is neither I nor O",
            Decision => "tuple skipped: the decision is neither A nor D",
            State => "tuple skipped: the flow state is none of B, C, E and D",
            Counter => "tuple skipped: a packet or byte counter is not a number",
            NotText => "tuple skipped: an element of flowTuples is not text",
            Json => "record skipped: it is not valid JSON",
            Broken => "record skipped: it is damaged, another record begins before it ends",
            UnknownRecord => {
                "record skipped: neither flowRecords nor properties with flows, so not an NSG or VNet flow record"
            }
            TwoBodies => "record skipped: it has flowRecords, or properties, twice",
            UnknownVersion => "record skipped: its version is not NSG 1, NSG 2 or VNet 4",
            TooDeep => "record skipped: nested deeper than any flow record",
            TooLong => "record skipped: longer than 32 MiB",
            Cut => {
                "the blob ends inside this record: whole records before it count, download the blob again for the rest"
            }
            CutBetweenRecords => {
                "the blob ends before its closing ]}: later records may be missing, download the blob again"
            }
            Garbage => "bytes skipped: they belong to no record",
        })
    }
}
