//! Describes what an archive contains: blobs, interfaces, rules, gaps and problems, and what they mean for an analysis.
//! Takes a session and returns an [`Inspection`]. Knows no stores, formats or command lines.

mod gaps;
mod meaning;
mod next;

pub use next::Next;

use std::cmp::Reverse;

use serde::Serialize;

use crate::catalog::AddressNames;
use crate::engine::{EXACT_ADDRESSES, InputSummary, Row, Session, SessionError, Storage, Versions, distinct_addresses};
use crate::findings::{Problem, SubnetSeen, local_subnets};
use crate::net::address;
use crate::queries;
use crate::source::Others;
use crate::time::Timestamp;

/// An inspection, in the order of the JSON schema `flowgap.inspection/1`.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Version of the JSON, `flowgap.inspection/1`.
    pub schema: &'static str,
    /// Version of the program that made the inspection.
    pub flowgap_version: &'static str,
    /// Counts of the input.
    pub input: Read,
    /// Statistics of remote sources.
    pub storage: Option<Storage>,
    /// Interfaces, the busiest first: at most [`LISTED_INTERFACES`].
    pub interfaces: Vec<Interface>,
    /// Rules with their ACLs, the busiest first: at most [`LISTED_INTERFACES`].
    pub rules: Vec<Rule>,
    /// Sentences on what to know before an analysis.
    pub meaning: Vec<String>,
    /// Number of interfaces.
    pub interface_count: u64,
    /// Whether `interface_count` is exact and all interfaces are listed; otherwise it is an estimate.
    pub interface_count_exact: bool,
    /// Number of rules with their ACLs.
    pub rule_count: u64,
    /// Whether `rule_count` is exact and all rules are listed; otherwise it is an estimate.
    pub rule_count_exact: bool,
    /// Number of addresses of the interfaces that logged the flows.
    pub local_address_count: u64,
    /// Whether `local_address_count` is exact and `subnets_seen` counts all of these addresses; otherwise it is an estimate.
    pub local_address_count_exact: bool,
    /// Subnets of these addresses, the busiest first: at most 20.
    pub subnets_seen: Vec<NamedSubnet>,
    /// What to do next.
    pub next: Next,
    /// Whether reading was stopped before its end. The JSON does not hold it.
    #[serde(skip)]
    pub is_interrupted: bool,
}

/// Maximum number of interfaces, and of rules, that are listed.
pub const LISTED_INTERFACES: usize = 16_384;
/// Number of local addresses that are listed per interface.
const LISTED_LOCALS: usize = 10;
/// Number of local addresses per interface up to which they are all known.
const EXACT_LOCALS: usize = 32;

/// Local subnet in the logs, with its name.
#[derive(Debug, Serialize)]
pub struct NamedSubnet {
    /// The subnet, as an analysis lists it.
    #[serde(flatten)]
    pub seen: SubnetSeen,
    /// Name that the user gave to the whole subnet; null without one.
    pub name: Option<String>,
}

/// Address of an interface.
#[derive(Debug, Serialize)]
pub struct LocalAddress {
    /// Address as text.
    pub ip: String,
    /// Name that the user gave; null without one.
    pub name: Option<String>,
    /// Number of flow tuples that the interface logged for this address.
    pub tuples: i64,
}

/// Counts of the input. Tuples outside the window do not count.
#[derive(Debug, Serialize)]
pub struct Read {
    /// Number of blobs read.
    pub blobs: u64,
    /// Bytes of the blobs as stored.
    pub bytes: u64,
    /// Files with other names in folders and archives, which were skipped.
    pub other_files: u64,
    /// The first ten skipped files that may contain flow logs: archives, and files in unsupported compression formats.
    pub unopened_files: Vec<String>,
    /// Number of compressed blobs.
    pub packed_blobs: u64,
    /// Bytes after decompression.
    pub unpacked_bytes: u64,
    /// Number of blobs that could not be read to the end.
    pub unreadable_blobs: u64,
    /// Number of flow records.
    pub records: u64,
    /// Records and parts of records that could not be read, which were skipped.
    pub bad_records: u64,
    /// Records with the time and interface of the record before: Azure splits records at about 32 KB.
    pub split_records: u64,
    /// Records older than the previous record of their interface.
    pub unordered_records: u64,
    /// Records decoded on the slow path.
    pub slow_records: u64,
    /// Number of well-formed flow tuples.
    pub tuples: u64,
    /// Number of denied flow tuples.
    pub denied_tuples: u64,
    /// Number of malformed tuples, which were skipped.
    pub malformed_tuples: u64,
    /// Skipped records of other logs by kind, the most frequent first.
    pub foreign: Vec<ForeignLog>,
    /// Tuples by the version of their record.
    pub versions: Versions,
    /// Time of the first tuple; null without tuples.
    pub first_flow: Option<Timestamp>,
    /// Time of the last tuple; null without tuples.
    pub last_flow: Option<Timestamp>,
    /// Number of all problems, listed or not.
    pub problem_count: u64,
    /// The first 1000 problems, by blob and offset.
    pub problems: Vec<Problem>,
}

/// Skipped records of one other kind of log.
#[derive(Debug, Serialize)]
pub struct ForeignLog {
    /// The category, or `metrics`; `other` for all further kinds.
    pub kind: String,
    /// Number of records.
    pub records: u64,
}

/// Network interface in the records.
#[derive(Debug, Serialize)]
pub struct Interface {
    /// MAC address in upper case; empty if records name none.
    pub mac: String,
    /// Number of flow tuples.
    pub tuples: i64,
    /// Number of denied flow tuples.
    pub denied_tuples: i64,
    /// Time of the first tuple; null without tuples.
    pub first_flow: Option<Timestamp>,
    /// Time of the last tuple; null without tuples.
    pub last_flow: Option<Timestamp>,
    /// Number of blobs whose path has Azure's layout.
    pub blobs: u64,
    /// First hour with a blob; null if no path names the interface.
    pub first_hour: Option<Timestamp>,
    /// Last hour with a blob; null if no path names the interface.
    pub last_hour: Option<Timestamp>,
    /// Hours without a blob between the first and the last.
    pub missing_hours: Vec<Hours>,
    /// Addresses of the interface, the busiest first: at most 10.
    pub local_addresses: Vec<LocalAddress>,
    /// Number of addresses of the interface; 33 stands for more than 32.
    pub local_address_count: u64,
    /// Whether `local_address_count` is exact.
    pub local_address_count_exact: bool,
}

/// Span of hours, by the starts of the first and the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hours {
    /// Start of the first hour.
    pub from: Timestamp,
    /// Start of the last hour; equal to `from` for a single hour.
    pub to: Timestamp,
}

/// Rule in the records, with its ACL.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// ACL as the log names it.
    pub acl: String,
    /// Rule as the log names it.
    pub rule: String,
    /// Number of flow tuples that the rule decided on.
    pub tuples: i64,
    /// Number of flow tuples that the rule denied.
    pub denied_tuples: i64,
    /// Time of the first tuple; null without tuples.
    pub first_flow: Option<Timestamp>,
    /// Time of the last tuple; null without tuples.
    pub last_flow: Option<Timestamp>,
}

/// Scans the input once and describes it.
pub async fn inspect(session: &Session) -> Result<Inspection, SessionError> {
    session.materialize(queries::LOGGED, vec![]).await?;
    let names = session.scope().names();
    let interfaces = session.table(queries::LOGGED_INTERFACES).await?;
    let interfaces = interfaces.rows().take(LISTED_INTERFACES).map(|row| interface(row, names));
    let mut interfaces = interfaces.collect::<Result<Vec<_>, _>>()?;
    gaps::add(&mut interfaces, session.locations());
    let rules = session.table(queries::LOGGED_RULES).await?;
    let rules = rules.rows().take(LISTED_INTERFACES).map(rule).collect::<Result<_, _>>()?;
    let totals = session.table(queries::LOGGED_TOTALS).await?;
    let totals = totals.only()?;
    let (interface_count, rule_count) = (totals.int("interface_count")?, totals.int("rule_count")?);
    let locals = totals.addresses("locals")?;
    session.materialize_as(queries::FLOW_GROUPS.id, queries::LOGGED_GROUPS, vec![]).await?;
    let subnets_seen = local_subnets(session).await?.into_iter().map(|seen| named_subnet(seen, names)).collect();
    let mut inspection = Inspection {
        schema: "flowgap.inspection/1",
        flowgap_version: env!("CARGO_PKG_VERSION"),
        input: read(session.input(), &session.others()),
        storage: session.storage(),
        interfaces,
        rules,
        meaning: Vec::new(),
        interface_count,
        interface_count_exact: interface_count <= LISTED_INTERFACES as u64,
        rule_count,
        rule_count_exact: rule_count <= LISTED_INTERFACES as u64,
        local_address_count: distinct_addresses(&locals),
        local_address_count_exact: locals.len() <= EXACT_ADDRESSES,
        subnets_seen,
        next: Next::default(),
        is_interrupted: session.stop().is_asked(),
    };
    inspection.next = Next::of(&inspection);
    inspection.meaning = meaning::meaning(&inspection);
    inspection.meaning.extend(session.others().unopened());
    Ok(inspection)
}

impl Inspection {
    /// Returns whether something could not be read.
    pub fn is_incomplete(&self) -> bool {
        self.input.unreadable_blobs > 0 || self.input.bad_records > 0
    }

    /// Returns the number of distinct ACLs.
    pub fn acls(&self) -> usize {
        let mut names: Vec<String> = self.rules.iter().map(|rule| rule.acl.to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }
}

fn named_subnet(seen: SubnetSeen, names: &AddressNames) -> NamedSubnet {
    let name = seen.cidr.parse().ok().and_then(|block| names.name_of_block(block)).map(str::to_owned);
    NamedSubnet { seen, name }
}

fn interface(row: Row, names: &AddressNames) -> Result<Interface, SessionError> {
    let mut locals = row.addresses("locals")?;
    let count = locals.len();
    locals.sort_unstable_by_key(|&(number, tuples)| (Reverse(tuples), number));
    let local = |(number, tuples)| {
        let ip = address(number);
        LocalAddress { ip: ip.to_string(), name: names.name(ip).map(str::to_owned), tuples }
    };
    Ok(Interface {
        local_addresses: locals.into_iter().take(LISTED_LOCALS).map(local).collect(),
        local_address_count: count as u64,
        local_address_count_exact: count <= EXACT_LOCALS,
        mac: row.text("mac")?,
        tuples: row.int("tuples")?,
        denied_tuples: row.int("denied_tuples")?,
        first_flow: row.time_or_null("first_flow")?,
        last_flow: row.time_or_null("last_flow")?,
        blobs: 0,
        first_hour: None,
        last_hour: None,
        missing_hours: Vec::new(),
    })
}

fn rule(row: Row) -> Result<Rule, SessionError> {
    Ok(Rule {
        acl: row.text("acl")?,
        rule: row.text("rule")?,
        tuples: row.int("tuples")?,
        denied_tuples: row.int("denied_tuples")?,
        first_flow: row.time_or_null("first_flow")?,
        last_flow: row.time_or_null("last_flow")?,
    })
}

fn read(input: InputSummary, others: &Others) -> Read {
    let counts = input.counts;
    let foreign = counts.foreign.kinds();
    Read {
        blobs: input.blobs,
        bytes: input.bytes,
        other_files: others.files,
        unopened_files: others.closed_names().to_vec(),
        packed_blobs: input.packed_blobs,
        unpacked_bytes: input.unpacked_bytes,
        unreadable_blobs: input.unreadable_blobs,
        records: counts.records,
        bad_records: counts.bad_records,
        split_records: counts.split_records,
        unordered_records: counts.unordered_records,
        slow_records: counts.slow_records,
        tuples: counts.tuples,
        denied_tuples: counts.denied_tuples,
        malformed_tuples: counts.malformed_tuples,
        foreign: foreign.into_iter().map(|(kind, records)| ForeignLog { kind: kind.to_owned(), records }).collect(),
        versions: counts.versions,
        first_flow: counts.times.map(|(first, _)| Timestamp(first)),
        last_flow: counts.times.map(|(_, last)| Timestamp(last)),
        problem_count: input.problem_count,
        problems: input.problems.into_iter().map(Problem::from).collect(),
    }
}
