//! One version of a lake: its files with their statistics, and the id of its cursors. Later commits do not change it.

use std::collections::HashMap;

use chrono::NaiveDate;
use deltalake_core::kernel::{Action, EagerSnapshot, LogicalFileView};
use deltalake_core::logstore::get_actions;
use object_store::path::Path;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::columns::PARTITION;
use super::cursor::Cursors;
use super::error::{LakeError, Result};
use super::place::Lake;
use crate::schema::Column;
use crate::time::Timestamp;

/// Name of the transactions of flowgap in the log.
pub(super) const APP: &str = "flowgap";
/// Name of the transactions whose version is the day from which rows are kept, in days since 1970.
pub(super) const KEPT_FROM: &str = "flowgap.kept_from";
/// Key of the table's configuration with the version of the lake.
pub(super) const FORMAT_KEY: &str = "flowgap.lake";
/// Newest version of a lake that this program reads and writes.
pub(super) const FORMAT: u32 = 1;

/// A version of a lake.
pub struct Snapshot {
    /// Version of the Delta table.
    pub version: u64,
    /// Id of the last commit of flowgap. It names the cursor file of this version.
    pub t: i64,
    /// Data files, in the order of their paths.
    pub files: Vec<DataFile>,
    /// The Delta library's form, for commits.
    pub(super) state: EagerSnapshot,
    lake: Lake,
}

/// A data file of a lake.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Path in the lake.
    pub path: Path,
    /// Partition: the day of its rows, in days since 1970.
    pub date: i32,
    /// Size in bytes.
    pub size: u64,
    /// Number of rows.
    pub rows: u64,
    /// Smallest value per column, for some columns. Texts may be cut, so that they are smaller.
    pub min: Map<String, Value>,
    /// Largest value per column, for some columns. Texts may be changed, so that they are larger.
    pub max: Map<String, Value>,
    /// Path and partition as the log has them.
    pub(super) logged: String,
    pub(super) partition: HashMap<String, Option<String>>,
}

/// Statistics of a file, as the log has them.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    num_records: Option<u64>,
    min_values: Map<String, Value>,
    max_values: Map<String, Value>,
}

impl Snapshot {
    /// Reads the newest version. Refuses tables that are not lakes, lakes that a newer flowgap made, and lakes in which
    /// another program changed rows. Fails with [`LakeError::Missing`] if there is none.
    pub async fn load(lake: &Lake) -> Result<Self> {
        let snapshot = Self::load_unchecked(lake).await?;
        snapshot.refuse_changes().await?;
        Ok(snapshot)
    }

    /// Reads the newest version, even if another program changed rows.
    pub async fn load_unchecked(lake: &Lake) -> Result<Self> {
        let shown = lake.shown();
        if !lake.is_table().await? {
            return Err(LakeError::Missing { shown: shown.to_owned() });
        }
        let failed = |error| LakeError::of_delta(shown, &error);
        let state = EagerSnapshot::try_new(lake.log().as_ref(), None).await.map_err(failed)?;
        let not_ours =
            || LakeError::NotOurs { shown: shown.to_owned(), reason: "it is a Delta table of another program".into() };
        let format = state.metadata().configuration().get(FORMAT_KEY).ok_or_else(not_ours)?;
        if format.parse::<u32>().map_or(true, |format| format > FORMAT) {
            return Err(LakeError::Newer { shown: shown.to_owned(), found: format.clone(), known: FORMAT });
        }
        let t = state.transaction_version(lake.log().as_ref(), APP).await.map_err(failed)?.ok_or_else(not_ours)?;
        let mut files = state.log_data().iter().map(|view| data_file(shown, &view)).collect::<Result<Vec<_>>>()?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { version: state.version(), t, files, state, lake: lake.clone() })
    }

    /// Returns the lake.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Reads the cursors of this version.
    pub async fn cursors(&self) -> Result<Cursors> {
        Cursors::load(&self.lake, self.t).await
    }

    /// Returns the day before which rows were deleted, in days since 1970, as log and cursors have it. Needs no cursor
    /// file, because the log keeps the day too.
    pub async fn kept_from(&self) -> Result<Option<i32>> {
        let failed = |error| LakeError::of_delta(self.lake.shown(), &error);
        let logged = self.state.transaction_version(self.lake.log().as_ref(), KEPT_FROM).await.map_err(failed)?;
        let of_cursors = match self.cursors().await {
            Ok(cursors) => cursors.kept_from,
            Err(LakeError::Cursor { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(logged.and_then(|day| i32::try_from(day).ok()).max(of_cursors))
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Returns the times of the first and of the last flow, in ms since 1970; `None` without statistics or rows.
    pub fn times(&self) -> Option<(i64, i64)> {
        let first = self.files.iter().filter_map(DataFile::first_time).min();
        let last = self.files.iter().filter_map(|file| time(&file.max)).max();
        first.zip(last)
    }

    /// Returns whether another program forbade to remove rows.
    pub(super) fn is_append_only(&self) -> bool {
        self.state.metadata().configuration().get("delta.appendOnly").is_some_and(|value| value == "true")
    }

    /// Fails if a commit after the last one of flowgap changed rows. Earlier commits were checked by the writer of that
    /// commit, because a commit is made only on the version that it was planned on.
    async fn refuse_changes(&self) -> Result<()> {
        let shown = self.lake.shown();
        let failed = |error| LakeError::of_delta(shown, &error);
        for version in (0..=self.version).rev() {
            // A log entry that was cleaned up is older than the checkpoint that replaced it.
            let Some(bytes) = self.lake.log().read_commit_entry(version).await.map_err(failed)? else { break };
            let actions = get_actions(version, &bytes).map_err(failed)?;
            if actions.iter().any(|action| matches!(action, Action::Txn(txn) if txn.app_id == APP)) {
                break;
            }
            let is_change = |action: &Action| match action {
                Action::Add(add) => add.data_change,
                Action::Remove(remove) => remove.data_change,
                _ => false,
            };
            if actions.iter().any(is_change) {
                let operation = actions.iter().find_map(|action| match action {
                    Action::CommitInfo(info) => info.operation.clone(),
                    _ => None,
                });
                let operation = operation.unwrap_or_else(|| "unnamed operation".to_owned());
                return Err(LakeError::Changed { shown: shown.to_owned(), version, operation });
            }
        }
        Ok(())
    }
}

fn data_file(shown: &str, view: &LogicalFileView) -> Result<DataFile> {
    let path = view.object_store_path();
    let bad = |reason: &str| LakeError::failed(shown, format_args!("{path} in its log {reason}"));
    if view.deletion_vector_descriptor().is_some() {
        return Err(bad("has a deletion vector, which flowgap does not read"));
    }
    let partition = view.partition_values_map();
    let day = partition.get(PARTITION).cloned().flatten();
    let day = day.and_then(|day| NaiveDate::parse_from_str(&day, "%Y-%m-%d").ok());
    let date = day.ok_or_else(|| bad("has no day"))?.to_epoch_days();
    let stats: Stats = match view.stats() {
        Some(text) => serde_json::from_str(&text).map_err(|error| bad(&format!("has bad statistics: {error}")))?,
        None => Stats::default(),
    };
    Ok(DataFile {
        date,
        size: u64::try_from(view.size()).unwrap_or_default(),
        rows: stats.num_records.ok_or_else(|| bad("has no number of rows"))?,
        min: stats.min_values,
        max: stats.max_values,
        logged: view.path().into_owned(),
        partition,
        path: path.clone(),
    })
}

/// Returns the time in statistics, in ms since 1970.
fn time(values: &Map<String, Value>) -> Option<i64> {
    values.get(Column::Time.name())?.as_str().and_then(Timestamp::parse_rfc3339).map(|time| time.0)
}

impl DataFile {
    /// Returns the time of its first flow, in ms since 1970; `None` without statistics.
    pub fn first_time(&self) -> Option<i64> {
        time(&self.min)
    }

    /// Returns whether the statistics allow that the text column `column` has `value` in this file.
    pub fn may_hold(&self, column: &str, value: &str) -> bool {
        let text = |values: &Map<String, Value>| values.get(column).and_then(Value::as_str).map(str::to_owned);
        text(&self.min).is_none_or(|min| *min <= *value) && text(&self.max).is_none_or(|max| *value <= *max)
    }
}
