//! Deletes files that no version of the lake needs any more. Nothing else in flowgap deletes files of a lake.

use std::collections::{BTreeSet, HashMap, HashSet};

use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload};

use super::cursor::{self, Cursors};
use super::durable::TEMPORARY;
use super::error::{LakeError, Result};
use super::failpoint;
use super::place::{LOG, Lake};
use super::snapshot::{APP, Snapshot};

/// Number of files that are deleted concurrently.
const TOGETHER: usize = 16;

/// What a vacuum deletes, or would delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vacuumed {
    /// Files, sorted.
    pub files: Vec<Path>,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Returns the time of the store, in ms since 1970: that of a file which is written for this. The ages of files are by
/// this clock, and that of this machine may differ.
pub async fn now(lake: &Lake) -> Result<i64> {
    let failed = |error: object_store::Error| LakeError::of_store(lake.shown(), &error);
    let path = Path::from(format!("_flowgap/{TEMPORARY}clock-{:016x}", fastrand::u64(..)));
    lake.objects().put(&path, PutPayload::default()).await.map_err(failed)?;
    let found = lake.objects().head(&path).await.map_err(failed)?;
    lake.objects().delete(&path).await.map_err(failed)?;
    Ok(found.last_modified.timestamp_millis())
}

/// Returns the files that no version needs, and that were written, or removed from the table, before `before`, in ms since
/// 1970.
pub async fn unneeded(lake: &Lake, before: i64) -> Result<Vacuumed> {
    let failed = |error: object_store::Error| LakeError::of_store(lake.shown(), &error);
    // Files are listed before the version is read, so that the version has those that are committed meanwhile.
    let all: Vec<ObjectMeta> = lake.objects().list(None).try_collect().await.map_err(failed)?;
    failpoint::pass("vacuum-listed");
    let snapshot = Snapshot::load(lake).await?;
    let log = Log::read(&snapshot).await?;
    let mut needed: HashSet<Path> = snapshot.files.iter().map(|file| file.path.clone()).collect();
    // A commit that is in the log, but that a reader of the newest version cannot reach, still needs its cursors.
    let mut chains: BTreeSet<i64> = log.commits;
    chains.insert(snapshot.t);
    while let Some(t) = chains.pop_last() {
        if needed.insert(cursor::path(t)) {
            match Cursors::before(lake, t).await {
                Ok(before) => chains.extend(before),
                // A version whose cursors are lost needs no others.
                Err(LakeError::Cursor { .. }) if t != snapshot.t => {}
                Err(error) => return Err(error),
            }
        }
    }
    let mut vacuumed = Vacuumed::default();
    for found in all {
        let is_of_log = found.location.prefix_matches(&Path::from(LOG));
        let is_data = found.location.filename().is_some_and(|name| name.ends_with(".parquet"));
        // Files that other programs put there stay.
        let is_ours = is_data || found.location.filename().is_some_and(|name| name.starts_with(TEMPORARY));
        let last = found.last_modified.timestamp_millis().max(*log.removed.get(&found.location).unwrap_or(&0));
        if is_ours && !(is_of_log && is_data) && !needed.contains(&found.location) && last < before {
            vacuumed.bytes += found.size;
            vacuumed.files.push(found.location);
        }
    }
    vacuumed.files.sort_unstable();
    Ok(vacuumed)
}

/// Deletes files that [`unneeded`] returned.
pub async fn vacuum(lake: &Lake, vacuumed: &Vacuumed) -> Result<()> {
    futures::stream::iter(&vacuumed.files)
        .map(|path| async move {
            failpoint::pass("vacuum");
            match lake.objects().delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(LakeError::of_store(lake.shown(), &error)),
            }
        })
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await
}

/// What the log says about files that are not part of the newest version.
#[derive(Default)]
struct Log {
    /// Ids of the commits of flowgap.
    commits: BTreeSet<i64>,
    /// Times at which files were removed from the table, in ms since 1970.
    removed: HashMap<Path, i64>,
}

impl Log {
    async fn read(snapshot: &Snapshot) -> Result<Self> {
        let lake = snapshot.lake();
        let failed = |error| LakeError::of_delta(lake.shown(), &error);
        let mut log = Self::default();
        for version in (0..=snapshot.version).rev() {
            let Some(bytes) = lake.log().read_commit_entry(version).await.map_err(failed)? else { break };
            for action in get_actions(version, &bytes).map_err(failed)? {
                match action {
                    Action::Txn(txn) if txn.app_id == APP => _ = log.commits.insert(txn.version),
                    Action::Remove(remove) => {
                        let path = Path::parse(&remove.path).unwrap_or_else(|_| Path::from(remove.path.as_str()));
                        let time = log.removed.entry(path).or_default();
                        *time = (*time).max(remove.deletion_timestamp.unwrap_or_default());
                    }
                    _ => {}
                }
            }
        }
        Ok(log)
    }
}
