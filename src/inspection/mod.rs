//! Describes what an archive contains: blobs, interfaces, rules, gaps and problems, and what they mean for an analysis.
//! Takes a session and returns an [`Inspection`]. Knows no stores, formats or command lines.

mod gaps;
mod meaning;

use serde::Serialize;

use crate::engine::{InputSummary, Row, Session, SessionError, Storage, Versions};
use crate::findings::Problem;
use crate::queries;
use crate::source::Others;
use crate::time::Timestamp;

/// An inspection, in the order of the JSON schema `flowgap.inspection/1`.
#[derive(Debug, Serialize)]
pub struct Inspection {
    pub schema: &'static str,
    pub flowgap_version: &'static str,
    pub input: Read,
    /// Statistics of remote sources.
    pub storage: Option<Storage>,
    /// The busiest first.
    pub interfaces: Vec<Interface>,
    /// Rules with their ACLs, the busiest first.
    pub rules: Vec<Rule>,
    /// Sentences on what to know before an analysis.
    pub meaning: Vec<String>,
    #[serde(skip)]
    pub is_interrupted: bool,
}

#[derive(Debug, Serialize)]
pub struct Read {
    pub blobs: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Files with other names in folders and archives, which were skipped.
    pub other_files: u64,
    /// The first ten skipped files that may contain flow logs: archives, and files in unsupported compression formats.
    pub unopened_files: Vec<String>,
    /// Number of compressed blobs.
    pub packed_blobs: u64,
    /// Bytes after decompression.
    pub unpacked_bytes: u64,
    pub unreadable_blobs: u64,
    pub records: u64,
    pub bad_records: u64,
    /// Records with the time and interface of the record before: Azure splits records at about 32 KB.
    pub split_records: u64,
    /// Records older than the previous record of their interface.
    pub unordered_records: u64,
    /// Records decoded on the slow path.
    pub slow_records: u64,
    pub tuples: u64,
    pub denied_tuples: u64,
    pub malformed_tuples: u64,
    /// Skipped records of other logs by kind, the most frequent first.
    pub foreign: Vec<ForeignLog>,
    pub versions: Versions,
    pub first_flow: Option<Timestamp>,
    pub last_flow: Option<Timestamp>,
    pub problem_count: u64,
    /// The first 1000, by blob and offset.
    pub problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
pub struct ForeignLog {
    /// The category, or `metrics`; `other` for all further kinds.
    pub kind: String,
    pub records: u64,
}

#[derive(Debug, Serialize)]
pub struct Interface {
    /// Empty if records name none.
    pub mac: String,
    pub tuples: i64,
    pub denied_tuples: i64,
    pub first_flow: Option<Timestamp>,
    pub last_flow: Option<Timestamp>,
    /// Number of blobs whose path has Azure's layout.
    pub blobs: u64,
    pub first_hour: Option<Timestamp>,
    pub last_hour: Option<Timestamp>,
    /// Hours without a blob between the first and the last.
    pub missing_hours: Vec<Hours>,
}

/// From the start of the first hour to the start of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hours {
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Debug, Serialize)]
pub struct Rule {
    pub acl: String,
    pub rule: String,
    pub tuples: i64,
    pub denied_tuples: i64,
    pub first_flow: Option<Timestamp>,
    pub last_flow: Option<Timestamp>,
}

/// Scans everything once.
pub async fn inspect(session: &Session) -> Result<Inspection, SessionError> {
    session.materialize(queries::LOGGED, vec![]).await?;
    let interfaces = session.table(queries::LOGGED_INTERFACES).await?;
    let mut interfaces = interfaces.rows().map(interface).collect::<Result<Vec<_>, _>>()?;
    gaps::add(&mut interfaces, session.locations());
    let rules = session.table(queries::LOGGED_RULES).await?;
    let rules = rules.rows().map(rule).collect::<Result<_, _>>()?;
    let mut inspection = Inspection {
        schema: "flowgap.inspection/1",
        flowgap_version: env!("CARGO_PKG_VERSION"),
        input: read(session.input(), &session.others()),
        storage: session.storage(),
        interfaces,
        rules,
        meaning: Vec::new(),
        is_interrupted: session.stop().is_asked(),
    };
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

fn interface(row: Row) -> Result<Interface, SessionError> {
    Ok(Interface {
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
