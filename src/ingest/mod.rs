//! Copies flow logs into a lake, each row once: lists the sources, reads what is new, and commits it in batches. Uses the
//! engine's scan and the lake's files; knows neither SQL nor options as typed. In reading order: `work` lists, `plan`
//! decides how to read each blob, `read` reads, `entry` makes the new cursors, `check` compares a lake with its sources.

mod check;
mod entry;
mod plan;
mod read;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::select;
use tracing::info;

use crate::engine::{Control, Workers};
use crate::lake::{
    ATTEMPTS, Change, Changes, Committed, Compaction, Cursors, Known, Lake, LakeError, Snapshot, Writer, commit,
    compact, open_or_create, without,
};
use crate::source::{Access, Source, SourceError, Stores};
use crate::time::TimeRange;

pub use check::{Compared, Difference, compare, rebuild};
use entry::Reading;
use plan::Plan;
use read::{Read, ReadError};
use work::{Batch, Work};

/// Options of an ingest.
#[derive(Debug, Clone)]
pub struct Options {
    /// Times that decide which blobs are read, by the hours in their paths. A blob is always read to its end.
    pub window: TimeRange,
    /// Start of the names of blobs, below their source.
    pub prefix: String,
    /// Interfaces that decide which blobs are read, by their paths. Empty for all.
    pub macs: Vec<String>,
    /// Requests to the sources.
    pub access: Access,
    /// Bytes of input after which is committed.
    pub commit_every: u64,
    /// Whether blobs are read again that seem unchanged.
    pub reread: bool,
    /// Other processes that read the blobs; `None` to read them here.
    pub workers: Option<Arc<dyn Workers>>,
}

impl Options {
    /// Default of `commit_every`.
    pub const COMMIT_EVERY: u64 = 256 << 20;
}

/// What an ingest did.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Blobs that were read for the first time.
    pub new: u64,
    /// Blobs that were read on from where they ended.
    pub grown: u64,
    /// Blobs that were read again.
    pub rewritten: u64,
    /// Blobs whose newest version was known.
    pub unchanged: u64,
    /// Bytes of the blobs that were read, as stored.
    pub bytes: u64,
    /// New rows, including those of blobs that were read again.
    pub rows_added: u64,
    /// Rows that were replaced.
    pub rows_removed: u64,
    /// Commits that were made.
    pub commits: u64,
    /// Version of the lake at the end.
    pub version: u64,
    /// Time of the last flow of the lake, in ms since 1970.
    pub last: Option<i64>,
    /// Problems in the blobs that were read.
    pub problems: u64,
    /// Records that could not be read, in these blobs.
    pub bad_records: u64,
    /// Blobs that could not be read, each with the reason. The lake keeps what it had of them.
    pub unread: Vec<(String, String)>,
    /// Containers of a named account that were skipped, in words.
    pub skipped: Vec<String>,
    /// A sentence about small files that could not be joined.
    pub not_compacted: Option<String>,
    /// Whether a signal ended it.
    pub is_interrupted: bool,
}

/// An ingest that failed. What it committed before stays.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A source cannot be opened or listed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A source is the content of a pipe.
    #[error("standard input (-) has no name by which a later run would know it: write it to a file")]
    Pipe,
    /// The lake cannot be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Other processes did not finish the reading.
    #[error("{0}")]
    Unfinished(String),
}

/// Converts an error of reading. `lake` is the lake, for errors.
fn reading_failed(lake: &Lake, error: ReadError) -> IngestError {
    match error {
        ReadError::Rows(error) => LakeError::failed(lake.shown(), error).into(),
        ReadError::Unfinished(words) => IngestError::Unfinished(words),
    }
}

/// A lake at its newest version.
struct State {
    snapshot: Snapshot,
    cursors: Cursors,
    known: Known,
}

impl State {
    async fn of(snapshot: Snapshot) -> Result<Self, LakeError> {
        let cursors = snapshot.cursors().await?;
        let known = cursors.known()?;
        Ok(Self { snapshot, cursors, known })
    }
}

/// Copies what is new in the sources. Calls `listed` with the bytes to read before it reads them.
pub async fn ingest(
    sources: &[Source],
    lake: &Lake,
    options: &Options,
    control: &Control,
    listed: impl FnOnce(u64),
) -> Result<Summary, IngestError> {
    if sources.iter().any(Source::is_pipe) {
        return Err(IngestError::Pipe);
    }
    lake.refuse_in(sources)?;
    let stores = Stores::new(options.access.clone());
    let existing = match Snapshot::load(lake).await {
        Err(LakeError::Missing { .. }) => None,
        snapshot => Some(State::of(snapshot?).await?),
    };
    let nothing = Known::default();
    let known = existing.as_ref().map_or(&nothing, |state| &state.known);
    // No lake is made for sources that cannot be listed, or are empty.
    let found = work::find(sources, &stores, options, known).await?;
    let mut state = match existing {
        Some(state) => state,
        None => State::of(open_or_create(lake).await?).await?,
    };
    let mut summary =
        Summary { unchanged: found.unchanged, unread: found.unread, skipped: found.skipped, ..Summary::default() };
    listed(found.works.iter().map(Work::size).sum());
    for work in found.works {
        for batch in work.batches(options.commit_every) {
            if control.stop.is_asked() {
                break;
            }
            state = take(&work, &batch, options, control, state, &mut summary).await?;
        }
    }
    summary.version = state.snapshot.version;
    summary.last = state.snapshot.times().map(|(_, last)| last);
    // What was ingested is committed, whether the files are joined or not.
    select! {
        biased;
        () = control.stop.asked() => summary.is_interrupted = true,
        compacted = compact(state.snapshot, Compaction::IfMany) => match compacted {
            Ok((newest, _)) => summary.version = newest.version,
            Err(error) => {
                let sentence = format!("the lake is complete, but its small files were not joined: {error}");
                summary.not_compacted = Some(sentence);
            }
        },
    }
    Ok(summary)
}

/// Reads and commits one batch. Starts again if another writer changed what the batch was planned on.
async fn take(
    work: &Work,
    batch: &Batch,
    options: &Options,
    control: &Control,
    mut state: State,
    summary: &mut Summary,
) -> Result<State, IngestError> {
    let mut attempts = 0;
    // Blobs that could not be read, each with the reason.
    let mut unread = HashMap::new();
    'again: loop {
        let plan = Plan::of(work, batch, &state.cursors, &state.known, options.reread, &unread).await?;
        let batch = match read_batch(work, &plan, options, control, &state, &mut unread).await? {
            Written::Stopped => return Ok(state),
            // The files have rows of a blob that could not be read to its end.
            Written::Spoilt => continue,
            Written::Whole(batch) => batch,
        };
        if batch.done.is_empty() {
            summary.unread.extend(unread);
            summary.unchanged += plan.unchanged;
            return Ok(state);
        }
        loop {
            attempts += 1;
            if attempts > ATTEMPTS {
                return Err(LakeError::Busy { shown: state.snapshot.lake().shown().to_owned(), attempts }.into());
            }
            let committed = commit(&state.snapshot, Some(&state.cursors), batch.change.clone()).await?;
            let (newest, is_done) = match committed {
                Committed::Done(newest) => (newest, true),
                Committed::Moved(newest) => (newest, false),
            };
            let before = std::mem::replace(&mut state, State::of(*newest).await?);
            if is_done {
                let rows = batch.done.iter().map(|reading| reading.rows).sum::<u64>();
                info!(version = state.snapshot.version, blobs = batch.done.len(), rows, "committed");
                summary.add(&batch.done, batch.removed);
                summary.unread.extend(unread);
                summary.unchanged += plan.unchanged;
                return Ok(state);
            }
            info!(version = state.snapshot.version, "another writer committed first");
            // Files that replace others are planned again. New rows are still new if their blobs did not change.
            let is_same = batch.change.removes.is_empty()
                && before.cursors.kept_from == state.cursors.kept_from
                && plan.holds(batch.change.cursors.entries.keys(), &state.cursors, &state.known)?;
            if !is_same {
                continue 'again;
            }
        }
    }
}

/// Result of reading a batch and writing its rows to files.
enum Written {
    /// A signal stopped it.
    Stopped,
    /// A blob could not be read to its end, after some of its rows.
    Spoilt,
    /// Everything that can be read was read.
    Whole(Box<Rows>),
}

/// A batch that can be committed.
struct Rows {
    change: Change,
    done: Vec<Reading>,
    removed: u64,
}

/// Reads the blobs of a plan and writes their rows to files. Adds those that cannot be read to `unread`.
async fn read_batch(
    work: &Work,
    plan: &Plan,
    options: &Options,
    control: &Control,
    state: &State,
    unread: &mut HashMap<String, String>,
) -> Result<Written, IngestError> {
    let lake = state.snapshot.lake();
    let mut writer = Writer::new(lake);
    let (mut done, mut entries, mut is_spoilt) = (Vec::new(), Changes::default(), false);
    let mut reads = read::start(work, plan, options, control, state.cursors.kept_from);
    while let Some(read) = reads.recv().await {
        let ended = match read.map_err(|error| reading_failed(lake, error))? {
            // The other blobs are still read, to know which of them cannot be.
            Read::Rows(_) if is_spoilt => continue,
            Read::Rows(rows) => {
                writer.push(rows).await?;
                continue;
            }
            Read::End(ended) => ended,
        };
        match entry::of(work, plan.planned(&ended.receipt.blob), &ended).await {
            Ok((reading, entry)) => {
                done.push(reading);
                entries.entries.insert(entry.blob.clone(), entry);
            }
            Err(why) => {
                is_spoilt |= ended.totals.rows > 0;
                unread.insert(ended.receipt.blob, why);
            }
        }
    }
    if control.stop.is_asked() {
        return Ok(Written::Stopped);
    }
    if is_spoilt {
        return Ok(Written::Spoilt);
    }
    let replaced: HashSet<String> = done
        .iter()
        .filter(|reading| reading.kind == plan::Kind::Rewritten)
        .map(|reading| reading.blob.clone())
        .collect();
    let replaced = without(&state.snapshot, &replaced, &mut writer).await?;
    let adds = writer.finish().await?;
    let change = Change { adds, removes: replaced.removes, cursors: entries, ..Change::default() };
    Ok(Written::Whole(Box::new(Rows { change, done, removed: replaced.rows })))
}

impl Summary {
    fn add(&mut self, done: &[Reading], removed: u64) {
        for reading in done {
            *match reading.kind {
                plan::Kind::New => &mut self.new,
                plan::Kind::Grown => &mut self.grown,
                plan::Kind::Rewritten => &mut self.rewritten,
            } += 1;
            self.bytes += reading.bytes;
            self.rows_added += reading.rows;
            self.problems += reading.problems;
            self.bad_records += reading.bad_records;
        }
        self.rows_removed += removed;
        self.commits += 1;
    }

    /// Returns whether something could not be read.
    pub fn is_incomplete(&self) -> bool {
        !self.unread.is_empty() || self.bad_records > 0
    }
}
