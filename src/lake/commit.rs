//! How a change becomes a version of a lake, exactly once.
//!
//! The cursor file is written first, under an id `t` that no other attempt uses. The entry of the log then names `t` as
//! the transaction of flowgap, so that rows and cursors switch in one step. The entry is for one version only: if another
//! writer took it, nothing happened, and the caller plans again. After a doubtful answer, the log says which it is.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use chrono::Utc;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, Remove, Transaction, new_metadata};
use deltalake_core::logstore::get_actions;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use object_store::path::Path;
use object_store::{PutMode, PutOptions};
use serde_json::json;

use super::columns::{PARTITION, table};
use super::cursor::{self, Changes, Cursors};
use super::error::{LakeError, Result};
use super::failpoint;
use super::place::{LOG, Lake};
use super::snapshot::{APP, DataFile, FORMAT, FORMAT_KEY, KEPT_FROM, Snapshot};
use super::write::LARGEST;

/// Maximum number of times that other writers may be first with a change.
pub const ATTEMPTS: u32 = 32;
/// Bits of an id that are random. The others count commits.
const RANDOM: u32 = 20;
/// Number of commits after which the log is summed up in a checkpoint.
const CHECKPOINT: u32 = 10;

/// A change of a lake that was planned on a version of it.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// New files.
    pub adds: Vec<Add>,
    /// Files that are no longer part of the table.
    pub removes: Vec<Remove>,
    /// New cursors.
    pub cursors: Changes,
    /// Kind of the change, for the history of the table.
    pub kind: Kind,
}

/// Kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// New rows, and perhaps other rows in place of old ones.
    #[default]
    Write,
    /// Fewer rows.
    Delete,
    /// The same rows in other files.
    Compact,
}

/// Result of a commit.
pub enum Committed {
    /// The change is part of the lake. Holds the newest version.
    Done(Box<Snapshot>),
    /// Another writer was first, and nothing changed. Holds the newest version.
    Moved(Box<Snapshot>),
}

/// Makes an empty lake, or opens the one that is there.
pub async fn open_or_create(lake: &Lake) -> Result<Snapshot> {
    match Snapshot::load(lake).await {
        Err(LakeError::Missing { .. }) => {}
        other => return other,
    }
    refuse_other_files(lake).await?;
    let shown = lake.shown();
    let t = put_cursors(lake, 0, None, &Changes::default()).await?;
    failpoint::pass("create-cursor");
    let failed = |error: &dyn std::fmt::Display| LakeError::failed(shown, error);
    let schema = table().map_err(|error| failed(&error))?;
    let configuration = [(FORMAT_KEY, FORMAT.to_string()), ("delta.checkpointInterval", CHECKPOINT.to_string())];
    let metadata = new_metadata(&schema, [PARTITION], configuration).map_err(|error| failed(&error))?;
    let protocol = serde_json::from_value(json!({ "minReaderVersion": 1, "minWriterVersion": 2 }));
    let protocol = protocol.map_err(|error| failed(&error))?;
    let properties = properties(t, None);
    let operation = DeltaOperation::Write {
        mode: SaveMode::ErrorIfExists,
        partition_by: Some(vec![PARTITION.to_owned()]),
        predicate: None,
    };
    let made = CommitBuilder::from(properties)
        .with_actions(vec![Action::Protocol(protocol), Action::Metadata(metadata)])
        .build(None, lake.log().clone(), operation)
        .await;
    failpoint::pass("created");
    match Snapshot::load(lake).await {
        // Nothing was made, so the first error says why.
        Err(LakeError::Missing { .. }) => match made {
            Err(error) => Err(LakeError::of_delta(shown, &error)),
            Ok(_) => Err(failed(&"the new lake cannot be read")),
        },
        // Another run may have made it at the same time.
        loaded => loaded,
    }
}

/// Commits a change. `cursors` are those of `base`; `None` if the change has the cursors of all blobs.
pub async fn commit(base: &Snapshot, cursors: Option<&Cursors>, change: Change) -> Result<Committed> {
    let lake = base.lake();
    if !change.removes.is_empty() && base.is_append_only() {
        return Err(LakeError::AppendOnly { shown: lake.shown().to_owned() });
    }
    let t = put_cursors(lake, base.t, cursors, &change.cursors).await?;
    failpoint::pass("cursor-written");
    let operation = match change.kind {
        Kind::Write => DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![PARTITION.to_owned()]),
            predicate: None,
        },
        Kind::Delete => DeltaOperation::Delete { predicate: None },
        Kind::Compact => DeltaOperation::Optimize { predicate: None, target_size: LARGEST.cast_signed() },
    };
    let adds = change.adds.into_iter().map(Action::Add);
    let actions = adds.chain(change.removes.into_iter().map(Action::Remove)).collect();
    let made = CommitBuilder::from(properties(t, change.cursors.kept_from))
        .with_actions(actions)
        .build(Some(&base.state), lake.log().clone(), operation)
        .await;
    failpoint::pass("committed");
    let newest = Snapshot::load(lake).await?;
    if newest.t == t || is_committed(lake, t, base.version + 1..=newest.version).await? {
        return Ok(Committed::Done(Box::new(newest)));
    }
    match made {
        // The version was free and is still free, so the store failed.
        Err(error) if newest.version == base.version => Err(LakeError::of_delta(lake.shown(), &error)),
        _ => Ok(Committed::Moved(Box::new(newest))),
    }
}

/// Returns the entry of the log that removes a file.
pub fn removed(file: &DataFile, is_change: bool) -> Remove {
    Remove {
        path: file.logged.clone(),
        data_change: is_change,
        deletion_timestamp: Some(Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition.clone()),
        size: i64::try_from(file.size).ok(),
        ..Remove::default()
    }
}

/// Returns an id for an attempt to commit after commit `t`. Ids grow, and two attempts have different ones.
fn next_id(t: i64) -> i64 {
    // Its keys come from the operating system.
    let random = RandomState::new().hash_one(Utc::now().timestamp_nanos_opt()) >> (u64::BITS - RANDOM);
    (((t >> RANDOM) + 1) << RANDOM) | random.cast_signed()
}

/// A commit is made on the version that it was planned on, or not at all. The Delta library would otherwise allow some
/// that remove files which another commit removed too. The day from which rows are kept is in the log too, so that it is
/// known without a cursor file.
fn properties(t: i64, kept_from: Option<i32>) -> CommitProperties {
    let now = Some(Utc::now().timestamp_millis());
    let transaction = |app: &str, version| Transaction::new_with_last_update(app, version, now);
    let kept_from = kept_from.map(|day| transaction(KEPT_FROM, day.into()));
    let transactions = [transaction(APP, t)].into_iter().chain(kept_from).collect();
    CommitProperties::default().with_max_retries(0).with_application_transactions(transactions)
}

/// Returns whether one of the versions is the commit `t`.
async fn is_committed(lake: &Lake, t: i64, versions: std::ops::RangeInclusive<u64>) -> Result<bool> {
    let failed = |error| LakeError::of_delta(lake.shown(), &error);
    for version in versions {
        let Some(bytes) = lake.log().read_commit_entry(version).await.map_err(failed)? else { continue };
        let actions = get_actions(version, &bytes).map_err(failed)?;
        if actions.iter().any(|action| matches!(action, Action::Txn(txn) if txn.app_id == APP && txn.version == t)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the cursor file of an attempt to commit after commit `t`. Returns the id of the attempt.
async fn put_cursors(lake: &Lake, t: i64, before: Option<&Cursors>, changes: &Changes) -> Result<i64> {
    for _ in 0..ATTEMPTS {
        let id = next_id(t);
        if put_new(lake, id, cursor::write(lake.shown(), before, id, changes)?.into()).await? {
            return Ok(id);
        }
    }
    Err(LakeError::Busy { shown: lake.shown().to_owned(), attempts: ATTEMPTS })
}

/// Writes a cursor file. Returns false if another attempt has one of this id.
async fn put_new(lake: &Lake, id: i64, bytes: Bytes) -> Result<bool> {
    let failed = |error: object_store::Error| LakeError::of_store(lake.shown(), &error);
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match lake.objects().put_opts(&cursor::path(id), bytes.clone().into(), options).await {
        Ok(_) => Ok(true),
        // A request that was repeated after a lost answer finds its own file.
        Err(object_store::Error::AlreadyExists { .. }) => {
            Ok(lake.get(&cursor::path(id)).await.map_err(failed)? == bytes)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Fails if the folder holds anything that a run which was killed while it made a lake does not leave.
async fn refuse_other_files(lake: &Lake) -> Result<()> {
    let listed = match lake.objects().list_with_delimiter(None).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        listed => listed.map_err(|error| LakeError::of_store(lake.shown(), &error))?,
    };
    let is_ours = |path: &&Path| path.filename() == Some(LOG) || path.as_ref() == "_flowgap";
    let folder = listed.common_prefixes.iter().find(|path| !is_ours(path));
    let other = listed.objects.first().map(|object| &object.location).or(folder);
    match other {
        None => Ok(()),
        Some(other) => Err(LakeError::NotOurs {
            shown: lake.shown().to_owned(),
            reason: format!("it holds {}", other.filename().unwrap_or_default()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Access;

    #[test]
    fn a_cursor_file_of_another_attempt_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(folder.path().to_str().expect("UTF-8"), Access::default()).expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let put =
            |bytes: &'static [u8]| runtime.block_on(put_new(&lake, 7, Bytes::from_static(bytes))).expect("written");
        assert!(put(b"one"));
        assert!(put(b"one"), "a repeated request");
        assert!(!put(b"two"));
    }
}
