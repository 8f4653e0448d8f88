//! Located bad input. It is data, not an error: decoding goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of problems that are kept of one blob, and of all. Further problems are only counted.
pub const KEPT_PROBLEMS: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Byte of the blob where the bad tuple, record or gap starts.
    pub offset: u64,
    /// How many records came before in this part of the blob.
    pub record: u64,
    pub reason: Reason,
}

/// The first [`KEPT_PROBLEMS`] problems that are pushed.
#[derive(Debug, Clone, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        if self.0.len() < KEPT_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// Adds all of `other`. The limit holds again after the next [`Self::sort`].
    pub fn append(&mut self, mut other: Problems) {
        self.0.append(&mut other.0);
    }

    /// Orders the problems by offset and keeps one per offset. In a rewritten record all have the same offset.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|problem| problem.offset);
        self.0.dedup_by_key(|problem| problem.offset);
        self.0.truncate(KEPT_PROBLEMS);
    }

    /// Puts one problem with this reason in the place of all, where the first of them is.
    pub fn replace(&mut self, reason: Reason) {
        self.0.truncate(1);
        self.0.iter_mut().for_each(|problem| problem.reason = reason);
    }

    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    TooFewColumns,
    Time,
    /// One tuple's time is implausible.
    OffTime(OffTime),
    /// The times of all tuples of a record are implausible, with the number of these tuples.
    AllTimesOff(OffTime, u64),
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
    /// A flow record without a list of tuples that can be read.
    NoList,
    /// A place in a record where a list of tuples is due. The rest of the record was read.
    NoListInPart,
    TwoBodies,
    UnknownVersion,
    TooDeep,
    TooLong,
    Cut,
    CutBetweenRecords,
    Garbage,
    /// UTF-16 without a byte-order mark.
    Utf16,
    /// The whole blob, because nothing in it is of a flow log.
    OtherKind,
}

impl Reason {
    /// How many tuples were skipped; 0 for a record or a stretch of bytes.
    pub fn tuples(self) -> u64 {
        use Reason::*;
        match self {
            AllTimesOff(_, tuples) => tuples,
            TooFewColumns | Time | OffTime(_) | Address | Port | Protocol | Direction | Decision | State | Counter
            | NotText => 1,
            Json | Broken | UnknownRecord | NoList | NoListInPart | TwoBodies | UnknownVersion | TooDeep | TooLong
            | Cut | CutBetweenRecords | Garbage | Utf16 | OtherKind => 0,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Reason::*;
        f.write_str(match self {
            OffTime(off) => return write!(f, "tuple skipped: its time is {off}"),
            AllTimesOff(off, tuples) => {
                return write!(
                    f,
                    "{tuples} tuples skipped, all times of this record are wrong: each is {off}, as in shifted or \
                     anonymised archives"
                );
            }
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
            NoList => "record skipped: no list of flow tuples can be read in it",
            NoListInPart => "part of a record skipped: no list of flow tuples can be read here",
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
            Utf16 => "the blob is UTF-16 without a byte-order mark, so nothing in it is read: save it as UTF-8",
            OtherKind => "the blob is no flow log: nothing in it is a flow record",
        })
    }
}

/// Why a tuple cannot have its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OffTime {
    /// Before 2015-01-01 or after 2100-01-01.
    Years,
    /// More than 90 days from the record's time.
    FarFromRecord,
    /// More than 90 days from the hour in the blob's path.
    FarFromPath,
}

impl OffTime {
    pub const COUNT: usize = 3;
}

impl fmt::Display for OffTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OffTime::Years => "before 2015-01-01 or after 2100-01-01",
            OffTime::FarFromRecord => "more than 90 days from the record's time",
            OffTime::FarFromPath => "more than 90 days from the hour in the blob's path",
        })
    }
}
