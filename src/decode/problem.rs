//! Problems found in the input, with their location. A problem is a result, not an error: decoding continues.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum number of problems kept per blob, and in total. Further problems are only counted.
pub const KEPT_PROBLEMS: usize = 1000;

/// A problem at one place of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Offset of the bad tuple, record or gap in the blob.
    pub offset: u64,
    /// Number of records before it in this part of the blob.
    pub record: u64,
    /// Kind of the problem.
    pub reason: Reason,
}

/// Collection of the first [`KEPT_PROBLEMS`] problems that are pushed.
#[derive(Debug, Clone, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem, unless the limit is reached.
    pub fn push(&mut self, problem: Problem) {
        if self.0.len() < KEPT_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// Adds all of `other`. The limit holds again after the next [`Self::sort`].
    pub fn append(&mut self, mut other: Problems) {
        self.0.append(&mut other.0);
    }

    /// Sorts the problems by offset and keeps one per offset. In a rewritten record all have the same offset.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|problem| problem.offset);
        self.0.dedup_by_key(|problem| problem.offset);
        self.0.truncate(KEPT_PROBLEMS);
    }

    /// Replaces all problems by one with this reason, at the place of the first.
    pub fn replace(&mut self, reason: Reason) {
        self.0.truncate(1);
        self.0.iter_mut().for_each(|problem| problem.reason = reason);
    }

    /// Returns the problems in order.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// Kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// A tuple has fewer than 8 columns.
    TooFewColumns,
    /// The time of a tuple is not a valid number.
    Time,
    /// The time of one tuple is implausible.
    OffTime(OffTime),
    /// The times of all tuples of a record are implausible. The number is the count of these tuples.
    AllTimesOff(OffTime, u64),
    /// An address of a tuple is neither IPv4 nor IPv6.
    Address,
    /// A port of a tuple is not a number from 0 to 65535.
    Port,
    /// The protocol of a tuple is unknown.
    Protocol,
    /// The direction of a tuple is neither `I` nor `O`.
    Direction,
    /// The decision of a tuple is neither `A` nor `D`.
    Decision,
    /// The flow state of a tuple is unknown.
    State,
    /// A packet or byte counter of a tuple is not a number.
    Counter,
    /// An element in a list of tuples is not text.
    NotText,
    /// A record is not valid JSON.
    Json,
    /// A record is damaged: another record begins inside it.
    Broken,
    /// A record is neither an NSG nor a VNet flow record.
    UnknownRecord,
    /// A flow record has no readable list of tuples.
    NoList,
    /// A value in a record is not a readable list of tuples. The rest of the record was read.
    NoListInPart,
    /// A record has `flowRecords` or `properties` twice.
    TwoBodies,
    /// The version of a record is not supported.
    UnknownVersion,
    /// A record is nested too deeply.
    TooDeep,
    /// A record exceeds the maximum length.
    TooLong,
    /// The blob ends inside a record.
    Cut,
    /// The blob ends between records, before its closing brackets.
    CutBetweenRecords,
    /// Bytes belong to no record.
    Garbage,
    /// The blob is UTF-16 without a byte-order mark.
    Utf16,
    /// The blob contains nothing of a flow log. Replaces all its problems.
    OtherKind,
}

impl Reason {
    /// Number of tuples that were skipped; 0 for a record or a range of bytes.
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

/// Reason why the time of a tuple is implausible.
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
    /// Number of variants.
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
